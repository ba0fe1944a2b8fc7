"""Nothing is left: what is there is counted before and after ten thousand programs.

Theory of operation. A first burst brings the network to its working size (pools that grew, slots that were opened,
caches that filled) and is not measured. Then it rests, is counted, runs, rests, is counted again. What a run must leave
is its stored result, so the store of NATS may grow by a little a run, and nothing else may grow but by noise.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import processes
from bench.arena import Arena, Progress
from bench.caller import Line, WrongAnswer, check, request
from bench.figures import Figure, Outcome, number, table
from bench.processes import MIB
from bench.programs import HELLOS, PYTHON, Program

NEEDS_PROCESSES = True

CONNECTIONS = 8
REST_S = 90.0
POOLS = 12  #: how many more may wait after one burst than after another: pools follow demand
PYTHON_SHARE = 0.9
RESULT_BYTES = 3000  #: a stored result and its place in the logs
NATS_RESULT_BYTES = 2000  #: of the server's memory, its output kept for late listeners included


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One thing that is counted: may grow by *noise*, and by *a_run* for each program."""

    name: str
    unit: str = ""
    noise: float = 0
    a_run: float = 0

    def may_be(self, before: float, runs: int) -> float:
        return before + self.noise + self.a_run * runs


PROCESSES = ("gateway", "runner", "nats")
THINGS = (
    Thing(name="zygotes"),
    Thing(name="sandboxes that wait", noise=POOLS),
    Thing(name="sandboxes, first processes", noise=POOLS),
    Thing(name="processes in sandboxes", noise=2 * POOLS),
    Thing(name="zombies"),
    Thing(name="mounts"),
    Thing(name="namespaces: mount", noise=POOLS),
    Thing(name="namespaces: network", noise=POOLS),
    Thing(name="namespaces: pid", noise=POOLS),
    Thing(name="control groups"),
    Thing(name="control groups, memory", unit="MB", noise=8),
    Thing(name="control groups removed, not freed", noise=10),
    Thing(name="files in /tmp, /dev/shm", noise=10),
    Thing(name="files in the data folder", noise=8, a_run=0.001),
    Thing(name="data folder", unit="MB", noise=8, a_run=RESULT_BYTES / MIB),
    Thing(name="zygotes, PSS", unit="MB", noise=8),
    *(Thing(name=f"{role}, descriptors", noise=2 + 4 * POOLS * (role == "runner")) for role in PROCESSES),
    Thing(name="zygotes, descriptors", noise=4 * POOLS),
    Thing(name="gateway, PSS", unit="MB", noise=16),
    Thing(name="runner, PSS", unit="MB", noise=16),
    Thing(name="nats, PSS", unit="MB", noise=64, a_run=NATS_RESULT_BYTES / MIB),
)


async def run(arena: Arena) -> Outcome:
    runs = arena.runs(10_000, 1000)
    offered = await arena.languages()
    programs = [program for program in HELLOS if program.language in offered]
    faults: list[str] = []
    slots = len({group.name for group in processes.slot_groups(arena.network.pids()["runner"])})
    await _burst(arena, programs, slots + 300, "bringing it to its size", faults)  # every slot was used once
    rested = await arena.network.quiet(REST_S)
    before = count(arena)
    await _burst(arena, programs, runs, f"{runs:,} programs", faults)
    rested = await arena.network.quiet(REST_S) and rested
    after = await _settled(arena, before, runs)
    left = [thing.name for thing in THINGS if after[thing.name] > thing.may_be(before[thing.name], runs)]
    if not rested:
        faults.append(f"the network did not come to rest in {REST_S:.0f} s")
    return Outcome(
        figures=(Figure(what=f"{runs:,} programs: kinds of thing left behind", value=len(left), unit=""),),
        tables=(_table(before, after, runs),),
        faults=(*faults[:5], *(f"left behind: {name}" for name in left)),
    )


async def _burst(arena: Arena, programs: list[Program], runs: int, what: str, faults: list[str]) -> None:
    """*runs* programs, most of them python; the sources are few, so that caches are full after the first burst."""
    chosen = random.Random(4)
    others = [program for program in programs if program is not PYTHON]
    jobs = iter(
        [PYTHON if chosen.random() < PYTHON_SHARE or not others else chosen.choice(others) for _ in range(runs)]
    )
    progress = arena.progress(what, runs)
    counter = [0]
    lines = [await Line.open(arena.network.url) for _ in range(CONNECTIONS)]
    try:
        await asyncio.gather(*(_work(line, jobs, progress, counter, faults) for line in lines))
    finally:
        progress.end(counter[0])
        for line in lines:
            line.close()


async def _work(line: Line, jobs: Iterator[Program], progress: Progress, counter: list[int], faults: list[str]) -> None:
    for program in jobs:
        try:
            check(await line.execution(request(program.language, program.source(7))), program.output(7))
        except (WrongAnswer, OSError) as wrong:
            faults.append(str(wrong))
            if len(faults) > 100:
                return
        counter[0] += 1
        progress.at(counter[0])


async def _settled(arena: Arena, before: dict[str, float], runs: int) -> dict[str, float]:
    """The count, once nothing is left or it has had time enough: the kernel clears some things a moment later."""
    for _ in range(10):
        after = count(arena)
        if all(after[thing.name] <= thing.may_be(before[thing.name], runs) for thing in THINGS):
            break
        await asyncio.sleep(1)
    return after


def count(arena: Arena) -> dict[str, float]:
    """All of ``THINGS`` as they are now."""
    pids = arena.network.pids()
    runner = pids["runner"]
    below = processes.descendants(runner)
    in_slots = {pid: slot for pid in below if (slot := processes.slot_of(pid)) is not None}
    zygotes = processes.children(runner)
    firsts = set(below) - set(in_slots) - set(zygotes)  # the first process of each sandbox is in no slot's group
    groups = list(processes.slot_groups(runner))
    charged = sum(processes.slot_memory(runner, int(group.name.removeprefix("slot-"))) for group in set(groups))
    data = [file for file in (arena.network.data or Path()).rglob("*") if file.is_file()]
    found: dict[str, float] = {
        "zygotes": len(zygotes),
        "sandboxes, first processes": len(firsts),
        "sandboxes that wait": len(set(in_slots.values())),
        "processes in sandboxes": len(in_slots),
        "zombies": sum(processes.state(pid) == "Z" for pid in [*below, *processes.descendants(pids["up"])]),
        "mounts": processes.mounts(),
        "namespaces: mount": processes.namespaces("mnt", [*below, *pids.values()]),
        "namespaces: network": processes.namespaces("net", [*below, *pids.values()]),
        "namespaces: pid": processes.namespaces("pid", [*below, *pids.values()]),
        "control groups": len(groups),
        "control groups, memory": charged / len(processes.groups(runner)) / MIB,
        "control groups removed, not freed": processes.dying_groups(),
        "files in /tmp, /dev/shm": sum(len([*Path(folder).iterdir()]) for folder in ("/tmp", "/dev/shm")),
        "files in the data folder": len(data),
        "data folder": sum(_size(file) for file in data) / MIB,
        "zygotes, PSS": sum(processes.memory(pid).pss for pid in zygotes) / MIB,
        "zygotes, descriptors": sum(processes.descriptors(pid) for pid in zygotes),
    }
    for role in PROCESSES:
        found[f"{role}, descriptors"] = processes.descriptors(pids[role])
        found[f"{role}, PSS"] = processes.memory(pids[role]).pss / MIB
    return found


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _table(before: dict[str, float], after: dict[str, float], runs: int) -> str:
    rows = []
    for thing in THINGS:
        was, now = before[thing.name], after[thing.name]
        most = thing.may_be(was, runs)
        kept = number(most, thing.unit)
        rows.append((thing.name, number(was, thing.unit), number(now, thing.unit), kept, "" if now <= most else "LEFT"))
    return table(("counted", "before", "after", "may be", ""), rows, right=(1, 2, 3))
