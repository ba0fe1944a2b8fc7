"""What the kernel knows of the network's processes: CPU, memory, descriptors, mounts, control groups. Only read.

Theory of operation. The network is the processes that ``yurt up`` names in its data folder, and all that descend from
them. Of the runner's descendants those in a control group ``rooms-<pid>/slot-<n>`` are sandboxes, the others zygotes.
Processes come and go while we look, so everything here takes a process that is gone for one that was never there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.engines.fork.cgroups import PREFIX, find

PROC = Path("/proc")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
MIB = 1 << 20
_KTHREADD = 2


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes. ``pss``: shared pages counted by their share."""

    rss: int
    pss: int
    private: int


@dataclass(frozen=True, kw_only=True)
class Machine:
    """CPU seconds of the whole machine since boot, by what the kernel charged them to."""

    busy_s: float  #: user, nice and system
    interrupts_s: float
    stolen_s: float

    def since(self, before: Machine) -> Machine:
        return Machine(
            busy_s=self.busy_s - before.busy_s,
            interrupts_s=self.interrupts_s - before.interrupts_s,
            stolen_s=self.stolen_s - before.stolen_s,
        )


def machine() -> Machine:
    fields = [int(word) * TICK_S for word in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _, _, hard, soft, stolen = fields
    return Machine(busy_s=user + nice + system, interrupts_s=hard + soft, stolen_s=stolen)


def cpu_s(pid: int, *, with_children: bool = False) -> float:
    """CPU seconds of a process, with those of children that it has waited for where asked; 0 when it is gone."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    ours, children = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    return (ours + children if with_children else ours) * TICK_S


def descendants(pid: int) -> list[int]:
    """All processes below *pid*, without it."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def children(pid: int) -> list[int]:
    """The processes that *pid* itself started."""
    return [below for below in descendants(pid) if parent(below) == pid]


def parent(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    return 0


def kernel_threads_cpu_s() -> float:
    """CPU seconds of the kernel's own threads: namespaces and groups of sandboxes are cleared by those."""
    return sum(cpu_s(pid) for pid in descendants(_KTHREADD))


def memory(pid: int) -> Memory:
    """A process's memory; zeros when it is gone."""
    sizes: dict[str, int] = {}
    with contextlib.suppress(OSError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]:
            name, size, *_ = line.split()
            sizes[name] = int(size) * 1024
    private = sizes.get("Private_Clean:", 0) + sizes.get("Private_Dirty:", 0)
    return Memory(rss=sizes.get("Rss:", 0), pss=sizes.get("Pss:", 0), private=private)


def descriptors(pid: int) -> int:
    with contextlib.suppress(OSError):
        return len([*(PROC / str(pid) / "fd").iterdir()])
    return 0


def name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return (PROC / str(pid) / "comm").read_text().strip()
    return ""


def executable(pid: int) -> str:
    with contextlib.suppress(OSError):
        return str((PROC / str(pid) / "exe").readlink())
    return ""


def has_mapped(pid: int, words: str) -> bool:
    """Whether it has a file mapped whose path holds *words*."""
    with contextlib.suppress(OSError):
        return words in (PROC / str(pid) / "maps").read_text()
    return False


def state(pid: int) -> str:
    """One letter, ``Z`` for a zombie; empty when it is gone."""
    with contextlib.suppress(OSError):
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    return ""


def namespaces(kind: str, pids: Iterable[int]) -> int:
    """How many namespaces of a kind (``mnt``, ``net``, …) these processes are in."""
    seen = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            seen.add((PROC / str(pid) / "ns" / kind).readlink())
    return len(seen)


def mounts() -> int:
    return len((PROC / "mounts").read_text().splitlines())


# -- control groups ----------------------------------------------------------------------------------------------


def slot_of(pid: int) -> int | None:
    """The number of the sandbox slot that a process is in; None for one that is in none."""
    with contextlib.suppress(OSError, ValueError):
        for line in (PROC / str(pid) / "cgroup").read_text().splitlines():
            head, slash, slot = line.rpartition("/slot-")
            if slash and PREFIX in head:
                return int(slot.split("/")[0])
    return None


def groups(runner: int) -> list[Path]:
    """The runner's control groups, one a hierarchy; on version 1 the first is that of memory."""
    _, bases = find((PROC / "self" / "mounts").read_text())
    return [base / f"{PREFIX}{runner}" for base in bases]


def dying_groups() -> int:
    """Memory groups of the whole machine that were removed and that the kernel has not freed yet."""
    _, bases = find((PROC / "self" / "mounts").read_text())
    living = 1 + sum(len(folders) for _, folders, _ in os.walk(bases[0]))
    with contextlib.suppress(OSError):
        for line in (PROC / "cgroups").read_text().splitlines():
            if line.startswith("memory\t"):
                return max(0, int(line.split()[2]) - living)
    return 0


def slot_groups(runner: int) -> Iterator[Path]:
    for group in groups(runner):
        yield from group.glob("slot-*")


def slot_memory(runner: int, slot: int) -> int:
    """Bytes that the kernel charges to a slot, its own structures for it included."""
    group = groups(runner)[0] / f"slot-{slot}"
    for file in ("memory.usage_in_bytes", "memory.current"):
        with contextlib.suppress(OSError):
            return int((group / file).read_text())
    return 0


def slot_kernel_memory(runner: int, slot: int) -> int:
    """Of those, bytes of kernel structures (page tables, stacks, dentries); 0 where the kernel does not say."""
    group = groups(runner)[0] / f"slot-{slot}"
    with contextlib.suppress(OSError):
        return int((group / "memory.kmem.usage_in_bytes").read_text())
    with contextlib.suppress(OSError):
        for line in (group / "memory.stat").read_text().splitlines():
            if line.startswith("kernel "):
                return int(line.split()[1])
    return 0


def slots_cpu_s(runner: int) -> float:
    """CPU seconds of everything that ran in the runner's slots, since it started."""
    for group in groups(runner):
        with contextlib.suppress(OSError):
            return int((group / "cpuacct.usage").read_text()) / 1e9
        with contextlib.suppress(OSError):
            for line in (group / "cpu.stat").read_text().splitlines():
                if line.startswith("usage_usec "):
                    return int(line.split()[1]) / 1e6
    return 0.0
