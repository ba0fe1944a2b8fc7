"""What tests of containers need of this machine: a daemon may be started (``bench.daemon``), and images made."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bench.daemon import Daemon
from runner.engines.docker.engine import OWNER

IMAGES_S = 1800.0
SOURCES = Path(__file__).resolve().parents[2]
GONE, UNREACHABLE = 3, 4  #: exit codes of images/make_images.py
UNPINNED: dict[str, str] = {}  #: images that were not made from what is pinned, and why
ARCHIVES = Path(os.environ.get("YURT_TEST_IMAGES", SOURCES / ".images"))


def missing() -> str:
    """What this machine lacks for a daemon and images, or nothing."""
    lacks = [name for name in ("dockerd", "docker", "mmdebstrap", "readelf") if shutil.which(name) is None]
    if os.geteuid() != 0:
        return "NO DOCKER HERE: its daemon is started by root"
    if lacks:
        return f"NO DOCKER HERE: {', '.join(lacks)} cannot be found; .ci/docker gets them, where apt can"
    return ""


def archive(name: str) -> Path:
    """The archive of an image of today's sources, made unless it is there; Debian's packages are fetched once.

    Where Debian has replaced a version that is pinned, it is made from today's packages, and the summary says so: the
    tests are of our code, and somebody has to renew the lock files for the next release.
    """
    done = _make(name)
    if done.returncode == GONE:
        UNPINNED[name] = done.stderr
        done = _make(name, "--unpinned")
    if done.returncode == UNREACHABLE:
        pytest.skip(f"NO DOCKER HERE: Debian's packages cannot be fetched: {done.stderr[-1000:]}")
    assert done.returncode == 0, done.stderr[-2000:]
    return ARCHIVES / f"{name}.tar"


def _make(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SOURCES / "images/make_images.py"), name, "--out", str(ARCHIVES), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=IMAGES_S)


def ours(daemon: Daemon) -> list[str]:
    """The ids of this process's containers, running or not."""
    return [container for container, is_ours in _owned(daemon) if is_ours]


def others(daemon: Daemon) -> list[str]:
    """Those of other processes, such as a runner that this one started."""
    return [container for container, is_ours in _owned(daemon) if not is_ours]


def _owned(daemon: Daemon) -> list[tuple[str, bool]]:
    told = daemon.docker("ps", "--all", "--no-trunc", "--format", f'{{{{.ID}}}} {{{{.Label "{OWNER}"}}}}')
    lines = [line.partition(" ") for line in told.splitlines()]
    mine = f"{socket.gethostname()} {os.getpid()} "
    return [(container, owner.startswith(mine)) for container, _, owner in lines if owner]
