"""Hello in each language: a source that is new each time, and the same again.

New each time is what a person who edits and runs has; the same again is a compiled language's cached build. Beside each
stands the quickest way from the source to its output that could be typed at this machine, in the same run.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from bench import spawn
from bench.arena import Arena
from bench.caller import Line, WrongAnswer, check, request
from bench.figures import Figure, Outcome, Target, at_most, at_most_floors, median, percentile
from bench.programs import HELLOS, Program
from bench.toolchains import BESIDE, floors

#: of a new source: milliseconds where bare python takes 9.4, and never more than the floor
NEW: dict[str, tuple[Target, ...]] = {
    "python": (at_most(6),),
    "javascript": (at_most(12), at_most_floors(1)),
    "java": (at_most(150), at_most_floors(1)),
    "go": (at_most(110), at_most_floors(1)),
    "c++ iostream": (at_most(130), at_most_floors(1)),
    "c++ bits/stdc++.h": (at_most(130), at_most_floors(1)),
    "rust": (at_most(90), at_most_floors(1)),
}
COMPILED = frozenset({"java", "go", "cpp", "rust"})
AGAIN = (at_most(10),)  #: of a native program that was compiled before
NATIVE = frozenset({"go", "cpp", "rust"})


async def run(arena: Arena) -> Outcome:
    bare = await arena.bare()
    tools = await beside(arena)
    offered = await arena.languages()
    faults = [f"{name} is not offered" for name in sorted({one.language for one in HELLOS} - set(offered))]
    measured: list[tuple[Program, list[float], list[float]]] = []
    series: dict[str, list[float]] = {}
    line = await Line.open(arena.network.url)
    try:
        for program in HELLOS:
            if program.language not in offered:
                continue
            try:
                new, again = await _measure(arena, line, program)
            except WrongAnswer as wrong:
                faults.append(f"{program.name}: {wrong}")
                continue
            measured.append((program, new, again))
            series[f"{program.name}, new"] = new
    finally:
        line.close()
    bare += await arena.bare()
    tools["python"] = ("bare", bare.wall)
    figures = [figure for one in measured for figure in _figures(*one, tools.get(one[0].name))]
    return Outcome(figures=tuple(figures), series=series, faults=tuple(faults))


async def _measure(arena: Arena, line: Line, program: Program) -> tuple[list[float], list[float]]:
    """Milliseconds with a new source each time, and with one source again and again."""
    times = arena.runs(30 if program.language in COMPILED else 100, 3)
    fresh = time.time_ns() // 1_000_000 % 2_000_000 * 1000  # no earlier bench had these, and 32 bits hold them
    for number in range(fresh, fresh + 2):
        await once(line, program, number)
    new = [
        (await once(line, program, number))[0]
        for number in arena.each(f"{program.name}, new each time", range(fresh + 2, fresh + 2 + times), times)
    ]
    again = [
        (await once(line, program, fresh))[0]
        for _ in arena.each(f"{program.name}, the same again", range(times), times)
    ]
    return new, again


async def once(line: Line, program: Program, number: int) -> tuple[float, dict[str, Any]]:
    """Milliseconds from asked to answered, and the execution; raises ``WrongAnswer``."""
    began = time.perf_counter()
    execution = await line.execution(request(program.language, program.source(number)))
    took_ms = (time.perf_counter() - began) * 1000
    check(execution, program.output(number))
    return took_ms, execution


async def beside(arena: Arena) -> dict[str, tuple[str, float]]:
    """For each program that has one the name and the wall time of its floor."""
    found: dict[str, tuple[str, float]] = {}
    wanted = {name: program for program, name in BESIDE.items()}
    with tempfile.TemporaryDirectory(prefix="yurt-floors-") as folder:
        ways = [floor for floor in floors(Path(folder)) if floor.name in wanted]
        for floor in arena.each("bare tools", ways, len(ways)):
            try:
                found[wanted[floor.name]] = (floor.name, floor.measure(arena.runs(7, 2), first=1).wall)
            except spawn.ToolFailed as failed:
                arena.says(f"  no floor: {failed}")
    return found


def _figures(program: Program, new: list[float], again: list[float], floor: tuple[str, float] | None) -> list[Figure]:
    name, wall = floor if floor is not None else ("", None)
    native = program.language in NATIVE
    targets = NEW[program.name] if wall is not None else NEW[program.name][:1]
    return [
        Figure(
            what=f"{program.name}, new, p50", value=median(new), unit="ms", floor=wall, floor_is=name, targets=targets
        ),
        Figure(what="  p90", value=percentile(new, 90), unit="ms", floor=wall),
        Figure(
            what=f"{program.name}, the same again",
            value=median(again),
            unit="ms",
            floor=wall,
            targets=AGAIN if native else (),
        ),
    ]
