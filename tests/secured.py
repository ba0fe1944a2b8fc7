"""Certificates for tests of HTTPS: another pair, the pair that a server shows, a caller that trusts."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from cryptography import x509

from yurt.bootstrap.authority import Authority, CertificateFiles, issue

DEADLINE_S = 10.0


def trusting(local: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(local.cert))


def another(local: Authority, folder: Path) -> CertificateFiles:
    """A pair with another serial number than any other."""
    return issue(local, folder, "gw", hosts=["127.0.0.1"])


def serial(cert: Path) -> int:
    return x509.load_pem_x509_certificate(cert.read_bytes()).serial_number


def put(new: CertificateFiles, at: CertificateFiles) -> None:
    """By rename, as most that renew certificates do."""
    for source, target in ((new.key, at.key), (new.cert, at.cert)):
        fresh = target.with_suffix(".new")
        shutil.copyfile(source, fresh)
        fresh.replace(target)


async def shown(port: int, local: Authority) -> int:
    """The serial number of the certificate that a new handshake is shown."""
    async with asyncio.timeout(DEADLINE_S):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting(local))
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()
    return x509.load_der_x509_certificate(der).serial_number


@asynccontextmanager
async def caller(local: Authority) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting(local)), timeout=timeout) as session:
        yield session
