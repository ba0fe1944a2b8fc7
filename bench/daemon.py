"""A Docker daemon of one's own: its data, its socket and its containerd in a folder that goes with it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

START_S = 60.0
END_S = 60.0
CALL_S = 60.0
LOAD_S = 1800.0
TOOLS = Path(__file__).resolve().parents[1] / ".tools/bin"
GVISOR = ["--platform=systrap", "--network=none"]  #: a container has no network, so gVisor needs no own stack for one


class NoDaemon(Exception):
    """It does not start here."""


class Daemon:
    """``start`` it, ``load`` images into it, ``stop`` it. No network of its own is made: containers have none."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="docker-"))  # a socket's path has 107 bytes at most
        self.url = f"unix://{self.folder}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """It answers when this returns; raises ``NoDaemon``."""
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
                raise NoDaemon(f"dockerd does not start: {said}")
            time.sleep(0.05)

    def load(self, archive: Path) -> None:
        subprocess.run(
            ["docker", "--host", self.url, "load", "--quiet", "--input", str(archive)],
            check=True,
            capture_output=True,
            timeout=LOAD_S,
        )

    def docker(self, *words: str) -> str:
        """What the ``docker`` command answers."""
        done = subprocess.run(
            ["docker", "--host", self.url, *words], check=True, capture_output=True, text=True, timeout=CALL_S
        )
        return done.stdout.strip()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(END_S)
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
    places = (shutil.which("runsc"), shutil.which("runsc", path=str(TOOLS)))
    return next((place for place in places if place and b"systrap" in Path(place).read_bytes()), None)
