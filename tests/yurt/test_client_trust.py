"""Whom the client and the command believe to be the network, and what they say of those they do not."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import os
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

import yurt
from jobs.errors import ConfigFault
from jobs.service.certificates import Certificate, PairFiles
from jobs.service.https import HttpsSite
from yurt.answers import Complete, Event
from yurt.bootstrap.authority import Authority, CertificateFiles, authority, issue
from yurt.commands import address, arguments, exits
from yurt.stack.folder import Folder, Place, State, started_at

DEADLINE_S = 10.0
YEAR = datetime.timedelta(days=365)

Serve = Callable[[CertificateFiles | None], Awaitable[str]]


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("YURT_URL", "YURT_TOKEN", "YURT_CA_FILE", "YURT_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def local(tmp_path: Path) -> Authority:
    return authority(tmp_path / "authority")


@pytest.fixture
def pair(local: Authority, tmp_path: Path) -> CertificateFiles:
    return issue(local, tmp_path / "tls", "gw", hosts=["127.0.0.1"])


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """A network's front with one language and one execution, over TLS where there is a pair; its URL."""
    servers = []

    async def languages(request: web.Request) -> web.Response:
        return web.json_response([{"language": "python"}])

    async def follow(request: web.Request) -> web.WebSocketResponse:
        telling = web.WebSocketResponse()
        await telling.prepare(request)
        await telling.send_json({"type": "complete", "result": {"execution_id": "e1", "stdout": "", "stderr": ""}})
        await telling.close()
        return telling

    async def start(pair: CertificateFiles | None) -> str:
        app = web.Application()
        app.router.add_get("/api/v1/languages", languages)
        app.router.add_get("/ws/execution/{id}", follow)
        context = None
        if pair is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pair.cert, pair.key)
        server = TestServer(app, scheme="https" if pair else "http")
        await server.start_server(ssl=context)
        servers.append(server)
        return str(server.make_url("")).rstrip("/")

    yield start
    for server in servers:
        await server.close()


async def followed(client: yurt.Client) -> list[Event]:
    return [event async for event in client.stream("e1")]


async def test_an_authority_that_is_named_is_trusted(serve: Serve, pair: CertificateFiles, local: Authority) -> None:
    """By the argument, for calls and for streams."""
    async with yurt.Client(await serve(pair), ca_file=local.cert) as client, asyncio.timeout(DEADLINE_S):
        assert await client.languages() == [{"language": "python"}]
        assert isinstance((await followed(client))[-1], Complete)


async def test_the_environment_may_name_it(
    serve: Serve, pair: CertificateFiles, local: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``YURT_CA_FILE``, also for the client without async."""
    url = await serve(pair)
    monkeypatch.setenv("YURT_CA_FILE", str(local.cert))
    with await asyncio.to_thread(yurt.SyncClient, url) as client:
        assert await asyncio.to_thread(client.languages) == [{"language": "python"}]


@pytest.mark.parametrize("call", [yurt.Client.languages, followed])
async def test_an_unknown_authority_is_one_line_with_the_cure_at_once(
    serve: Serve, pair: CertificateFiles, call: Callable[[yurt.Client], Awaitable[Any]]
) -> None:
    """However much patience there is: trying again would not help."""
    async with yurt.Client(await serve(pair), patience_s=600) as client, asyncio.timeout(DEADLINE_S):
        with pytest.raises(yurt.Untrusted, match=r"an authority that is not trusted here; .*--ca-file.*YURT_CA_FILE"):
            await call(client)


async def wrong_host(local: Authority, folder: Path) -> CertificateFiles:
    return issue(local, folder, "gw", hosts=["gw.example.org"])


async def ended(local: Authority, folder: Path) -> CertificateFiles:
    past = datetime.datetime.now(datetime.UTC) - YEAR / 2
    return issue(authority(folder / "old", now=past), folder, "gw", hosts=["127.0.0.1"], days=30, now=past)


async def to_come(local: Authority, folder: Path) -> CertificateFiles:
    future = datetime.datetime.now(datetime.UTC) + YEAR
    return issue(local, folder, "gw", hosts=["127.0.0.1"], now=future)


@pytest.mark.parametrize(
    ("made", "says"),
    [(wrong_host, "is for other hosts"), (ended, "has ended; whoever runs it"), (to_come, "is not valid yet")],
)
async def test_what_is_wrong_with_a_certificate_is_said(
    serve: Serve,
    local: Authority,
    tmp_path: Path,
    made: Callable[[Authority, Path], Awaitable[CertificateFiles]],
    says: str,
) -> None:
    """Each with its own cure."""
    files = await made(local, tmp_path / "made")
    async with yurt.Client(await serve(files), ca_file=files.ca) as client, asyncio.timeout(DEADLINE_S):
        with pytest.raises(yurt.Untrusted, match=says):
            await client.languages()


async def test_https_to_a_port_that_speaks_http_is_said(serve: Serve) -> None:
    """The URL is to be mended, not the network."""
    url = (await serve(None)).replace("http:", "https:")
    async with yurt.Client(url) as client, asyncio.timeout(DEADLINE_S):
        with pytest.raises(yurt.Untrusted, match="does not speak HTTPS; write http://"):
            await client.languages()


async def test_http_to_a_port_that_speaks_https_is_said(pair: CertificateFiles) -> None:
    """In the words of the port itself."""
    runner = web.AppRunner(web.Application(), access_log=None)
    await runner.setup()
    certificate = Certificate(PairFiles(cert=pair.cert, key=pair.key))
    await HttpsSite(runner, "127.0.0.1", 0, certificate=certificate).start()
    try:
        async with yurt.Client(f"http://127.0.0.1:{runner.addresses[0][1]}") as client, asyncio.timeout(DEADLINE_S):
            with pytest.raises(yurt.Problem, match="This port speaks HTTPS: write https:// in place of http://"):
                await client.languages()
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("content", "says"), [(None, "cannot be read: No such file"), ("hello", "holds no certificate in PEM")]
)
def test_a_file_that_is_no_authority_is_said(tmp_path: Path, content: str | None, says: str) -> None:
    """When the client is made, and nothing is left behind."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    for kind in (yurt.Client, yurt.SyncClient):
        with pytest.raises(ConfigFault, match=rf"ca_file: .*ca\.pem {says}"):
            kind("https://127.0.0.1:1", ca_file=file)


# -- the command -------------------------------------------------------------------------------------------------------


def options(*words: str) -> argparse.Namespace:
    return arguments.parse(["languages", *words])


def networks_folder(path: Path, url: str) -> Path:
    """A data folder, as ``yurt up --tls`` keeps it, whose network is this process; its authority's certificate."""
    made = authority(path / "authority").cert
    place = Place(region="local", url=url, nats="nats://127.0.0.1:1", ready=True)
    Folder(path).write(State(pid=os.getpid(), started=started_at(os.getpid()) or 0, places=(place,)))
    return made


def chosen(*words: str) -> tuple[str, Path | None]:
    given = options(*words)
    url = address.url_of(given)
    return url, address.ca_of(given, url)


def test_the_authority_of_the_data_folder_vouches_for_its_own_network(tmp_path: Path) -> None:
    """Without a word said; also by the address of another name of this machine."""
    ca = networks_folder(tmp_path / ".yurt", "https://127.0.0.1:8443")
    assert chosen() == ("https://127.0.0.1:8443", ca)
    assert chosen("--url", "https://127.0.0.1:8443/")[1] == ca
    assert chosen("--url", "https://localhost:8443")[1] == ca


def test_the_authority_of_the_data_folder_vouches_for_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that came with somebody's files must not stand between a person and the rest of the world."""
    networks_folder(tmp_path / ".yurt", "https://127.0.0.1:8443")
    assert chosen("--url", "https://yurt.example.org")[1] is None
    assert chosen("--url", "http://127.0.0.1:8443")[1] is None
    monkeypatch.setenv("YURT_URL", "https://yurt.example.org")
    assert chosen()[1] is None


def test_what_is_named_goes_before_what_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--ca-file before everything; YURT_CA_FILE for what is not the folder's own."""
    ca = networks_folder(tmp_path / ".yurt", "https://127.0.0.1:8443")
    assert chosen("--ca-file", "/other.pem")[1] == Path("/other.pem")
    monkeypatch.setenv("YURT_CA_FILE", "/other.pem")
    assert chosen()[1] == ca
    assert chosen("--url", "https://localhost:9443")[1] is None  # the client takes YURT_CA_FILE


async def test_a_command_speaks_to_a_network_over_https(
    serve: Serve, tmp_path: Path, local: Authority, pair: CertificateFiles
) -> None:
    """End to end, as it is typed: trusted with the file, one line and exit code 1 without."""
    url = await serve(pair)

    async def typed(*words: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "yurt",
            "languages",
            "--json",
            "--url",
            url,
            *words,
            stdout=-1,
            stderr=-1,
            cwd=tmp_path,
        )
        async with asyncio.timeout(DEADLINE_S):
            out, err = await process.communicate()
        return process.returncode, (out + err).decode()

    code, said = await typed("--ca-file", str(local.cert))
    assert code == exits.OK and "python" in said
    code, said = await typed("--data", str(tmp_path))  # the folder's own: this machine
    assert code == exits.OK and "python" in said
    code, said = await typed()
    assert code == exits.FAULT and said.count("\n") == 1 and "not trusted here" in said
