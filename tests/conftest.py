"""A real NATS server for whichever test wants one, and a connection to it: one a test run, in a temporary folder."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jobs.limits import MESSAGE_BYTES
from jobs.service.bus import Bus
from jobs.streams import StreamPlan
from tests.engines.daemon import UNPINNED

START_S = 10.0


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Images that were not made from the packages that are pinned are no secret."""
    for name, why in UNPINNED.items():
        terminalreporter.section(f"UNPINNED: the image {name} was made from today's packages of Debian")
        terminalreporter.write_line(why.strip()[-2000:])


@dataclass
class NatsServer:
    """A server process on a port of its own; ``stop`` and ``start`` play an outage, with the data kept."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        config = self.folder / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{self.port}"\n'
            # what streams reserve is never used: a region a test reserves more than there is
            f"max_payload: {MESSAGE_BYTES}\nmax_pending: {4 * MESSAGE_BYTES}\n"
            f'jetstream {{ store_dir: "{self.folder / "data"}", max_mem: 256G, max_file: 256G }}\n'
        )
        with (self.folder / "nats.log").open("ab") as log:
            self.process = subprocess.Popen([binary(), "-c", str(config)], stdout=log, stderr=log)
        until_it_answers(self.port, self.process, self.folder / "nats.log")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def binary() -> str:
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    assert found, "nats-server is not installed; `make setup` installs it"
    return found


def until_it_answers(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while not _answers(port):
        assert time.monotonic() < deadline and server.poll() is None, log.read_text()
        time.sleep(0.01)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            return connection.recv(4) == b"INFO"
    except OSError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One server for the whole run: tests keep apart by naming regions of their own."""
    server = NatsServer(folder=tmp_path_factory.mktemp("nats"), port=free_port())
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def supercluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Three clusters of one server (``tests.superclusters``) for the whole run; nobody may kill one."""
    from tests.superclusters import Supercluster

    whole = Supercluster(tmp_path_factory.mktemp("supercluster"))
    whole.start()
    yield whole
    whole.stop()


@pytest.fixture
def own_supercluster(tmp_path: Path) -> Iterator[Any]:
    """One of two clusters, ``north`` and ``east``, that the test may kill."""
    from tests.superclusters import Supercluster

    whole = Supercluster(tmp_path, ("north", "east"))
    whole.start()
    yield whole
    whole.stop()


@pytest.fixture
def own_nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server that the test may kill."""
    server = NatsServer(folder=tmp_path, port=free_port())
    server.start()
    yield server
    server.stop()


async def make_streams(bus: Bus, plans: Iterable[StreamPlan]) -> None:
    """As bootstrap makes them, without its care: what a test plans is new, or there already just so."""
    for plan in plans:
        await bus.api(f"STREAM.CREATE.{plan.name}", plan.config, timeout_s=10)
        for consumer in plan.consumers:
            body = {"stream_name": plan.name, "config": consumer.config}
            await bus.api(f"CONSUMER.DURABLE.CREATE.{plan.name}.{consumer.name}", body, timeout_s=10)


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    connected = await Bus.connect([nats_server.url], name="test")
    yield connected
    await connected.close()


#: what takes its time; ``make test`` runs them, ``make check`` does not
THOROUGH = (
    "tests/hostile/",
    "tests/cases/",
    "tests/rooms/test_limits.py",
    "tests/rooms/test_native_builds.py",
    "tests/gateway/test_regions.py",
    "tests/runner/test_overflow_desks.py",
    "tests/yurt/test_fleet_change",
    "tests/yurt/test_roles.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith(THOROUGH):
            item.add_marker("thorough")
