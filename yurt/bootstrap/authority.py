"""A local certificate authority: for ``yurt up --tls``, for the NATS servers of a region, for tests.

Theory of operation. An authority is a folder with ``ca.pem``, which is shown to whoever shall trust it, and
``ca-key.pem``, which nobody else may read. It is made once and kept, so that it has to be trusted only once.
``issue`` gives a server (or a client of NATS's, or both) its certificate and key; called again it hands out what is
there, as long as that still names the same hosts and is not close to its end. So it may be called at every start.

Rules
1. ECDSA on P-256 and SHA-256: what OpenSSL, Go and every browser take.
2. What OpenSSL's strict checks, Go and browsers ask for is there: names as DNS or IP entries of the alternative names
   (a common name alone counts for nothing), key identifiers on both sides, the usages, a critical basic constraint.
3. A key is written before its certificate, each whole or not at all. Whoever reads between the two sees a pair that
   does not match, and must keep what it has; one that was cut off there is made anew by the next call.
4. No certificate outlives the authority that signed it.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import ipaddress
import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from jobs.errors import ConfigFault

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 365  #: below the 398 that browsers bear
_RENEW_AT = 1 / 3  #: of a certificate's life left: time enough to notice that renewing does not work
_BEHIND = datetime.timedelta(hours=1)  #: clocks that are slow by this much still take a new certificate
_LOCK_S = 10.0  #: making a certificate takes some milliseconds
_COMMON_NAME = 64  #: X.509 allows no more characters
_DNS = re.compile(r"(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.I)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Usage(StrEnum):
    #: it is connected to
    SERVER = "server"
    #: it connects
    CLIENT = "client"
    #: it does both, as NATS servers do among themselves
    BOTH = "both"


_PURPOSES = {
    Usage.SERVER: [ExtendedKeyUsageOID.SERVER_AUTH],
    Usage.CLIENT: [ExtendedKeyUsageOID.CLIENT_AUTH],
    Usage.BOTH: [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
}


@dataclass(frozen=True, kw_only=True)
class Authority:
    """*cert*: what others are to trust; *key*: the secret it signs with."""

    cert: Path
    key: Path
    certificate: x509.Certificate = field(repr=False)
    private_key: ec.EllipticCurvePrivateKey = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class CertificateFiles:
    """*cert* and *key* of one process, and *ca*, by which its peers are known."""

    cert: Path
    key: Path
    ca: Path


def authority(folder: Path, *, name: str = "Yurt local authority", now: datetime.datetime | None = None) -> Authority:
    """The authority in *folder*, made if there is none; raises ``ConfigFault`` where what is there cannot be used."""
    now = now or _now()
    cert, key = folder / "ca.pem", folder / "ca-key.pem"
    with _alone(folder):
        if not cert.exists():  # a key without one is of a start that was cut off
            _make_authority(cert, key, name, now)
        certificate, private_key = _read_certificate(cert), _read_key(key)
    cure = f"remove {folder} and start again, then have the new one trusted"
    if not _belong_together(certificate, private_key):
        raise ConfigFault(f"{key} is not the key of {cert}; {cure}")
    if certificate.not_valid_after_utc <= now:
        raise ConfigFault(f"{cert} ended on {certificate.not_valid_after_utc:%Y-%m-%d}; {cure}")
    return Authority(cert=cert, key=key, certificate=certificate, private_key=private_key)


def issue(
    by: Authority,
    folder: Path,
    name: str,
    *,
    hosts: Sequence[str] = (),
    usage: Usage | str = Usage.SERVER,
    days: int = CERTIFICATE_DAYS,
    now: datetime.datetime | None = None,
) -> CertificateFiles:
    """``<name>.pem`` and ``<name>-key.pem`` in *folder*, as they are, or new ones when they will not do any more.

    *hosts*: names and addresses that callers use, without ports; a pure client needs none.
    """
    now, usage = now or _now(), Usage(usage)
    entries = _entries(name, hosts, usage)
    files = CertificateFiles(cert=folder / f"{name}.pem", key=folder / f"{name}-key.pem", ca=by.cert)
    with _alone(folder):
        if not _still_good(files, by, entries, usage, now):
            private_key = ec.generate_private_key(ec.SECP256R1())
            _write(files.key, _key_pem(private_key), mode=0o600)
            certificate = _signed(by, private_key.public_key(), name, entries, usage, days, now)
            _write(files.cert, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
    return files


def _now() -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(time.time()), datetime.UTC)


# -- what is signed ----------------------------------------------------------------------------------------------------


def _make_authority(cert: Path, key: Path, name: str, now: datetime.datetime) -> None:
    private_key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_COMMON_NAME])])
    identifier = x509.SubjectKeyIdentifier.from_public_key(private_key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEHIND)
        .not_valid_after(now + datetime.timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(private_key, hashes.SHA256())
    )
    _write(key, _key_pem(private_key), mode=0o600)
    _write(cert, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)


def _signed(
    by: Authority,
    public_key: ec.EllipticCurvePublicKey,
    name: str,
    entries: list[x509.GeneralName],
    usage: Usage,
    days: int,
    now: datetime.datetime,
) -> x509.Certificate:
    end = min(now + datetime.timedelta(days=days), by.certificate.not_valid_after_utc)
    issuer = by.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_COMMON_NAME])]))
        .issuer_name(by.certificate.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(now - _BEHIND, by.certificate.not_valid_before_utc))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_PURPOSES[usage]), critical=False)
        .add_extension(x509.SubjectAlternativeName(entries), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        .sign(by.private_key, hashes.SHA256())
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _entries(name: str, hosts: Sequence[str], usage: Usage) -> list[x509.GeneralName]:
    """The alternative names; raises ``ConfigFault`` naming every host that is none."""
    if not _NAME.fullmatch(name):
        raise ConfigFault(f"a certificate cannot be named {name!r}; use letters, digits, dots, hyphens")
    if not hosts and usage is not Usage.CLIENT:
        raise ConfigFault(f"the certificate {name} is for a server; say by which hosts it is reached")
    entries: list[x509.GeneralName] = []
    wrong = []
    for host in dict.fromkeys(hosts or (name,)):
        try:
            entries.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            if _DNS.fullmatch(host) and len(host) <= 253:
                entries.append(x509.DNSName(host.lower()))
            else:
                wrong.append(repr(host))
    if wrong:
        raise ConfigFault(f"the certificate {name}: no host is called {', '.join(wrong)}; give names or IP addresses")
    return entries


# -- what is kept ------------------------------------------------------------------------------------------------------


def _still_good(
    files: CertificateFiles, by: Authority, entries: list[x509.GeneralName], usage: Usage, now: datetime.datetime
) -> bool:
    """Whether what is there is of this authority, for these hosts and this usage, whole, and not close to its end."""
    try:
        certificate, private_key = _read_certificate(files.cert), _read_key(files.key)
        certificate.verify_directly_issued_by(by.certificate)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (ConfigFault, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    # one that the authority's own end cuts short would not last longer if it were made anew
    lasts = end - now > (end - begin) * _RENEW_AT or end == by.certificate.not_valid_after_utc
    return (
        lasts
        and begin <= now
        and set(names) == set(entries)
        and list(purposes) == _PURPOSES[usage]
        and _belong_together(certificate, private_key)
    )


def _belong_together(certificate: x509.Certificate, private_key: ec.EllipticCurvePrivateKey) -> bool:
    return certificate.public_key() == private_key.public_key()


def _read_certificate(file: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigFault(f"{file} cannot be used as a certificate: {error}") from error


def _read_key(file: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigFault(f"{file} cannot be used as a key: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigFault(f"{file} is a key of another kind than is made here (ECDSA)")
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(file: Path, content: bytes, *, mode: int) -> None:
    """The new content, whole or not at all, never readable by more than *mode* says."""
    descriptor, fresh = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # made with 0600
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
            os.fchmod(descriptor, mode)
        Path(fresh).replace(file)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else makes anything in *folder* while inside; raises ``ConfigFault`` where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigFault(f"{folder} cannot hold certificates: {error.strerror}") from error
    try:
        _take(lock, folder)
        yield
    except OSError as error:
        raise ConfigFault(f"{folder} cannot hold certificates: {error}") from error
    finally:
        os.close(lock)


def _take(lock: int, folder: Path) -> None:
    deadline = time.monotonic() + _LOCK_S
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ConfigFault(f"{folder} is held by another process for {_LOCK_S:g} s; end that one") from None
            time.sleep(0.01)
