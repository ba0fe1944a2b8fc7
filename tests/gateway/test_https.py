"""The gateway over HTTPS: wss, certificates that change under it, and where plain HTTP is let be."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import Settings, check_exposure
from jobs.errors import ConfigFault
from jobs.region import embedded
from jobs.service.bus import Bus
from jobs.streams import plan
from tests.conftest import NatsServer, free_port, make_streams
from tests.gateway.conftest import DEADLINE_S, Door, comes_true, is_ready, open_door
from tests.gateway.scripted import ScriptedRunner, Told
from tests.secured import another, caller, put, serial, shown
from yurt.bootstrap.authority import Authority, CertificateFiles, authority, issue


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def pair(local: Authority, tmp_path: Path) -> CertificateFiles:
    return issue(local, tmp_path / "tls", "gw", hosts=["127.0.0.1"])


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
    await make_streams(bus, plan(embedded(region_name)))
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
    await make_streams(bus, plan(embedded(region_name)))
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
