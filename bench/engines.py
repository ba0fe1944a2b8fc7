"""The engines beside each other: hello in each language, runs a second, and the memory of a sandbox that waits.

Each wall (fork; docker with runc, and with gVisor's runsc; snapshot) is a whole network, measured one after the other:
a source that is new each time, one at a time, at a pace at which sandboxes wait again (what a person meets), then as
many as go through on some connections at once. Beside each stands the bare tool of this machine, in the same run.

What cannot be had here is told. ``--engines``, ``--languages`` and ``--seconds`` (of each measurement) make it smaller
or larger.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from bench import languages, spawn
from bench.arena import Arena, Progress
from bench.caller import Line, WrongAnswer
from bench.figures import Figure, Outcome, median, number, percentile, table
from bench.programs import CPP, GO, JAVA, JAVASCRIPT, PYTHON, RUST, Program
from bench.walls import WALLS, Absent, Wall, Walls

NEEDS_PROCESSES = True

PROGRAMS = (PYTHON, JAVASCRIPT, JAVA, GO, CPP, RUST)
SECONDS, QUICK_S = 10.0, 1.5  #: of each measurement
CONNECTIONS, BUILDING = 8, 4  #: a build takes a core for as long as it lasts
MOST_RUNS = 300  #: one at a time
REFILL_S = 10.0
LOOK_S = 0.01
SLOWER_S, SLOWEST_S = 0.1, 2.0  #: a runtime that was started ahead takes its time until it waits


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One language behind one wall."""

    wall: str
    program: Program
    alone_ms: list[float] = field(repr=False)
    a_second: float
    cold_percent: float  #: of those one at a time
    waiting_mb: float | None
    faults: tuple[str, ...] = ()


async def run(arena: Arena) -> Outcome:
    bare = await arena.bare()
    floors = {"python": ("bare", bare.wall), **await languages.beside(arena)}
    rate = spawn.rate(spawn.hello_of(await arena.python()), arena.runs(4, 1))
    cells: list[Cell] = []
    absent: dict[str, str] = {}
    walls = Walls(arena)
    try:
        for name in arena.walls or WALLS:
            try:
                async with walls.open(name) as wall:
                    cells += await _measure(arena, wall, absent)
            except Absent as lack:
                arena.says(f"  NOT MEASURED: {name}: {lack}")
                absent[name] = str(lack)
    finally:
        walls.close()
    return Outcome(
        figures=tuple(figure for cell in cells for figure in _figures(cell, floors, rate)),
        tables=(beside_each_other(cells, floors), *_told(absent)),
        series={f"{cell.wall} {cell.program.language}": cell.alone_ms for cell in cells if cell.program is PYTHON},
        faults=tuple(fault for cell in cells for fault in cell.faults),
    )


async def _measure(arena: Arena, wall: Wall, absent: dict[str, str]) -> list[Cell]:
    """Every language that is wanted and offered; memory first, while nothing has run."""
    rested = await wall.settled()
    waiting = wall.waiting()
    cells = []
    for program in PROGRAMS:
        if arena.of and program.language not in arena.of:
            continue
        if program.language not in wall.languages:
            absent[f"{wall.name} {program.language}"] = (
                "is not offered: no installation, or no image that is up to date"
            )
            continue
        cells.append(await _cell(arena, wall, program, rested.get(program.language, 0), waiting))
    return cells


async def _cell(arena: Arena, wall: Wall, program: Program, rested: int, waiting: Mapping[str, float]) -> Cell:
    seconds = arena.seconds or (QUICK_S if arena.quick else SECONDS)
    numbers = Numbers()
    faults: list[str] = []
    alone = Alone(wall, program, numbers, rested)
    what = f"{wall.name} {program.language}"
    progress = arena.progress(what, round(2 * seconds))
    line = await Line.open(wall.network.url)
    a_second = math.nan
    try:
        await alone.go(line, seconds, progress)
        a_second = await _sustained(wall, program, numbers, seconds, faults)
        await _until_warm(wall, program.language, rested)
    except WrongAnswer as wrong:
        faults.append(str(wrong))
    finally:
        line.close()
        progress.end()
    return Cell(
        wall=wall.name,
        program=program,
        alone_ms=alone.samples_ms,
        a_second=a_second,
        cold_percent=100 * alone.cold / max(1, len(alone.samples_ms)),
        waiting_mb=waiting.get(program.language),
        faults=tuple(f"{what}: {fault}" for fault in faults[:3]),
    )


class Alone:
    """One after the other, as fast as warm sandboxes come, and no faster."""

    def __init__(self, wall: Wall, program: Program, numbers: Numbers, rested: int) -> None:
        self._wall, self._program, self._numbers, self._rested = wall, program, numbers, rested
        self.samples_ms: list[float] = []
        self.cold = 0

    async def go(self, line: Line, seconds: float, progress: Progress) -> None:
        await languages.once(line, self._program, self._numbers.next())
        began, pause_s = time.perf_counter(), 0.0
        while (at_s := time.perf_counter() - began) < seconds and len(self.samples_ms) < MOST_RUNS:
            progress.at(int(at_s))
            await _until_warm(self._wall, self._program.language, self._rested)
            await asyncio.sleep(pause_s)
            took_ms, execution = await languages.once(line, self._program, self._numbers.next())
            if execution["engine"] != self._wall.name:
                raise WrongAnswer(f"it ran in {execution['engine']}")
            self.samples_ms.append(took_ms)
            if not execution["warm"]:
                self.cold += 1
                pause_s = min(pause_s + SLOWER_S, SLOWEST_S)


def connections(program: Program) -> int:
    return BUILDING if program.language in languages.COMPILED else CONNECTIONS


class Numbers:
    """What makes each source new: to this run, and to every one before it that the network may remember."""

    def __init__(self) -> None:
        self._next = time.time_ns() // 1_000_000 % 2_000_000 * 1000  # 32 bits hold it

    def next(self) -> int:
        self._next += 1
        return self._next


async def _until_warm(wall: Wall, language: str, count: int) -> None:
    """So many wait again, or it takes too long for that."""
    until = time.perf_counter() + REFILL_S
    while (await wall.warm()).get(language, 0) < count and time.perf_counter() < until:  # noqa: ASYNC110  # it is asked
        await asyncio.sleep(LOOK_S)


async def _sustained(wall: Wall, program: Program, numbers: Numbers, seconds: float, faults: list[str]) -> float:
    """Right answers a second, in a closed loop on some connections; late ones are counted with their time."""
    lines = [await Line.open(wall.network.url) for _ in range(connections(program))]
    began = time.perf_counter()

    async def loop(line: Line) -> int:
        count = 0
        while time.perf_counter() < began + seconds and len(faults) < len(lines):
            try:
                await languages.once(line, program, numbers.next())
                count += 1
            except (WrongAnswer, OSError) as wrong:
                faults.append(f"of many at once: {wrong}")
        return count

    try:
        counts = await asyncio.gather(*map(loop, lines))
    finally:
        for line in lines:
            line.close()
    return sum(counts) / (time.perf_counter() - began)


# -- what is shown -----------------------------------------------------------------------------------------------------


def _figures(cell: Cell, floors: Mapping[str, tuple[str, float]], rate: float) -> list[Figure]:
    name, wall_ms = floors.get(cell.program.name, ("", None))
    what = f"{cell.wall} {cell.program.language}"
    is_python = cell.program is PYTHON
    figures = [
        Figure(what=f"{what}, p50", value=median(cell.alone_ms), unit="ms", floor=wall_ms, floor_is=name),
        Figure(what="  p99", value=percentile(cell.alone_ms, 99), unit="ms", floor=wall_ms),
        Figure(
            what=f"  {connections(cell.program)} connections",
            value=cell.a_second,
            unit="/s",
            floor=rate if is_python else None,
            floor_is="bare, all cores" if is_python else "",
        ),
    ]
    if cell.waiting_mb is not None:
        figures.append(Figure(what="  a sandbox that waits", value=cell.waiting_mb, unit="MB"))
    return figures


def beside_each_other(cells: list[Cell], floors: Mapping[str, tuple[str, float]]) -> str:
    """A line a language and wall, the bare tool before them."""
    headings = ("language", "wall", "p50 ms", "p99 ms", "runs", "cold %", "a second", "MB waiting")
    rows: list[tuple[str, ...]] = []
    for program in dict.fromkeys(cell.program for cell in cells):
        name, wall_ms = floors.get(program.name, ("", None))
        rows.append((program.language, name or "no bare tool here", number(wall_ms), "", "", "", "", ""))
        rows += [
            (
                "",
                cell.wall,
                number(median(cell.alone_ms)),
                number(percentile(cell.alone_ms, 99)),
                str(len(cell.alone_ms)),
                number(cell.cold_percent),
                number(cell.a_second),
                number(cell.waiting_mb),
            )
            for cell in cells
            if cell.program is program
        ]
    return table(headings, rows, right=range(2, 8))


def _told(absent: Mapping[str, str]) -> list[str]:
    return [table(("not measured", "why"), list(absent.items()))] if absent else []
