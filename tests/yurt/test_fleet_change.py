"""Languages move between the fleets of a live queue: nothing is lost, nothing is delivered twice, at whatever step."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from jobs.errors import ConfigFault, Unavailable
from jobs.languages import Language
from jobs.region import Fleet, Region, embedded
from jobs.service.bus import Bus
from jobs.service.pull import Delivery
from jobs.states import Class
from jobs.streams import PRIORITY_GROUP, StreamPlan, jobs_subject, plan
from runner.intake import Intake
from yurt.bootstrap.fleets import change, look
from yurt.bootstrap.moving import Patience, consumers

PYTHON, GO, RUST = Language.PYTHON, Language.GO, Language.RUST
T = TypeVar("T")
_numbers = itertools.count(1)

QUICK = Patience(settle_s=0.3, still_s=0.3, remove_s=0.3)


class Queue:
    """One region's standard queue, and pulls on it."""

    def __init__(self, bus: Bus, *, ack_wait_s: float = 30.0) -> None:
        self.bus, self.name = bus, f"fleets-{next(_numbers)}"
        self.region = embedded(self.name)
        self.region = replace(self.region, delivery=replace(self.region.delivery, ack_wait_s=ack_wait_s))
        self.queued: list[str] = []

    def plan(self, **split: tuple[Language, ...]) -> StreamPlan:
        """The queue where the fleets are as *split*; the languages left over go to a fleet "rest"."""
        rest = tuple(each for each in Language if not any(each in languages for languages in split.values()))
        split = {name: languages for name, languages in {**split, "rest": rest}.items() if languages}
        made = tuple(Fleet(name=name, languages=languages) for name, languages in split.items())
        return next(each for each in plan(self.with_fleets(made)) if each.name.endswith("_STANDARD"))

    def with_fleets(self, made: tuple[Fleet, ...]) -> Region:
        return replace(self.region, fleets=made)

    async def open(self, **split: tuple[Language, ...]) -> None:
        first = self.plan(**split)
        await self.bus.api(f"STREAM.CREATE.{first.name}", first.config)
        await change(self.bus, first)

    async def add(self, language: Language, count: int) -> None:
        for _ in range(count):
            self.queued.append(f"{language}-{len(self.queued)}")
            subject = jobs_subject(self.name, Class.STANDARD, language)
            await self.bus.enqueue(subject, self.queued[-1].encode(), message_id=self.queued[-1])

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


async def until(true: Callable[[], Awaitable[T]], within_s: float = 10.0) -> T:
    """What *true* gives, once that is something."""
    async with asyncio.timeout(within_s):
        while True:
            if value := await true():
                return value
            await asyncio.sleep(0.01)


def ids(deliveries: list[Delivery]) -> list[str]:
    return [each.data.decode() for each in deliveries]


async def acknowledge(deliveries: list[Delivery]) -> None:
    for each in deliveries:
        await each.acknowledge()


@pytest.fixture
async def queue(bus: Bus) -> AsyncIterator[Queue]:
    yield Queue(bus)


async def test_what_is_as_planned_is_left_alone(queue: Queue) -> None:
    """A second run has nothing to do, and says nothing."""
    await queue.open(py=(PYTHON,))
    assert await look(queue.bus, queue.plan(py=(PYTHON,))) == []
    assert await change(queue.bus, queue.plan(py=(PYTHON,))) == []


async def test_a_new_fleet_gets_all_that_waits_and_nothing_that_runs(queue: Queue) -> None:
    """What waits goes with its language; what runs stays with who runs it, and can be acknowledged."""
    await queue.open()
    await queue.add(PYTHON, 5)
    await queue.add(GO, 3)
    running = await queue.take("rest", 2)
    said = await look(queue.bus, queue.plan(py=(PYTHON,)))
    assert [words.split(": ")[1] for words in said] == [
        "fleet rest gives up python; what it runs it ends",
        "fleet py gets its consumer",
        "fleet py takes up python, and what of it waits",
    ]
    assert await change(queue.bus, queue.plan(py=(PYTHON,))) == [
        *said,
        f"{queue.plan().name}: fleet rest forgets what it had before",
    ]
    taken, kept = await queue.take("py"), await queue.take("rest")
    assert ids(running) + ids(taken) + ids(kept) == queue.queued
    await acknowledge([*running, *taken, *kept])
    assert await queue.is_empty()


async def test_a_busy_fleet_gets_what_waited_before_its_position(queue: Queue) -> None:
    """A consumer never looks back: what waited behind it is queued again, and its own jobs are not disturbed."""
    await queue.open(py=(PYTHON,))
    await queue.add(PYTHON, 250)
    await queue.add(GO, 4)
    busy, running = await queue.take("rest", 2), await queue.take("py", 3)
    await change(queue.bus, queue.plan(py=(RUST,)))
    taken = await queue.take("rest")
    assert Counter(ids([*running, *busy, *taken])) == Counter(queue.queued)
    await acknowledge([*running, *busy, *taken])
    assert await queue.is_empty()


async def test_a_job_that_runs_when_its_language_moves_is_redelivered_to_its_old_fleet(bus: Bus) -> None:
    """A runner that dies after the change loses nothing: its fleet's consumer still knows the job."""
    queue = Queue(bus, ack_wait_s=0.3)
    await queue.open(py=(PYTHON,))
    await queue.add(PYTHON, 2)
    assert ids(await queue.take("py", 1)) == ["python-0"]
    await change(bus, queue.plan(py=(GO,)))
    again = await until(lambda: queue.take("py"))
    assert (ids(again), again[0].attempt) == (["python-0"], 2)
    assert ids(await queue.take("rest")) == ["python-1"]


async def test_two_fleets_can_swap_their_languages(queue: Queue) -> None:
    """Both give up first, so neither is in the other's way; what runs is waited for, and not run again."""
    await queue.open(one=(PYTHON,), two=(GO,))
    await queue.add(PYTHON, 3)
    await queue.add(GO, 3)
    running = await queue.take("one", 1) + await queue.take("two", 1)
    changing = asyncio.create_task(change(queue.bus, queue.plan(one=(GO,), two=(PYTHON,))))
    await until(lambda: queue.serves_not("two", GO))
    await acknowledge(running)
    await changing
    one, two = await queue.take("one"), await queue.take("two")
    assert Counter(ids([*running, *one, *two])) == Counter(queue.queued)
    assert all(each.startswith("go") for each in ids(one))


async def test_a_fleet_goes_when_what_it_runs_has_ended(queue: Queue) -> None:
    """Its consumer is deleted last, when nothing is in flight with it."""
    await queue.open(py=(PYTHON,))
    await queue.add(PYTHON, 3)
    running = await queue.take("py", 1)
    changing = asyncio.create_task(change(queue.bus, queue.plan()))
    await until(lambda: queue.serves("rest", PYTHON))
    assert not changing.done()
    await acknowledge(running)
    await changing
    assert list(await consumers(queue.bus, queue.plan().name)) == ["rest"]
    assert ids([*running, *await queue.take("rest")]) == queue.queued


async def test_jobs_of_a_fleet_that_went_and_never_ended_are_given_to_others(queue: Queue) -> None:
    """Past its bound the change goes on, and nothing is left to nobody."""
    await queue.open(py=(PYTHON,))
    await queue.add(PYTHON, 3)
    dead = await queue.take("py", 1)
    said: list[str] = []
    await change(queue.bus, queue.plan(), say=said.append, patience=QUICK)
    assert "1 jobs of fleet py go to others, and may run twice" in " ".join(said)
    assert Counter(ids(await queue.take("rest"))) == Counter(queue.queued)
    assert ids(dead) == ["python-0"]


async def test_a_language_that_nobody_would_serve_is_refused(queue: Queue) -> None:
    """The plan is refused before anything is changed, and the sentence names the language."""
    await queue.open(py=(PYTHON,))
    full = queue.plan()
    short = replace(full, consumers=(replace(full.consumers[0], config=_without(full, PYTHON)),))
    for ask in (look, change):
        with pytest.raises(ConfigFault, match=r"fleet py serves python, and in the new plan no fleet does"):
            await ask(queue.bus, short)
    assert list(await consumers(queue.bus, full.name)) == ["py", "rest"]


async def test_how_a_fleet_delivers_changes_without_its_languages(queue: Queue) -> None:
    """Another ack wait is set; what cannot be changed in a living consumer is refused with the way round it."""
    await queue.open()
    queue.region = replace(queue.region, delivery=replace(queue.region.delivery, ack_wait_s=20.0))
    done = await change(queue.bus, queue.plan())
    assert done == [f"{queue.plan().name}: fleet rest sets ack_wait from 30000000000 to 20000000000"]
    fixed = queue.plan()
    config = {**fixed.consumers[0].config, "max_waiting": 100}
    with pytest.raises(ConfigFault, match="give the fleet a new name"):
        await change(queue.bus, replace(fixed, consumers=(replace(fixed.consumers[0], config=config),)))


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


async def test_a_change_cut_off_anywhere_is_finished_by_the_next_run(bus: Bus) -> None:
    """Cut off before and after each call, while both fleets run jobs: every job is delivered once, by whoever it is."""
    calls = await calls_of_a_change(bus, cut_at=1000, after=True)
    assert calls > 15
    cuts = itertools.product(range(calls), (False, True))
    await asyncio.gather(*(calls_of_a_change(bus, cut_at=call, after=after) for call, after in cuts))


async def calls_of_a_change(bus: Bus, *, cut_at: int, after: bool) -> int:
    """How many calls a change made, until it was cut off; then it is run again, and everything is counted."""
    queue = Queue(bus)
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
        self._ended[delivery.data.decode()] += 1
        await delivery.acknowledge()
        self.intake.done(job_class)


async def test_languages_move_back_and_forth_under_load_and_every_job_runs_once(bus: Bus) -> None:
    """Steady submissions in all languages while two fleets trade them: all accepted, each run, none of them twice."""
    queue = Queue(bus)
    whole = queue.with_fleets((Fleet(name="one", languages=(PYTHON,)), Fleet(name="rest", languages=())))
    await queue.open(one=(PYTHON,))
    for each in plan(whole)[:3]:  # the other classes are there, and idle
        if each.name != queue.plan().name:
            await bus.api(f"STREAM.CREATE.{each.name}", each.config)
            await change(bus, _of_class(queue, each.name, one=(PYTHON,)))
    ended: Counter[str] = Counter()
    hands = [Hands(queue, fleet, ended) for fleet in ("one", "rest")]
    taking = [asyncio.create_task(each.intake.run()) for each in hands]
    stop = asyncio.Event()

    async def submit() -> None:
        while not stop.is_set():
            for language in Language:
                await queue.add(language, 1)
            await asyncio.sleep(0.002)

    submitting = asyncio.create_task(submit())
    async with asyncio.timeout(30):
        for languages in ((PYTHON, GO), (GO, RUST), (PYTHON,), (RUST, Language.CPP, PYTHON), (PYTHON,)):
            await change(bus, queue.plan(one=languages))
        stop.set()
        await submitting
        await until(queue.is_empty)
    for each in hands:
        each.intake.stop()
    await asyncio.gather(*taking)
    assert ended.keys() == set(queue.queued)
    assert [each for each, runs in ended.items() if runs > 1] == []


async def test_nats_that_is_away_is_told_and_the_next_run_goes_on(bus: Bus) -> None:
    """Not a traceback, and not half a change for ever."""
    queue = Queue(bus)
    await queue.open(py=(PYTHON,))

    async def away(call: Any, changes: bool) -> Any:
        call.close()
        raise Unavailable("NATS is away")

    broken = DyingBus(bus, 3, after=False)
    broken._count = away  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await change(broken, queue.plan())  # type: ignore[arg-type]
    await change(bus, queue.plan())
    assert await look(bus, queue.plan()) == []


def _without(whole: StreamPlan, language: Language) -> dict[str, Any]:
    config = whole.consumers[0].config
    return {**config, "filter_subjects": [each for each in config["filter_subjects"] if not each.endswith(language)]}


def _of_class(queue: Queue, stream: str, **split: tuple[Language, ...]) -> StreamPlan:
    rest = tuple(each for each in Language if not any(each in languages for languages in split.values()))
    made = tuple(Fleet(name=name, languages=each) for name, each in {**split, "rest": rest}.items())
    return next(each for each in plan(queue.with_fleets(made)) if each.name == stream)
