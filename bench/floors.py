"""Floors: what the bare tools of this machine take, with nothing around them.

All other figures stand beside these. Python with the interpreter of the version that the network offers, and with the
system's own; for the compiled languages the whole way from a changed source to its output.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench import spawn
from bench.arena import Arena
from bench.figures import Figure, Outcome
from bench.toolchains import floors

SYSTEM_PYTHON = "/usr/bin/python3"


async def run(arena: Arena) -> Outcome:
    faults: list[str] = []
    figures: list[Figure] = []
    python = await arena.python()
    pythons = {f"python {(await arena.languages()).get('python', '')}": python}
    if Path(SYSTEM_PYTHON).exists() and Path(SYSTEM_PYTHON).resolve() != Path(python).resolve():
        pythons["the system's python3"] = SYSTEM_PYTHON
    times = arena.runs(40, 5)
    for name, executable in pythons.items():
        figures += _figures(f"{name} -I -S -c", spawn.often(spawn.hello_of(executable), times))
        figures += _figures(f"{name} -c", spawn.often([executable, "-c", spawn.HELLO], times))
        rate = spawn.rate(spawn.hello_of(executable), arena.runs(4, 1))
        figures.append(Figure(what=f"{name} -I -S, all cores", value=rate, unit="/s"))
    with tempfile.TemporaryDirectory(prefix="yurt-floors-") as folder:
        ways = list(floors(Path(folder)))
        for floor in arena.each("bare tools", ways, len(ways)):
            try:
                figures += _figures(floor.name, floor.measure(arena.runs(9, 2), first=1))
            except (spawn.ToolFailed, OSError) as error:
                faults.append(f"{floor.name}: {error}")
    return Outcome(figures=tuple(figures), faults=tuple(faults))


def _figures(name: str, bare: spawn.Bare) -> list[Figure]:
    return [
        Figure(what=f"{name}: wall", value=bare.wall, unit="ms"),
        Figure(what=f"{name}: CPU", value=bare.cpu, unit="ms"),
    ]
