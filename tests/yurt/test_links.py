"""A link is as long as asked, both ways, for those who come from afar; and it loses, reorders and hoards nothing."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from jobs.errors import ConfigFault
from yurt.stack import link, ports
from yurt.stack.link import Link

RTT_S = 0.06
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Beyond:
    """A server at the far end of a link, and the port by which it is reached through it."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(ports.ADDRESS, self.port)


@pytest.fixture
async def beyond() -> AsyncIterator[Callable[..., Awaitable[Beyond]]]:
    ends: list[Callable[[], Awaitable[None]]] = []
    serving: set[asyncio.Task[None]] = set()

    async def made(serve: Serve, *, rtt_s: float = RTT_S) -> Beyond:
        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                await serve(reader, writer)
            writer.transport.abort()

        def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving.add(asyncio.ensure_future(served(reader, writer)))

        server = await asyncio.start_server(on_connection, ports.ADDRESS, 0)
        port = ports.any_free()
        between = Link({port: server.sockets[0].getsockname()[1]}, lambda caller, listen: rtt_s / 2)
        await between.start()

        async def end() -> None:
            await between.close()
            server.close()

        ends.append(end)
        return Beyond(port)

    yield made
    for end in ends:
        await end()
    await asyncio.wait_for(asyncio.gather(*serving), 10)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def test_a_round_trip_takes_as_long_as_asked_and_not_far_longer(beyond: Callable[..., Awaitable[Beyond]]) -> None:
    reader, writer = await (await beyond(echo)).connect()
    took = []
    for _ in range(5):
        began = time.monotonic()
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        took.append(time.monotonic() - began)
    writer.close()
    assert min(took) >= RTT_S - 0.002
    assert min(took) < RTT_S + 0.03


async def test_what_passes_is_whole_in_order_and_not_throttled(beyond: Callable[..., Awaitable[Beyond]]) -> None:
    """Sixteen megabytes there and back take hardly longer than one byte would."""
    reader, writer = await (await beyond(echo)).connect()
    data = os.urandom(1 << 20) * 16

    async def send() -> None:
        writer.write(data)
        await writer.drain()
        writer.write_eof()

    sending = asyncio.create_task(send())
    came = await asyncio.wait_for(reader.read(), 20)
    await sending
    writer.close()
    assert came == data


async def test_the_end_of_one_direction_leaves_the_other_open(beyond: Callable[..., Awaitable[Beyond]]) -> None:
    async def answers_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"heard " + await reader.read())
        writer.close()
        await writer.wait_closed()

    reader, writer = await (await beyond(answers_at_the_end)).connect()
    writer.write(b"all of it")
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(), 10) == b"heard all of it"
    writer.close()


async def test_who_goes_away_is_gone_at_the_other_end(beyond: Callable[..., Awaitable[Beyond]]) -> None:
    gone = asyncio.Event()

    async def watches(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(100):
                pass
        gone.set()

    _, writer = await (await beyond(watches)).connect()
    writer.write(b"hello")
    await writer.drain()
    writer.transport.abort()
    await asyncio.wait_for(gone.wait(), 10)


async def test_a_reader_that_stops_stops_the_writer_and_the_link_holds_no_more_than_its_bound(
    beyond: Callable[..., Awaitable[Beyond]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "HELD_BYTES", 1 << 20)
    go_on = asyncio.Event()
    got: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def reads_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        got.set_result(len(await reader.read()))

    _, writer = await (await beyond(reads_late, rtt_s=0.002)).connect()
    sent = 0
    while sent < 64 << 20:  # until nothing more is taken
        writer.write(bytes(1 << 18))
        sent += 1 << 18
        try:
            await asyncio.wait_for(writer.drain(), 0.3)
        except TimeoutError:
            break
    assert sent < 48 << 20
    go_on.set()
    await writer.drain()
    writer.close()
    assert await asyncio.wait_for(got, 10) == sent


async def test_where_nobody_listens_the_caller_is_sent_away() -> None:
    port = ports.any_free()
    between = Link({port: ports.any_free()}, lambda caller, listen: 0.0)
    await between.start()
    reader, writer = await asyncio.open_connection(ports.ADDRESS, port)
    with pytest.raises(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 10) == b""
        raise ConnectionResetError  # an orderly end is as good
    writer.close()
    await between.close()


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as busy:
        busy.bind((ports.ADDRESS, 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(ConfigFault, match=f"port {port} cannot be listened on"):
            await Link({port: 1}, lambda caller, listen: 0.0).start()


def test_how_far_away_a_caller_is_is_told_by_the_process_at_its_end(tmp_path: Path) -> None:
    """Also where it uses an address that it heard from somebody else."""
    with socket.socket() as listener:
        listener.bind((ports.ADDRESS, 0))
        listener.listen()
        port = listener.getsockname()[1]
        file = tmp_path / "us-east.conf"
        program = (
            f"import socket; caller = socket.create_connection(({ports.ADDRESS!r}, {port}))\n"
            "print(caller.getsockname()[1], flush=True); caller.recv(1)"
        )
        delay = functools.partial(link.delay_of, {"/other.conf": 9.0, str(file): 0.08})
        with subprocess.Popen([sys.executable, "-c", program, str(file)], stdout=subprocess.PIPE) as caller:
            assert caller.stdout is not None
            assert delay(int(caller.stdout.readline()), port) == 0.04
            caller.kill()
        with socket.create_connection((ports.ADDRESS, port)) as stranger:
            assert delay(stranger.getsockname()[1], port) == 0.0
