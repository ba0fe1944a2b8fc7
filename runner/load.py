"""How busy the machine is: CPU and memory in per cent, from /proc. Pure but for the reading."""

from __future__ import annotations

from pathlib import Path


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
        fields = dict(line.split(":", 1) for line in (self._proc / "meminfo").read_text().splitlines())
        total, available = (int(fields[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
        return 100.0 * (total - available) / total
