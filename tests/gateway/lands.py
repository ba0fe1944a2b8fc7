"""Several regions, each with a gateway of its own, in a real supercluster, and scripted runners wherever hired."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from jobs.events import BEAT_S
from jobs.region import Region
from jobs.service.bus import Bus
from tests.gateway.conftest import Door, comes_true, open_door
from tests.gateway.scripted import ScriptedRunner, Story, hello
from tests.superclusters import Supercluster, region_in

_numbers = itertools.count(1)


class Land:
    """Regions by the name of their cluster, nearest neighbour first in the order of the clusters."""

    def __init__(self, supercluster: Supercluster, folder: Path, cleanup: AsyncExitStack) -> None:
        self.supercluster = supercluster
        self.regions: dict[str, Region] = {}
        self.doors: dict[str, Door] = {}
        self.buses: dict[str, Bus] = {}
        self.beating: list[ScriptedRunner] = []
        self._folder = folder
        self._cleanup = cleanup

    async def settle(self) -> None:
        number, clusters = next(_numbers), self.supercluster.clusters
        for cluster in clusters:
            others = [f"{other}{number}" for other in clusters if other != cluster]
            self.regions[cluster] = region_in(cluster, f"{cluster}{number}", *others)
        await self.supercluster.found(*self.regions.values())

    def name(self, cluster: str) -> str:
        return self.regions[cluster].name

    async def open(self, cluster: str, **changes: Any) -> Door:
        """A gateway of that region."""
        region = self.regions[cluster]
        file = self._folder / f"{region.name}.toml"
        lines = [f"region = {json.dumps(region.name)}", f"cluster = {json.dumps(cluster)}"]
        for other in region.neighbours:
            lines += ["[[neighbours]]", f"region = {json.dumps(other.region)}", f"rtt_ms = {other.rtt_ms}"]
        file.write_text("\n".join(lines) + "\n")
        opened = open_door(self.supercluster.url(cluster), region.name, region_file=file, **changes)
        door = self.doors[cluster] = await self._cleanup.enter_async_context(opened)
        return door

    async def bus(self, cluster: str) -> Bus:
        if cluster not in self.buses:
            self.buses[cluster] = bus = await self.supercluster.connect(cluster)
            self._cleanup.push_async_callback(bus.close)
        return self.buses[cluster]

    async def hire(
        self, cluster: str, tells: Story = hello, *, queue: str = "", pulls: bool = True, **more: Any
    ) -> ScriptedRunner:
        """A runner of that region; it takes jobs of *queue*, where that is another. Every open gateway knows of it."""
        region = self.regions[queue or cluster]
        name = f"scripted-{next(_numbers)}"
        runner = ScriptedRunner(await self.bus(cluster), region, tells=tells, name=name, of=self.name(cluster), **more)
        await runner.start(pulls=pulls)
        self.beating.append(runner)
        self._cleanup.push_async_callback(runner.stop)
        for door in self.doors.values():
            await comes_true(lambda door=door: self._is_known(door, runner))  # type: ignore[misc]
        return runner

    async def dismiss(self, runner: ScriptedRunner) -> None:
        """It says that it leaves; it goes on with what it has."""
        self.beating.remove(runner)
        await runner.beat(leaving=True)

    async def beat(self) -> None:
        while True:
            for runner in self.beating:
                await runner.beat()
            await asyncio.sleep(BEAT_S / 4)

    async def _is_known(self, door: Door, runner: ScriptedRunner) -> bool:
        return (await self.row(door, runner.of))["runners"] > 0

    async def row(self, door: Door, region: str) -> dict[str, Any]:
        """What a gateway says of a region."""
        _, rows = await door.call("GET", "/api/v1/regions")
        return next(row for row in rows if row["region"] == region)

    async def becomes(self, door: Door, cluster: str, *, healthy: bool) -> None:
        """Returns when a gateway sees a region so."""

        async def is_so() -> bool:
            return (await self.row(door, self.name(cluster)))["healthy"] is healthy

        await comes_true(is_so)

    async def becomes_home(self, door: Door) -> None:
        """Returns when a gateway says that its own region takes jobs again: its streams, and a runner that is heard."""

        async def is_so() -> bool:
            return bool((await door.call("GET", "/readyz"))[1]["home"] == "ready")

        await comes_true(is_so)


@asynccontextmanager
async def land(supercluster: Supercluster, folder: Path) -> AsyncIterator[Land]:
    async with AsyncExitStack() as cleanup:
        made = Land(supercluster, folder, cleanup)
        await made.settle()
        beating = asyncio.create_task(made.beat())
        yield made
        beating.cancel()
