"""A whole network for the tests: ``yurt up`` with real processes, on a free port, in a folder of its own.

One network serves every test of the session. It gives a silent runner's job back after 2 s and has two slots, so that
losing a runner and filling the queue take seconds. A test that kills something leaves it ready for the next test.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import until
from yurt import SyncClient

HOME = Path(__file__).parents[2]
LANGUAGES = {"python", "javascript", "java", "go", "cpp", "rust"}
READY_S = 600  #: a first start prepares every toolchain
REGION = """
region = "local"

[delivery]
ack_wait_s = 2
"""


class Network:
    """``yurt up``, seen from outside."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.stderr = folder / "stderr"
        self.url = ""
        self._region_file = folder / "region.toml"
        self._region_file.write_text(REGION)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = ["up", "--data", str(self.data), "--region-file", str(self._region_file)]
        if self.url:
            words += ["--port", self.url.rpartition(":")[2]]
        with self.stderr.open("ab") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "yurt", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=HOME,
                env={**os.environ, "YURT_SLOTS": "2"},
            )
        line = self._first_line()
        assert line.startswith("ready http://127.0.0.1:"), self.said
        assert line.endswith(" region=local\n")
        self.url = line.split()[1]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """The exit code of ``yurt up`` after the signal."""
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.send_signal(number)
        code = self._process.wait(timeout=120)
        self._process.stdout.close()
        return code

    @property
    def said(self) -> str:
        return self.stderr.read_text()

    until = staticmethod(until)

    def status(self) -> Any:
        words = ["status", "--data", str(self.data), "--json"]
        return json.loads(self.yurt(*words).stdout)

    def pid(self, role: str) -> int:
        """The pid of a role's living process, waited for."""

        def found() -> int | None:
            return next((process["pid"] for process in self.status()["processes"] if process["role"] == role), None)

        return int(until(found))

    def kill(self, role: str, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid(role), number)

    def lose(self, role: str) -> None:
        """kill -9, and wait until another is there."""
        lost = self.pid(role)
        os.kill(lost, signal.SIGKILL)
        until(lambda: self.pid(role) != lost)

    def settle(self) -> None:
        """Wait until it takes jobs in all languages again."""
        until(self._settled, READY_S)

    def yurt(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """The yurt command against this network."""
        return subprocess.run(
            [sys.executable, "-m", "yurt", *words],
            input=stdin,
            capture_output=True,
            cwd=HOME,
            env={**os.environ, "YURT_DATA": str(self.data)},
            check=False,
            timeout=120,
        )

    def client(self, patience_s: float = 30) -> SyncClient:
        return SyncClient(self.url, patience_s=patience_s)

    def nats_url(self) -> str:
        return str(self.status()["regions"][0]["nats"])

    def _settled(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5):
                pass
            with urllib.request.urlopen(f"{self.url}/api/v1/languages", timeout=5) as answer:
                return {entry["language"] for entry in json.load(answer)} == LANGUAGES
        except OSError:
            return False

    def _first_line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], READY_S)
        assert readable, self.said
        return self._process.stdout.readline().decode()


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    network = Network(tmp_path_factory.mktemp("network"))
    network.start()
    network.settle()
    yield network
    assert network.stop() == 0, network.said


@pytest.fixture
def client(network: Network) -> Iterator[SyncClient]:
    with network.client() as client:
        yield client
