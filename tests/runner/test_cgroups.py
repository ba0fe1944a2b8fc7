"""Control groups: found from the mounts of either version, counted from ``begin``, removed at the end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.errors import ConfigFault
from runner.engines.fork.cgroups import PREFIX, Cgroups, find, remove, sweep

V1 = """proc /proc proc rw 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,nosuid,memory 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0
"""
V2 = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n"


def test_version_1_is_three_hierarchies() -> None:
    assert find(V1) == (1, [Path("/sys/fs/cgroup", name) for name in ("memory", "pids", "cpu,cpuacct")])


def test_version_2_is_one() -> None:
    assert find(V2) == (2, [Path("/sys/fs/cgroup")])


def test_where_both_are_mounted_the_memory_controller_decides() -> None:
    assert find(V1 + V2)[0] == 1
    assert find("cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n" + V2)[0] == 2


@pytest.mark.parametrize(("mounts", "said"), [("", "no cgroups"), (V1.replace("rw,pids", "rw,freezer"), "pids")])
def test_what_is_missing_is_named(mounts: str, said: str) -> None:
    with pytest.raises(ConfigFault, match=said):
        find(mounts)


@pytest.fixture
def groups() -> Iterator[Cgroups]:
    if os.geteuid() != 0:
        pytest.skip("groups are made by root")
    made = Cgroups(f"{os.getppid()}")  # alive, and not the name of the engine that other tests share
    made.open(999)
    yield made
    made.close()
    assert not any((parent / "slot-999").exists() for parent in made.parents)


def _inside(groups: Cgroups, code: str) -> int:
    """Run Python in the slot's group; its wait status."""
    entering = "".join(
        f"open({str(parent / 'slot-999/cgroup.procs')!r}, 'w').write('0')\n" for parent in groups.parents
    )
    return subprocess.run(["python3", "-I", "-S", "-c", entering + code], stderr=subprocess.DEVNULL).returncode


def test_it_counts_from_where_it_began(groups: Cgroups) -> None:
    groups.bound(999, memory_bytes=64 << 20, processes=20)
    _inside(groups, "x = bytearray(30 << 20)\nfor i in range(1000000): pass")
    groups.begin(999)
    reading = groups.read(999)
    assert reading.cpu_ms < 5 and reading.memory_peak_bytes < 25 << 20
    assert (reading.memory_kills, reading.process_refusals) == (0, 0)
    _inside(groups, "x = bytearray(30 << 20)\nfor i in range(1000000): pass")
    reading = groups.read(999)
    assert reading.cpu_ms > 5 and reading.memory_peak_bytes > 30 << 20


def test_it_bounds_memory(groups: Cgroups) -> None:
    groups.bound(999, memory_bytes=32 << 20, processes=20)
    groups.begin(999)
    assert _inside(groups, "x = b'x' * (60 << 20)") == -9
    assert groups.read(999).memory_kills == 1


def test_it_bounds_processes(groups: Cgroups) -> None:
    groups.bound(999, memory_bytes=32 << 20, processes=1)
    groups.begin(999)
    assert _inside(groups, "import os\nos.fork()") == 1
    assert groups.read(999).process_refusals >= 1


def test_groups_of_the_dead_are_swept(tmp_path: Path) -> None:
    for name in (f"{PREFIX}999999999", f"{PREFIX}{os.getpid()}"):
        (tmp_path / name / "slot-0").mkdir(parents=True)
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{PREFIX}{os.getpid()}"]
    assert remove(tmp_path / f"{PREFIX}{os.getpid()}")
