"""Whom a client believes to be the network: the authorities that this machine trusts, and one that it is told of."""

from __future__ import annotations

import ssl
from pathlib import Path

import aiohttp

from jobs.errors import ConfigFault
from yurt.faults import Untrusted

#: X509_V_ERR_…: no authority that is trusted here vouches for it
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21})
_NOT_YET, _ENDED = 9, 10
_OTHER_HOSTS = frozenset({62, 64})  #: a name, an IP address


def context_of(ca_file: Path | str | None) -> ssl.SSLContext | None:
    """Trust in *ca_file* besides what the system trusts; None where there is none. Raises ``ConfigFault``."""
    if not ca_file:
        return None
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cafile=str(ca_file))
    except ssl.SSLError as error:
        raise ConfigFault(f"ca_file: {ca_file} holds no certificate in PEM; give the authority's ca.pem") from error
    except OSError as error:
        raise ConfigFault(f"ca_file: {ca_file} cannot be read: {error.strerror}") from error
    return context


def untrusted(url: str, error: BaseException) -> Untrusted | None:
    """What to say of a connection whose TLS failed, which trying again would not mend; None: it was not that."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Untrusted(_of_certificate(url, error.certificate_error))
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        reason = getattr(error.os_error, "reason", None) or ""
        if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
            return Untrusted(f"{url} does not speak HTTPS; write http:// in place of https://")
        words = reason.lower().replace("_", " ") or str(error.os_error)
        return Untrusted(f"no TLS connection to {url} comes about ({words})")
    return None


def _of_certificate(url: str, error: Exception) -> str:
    code = getattr(error, "verify_code", None)
    words = getattr(error, "verify_message", "") or str(error)
    if code in _UNKNOWN_AUTHORITY:
        return (
            f"the certificate of {url} is signed by an authority that is not trusted here; "
            "name that authority's file by --ca-file, YURT_CA_FILE or ca_file= "
            "(yurt up --tls keeps it in its data folder, authority/ca.pem)"
        )
    if code == _ENDED:
        return f"the certificate of {url} has ended; whoever runs it must renew it, or the clock here is wrong"
    if code == _NOT_YET:
        return f"the certificate of {url} is not valid yet; is the clock here right?"
    if code in _OTHER_HOSTS:
        return f"the certificate of {url} is for other hosts ({words}); use a name that it is for"
    return f"the certificate of {url} is not trusted: {words}"
