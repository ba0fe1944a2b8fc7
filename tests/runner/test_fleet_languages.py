"""A runner serves what its fleet's consumers deliver: languages come and go as it lives, and jobs wait for theirs."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from jobs.errors import SandboxFault
from jobs.languages import Language
from jobs.limits import DEFAULTS
from jobs.region import Fleet, Region, embedded
from jobs.service.bus import Bus
from jobs.states import Class
from jobs.streams import plan
from jobs.submission import Submission
from runner.fleet import LINGER_S, RETRY_S, FleetLanguages
from runner.languages.contract import Boot, Installation, Probe, Room
from runner.shelves import Shelves
from tests.sandboxes import missing
from tests.waiting import eventually
from yurt.bootstrap.fleets import change

PYTHON, GO, RUST = Language.PYTHON, Language.GO, Language.RUST
SOON_S = 0.005


class Idle:
    """An engine that has nothing to pitch: what is stocked here is offered, and never run."""

    def __init__(self) -> None:
        self.installed: list[str] = []

    async def add(self, installation: Installation, boots: tuple[Boot, ...]) -> None:
        self.installed.append(installation.name)

    def abreast(self, installation: Installation) -> int:
        return 1

    async def remove(self, installation: Installation) -> None:
        self.installed.remove(installation.name)

    async def pitch(self, installation: Installation, room: Room, *, cold: bool = False, tty: bool = False) -> None:
        raise SandboxFault("nothing is run here")

    async def close(self) -> None: ...


@dataclass
class Bench:
    """A language as it is told to be: *versions* are there, and it is counted how often they were looked for."""

    language: Language
    versions: tuple[str, ...] = ("2.0", "1.0")
    tried: int = 0

    def discover(self) -> Sequence[Installation]:
        self.tried += 1
        return [Installation(language=self.language, version=version) for version in self.versions]

    def prepare(self, installation: Installation, cache: Path, report: object) -> Installation:
        return installation

    def boots(self, installation: Installation) -> Sequence[Boot]:
        return ()

    def probes(self, installation: Installation) -> Sequence[Probe]:
        return ()


class Hall:
    """A region with two fleets, and the languages of a runner of one of them."""

    def __init__(self, bus: Bus, name: str) -> None:
        self.bus, self.region = bus, embedded(name)
        self.engine, self.now, self.in_hand = Idle(), 1000.0, set[Language]()
        self.benches = {language: Bench(language) for language in (PYTHON, GO)}
        self.shelves = Shelves(self.engine, cache=Path("/nowhere"), warm=0, slots=1)  # type: ignore[arg-type]
        self.fleet = FleetLanguages(
            bus,
            self.shelves,
            region=name,
            name="py",
            supports=self.benches.get,  # type: ignore[arg-type]
            in_hand=lambda: self.in_hand,
            clock=lambda: self.now,
            look_s=SOON_S,
        )

    async def split(self, *languages: Language) -> None:
        """The fleet "py" serves *languages* from now on, the fleet "rest" the others."""
        rest = tuple(each for each in Language if each not in languages)
        fleets = (Fleet(name="py", languages=languages), Fleet(name="rest", languages=rest))
        region: Region = replace(self.region, fleets=fleets)
        for queue in plan(region)[: len(Class)]:
            await change(self.bus, queue)

    async def open(self, *languages: Language) -> None:
        for queue in plan(self.region)[: len(Class)]:
            await self.bus.api(f"STREAM.CREATE.{queue.name}", queue.config)
        await self.split(*languages)

    def offers(self) -> set[str]:
        return {offer.language for offer in self.shelves.offers()}


def submission(language: Language, version: str = "*") -> Submission:
    return Submission(language=language, version=version, code=b"", timeout_s=1, memory_mb=64, limits=DEFAULTS)


@pytest.fixture
async def hall(bus: Bus, request: pytest.FixtureRequest) -> Hall:
    return Hall(bus, f"hall-{abs(hash(request.node.name)) % 10**8}")


async def test_a_runner_begins_with_what_its_consumers_deliver(hall: Hall) -> None:
    """Not with what its region file said; that is for when they cannot be asked."""
    await hall.open(GO)
    assert await hall.fleet.look_once(otherwise=(PYTHON,)) == (GO,)
    alone = Hall(hall.bus, "hall-nowhere")
    assert await alone.fleet.look_once(otherwise=(PYTHON,)) == (PYTHON,)


async def test_languages_come_at_once_and_go_when_they_are_let_go(hall: Hall) -> None:
    """What the fleet was given is offered; what was taken from it stays for what may come back, and is then let go."""
    await hall.open(PYTHON)
    await hall.fleet.look_once(())
    looking = asyncio.create_task(hall.fleet.run())
    await hall.shelves.stock([hall.benches[PYTHON]])  # type: ignore[list-item]
    await hall.split(GO)
    await eventually(lambda: hall.offers() == {PYTHON, GO} and hall.fleet.languages == {GO})
    hall.now += LINGER_S - 1
    await hall.split(GO, RUST)
    await eventually(lambda: hall.fleet.languages == {GO, RUST})
    assert hall.offers() == {PYTHON, GO}
    hall.in_hand.add(PYTHON)
    hall.now += 2
    await hall.split(GO)
    await eventually(lambda: hall.fleet.languages == {GO})
    assert hall.offers() == {PYTHON, GO}, "a job of it runs"
    hall.in_hand.clear()
    await eventually(lambda: hall.offers() == {GO})
    assert hall.engine.installed == ["go-2.0", "go-1.0"]
    looking.cancel()


async def test_a_job_whose_language_is_not_there_brings_it_and_waits(hall: Hall) -> None:
    """Whatever the fleet is said to serve, an older version too."""
    async with asyncio.timeout(5):
        await asyncio.gather(hall.fleet.stocked(submission(GO)), hall.fleet.stocked(submission(GO, "1")))
    assert hall.shelves.find(GO, "1", "") is not None
    assert hall.benches[GO].tried == 1
    await hall.fleet.stocked(submission(GO, "7"))
    assert hall.benches[GO].tried == 1, "what there is of it is there"


async def test_jobs_do_not_wait_for_what_is_not_to_be_had(hall: Hall) -> None:
    """No support, or nothing that works: told at once, and tried again after a while."""
    hall.benches[GO].versions = ()
    async with asyncio.timeout(5):
        await hall.fleet.stocked(submission(RUST))
        await hall.fleet.stocked(submission(GO))
        await hall.fleet.stocked(submission(GO))
        assert hall.benches[GO].tried == 1
        hall.benches[GO].versions = ("1.0",)
        hall.now += RETRY_S + 1
        await hall.fleet.stocked(submission(GO))
    assert hall.offers() == {GO}


async def test_a_job_waits_for_older_versions_that_are_still_being_proved(hall: Hall) -> None:
    """Those that the runner's start left for later."""
    older = await hall.shelves.stock([hall.benches[GO]])  # type: ignore[list-item]
    may = asyncio.Event()

    async def prove() -> None:
        await may.wait()
        await hall.shelves.stock_older(older)

    hall.fleet.expect([GO], asyncio.create_task(prove()))
    waiting = asyncio.create_task(hall.fleet.stocked(submission(GO, "1")))
    await hall.fleet.stocked(submission(GO))
    assert not waiting.done()
    may.set()
    await asyncio.wait_for(waiting, 5)
    assert hall.shelves.find(GO, "1", "") is not None


async def test_a_queue_that_cannot_be_asked_changes_nothing(hall: Hall) -> None:
    """A consumer that is gone, as a NATS that is away: the runner goes on with what it has."""
    await hall.open(PYTHON)
    await hall.fleet.look_once(())
    await hall.shelves.stock([hall.benches[PYTHON]])  # type: ignore[list-item]
    for queue in plan(hall.region)[: len(Class)]:
        await hall.bus.api(f"CONSUMER.DELETE.{queue.name}.py")
    looking = asyncio.create_task(hall.fleet.run())
    await hall.fleet.stocked(submission(GO))  # some rounds later
    hall.now += 2 * LINGER_S
    await eventually(lambda: hall.offers() == {PYTHON})
    assert hall.fleet.languages == {PYTHON}
    looking.cancel()


#: in a process of its own: an engine takes names of its process for itself
LETS_GO = """
import asyncio, json, pathlib, sys
from runner.engines.fork.engine import ForkEngine
from runner.languages.python import Python
from runner.shelves import Shelves

async def main():
    engine = ForkEngine(slots=8)
    shelves = Shelves(engine, cache=pathlib.Path(sys.argv[1]), warm=2, slots=4)
    for _ in range(2):
        await shelves.stock([Python()])
        offered, counted = len(shelves.offers()), shelves.counts()
        await shelves.drop(Python.language)
        children = pathlib.Path("/proc/self/task").glob("*/children")
        left = "".join(each.read_text() for each in children).split()
        print(json.dumps([offered, len(shelves.offers()), left, len(engine._free), counted == shelves.counts()]))
    await engine.close()

asyncio.run(main())
"""


@pytest.mark.network
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_a_language_that_was_let_go_leaves_nothing_and_can_come_again(tmp_path: Path) -> None:
    """Its zygote has ended, every slot is free, and what it did is still counted."""
    home = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", LETS_GO, str(tmp_path)], cwd=home, capture_output=True, text=True, timeout=120
    )
    assert [json.loads(line) for line in done.stdout.splitlines()] == 2 * [[1, 0, [], 8, True]], done.stderr
