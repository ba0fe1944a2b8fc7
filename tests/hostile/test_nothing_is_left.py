"""After a crowd of programs of every kind, the machine is as it was."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from runner.engines.fork.engine import ForkEngine
from tests.sandboxes import Sandboxes

CROWD = [
    "print('plain')",
    "import os\nfor _ in range(10): os.fork()",
    "import os\nif os.fork() == 0:\n    os.setsid()\n    import time; time.sleep(60)",
    "x = bytearray(200 << 20)",
    "open('f', 'wb').write(bytes(10 << 20)); open('/dev/shm/f', 'wb').write(bytes(10 << 20))",
    "import socket\ns = [socket.create_server(('127.0.0.1', 0)) for _ in range(100)]",
    "import os; os.abort()",
    "while True: print('x' * 10000)",
    "raise SystemExit(3)",
    "import ctypes\nc = ctypes.CDLL(None)\nc.shmget(1, 1 << 20, 0o1666)",
]


def _processes() -> set[int]:
    """All below this one."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = path.read_text().split(" ", 1)
            parents[int(pid)] = int(rest.rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    found, left = set(), {os.getpid()}
    while left:
        left = {pid for pid, parent in parents.items() if parent in left} - found
        found |= left
    return found


def _descriptors() -> int:
    """Open ones, but for the control groups' files, which a slot opens once, the first time that it is needed."""
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(str(entry.readlink()))
    return sum(not link.startswith("/sys/fs/cgroup/") for link in links)


def _mounts() -> list[str]:
    """Those of sandboxes that the machine sees: others come and go with what else runs on it."""
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "rooms-" in line]


def _free(engine: ForkEngine) -> int:
    return len(engine._free)


def _settled(sandboxes: Sandboxes, hoped: tuple[int, int, int] | None = None) -> tuple[int, int, int]:
    """Processes below, descriptors open, free slots; waits until the pools are full again and the ended are reaped.

    Where something is *hoped* for, a machine with other work has time to come to it.
    """
    seen: list[tuple[int, int, int]] = []
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        seen.append((len(_processes()), _descriptors(), _free(sandboxes.engine)))
        if len(seen) > 15 and len(set(seen[-15:])) == 1 and hoped in (None, seen[-1]):
            break
        time.sleep(0.05)
    return seen[-1]


def test_no_process_descriptor_mount_slot_or_group(sandboxes: Sandboxes) -> None:
    sandboxes.together({"code": code, "timeout_s": 1.0} for code in CROWD)
    before = _settled(sandboxes)
    mounts = _mounts()
    for _ in range(3):
        sandboxes.together({"code": code, "timeout_s": 1.0, "outputs": ("*",)} for code in CROWD)
    after = _settled(sandboxes, before)
    assert after == before
    assert _mounts() == mounts
    assert not list(Path("/tmp").glob("rooms-*/*"))


def test_groups_are_empty_when_nothing_runs(sandboxes: Sandboxes) -> None:
    """A slot that no sandbox holds has no process in it, and hardly any memory."""
    sandboxes.together({"code": code, "timeout_s": 1.0} for code in CROWD)
    _settled(sandboxes)
    for parent in sandboxes.engine._cgroups.parents:
        for slot in sandboxes.engine._free:
            procs = parent / f"slot-{slot}" / "cgroup.procs"
            if procs.exists():
                assert procs.read_text() == ""
