"""How a runner takes jobs from three queues: the best class first, none starved, no more than it has room for."""

from __future__ import annotations

import asyncio
from collections import Counter

from jobs import region, streams
from jobs.languages import Language
from jobs.service.bus import Bus
from jobs.service.pull import Delivery
from jobs.states import Class
from runner.intake import IDLE, Intake
from tests.conftest import make_streams

SLOTS = 16


class Desk:
    """A runner's desk: what came, in order; ``finish`` settles one and frees its slot."""

    def __init__(self, bus: Bus, name: str, slots: int = SLOTS) -> None:
        self.came: list[Class] = []
        self.waiting: list[tuple[Class, Delivery]] = []
        self.news = asyncio.Event()
        self.intake = Intake(
            bus, region=name, fleet="all", steady=slots, room=lambda running: slots - running, on_job=self.on_job
        )

    def on_job(self, job_class: Class, delivery: Delivery) -> None:
        self.came.append(job_class)
        self.waiting.append((job_class, delivery))
        self.news.set()

    async def finish(self) -> Class:
        while not self.waiting:
            self.news.clear()
            await self.news.wait()
        job_class, delivery = self.waiting.pop(0)
        await delivery.acknowledge()
        self.intake.done(job_class)
        return job_class


async def queue(bus: Bus, name: str, job_class: Class, count: int) -> None:
    subject = streams.jobs_subject(name, job_class, Language.PYTHON)
    for number in range(count):
        await bus.enqueue(subject, b"job", message_id=f"{job_class}-{number}")


async def opened(bus: Bus, name: str) -> None:
    await make_streams(bus, streams.plan(region.embedded(name)))


async def test_a_job_of_any_class_comes_at_once_to_an_idle_runner(bus: Bus) -> None:
    """Requests lie on all three queues."""
    await opened(bus, "intake-idle")
    desk = Desk(bus, "intake-idle")
    running = asyncio.create_task(desk.intake.run())
    async with asyncio.timeout(10):
        for job_class in reversed(Class):
            await queue(bus, "intake-idle", job_class, 1)
            assert await desk.finish() is job_class
    desk.intake.stop()
    await running


async def test_a_full_runner_takes_only_what_it_had_already_asked_for(bus: Bus) -> None:
    """What lies on the idle queues when the last slot is taken is all that comes beyond the slots."""
    await opened(bus, "intake-full")
    for job_class in Class:
        await queue(bus, "intake-full", job_class, 40)
    desk = Desk(bus, "intake-full")
    running = asyncio.create_task(desk.intake.run())
    async with asyncio.timeout(10):
        while sum(desk.intake.running.values()) < SLOTS:
            desk.news.clear()
            await desk.news.wait()
    await bus.request(f"$JS.API.STREAM.INFO.{streams.jobs_stream('intake-full', Class.BULK)}", timeout_s=5)
    assert sum(desk.intake.running.values()) <= SLOTS + 2 * IDLE
    desk.intake.stop()
    await running


async def test_under_load_priority_goes_first_and_nobody_starves(bus: Bus) -> None:
    """With all queues full, freed slots go to priority, but for the share that is kept for each lower class."""
    await opened(bus, "intake-load")
    for job_class in Class:
        await queue(bus, "intake-load", job_class, 150)
    desk = Desk(bus, "intake-load")
    running = asyncio.create_task(desk.intake.run())
    async with asyncio.timeout(20):
        for _ in range(120):
            await desk.finish()
    taken = Counter(desk.came[20:120])
    assert taken[Class.PRIORITY] > taken[Class.STANDARD] > taken[Class.BULK] > 0
    assert taken[Class.PRIORITY] >= 60
    desk.intake.stop()
    await running


async def test_every_job_of_every_class_is_taken_in_the_end(bus: Bus) -> None:
    """An empty answer on one queue never makes the runner deaf to it."""
    await opened(bus, "intake-end")
    for job_class in Class:
        await queue(bus, "intake-end", job_class, 30)
    desk = Desk(bus, "intake-end", slots=4)
    running = asyncio.create_task(desk.intake.run())
    async with asyncio.timeout(20):
        for _ in range(90):
            await desk.finish()
        await queue(bus, "intake-end", Class.BULK, 31)
        assert await desk.finish() is Class.BULK
    assert Counter(desk.came) == {Class.PRIORITY: 30, Class.STANDARD: 30, Class.BULK: 31}
    desk.intake.stop()
    await running


async def test_a_runner_of_two_slots_never_rests_while_jobs_wait(bus: Bus) -> None:
    """Requests that lie on empty queues do not stand in for those that a full one needs."""
    await opened(bus, "intake-two")
    desk = Desk(bus, "intake-two", slots=2)
    running = asyncio.create_task(desk.intake.run())
    async with asyncio.timeout(10):
        for job_class in Class:  # requests lie on all three
            await queue(bus, "intake-two", job_class, 1)
            await desk.finish()
        await queue(bus, "intake-two", Class.STANDARD, 20)
        for _ in range(19):
            await desk.finish()
    desk.intake.stop()
    await running
