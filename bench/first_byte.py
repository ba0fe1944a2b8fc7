"""First output byte over the WebSocket, from the start of the submission.

As a live view does it: submit, get the id, open a new WebSocket to the execution, wait for the first output. The
listener often comes after the program wrote; what it missed must come at once.
"""

from __future__ import annotations

import time

from bench.arena import Arena
from bench.caller import Line, Listener, WrongAnswer, check, request
from bench.figures import Figure, Outcome, at_most, at_most_floors, median, percentile
from bench.spawn import HELLO

WARM_UP = 20


async def run(arena: Arena) -> Outcome:
    bare = await arena.bare()
    line = await Line.open(arena.network.url)
    samples: list[float] = []
    faults: list[str] = []
    try:
        for _ in range(arena.runs(WARM_UP, 5)):
            await first_output_ms(line, arena.network.url)
        count = arena.runs(500, 20)
        for _ in arena.each("first output byte", range(count), count):
            samples.append(await first_output_ms(line, arena.network.url))
    except (WrongAnswer, OSError, EOFError) as wrong:
        faults.append(str(wrong) or type(wrong).__name__)
    finally:
        line.close()
    bare += await arena.bare()
    return Outcome(
        figures=(
            Figure(
                what="first output byte, python, p50",
                value=median(samples),
                unit="ms",
                floor=bare.wall,
                floor_is="bare",
                targets=(at_most(10), at_most_floors(0.64)),
            ),
            Figure(
                what="first output byte, python, p99",
                value=percentile(samples, 99),
                unit="ms",
                floor=bare.wall,
                floor_is="bare",
                targets=(at_most(10),),
            ),
        ),
        series={"first output byte": samples},
        faults=tuple(faults),
    )


async def first_output_ms(line: Line, url: str) -> float:
    """One run, followed to its end; raises ``WrongAnswer`` when what came is not what was written."""
    began = time.perf_counter()
    execution_id = await line.submit(request("python", HELLO))
    listener = await Listener.open(url, execution_id)
    try:
        first_ms, written, last, result = 0.0, "", 0, None
        while (message := await listener.message()) is not None:
            if message["type"] == "output":
                first_ms = first_ms or (time.perf_counter() - began) * 1000
                if message["seq"] != last + 1:
                    raise WrongAnswer(f"output {message['seq']} came after output {last}")
                last = message["seq"]
                written += message["data"] if message["stream"] == "stdout" else ""
            elif message["type"] == "complete":
                result = message["result"]
    finally:
        listener.close()
    if result is None or written != "hello\n":
        raise WrongAnswer(f"closed after {written!r}, {'with' if result else 'without'} a result")
    check(result, "hello\n")
    return first_ms
