"""Python hello as fast as the network goes, and where the machine's CPU goes.

Each connection submits, waits for its answer, checks it, submits again. CPU is taken from the kernel's own books: the
whole machine's, each process's, that of everything that ran in sandboxes (by control group), and that of the sandboxes'
first processes, which set up and strike (what zygotes have waited for, without the former). What those do not explain
(what ended unseen, other people) is the rest.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass

from bench import processes, spawn
from bench.arena import Arena
from bench.caller import Line, WrongAnswer, check, request
from bench.figures import (
    Figure,
    Outcome,
    at_least,
    at_least_floors,
    at_most,
    at_most_floors,
    median,
    number,
    percentile,
    table,
)

CONNECTIONS = (8, 16, 32)
TRY_S = 2.0  #: for finding the best number of connections


@dataclass(frozen=True, kw_only=True)
class Books:
    """CPU seconds, by who took them."""

    machine: processes.Machine
    by_role: dict[str, float]


async def run(arena: Arena) -> Outcome:
    python = await arena.python()
    bare = await arena.bare()
    bare_rate = spawn.rate(spawn.hello_of(python), arena.runs(4, 1))
    load = Load(arena)
    best = await _best_connections(load, arena)
    before, began = books(arena), time.perf_counter()
    seconds = arena.runs(20, 3)
    samples = await load.go(best, seconds, f"hello, {best} connections")
    took_s = time.perf_counter() - began
    after = books(arena)
    bare += await arena.bare()
    bare_rate = (bare_rate + spawn.rate(spawn.hello_of(python), arena.runs(4, 1))) / 2
    count = max(1, len(samples))
    spent = after.machine.since(before.machine)
    wrong = 100 * len(load.faults) / (count + len(load.faults))
    cores = len(os.sched_getaffinity(0))
    return Outcome(
        figures=(
            Figure(
                what=f"python hello, {best} connections",
                value=len(samples) / took_s,
                unit="/s",
                floor=bare_rate,
                floor_is=f"bare, {cores} cores",
                targets=(at_least(300), at_least_floors(3)),
            ),
            Figure(what="  answers that were wrong", value=wrong, unit="%", targets=(at_most(0),)),
            Figure(what="  latency, p50", value=median(samples), unit="ms", floor=bare.wall, floor_is="bare"),
            Figure(what="  latency, p99", value=percentile(samples, 99), unit="ms", floor=bare.wall, floor_is="bare"),
            Figure(
                what="machine CPU a hello",
                value=1000 * spent.busy_s / count,
                unit="ms",
                floor=bare.cpu,
                floor_is="bare",
                targets=(at_most_floors(0.33),),
            ),
            Figure(what="  sandboxes that were not warm", value=100 * load.cold / count, unit="%"),
            Figure(what="  time stolen by the host", value=100 * spent.stolen_s / took_s / cores, unit="%"),
        ),
        tables=(where_it_goes(before, after, count, bare.cpu),),
        series={f"hello, {best} connections": samples},
        faults=tuple(load.faults[:5]),
    )


class Load:
    """The closed loop."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._body = request("python", spawn.HELLO)
        self.faults: list[str] = []
        self.cold = 0

    async def go(self, connections: int, seconds: float, what: str) -> list[float]:
        """Latencies in ms of every right answer within *seconds*."""
        samples: list[float] = []
        self.cold = 0
        until = time.perf_counter() + seconds
        lines = [await Line.open(self._arena.network.url) for _ in range(connections)]
        loops = [asyncio.create_task(self._one(line, until, samples)) for line in lines]
        progress = self._arena.progress(what, round(seconds))
        try:
            while (left_s := until - time.perf_counter()) > 0:
                progress.at(int(seconds - left_s))
                await asyncio.wait(loops, timeout=min(1.0, left_s))
                if all(loop.done() for loop in loops):
                    break
            await asyncio.gather(*loops)
        finally:
            progress.end()
            for line in lines:
                line.close()
        return samples

    async def _one(self, line: Line, until: float, samples: list[float]) -> None:
        while (began := time.perf_counter()) < until and len(self.faults) < 100:
            try:
                execution = await line.execution(self._body)
                check(execution, "hello\n")
            except (WrongAnswer, OSError) as wrong:
                self.faults.append(str(wrong))
                continue
            samples.append((time.perf_counter() - began) * 1000)
            self.cold += not execution["warm"]


async def _best_connections(load: Load, arena: Arena) -> int:
    """The number of connections at which most goes through: which it is depends on the machine."""
    if arena.quick:
        await load.go(CONNECTIONS[0], 1.0, "warming up")
        return CONNECTIONS[1]
    rates = {}
    for connections in CONNECTIONS:
        await load.go(connections, TRY_S, f"trying {connections} connections")
        rates[connections] = len(await load.go(connections, TRY_S, f"trying {connections} connections"))
    return max(rates, key=lambda connections: rates[connections])


def books(arena: Arena) -> Books:
    pids = arena.network.pids()
    roles = {role: processes.cpu_s(pid) for role, pid in pids.items() if role != "up"}
    if "runner" in pids:
        zygotes = processes.children(pids["runner"])
        roles["zygotes"] = sum(processes.cpu_s(pid) for pid in zygotes)
        roles["sandboxes, programs"] = processes.slots_cpu_s(pids["runner"])
        whole = sum(processes.cpu_s(pid, with_children=True) for pid in zygotes)
        roles["sandboxes, set up and struck"] = whole - roles["zygotes"] - roles["sandboxes, programs"]
        roles["kernel threads"] = processes.kernel_threads_cpu_s()
    roles["load generator"] = processes.cpu_s(os.getpid())
    return Books(machine=processes.machine(), by_role=roles)


def where_it_goes(before: Books, after: Books, count: int, bare_cpu_ms: float) -> str:
    """CPU a hello by process, as milliseconds, as a multiple of bare, and as a share of what the machine did."""
    spent = after.machine.since(before.machine)
    rows = {role: after.by_role[role] - before.by_role.get(role, 0.0) for role in after.by_role}
    rows["rest"] = spent.busy_s - sum(rows.values())
    lines = [
        (
            role,
            number(1000 * seconds / count, "ms"),
            f"{number(1000 * seconds / count / bare_cpu_ms)}×",
            number(100 * seconds / spent.busy_s, "%") if spent.busy_s else "-",
        )
        for role, seconds in [
            *sorted(rows.items(), key=lambda row: -row[1]),
            ("the machine", spent.busy_s),
            ("interrupts, beside it", spent.interrupts_s),
        ]
    ]
    return table(("CPU of", "a hello", "of bare", "share"), lines, right=(1, 2, 3))
