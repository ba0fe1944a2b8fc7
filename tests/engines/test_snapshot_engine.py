"""What is the snapshot engine's own: that no two restores are alike, when a snapshot is made anew, and what is left."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.errors import ConfigFault, SandboxFault
from jobs.states import Verdict
from runner.engines.snapshot import archives, owners
from runner.engines.snapshot.engine import RUNNING, SnapshotEngine, problem_of, started
from runner.languages.contract import Installation, Room
from runner.languages.python import Python
from tests.engines.daemon import ARCHIVES
from tests.engines.orders import nothing, order
from tests.sandboxes import Sandboxes
from tests.waiting import eventually

GROUPS = Path("/sys/fs/cgroup")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("snapshots")


@pytest.fixture
async def engine(gvisor: str, cache: Path) -> AsyncIterator[SnapshotEngine]:
    one = await started(program=gvisor, images=ARCHIVES, cache=cache)
    yield one
    await one.close()


async def added(engine: SnapshotEngine, report: Callable[[str], None] = nothing, *, variant: str = "") -> Installation:
    """Python, as the image holds it, prepared and added to the engine."""
    support = engine.support(Python())
    found = next(one for one in support.discover() if one.variant == variant)
    installation = await asyncio.to_thread(support.prepare, found, Path("/nowhere"), report)
    await engine.add(installation, tuple(support.boots(installation)))
    return installation


async def said(engine: SnapshotEngine, installation: Installation, code: str) -> list[str]:
    """What a program prints in a sandbox of its own."""
    sandbox = await engine.pitch(installation, Room.RUN)
    outcome = await sandbox.run(order(code), nothing)
    assert (outcome.exit_code, outcome.stderr) == (0, b"")
    return outcome.stdout.decode().splitlines()


CHANCE = """
import os, random, secrets, socket, tempfile, uuid
print(os.urandom(8).hex())
print(open("/dev/urandom", "rb").read(8).hex())
print(open("/dev/random", "rb").read(8).hex())
print(random.random())
print(random.SystemRandom().random())
print(secrets.token_hex(8))
print(uuid.uuid4())
print(os.path.basename(tempfile.mktemp()))
"""


async def test_two_restores_of_one_snapshot_draw_other_numbers(engine: SnapshotEngine) -> None:
    """Of every source that Python has. Its seed of hashes, drawn at an interpreter's start, is the snapshot's."""
    python = await added(engine)
    one, other = await said(engine, python, CHANCE), await said(engine, python, CHANCE)
    assert len(one) == len(other) == 8
    assert not set(one) & set(other)


LIBRARIES = """
import random, sys
seeded = "numpy" in sys.modules
import numpy
print(random.random(), random.Random().random())
print(numpy.random.rand(), numpy.random.randint(1 << 62))
print(numpy.random.default_rng().random())
print("loaded before" if seeded else "")
"""


async def test_two_restores_with_libraries_loaded_draw_other_numbers(engine: SnapshotEngine) -> None:
    """Generators that are there before the snapshot, Python's and numpy's, are seeded anew in each restore."""
    if not (ARCHIVES / "python-data.tar").exists():
        pytest.skip("NO IMAGE OF python-data HERE: make images")
    python = await added(engine, variant="data")
    one, other = await said(engine, python, LIBRARIES), await said(engine, python, LIBRARIES)
    assert one.pop() == other.pop() == "loaded before"
    assert not set(" ".join(one).split()) & set(" ".join(other).split())


async def test_a_restored_program_knows_what_time_it_is(engine: SnapshotEngine) -> None:
    """The day's time is now's, and the clock that only goes forward goes as fast as ours, from wherever it is."""
    python = await added(engine)
    began = time.time()
    (seen,) = await said(engine, python, "import time; print(time.time())")
    assert began - 0.1 <= float(seen) <= time.time() + 0.1
    sandbox = await engine.pitch(python, Room.RUN)
    outcome = await sandbox.run(
        order("import time; t = time.monotonic(); time.sleep(0.2); print(time.monotonic() - t)"), nothing
    )
    assert 0.2 <= float(outcome.stdout) < 5


async def test_a_snapshot_is_found_again_and_made_anew_when_it_is_stale(gvisor: str, cache: Path) -> None:
    """Another image, by its digest, has a snapshot of its own, and the one before it is removed."""
    told: list[str] = []
    first = await started(program=gvisor, images=ARCHIVES, cache=cache)
    python = await added(first)
    await first.close()
    second = await started(program=gvisor, images=ARCHIVES, cache=cache)
    await added(second, told.append)
    assert told == []
    known = set((cache / "snapshots").glob(f"{python.name}-[ip]*"))
    archive = next(each for one, each in second._found[python.language] if not one.variant)
    second._found = {python.language: [(replace(python, details={**python.details, "image": "sha256:other"}), archive)]}
    try:
        await second.remove(python)
        await added(second, told.append)
        assert len(told) == 2
        assert not known & set((cache / "snapshots").glob(f"{python.name}-[ip]*"))
    finally:
        await second.close()


async def test_a_snapshot_that_another_runner_uses_is_left_alone(gvisor: str, cache: Path) -> None:
    first = await started(program=gvisor, images=ARCHIVES, cache=cache)
    second = await started(program=gvisor, images=ARCHIVES, cache=cache)
    try:
        python = await added(first)
        archive = next(each for one, each in second._found[python.language] if not one.variant)
        other = replace(python, details={**python.details, "image": "sha256:another"})
        second._found = {python.language: [(other, archive)]}
        await added(second)
        assert await said(first, python, "print('still')") == ["still"]
    finally:
        await first.close()
        await second.close()


async def test_nothing_is_left_of_a_sandbox_nor_of_a_closed_engine(gvisor: str, cache: Path) -> None:
    """No process, no folder, no control group; used, unused and running ones alike."""
    engine = await started(program=gvisor, images=ARCHIVES, cache=cache)
    python = await added(engine)
    used, unused, running = [await engine.pitch(python, Room.RUN) for _ in range(3)]
    assert (await used.run(order("print('hello')"), nothing)).stdout == b"hello\n"
    unused.strike()
    await eventually(lambda: len(list((cache / RUNNING / engine.slots.owner).iterdir())) == 1, 20)
    assert len(living(engine.slots.owner)) == 1
    task = asyncio.create_task(running.run(order("import time; time.sleep(60)", wall_s=60), nothing))
    await asyncio.sleep(0)  # it has sent its order
    await engine.close()
    with pytest.raises(SandboxFault):
        await task
    assert not living(engine.slots.owner)
    assert not (cache / RUNNING / engine.slots.owner).exists()
    assert not list(GROUPS.glob(f"**/{owners.PREFIX}{engine.slots.owner}"))


def living(owner: str) -> list[str]:
    """The kernels of an engine's sandboxes, by their groups."""
    name = f"{owners.PREFIX}{owner}"
    places = [GROUPS / "memory" / name] if (GROUPS / "memory").exists() else [GROUPS / name]
    members = [file.read_text().split() for place in places for file in place.glob("slot-*/cgroup.procs")]
    return [pids[0] for pids in members if pids]


DIES = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, "{sources}")
from runner.engines.snapshot.engine import started
from tests.engines.test_snapshot_engine import added
from runner.languages.contract import Room
async def main():
    engine = await started(program={program!r}, images=Path({images!r}), cache=Path({cache!r}))
    python = await added(engine)
    await engine.pitch(python, Room.RUN)
    print(engine.slots.owner, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_what_a_killed_runner_has_left_is_ended_at_the_next_start(gvisor: str, cache: Path) -> None:
    sources = Path(__file__).parents[2]
    code = DIES.format(sources=sources, program=gvisor, images=str(ARCHIVES), cache=str(cache))
    runner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=sources)
    assert runner.stdout is not None
    owner = (await asyncio.to_thread(runner.stdout.readline)).strip()
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    runner.stdout.close()
    assert len(living(owner)) == 1
    engine = await started(program=gvisor, images=ARCHIVES, cache=cache)
    try:
        assert not living(owner)
        assert not list(GROUPS.glob(f"**/{owners.PREFIX}{owner}"))
        assert not (cache / RUNNING / owner).exists()
    finally:
        await engine.close()


async def test_a_sandbox_that_somebody_kills_is_our_fault_and_not_the_programs(engine: SnapshotEngine) -> None:
    python = await added(engine)
    sandbox = await engine.pitch(python, Room.RUN)
    heard = asyncio.Event()
    program = "print('here', flush=True)\nimport time\ntime.sleep(60)"
    running = asyncio.create_task(sandbox.run(order(program), lambda *_: heard.set()))
    await asyncio.wait_for(heard.wait(), 10)
    sandbox.container.strike(signal.SIGKILL)  # type: ignore[attr-defined]
    with pytest.raises(SandboxFault, match="without a word"):
        await asyncio.wait_for(running, 30)


async def test_a_runsc_that_fails_is_a_fault_in_its_own_words(engine: SnapshotEngine, cache: Path) -> None:
    """And the slot serves again."""
    python = await added(engine)
    kind = (python.name, True)
    there = engine._snapshots[kind]
    engine._snapshots[kind] = replace(there, folder=cache / "nowhere")
    with pytest.raises(SandboxFault, match=r"runsc could not make a sandbox: .*nowhere"):
        await engine.pitch(python, Room.RUN)
    engine._snapshots[kind] = there
    assert await said(engine, python, "print(1)") == ["1"]


async def test_what_cannot_serve_says_so(gvisor: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match=r"there is no /nowhere/runsc; install"):
        await started(program="/nowhere/runsc", images=ARCHIVES, cache=tmp_path)
    with pytest.raises(ConfigFault, match=r"has no image of a language that can be used; make them: make images"):
        await started(program=gvisor, images=tmp_path, cache=tmp_path)
    assert "make images" in problem_of(gvisor, tmp_path)
    assert problem_of(gvisor, ARCHIVES) == ""


def test_an_archive_that_is_not_what_its_digest_says_is_refused(gvisor: str, tmp_path: Path) -> None:
    """And nothing of it is left to be believed."""
    bad = tmp_path / "python.tar"
    content = bytearray((ARCHIVES / "python.tar").read_bytes())
    with tarfile.open(ARCHIVES / "python.tar") as tar:
        manifest = json.loads(tar.extractfile("manifest.json").read())  # type: ignore[union-attr]
        layer = tar.getmember(manifest[0]["Layers"][0])
    with tarfile.open(ARCHIVES / "python.tar") as tar:
        with tarfile.open(fileobj=tar.extractfile(layer)) as inner:
            file = next(each for each in inner if each.isfile() and each.size > 4096)
    content[layer.offset_data + file.offset_data + 100] ^= 1
    bad.write_bytes(content)
    with pytest.raises(ConfigFault, match=re.escape(f"image {bad} cannot be unpacked")):
        archives.unpacked(archives.read(bad), tmp_path / "cache", nothing)
    assert not list((tmp_path / "cache").iterdir())


def test_what_needs_more_memory_than_it_may_have_is_ended(snapshots: Sandboxes) -> None:
    result = snapshots.run("python", "x = bytearray(400 << 20)\nprint(len(x))", memory_mb=128)
    assert result.verdict is Verdict.MEMORY_LIMIT


def test_the_least_memory_starts_a_program(snapshots: Sandboxes) -> None:
    result = snapshots.run("python", "print(len(bytearray(16 << 20)))", memory_mb=64)
    assert (result.verdict, result.stdout) == (Verdict.OK, b"16777216\n")


def test_what_does_not_end_is_ended_in_time(snapshots: Sandboxes) -> None:
    result = snapshots.run("python", "print('on', flush=True)\nwhile True: pass", timeout_s=1.0)
    assert (result.verdict, result.stdout) == (Verdict.TIME_LIMIT, b"on\n")
    assert result.usage.wall_ms < 3000


def test_more_processes_than_there_may_be_are_refused(snapshots: Sandboxes) -> None:
    program = "import os, time\nfor _ in range(40):\n    if os.fork() == 0: time.sleep(5); os._exit(0)\nprint('all')"
    result = snapshots.run("python", program, processes=20)
    assert result.verdict is Verdict.PROCESS_LIMIT
