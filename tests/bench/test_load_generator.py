"""The load generator, against a server that answers in the ways that matter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bench.caller import Line, WrongAnswer, check
from bench.programs import HELLOS, Program


@asynccontextmanager
async def answering(*pieces: bytes) -> AsyncIterator[str]:
    """The address of a server that answers each request with *pieces*, one write each, then closes its end."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


async def call(url: str) -> tuple[int, bytes]:
    line = await Line.open(url)
    try:
        return await line.call("GET", "/")
    finally:
        line.close()


async def test_an_answer_in_pieces_is_one_answer() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-"
    async with answering(head, b"LENGTH: 11\r\nServer: x\r\n\r\nhello", b" world") as url:
        assert await call(url) == (200, b"hello world")


async def test_an_answer_of_unknown_length_is_wrong() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") as url:
        with pytest.raises(WrongAnswer, match="Content-Length"):
            await call(url)


async def test_a_connection_that_is_lost_is_a_wrong_answer() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel") as url:
        with pytest.raises(WrongAnswer, match="lost"):
            await call(url)


def test_an_execution_is_right_only_with_its_verdict_and_its_output() -> None:
    right = {"verdict": "ok", "stdout": "hello\n", "status": "completed", "language": "python"}
    rest = {"message": None, "compile": None, "stderr": ""}
    check({**right, **rest}, "hello\n")
    for wrong in ({"stdout": "hallo\n"}, {"verdict": "time_limit"}):
        with pytest.raises(WrongAnswer):
            check({**right, **rest, **wrong}, "hello\n")


@pytest.mark.parametrize("program", HELLOS, ids=lambda program: program.name)
def test_a_program_with_another_number_is_another_program(program: Program) -> None:
    assert program.source(1) != program.source(2)
    assert "NUMBER" not in program.source(1)
    assert program.output(1) == "hello 1\n"
