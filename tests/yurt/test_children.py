"""A child lives as long as it should: through its own deaths, not past ours, not past its time to drain."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from yurt.stack.child import Child, Plan

STAYS = "import time, sys; print('up', flush=True); time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"

Make = Callable[..., Awaitable[Child]]


class Starts:
    """Counts the starts of a child, and lets one wait for a number of them."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = asyncio.Condition()

    async def one(self) -> None:
        async with self._changed:
            self._count += 1
            self._changed.notify_all()

    async def reach(self, count: int) -> None:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self._count >= count)


@pytest.fixture
def starts() -> Starts:
    return Starts()


@pytest.fixture
async def make(tmp_path: Path, starts: Starts) -> AsyncIterator[Make]:
    children: list[Child] = []

    async def made(program: str, *, drain_s: float = 10, said: list[str] | None = None) -> Child:
        what = Plan(
            role="runner",
            title="runner of us-east",
            region="us-east",
            argv=[sys.executable, "-c", program],
            log=tmp_path / "log",
            folder=tmp_path,
            environ=dict(os.environ),
            drain_s=drain_s,
        )
        child = Child(what, say=(said if said is not None else []).append, on_start=starts.one)
        children.append(child)
        await child.start()
        return child

    yield made
    for child in children:
        await child.end()


async def until_it_says(child: Child, word: bytes) -> None:
    """Wait for a word in the child's log, told of each write by the kernel."""
    async with asyncio.timeout(10):
        while word not in child.plan.log.read_bytes():  # noqa: ASYNC110  # a file has no event
            await asyncio.sleep(0)


def pid_of(child: Child) -> int:
    assert child.process is not None
    return child.process.pid


async def test_a_child_that_dies_is_started_again_and_that_is_said_in_one_line(make: Make, starts: Starts) -> None:
    said: list[str] = []
    child = await make(STAYS, said=said)
    first = pid_of(child)
    os.kill(first, signal.SIGKILL)
    await starts.reach(2)
    assert pid_of(child) != first
    assert said == [f"the runner of us-east was ended by SIGKILL; started again as process {pid_of(child)}"]


async def test_a_child_that_never_stays_is_counted(make: Make, starts: Starts) -> None:
    child = await make("raise SystemExit(3)")
    await starts.reach(3)
    assert child.deaths >= 2


async def test_an_ended_child_is_gone_and_stays_gone(make: Make) -> None:
    child = await make(STAYS)
    await child.end()
    assert child.process is None


async def test_a_child_that_does_not_drain_is_killed_and_that_is_said(make: Make) -> None:
    said: list[str] = []
    child = await make(DEAF, drain_s=0.2, said=said)
    await until_it_says(child, b"up")
    await child.end()
    assert child.process is None
    assert said == ["the runner of us-east did not end in 0.2 s and was killed"]


async def test_what_a_child_leaves_behind_ends_with_it(make: Make) -> None:
    left = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
    child = await make(f"{left}; print('left', p.pid, flush=True); import time; time.sleep(600)")
    await until_it_says(child, b"\n")
    pidfd = os.pidfd_open(int(child.plan.log.read_text().split()[1]))
    await child.end()
    ended, _, _ = select.select([pidfd], [], [], 10)
    os.close(pidfd)
    assert ended


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    """kill -9 of ``yurt up`` leaves nothing running."""
    program = f"""
import asyncio, os, sys
from pathlib import Path
from yurt.stack.child import Child, Plan

async def main():
    async def on_start(): pass
    what = Plan(role="nats", title="nats", region="local", argv=[sys.executable, "-c", {STAYS!r}], log=Path("log"),
                folder=Path("."), environ=dict(os.environ), drain_s=5)
    child = Child(what, say=print, on_start=on_start)
    await child.start()
    print(child.process.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
    home = str(Path(__file__).parents[2])
    parent = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, env={**os.environ, "PYTHONPATH": home}, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    with parent.stdout:
        pidfd = os.pidfd_open(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    ended, _, _ = select.select([pidfd], [], [], 10)
    os.close(pidfd)
    assert ended


async def test_a_child_that_was_killed_for_good_is_not_started_again(make: Make) -> None:
    """A second Ctrl-C kills what has not been told to end yet, too."""
    said: list[str] = []
    child = await make(STAYS, said=said)
    child.kill()
    await child.end()
    assert child.process is None and said == []
