"""The runner's process: makes what touches the outside, and gives it its life. The only place that constructs.

connect ─▶ stock the shelves (prepare, prove, warm) ─▶ take jobs ─▶ SIGTERM: take no more, end what runs ─▶ leave
"""

from __future__ import annotations

import asyncio
import logging
import os

from jobs import streams, wire
from jobs.errors import ConfigFault, Unavailable
from jobs.events import BEAT_S, Beat
from jobs.region import Region
from jobs.result import Result
from jobs.service import life, logs
from jobs.service.admin import Admin
from jobs.service.bus import Bus
from jobs.service.connections import connect
from jobs.service.settings import load_region
from jobs.states import Class
from runner.engine import Engine
from runner.engines.fork.engine import ForkEngine
from runner.intake import Intake
from runner.languages.catalogue import SUPPORT
from runner.languages.contract import Installation, Support
from runner.load import Load, Pressure
from runner.metrics import Metrics
from runner.settings import RunnerSettings
from runner.shelves import Shelves
from runner.work import Work

log = logging.getLogger("runner")

SPARE_SLOTS = 200  #: sandboxes that wait, or are being struck, beside those that run
MEAN_WEIGHT = 0.1


def run(settings: RunnerSettings) -> int:
    """The process's exit code."""
    logs.set_up(level=settings.log_level, role="runner")
    return life.run(lambda stop: serve(settings, stop))


async def serve(settings: RunnerSettings, stop: asyncio.Event) -> None:
    """A runner, from start to *stop* and its last job."""
    region = load_region(settings.region_file, settings.region)
    fleet = next((fleet for fleet in region.fleets if fleet.name == settings.fleet), None)
    if fleet is None:
        names = ", ".join(each.name for each in region.fleets)
        raise ConfigFault(f"fleet: region {region.name} has no fleet {settings.fleet!r}; it has {names}")
    bus = await connect(settings, role="runner", name=f"runner {settings.name}")
    engine = make_engine(settings)
    runner = Runner(settings, region, bus, engine)
    try:
        await bus.ensure(streams.plan(region))
        wanted = [each for each in fleet.languages if not settings.languages or each.value in settings.languages]
        stocking = asyncio.create_task(runner.shelves.stock([SUPPORT[each]() for each in wanted]))
        await life.first(asyncio.shield(stocking), stop.wait())
        if not stop.is_set():
            await runner.start(await stocking)
            life.settle_memory()
            await life.first(stop.wait(), runner.tasks.failed.wait())
        stocking.cancel()
    finally:
        await runner.shut_down()
        await engine.close()
        await bus.close()


def make_engine(settings: RunnerSettings) -> Engine:
    if settings.engine != "fork":
        raise ConfigFault(f"engine: {settings.engine!r} is not served by this version; fork is")
    if os.geteuid() != 0:
        raise ConfigFault("engine: fork needs root, to make namespaces and control groups; start the runner as root")
    return ForkEngine(slots=settings.slots + SPARE_SLOTS)


class Runner:
    """The parts of a running runner, and its beats."""

    def __init__(self, settings: RunnerSettings, region: Region, bus: Bus, engine: Engine) -> None:
        self._settings, self._region, self._bus = settings, region, bus
        self.shelves = Shelves(engine, cache=settings.cache, warm=settings.warm, slots=settings.slots)
        self.tasks = life.Tasks()
        self._metrics = Metrics()
        self._work = Work(bus, self.shelves, region, runner=settings.name, on_done=self._on_done)
        self._pressure = Pressure(slots=settings.slots, cores=len(os.sched_getaffinity(0)))
        self._intake = Intake(
            bus,
            region=region.name,
            fleet=settings.fleet,
            steady=self._pressure.steady,
            room=lambda running: self._pressure.room(running, self.shelves.building.waiting),
            on_job=self._work.take,
        )
        self._admin = Admin(self._metrics.registry, self._healthy, self._refresh)
        self._load = Load()
        self._mean_ms = 0.0
        self._draining = False
        self._started = False

    async def start(self, older: list[tuple[Support, Installation]]) -> None:
        """Take jobs from here on; *older* versions are offered as they are proved."""
        self._started = True
        await self._bus.subscribe(streams.control_subject(self._region.name, "*"), self._work.on_control)
        port = await self._admin.start(self._settings.admin_port)
        self.tasks.start(self._work.beat(), "beat of jobs")
        self.tasks.start(self._say_beats(), "beat of the runner")
        self.tasks.start(self._intake.run(), "intake")
        self._older = asyncio.create_task(self.shelves.stock_older(older), name="older versions")
        logs.event(log, "ready", runner=self._settings.name, region=self._region.name, admin_port=port)

    async def shut_down(self) -> None:
        """Take no more, let what runs end, leave."""
        self._draining = True
        self.tasks.closing = True
        if self._started:
            logs.event(log, "draining", running=self._work.running)
            self._intake.stop()
            self._beat_once()
            await self._work.drain(self._settings.drain_s)
            await self.tasks.cancel()
            self._older.cancel()
            await asyncio.gather(self._older, return_exceptions=True)
            self._beat_once(leaving=True)
            await self._admin.close()
        await self.shelves.close()

    def _on_done(self, job_class: Class, result: Result | None) -> None:
        self._intake.done(job_class)
        if result is not None:
            self._metrics.ended(result)
            run_ms = (result.timeline.compile_ms or 0.0) + (result.timeline.run_ms or 0.0)
            self._mean_ms += MEAN_WEIGHT * (run_ms - self._mean_ms)

    async def _say_beats(self) -> None:
        while True:
            self._beat_once()
            await asyncio.sleep(BEAT_S)

    def _beat_once(self, *, leaving: bool = False) -> None:
        cpu, memory = self._load.read()
        warm, cold = self.shelves.counts()
        beat = Beat(
            runner=self._settings.name,
            region=self._region.name,
            pid=os.getpid(),
            slots=max(self._pressure.steady, self._work.running),
            running=self._work.running,
            draining=self._draining,
            cpu_percent=round(cpu, 1),
            memory_percent=round(memory, 1),
            offers=self.shelves.offers(),
            cold_starts=cold,
            warm_starts=warm,
            mean_run_ms=round(self._mean_ms, 3),
            leaving=leaving,
        )
        try:
            self._bus.publish(streams.runner_subject(self._region.name, self._settings.name), wire.pack(beat))
        except Unavailable:
            log.debug("a beat was not heard: NATS is away")

    def _healthy(self) -> bool:
        return not self._draining and self._bus.connected

    def _refresh(self) -> None:
        warm, cold = self.shelves.counts()
        self._metrics.now(running=self._work.running, offers=self.shelves.offers(), warm=warm, cold=cold)
