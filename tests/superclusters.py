"""A real supercluster for the tests: NATS clusters of one server each, joined by gateways, each a place for regions.

A test makes regions of its own in it, by name: ``Region(name=…, cluster="north")``.
"""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from jobs import streams
from jobs.errors import Unavailable
from jobs.region import Neighbour, Region, embedded
from jobs.service.bus import ApiError, Bus
from tests import waiting
from tests.conftest import binary, make_streams, until_it_answers
from tests.stopping import hold
from yurt.bootstrap.nats_config import ServerPlan, render

CLUSTERS = ("north", "east", "south")
MOST_BYTES = 256 << 30  #: what streams reserve is never used: a region a test reserves more than there is
LEADER_S = 20.0


class Supercluster:
    """``start`` all, or one again; ``stop`` kills; the data stays."""

    def __init__(self, folder: Path, clusters: Sequence[str] = CLUSTERS) -> None:
        self._folder = folder
        self.clusters = tuple(clusters)
        ports = iter(free_ports(3 * len(self.clusters)))
        self._ports = {cluster: (next(ports), next(ports), next(ports)) for cluster in clusters}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def url(self, cluster: str) -> str:
        return f"nats://127.0.0.1:{self._ports[cluster][0]}"

    def start(self, *clusters: str) -> None:
        """These, or all."""
        for cluster in clusters or self.clusters:
            folder = self._folder / cluster
            folder.mkdir(exist_ok=True)
            (folder / "nats.conf").write_text(render(self._plan(cluster)))
            with (folder / "nats.log").open("ab") as log:
                self._processes[cluster] = subprocess.Popen(
                    [binary(), "-c", str(folder / "nats.conf")], stdout=log, stderr=log
                )
        for cluster in clusters or self.clusters:
            until_it_answers(self._ports[cluster][0], self._processes[cluster], self._folder / cluster / "nats.log")

    def stop(self, *clusters: str) -> None:
        """kill -9."""
        for cluster in clusters or self.clusters:
            process = self._processes.pop(cluster, None)
            if process is not None:
                process.kill()
                process.wait()

    def suspend(self, cluster: str) -> None:
        """It accepts connections and says nothing any more, as if the network swallowed everything."""
        hold(self._processes[cluster].pid)

    def resume(self, cluster: str) -> None:
        self._processes[cluster].send_signal(signal.SIGCONT)

    async def connect(self, cluster: str, role: str = "admin") -> Bus:
        return await Bus.connect([self.url(cluster)], name="test", role=role)

    async def found(self, *regions: Region) -> None:
        """Streams and consumers of *regions*, each in its cluster; waits for the clusters to have found each other."""
        bus = await self.connect(self.clusters[0])
        try:
            await eventually(lambda: _led(bus))
            for region in regions:
                await eventually(partial(_made, bus, region))
        finally:
            await bus.close()

    def _plan(self, cluster: str) -> ServerPlan:
        port, routes, gateway = self._ports[cluster]
        return ServerPlan(
            name=f"{cluster}-1",
            cluster=cluster,
            port=port,
            cluster_port=routes,
            gateway_port=gateway,
            gateways={each: (f"nats://127.0.0.1:{self._ports[each][2]}",) for each in self.clusters},
            store_dir=self._folder / cluster / "data",
            max_memory_bytes=MOST_BYTES,
            max_file_bytes=MOST_BYTES,
        )


def free_ports(count: int) -> list[int]:
    """Different ones."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


eventually = partial(waiting.eventually, within_s=LEADER_S)


async def _led(bus: Bus) -> bool:
    try:
        await bus.api("STREAM.NAMES", timeout_s=0.5)
    except (ApiError, Unavailable):
        return False
    return True


async def _made(bus: Bus, region: Region) -> bool:
    try:
        await make_streams(bus, streams.plan(region))
    except (ApiError, Unavailable):  # no server of that cluster is known yet
        return False
    return True


def region_in(cluster: str, name: str, *neighbours: str, **changes: object) -> Region:
    """A region of that cluster; *neighbours* nearest first."""
    near = tuple(Neighbour(region=each, rtt_ms=float(10 * at)) for at, each in enumerate(neighbours, start=1))
    return embedded(name, cluster=cluster, neighbours=near, **changes)
