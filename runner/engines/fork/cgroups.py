"""Control groups of the sandboxes: memory and processes bounded, CPU and peaks measured. Version 1 and version 2.

A runner has one parent group (in each hierarchy that it needs), and one group a slot beneath it. A slot serves one
sandbox after the other: joining a group that exists costs a third of making one. What a group counted for the sandbox
before is taken off by ``begin``.

Rules
1. On version 1 the hierarchies are memory, pids and cpuacct, as they are mounted; on version 2 the one hierarchy, where
   the parent's ``subtree_control`` must hand down memory and pids. Mounts are never touched.
2. The parent's name carries the runner's process id; groups of runners that are gone are removed at the next start.
   Another engine's have a prefix of their own, and are that engine's to remove.
3. Files of a slot stay open: a reading is one ``pread``.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from jobs.errors import ConfigFault

PREFIX = "rooms-"
_MOUNTS = Path("/proc/self/mounts")
_NEEDED = ("memory", "pids", "cpuacct")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a group counted since ``begin``."""

    cpu_ms: float
    memory_peak_bytes: int
    memory_kills: int  #: processes that the kernel killed for want of memory
    process_refusals: int  #: forks that the process bound refused


@dataclass
class Group:
    """The open files of one group, and what they said when its present sandbox began."""

    version: int
    cpu: int
    peak: int
    held: int
    memory_limit: int
    memory_events: int
    process_limit: int
    process_events: int
    cpu_before: float = 0.0
    kills_before: int = 0
    refusals_before: int = 0
    limits: tuple[int, int] = field(default=(0, 0))
    ground_bytes: int = 0  #: held before the program came and not its own: beside its bound, and not counted

    def bound(self, *, memory_bytes: int, processes: int) -> None:
        """Set the bounds; nothing is written where they are as they were."""
        memory_bytes += self.ground_bytes
        if self.limits == (memory_bytes, processes):
            return
        os.pwrite(self.memory_limit, b"%d" % memory_bytes, 0)
        os.pwrite(self.process_limit, b"%d" % processes, 0)
        self.limits = (memory_bytes, processes)

    def begin(self) -> None:
        """Count from here."""
        self.cpu_before = self._cpu_ms()
        self.kills_before = _field(self.memory_events, b"oom_kill ")
        self.refusals_before = _field(self.process_events, b"max ")
        with contextlib.suppress(OSError):  # a version 2 kernel before 6.12 cannot: then setting up is counted too
            os.pwrite(self.peak, b"0", 0)

    def read(self) -> Reading:
        """What was counted since ``begin``."""
        return Reading(
            cpu_ms=max(0.0, self._cpu_ms() - self.cpu_before),
            memory_peak_bytes=max(0, int(os.pread(self.peak, 32, 0)) - self.ground_bytes),
            memory_kills=_field(self.memory_events, b"oom_kill ") - self.kills_before,
            process_refusals=_field(self.process_events, b"max ") - self.refusals_before,
        )

    def cpu_ms(self) -> float:
        """CPU since ``begin``."""
        return self._cpu_ms() - self.cpu_before

    def held_bytes(self) -> int:
        """Memory that is held now."""
        return int(os.pread(self.held, 32, 0))

    def close(self) -> None:
        bounds = (self.memory_limit, self.memory_events, self.process_limit, self.process_events)
        for fd in (self.cpu, self.peak, self.held, *bounds):
            os.close(fd)

    def _cpu_ms(self) -> float:
        if self.version == 1:
            return int(os.pread(self.cpu, 32, 0)) / 1e6
        return _field(self.cpu, b"usage_usec ") / 1e3


def open_v1(memory: Path, pids: Path, cpuacct: Path) -> Group:
    """One group's folders in the three hierarchies of version 1."""
    with contextlib.suppress(OSError):
        (memory / "memory.swappiness").write_text("0")
    return Group(
        version=1,
        cpu=os.open(cpuacct / "cpuacct.usage", os.O_RDONLY),
        peak=os.open(memory / "memory.max_usage_in_bytes", os.O_RDWR),
        held=os.open(memory / "memory.usage_in_bytes", os.O_RDONLY),
        memory_limit=os.open(memory / "memory.limit_in_bytes", os.O_WRONLY),
        memory_events=os.open(memory / "memory.oom_control", os.O_RDONLY),
        process_limit=os.open(pids / "pids.max", os.O_WRONLY),
        process_events=os.open(pids / "pids.events", os.O_RDONLY),
    )


def open_v2(group: Path) -> Group:
    for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "0")):
        with contextlib.suppress(OSError):
            (group / name).write_text(value)
    return Group(
        version=2,
        cpu=os.open(group / "cpu.stat", os.O_RDONLY),
        peak=os.open(group / "memory.peak", os.O_RDWR),
        held=os.open(group / "memory.current", os.O_RDONLY),
        memory_limit=os.open(group / "memory.max", os.O_WRONLY),
        memory_events=os.open(group / "memory.events", os.O_RDONLY),
        process_limit=os.open(group / "pids.max", os.O_WRONLY),
        process_events=os.open(group / "pids.events", os.O_RDONLY),
    )


def group_of(pid: int) -> Group:
    """The group that a process is in; ``OSError`` where it is gone, or cannot be reached from here."""
    version, bases = find(_MOUNTS.read_text())
    places: dict[str, str] = {}
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, place = line.split(":", 2)
        places.update(dict.fromkeys(controllers.split(","), place.lstrip("/")))
    if version == 2:
        return open_v2(bases[0] / places[""])
    memory, pids, cpuacct = (base / places[name] for base, name in zip(bases, _NEEDED, strict=True))
    return open_v1(memory, pids, cpuacct)


class Cgroups:
    """The groups of one runner. ``parents`` are the folders that sandboxes join beneath, as ``slot-<n>``."""

    def __init__(self, name: str, *, prefix: str = PREFIX, mounts: str | None = None) -> None:
        self._version, bases = find(mounts if mounts is not None else _MOUNTS.read_text())
        self.parents = [base / f"{prefix}{name}" for base in bases]
        self._groups: dict[int, Group] = {}
        for parent in self.parents:
            sweep(parent.parent)
            parent.mkdir(exist_ok=True)
        if self._version == 2:
            hand_down(self.parents[0])

    @property
    def version(self) -> int:
        return self._version

    def open(self, slot: int) -> None:
        """Make the slot's group, once; it can be joined from then on."""
        if slot in self._groups:
            return
        folders = [parent / f"slot-{slot}" for parent in self.parents]
        for folder in folders:
            folder.mkdir(exist_ok=True)
        self._groups[slot] = open_v1(*folders) if self._version == 1 else open_v2(*folders)

    def group(self, slot: int) -> Group:
        """That of a slot that was opened."""
        return self._groups[slot]

    def bound(self, slot: int, *, memory_bytes: int, processes: int) -> None:
        """Set the slot's bounds; nothing is written where they are as they were."""
        self._groups[slot].bound(memory_bytes=memory_bytes, processes=processes)

    def begin(self, slot: int) -> None:
        """Count from here."""
        self._groups[slot].begin()

    def read(self, slot: int) -> Reading:
        """What was counted since ``begin``."""
        return self._groups[slot].read()

    def cpu_ms(self, slot: int) -> float:
        """CPU since ``begin``."""
        return self._groups[slot].cpu_ms()

    def close(self) -> None:
        """Remove the groups; their processes must be gone."""
        for group in self._groups.values():
            group.close()
        self._groups.clear()
        deadline = time.monotonic() + 5
        for parent in self.parents:
            while not remove(parent) and time.monotonic() < deadline:
                time.sleep(0.02)


def find(mounts: str) -> tuple[int, list[Path]]:
    """The version and the folders to make groups in, from the text of /proc/self/mounts.

    Version 1 where its memory controller is mounted, else version 2; ``ConfigFault`` where neither is.
    """
    v1: dict[str, Path] = {}
    v2: Path | None = None
    for line in mounts.splitlines():
        _, target, kind, options, *_ = line.split()
        if kind == "cgroup":
            v1.update({name: Path(target) for name in options.split(",") if name in _NEEDED})
        elif kind == "cgroup2":
            v2 = Path(target)
    if "memory" in v1:
        missing = [name for name in _NEEDED if name not in v1]
        if missing:
            raise ConfigFault(f"cgroup version 1 without {', '.join(missing)}: mount it, or boot with version 2")
        return 1, [v1[name] for name in _NEEDED]
    if v2 is None:
        raise ConfigFault("no cgroups are mounted: mount cgroup2 at /sys/fs/cgroup")
    return 2, [v2]


def hand_down(parent: Path) -> None:
    """On version 2 a group may use what every group above it hands down."""
    for group in (parent.parent, parent):
        try:
            (group / "cgroup.subtree_control").write_text("+memory +pids")
        except OSError as error:
            raise ConfigFault(
                f"{group} does not hand down memory and pids ({error.strerror}): delegate them"
            ) from error


def sweep(base: Path) -> None:
    """Remove the groups of runners that are gone."""
    for parent in base.glob(f"{PREFIX}*"):
        if not Path(f"/proc/{parent.name.removeprefix(PREFIX)}").exists():
            remove(parent)


def remove(parent: Path) -> bool:
    """Remove a parent and its slots; whether it is gone."""
    with contextlib.suppress(OSError):
        for group in parent.glob("slot-*"):
            with contextlib.suppress(OSError):
                group.rmdir()
        parent.rmdir()
    return not parent.exists()


def _field(fd: int, name: bytes) -> int:
    match = re.search(rb"(?m)^" + name + rb"(\d+)", os.pread(fd, 1024, 0))
    return int(match[1]) if match else 0
