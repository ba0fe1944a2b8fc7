"""Runner processes for the tests, as Nomad starts them, and jobs given to them past the gateway."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from jobs import streams, wire
from jobs.errors import Unavailable
from jobs.job import Job
from jobs.languages import Language
from jobs.limits import DEFAULTS
from jobs.region import Region
from jobs.result import Result
from jobs.service.bus import Bus
from jobs.states import Class
from jobs.submission import SourceFile, Submission

HOME = Path(__file__).parents[1]
START_S = 120.0


def job(region: Region, name: str, code: str, *, version: str = "*") -> Job:
    now_ms = time.time_ns() // 1_000_000
    return Job(
        id=name,
        user_id="somebody",
        submission=Submission(
            language=Language.PYTHON,
            version=version,
            files=(SourceFile(name="main.py", content=code.encode()),),
            entry="main.py",
            timeout_s=25.0,
            memory_mb=256,
            limits=DEFAULTS,
        ),
        job_class=Class.STANDARD,
        region=region.name,
        gateway=region.gateways[0],
        created_at_ms=now_ms,
        start_by_ms=now_ms + 600_000,
        correlation_id="",
    )


async def submit(bus: Bus, region: Region, name: str, code: str, *, version: str = "*") -> None:
    subject = streams.jobs_subject(region.name, Class.STANDARD, Language.PYTHON)
    await bus.enqueue(subject, wire.pack(job(region, name, code, version=version)), message_id=name)


async def result(bus: Bus, region: Region, name: str, within_s: float = 60) -> Result:
    """Its stored result, waited for, also while its region is away."""
    stream, subject = streams.results_stream(region.name), streams.results_subject(region.name, name)
    async with asyncio.timeout(within_s):
        while True:
            with suppress(Unavailable):
                if (stored := await bus.last(stream, subject)) is not None:
                    return wire.unpack_as(Result, stored)
            await asyncio.sleep(0.05)


class RunnerProcess:
    """A process and what it says, which is read all the time: a full pipe would stop it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._lines: list[str] = []
        self._heard = 0
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def said(self, words: str) -> str:
        """The next line with *words*."""
        async with asyncio.timeout(START_S):
            while True:
                for line in self._lines[self._heard :]:
                    self._heard += 1
                    if words in line:
                        return line
                assert not self._reading.done(), f"it ended without saying {words}:\n{''.join(self._lines)}"
                self._news.clear()
                await self._news.wait()

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def ended(self, within_s: float) -> int:
        """Its exit code."""
        return await asyncio.wait_for(self._process.wait(), within_s)

    async def close(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self._lines.append(line.decode())
            self._news.set()
        asyncio.get_running_loop().call_soon(self._news.set)


@asynccontextmanager
async def runner_process(nats_url: str, **environ: str) -> AsyncIterator[RunnerProcess]:
    """``yurt runner``, with its settings in the environment; killed at the end if it is still there."""
    process = RunnerProcess(
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "yurt", "runner"),
            cwd=HOME,
            stdout=PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={
                **os.environ,
                "YURT_NATS_URLS": nats_url,
                "YURT_LANGUAGES": "python",
                "YURT_DRAIN_S": "20",
                **environ,
            },
        )
    )
    try:
        yield process
    finally:
        await process.close()


async def stored(bus: Bus, region: Region, name: str) -> bool:
    subject = streams.results_subject(region.name, name)
    return await bus.last(streams.results_stream(region.name), subject) is not None
