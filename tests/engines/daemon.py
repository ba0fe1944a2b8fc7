"""What tests of containers need of this machine: a daemon may be started (``bench.daemon``), and images made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

IMAGES_S = 1800.0
SOURCES = Path(__file__).resolve().parents[2]
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
    """The archive of an image of today's sources, made unless it is there; Debian's packages are fetched once."""
    words = [sys.executable, str(SOURCES / "images/make_images.py"), name, "--out", str(ARCHIVES)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=IMAGES_S)
    if "'mmdebstrap'" in done.stderr:
        pytest.skip(f"NO DOCKER HERE: Debian's packages cannot be fetched: {done.stderr[-1000:]}")
    assert done.returncode == 0, done.stderr[-2000:]
    return ARCHIVES / f"{name}.tar"
