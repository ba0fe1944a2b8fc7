"""Jobs of other regions: only what nobody there takes, the nearest first, into room to spare, each settled once."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from jobs import streams
from jobs.languages import Language
from jobs.region import Fleet, Region
from jobs.service.atlas import StaticAtlas
from jobs.service.bus import Bus
from jobs.service.pull import Delivery
from jobs.states import Class
from runner.intake import IDLE, Intake
from runner.origin import Origin, at_home
from runner.overflow import Overflow
from tests.superclusters import Supercluster, eventually, region_in

SLOTS = 16
RESERVE = 4
KEPT = 2 * IDLE  #: requests that lie on the other classes' queues and hold room
_numbers = itertools.count(1)


class Desk:
    """A runner's desk: what came, in order; ``finish`` settles one and frees its slot."""

    def __init__(
        self, bus: Bus, region: Region, *, slots: int = SLOTS, languages: Iterable[Language] = Language
    ) -> None:
        self.bus, self.region = bus, region
        self.came: list[Origin] = []
        self.waiting: list[tuple[Origin, Delivery]] = []
        self.news = asyncio.Event()
        self.said: list[str] = []
        home = at_home(region, region.fleets[0].name)
        self.intake = Intake(
            bus,
            region=region.name,
            fleet=region.fleets[0].name,
            steady=slots,
            room=lambda running: slots - running - self.overflow.running,
            on_job=lambda job_class, delivery: self.on_job(home[job_class], delivery),
        )
        self.overflow = Overflow(
            bus,
            StaticAtlas(region),
            languages=lambda: languages,
            spare=self.spare,
            steady=slots,
            on_job=self.on_job,
            on_control=lambda message: self.said.append(message.subject),
            look_s=0.1,
            expires_s=0.5,
        )

    def spare(self) -> int:
        taken = sum(self.intake.running.values()) + self.overflow.running
        return SLOTS - taken - RESERVE if self.intake.quiet else 0

    def on_job(self, origin: Origin, delivery: Delivery) -> None:
        self.came.append(origin)
        self.waiting.append((origin, delivery))
        self.news.set()

    async def finish(self) -> Origin:
        await self.until(lambda: bool(self.waiting))
        origin, delivery = self.waiting.pop(0)
        await delivery.acknowledge()
        if origin.region == self.region.name:
            self.intake.done(origin.job_class)
            self.overflow.wake()
        else:
            self.overflow.done(origin)
            self.intake.wake()
        return origin

    async def until(self, true: Callable[[], bool]) -> None:
        while not true():
            self.news.clear()
            await self.news.wait()

    @property
    def regions(self) -> Counter[str]:
        return Counter(origin.region for origin in self.came)

    async def close(self) -> None:
        await asyncio.gather(self.intake.close(), self.overflow.close())


@asynccontextmanager
async def desks(supercluster: Supercluster, *regions: Region, **options: Any) -> AsyncIterator[list[Desk]]:
    """One idle desk a region, each at its own cluster, all of them pulling; within 20 s."""
    made = [Desk(await supercluster.connect(each.cluster, "runner"), each, **options) for each in regions]
    runs = [asyncio.create_task(part.run()) for desk in made for part in (desk.intake, desk.overflow)]
    try:
        async with asyncio.timeout(20):
            yield made
    finally:
        for desk in made:
            desk.intake.stop()
            desk.overflow.stop()
        await asyncio.gather(*runs)
        await asyncio.gather(*(desk.bus.close() for desk in made))


async def queue(bus: Bus, region: Region, count: int = 1, job_class: Class = Class.STANDARD) -> None:
    subject = streams.jobs_subject(region.name, job_class, Language.PYTHON)
    await asyncio.gather(*(bus.enqueue(subject, b"job", message_id=str(next(_numbers))) for _ in range(count)))


async def lying(bus: Bus, region: Region, count: int, job_class: Class = Class.STANDARD) -> None:
    """Wait until so many messages are asked for on the region's consumer, by whomever."""
    verb = f"CONSUMER.INFO.{streams.jobs_stream(region.name, job_class)}.{region.fleets[0].name}"

    async def there() -> bool:
        return int((await bus.api(verb))["num_waiting"]) >= count

    await eventually(there)


async def left(bus: Bus, region: Region, job_class: Class = Class.STANDARD) -> int:
    info = await bus.api(f"STREAM.INFO.{streams.jobs_stream(region.name, job_class)}")
    return int(info["state"]["messages"])


async def test_a_local_pull_beats_a_remote_one(supercluster: Supercluster) -> None:
    """Both have room and ask: every job runs at home."""
    home, away = region_in("north", "over-home"), region_in("east", "over-away", "over-home")
    await supercluster.found(home, away)
    async with desks(supercluster, home, away) as (here, there):
        for _ in range(30):
            await lying(here.bus, home, 2)
            await queue(here.bus, home)
            await here.finish()
        assert here.regions == {"over-home": 30}
        assert not there.came


async def test_what_a_full_region_cannot_take_goes_to_an_idle_neighbour(supercluster: Supercluster) -> None:
    """Until the neighbour has only its reserve left; and every job is settled once."""
    home, away = region_in("north", "over-full"), region_in("east", "over-idle", "over-full")
    await supercluster.found(home, away)
    async with desks(supercluster, home, away) as (here, there):
        await lying(here.bus, home, 2)
        await queue(here.bus, home, 60)
        await there.until(lambda: len(there.came) >= SLOTS - RESERVE - 2)
        assert SLOTS - KEPT <= here.regions["over-full"] <= SLOTS + IDLE
        assert await left(here.bus, home) == 60
        await queue(there.bus, away, RESERVE)
        await there.until(lambda: there.regions["over-idle"] == RESERVE)
        assert there.regions["over-full"] <= SLOTS - RESERVE

        async def run(desk: Desk) -> None:
            while True:
                await desk.finish()

        running = [asyncio.create_task(run(desk)) for desk in (here, there)]
        await eventually(lambda: all_settled(here.bus, home, away))
        for task in running:
            task.cancel()
        assert here.regions["over-full"] + there.regions["over-full"] == 60


async def all_settled(bus: Bus, *regions: Region) -> bool:
    return not any([await left(bus, region, job_class) for region in regions for job_class in Class])


async def test_a_region_without_runners_is_served_by_the_nearest_that_is_idle(supercluster: Supercluster) -> None:
    """Two regions ask: the one whose rank is better gets every job while it asks, the other when it does not."""
    lone = region_in("north", "over-lone")
    near = region_in("east", "over-near", "over-lone")
    far = region_in("south", "over-far", "over-none", "over-lone")
    await supercluster.found(lone, near, far)
    async with desks(supercluster, near, far) as (first, second):
        for _ in range(10):
            await lying(first.bus, lone, 2)
            await queue(first.bus, lone)
            await first.finish()
        assert not second.came
        await first.overflow.close()
        await queue(second.bus, lone, 3)
        for _ in range(3):
            await second.finish()
        assert first.regions == {"over-lone": 10}


async def test_a_runner_whose_own_queue_waits_asks_nobody_else(supercluster: Supercluster) -> None:
    """As long as a job of its own may wait; once they have run, it helps the neighbour."""
    busy, other = region_in("north", "over-busy", "over-other"), region_in("east", "over-other")
    await supercluster.found(busy, other)
    async with desks(supercluster, busy) as (desk,):
        await eventually(lambda: is_so(desk.overflow.regions == ("over-other",)))
        await queue(desk.bus, busy, 60)
        await desk.until(lambda: desk.regions["over-busy"] >= SLOTS - KEPT)
        assert desk.spare() <= 0
        await lying(desk.bus, other, 1)  # what lay when its own came still comes, once
        await queue(desk.bus, other, 5)
        for _ in range(60 - SLOTS):
            await desk.finish()
            assert desk.regions["over-other"] <= 1
        while desk.regions["over-other"] < 5:
            await desk.finish()
        assert desk.regions["over-busy"] == 60


async def is_so(value: bool) -> bool:
    return value


async def test_of_one_region_the_better_class_goes_first_and_none_starves(supercluster: Supercluster) -> None:
    lone, helper = region_in("north", "over-class"), region_in("east", "over-helper", "over-class")
    await supercluster.found(lone, helper)
    bus = await supercluster.connect("north")
    for job_class in Class:
        await queue(bus, lone, 60, job_class)
    async with desks(supercluster, helper) as (desk,):
        for _ in range(60):
            await desk.finish()
        taken = Counter(origin.job_class for origin in desk.came[:60])
        assert taken[Class.PRIORITY] > taken[Class.STANDARD] >= taken[Class.BULK] > 0
    await bus.close()


async def test_only_consumers_whose_languages_are_all_offered_are_asked(supercluster: Supercluster) -> None:
    """A fleet that is made later is found; one with a language that this runner lacks is left alone."""
    fleets = (
        Fleet(name="scripts", languages=(Language.PYTHON, Language.JAVASCRIPT)),
        Fleet(name="rest", languages=(Language.JAVA, Language.GO, Language.CPP, Language.RUST)),
    )
    split = region_in("north", "over-split", fleets=fleets)
    helper = region_in("east", "over-scripts", "over-split")
    await supercluster.found(helper)
    async with desks(supercluster, helper, languages=(Language.PYTHON, Language.JAVASCRIPT)) as (desk,):
        await lying(desk.bus, helper, 1)
        assert desk.overflow.regions == ()  # it has no streams yet
        await supercluster.found(split)
        await eventually(lambda: is_so(desk.overflow.regions == ("over-split",)))
        java = streams.jobs_subject("over-split", Class.STANDARD, Language.JAVA)
        await desk.bus.enqueue(java, b"job", message_id="java")
        await queue(desk.bus, split)
        assert (await desk.finish()).fleet == "scripts"
        assert await left(desk.bus, split) == 1
        info = await desk.bus.api(f"CONSUMER.INFO.{streams.jobs_stream('over-split', Class.STANDARD)}.rest")
        assert info["num_waiting"] == 0


async def test_what_is_said_to_a_neighbours_runners_reaches_the_helper(supercluster: Supercluster) -> None:
    home, helper = region_in("north", "over-said"), region_in("east", "over-hears", "over-said")
    await supercluster.found(home, helper)
    bus = await supercluster.connect("north")
    async with desks(supercluster, helper) as (desk,):
        await eventually(lambda: is_so(desk.overflow.regions == ("over-said",)))

        async def heard() -> bool:
            bus.publish(streams.control_subject("over-said", "x"), b"stop")
            return "control.over-said.x" in desk.said

        await eventually(heard)
    await bus.close()


async def test_a_runner_that_leaves_takes_its_requests_back(supercluster: Supercluster) -> None:
    """At home and elsewhere: what is queued afterwards waits for another, and is not handed to one that is gone."""
    home, away = region_in("north", "over-leaves", "over-left"), region_in("east", "over-left")
    await supercluster.found(home, away)
    async with desks(supercluster, home) as (desk,):
        await lying(desk.bus, home, 1)
        await lying(desk.bus, away, 1)
        await desk.close()
        await queue(desk.bus, home)
        await queue(desk.bus, away)
        for region in (home, away):
            verb = f"CONSUMER.INFO.{streams.jobs_stream(region.name, Class.STANDARD)}.all"
            info = await desk.bus.api(verb)
            assert (info["num_pending"], info["num_ack_pending"], info["num_waiting"]) == (1, 0, 0)
        assert not desk.came


@pytest.mark.network
async def test_a_region_that_dies_is_absent_until_it_is_back(own_supercluster: Supercluster) -> None:
    """Meanwhile the runner serves its own region as if nothing were."""
    home, away = region_in("north", "home", "away"), region_in("east", "away")
    await own_supercluster.found(home, away)
    async with asyncio.timeout(60):
        async with desks(own_supercluster, home) as (desk,):
            await lying(desk.bus, away, 1)
            own_supercluster.stop("east")
            await eventually(lambda: is_so(desk.overflow.regions == ()))
            for _ in range(20):
                await queue(desk.bus, home)
                assert (await desk.finish()).region == "home"
            own_supercluster.start("east")
            await eventually(lambda: is_so(desk.overflow.regions == ("away",)))
            await queue(desk.bus, away)
            assert (await desk.finish()).region == "away"
