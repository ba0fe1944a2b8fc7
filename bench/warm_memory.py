"""Memory of one warm sandbox of each language: what waiting costs.

The sum of its processes' proportional set size (pages shared with the zygote count by their share, so it falls as more
wait), what is its own alone, and what the kernel charges its control group, with the kernel's own structures stated.
"""

from __future__ import annotations

from collections import defaultdict

from bench import processes
from bench.arena import Arena
from bench.figures import Figure, Outcome, at_most, median
from bench.processes import MIB

NEEDS_PROCESSES = True

NEWEST = (at_most(1.5),)
DATA = "python, data"


async def run(arena: Arena) -> Outcome:
    rested = await arena.network.quiet()
    runner = arena.network.pids()["runner"]
    newest = f"python {(await arena.languages()).get('python', '')}"
    figures: list[Figure] = []
    for kind, slots in sorted(kinds(runner, await arena.python(), newest).items()):
        figures += _figures(runner, kind, list(slots.values()), list(slots), kind == newest)
    faults = [] if figures else ["no sandbox waits warm"]
    return Outcome(figures=tuple(figures), faults=(*faults, *([] if rested else ["the network did not come to rest"])))


def kinds(runner: int, python: str, newest: str) -> dict[str, dict[int, list[int]]]:
    """The processes of each slot that holds a forked sandbox, by what waits in it: *newest* where that is *python*."""
    slots: dict[int, list[int]] = defaultdict(list)
    for pid in processes.descendants(runner):
        slot = processes.slot_of(pid)
        if slot is not None:
            slots[slot].append(pid)
    found: dict[str, dict[int, list[int]]] = defaultdict(dict)
    for slot, pids in sorted(slots.items()):
        found[_kind(pids, python, newest)][slot] = pids
    return found


def _kind(pids: list[int], python: str, newest: str) -> str:
    """What waits in a sandbox, by the program of its first process: what starts a runtime ahead stays beside it."""
    path = processes.executable(min(pids))
    name = path.rpartition("/")[2]
    if processes.has_mapped(max(pids), "/numpy/"):
        return DATA
    if path and _same(path, python):
        return newest
    return f"{name} (older, or a compiler's room)" if name.startswith("python") else name or "gone"


def _same(path: str, python: str) -> bool:
    return path == python or path.split("/bin/")[0] == python.split("/bin/")[0]


def _figures(runner: int, kind: str, of_slots: list[list[int]], numbers: list[int], is_newest: bool) -> list[Figure]:
    sums = [[processes.memory(pid) for pid in pids] for pids in of_slots]
    charged = median(processes.slot_memory(runner, number) for number in numbers) / MIB
    kernel = median(processes.slot_kernel_memory(runner, number) for number in numbers) / MIB
    return [
        Figure(
            what=f"{kind}: PSS, median of {len(numbers)}",
            value=median(sum(one.pss for one in each) for each in sums) / MIB,
            unit="MB",
            targets=NEWEST if is_newest else (at_most(6),) if kind == DATA else (),
        ),
        Figure(
            what="  its own alone",
            value=median(sum(one.private for one in each) for each in sums) / MIB,
            unit="MB",
        ),
        Figure(what="  charged to its group", value=charged, unit="MB"),
        Figure(what="  of that the kernel's", value=kernel, unit="MB"),
    ]
