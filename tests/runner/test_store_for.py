"""A job is held by beats while it runs, by its own queue's measure, and for a bounded time until it is stored."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from jobs import ends, streams
from jobs.job import Job
from jobs.region import Delivery, Region, embedded
from jobs.result import Result
from jobs.service.bus import Bus
from jobs.states import Class, State
from jobs.submission import Submission
from runner import work
from runner.intake import Intake
from runner.origin import Origin, of_consumer
from runner.work import Work
from tests.conftest import NatsServer, make_streams
from tests.runner_processes import result, submit
from tests.superclusters import eventually


class Scripted(Work):
    """A runner's work whose programs end when they are told to."""

    def __init__(self, bus: Bus, region: Region, origins: dict[Class, Origin]) -> None:
        nothing: Any = None
        super().__init__(
            bus,
            nothing,
            region="elsewhere",
            runner="scripted",
            on_done=self.on_done,
            stocked=nothing,
            on_unfit=nothing,
        )
        self.runs = 0
        self.begun, self.go, self.left = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.intake = Intake(
            bus,
            region=region.name,
            fleet="all",
            steady=4,
            room=lambda running: 4 - running,
            on_job=lambda job_class, delivery: self.take(origins[job_class], delivery),
        )

    def on_done(self, origin: Origin, result: Result | None) -> None:
        self.intake.done(origin.job_class)
        self.left.set()

    async def _is_on_the_shelves(self, submission: Submission) -> bool:
        return True

    async def _execute(self, job: Job, attempt: int) -> Result:
        self.runs += 1
        self.begun.set()
        await self.go.wait()
        now_ms = time.time_ns() // 1_000_000
        return ends.unrun(ends.queued_of(job), State.CANCELLED, None, "", job.gateway, now_ms, attempt=attempt)


async def working(bus: Bus, region: Region) -> tuple[Scripted, asyncio.Task[None]]:
    """At work on *region* as one of another region is: by what its consumers say of themselves."""
    await make_streams(bus, streams.plan(region))
    origins = {}
    for job_class in Class:
        info = await bus.api(f"CONSUMER.INFO.{streams.jobs_stream(region.name, job_class)}.all")
        origin = of_consumer(region.name, job_class, info["config"])
        assert origin is not None
        assert (origin.ack_wait_s, origin.max_attempts) == (region.delivery.ack_wait_s, region.delivery.max_attempts)
        origins[job_class] = origin
    scripted = Scripted(bus, region, origins)
    return scripted, asyncio.create_task(scripted.intake.run())


async def is_empty(bus: Bus, region: Region) -> bool:
    info = await bus.api(f"STREAM.INFO.{streams.jobs_stream(region.name, Class.STANDARD)}")
    return int(info["state"]["messages"]) == 0


async def test_a_job_is_kept_alive_by_the_measure_of_its_own_queue(bus: Bus) -> None:
    """Beats come in time for its queue's ack wait, however long it takes."""
    region = embedded("beats", delivery=Delivery(ack_wait_s=0.3))
    async with asyncio.timeout(10):
        scripted, taking = await working(bus, region)
        await submit(bus, region, "slow", "")
        await scripted.begun.wait()
        info = f"CONSUMER.INFO.{streams.jobs_stream(region.name, Class.STANDARD)}.all"
        asyncio.get_running_loop().call_later(1.0, scripted.go.set)  # more than three waits
        await eventually(lambda: is_empty(bus, region))
        assert (await bus.api(info))["num_redelivered"] == 0
        assert (scripted.runs, (await result(bus, region, "slow")).attempt) == (1, 1)
        scripted.intake.stop()
        await taking


async def test_a_result_that_cannot_be_stored_is_given_up_and_its_job_runs_again(
    own_nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its slot is free again; once the queue is back, the job is, and it has exactly one result."""
    monkeypatch.setattr(work, "STORE_FOR_S", 0.5)
    region = embedded("given-up", delivery=Delivery(ack_wait_s=1.0))
    bus = await Bus.connect([own_nats_server.url], name="test")
    async with asyncio.timeout(30):
        scripted, taking = await working(bus, region)
        await submit(bus, region, "lost", "")
        await scripted.begun.wait()
        own_nats_server.stop()
        scripted.go.set()
        await scripted.left.wait()
        assert sum(scripted.intake.running.values()) == 0
        own_nats_server.start()
        # a killed server may forget that it gave the job out
        assert (await result(bus, region, "lost")).attempt in (1, 2)
        await eventually(lambda: is_empty(bus, region))
        assert scripted.runs == 2
        state = (await bus.api(f"STREAM.INFO.{streams.results_stream(region.name)}"))["state"]
        assert state["messages"] == 1
        scripted.intake.stop()
        await taking
    await bus.close()
