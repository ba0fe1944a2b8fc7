"""HTTPS at the gateway: who is let in, what is refused, and certificates that are replaced under open connections."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
import uvloop
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from prometheus_client import CollectorRegistry

from gateway.settings import Settings, check_exposure
from jobs.errors import ConfigFault
from jobs.region import embedded
from jobs.service.admin import Admin, admin_certificate
from jobs.service.bus import Bus
from jobs.service.certificates import Certificate, PairFiles, chosen
from jobs.service.https import HttpsSite
from jobs.streams import plan
from tests.conftest import NatsServer, free_port
from tests.gateway.conftest import DEADLINE_S, Door, comes_true, is_ready, open_door
from tests.gateway.scripted import ScriptedRunner, Told
from yurt.bootstrap.authority import Authority, CertificateFiles, authority, issue


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def pair(local: Authority, tmp_path: Path) -> CertificateFiles:
    return issue(local, tmp_path / "tls", "gw", hosts=["127.0.0.1"])


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


@asynccontextmanager
async def caller(local: Authority) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting(local)), timeout=timeout) as session:
        yield session


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


# -- the files ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was logged since the last call."""
    caplog.set_level(logging.INFO, logger="certificates")

    def taken() -> list[str]:
        said = [record.getMessage() for record in caplog.records if record.name == "certificates"]
        caplog.clear()
        return said

    return taken


def test_a_symlink_that_turns_is_a_change(local: Authority, tmp_path: Path) -> None:
    """As a mounted secret is renewed: the files are links through ``..data``, which is turned by one rename."""
    old, new = another(local, tmp_path / "..1"), another(local, tmp_path / "..2")
    (tmp_path / "..data").symlink_to("..1")
    for file in ("gw.pem", "gw-key.pem"):
        (tmp_path / file).symlink_to(f"..data/{file}")
    certificate = Certificate(PairFiles(cert=tmp_path / "gw.pem", key=tmp_path / "gw-key.pem"))
    ends_at = certificate.ends_at
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    serve_long(local, new)
    certificate.look()
    assert certificate.ends_at > ends_at
    assert serial(old.cert) != serial(new.cert)


def serve_long(local: Authority, files: CertificateFiles) -> None:
    """The same names, with another end, so that it can be told apart."""
    files.cert.unlink()
    issue(local, files.cert.parent, "gw", hosts=["127.0.0.1"], days=397)


BROKEN: dict[str, Callable[[CertificateFiles, CertificateFiles], object]] = {
    "the key is of another": lambda at, other: at.key.write_bytes(other.key.read_bytes()),
    "the certificate is of another": lambda at, other: at.cert.write_bytes(other.cert.read_bytes()),
    "the certificate is gone": lambda at, other: at.cert.unlink(),
    "the key is gone": lambda at, other: at.key.unlink(),
    "the certificate is empty": lambda at, other: at.cert.write_bytes(b""),
    "the key is cut short": lambda at, other: at.key.write_bytes(at.key.read_bytes()[:80]),
}


@pytest.mark.parametrize("how", BROKEN)
async def test_a_broken_replacement_keeps_the_old_one_and_is_told_once(
    pair: CertificateFiles, local: Authority, tmp_path: Path, how: str, lines: Callable[[], list[str]], served: Serve
) -> None:
    """One line however often it is looked at; the mended pair is taken."""
    async with served(pair) as small:
        before = serial(pair.cert)
        BROKEN[how](pair, another(local, tmp_path / "other"))
        small.certificate.look()
        assert lines() == []  # between the one file and the other nothing is wrong yet
        for _ in range(5):
            small.certificate.look()
        (said,) = lines()
        assert said.startswith("action=certificate_kept") and str(tmp_path) in said
        assert await shown(small.port, local) == before
        put(another(local, tmp_path / "mended"), pair)
        small.certificate.look()
        assert [line.split()[0] for line in lines()] == ["action=certificate_changed"]
        assert await shown(small.port, local) == serial(pair.cert) != before


def test_an_end_that_is_near_is_told_once_a_day(
    local: Authority, tmp_path: Path, lines: Callable[[], list[str]]
) -> None:
    """From fourteen days before it; after it, it is still served, and said."""
    files = issue(local, tmp_path, "gw", hosts=["127.0.0.1"], days=30)
    began = datetime.datetime.now(datetime.UTC).timestamp()
    day = began
    certificate = Certificate(PairFiles(cert=files.cert, key=files.key), now=lambda: day)
    told = []
    for number in range(1, 33):
        day = began + number * 86_400
        for _ in range(3):
            certificate.look()
        told.append(lines())
    assert told[:15] == [[]] * 15
    assert all(len(said) == 1 for said in told[16:])
    assert "ends in 1.0 days" in told[28][0] and "has ended" in told[31][0]
    assert certificate.left_s < 0


def lone(path: Path, what: str) -> Path:
    path.write_text(what)
    return path


def locked(files: CertificateFiles) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )


def upside_down(files: CertificateFiles) -> None:
    files.cert.write_bytes(files.ca.read_bytes() + files.cert.read_bytes())


def swapped(files: CertificateFiles) -> None:
    cert = files.cert.read_bytes()
    files.cert.write_bytes(files.key.read_bytes())
    files.key.write_bytes(cert)


def piped(files: CertificateFiles) -> None:
    files.key.unlink()
    os.mkfifo(files.key)


WRONG: dict[str, tuple[Callable[[CertificateFiles], object], list[str]]] = {
    "missing": (
        lambda files: (files.cert.unlink(), files.key.unlink()),
        ["tls_cert_file: .*gw.pem cannot be read: No such file", "tls_key_file: .*gw-key.pem cannot be read"],
    ),
    "a folder": (lambda files: (files.cert.unlink(), files.cert.mkdir()), ["tls_cert_file: .*Is a directory"]),
    "a pipe": (piped, ["tls_key_file: .*it is no file"]),
    "not PEM": (lambda files: lone(files.cert, "hello"), ["tls_cert_file: .*holds no certificate in PEM"]),
    "neither is": (
        lambda files: (lone(files.cert, ""), lone(files.key, "")),
        ["holds no certificate", "tls_key_file: .*holds no private key in PEM"],
    ),
    "swapped": (swapped, ["holds no certificate", "holds no private key"]),
    "locked": (locked, ["tls_key_file: .*locked with a passphrase"]),
    "in the wrong order": (upside_down, ["the certificate of the key is number 2; put it first"]),
}


@pytest.mark.parametrize("how", WRONG)
def test_files_that_will_not_do_are_named_with_what_is_wrong(pair: CertificateFiles, how: str) -> None:
    """All faults in one line."""
    spoil, says = WRONG[how]
    spoil(pair)
    with pytest.raises(ConfigFault) as fault:
        Certificate(PairFiles(cert=pair.cert, key=pair.key))
    assert "\n" not in str(fault.value)
    for words in says:
        assert re.search(words, str(fault.value)), str(fault.value)


def test_the_key_of_another_certificate_is_said(pair: CertificateFiles, local: Authority, tmp_path: Path) -> None:
    """Naming both files."""
    other = another(local, tmp_path / "other")
    with pytest.raises(ConfigFault, match=r"other/gw-key.pem is not the key of .*tls/gw.pem"):
        Certificate(PairFiles(cert=pair.cert, key=other.key))


def test_a_certificate_out_of_its_time_is_refused_at_the_start(pair: CertificateFiles) -> None:
    """After its end, and before its beginning."""
    files, now = PairFiles(cert=pair.cert, key=pair.key), datetime.datetime.now(datetime.UTC).timestamp()
    with pytest.raises(ConfigFault, match=r"tls_cert_file: .*gw.pem ended on 20\d\d-.*renewed"):
        Certificate(files, now=lambda: now + 366 * 86_400)
    with pytest.raises(ConfigFault, match=r"begins only on .*clock"):
        Certificate(files, now=lambda: now - 86_400)


def test_an_openssl_key_with_its_parameters_is_read(pair: CertificateFiles, local: Authority, tmp_path: Path) -> None:
    """``openssl ecparam -genkey`` writes the curve before the key."""
    made = subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey"], capture_output=True, check=True)
    parameters = made.stdout[: made.stdout.index(b"-----BEGIN EC PRIVATE")]
    old = subprocess.run(["openssl", "ec", "-in", pair.key], capture_output=True, check=True).stdout
    pair.key.write_bytes(parameters + old)
    Certificate(PairFiles(cert=pair.cert, key=pair.key))


def test_the_two_settings_come_together(tmp_path: Path) -> None:
    """Both, or neither; the missing one is named."""
    assert chosen(None, None) is None
    with pytest.raises(ConfigFault, match="tls_cert_file is set and tls_key_file is not"):
        chosen(tmp_path, None)
    with pytest.raises(ConfigFault, match="admin_tls_key_file is set and admin_tls_cert_file is not"):
        chosen(None, tmp_path, prefix="admin_tls")


def test_plain_http_stays_on_loopback_unless_told_otherwise() -> None:
    """The cure names both ways out."""
    for host in ("127.0.0.1", "::1", "localhost"):
        check_exposure(Settings(host=host), tls=False)
    for host in ("0.0.0.0", "::", "gw.example.org"):
        with pytest.raises(ConfigFault, match="tls_cert_file and tls_key_file, or set allow_plain_http"):
            check_exposure(Settings(host=host), tls=False)
        check_exposure(Settings(host=host), tls=True)
        check_exposure(Settings(host=host, allow_plain_http=True), tls=False)


# -- the whole gateway -------------------------------------------------------------------------------------------------


@pytest.fixture
async def secure_door(
    nats_server: NatsServer, bus: Bus, region_name: str, pair: CertificateFiles, local: Authority
) -> AsyncIterator[Door]:
    await bus.ensure(plan(embedded(region_name)))
    changes: dict[str, Any] = {"tls_cert_file": pair.cert, "tls_key_file": pair.key}
    async with open_door(nats_server.url, region_name, **changes) as door, caller(local) as session:
        plain, door.client = door.client, session
        yield door
        door.client = plain


async def test_an_execution_is_followed_over_wss_while_the_certificate_changes(
    secure_door: Door, bus: Bus, pair: CertificateFiles, local: Authority, tmp_path: Path
) -> None:
    """``websocket_url`` says wss; output comes before and after the change, through one connection."""
    go_on = asyncio.Event()

    async def slow(told: Told) -> None:
        await told.running()
        await told.prints(b"before\n")
        await go_on.wait()
        await told.prints(b"after\n")
        await told.ends()

    runner = ScriptedRunner(bus, secure_door.region, tells=slow)
    await runner.start()
    try:
        await comes_true(lambda: is_ready(secure_door))
        status, answer = await secure_door.submit()
        assert status == 202 and answer["websocket_url"].startswith("wss://127.0.0.1:")
        heard = []
        async with asyncio.timeout(DEADLINE_S):
            async with secure_door.client.ws_connect(answer["websocket_url"]) as socket:
                async for message in socket:
                    event = message.json()
                    heard.append(event["type"])
                    if event["type"] == "output" and not go_on.is_set():
                        put(another(local, tmp_path / "next"), pair)
                        await comes_true(lambda: changed(secure_door, local, pair))
                        go_on.set()
        assert heard.count("output") == 2 and heard[-1] == "complete"
        async with secure_door.client.get(f"{secure_door.url}/metrics") as metrics:
            (line,) = [
                line
                for line in (await metrics.text()).splitlines()
                if line.startswith("yurt_gateway_certificate_seconds ")
            ]
        assert 364 * 86_400 < float(line.split()[1]) <= 365 * 86_400
    finally:
        await runner.stop()


async def changed(door: Door, local: Authority, pair: CertificateFiles) -> bool:
    return await shown(int(door.url.rpartition(":")[2]), local) == serial(pair.cert)


async def test_a_gateway_process_reads_its_files_again_at_sighup(
    nats_server: NatsServer, bus: Bus, region_name: str, pair: CertificateFiles, local: Authority, tmp_path: Path
) -> None:
    """The process as it is started for real, on uvloop, told by its environment: it lives, and shows the new one."""
    await bus.ensure(plan(embedded(region_name)))
    port = free_port()
    environ = {
        "YURT_NATS_URLS": nats_server.url,
        "YURT_REGION": region_name,
        "YURT_PORT": str(port),
        "YURT_TLS_CERT_FILE": str(pair.cert),
        "YURT_TLS_KEY_FILE": str(pair.key),
    }
    words = (sys.executable, "-m", "yurt", "gateway")
    process = await asyncio.create_subprocess_exec(
        *words, env={**os.environ, **environ}, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(DEADLINE_S):
            await until(process.stderr, f"action=gateway_ready url=https://127.0.0.1:{port}")
            put(another(local, tmp_path / "next"), pair)
            process.send_signal(signal.SIGHUP)
            await until(process.stderr, "action=certificate_changed")
            assert await shown(port, local) == serial(pair.cert)
            process.terminate()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until(lines: asyncio.StreamReader, words: str) -> None:
    """Returns once a line has the words in it."""
    async for line in lines:
        if words in line.decode():
            return
    raise AssertionError(f"it ended without having said {words!r}")


async def test_a_gateway_with_wrong_files_does_not_start(tmp_path: Path) -> None:
    """One line before anything is connected to, and exit code 1."""
    words = (sys.executable, "-m", "yurt", "gateway", "--tls-cert-file", str(tmp_path / "none.pem"))
    for more, says in (
        ((), "tls_cert_file is set and tls_key_file is not"),
        (("--tls-key-file", str(tmp_path / "none-key.pem")), "none.pem cannot be read: No such file or directory; "),
    ):
        process = await asyncio.create_subprocess_exec(*words, *more, stderr=asyncio.subprocess.PIPE)
        async with asyncio.timeout(DEADLINE_S):
            _, said = await process.communicate()
        assert process.returncode == 1 and says in said.decode() and said.count(b"\n") == 1


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
