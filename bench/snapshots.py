"""A restore from a snapshot beside gVisor's cold start of the same program, of Python and of its sets of libraries.

Cold: ``runsc run`` of the image's interpreter until the program has imported its libraries and has printed. Restored: a
sandbox of the snapshot engine until its program waits with all of that loaded; then hello in it. One after the other in
turns, on one core each as sandboxes have, so that a busy machine is busy for both. No network takes part.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.arena import Arena
from bench.daemon import runsc
from bench.figures import Figure, Outcome, Target, at_most_floors, median, percentile
from jobs.errors import PlatformFault
from jobs.limits import DEFAULTS, MIB
from runner.engine import Order, PlacedFile
from runner.engines.snapshot.container import Container, Streams
from runner.engines.snapshot.engine import SnapshotEngine, started
from runner.engines.snapshot.runsc import Runsc
from runner.languages.contract import ENVIRONMENT, Installation, Room
from runner.languages.python import Python
from runner.settings import default_images

#: what a variant's program imports before it says hello
IMPORTS = {"": "", "data": "import numpy, pandas, matplotlib.pyplot\n"}
HELLO = "print('hello', flush=True)\n"
TARGETS: dict[str, tuple[Target, ...]] = {"data": (at_most_floors(0.2),)}


@dataclass(kw_only=True)
class Times:
    """Milliseconds, one a sandbox; megabytes that it holds while it waits."""

    cold: list[float] = field(default_factory=list)
    cold_cpu: list[float] = field(default_factory=list)
    restored: list[float] = field(default_factory=list)
    restored_cpu: list[float] = field(default_factory=list)
    hello: list[float] = field(default_factory=list)
    held_mb: list[float] = field(default_factory=list)


async def run(arena: Arena) -> Outcome:
    program = runsc()
    if program is None or os.geteuid() != 0:
        return Outcome(figures=(), faults=("no runsc here, or not root: nothing was measured",))
    figures: list[Figure] = []
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="yurt-snapshots-") as cache:
        try:
            async with _engine(program, Path(cache)) as engine:
                for installation in engine.support(Python()).discover():
                    figures += await _measure(arena, engine, Runsc(program), installation)
        except PlatformFault as fault:
            faults.append(str(fault))
    return Outcome(figures=tuple(figures), faults=tuple(faults))


@asynccontextmanager
async def _engine(program: str, cache: Path) -> AsyncIterator[SnapshotEngine]:
    engine = await started(program=program, images=default_images(), cache=cache)
    try:
        yield engine
    finally:
        await engine.close()


async def _measure(arena: Arena, engine: SnapshotEngine, runsc: Runsc, found: Installation) -> list[Figure]:
    support = engine.support(Python())
    began = time.perf_counter()
    installation = await asyncio.to_thread(support.prepare, found, Path(), lambda line: None)
    took_s = time.perf_counter() - began
    await engine.add(installation, tuple(support.boots(installation)))
    code = IMPORTS.get(installation.variant, "") + HELLO
    times = Times()
    runs = arena.runs(12, 3)
    for _ in arena.each(installation.name, range(runs), runs):
        await _cold(engine, runsc, installation, code, times)
        await _restored(engine, installation, code, times)
    return _figures(installation, times, took_s)


async def _cold(engine: SnapshotEngine, runsc: Runsc, installation: Installation, code: str, times: Times) -> None:
    """Until the program has printed."""
    with tempfile.TemporaryDirectory(prefix="bundle-") as folder:
        config = json.loads((engine.snapshot(installation).bundle / "config.json").read_text())
        config["process"]["args"] = [config["process"]["args"][0], "-c", code]
        (Path(folder) / "config.json").write_text(json.dumps(config))
        began = time.perf_counter()
        container = Container(runsc, engine.slots.take(), Streams())
        try:
            await container.begin(partial(runsc.run, Path(folder)))
            said = await container.streams.read()
            if said != (1, b"hello\n"):
                raise PlatformFault(f"a cold start said {said!r}")
            times.cold.append((time.perf_counter() - began) * 1000)
            times.cold_cpu.append(container.slot.group.cpu_ms())
        finally:
            await engine.delete(container)


async def _restored(engine: SnapshotEngine, installation: Installation, code: str, times: Times) -> None:
    began = time.perf_counter()
    sandbox = await engine.pitch(installation, Room.RUN)
    times.restored.append((time.perf_counter() - began) * 1000)
    group = sandbox.group  # type: ignore[attr-defined]
    times.restored_cpu.append(group.cpu_ms())
    times.held_mb.append(group.held_bytes() / MIB)
    order = Order(
        files=(PlacedFile(path="/workspace/main.py", content=code.encode()),),
        goes_on=True,
        env=ENVIRONMENT,
        wall_s=20.0,
        memory_bytes=512 * MIB,
        limits=DEFAULTS,
        output_bytes=MIB,
    )
    outcome = await sandbox.run(order, lambda *_: None)
    if outcome.stdout != b"hello\n":
        raise PlatformFault(f"a restored sandbox said {outcome.stdout!r}, {outcome.stderr[-300:]!r}")
    times.hello.append(outcome.wall_ms)


def _figures(installation: Installation, times: Times, took_s: float) -> list[Figure]:
    name, targets = installation.name, TARGETS.get(installation.variant, ())
    cold = {"floor": median(times.cold), "floor_is": "cold"}
    return [
        Figure(what=f"{name}: cold start in gVisor, p50 of {len(times.cold)}", value=median(times.cold), unit="ms"),
        Figure(what="  its CPU", value=median(times.cold_cpu), unit="ms"),
        Figure(
            what=f"{name}: restored and waiting, p50", value=median(times.restored), unit="ms", targets=targets, **cold
        ),
        Figure(what="  p90", value=percentile(times.restored, 90), unit="ms"),
        Figure(
            what="  its CPU",
            value=median(times.restored_cpu),
            unit="ms",
            floor=median(times.cold_cpu),
            floor_is="cold",
            targets=targets,
        ),
        Figure(what="  then hello, p50", value=median(times.hello), unit="ms", **cold),
        Figure(what="  memory of one that waits", value=median(times.held_mb), unit="MB"),
        Figure(what="  image unpacked and snapshots taken, once", value=took_s, unit="s"),
    ]
