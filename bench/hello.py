"""Python hello, one at a time, through the whole network: what a person waits for.

One connection, one submission after the other with ``?wait``: gateway, JetStream, runner, sandbox, stored result,
answer. Beside it the same program in a bare interpreter of the same version, measured before and after.
"""

from __future__ import annotations

import time

from bench.arena import Arena
from bench.caller import Line, WrongAnswer, check, request
from bench.figures import Figure, Outcome, at_most, at_most_floors, median, percentile
from bench.spawn import HELLO

WARM_UP = 50


async def run(arena: Arena) -> Outcome:
    bare = await arena.bare()
    body = request("python", HELLO)
    line = await Line.open(arena.network.url)
    samples: list[float] = []
    parts: dict[str, list[float]] = {"queued_ms": [], "sandbox_wait_ms": [], "run_ms": []}
    faults: list[str] = []
    cold = 0
    try:
        for _ in range(arena.runs(WARM_UP, 10)):
            check(await line.execution(body), "hello\n")
        count = arena.runs(1000, 20)
        for _ in arena.each("hello, one at a time", range(count), count):
            began = time.perf_counter()
            execution = await line.execution(body)
            samples.append((time.perf_counter() - began) * 1000)
            check(execution, "hello\n")
            cold += not execution["warm"]
            for name, values in parts.items():
                values.append(execution["timeline"][name] or 0.0)
    except WrongAnswer as wrong:
        faults.append(str(wrong))
    finally:
        line.close()
    bare += await arena.bare()
    return Outcome(
        figures=(
            Figure(
                what="python hello, p50",
                value=median(samples),
                unit="ms",
                floor=bare.wall,
                floor_is="bare",
                targets=(at_most(6), at_most_floors(0.4)),
            ),
            Figure(
                what="python hello, p99",
                value=percentile(samples, 99),
                unit="ms",
                floor=bare.wall,
                floor_is="bare",
                targets=(at_most_floors(1.6),),
            ),
            *(
                Figure(
                    what=f"  of that {name.removesuffix('_ms').replace('_', ' ')}, p50", value=median(values), unit="ms"
                )
                for name, values in parts.items()
            ),
            Figure(what="  sandboxes that were not warm", value=100 * cold / max(1, len(samples)), unit="%"),
        ),
        series={"hello, whole network": samples, "hello, bare": list(bare.wall_ms)},
        faults=tuple(faults),
    )
