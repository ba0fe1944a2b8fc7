"""Real runners on a machine that is taken away: what ends in time ends, the rest runs elsewhere, nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter

import pytest

from jobs import streams, wire
from jobs.events import Beat
from jobs.region import Region, embedded
from jobs.service.bus import Bus
from jobs.service.pull import Delivery, Puller
from jobs.states import Class, State
from tests.conftest import NatsServer, make_streams
from tests.metadata import metadata
from tests.runner_processes import result, runner_process, stored, submit
from tests.waiting import eventually

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(os.geteuid() != 0, reason="the fork engine needs root"),
]

TAKEN_S = 20.0
SHORT = [f"short-{number}" for number in range(12)]
LONG = [f"long-{number}" for number in range(3)]
LATE = [f"late-{number}" for number in range(6)]


def sleeper(seconds: float, words: str) -> str:
    return f"import time; time.sleep({seconds}); print({words!r})"


async def all_are_taken(bus: Bus, region: Region) -> None:
    async def none_waits() -> bool:
        return (await the_queue(bus, region))[0] == 0

    await eventually(none_waits, TAKEN_S)


async def the_queue(bus: Bus, region: Region) -> tuple[int, int]:
    """How many wait, and how many somebody has."""
    info = await bus.api(f"CONSUMER.INFO.{streams.jobs_stream(region.name, Class.STANDARD)}.all")
    return info["num_pending"], info["num_ack_pending"]


async def next_delivery(bus: Bus, region: Region) -> Delivery:
    """What is to be had at once, well before anybody's ack wait is over."""
    came: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()
    puller = Puller(bus, streams.jobs_stream(region.name, Class.STANDARD), "all", came.set_result)
    await puller.start()
    puller.ask(1, expires_s=5, on_end=lambda: None)
    delivery = await asyncio.wait_for(came, 5)
    await puller.close()
    return delivery


async def test_no_job_is_lost_when_a_machine_is_taken_away(nats_server: NatsServer) -> None:
    """Every id has exactly one result. What could end within the notice ended at its first attempt; the rest, on the
    other runner at its second; and nothing new was taken."""
    region = embedded("taken")
    bus = await Bus.connect([nats_server.url], name="test")
    await make_streams(bus, streams.plan(region))
    beats: list[Beat] = []
    await bus.subscribe("runners.taken.spot", lambda message: beats.append(wire.unpack_as(Beat, message.data)))
    one = {"YURT_REGION": region.name, "YURT_BURST": "1"}
    async with metadata() as machine:
        async with runner_process(nats_server.url, **one, YURT_NAME="spot", YURT_NOTICE_URL=machine.url) as spot:
            await spot.said("action=ready")
            for number, name in enumerate(SHORT):
                await submit(bus, region, name, sleeper(0.1 * number, name))
            for name in LONG:
                await submit(bus, region, name, sleeper(20, name))
            await all_are_taken(bus, region)
            machine.advise()
            machine.take_away(in_s=17)  # heard within five seconds; ten before the end it has left
            said = await spot.said("action=draining")
            assert f"running={len(LONG)}" in said and "will be taken away (terminate)" in said
            async with runner_process(nats_server.url, **one, YURT_NAME="other") as other:
                await other.said("action=ready")
                for name in LATE:
                    await submit(bus, region, name, sleeper(0, name))
                assert await spot.ended(15) == 0
                ends = {name: await result(bus, region, name, 60) for name in (*SHORT, *LONG, *LATE)}
                other.send_signal(signal.SIGTERM)
                assert await other.ended(30) == 0
    assert beats[-1].leaving and "will be taken away" in beats[-1].why_leaving
    assert all(end.state is State.COMPLETED and end.stdout == f"{name}\n".encode() for name, end in ends.items())
    assert {name: (ends[name].runner, ends[name].attempt) for name in SHORT} == dict.fromkeys(SHORT, ("spot", 1))
    assert {name: (ends[name].runner, ends[name].attempt) for name in LONG} == dict.fromkeys(LONG, ("other", 2))
    assert {name: (ends[name].runner, ends[name].attempt) for name in LATE} == dict.fromkeys(LATE, ("other", 1))
    assert await the_queue(bus, region) == (0, 0)
    info = await bus.api(f"STREAM.INFO.{streams.results_stream(region.name)}", {"subjects_filter": ">"})
    each_once = Counter({streams.results_subject(region.name, name): 1 for name in ends})
    assert Counter(info["state"]["subjects"]) == each_once
    await bus.close()


async def test_a_notice_shortens_a_drain_that_has_begun(nats_server: NatsServer) -> None:
    """The twenty seconds of this runner's drain are not to be had any more: its job goes back as soon as is needed."""
    region = embedded("taken-later")
    bus = await Bus.connect([nats_server.url], name="test")
    await make_streams(bus, streams.plan(region))
    async with metadata() as machine:
        environ = {"YURT_REGION": region.name, "YURT_NOTICE_URL": machine.url}
        async with runner_process(nats_server.url, **environ) as process:
            await process.said("action=ready")
            await submit(bus, region, "long", sleeper(19, "done"))
            await all_are_taken(bus, region)
            process.send_signal(signal.SIGTERM)
            assert "it was told to stop" in await process.said("action=draining")
            machine.take_away(in_s=11)
            await process.said("action=interruption")
            assert await process.ended(8) == 0
    assert not await stored(bus, region, "long")
    assert (await next_delivery(bus, region)).attempt == 2
    await bus.close()


async def test_a_runner_that_starts_on_such_a_machine_takes_nothing_and_ends_well(nats_server: NatsServer) -> None:
    """Nomad may place one there until the machine is gone."""
    region = embedded("taken-before")
    bus = await Bus.connect([nats_server.url], name="test")
    await make_streams(bus, streams.plan(region))
    await submit(bus, region, "job", sleeper(0, "done"))
    async with metadata() as machine:
        machine.take_away(in_s=100, action="stop")
        environ = {"YURT_REGION": region.name, "YURT_NOTICE_URL": machine.url}
        async with runner_process(nats_server.url, **environ) as process:
            assert await process.ended(60) == 0
    assert (await next_delivery(bus, region)).attempt == 1
    await bus.close()
