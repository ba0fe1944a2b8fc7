"""Whose sandboxes are whose: a folder and control groups for each runner, and what is left of those that are gone."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

from jobs.errors import SandboxFault
from runner.engines.fork import cgroups
from runner.engines.snapshot.container import strike

PREFIX = "restored-"  #: of the control groups
GONE_S = 15.0
_LOOK_S = 0.005


def name() -> str:
    """This process, as no other of this machine's is: process id, and when it started."""
    return f"{os.getpid()}-{_start_time(os.getpid())}"


def reap(running: Path) -> list[str]:
    """End and remove what runners that are gone have left under *running*; their names."""
    gone = [folder for folder in running.glob("*-*") if _is_gone(folder.name)]
    for folder in gone:
        _, bases = cgroups.find(Path("/proc/self/mounts").read_text())
        for members in bases[0].glob(f"{PREFIX}{folder.name}/slot-*/cgroup.procs"):
            end(members)
        for base in bases:
            cgroups.remove(base / f"{PREFIX}{folder.name}")
        shutil.rmtree(folder, ignore_errors=True)
    return [folder.name for folder in gone]


def end(members: Path) -> None:
    """Kill every process of a group (its ``cgroup.procs``), and see them gone."""
    deadline = time.monotonic() + GONE_S
    while strike(members, signal.SIGKILL):
        if time.monotonic() > deadline:
            raise SandboxFault(f"processes of {members.parent} did not end in {GONE_S:.0f} s")
        time.sleep(_LOOK_S)


def _is_gone(owner: str) -> bool:
    pid, _, start = owner.partition("-")
    return _start_time(int(pid)) != start if pid.isdigit() else False


def _start_time(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
