"""Holding a process still: it has stopped, all of its threads, when the call returns."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

WITHIN_S = 5.0


def hold(pid: int) -> None:
    """SIGSTOP, and the kernel's word for every thread: until then one may still answer."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + WITHIN_S
    while not all(_state(task) == "T" for task in Path(f"/proc/{pid}/task").iterdir()):
        assert time.monotonic() < deadline, f"process {pid} did not stop"


def _state(task: Path) -> str:
    return (task / "stat").read_text().rpartition(")")[2].split()[0]
