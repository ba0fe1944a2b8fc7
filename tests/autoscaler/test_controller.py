"""The loop with a real NATS and a scripted Nomad: what is away, who leads, what is remembered."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from autoscaler import scaling
from autoscaler.controller import Controller, Outcome, Still
from autoscaler.fleets import Fleets, NomadFleets
from autoscaler.lock import TTL_S, NatsLock
from autoscaler.metrics import Metrics
from autoscaler.nomad_door import NomadDoor
from autoscaler.policy import Count, Decision
from autoscaler.record import Record
from autoscaler.scaling import FleetScaling
from autoscaler.sensor import SILENCE_S, Sensor
from jobs import streams, wire
from jobs.errors import Unavailable
from jobs.events import Beat, Offer
from jobs.languages import Language
from jobs.region import Region, embedded
from jobs.service.bus import Bus
from jobs.states import Class
from tests.autoscaler.scripted_nomad import scripted_nomad
from tests.conftest import NatsServer, make_streams

_numbers = itertools.count(1)

NIGHT = 1_800_223_200.0  #: a Sunday, 22:00 UTC: the floor is 10


@dataclass
class Clock:
    now: float = NIGHT

    def __call__(self) -> float:
        return self.now


@dataclass
class Remembered:
    """A Nomad that is a number, for what is not about Nomad."""

    count_now: Count = field(default_factory=lambda: Count(baseline=10))
    applied: list[tuple[str, int]] = field(default_factory=list)

    async def count(self, fleet: FleetScaling) -> Count:
        return self.count_now

    async def apply(self, fleet: FleetScaling, decision: Decision, *, key: str, still: Callable[[], bool]) -> str:
        assert still()
        self.applied.append((key, decision.total))
        self.count_now = Count(baseline=decision.baseline, burst=decision.burst)
        return "done"


@dataclass
class Room:
    """A controller, and all it stands on."""

    bus: Bus
    region: Region
    clock: Clock
    sensor: Sensor
    fleets: Fleets

    def controller(self, owner: str, fleets: Fleets | None = None, **more: Any) -> Controller:
        return Controller(
            region=self.region.name,
            scaling=more.pop("plans", scaling.default(self.region)),
            sensor=self.sensor,
            fleets=fleets or self.fleets,
            record=Record(self.bus, self.region.name),
            lock=NatsLock(self.bus, region=self.region.name, owner=owner, clock=self.clock, **more.pop("lock", {})),
            metrics=Metrics(),
            clock=self.clock,
            **more,
        )

    async def beat(self, runners: int, *, cpu: float = 10.0, memory: float = 10.0, **more: Any) -> None:
        """So many runners say that they are there, and are heard."""
        for number in range(runners):
            beat = Beat(
                runner=f"r{number}",
                region=self.region.name,
                pid=1,
                slots=8,
                running=0,
                cpu_percent=cpu,
                memory_percent=memory,
                **{"draining": False, "offers": (Offer(language="python", version="3.13"),), **more},
            )
            self.bus.publish(streams.runner_subject(self.region.name, beat.runner), wire.pack(beat))
        await self.bus.api("INFO")  # an answer that comes after what was published before

    async def queue(self, jobs: int, job_class: Class = Class.STANDARD, language: Language = Language.PYTHON) -> None:
        subject = streams.jobs_subject(self.region.name, job_class, language)
        await asyncio.gather(
            *(self.bus.enqueue(subject, b"job", message_id=f"{job_class}-{next(_numbers)}") for _ in range(jobs))
        )

    async def ready(self) -> None:
        """As long as it takes until runners are known."""
        self.clock.now += SILENCE_S


@asynccontextmanager
async def a_room(bus: Bus, **changes: Any) -> AsyncIterator[Room]:
    region, clock = embedded(f"scale-{next(_numbers)}", **changes), Clock()
    await make_streams(bus, streams.plan(region))
    sensor = Sensor(bus, region, clock)
    await sensor.start()
    yield Room(bus=bus, region=region, clock=clock, sensor=sensor, fleets=Remembered())
    await sensor.close()


@pytest.fixture
async def room(bus: Bus) -> AsyncIterator[Room]:
    async with a_room(bus) as made:
        yield made


async def rounds(controller: Controller, room: Room, seconds: int, each: Callable[[], Awaitable[None]]) -> Outcome:
    """A round every five seconds, with *each* before it; the last outcome."""
    outcome = None
    for _ in range(0, seconds + 1, 5):
        await each()
        (outcome,) = await controller.round()
        room.clock.now += 5
    assert outcome is not None
    return outcome


# -- sense ------------------------------------------------------------------------------------------------------------


async def test_depths_are_what_waits_and_what_runs(room: Room) -> None:
    """By class, of the fleet's consumer."""
    await room.queue(3)
    await room.queue(2, Class.PRIORITY, Language.RUST)
    sample = await room.sensor.sample("all")
    assert dict(sample.queue) == {Class.PRIORITY: 2, Class.STANDARD: 3, Class.BULK: 0}


async def test_runners_are_known_after_three_beats_and_forgotten_after_three(room: Room) -> None:
    """Not ready: who drains, who offers nothing; not there: who has left."""
    await room.beat(4, cpu=50.0, memory=20.0)
    sample = await room.sensor.sample("all")
    assert (sample.ready, sample.cpu_percent) == (None, None)
    await room.ready()
    await room.beat(3, cpu=60.0, memory=30.0)
    await room.beat(1, draining=True)
    sample = await room.sensor.sample("all")
    assert (sample.ready, sample.cpu_percent, sample.memory_percent) == (3, 56.67, 26.67)
    await room.beat(2, leaving=True)
    assert room.sensor.heard("all") == 2
    room.clock.now += SILENCE_S + 0.1
    sample = await room.sensor.sample("all")
    assert (sample.ready, sample.cpu_percent, sample.missing) == (0, None, ())


async def test_a_missing_consumer_is_a_missing_sample(room: Room) -> None:
    """Never a depth of 0."""
    await room.ready()
    await room.beat(10)
    stream = streams.jobs_stream(room.region.name, Class.BULK)
    await room.bus.api(f"CONSUMER.DELETE.{stream}.all")
    sample = await room.sensor.sample("all")
    assert sample.missing == ("queue depth of bulk",)


# -- decide and act ---------------------------------------------------------------------------------------------------


async def test_load_brings_runners_after_half_a_minute_and_calm_takes_them_after_five(room: Room) -> None:
    """The whole loop, by its clock; and the numbers are the original design's."""
    fleets = Remembered()
    controller = room.controller("one", fleets)
    await room.ready()

    async def busy() -> None:
        await room.beat(10, cpu=90.0)

    await room.queue(200)
    await rounds(controller, room, 25, busy)
    assert fleets.count_now == Count(baseline=10)
    await rounds(controller, room, 0, busy)
    assert fleets.count_now == Count(baseline=10, burst=20)
    await room.bus.api(f"STREAM.PURGE.{streams.jobs_stream(room.region.name, Class.STANDARD)}")

    async def calm() -> None:
        await room.beat(30)

    await rounds(controller, room, 295, calm)
    assert fleets.count_now.total == 30
    await rounds(controller, room, 5, calm)
    assert fleets.count_now.total == 27


async def test_a_restart_takes_up_the_history(room: Room) -> None:
    """What the one before saw for 25 s is enough for the next one, five seconds later."""
    fleets = Remembered()
    before = room.controller("before", fleets)
    await room.ready()
    await room.queue(200)

    async def busy() -> None:
        await room.beat(10)

    await rounds(before, room, 25, busy)
    await before.leave()
    await rounds(room.controller("after", fleets), room, 0, busy)
    assert fleets.count_now.total == 30


async def test_a_dry_run_decides_and_does_nothing(room: Room) -> None:
    """Nothing is stored either."""
    fleets = Remembered(count_now=Count(baseline=3))
    (outcome,) = await room.controller("dry", fleets, dry_run=True).round()
    assert outcome.decision is not None and outcome.decision.total == 10
    assert (outcome.still, fleets.applied) == (Still.DRY_RUN, [])
    assert await Record(room.bus, room.region.name).read("all") == []


async def test_plan_says_the_same_and_takes_no_lock(room: Room) -> None:
    """Beside a controller that leads."""
    fleets = Remembered(count_now=Count(baseline=3))
    await room.controller("leads", Remembered()).round()
    plans = scaling.default(room.region)
    outcome = await room.controller("asks", fleets, plans=plans).plan(plans.fleets[0])
    assert outcome.decision is not None and outcome.decision.total == 10
    assert fleets.applied == []


# -- who leads --------------------------------------------------------------------------------------------------------


async def test_one_leads_and_the_other_follows_at_once_when_it_leaves(room: Room) -> None:
    """Two controllers, one decision."""
    one, two = Remembered(count_now=Count(baseline=3)), Remembered(count_now=Count(baseline=3))
    first, second = room.controller("first", one), room.controller("second", two)
    assert (await first.round())[0].still is None
    assert (await second.round())[0].still is Still.STANDBY
    assert (await first.round())[0].still is None
    await first.leave()
    assert (await second.round())[0].still is None
    assert (await first.round())[0].still is Still.STANDBY
    assert (len(one.applied), len(two.applied)) == (2, 1)


async def test_the_lock_of_one_that_died_runs_out(room: Room) -> None:
    """By the server's clock; until then nobody else gets in, and the dead one's own clock was there before."""
    dead = NatsLock(room.bus, region=room.region.name, owner="dead", clock=room.clock, ttl_s=1)
    assert await dead.take()
    other = NatsLock(room.bus, region=room.region.name, owner="other", clock=room.clock)
    assert not await other.take()
    async with asyncio.timeout(10):
        while not await other.take():
            assert not other.held
    assert other.held


async def test_a_lock_that_is_not_renewed_is_not_believed(room: Room) -> None:
    """Before the server would let anybody else in."""
    lock = NatsLock(room.bus, region=room.region.name, owner="slow", clock=room.clock)
    assert await lock.take()
    room.clock.now += TTL_S - 2.5
    assert lock.held
    room.clock.now += 1
    assert not lock.held


async def test_a_lock_whose_answer_was_lost_is_found_to_be_ones_own(room: Room) -> None:
    """The message is there, with our name; only we do not know its sequence."""
    lost = NatsLock(room.bus, region=room.region.name, owner="me", clock=room.clock)
    assert await lost.take()
    again = NatsLock(room.bus, region=room.region.name, owner="me", clock=room.clock)
    assert await again.take() and again.held


async def test_who_was_superseded_does_nothing(room: Room) -> None:
    """Two that both believe to lead: the record lets one of them through, and the other reads it anew."""
    one, two = Remembered(count_now=Count(baseline=3)), Remembered(count_now=Count(baseline=3))
    first = room.controller("same", one)
    second = room.controller("same", two)
    assert (await first.round())[0].still is None
    assert (await second.round())[0].still is None
    (outcome,) = await first.round()
    assert (outcome.still, len(one.applied)) == (Still.SUPERSEDED, 1)
    assert (await first.round())[0].still is None


# -- what is away -----------------------------------------------------------------------------------------------------


async def test_when_nomad_is_away_it_holds_still_and_says_so(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    """One line a round; and it goes on when Nomad is back."""

    async def sleep(seconds: float) -> None: ...

    async with scripted_nomad(count=3, moods=[(500, "No cluster leader")] * 4) as nomad:
        controller = room.controller("one", NomadFleets(NomadDoor(nomad.address, sleep=sleep)))
        (outcome,) = await controller.round()
        assert (outcome.still, outcome.decision) == (Still.NOMAD_AWAY, None)
        assert [each.message for each in caplog.records if "holds_still" in each.message] != []
        assert nomad.count == 3
        (outcome,) = await controller.round()
        assert (outcome.still, nomad.count) == (None, 10)


async def test_when_nomad_refuses_the_next_decision_tries_again(room: Room) -> None:
    """Not the same round; and what was refused is told in one line."""
    async with scripted_nomad(count=3) as nomad:
        controller = room.controller("one", NomadFleets(NomadDoor(nomad.address)))
        nomad.refusals = ["group count was less than scaling policy minimum: 10 < 20"]
        (outcome,) = await controller.round()
        assert outcome.still is Still.NOMAD_REFUSES and "scaling block" in outcome.problem
        room.clock.now += 5
        (outcome,) = await controller.round()
        assert (outcome.still, nomad.count) == (None, 10)


async def test_when_nats_is_away_it_holds_still_and_goes_on_afterwards(own_nats_server: NatsServer) -> None:
    """No decision without a record; after the outage the silence of the runners is not believed at once."""
    bus = await Bus.connect([own_nats_server.url], name="test")
    try:
        async with a_room(bus) as room:
            fleets = Remembered(count_now=Count(baseline=3))
            controller = room.controller("one", fleets)
            assert (await controller.round())[0].still is None
            await room.ready()
            back = asyncio.Event()
            bus.on_reconnect(back.set)
            own_nats_server.stop()
            (outcome,) = await controller.round()
            assert (outcome.still, len(fleets.applied)) == (Still.LOCK_AWAY, 1)
            own_nats_server.start()
            await asyncio.wait_for(back.wait(), 10)
            await _until_leading(controller)
            assert len(fleets.applied) == 2
            assert (await room.sensor.sample("all")).ready is None
    finally:
        await bus.close()


async def _until_leading(controller: Controller) -> None:
    """JetStream needs a moment after its server has come up."""
    async with asyncio.timeout(10):
        while (await controller.round())[0].still is not None:
            pass


async def test_a_lock_whose_keeper_is_away_stops_the_round(room: Room) -> None:
    """Whoever keeps it."""

    class Away:
        held = False

        async def take(self) -> bool:
            raise Unavailable("Consul at http://127.0.0.1:8500: it does not answer")

        async def leave(self) -> None: ...

    fleets = Remembered(count_now=Count(baseline=3))
    controller = room.controller("one", fleets)
    controller._lock = Away()
    (outcome,) = await controller.round()
    assert (outcome.still, fleets.applied) == (Still.LOCK_AWAY, [])


async def test_a_decision_survives_its_record(room: Room) -> None:
    """What is stored is what is read; what somebody else wrote there is passed over."""
    fleets = Remembered(count_now=Count(baseline=3))
    (outcome,) = await room.controller("one", fleets).round()
    await room.bus.keep(streams.scale_decision_subject(room.region.name, "all"), b'{"fleet": 3}')
    await room.bus.keep(streams.scale_decision_subject(room.region.name, "all"), b"\xff")
    assert await Record(room.bus, room.region.name).read("all") == [outcome.decision]
    assert await Record(room.bus, "no-such-region").read("all") == []


async def test_a_long_record_is_read_whole(room: Room) -> None:
    """Hours of decisions, oldest first, in one read."""
    written = Record(room.bus, room.region.name)
    (outcome,) = await room.controller("one", dry_run=True).round()
    assert outcome.decision is not None
    for number in range(1500):
        await written.add(replace(outcome.decision, at=float(number)))
    found = await Record(room.bus, room.region.name).read("all")
    assert [decision.at for decision in found] == [float(number) for number in range(1500)]
