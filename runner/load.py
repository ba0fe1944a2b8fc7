"""How busy the machine is, and how much more a runner may take on. From /proc.

Programs mostly wait: a thousand that sleep are no load, four that compute are all that two cores can do in time. So the
number of slots is only the most; how many jobs are taken is decided by what the machine feels at that moment.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

READING_S = 0.005  #: how long a reading is good for
FLOOR_A_CORE = 2  #: jobs that are always taken, whatever else the machine does
BUSY_A_CORE = 2  #: processes that want a core, beyond which no more is taken
STEADY_A_CORE = 8  #: jobs asked for at once
BUILDS_A_CORE = 4  #: jobs that wait for their turn to build
LEAST_MEMORY = 0.12  #: of the machine's, that must be available


class Load:
    """CPU since the last reading, memory now."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._before = self._cpu_times()

    def read(self) -> tuple[float, float]:
        busy_before, all_before = self._before
        self._before = busy, total = self._cpu_times()
        cpu = 100.0 * (busy - busy_before) / (total - all_before) if total > all_before else 0.0
        return cpu, self._memory()

    def _cpu_times(self) -> tuple[int, int]:
        words = (self._proc / "stat").read_text().split("\n", 1)[0].split()[1:9]
        times = [int(word) for word in words]
        idle = times[3] + times[4]
        return sum(times) - idle, sum(times)

    def _memory(self) -> float:
        return 100.0 * (1 - available((self._proc / "meminfo").read_bytes()))


class Pressure:
    """Whether to take more. *slots* is the most at once."""

    def __init__(
        self, *, slots: int, cores: int, proc: Path = Path("/proc"), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._slots, self._clock = slots, clock
        # Read for each job that is asked for, so the files stay open.
        self._loadavg = os.open(proc / "loadavg", os.O_RDONLY)
        self._meminfo = os.open(proc / "meminfo", os.O_RDONLY)
        self._floor = min(slots, FLOOR_A_CORE * cores)
        self._busy = BUSY_A_CORE * cores
        self._builds = BUILDS_A_CORE * cores
        self.steady = min(slots, STEADY_A_CORE * cores)
        self._read_at = float("-inf")
        self._high = False

    def room(self, running: int, building: int, guests: int = 0) -> int:
        """How many more jobs to ask for; *running* now, beside *guests* from other regions, and how many of all these
        wait for their turn to build. Guests hold slots like any, but the floor is ours whatever they do.
        """
        free = self._slots - running - guests
        if running < self._floor and self.high():
            return min(self._floor - running, free)
        if running >= self._floor and (self.high() or building > self._builds):
            return 0
        return min(self.steady, free)

    def spare(self, running: int, building: int) -> int:
        """How many more jobs of other regions to ask for, all that run counted: a reserve stays free of them."""
        return self.room(running, building) - max(1, self._floor // 2)

    def high(self) -> bool:
        now = self._clock()
        if now - self._read_at > READING_S:
            self._read_at = now
            self._high = self._runnable() > self._busy or self._available() < LEAST_MEMORY
        return self._high

    def _runnable(self) -> int:
        """Processes and threads that want a core now, this one not counted."""
        return int(os.pread(self._loadavg, 64, 0).split()[3].split(b"/")[0]) - 1

    def _available(self) -> float:
        return available(os.pread(self._meminfo, 256, 0))


def available(meminfo: bytes) -> float:
    """The share of memory that is available: of MemTotal, MemFree and MemAvailable, the first three lines."""
    fields = meminfo.split(None, 8)
    return int(fields[7]) / int(fields[1])
