"""NATS servers as this project configures them: started from a configuration file, on ports of their own, and ended."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from jobs.errors import Unavailable
from jobs.service.bus import Bus
from tests.conftest import free_port
from yurt.bootstrap.nats_config import ServerPlan, render
from yurt.stack.parts import nats_server

START_S = 20.0


def says_of(config: Path) -> tuple[int, str]:
    """Exit code and words of the real server's check of a configuration."""
    done = subprocess.run([nats_server(), "-t", "-c", str(config)], capture_output=True, text=True, timeout=START_S)
    return done.returncode, done.stdout + done.stderr


@dataclass
class Server:
    config: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        with self.config.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen([nats_server(), "-c", str(self.config)], stdout=log, stderr=log)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def log(self) -> str:
        return self.config.with_suffix(".log").read_text()


@contextmanager
def running(*servers: Server) -> Iterator[None]:
    with ExitStack() as cleanup:
        for server in servers:
            cleanup.callback(server.kill)
            server.start()
        yield


async def connected(server: Server, **options: object) -> Bus:
    """A connection, as soon as the server takes one."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            return await Bus.connect([server.url], name="test", wait_s=2, **options)  # type: ignore[arg-type]
        except Unavailable:
            assert time.monotonic() < deadline, server.log
            await asyncio.sleep(0.05)


def cluster(folder: Path, name: str, size: int) -> list[Server]:
    """The servers of a region, joined by routes; open, and in no supercluster."""
    ports = [free_port() for _ in range(size)]
    routes = [free_port() for _ in range(size)]
    servers = []
    for at in range(size):
        own = folder / f"{name}-{at + 1}"
        own.mkdir()
        config = own / "nats.conf"
        config.write_text(
            render(
                ServerPlan(
                    name=own.name,
                    cluster=name,
                    port=ports[at],
                    cluster_port=routes[at],
                    routes=tuple(f"nats://127.0.0.1:{port}" for port in routes),
                    store_dir=own / "data",
                    sync_always=True,
                    max_memory_bytes=1 << 34,
                    max_file_bytes=1 << 36,
                )
            )
        )
        servers.append(Server(config=config, port=ports[at]))
    return servers
