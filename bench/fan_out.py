"""Fan-out: many python programs that sleep a second, submitted at once. All are answered.

They run as many at once as the runner has slots, so most of what is measured is the queue; what must hold is that it
takes them all and answers each.
"""

from __future__ import annotations

import asyncio
import time

from bench.arena import Arena, Progress
from bench.caller import Line, WrongAnswer, check, request
from bench.figures import Figure, Outcome, at_most, median, percentile

SLEEP_S = 1.0
PATIENCE_S = 300.0
_LINES = 100
_PROGRAM = 'import time\ntime.sleep(1)\nprint("awake", NUMBER)\n'
_ENDED = frozenset({"completed", "failed", "cancelled", "expired"})


async def run(arena: Arena) -> Outcome:
    count = arena.runs(1000, 200)
    lines = [await Line.open(arena.network.url) for _ in range(min(count, _LINES))]
    faults: list[str] = []
    ids: dict[int, str] = {}
    began = time.perf_counter()
    try:
        await asyncio.gather(
            *(_submit(line, range(at, count, len(lines)), ids, faults) for at, line in enumerate(lines))
        )
        accepted_s = time.perf_counter() - began
        progress = arena.progress(f"{count} sleepers", count)
        waits = await _collect(lines, ids, faults, progress)
    finally:
        for line in lines:
            line.close()
    took_s = time.perf_counter() - began
    most = _most_at_once(waits)
    return Outcome(
        figures=(
            Figure(what=f"{count} sleepers: answered", value=len(waits), unit=""),
            Figure(what="  wrong or missing", value=count - len(waits), unit="", targets=(at_most(0),)),
            Figure(what="  all accepted after", value=accepted_s, unit="s"),
            Figure(what="  all started after", value=max((s for s, _ in waits), default=0.0), unit="s"),
            Figure(what="  all answered after", value=took_s, unit="s", floor=SLEEP_S, floor_is="the sleep"),
            Figure(what="  most at once", value=most, unit=""),
            Figure(what="  queued, p50", value=median(started for started, _ in waits), unit="s"),
            Figure(what="  queued, p99", value=percentile((started for started, _ in waits), 99), unit="s"),
        ),
        series={"sleepers, queued": [started * 1000 for started, _ in waits]},
        faults=tuple(faults[:5]),
    )


async def _submit(line: Line, numbers: range, ids: dict[int, str], faults: list[str]) -> None:
    for number in numbers:
        try:
            ids[number] = await line.submit(request("python", _PROGRAM.replace("NUMBER", str(number))))
        except (WrongAnswer, OSError) as wrong:
            faults.append(f"sleeper {number} was not accepted: {wrong}")


async def _collect(
    lines: list[Line], ids: dict[int, str], faults: list[str], progress: Progress
) -> list[tuple[float, float]]:
    """Seconds from acceptance to start, and to the end, of each right answer. A look every half second at the rest."""
    left = dict(ids)
    answers: list[tuple[float, float]] = []
    until = time.perf_counter() + PATIENCE_S
    while left and time.perf_counter() < until:
        await asyncio.sleep(0.5)
        looked = sorted(left.items())[: len(lines) * 2]  # they end about in the order in which they came
        shares = [looked[at :: len(lines)] for at in range(len(lines))]
        await asyncio.gather(
            *(_look(line, share, left, answers, faults) for line, share in zip(lines, shares, strict=True))
        )
        progress.at(len(ids) - len(left))
    progress.end()
    faults += [f"sleeper {number} was not answered in {PATIENCE_S:.0f} s" for number in left]
    return answers


async def _look(
    line: Line,
    share: list[tuple[int, str]],
    left: dict[int, str],
    answers: list[tuple[float, float]],
    faults: list[str],
) -> None:
    for number, execution_id in share:
        try:
            execution = await line.get(f"/api/v1/executions/{execution_id}")
            if execution["status"] not in _ENDED:
                continue
            del left[number]
            check(execution, f"awake {number}\n")
        except (WrongAnswer, OSError) as wrong:
            left.pop(number, None)
            faults.append(f"sleeper {number}: {wrong}")
            continue
        timeline = execution["timeline"]
        answers.append((timeline["queued_ms"] / 1000, timeline["total_ms"] / 1000))


def _most_at_once(waits: list[tuple[float, float]]) -> int:
    """How many ran at the same time, as far as accepted at the same moment goes."""
    changes = sorted([(started, 1) for started, _ in waits] + [(ended, -1) for _, ended in waits])
    running = most = 0
    for _, change in changes:
        running += change
        most = max(most, running)
    return most
