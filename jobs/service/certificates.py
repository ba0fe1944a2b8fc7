"""A certificate and its key, as files that may be replaced while they are served.

Theory of operation. New handshakes are shown what the files say now; connections that are open keep what they began
with, and none is dropped. The listening socket has one context that never changes and holds no certificate: at each
handshake it is asked (the SNI callback, which is called with or without a name) and hands the connection over to the
context of the newest pair. Putting a new pair into a context that has one would not do: OpenSSL keeps one a kind of
key, so after a change from RSA to ECDSA it would go on showing the old one to some.

The files are read every second, and at SIGHUP, and what they hold is compared: so it does not matter how they are
replaced, by writing, by renaming, or by turning a symlink on the way to them, as mounted secrets do.

Rules
1. Both files are checked together, in memory, before anything is served from them: what was checked is what is loaded.
2. A pair that cannot be served leaves the old one in place. One line says so once it is seen twice: between the
   replacing of one file and of the other, nothing is wrong yet.
3. An end that is near is told once a day.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.errors import ConfigFault
from jobs.service import logs

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

log = logging.getLogger("certificates")

EVERY_S = 1.0  #: between looks at the files: two small reads
SOON_S = 14 * 86_400.0  #: left to live: time to say so
_DAY_S = 86_400.0
_FILE_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class PairFiles:
    """The two files, and the settings that name them, for whoever must mend them."""

    cert: Path
    key: Path
    cert_setting: str = "tls_cert_file"
    key_setting: str = "tls_key_file"


@dataclass(frozen=True, kw_only=True)
class _Pair:
    content: tuple[bytes, bytes]
    context: ssl.SSLContext
    ends_at: float


def chosen(cert: Path | None, key: Path | None, *, prefix: str = "tls") -> PairFiles | None:
    """The files that two settings name, None where neither does; raises ``ConfigFault`` when one is missing."""
    cert_setting, key_setting = f"{prefix}_cert_file", f"{prefix}_key_file"
    if cert is not None and key is not None:
        return PairFiles(cert=cert, key=key, cert_setting=cert_setting, key_setting=key_setting)
    if cert is None and key is None:
        return None
    given, other = (cert_setting, key_setting) if key is None else (key_setting, cert_setting)
    raise ConfigFault(f"{given} is set and {other} is not; set both for HTTPS, or neither")


class Certificate:
    """A pair that is served. Raises ``ConfigFault``, with all that is wrong, where it cannot be from the start."""

    def __init__(self, files: PairFiles, *, now: Callable[[], float] = time.time) -> None:
        self._files, self._now = files, now
        self._pair = _checked(files, _read(files), now())
        self._fault, self._seen = "", 0
        self._told_end_at = float("-inf")
        self._tell_end()

    @property
    def ends_at(self) -> float:
        """In seconds since 1970."""
        return self._pair.ends_at

    @property
    def left_s(self) -> float:
        return self._pair.ends_at - self._now()

    def show(self, conversation: ssl.SSLObject | ssl.SSLSocket) -> None:
        """Have a handshake that has just begun go on with the newest pair."""
        conversation.context = self._pair.context

    def look(self) -> None:
        """Serve what the files say now, if that is something else and can be served."""
        try:
            content = _read(self._files)
            if content != self._pair.content:
                self._pair = _checked(self._files, content, self._now())
                logs.event(log, "certificate_changed", cert=self._files.cert, days_left=self.left_s / _DAY_S)
                self._told_end_at = float("-inf")
            self._fault, self._seen = "", 0
        except ConfigFault as fault:
            self._complain(str(fault))
        self._tell_end()

    async def keep_up(self, *, at_once: asyncio.Event | None = None, every_s: float = EVERY_S) -> None:
        """Look for as long as the process lives: every second or so, and when *at_once* is set."""
        asked = at_once or asyncio.Event()
        while True:
            try:
                async with asyncio.timeout(every_s):
                    await asked.wait()
            except TimeoutError:
                pass
            asked.clear()
            self.look()

    def _complain(self, fault: str) -> None:
        self._seen = self._seen + 1 if fault == self._fault else 1
        self._fault = fault
        if self._seen == 2:
            logs.event(log, "certificate_kept", level=logging.WARNING, fault=f"the old one is still served: {fault}")

    def _tell_end(self) -> None:
        if self.left_s > SOON_S or self._now() - self._told_end_at < _DAY_S:
            return
        self._told_end_at = self._now()
        how = f"ends in {self.left_s / _DAY_S:.1f} days" if self.left_s > 0 else "has ended, and callers refuse it"
        logs.event(log, "certificate_ends", level=logging.WARNING, fault=f"{self._files.cert} {how}; replace it")


def harden(context: ssl.SSLContext) -> None:
    """What every server of ours holds to: TLS 1.2 or newer, HTTP/1.1 in it, no renegotiation."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])


# -- reading and checking ----------------------------------------------------------------------------------------------


def _read(files: PairFiles) -> tuple[bytes, bytes]:
    """What the two files hold; raises ``ConfigFault`` naming each that cannot be read."""
    contents, faults = [], []
    for setting, file in ((files.cert_setting, files.cert), (files.key_setting, files.key)):
        try:
            contents.append(_content(file))
        except OSError as error:
            faults.append(f"{setting}: {file} cannot be read: {error.strerror}")
    if faults:
        raise ConfigFault("; ".join(faults))
    return contents[0], contents[1]


def _content(file: Path) -> bytes:
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not make us wait
    with os.fdopen(descriptor, "rb") as opened:
        kind = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(kind):
            raise OSError(0, "it is no file")
        return opened.read(_FILE_BYTES)


def _checked(files: PairFiles, content: tuple[bytes, bytes], now: float) -> _Pair:
    """A context for this content; raises ``ConfigFault`` with everything that speaks against it."""
    try:
        return _examined(files, content, now)
    except ConfigFault:
        raise
    except Exception as error:  # certificates can be odd in more ways than their library names
        raise ConfigFault(f"{files.cert_setting}: {files.cert} cannot be used: {error}") from error


def _examined(files: PairFiles, content: tuple[bytes, bytes], now: float) -> _Pair:
    faults: list[str] = []
    chain = _chain(files, content[0], faults)
    key = _key(files, content[1], faults)
    if chain:
        begin, end = chain[0].not_valid_before_utc, chain[0].not_valid_after_utc
        where = f"{files.cert_setting}: {files.cert}"
        if end.timestamp() <= now:
            faults.append(f"{where} ended on {end:%Y-%m-%d %H:%M} UTC; have it renewed")
        if begin.timestamp() > now:
            faults.append(f"{where} begins only on {begin:%Y-%m-%d %H:%M} UTC; is the clock right?")
        if key is not None:
            _match(files, chain, key, faults)
    if faults:
        raise ConfigFault("; ".join(faults))
    return _Pair(content=content, context=_loaded(files, content), ends_at=end.timestamp())


def _chain(files: PairFiles, content: bytes, faults: list[str]) -> list[x509.Certificate]:
    from cryptography import x509  # here: a process without TLS need not pay ten megabytes for it

    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        faults.append(f"{files.cert_setting}: {files.cert} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")
        return []


def _key(files: PairFiles, content: bytes, faults: list[str]) -> PrivateKeyTypes | None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    where = f"{files.key_setting}: {files.key}"
    try:
        return load_pem_private_key(content, password=None)
    except TypeError:
        faults.append(f"{where} is locked with a passphrase; give a key without one, readable by this process alone")
    except (ValueError, UnsupportedAlgorithm):
        faults.append(f"{where} holds no private key in PEM (-----BEGIN PRIVATE KEY-----)")
    return None


def _match(files: PairFiles, chain: list[x509.Certificate], key: PrivateKeyTypes, faults: list[str]) -> None:
    matches = [at for at, certificate in enumerate(chain) if certificate.public_key() == key.public_key()]
    if not matches:
        faults.append(f"{files.key_setting}: {files.key} is not the key of {files.cert}; give the two of one issue")
    elif matches[0] > 0:
        faults.append(
            f"{files.cert_setting}: in {files.cert} the certificate of the key is number {matches[0] + 1}; "
            "put it first, those that vouch for it after it"
        )


def _loaded(files: PairFiles, content: tuple[bytes, bytes]) -> ssl.SSLContext:
    """OpenSSL reads files only: what was checked is given to it as one that exists in memory alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    harden(context)
    with os.fdopen(os.memfd_create("certificate"), "wb", buffering=0) as memory:
        memory.write(content[0] + b"\n" + content[1])
        try:
            context.load_cert_chain(f"/proc/self/fd/{memory.fileno()}")
        except ssl.SSLError as error:
            reason = (error.reason or str(error)).lower().replace("_", " ")
            raise ConfigFault(f"{files.cert_setting}: {files.cert} is not accepted by OpenSSL: {reason}") from error
    return context
