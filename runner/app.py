"""The runner's process: makes what touches the outside, and gives it its life. The only place that constructs.

connect ─▶ stock the shelves (prepare, prove, warm) ─▶ take jobs ─▶ SIGTERM, its time is over, or its machine will be
taken away: take no more, end what runs or hand it back ─▶ leave
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from functools import partial

from jobs import engines, streams, wire
from jobs.engines import EngineName
from jobs.errors import ConfigFault, PlatformFault, Unavailable
from jobs.events import BEAT_S, Beat
from jobs.languages import Language
from jobs.region import Fleet, Region
from jobs.result import Result
from jobs.service import life, logs
from jobs.service.admin import Admin, admin_certificate
from jobs.service.atlas import Atlas, make_atlas
from jobs.service.bus import Bus
from jobs.service.certificates import Certificate
from jobs.service.connections import connect
from jobs.service.registration import make_registration, runner_service
from jobs.service.settings import load_region
from jobs.service.streams_there import need
from runner.engines.fork.engine import ForkEngine
from runner.engines.several import Engines, Started
from runner.fleet import FleetLanguages
from runner.intake import Intake
from runner.languages.catalogue import SUPPORT
from runner.languages.contract import Installation, Support
from runner.languages.python import Python
from runner.lifetime import Lifetime
from runner.load import Load, Pressure
from runner.metrics import Metrics
from runner.notice import Notice
from runner.origin import Origin, at_home
from runner.overflow import Overflow
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
    lifetime = Lifetime(settings, time.monotonic)
    notice = Notice(settings.notice_url)
    certificate = admin_certificate(settings.admin_tls_cert_file, settings.admin_tls_key_file)
    atlas = make_atlas(settings, region)
    logs.event(log, "connecting", nats=",".join(settings.nats_urls))
    bus = await connect(settings, role="runner", name=f"runner {settings.name}")
    engines = make_engines(settings, fleet)
    await engines.start(each for each in fleet.languages if is_allowed(settings, each))
    runner = Runner(settings, region, bus, engines, atlas, lifetime, notice, certificate)
    if settings.notice_url:
        runner.tasks.start(notice.listen(), "notices of the machine")
    stocking = asyncio.create_task(runner.stock(fleet))  # which needs no NATS: it goes on while the streams are made
    try:
        await need(bus, streams.serving(region, fleet=fleet.name), region=region.name)
        await life.first(asyncio.shield(stocking), stop.wait(), notice.given.wait())
        if not stop.is_set() and not notice.given.is_set():
            await runner.start(await stocking)
            life.settle_memory()
            await life.first(stop.wait(), runner.tasks.failed.wait(), runner.over(), notice.given.wait())
            if runner.tasks.failed.is_set():
                raise PlatformFault("a part of the runner ended; the lines before say which and why")
    finally:
        stocking.cancel()
        await asyncio.gather(stocking, return_exceptions=True)
        await runner.shut_down()
        await engines.close()
        await bus.close()


def make_engines(settings: RunnerSettings, fleet: Fleet) -> Engines:
    """What pitches sandboxes, language by language: as the settings say, then the fleet, then the fork engine."""
    faults: list[str] = []
    choices = (engines.read(settings.engine, "engine", faults), fleet.choice)
    if faults:
        raise ConfigFault("the settings have faults:\n  " + "\n  ".join(faults))
    starts = {EngineName.FORK: _fork, EngineName.DOCKER: _docker, EngineName.SNAPSHOT: _snapshot}
    return Engines(
        {name: partial(_as_root, name, start, settings) for name, start in starts.items()},
        lambda language: engines.chosen(language, choices),
    )


def is_allowed(settings: RunnerSettings, language: Language) -> bool:
    return not settings.languages or language.value in settings.languages


async def _as_root(
    name: str, start: Callable[[RunnerSettings], Awaitable[Started]], settings: RunnerSettings
) -> Started:
    if os.geteuid() != 0:
        raise ConfigFault(f"engine: {name} needs root, for control groups and namespaces; start the runner as root")
    return await start(settings)


async def _fork(settings: RunnerSettings) -> Started:
    return Started(engine=ForkEngine(slots=settings.slots + SPARE_SLOTS), called=EngineName.FORK)


async def _docker(settings: RunnerSettings) -> Started:
    from runner.engines.docker.engine import started  # its library is loaded only where it is asked for

    docker = await started(url=settings.docker_url, runtime=settings.docker_runtime, cache=settings.cache)
    return Started(engine=docker, support=docker.support, called=f"{EngineName.DOCKER}-{settings.docker_runtime}")


async def _snapshot(settings: RunnerSettings) -> Started:
    from runner.engines.snapshot.engine import started

    snapshot = await started(program=settings.runsc, images=settings.images, cache=settings.cache)
    return Started(engine=snapshot, support=snapshot.support, called=EngineName.SNAPSHOT)


class Runner:
    """The parts of a running runner, and its beats."""

    def __init__(
        self,
        settings: RunnerSettings,
        region: Region,
        bus: Bus,
        engines: Engines,
        atlas: Atlas,
        lifetime: Lifetime,
        notice: Notice,
        certificate: Certificate | None,
    ) -> None:
        self._settings, self._region, self._bus, self._lifetime = settings, region, bus, lifetime
        self._notice = notice
        self.shelves = Shelves(
            engines, cache=settings.cache, warm=settings.warm, slots=settings.slots, called=engines.called
        )
        self.tasks = life.Tasks()
        self._engines = engines
        self._atlas = atlas
        self._metrics = Metrics()
        self._fleet = FleetLanguages(
            bus,
            self.shelves,
            region=region.name,
            name=settings.fleet,
            supports=self._support,
            in_hand=lambda: self._work.languages,
            clock=time.monotonic,
        )
        self._work = Work(
            bus,
            self.shelves,
            region=region.name,
            runner=settings.name,
            on_done=self._on_done,
            stocked=self._fleet.stocked,
            on_unfit=lambda origin: self._overflow.avoid(origin),
        )
        home = at_home(region, settings.fleet)
        self._pressure = Pressure(slots=settings.slots, cores=len(os.sched_getaffinity(0)))
        self._intake = Intake(
            bus,
            region=region.name,
            fleet=settings.fleet,
            steady=self._pressure.steady,
            room=self._room,
            on_job=lambda job_class, delivery: self._work.take(home[job_class], delivery),
        )
        self._overflow = Overflow(
            bus,
            atlas,
            languages=self._languages,
            spare=self._spare,
            steady=self._pressure.steady,
            on_job=self._work.take,
            on_control=self._work.on_control,
        )
        self._admin = Admin(self._metrics.registry, self._healthy, self._refresh, certificate=certificate)
        self._load = Load()
        self._mean_ms = 0.0
        self._draining = False
        self._started = False
        self._why_leaving = ""

    async def stock(self, fleet: Fleet) -> list[tuple[Support, Installation]]:
        """The newest version of each language of the fleet is there when it returns; it returns the others."""
        wanted = await self._fleet.look_once(otherwise=fleet.languages)
        return await self.shelves.stock(filter(None, map(self._support, wanted)))

    async def start(self, older: list[tuple[Support, Installation]]) -> None:
        """Take jobs from here on; *older* versions are offered as they are proved."""
        self._started = True
        await self._bus.subscribe(streams.control_subject(self._region.name, "*"), self._work.on_control)
        port = await self._admin.start(self._settings.admin_port)
        self.tasks.start(self._say_beats(), "beat of the runner")
        self.tasks.start(self._intake.run(), "intake")
        self.tasks.start(self._overflow.run(), "overflow")
        self.tasks.start(self._atlas.keep_up(), "atlas")
        self._registration = make_registration(
            self._settings,
            runner_service(
                region=self._region.name, name=self._settings.name, fleet=self._settings.fleet, admin_port=port
            ),
            healthy=self._healthy,
        )
        self.tasks.start(self._registration.keep_up(), "consul")
        self._older = asyncio.create_task(self.shelves.stock_older(older), name="older versions")
        self._fleet.expect({support.language for support, _ in older}, self._older)
        self.tasks.start(self._fleet.run(), "languages of the fleet")
        self.tasks.start(self._engines.keep_up(), "engines")
        logs.event(log, "ready", runner=self._settings.name, region=self._region.name, admin_port=port)

    async def over(self) -> None:
        """Returns when this runner's time is over, where it has one."""
        await self._lifetime.over(lambda: self._work.has_jobs)
        self._why_leaving = self._lifetime.why_over()

    async def shut_down(self) -> None:
        """Take no more, let what runs end, leave."""
        self._draining = True
        self.tasks.closing = True
        if self._started:
            until = time.monotonic() + self._settings.drain_s
            self._why_leaving = self._why_leaving or self._notice.why
            logs.event(log, "draining", running=self._work.running, why=self._why_leaving or "it was told to stop")
            self._beat_once()
            await asyncio.gather(self._registration.leave(), self._intake.close(), self._overflow.close())
            await life.first(self._work.drain(max(0.0, until - time.monotonic())), self._notice.given.wait())
            await self._work.drain(max(0.0, min(until - time.monotonic(), self._notice.left_s())))
            await self.tasks.cancel()
            self._older.cancel()
            await asyncio.gather(self._older, self._fleet.close(), return_exceptions=True)
            self._beat_once(leaving=True)
            await self._admin.close()
        await self.tasks.cancel()
        await self.shelves.close()

    def _room(self, running: int) -> int:
        """One room for the jobs of all regions."""
        return self._pressure.room(running, self.shelves.building.waiting, guests=self._overflow.running)

    def _spare(self) -> int:
        """What of it is for other regions' jobs."""
        if not self._intake.quiet:
            return 0
        running = sum(self._intake.running.values()) + self._overflow.running
        return self._pressure.spare(running, self.shelves.building.waiting)

    def _support(self, language: Language) -> Support | None:
        return self._engines.support(self._on_host(language)) if is_allowed(self._settings, language) else None

    def _on_host(self, language: Language) -> Support:
        if language is Language.PYTHON:
            return Python(self._settings.python_variants)
        return SUPPORT[language]()

    def _languages(self) -> set[Language]:
        return {Language(offer.language) for offer in self.shelves.offers()}

    def _on_done(self, origin: Origin, result: Result | None) -> None:
        self._lifetime.busy()
        if origin.region == self._region.name:
            self._intake.done(origin.job_class)
            self._overflow.wake()
        else:
            self._overflow.done(origin)
            self._intake.wake()
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
            why_leaving=self._why_leaving,
            fleet=self._settings.fleet,
            burst=self._settings.burst,
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
