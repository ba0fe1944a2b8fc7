"""Start a network, run every program of the catalogue, show the results, stop. Exit code 0: all as they should."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

from jobs.languages import of_suffix
from runner.languages.python import Python
from yurt.answers import Complete, Execution, Output
from yurt.client import Client
from yurt.commands.executions import results_table
from yurt.demo.catalogue import PIECES, Piece

_STOP_S = 90.0
_VARIANT_S, _LOOK_S = 60.0, 0.2


async def demo() -> int:
    with tempfile.TemporaryDirectory(prefix="yurt-demo-") as folder:
        async with _network(folder) as url, Client(url) as client:
            ended = [(piece, await _play(client, piece)) for piece in PIECES if await _can_be_played(client, piece)]
    print("\n" + results_table([(piece.file, execution) for piece, execution in ended]))
    print("times in ms, memory in MB: what the program itself used, and where its time went")
    return _judge(ended)


@contextlib.asynccontextmanager
async def _network(folder: str) -> AsyncIterator[str]:
    """The address of a network that lives while inside."""
    words = [sys.executable, "-m", "yurt", "up", "--data", folder]
    process = await asyncio.create_subprocess_exec(*words, stdout=PIPE, start_new_session=True)
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        if not line.startswith("ready "):
            raise SystemExit("the network did not start")
        yield line.split()[1]
    finally:
        await _stop(process)


async def _stop(process: Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        code = await asyncio.wait_for(process.wait(), _STOP_S)
    except TimeoutError:
        process.kill()
        code = await process.wait()
    print(
        "\nthe network has ended, and nothing of it is left" if code == 0 else f"\nthe network ended with code {code}"
    )


async def _can_be_played(client: Client, piece: Piece) -> bool:
    """Whether its variant is on this machine; then it waits until a runner has imported what is in it."""
    if not piece.variant:
        return True
    if piece.variant not in {installation.variant for installation in Python().discover()}:
        print(f"\n── {piece.file}: left out: Python's variant {piece.variant} is not here; make setup brings it by pip")
        return False
    for _ in range(round(_VARIANT_S / _LOOK_S)):
        if any(piece.variant in entry["variants"] for entry in await client.languages()):
            break
        await asyncio.sleep(_LOOK_S)
    return True


MAIN = "main.py"  #: by this name a program goes on in an interpreter that has its libraries; by another one is started


async def _play(client: Client, piece: Piece) -> Execution:
    """Run one program, and show its output as it comes."""
    print(f"\n── {piece.file}: {piece.shows}", flush=True)
    language = of_suffix(Path(piece.file).suffix)
    assert language is not None
    submitted = await client.submit(
        language.value,
        files=[{"name": MAIN if piece.variant else piece.file, "content": piece.code}],
        stdin=piece.input,
        timeout=piece.timeout_s,
        memory_limit=piece.memory_mb,
        variant=piece.variant,
    )
    margin = _Margin()
    async for event in client.stream(submitted["execution_id"]):
        if isinstance(event, Output):
            margin.write(event.text)
        elif isinstance(event, Complete):
            margin.end(event.execution["message"] or event.execution["verdict"] or event.execution["status"])
            return event.execution
    raise AssertionError("a stream ends with Complete")


class _Margin:
    """Writes output at once, with a line down its left side."""

    def __init__(self) -> None:
        self._fresh = True

    def write(self, text: str) -> None:
        for line in text.splitlines(keepends=True):
            print(f"   │ {line}" if self._fresh else line, end="", flush=True)
            self._fresh = line.endswith("\n")

    def end(self, sentence: str) -> None:
        print(("" if self._fresh else "\n") + f"   └ {sentence}", flush=True)


def _judge(ended: list[tuple[Piece, Execution]]) -> int:
    wrong = [(piece, execution) for piece, execution in ended if execution["verdict"] != piece.verdict]
    for piece, execution in wrong:
        got = execution["verdict"] or f"{execution['status']} ({execution['message']})"
        print(f"{piece.file} should have ended {piece.verdict}, and was {got}", file=sys.stderr)
    if not wrong:
        print(f"all {len(ended)} programs ended as they should")
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(demo()))
    except KeyboardInterrupt:
        sys.exit(130)
