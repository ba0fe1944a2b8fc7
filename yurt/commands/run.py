"""``yurt run``: a program on the network as if it ran here: its output live, its exit code as ours."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

from yurt.answers import Complete, Execution, Output, Status
from yurt.client import Client
from yurt.commands import address, exits, programs
from yurt.faults import NoNetwork, Problem
from yurt.stream import Stream

_PATIENCE_S = 30.0
_CANCEL_S = 5.0
_PIECE_BYTES = 1 << 16
_TOLD_BY_THE_PROGRAM = (None, "ok", "nonzero_exit")


def run(options: argparse.Namespace) -> int:
    """Exit codes: ``yurt.commands.exits``."""
    given = programs.Input(goes_on=True) if options.interactive else programs.input_of(options.stdin)
    language, fields = programs.submission(options, options.files, given.data)
    if given.goes_on:
        fields["interactive"] = True
    return asyncio.run(_run(address.client(options, patience_s=_PATIENCE_S), language, fields, options))


def logs(options: argparse.Namespace) -> int:
    """``yurt logs ID``: the output of an execution from its start (or ``--from``), until it ends."""
    return asyncio.run(_logs(address.client(options, patience_s=_PATIENCE_S), options.id, options.start))


async def _run(client: Client, language: str, fields: dict[str, Any], options: argparse.Namespace) -> int:
    async with client:
        work = asyncio.ensure_future(_show(client, language, fields, options))
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, work.cancel)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
        try:
            return await work
        except asyncio.CancelledError:
            return exits.INTERRUPTED


async def _show(client: Client, language: str, fields: dict[str, Any], options: argparse.Namespace) -> int:
    execution_id = (await client.submit(language, **fields))["execution_id"]
    try:
        stream = client.stream(execution_id)
        with _forwarded(stream) if "interactive" in fields else contextlib.nullcontext():
            execution = await _follow(stream, quiet=options.json)
    except (asyncio.CancelledError, BrokenPipeError) as error:
        with contextlib.suppress(Problem, NoNetwork, TimeoutError):
            async with asyncio.timeout(_CANCEL_S):
                await client.cancel(execution_id)
        if isinstance(error, BrokenPipeError):
            return _pipe_gone()
        raise
    if options.json:
        print(json.dumps(execution, indent=2))
    return exits.of(execution)


async def _logs(client: Client, execution_id: str, start: int) -> int:
    async with client:
        try:
            await _follow(client.stream(execution_id, start=start), quiet=False)
        except BrokenPipeError:
            return _pipe_gone()
    return exits.OK


async def _follow(stream: Stream, *, quiet: bool) -> Execution:
    """Write output as it comes; the execution at its end. *quiet*: write nothing."""
    attempt = None
    async with contextlib.aclosing(aiter(stream)) as events:
        async for event in events:
            if isinstance(event, Complete):
                if not quiet:
                    _say_how_it_ended(event.execution)
                return event.execution
            if quiet:
                continue
            if isinstance(event, Output):
                _write(sys.stdout.buffer if event.stream == "stdout" else sys.stderr.buffer, event.data)
            elif isinstance(event, Status) and event.attempt is not None:
                if attempt is not None and event.attempt > attempt:
                    _say("the machine it ran on was lost; it runs again from its start")
                attempt = event.attempt
    raise NoNetwork("the stream ended before the execution did")


def _write(to: BinaryIO, data: bytes) -> None:
    to.write(data)
    to.flush()


def _say_how_it_ended(execution: Execution) -> None:
    if execution["status"] != "completed" or execution["verdict"] not in _TOLD_BY_THE_PROGRAM:
        _say(execution["message"] or str(execution["verdict"] or execution["status"]).replace("_", " "))


def _say(sentence: str) -> None:
    print(f"yurt: {sentence}", file=sys.stderr, flush=True)


def _pipe_gone() -> int:
    """Whoever read our output has left; the interpreter must not complain about that at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE


@contextlib.contextmanager
def _forwarded(stream: Stream) -> Iterator[None]:
    """Standard input sent to the program as it comes, while inside."""
    sender = asyncio.create_task(_forward(stream), name="stdin")
    try:
        yield
    finally:
        sender.cancel()


async def _forward(stream: Stream) -> None:
    """One piece after the other, so that a program that reads slowly slows down whoever writes."""
    with contextlib.suppress(ConnectionError, TimeoutError):
        while data := await _piece():
            await stream.stdin(data)
        await stream.stdin_eof()


async def _piece() -> bytes:
    """What comes next on descriptor 0; empty at its end."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    try:
        loop.add_reader(0, readable.set)
    except PermissionError:  # a file, or /dev/null: always readable
        return os.read(0, _PIECE_BYTES)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(0)
    return os.read(0, _PIECE_BYTES)
