"""Languages move between the fleets of a live queue: nothing is lost, nothing is delivered twice, at whatever step."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from jobs.errors import ConfigFault, Unavailable
from jobs.languages import Language
from jobs.region import Fleet, Region
from jobs.service.bus import Bus
from jobs.service.streams_there import need
from jobs.streams import StreamPlan, serving
from tests.waiting import eventually
from tests.yurt.trading import (
    GO,
    PYTHON,
    RUST,
    DyingBus,
    Queue,
    Trade,
    acknowledge,
    calls_of_a_change,
    ids,
)
from yurt.bootstrap.apply import set_up
from yurt.bootstrap.fleets import change, look
from yurt.bootstrap.moving import Patience, consumers

SPLIT = (Fleet(name="gone", languages=(PYTHON,)), Fleet(name="rest", languages=(GO,)))
QUICK = Patience(settle_s=0.3, still_s=0.3, remove_s=0.3)


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


@pytest.mark.network
async def test_large_jobs_are_carried_too(queue: Queue) -> None:
    """A few at a time: more than the connection takes at once."""
    await queue.open(py=(PYTHON,))
    await queue.add(PYTHON, 16, padding=b"x" * (3 << 20))
    await queue.add(GO, 2)
    busy = await queue.take("rest", 1)
    await change(queue.bus, queue.plan(py=(RUST,)))
    assert Counter(ids([*busy, *await queue.take("rest")])) == Counter(queue.queued)


async def test_a_job_that_runs_when_its_language_moves_is_redelivered_to_its_old_fleet(bus: Bus) -> None:
    """A runner that dies after the change loses nothing: its fleet's consumer still knows the job."""
    queue = Queue(bus, ack_wait_s=0.3)
    await queue.open(py=(PYTHON,))
    await queue.add(PYTHON, 2)
    assert ids(await queue.take("py", 1)) == ["python-0"]
    await change(bus, queue.plan(py=(GO,)))
    again = await eventually(lambda: queue.take("py"))
    assert (ids(again), again[0].attempt) == (["python-0"], 2)
    assert ids(await queue.take("rest")) == ["python-1"]


async def test_two_fleets_can_swap_their_languages(queue: Queue) -> None:
    """Both give up first, so neither is in the other's way; what runs is waited for, and not run again."""
    await queue.open(one=(PYTHON,), two=(GO,))
    await queue.add(PYTHON, 3)
    await queue.add(GO, 3)
    running = await queue.take("one", 1) + await queue.take("two", 1)
    changing = asyncio.create_task(change(queue.bus, queue.plan(one=(GO,), two=(PYTHON,))))
    await eventually(lambda: queue.serves_not("two", GO))
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
    await eventually(lambda: queue.serves("rest", PYTHON))
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


async def test_processes_start_with_the_region_file_of_before_the_change(bus: Bus) -> None:
    """A gateway needs no fleet's consumers, a runner those of its own: another fleet may have gone."""
    before = Region(name="fleets-before", gateways=("g",), fleets=SPLIT)
    await set_up(bus, replace(before, fleets=(replace(SPLIT[1], languages=tuple(Language)),)))
    for fleet in ("", "rest"):
        await need(bus, serving(before, fleet=fleet), region=before.name, wait_s=0)
    with pytest.raises(ConfigFault, match="JOBS_FLEETS_BEFORE_PRIORITY/gone"):
        await need(bus, serving(before, fleet="gone"), region=before.name, wait_s=0)


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


async def test_a_change_cut_off_anywhere_is_finished_by_the_next_run(bus: Bus) -> None:
    """Cut off after each call in turn, while both fleets run jobs: every job is delivered once, by whoever it is."""
    calls = await calls_of_a_change(bus, cut_at=1000, after=True)
    assert calls > 15
    await asyncio.gather(*(calls_of_a_change(bus, cut_at=call, after=True) for call in range(calls)))


async def test_languages_move_back_and_forth_under_load_and_every_job_runs_once(bus: Bus) -> None:
    """Steady submissions in all languages while two fleets trade them: all accepted, each run, none of them twice."""
    trade = Trade(Queue(bus))
    await trade.begin()
    async with asyncio.timeout(30):
        for languages in ((PYTHON, GO), (GO, RUST), (RUST, Language.CPP, PYTHON), (PYTHON,)):
            await trade.move(*languages)
        await trade.end()
    assert trade.ended.keys() == set(trade.queue.queued)
    assert trade.ran_twice == []


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
