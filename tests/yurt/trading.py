"""A live queue that fleets trade languages on: what is queued, who takes it, and what came of each job, by its id."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from jobs.errors import Unavailable
from jobs.languages import Language
from jobs.region import Fleet, embedded
from jobs.service.bus import Bus
from jobs.service.pull import Delivery
from jobs.states import Class
from jobs.streams import PRIORITY_GROUP, StreamPlan, jobs_subject, plan
from runner.intake import Intake
from tests.waiting import eventually
from yurt.bootstrap.fleets import change
from yurt.bootstrap.moving import consumers

PYTHON, GO, RUST = Language.PYTHON, Language.GO, Language.RUST
T = TypeVar("T")
_numbers = itertools.count(1)


class Queue:
    """One region's standard queue, and pulls on it."""

    def __init__(self, bus: Bus, *, ack_wait_s: float = 30.0, replicas: int = 1) -> None:
        self.bus, self.name = bus, f"fleets-{next(_numbers)}"
        self.region = embedded(self.name, replicas=replicas)
        self.region = replace(self.region, delivery=replace(self.region.delivery, ack_wait_s=ack_wait_s))
        self.queued: list[str] = []  #: what was accepted
        self._names = itertools.count()

    def plan(self, **split: tuple[Language, ...]) -> StreamPlan:
        """The standard queue where the fleets are as *split*; the languages left over go to a fleet "rest"."""
        return next(each for each in self.plans(**split) if each.name.endswith("_STANDARD"))

    def plans(self, **split: tuple[Language, ...]) -> tuple[StreamPlan, ...]:
        """The queues of all classes."""
        rest = tuple(each for each in Language if not any(each in languages for languages in split.values()))
        split = {name: languages for name, languages in {**split, "rest": rest}.items() if languages}
        made = tuple(Fleet(name=name, languages=languages) for name, languages in split.items())
        return plan(replace(self.region, fleets=made))[: len(Class)]

    async def open(self, **split: tuple[Language, ...]) -> None:
        await self._make(self.plan(**split))

    async def open_all(self, **split: tuple[Language, ...]) -> None:
        """The other classes too, which stay empty."""
        for each in self.plans(**split):
            await self._make(each)

    async def _make(self, queue: StreamPlan) -> None:
        await self.bus.api(f"STREAM.CREATE.{queue.name}", queue.config, timeout_s=10)
        await change(self.bus, queue)

    async def add(self, language: Language, count: int, *, padding: bytes = b"") -> None:
        for _ in range(count):
            name = f"{language}-{next(self._names)}"
            subject = jobs_subject(self.name, Class.STANDARD, language)
            await self.bus.enqueue(subject, name.encode() + b" " + padding, message_id=name)
            self.queued.append(name)

    async def take(self, fleet: str, most: int = 1000) -> list[Delivery]:
        """What the fleet's consumer has now, at most *most*."""
        got: list[Delivery] = []
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        inbox = f"{self.bus.inbox}.take.{next(_numbers)}"

        def on_message(message: Any) -> None:
            if message.status:
                ended.done() or ended.set_result(message.status)
            else:
                got.append(Delivery(self.bus, message.data, message.reply))
                if len(got) == most and not ended.done():
                    ended.set_result("")

        end = await self.bus.subscribe(inbox, on_message)
        body = {"batch": most, "no_wait": True, "group": PRIORITY_GROUP, "priority": 0}
        self.bus.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self.plan().name}.{fleet}", json.dumps(body).encode(), reply=inbox
        )
        async with asyncio.timeout(10):
            await ended
        await end()
        return got

    async def is_empty(self) -> bool:
        return not (await self.bus.api(f"STREAM.INFO.{self.plan().name}"))["state"]["messages"]

    async def serves(self, fleet: str, language: Language) -> bool:
        there = await consumers(self.bus, self.plan().name)
        return jobs_subject(self.name, Class.STANDARD, language) in there[fleet].subjects

    async def serves_not(self, fleet: str, language: Language) -> bool:
        return not await self.serves(fleet, language)


def ids(deliveries: list[Delivery]) -> list[str]:
    return [each.data.split()[0].decode() for each in deliveries]


async def acknowledge(deliveries: list[Delivery]) -> None:
    for each in deliveries:
        await each.acknowledge()


class Cut(Exception):
    """The process that changed the fleets has died."""


class DyingBus:
    """A bus that dies at its *n*-th call that changes something, before it is sent or after."""

    def __init__(self, bus: Bus, n: int, *, after: bool) -> None:
        self._bus, self._left, self._after = bus, n, after
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def api(self, verb: str, *args: Any, **more: Any) -> Any:
        changes = not verb.startswith(("CONSUMER.INFO", "CONSUMER.LIST", "STREAM.INFO", "STREAM.MSG.GET"))
        return await self._count(self._bus.api(verb, *args, **more), changes)

    async def enqueue(self, *args: Any, **more: Any) -> None:
        await self._count(self._bus.enqueue(*args, **more), True)

    async def _count(self, call: Any, changes: bool) -> Any:
        self._left -= changes
        self.calls += changes
        if changes and self._left < 0 and not (self._left == -1 and self._after):
            call.close()
            raise Cut
        answer = await call
        if changes and self._left < 0:
            raise Cut
        return answer


async def calls_of_a_change(bus: Bus, *, cut_at: int, after: bool, replicas: int = 1) -> int:
    """How many calls a change made, until it was cut off; then it is run again, and everything is counted."""
    queue = Queue(bus, replicas=replicas)
    await queue.open(py=(PYTHON, RUST), old=(GO,))
    for language in (PYTHON, RUST, GO, Language.CPP):
        await queue.add(language, 2)
    taken = await queue.take("rest", 1) + await queue.take("py", 1)
    new, dying = queue.plan(py=(RUST,), young=(GO,)), DyingBus(bus, cut_at, after=after)
    with suppress(Cut):
        await change(dying, new)  # type: ignore[arg-type]
    taken += await queue.take("rest") + await queue.take("py")
    await change(bus, new)
    taken += [each for fleet in ("rest", "py", "young") for each in await queue.take(fleet)]
    assert Counter(ids(taken)) == Counter(queue.queued), f"cut at call {cut_at}"
    return dying.calls


class Hands:
    """A fleet's runner, as far as jobs are concerned: takes them as runners do, holds them a moment, ends them."""

    def __init__(self, queue: Queue, fleet: str, ended: Counter[str]) -> None:
        self._ended = ended
        self._at_work: set[asyncio.Task[None]] = set()
        self.intake = Intake(
            queue.bus,
            region=queue.name,
            fleet=fleet,
            steady=16,
            room=lambda running: 16 - running,
            on_job=self._on_job,
        )

    def _on_job(self, job_class: Class, delivery: Delivery) -> None:
        task = asyncio.create_task(self._work(job_class, delivery))
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)

    async def _work(self, job_class: Class, delivery: Delivery) -> None:
        number = int(delivery.data.rpartition(b"-")[2])
        await asyncio.sleep(0.4 if number % 50 == 0 else 0.002 * (number % 8))
        self._ended[delivery.data.decode().strip()] += 1
        with suppress(Unavailable):  # it comes again
            await delivery.acknowledge()
        self.intake.done(job_class)


class Trade:
    """Two fleets that work, and steady submissions in all languages: ``begin``, then ``end``."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.ended: Counter[str] = Counter()
        self._hands = [Hands(queue, fleet, self.ended) for fleet in ("one", "rest")]
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        await self.queue.open_all(one=(PYTHON,))
        self._tasks = [asyncio.create_task(each.intake.run()) for each in self._hands]
        self._tasks.append(asyncio.create_task(self._submit()))

    async def _submit(self) -> None:
        while not self._stop.is_set():
            for language in Language:
                with suppress(Unavailable):  # it was not accepted
                    await self.queue.add(language, 1)
            await asyncio.sleep(0.002)

    async def move(self, *languages: Language) -> None:
        """These are the fleet "one"'s from now on."""
        await change(self.queue.bus, self.queue.plan(one=languages))

    async def end(self) -> None:
        """All that was accepted has been run when it returns."""
        self._stop.set()
        await self._tasks.pop()
        await eventually(self.queue.is_empty, 60)
        for each in self._hands:
            await each.intake.close()
        await asyncio.gather(*self._tasks)

    @property
    def ran_twice(self) -> list[str]:
        return [each for each, runs in self.ended.items() if runs > 1]
