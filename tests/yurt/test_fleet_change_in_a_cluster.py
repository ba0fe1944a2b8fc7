"""What holds on one server holds on three: languages move under load, and a change is cut off anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jobs.errors import Unavailable
from jobs.languages import Language
from jobs.service.bus import ApiError, Bus
from tests.conftest import binary, until_it_answers
from tests.superclusters import eventually, free_ports
from tests.yurt.trading import GO, PYTHON, RUST, Queue, Trade, calls_of_a_change
from yurt.bootstrap.fleets import look
from yurt.bootstrap.nats_config import ServerPlan, render

pytestmark = pytest.mark.network

REPLICAS = 3


class Cluster:
    """Three servers; ``kill`` one, ``start`` it again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ports = free_ports(2 * REPLICAS)
        self._ports = dict(zip(range(REPLICAS), zip(ports[::2], ports[1::2], strict=True), strict=True))
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def urls(self) -> list[str]:
        return [f"nats://127.0.0.1:{port}" for port, _ in self._ports.values()]

    def start(self, number: int) -> None:
        folder = self._folder / f"n{number}"
        folder.mkdir(exist_ok=True)
        port, routes = self._ports[number]
        plan = ServerPlan(
            name=f"n{number}",
            cluster="fleets",
            port=port,
            cluster_port=routes,
            routes=tuple(f"nats://127.0.0.1:{other}" for _, other in self._ports.values()),
            store_dir=folder / "data",
            max_memory_bytes=64 << 30,
            max_file_bytes=256 << 30,
        )
        (folder / "nats.conf").write_text(render(plan))
        with (folder / "nats.log").open("ab") as log:
            self._processes[number] = subprocess.Popen(
                [binary(), "-c", str(folder / "nats.conf")], stdout=log, stderr=log
            )
        until_it_answers(port, self._processes[number], folder / "nats.log")

    def kill(self, number: int) -> None:
        process = self._processes.pop(number)
        process.kill()
        process.wait()

    def number_of(self, name: str) -> int:
        return int(name.removeprefix("n"))


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    cluster = Cluster(tmp_path)
    for number in range(REPLICAS):
        cluster.start(number)
    yield cluster
    for number in list(cluster._processes):
        cluster.kill(number)


@pytest.fixture
async def in_cluster(cluster: Cluster) -> AsyncIterator[Bus]:
    bus = await Bus.connect(cluster.urls, name="test")

    async def led() -> bool:
        with contextlib.suppress(ApiError, Unavailable):
            info = await bus.api("STREAM.CREATE.READY", {"name": "READY", "num_replicas": REPLICAS}, timeout_s=1)
            return len(info["cluster"]["replicas"]) == REPLICAS - 1
        return False

    await eventually(led)
    yield bus
    await bus.close()


async def test_languages_move_back_and_forth_in_a_cluster_and_every_job_runs_once(in_cluster: Bus) -> None:
    """Steady submissions in all languages while two fleets trade them: all accepted, each run, none of them twice."""
    trade = Trade(Queue(in_cluster, replicas=REPLICAS))
    await trade.begin()
    async with asyncio.timeout(60):
        for languages in ((PYTHON, GO), (GO, RUST), (PYTHON,), (RUST, Language.CPP, PYTHON), (PYTHON,)):
            await trade.move(*languages)
        await trade.end()
    assert trade.ended.keys() == set(trade.queue.queued)
    assert trade.ran_twice == []


async def test_a_change_cut_off_in_a_cluster_is_finished_by_the_next_run(in_cluster: Bus) -> None:
    """After each call, while both fleets run jobs: every job is delivered once."""
    calls = await calls_of_a_change(in_cluster, cut_at=1000, after=True, replicas=REPLICAS)
    for first in range(0, calls, 8):
        cuts = range(first, min(first + 8, calls))
        await asyncio.gather(
            *(calls_of_a_change(in_cluster, cut_at=cut, after=True, replicas=REPLICAS) for cut in cuts)
        )


async def test_the_leader_of_a_queue_dies_while_its_languages_move_and_nothing_is_lost(
    in_cluster: Bus, cluster: Cluster
) -> None:
    """kill -9 in the middle of a change under load: it is run again until it is done, and all that waited was run."""
    trade = Trade(Queue(in_cluster, replicas=REPLICAS, ack_wait_s=1.0))
    await trade.begin()
    stream = trade.queue.plan().name
    split = itertools.cycle(((PYTHON, GO), (GO, RUST)))

    async def moved(languages: tuple[Language, ...]) -> bool:
        with contextlib.suppress(ApiError, Unavailable):
            await trade.move(*languages)
            return not await look(in_cluster, trade.queue.plan(one=languages))
        return False

    async with asyncio.timeout(150):
        changing = asyncio.create_task(moved(next(split)))
        leader = (await in_cluster.api(f"STREAM.INFO.{stream}"))["cluster"]["leader"]
        cluster.kill(cluster.number_of(leader))
        await changing
        for _ in range(2):
            languages = next(split)
            await eventually(lambda languages=languages: moved(languages), within_s=40)  # type: ignore[misc]
        cluster.start(cluster.number_of(leader))
        await trade.end()
    assert set(trade.queue.queued) <= trade.ended.keys()
