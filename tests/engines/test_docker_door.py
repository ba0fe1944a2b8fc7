"""The daemon's traps: each call ends, connections have no bound, and nothing is asked twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jobs.errors import ConfigFault, SandboxFault
from runner.engines.docker import door
from runner.engines.docker.door import Daemon
from tests.waiting import eventually

Answer = Callable[[str], tuple[int, bytes] | None]


@asynccontextmanager
async def scripted(folder: Path, answer: Answer) -> AsyncIterator[Daemon]:
    """A daemon that gives *answer*'s status and body to each ``METHOD path``; None: it never answers."""

    serving: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        while line := await reader.readline():
            method, path, _ = line.decode().split()
            length = 0
            while (line := await reader.readline()).strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            await reader.readexactly(length)
            answered = (200, b'{"ApiVersion": "1.41"}') if path.endswith("/version") else answer(f"{method} {path}")
            if answered is None:
                break
            status, body = answered
            more = (
                b"Connection: Upgrade\r\nUpgrade: tcp\r\n" if status == 101 else b"Content-Length: %d\r\n" % len(body)
            )
            writer.write(b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%s\r\n%s" % (status, more, body))
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(serve, folder / "docker.sock")
    async with server:
        async with door.connected(f"unix://{folder}/docker.sock") as daemon:
            yield daemon
        await asyncio.gather(*filter(None, serving), return_exceptions=True)


async def test_a_daemon_that_never_answers_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's calls have no deadline of their own."""
    monkeypatch.setattr(door, "CALL_S", 0.05)
    async with scripted(tmp_path, lambda _: None) as daemon:
        with pytest.raises(ConfigFault, match="no Docker daemon answers"):
            await daemon.runtimes()
        with pytest.raises(SandboxFault, match=r"could not create a container in 0 s"):
            await daemon.start({"Image": "x"})
        with pytest.raises(SandboxFault, match="could not list containers"):
            await daemon.labelled("x")


async def test_there_may_be_any_number_of_connections(tmp_path: Path) -> None:
    """A hundred containers that wait hold a hundred; the library's own bound would let the next call wait for ever."""
    asked: list[str] = []
    async with scripted(tmp_path, asked.append) as daemon:  # type: ignore[arg-type]  # it gives None
        calls = [asyncio.create_task(daemon.labelled("x")) for _ in range(150)]
        await eventually(lambda: len(asked) == 150)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_a_container_is_attached_before_it_is_started_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    """The requests for one that cannot be started, as the daemon sees them; what was created is deleted."""
    said: list[str] = []

    def answer(asked: str) -> tuple[int, bytes]:
        method, _, path = asked.partition(" ")
        said.append(f"{method} {path.partition('/containers/')[2].partition('?')[0]}")
        if path.endswith("/create"):
            return 201, b'{"Id": "c1"}'
        return (101, b"") if "/attach" in path else (500, b'{"message": "no"}')

    async with scripted(tmp_path, answer) as daemon:
        with pytest.raises(SandboxFault, match=r"could not start a container: .*no"):
            await daemon.start({"Image": "x"})
    assert said == ["POST create", "POST c1/attach", "POST c1/start", "DELETE c1"]


def test_only_a_socket_of_this_machine_will_do() -> None:
    with pytest.raises(ConfigFault, match="is no unix socket"):
        Daemon("tcp://127.0.0.1:2375")
