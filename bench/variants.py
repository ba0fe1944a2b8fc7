"""Python's variant ``data``: numpy, pandas and matplotlib imported, and one sum, through the whole network.

The program imports all three, which are loaded already; the floor is the same program in the bare interpreter that the
network runs it in, with the same libraries.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from bench import spawn
from bench.arena import Arena
from bench.caller import Line, WrongAnswer, check, request
from bench.figures import Figure, Outcome, at_most, at_most_floors, median, percentile
from runner.languages.python import Python

VARIANT = "data"
SUM = "import numpy, pandas, matplotlib.pyplot as plt; print(pandas.DataFrame({'a': [1, 2]}).a.sum())"
FIGURE = "import pandas as pd, matplotlib.pyplot as plt\npd.Series([1, 2]).plot()\nplt.savefig('a.png')\nprint(1)"
OFFERED_S, LOOK_S = 90.0, 0.5


async def run(arena: Arena) -> Outcome:
    line = await Line.open(arena.network.url)
    try:
        if not await _is_offered(line):
            return Outcome(faults=("python's variant data is not offered; make setup brings it where pip can",))
        bare = _bare(arena)
        sums, cold = await _measure(arena, line, "import and sum", SUM, "3\n", arena.runs(300, 20))
        figures, _ = await _measure(arena, line, "a figure", FIGURE, "1\n", arena.runs(30, 5))
        bare += _bare(arena)
    except WrongAnswer as wrong:
        return Outcome(faults=(str(wrong),))
    finally:
        line.close()
    floor = {"floor": bare.wall, "floor_is": "bare, with the libraries"} if bare.wall_ms else {}
    return Outcome(
        figures=(
            Figure(
                what="numpy, pandas, matplotlib, p50",
                value=median(sums),
                unit="ms",
                targets=(at_most(10), *([at_most_floors(0.1)] if floor else [])),
                **floor,  # type: ignore[arg-type]
            ),
            Figure(what="  p99", value=percentile(sums, 99), unit="ms", **floor),  # type: ignore[arg-type]
            Figure(what="  a figure drawn and written, p50", value=median(figures), unit="ms"),
            Figure(what="  sandboxes that were not warm", value=100 * cold / max(1, len(sums)), unit="%"),
        ),
        series={"import and sum, whole network": sums, "import and sum, bare": list(bare.wall_ms)},
    )


async def _is_offered(line: Line) -> bool:
    """Variants are proved after the newest versions of all languages."""
    deadline = time.monotonic() + OFFERED_S
    while time.monotonic() < deadline:
        if any(VARIANT in entry["variants"] for entry in await line.get("/api/v1/languages")):
            return True
        await asyncio.sleep(LOOK_S)
    return False


async def _measure(arena: Arena, line: Line, what: str, code: str, stdout: str, count: int) -> tuple[list[float], int]:
    """Milliseconds of each, and how many were not warm; the first few do not count."""
    body = request("python", code, variant=VARIANT)
    samples: list[float] = []
    cold = 0
    for number in arena.each(f"{VARIANT}: {what}", range(count + 5), count + 5):
        began = time.perf_counter()
        execution = await line.execution(body)
        took_ms = (time.perf_counter() - began) * 1000
        check(execution, stdout)
        if number >= 5:
            samples.append(took_ms)
            cold += not execution["warm"]
    return samples, cold


def _bare(arena: Arena) -> spawn.Bare:
    """The interpreter of this host's newest variant, as somebody would start it here."""
    found = next((one for one in Python().discover() if one.variant == VARIANT), None)
    if found is None or not Path(found.details["on_host"]).exists():
        return spawn.Bare(wall_ms=(), cpu_ms=())
    return spawn.often([found.details["on_host"], "-c", SUM], arena.runs(5, 2))
