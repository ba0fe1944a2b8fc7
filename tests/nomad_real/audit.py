"""A steady load, and the account of it: every id that was accepted has exactly one stored result, and it is right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from jobs.region import Region
from jobs.service.bus import Bus
from jobs.states import Class
from jobs.streams import jobs_stream, results_stream, results_subject
from yurt import Client

PATIENCE_S = 60.0
AT_ONCE = 16  #: results asked for together


@dataclass
class Audit:
    """``load`` submits while inside; ``settle`` holds the account."""

    url: str
    bus: Bus
    region: Region
    accepted: dict[str, str] = field(default_factory=dict)  #: id to what it must print
    attempts: dict[str, int] = field(default_factory=dict)  #: id to the attempt that was stored
    runners: dict[str, str] = field(default_factory=dict)  #: id to the runner that ran it

    def __post_init__(self) -> None:
        self.client = Client(self.url, patience_s=PATIENCE_S)
        self._said = 0
        self._one_more = asyncio.Condition()

    async def close(self) -> None:
        await self.client.close()

    async def submit(self, language: str = "python", seconds: float = 0.0) -> str:
        """Accepted, and its id; the program says a number of its own, after so many *seconds*."""
        self._said += 1
        word = f"number {self._said}"
        code = f"import time; time.sleep({seconds}); print({word!r})" if seconds else f"print({word!r})"
        answer = await self.client.submit(language, code, timeout=20)
        self.accepted[answer["execution_id"]] = word
        async with self._one_more:
            self._one_more.notify_all()
        return str(answer["execution_id"])

    @asynccontextmanager
    async def load(self, per_s: float, seconds: float = 0.0) -> AsyncIterator[None]:
        """Submissions at a steady pace, whatever becomes of the ones before; each refusal fails the test."""
        done = asyncio.Event()

        async def submit_all() -> None:
            loop = asyncio.get_running_loop()
            due = loop.time()
            async with asyncio.TaskGroup() as group:
                while not done.is_set():
                    group.create_task(self.submit(seconds=seconds))
                    due += 1 / per_s
                    await _by(done, due)

        submitting = asyncio.create_task(submit_all())
        try:
            yield
        finally:
            done.set()
            await submitting

    async def more(self, count: int) -> None:
        """Until so many more were accepted: the load is under way."""
        goal = len(self.accepted) + count
        async with asyncio.timeout(PATIENCE_S), self._one_more:
            await self._one_more.wait_for(lambda: len(self.accepted) >= goal)

    async def settle(self) -> None:
        """Nothing lost, nothing twice: each accepted id, by its result and by the streams."""
        few = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for execution_id, word in self.accepted.items():
                group.create_task(self._hold(execution_id, word, few))
        counts = await self._stored()
        assert {each: counts.get(each, 0) for each in self.accepted} == dict.fromkeys(self.accepted, 1)
        assert await self._queued() == 0

    async def _hold(self, execution_id: str, word: str, few: asyncio.Semaphore) -> None:
        async with few:
            execution = await self.client.wait(execution_id)
        assert (execution["status"], execution["verdict"]) == ("completed", "ok"), execution
        assert execution["stdout"] == f"{word}\n", execution
        self.attempts[execution_id], self.runners[execution_id] = execution["attempt"], execution["runner"]

    async def _stored(self) -> dict[str, int]:
        """How many results are stored, by id."""
        stream = results_stream(self.region.name)
        every = results_subject(self.region.name, "*")
        info = await self.bus.api(f"STREAM.INFO.{stream}", {"subjects_filter": every})
        found: dict[str, Any] = info["state"].get("subjects") or {}
        return {subject.rpartition(".")[2]: int(count) for subject, count in found.items()}

    async def _queued(self) -> int:
        """How many jobs wait or run once acknowledgements that were on their way have arrived."""
        for _ in range(100):
            infos = [await self.bus.api(f"STREAM.INFO.{jobs_stream(self.region.name, each)}") for each in Class]
            left = sum(info["state"]["messages"] for info in infos)
            if left == 0:
                return 0
            await asyncio.sleep(0.1)
        return left


async def _by(done: asyncio.Event, moment: float) -> None:
    """Wait until *moment*, or until *done*."""
    try:
        async with asyncio.timeout_at(moment):
            await done.wait()
    except TimeoutError:
        pass
