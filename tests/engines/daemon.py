"""A Docker daemon of the tests' own: its data, its socket and its containerd in a folder that goes with it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

START_S = 60.0
IMAGES_S = 1800.0
SOURCES = Path(__file__).resolve().parents[2]
GVISOR = ["--platform=systrap", "--network=none"]  #: a container has no network, so gVisor needs no own stack for one
ARCHIVES = Path(os.environ.get("YURT_TEST_IMAGES", SOURCES / ".images"))


class Daemon:
    """``start`` it, ``load`` images into it, ``stop`` it. No network of its own is made: containers have none."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="docker-"))  # a socket's path has 107 bytes at most
        self.url = f"unix://{self.folder}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = ["dockerd", "--bridge=none", "--iptables=false", "--ip6tables=false"]
        words += [f"--data-root={self.folder}/data", f"--exec-root={self.folder}/exec", f"--host={self.url}"]
        words += [f"--pidfile={self.folder}/pid"]
        config = self.folder / "daemon.json"
        gvisor = runsc()
        config.write_text(
            json.dumps({"runtimes": {"runsc": {"path": gvisor, "runtimeArgs": GVISOR}} if gvisor else {}})
        )
        words += [f"--config-file={config}"]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_S
        while not self._answers():
            said = (self.folder / "log").read_text()[-2000:]
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.skip(f"NO DOCKER HERE: dockerd does not start: {said}")
            time.sleep(0.05)

    def load(self, archive: Path) -> None:
        subprocess.run(
            ["docker", "--host", self.url, "load", "--quiet", "--input", str(archive)],
            check=True,
            capture_output=True,
            timeout=IMAGES_S,
        )

    def docker(self, *words: str) -> str:
        """What the ``docker`` command answers."""
        done = subprocess.run(
            ["docker", "--host", self.url, *words], check=True, capture_output=True, text=True, timeout=60
        )
        return done.stdout.strip()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(self.url.removeprefix("unix://"))
                probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                probe.settimeout(5)
                return b"200" in probe.recv(64)
        except OSError:
            return False


def runsc() -> str | None:
    """gVisor's runtime, where there is one that has the platform we use (the first of 2023 do not)."""
    places = (shutil.which("runsc"), shutil.which("runsc", path=str(SOURCES / ".tools/bin")))
    return next((place for place in places if place and b"systrap" in Path(place).read_bytes()), None)


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
