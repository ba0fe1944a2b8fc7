"""Whose sandboxes are whose: a folder and control groups an engine, and what is left of those whose runner is gone."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from itertools import count
from pathlib import Path

from jobs.errors import SandboxFault
from runner.engines.fork import cgroups, kernel

PREFIX = "restored-"  #: of the control groups
NETWORK = "null-netns"
MNT_DETACH = 2
GONE_S = 15.0
_LOOK_S = 0.005


_numbers = count()


def name() -> str:
    """One more engine of this process, as no other of this machine is called: process id, when it started, number."""
    return f"{os.getpid()}-{_start_time(os.getpid())}-{next(_numbers)}"


def reap(running: Path) -> list[str]:
    """End and remove what runners that are gone have left, with folders under *running* or without; their names."""
    _, bases = cgroups.find(Path("/proc/self/mounts").read_text())
    folders = [folder.name for folder in running.glob("*-*")]
    groups = [group.name.removeprefix(PREFIX) for base in bases for group in base.glob(f"{PREFIX}*")]
    gone = [name for name in dict.fromkeys((*folders, *groups)) if _is_gone(name)]
    for name in gone:
        for members in bases[0].glob(f"{PREFIX}{name}/slot-*/cgroup.procs"):
            end(members)
        for base in bases:
            cgroups.remove(base / f"{PREFIX}{name}")
        forget(running / name)
    return gone


def forget(folder: Path) -> None:
    """Remove the folder of a container, or of all of an engine's; newer runscs mount a network of their own in it."""
    for mounted in folder.rglob(NETWORK):
        kernel.libc.umount2(bytes(mounted), MNT_DETACH)
    shutil.rmtree(folder, ignore_errors=True)


def end(members: Path) -> None:
    """Kill every process of a group (its ``cgroup.procs``), and see them gone."""
    deadline = time.monotonic() + GONE_S
    while strike(members, signal.SIGKILL):
        if time.monotonic() > deadline:
            raise SandboxFault(f"processes of {members.parent} did not end in {GONE_S:.0f} s")
        time.sleep(_LOOK_S)


def strike(members: Path, number: int) -> bool:
    """A signal to every process of a group, by its ``cgroup.procs``; whether there was one."""
    try:
        found = members.read_text().split()
    except OSError:
        return False
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), number)
    return bool(found)


def _is_gone(owner: str) -> bool:
    pid, _, rest = owner.partition("-")
    return pid.isdigit() and _start_time(int(pid)) != rest.partition("-")[0]


def _start_time(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
