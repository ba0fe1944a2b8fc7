"""Every accepted job ends, also when no runner ever comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.app import make_desk
from gateway.desk import Desk
from gateway.settings import Settings
from gateway.warden import GRACE_S, Warden
from jobs import streams, wire
from jobs.ends import unrun
from jobs.events import Queued, Running
from jobs.job import Job
from jobs.languages import Language
from jobs.limits import DEFAULTS
from jobs.region import embedded
from jobs.result import Result
from jobs.service.atlas import StaticAtlas
from jobs.service.bus import Bus
from jobs.service.pull import Delivery, Puller
from jobs.states import Class, State
from jobs.submission import Case, Submission
from tests.conftest import make_streams

START_BY_S = 600.0
ID = "01234567-0000-7000-8000-000000000001"


@dataclass
class Clock:
    ms: int

    def __call__(self) -> int:
        return self.ms

    def forward(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


@dataclass
class Post:
    """A warden whose clock is the test's."""

    bus: Bus
    desk: Desk
    warden: Warden
    clock: Clock

    async def queue(self, *, cases: int = 0) -> None:
        submission = Submission(
            language=Language.PYTHON,
            code=b"",
            timeout_s=10.0,
            memory_mb=256,
            limits=DEFAULTS,
            cases=tuple(Case() for _ in range(cases)) or None,
        )
        job = Job(
            id=ID,
            user_id="u",
            submission=submission,
            job_class=Class.STANDARD,
            region=self.desk.region.name,
            gateway=self.desk.gateway,
            created_at_ms=self.clock.ms,
            start_by_ms=self.clock.ms + int(START_BY_S * 1000),
            correlation_id="c",
        )
        subject = streams.jobs_subject(job.region, job.job_class, Language.PYTHON)
        await self.bus.enqueue(subject, wire.pack(job), message_id=job.id)

    async def deliver(self) -> None:
        """To a runner that is never heard of again."""
        stream = streams.jobs_stream(self.desk.region.name, Class.STANDARD)
        delivered: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()
        puller = Puller(self.bus, stream, "all", delivered.set_result)
        await puller.start()
        puller.ask(1, expires_s=10, on_end=lambda: None)
        async with asyncio.timeout(10):
            assert wire.unpack_as(Job, (await delivered).data).id == ID

    async def say_running(self) -> None:
        event = Running(
            execution_id=ID, runner="lost-1", region=self.desk.region.name, attempt=1, started_at_ms=1, version="3"
        )
        await self.bus.keep(streams.output_subject(self.desk.gateway, ID), wire.pack(event))

    async def result(self) -> Result | None:
        name = self.desk.region.name
        data = await self.bus.last(streams.results_stream(name), streams.results_subject(name, ID))
        return wire.unpack_as(Result, data) if data is not None else None

    async def waiting(self) -> int:
        stream = streams.jobs_stream(self.desk.region.name, Class.STANDARD)
        return int((await self.bus.api(f"STREAM.INFO.{stream}"))["state"]["messages"])


@pytest.fixture
async def post(bus: Bus, region_name: str) -> AsyncIterator[Post]:
    region = embedded(region_name)
    await make_streams(bus, streams.plan(region))
    clock = Clock(time.time_ns() // 1_000_000)
    desk = make_desk(Settings(), bus, region, region.gateways[0], StaticAtlas(region), now_ms=clock)
    warden = Warden(bus=bus, region=region, admission=desk.admission, archive=desk.archive, now_ms=clock)
    yield Post(bus, desk, warden, clock)
    await desk.feeds.close()


async def test_a_job_that_nobody_takes_expires_after_its_start_by_time_and_a_grace(post: Post) -> None:
    """Not a moment before; then it is off the queue, and its result says why."""
    await post.queue()
    assert await post.warden.look() == 0
    post.clock.forward(START_BY_S + GRACE_S - 1)
    assert await post.warden.look() == 0
    post.clock.forward(5)
    assert await post.warden.look() == 1
    result = await post.result()
    assert result is not None
    assert (result.state, result.cause, result.verdict) == (State.EXPIRED, "platform", None)
    assert result.message == "No runner could start it within 600 s."
    assert await post.waiting() == 0
    assert await post.warden.look() == 0


async def test_a_job_that_a_runner_has_is_left_alone_for_as_long_as_its_attempts_may_take(post: Post) -> None:
    """A hundred cases may take long; past all attempts it is failed, by a lost runner."""
    await post.queue(cases=100)
    await post.deliver()
    await post.say_running()
    post.clock.forward(START_BY_S + GRACE_S + 100 * 10)
    assert await post.warden.look() == 0
    post.clock.forward(3 * (100 * 10 + 200))
    assert await post.warden.look() == 1
    result = await post.result()
    assert result is not None
    assert (result.state, result.cause, result.runner) == (State.FAILED, "lost_runner", "lost-1")
    assert await post.waiting() == 0


async def test_a_job_whose_result_is_there_keeps_it_and_leaves_the_queue(post: Post) -> None:
    """The first result wins, also against the warden."""
    await post.queue()
    name = post.desk.region.name
    queued = Queued(
        execution_id=ID, user_id="u", language="python", version="*", variant="", region=name,
        job_class=Class.STANDARD, created_at_ms=1, start_by_ms=2,
    )  # fmt: skip
    await post.desk.admission.settle(unrun(queued, State.CANCELLED, None, "It was cancelled.", "x", 3))
    post.clock.forward(START_BY_S + GRACE_S + 5)
    assert await post.warden.look() == 0
    assert await post.waiting() == 0
    result = await post.result()
    assert result is not None
    assert result.state is State.CANCELLED


async def test_a_job_that_the_server_delivers_no_more_is_failed_at_once(post: Post, bus: Bus) -> None:
    """By its advisory, which the dead stream keeps."""
    stream = streams.jobs_stream(post.desk.region.name, Class.STANDARD)
    info = await bus.api(f"CONSUMER.INFO.{stream}.all")
    config: dict[str, Any] = {**info["config"], "max_deliver": 1, "ack_wait": 50_000_000}
    await bus.api(f"CONSUMER.DURABLE.CREATE.{stream}.all", {"stream_name": stream, "config": config})
    await post.queue()
    await post.deliver()
    while not await post.warden.look():
        pass
    result = await post.result()
    assert result is not None
    assert (result.state, result.cause) == (State.FAILED, "lost_runner")
    assert await post.waiting() == 0


async def test_what_cannot_be_read_goes_to_the_dead_stream(post: Post) -> None:
    """For a person; it does not block what lies behind it."""
    name = post.desk.region.name
    await post.bus.enqueue(streams.jobs_subject(name, Class.STANDARD, Language.PYTHON), b"junk", message_id="junk")
    await post.queue()
    post.clock.forward(START_BY_S + GRACE_S + 5)
    assert await post.warden.look() == 1
    assert await post.waiting() == 0
    assert (await post.bus.api(f"STREAM.INFO.{streams.dead_stream(name)}"))["state"]["messages"] == 1
