"""Who is let in over TLS, what is refused, and certificates that are replaced under open connections."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import shutil
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Self

import aiohttp
import pytest
import uvloop
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from prometheus_client import CollectorRegistry

from jobs.service.admin import Admin, admin_certificate
from jobs.service.certificates import Certificate, PairFiles
from jobs.service.https import HttpsSite
from tests.secured import DEADLINE_S, another, caller, put, serial, shown, trusting
from yurt.bootstrap.authority import Authority, CertificateFiles, authority, issue


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def pair(local: Authority, tmp_path: Path) -> CertificateFiles:
    return issue(local, tmp_path / "tls", "gw", hosts=["127.0.0.1"])


# -- a small server, to look at the TLS alone --------------------------------------------------------------------------


class Small:
    """An application with one answer, behind the same site as the gateway's, on an event loop of its own."""

    def __init__(self, certificate: Certificate, loop: asyncio.AbstractEventLoop, handshake_s: float) -> None:
        self.certificate, self.port = certificate, 0
        self._loop, self._handshake_s = loop, handshake_s
        self._thread = threading.Thread(target=loop.run_forever, name="small server")

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(DEADLINE_S)
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(DEADLINE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_get("/", self._hello)
        app.router.add_get("/ws", self._echo)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = HttpsSite(
            self._runner, "127.0.0.1", 0, certificate=self.certificate, backlog=512, handshake_s=self._handshake_s
        )
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _hello(self, request: web.Request) -> web.Response:
        return web.Response(text=f"hello over {request.scheme}")

    async def _echo(self, request: web.Request) -> web.WebSocketResponse:
        speaking = web.WebSocketResponse()
        await speaking.prepare(request)
        async for message in speaking:
            await speaking.send_str(f"you said {message.data}")
        return speaking


Serve = Callable[..., AbstractAsyncContextManager[Small]]


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def served(request: pytest.FixtureRequest) -> Serve:
    """The gateway runs on uvloop, whose TLS is its own; the standard one is the reference."""

    @asynccontextmanager
    async def make(pair: CertificateFiles, *, handshake_s: float = 10.0) -> AsyncIterator[Small]:
        certificate = Certificate(PairFiles(cert=pair.cert, key=pair.key))
        with Small(certificate, request.param(), handshake_s) as small:
            async with asyncio.timeout(DEADLINE_S):
                yield small

    return make


async def said_in_clear(port: int, data: bytes) -> bytes:
    """All that comes back to bytes that are not TLS, until the other side closes."""
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        try:
            heard = await reader.readuntil(b"http://\n") if data.startswith(b"GET") else await reader.read()
        except ConnectionResetError:
            heard = b""
        writer.close()
    return heard


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_12_and_13_are_spoken_with_http_11_inside(
    local: Authority, pair: CertificateFiles, version: ssl.TLSVersion, served: Serve
) -> None:
    """ALPN agrees on HTTP/1.1, which is what is spoken."""
    context = trusting(local)
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with served(pair) as small:
        reader, writer = await asyncio.open_connection("127.0.0.1", small.port, ssl=context)
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"hello over https")
        writer.close()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_older_tls_is_refused(
    local: Authority,
    pair: CertificateFiles,
    version: ssl.TLSVersion,
    served: Serve,
) -> None:
    """By the server, whatever the client would do."""
    context = trusting(local)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, version
    async with served(pair) as small:
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            await asyncio.open_connection("127.0.0.1", small.port, ssl=context)
        assert await shown(small.port, local) == serial(pair.cert)


async def test_plain_http_is_told_to_speak_https(pair: CertificateFiles, local: Authority, served: Serve) -> None:
    """An answer that every HTTP client can show, at once."""
    async with served(pair) as small:
        heard = await said_in_clear(small.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert heard.startswith(b"HTTP/1.1 400 ") and b"https://" in heard
        async with aiohttp.ClientSession() as session:
            async with session.post(f"http://127.0.0.1:{small.port}/api/v1/execute", json={}) as answer:
                assert (answer.status, await answer.text()) == (
                    400,
                    "This port speaks HTTPS: write https:// in place of http://\n",
                )
        assert await shown(small.port, local) == serial(pair.cert)


@pytest.mark.parametrize(
    "noise", [b"SSH-2.0-x\r\n", b"\x00" * 600, b"\x16\x03\x02", b"\x16\x03\x01\x00\x05hello", b"DELETE / HTTP/1.1\r\n"]
)
async def test_noise_is_cut_off(pair: CertificateFiles, local: Authority, noise: bytes, served: Serve) -> None:
    """What is neither TLS nor HTTP ends its own connection and nothing else."""
    async with served(pair, handshake_s=0.3) as small:
        assert b"HTTP" not in await said_in_clear(small.port, noise)
        assert await shown(small.port, local) == serial(pair.cert)


async def test_half_open_handshakes_are_cut_off_and_stop_nobody(
    pair: CertificateFiles,
    local: Authority,
    served: Serve,
) -> None:
    """Two hundred that say nothing, or half a hello: others are served meanwhile; then the deadline ends them."""
    async with served(pair, handshake_s=0.5) as small:
        silent = [await asyncio.open_connection("127.0.0.1", small.port) for _ in range(200)]
        for _, writer in silent[::2]:
            writer.write(b"\x16\x03\x01\x02\x00\x01")
        assert await shown(small.port, local) == serial(pair.cert)
        for reader, writer in silent:
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
        assert await shown(small.port, local) == serial(pair.cert)


async def test_a_certificate_is_replaced_under_open_connections(
    pair: CertificateFiles, local: Authority, tmp_path: Path, served: Serve
) -> None:
    """New handshakes see the new one; a WebSocket and a kept-alive connection go on as if nothing had been."""
    async with served(pair) as small, caller(local) as session:
        url = f"https://127.0.0.1:{small.port}"
        reader, writer = await asyncio.open_connection("127.0.0.1", small.port, ssl=trusting(local))
        before = serial(pair.cert)

        async def ask_again() -> bytes:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return await reader.readuntil(b"hello over https")

        await ask_again()
        async with session.ws_connect(f"{url}/ws") as speaking:
            for _ in range(3):
                put(another(local, tmp_path / "next"), pair)
                small.certificate.look()
                await speaking.send_str("still here")
                assert await speaking.receive_str() == "you said still here"
                assert (await ask_again()).startswith(b"HTTP/1.1 200")
                assert await shown(small.port, local) == serial(pair.cert) != before
                before = serial(pair.cert)
                shutil.rmtree(tmp_path / "next")
        writer.close()


async def test_a_change_from_rsa_to_ecdsa_leaves_nothing_of_the_old(
    pair: CertificateFiles, local: Authority, tmp_path: Path, served: Serve
) -> None:
    """OpenSSL would keep one certificate a kind of key, and show the old one to clients that prefer it."""
    new = tmp_path / "kept"
    shutil.copytree(pair.cert.parent, new)
    write_rsa(pair, local)
    context = trusting(local)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    async with served(pair) as small:
        assert await shown(small.port, local) == serial(pair.cert)
        _, writer = await asyncio.open_connection("127.0.0.1", small.port, ssl=context)
        writer.close()
        put(CertificateFiles(cert=new / "gw.pem", key=new / "gw-key.pem", ca=local.cert), pair)
        small.certificate.look()
        assert await shown(small.port, local) == serial(new / "gw.pem")
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await asyncio.open_connection("127.0.0.1", small.port, ssl=context)


def write_rsa(at: CertificateFiles, local: Authority) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "rsa")])
    old = x509.load_pem_x509_certificate(at.cert.read_bytes())
    certificate = (
        x509.CertificateBuilder(subject_name=name, issuer_name=local.certificate.subject, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value, critical=False)
        .sign(local.private_key, hashes.SHA256())
    )
    at.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    at.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )


async def test_resumed_sessions_outlive_a_change(
    pair: CertificateFiles,
    local: Authority,
    tmp_path: Path,
    served: Serve,
) -> None:
    """A ticket of before is taken or not; either way the client is served."""
    context = trusting(local)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # its tickets come within the handshake

    def visit(port: int, session: ssl.SSLSession | None) -> ssl.SSLSession | None:
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as plain:
            with context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as secured:
                secured.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert secured.recv(1 << 16).startswith(b"HTTP/1.1 200")
                return secured.session

    async with served(pair) as small:
        session = await asyncio.to_thread(visit, small.port, None)
        put(another(local, tmp_path / "next"), pair)
        small.certificate.look()
        await asyncio.to_thread(visit, small.port, session)


# -- the admin port ----------------------------------------------------------------------------------------------------


async def test_the_admin_port_speaks_https_where_it_is_told_to(
    pair: CertificateFiles, local: Authority, tmp_path: Path
) -> None:
    """On loopback, with the end of its certificate among its metrics, and followed as its files change."""
    certificate = admin_certificate(pair.cert, pair.key)
    assert certificate is not None
    admin = Admin(CollectorRegistry(), lambda: True, certificate=certificate)
    port = await admin.start(0)
    try:
        async with caller(local) as session, session.get(f"https://127.0.0.1:{port}/healthz") as answer:
            assert (answer.status, await answer.json()) == (200, {"healthy": True})
            async with session.get(f"https://127.0.0.1:{port}/metrics") as metrics:
                assert "yurt_admin_certificate_seconds 3.1" in await metrics.text()
        put(another(local, tmp_path / "next"), pair)
        certificate.look()
        assert await shown(port, local) == serial(pair.cert)
    finally:
        await admin.close()


async def test_the_admin_port_speaks_plain_http_else() -> None:
    """It does not leave the machine."""
    assert admin_certificate(None, None) is None
    admin = Admin(CollectorRegistry(), lambda: False)
    port = await admin.start(0)
    try:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
                assert (answer.status, await answer.json()) == (503, {"healthy": False})
    finally:
        await admin.close()
