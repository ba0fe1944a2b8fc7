"""The network that is measured: one that runs already, or one started here by ``yurt up`` in a folder of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import processes
from jobs.languages import version_key
from yurt.stack.folder import Folder, Process, State
from yurt.stack.ports import any_free

HOME = Path(__file__).parents[1]
READY_S = 900.0  #: a first start prepares every toolchain
END_S = 120.0
QUIET_SHARE = 0.06  #: of one core: the network rests
QUIET_S = 0.5


class NoNetwork(Exception):
    """There is nothing to measure."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """``data`` is None where the network is not on this machine, or its folder was not told."""

    url: str
    data: Path | None = None
    urls: dict[str, str] = field(default_factory=dict)  #: of its regions, where there are several

    def pids(self) -> dict[str, int]:
        """Its processes by role, ``up`` being the one that started the others; empty where they cannot be known."""
        state = self._state()
        return {
            **{process.role: process.pid for process in state.processes},
            **({"up": state.pid} if state.pid else {}),
        }

    def processes(self) -> tuple[Process, ...]:
        """All that ``yurt up`` started and that lives, in every region."""
        return self._state().processes

    def cpu_s(self) -> float:
        """CPU seconds that all its processes, living and waited for, have taken."""
        state = self._state()
        if not state.processes:
            return processes.machine().busy_s
        runners = [process.pid for process in state.processes if process.role == "runner"]
        zygotes = [zygote for runner in runners for zygote in processes.children(runner)]
        ours = (state.pid, *(process.pid for process in state.processes), *zygotes)
        return sum(map(processes.cpu_s, ours)) + sum(map(processes.slots_cpu_s, runners))

    def _state(self) -> State:
        return State() if self.data is None else Folder(self.data).read().living()

    async def quiet(self, within_s: float = 60.0) -> bool:
        """Wait until it rests: pools are full, old versions proved. False when it did not in time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        rests = 0
        while loop.time() < deadline:
            before, began = self.cpu_s(), loop.time()
            await asyncio.sleep(QUIET_S)
            rests = rests + 1 if (self.cpu_s() - before) / (loop.time() - began) < QUIET_SHARE else 0
            if rests == 3:
                return True
        return False


@contextlib.asynccontextmanager
async def network(url: str | None, data: Path | None) -> AsyncIterator[Network]:
    """The one at *url* or in the folder *data*, else a new one, which ends with us."""
    if url is not None:
        yield Network(url=url.rstrip("/"), data=data)
    elif data is not None:
        places = Folder(data).read().living().places
        if not places:
            raise NoNetwork(f"no network runs in {data}; start one with: yurt up --data {data}")
        yield Network(url=places[0].url, data=data)
    else:
        with tempfile.TemporaryDirectory(prefix="yurt-bench-") as folder:
            async with started(Path(folder)) as one:
                yield one


@contextlib.asynccontextmanager
async def started(
    folder: Path, *more: str, regions: int = 1, environ: Mapping[str, str] = os.environ
) -> AsyncIterator[Network]:
    """A network of its own in *folder*, by ``yurt up`` with *more* words, ready and at rest."""
    data = folder / "data"
    words = [sys.executable, "-m", "yurt", "up", "--port", str(any_free()), "--data", str(data), *more]
    process = await asyncio.create_subprocess_exec(
        *words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=HOME, env=dict(environ)
    )
    try:
        assert process.stdout is not None
        urls: dict[str, str] = {}
        async with asyncio.timeout(READY_S):
            while len(urls) < regions:
                line = (await process.stdout.readline()).decode()
                if not line.startswith("ready "):
                    raise NoNetwork("yurt up ended before it was ready; what it said is above")
                _, url, region = line.split()
                urls[region.removeprefix("region=")] = url
        one = Network(url=next(iter(urls.values())), data=data, urls=urls)
        await one.quiet()
        yield one
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def versions(languages: list[dict[str, Any]]) -> dict[str, str]:
    """The newest version of each language that the network offers."""
    newest: dict[str, str] = {}
    for entry in languages:
        language, version = str(entry["language"]), str(entry["version"])
        if language not in newest or version_key(version) > version_key(newest[language]):
            newest[language] = version
    return newest


def commit() -> str:
    """What was measured, as git names it; empty outside a repository."""
    words = ["git", "describe", "--always", "--dirty"]
    answer = subprocess.run(words, cwd=HOME, capture_output=True, text=True, check=False)
    return answer.stdout.strip()
