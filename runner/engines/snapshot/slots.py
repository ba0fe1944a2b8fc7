"""Slots: control groups, a core and a folder, taken for one container after the other."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from jobs.errors import SandboxFault
from jobs.limits import MIB
from runner.engines.fork.cgroups import Cgroups, Group
from runner.engines.snapshot import owners

MEMORY_BYTES = 1024 * MIB  #: until the order says how much
PROCESSES = 8192  #: threads of gVisor's: what it runs is counted inside


@dataclass(frozen=True, kw_only=True)
class Slot:
    """What one container has."""

    number: int
    members: tuple[Path, ...]  #: of its groups; who is written there is in them
    group: Group
    cpu: int
    place: Path  #: its own folder, which goes with it


class Slots:
    """Those of one engine. ``take`` one, ``give`` it back when nothing is in it any more."""

    def __init__(self, running: Path) -> None:
        self.owner = owners.name()
        self._state = running / self.owner
        self._state.mkdir(parents=True)
        self._cgroups = Cgroups(self.owner, prefix=owners.PREFIX)
        self._free: list[int] = []
        self._numbers, self._places, self._turn = count(), count(), count()
        self.cpus = sorted(os.sched_getaffinity(0))

    def take(self) -> Slot:
        """One that nobody has, with bounds wide enough for a start; its CPU is counted from here."""
        number = self._free.pop() if self._free else next(self._numbers)
        place = self._state / str(next(self._places))
        try:
            self._cgroups.open(number)
            self._cgroups.group(number).ground_bytes = 0
            self._cgroups.bound(number, memory_bytes=MEMORY_BYTES, processes=PROCESSES)
            self._cgroups.begin(number)
            place.mkdir(mode=0o700)
        except OSError as error:  # the slot is lost
            raise SandboxFault(f"a sandbox's control group or folder cannot be used: {error}") from error
        return Slot(
            number=number,
            members=tuple(parent / f"slot-{number}" / "cgroup.procs" for parent in self._cgroups.parents),
            group=self._cgroups.group(number),
            cpu=self.cpus[next(self._turn) % len(self.cpus)],
            place=place,
        )

    def give(self, slot: Slot) -> None:
        owners.forget(slot.place)
        self._free.append(slot.number)

    def close(self) -> None:
        """Where the kernel does not let go of a group, the folder stays as well: the next runner ends what is in it."""
        self._cgroups.close()
        if not any(parent.exists() for parent in self._cgroups.parents):
            owners.forget(self._state)
