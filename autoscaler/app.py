"""The autoscaler's process: makes what touches the outside, and gives it its life. The only place that constructs.

connect ─▶ the record's stream ─▶ listen to beats ─▶ rounds ─▶ SIGTERM: leave the lock to the next one

When the files say other fleets or bounds, its parts are made anew, and take up the history where it was left.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from autoscaler import follow
from autoscaler.controller import Controller, Outcome
from autoscaler.fleets import Advice, Fleets, NomadFleets
from autoscaler.follow import Plans
from autoscaler.lock import ConsulLock, Lock, NatsLock
from autoscaler.metrics import Metrics
from autoscaler.nomad_door import NomadDoor
from autoscaler.policy import Decision
from autoscaler.record import Record
from autoscaler.scaling import Scaling
from autoscaler.sensor import SILENCE_S, Sensor
from autoscaler.settings import AutoscalerSettings
from jobs.errors import ConfigFault
from jobs.region import Region
from jobs.service import life, logs
from jobs.service.admin import Admin, admin_certificate
from jobs.service.bus import Bus
from jobs.service.connections import connect
from jobs.service.consul_door import ConsulDoor
from jobs.service.registration import autoscaler_service, make_registration
from jobs.service.streams_there import need
from jobs.streams import scale_plan

log = logging.getLogger("autoscaler")


def run(settings: AutoscalerSettings) -> int:
    """The process's exit code."""
    logs.set_up(level=settings.log_level, role="autoscaler")
    return life.run(lambda stop: serve(settings, stop))


async def serve(settings: AutoscalerSettings, stop: asyncio.Event) -> None:
    """An autoscaler, from start to *stop*."""
    plans: Plans | None = follow.read(settings)
    while plans is not None and not stop.is_set():
        async with _made(settings, plans) as autoscaler:
            await autoscaler.prepare()
            plans = await autoscaler.serve(stop)


async def plan(settings: AutoscalerSettings) -> list[Outcome]:
    """What would be decided now for each fleet, after beats were listened to for long enough. Changes nothing."""
    async with _made(settings, follow.read(settings)) as autoscaler:
        return await autoscaler.plan()


async def last_decisions(settings: AutoscalerSettings) -> dict[str, list[Decision]]:
    """The decisions that the record has, by fleet, oldest first."""
    async with _made(settings, follow.read(settings)) as autoscaler:
        return await autoscaler.last_decisions()


@asynccontextmanager
async def _made(settings: AutoscalerSettings, plans: Plans) -> AsyncIterator[Autoscaler]:
    if settings.interval_s <= 0:
        raise ConfigFault(f"interval_s: {settings.interval_s:g} must be above 0")
    bus = await connect(settings, role="autoscaler", name=f"autoscaler {settings.name}")
    try:
        yield Autoscaler(settings, *plans, bus)
    finally:
        await bus.close()


class Autoscaler:
    """The parts of a running autoscaler."""

    def __init__(self, settings: AutoscalerSettings, region: Region, plans: Scaling, bus: Bus) -> None:
        self._settings, self._region, self._scaling, self._bus = settings, region, plans, bus
        self._metrics, self._tasks = Metrics(), life.Tasks()
        self._sensor = Sensor(bus, region, time.monotonic)
        self._record = Record(bus, region.name)
        self._controller = Controller(
            region=region.name,
            scaling=plans,
            sensor=self._sensor,
            fleets=self._make_fleets(),
            record=self._record,
            lock=self._make_lock(),
            metrics=self._metrics,
            clock=time.time,
            dry_run=settings.dry_run,
        )
        certificate = admin_certificate(settings.admin_tls_cert_file, settings.admin_tls_key_file)
        self._admin = Admin(self._metrics.registry, lambda: not self._tasks.failed.is_set(), certificate=certificate)

    def _make_fleets(self) -> Fleets:
        settings = self._settings
        if not settings.nomad_address:
            return Advice(self._sensor)
        if not settings.nomad_address.startswith(("http://", "https://")):
            raise ConfigFault(f"nomad_address: {settings.nomad_address!r} is none; write http://127.0.0.1:4646")
        door = NomadDoor(
            settings.nomad_address,
            token=settings.nomad_token,
            ca_file=settings.nomad_ca_file,
            namespace=settings.nomad_namespace,
            region=settings.nomad_region,
        )
        return NomadFleets(door)

    def _make_lock(self) -> Lock:
        settings = self._settings
        if not settings.consul_address:
            return NatsLock(self._bus, region=self._region.name, owner=settings.name, clock=time.monotonic)
        door = ConsulDoor(settings.consul_address, token=settings.consul_token, ca_file=settings.consul_ca_file)
        return ConsulLock(door, region=self._region.name, owner=settings.name, clock=time.monotonic)

    async def prepare(self) -> None:
        await need(self._bus, [scale_plan(self._region)], region=self._region.name)

    async def serve(self, stop: asyncio.Event) -> Plans | None:
        """Until *stop*, or until the files say something else: what they say then."""
        changed = asyncio.create_task(follow.until_changed(self._settings, (self._region, self._scaling)))
        port = await self._admin.start(self._settings.admin_port)
        service = autoscaler_service(region=self._region.name, name=self._settings.name, admin_port=port)
        registration = make_registration(self._settings, service, healthy=lambda: not self._tasks.failed.is_set())
        try:
            await self._sensor.start()
            self._tasks.start(self._controller.run(self._settings.interval_s), "controller")
            self._tasks.start(registration.keep_up(), "consul")
            logs.event(log, "ready", region=self._region.name, name=self._settings.name, admin_port=port)
            await life.first(stop.wait(), self._tasks.failed.wait(), asyncio.shield(changed))
            return changed.result() if changed.done() else None
        finally:
            changed.cancel()
            self._tasks.closing = True
            await registration.leave()
            await self._tasks.cancel()
            await self._controller.leave()
            await self._sensor.close()
            await self._admin.close()

    async def plan(self) -> list[Outcome]:
        await self._sensor.start()
        await asyncio.sleep(SILENCE_S)  # silence means death only after so long
        return [await self._controller.plan(fleet) for fleet in self._scaling.fleets]

    async def last_decisions(self) -> dict[str, list[Decision]]:
        return {fleet.name: await self._record.read(fleet.name) for fleet in self._scaling.fleets}
