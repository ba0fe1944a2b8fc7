"""Sense: queue depths from the consumers, load and readiness from the runners' beats.

Rules
1. What cannot be read is not known (None), never 0: a consumer that is missing, a NATS that is away.
2. Runners are known once beats were listened to for as long as their silence means death (three beats), and anew after
   each reconnect: a sensor that has just come up would else see an empty fleet.
3. A runner belongs to the fleet that it says; an older one says none, and belongs to the one whose languages it
   offers. One that drains, or offers nothing yet, is not ready.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from autoscaler.policy import Sample
from jobs import streams, wire
from jobs.errors import Unavailable, WireFault
from jobs.events import BEAT_S, Beat
from jobs.languages import find
from jobs.region import Region
from jobs.service.bus import ApiError, Bus, Message
from jobs.states import Class

log = logging.getLogger("sensor")

SILENCE_S = 3 * BEAT_S
INFO_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class _Heard:
    beat: Beat
    fleet: str
    at: float


class Sensor:
    """*clock* is any that only goes forward."""

    def __init__(self, bus: Bus, region: Region, clock: Callable[[], float]) -> None:
        self._bus, self._region, self._clock = bus, region, clock
        self._heard: dict[str, _Heard] = {}
        self._since = clock()
        self._end: Callable[[], Any] | None = None

    async def start(self) -> None:
        self._end = await self._bus.subscribe(streams.runner_subject(self._region.name, "*"), self._on_beat)
        self._bus.on_reconnect(self._begin)
        self._begin()

    async def close(self) -> None:
        if self._end is not None:
            await self._end()

    @property
    def knows_runners(self) -> bool:
        """Whether silence means that there is none."""
        return self._bus.connected and self._clock() - self._since >= SILENCE_S

    def heard(self, fleet: str) -> int:
        """How many runners of *fleet* there are, ready or not."""
        return len(self._living(fleet))

    async def sample(self, fleet: str) -> Sample:
        """What is known of *fleet* now."""
        depths = await asyncio.gather(*(self._depth(fleet, each) for each in Class))
        ready = [beat for beat in self._living(fleet) if beat.offers and not beat.draining]
        known = self.knows_runners
        return Sample(
            queue=dict(zip(Class, depths, strict=True)),
            ready=len(ready) if known else None,
            cpu_percent=_mean([beat.cpu_percent for beat in ready]) if known else None,
            memory_percent=_mean([beat.memory_percent for beat in ready]) if known else None,
        )

    async def _depth(self, fleet: str, job_class: Class) -> int | None:
        """Jobs that wait or run; None where the consumer cannot be asked."""
        stream = streams.jobs_stream(self._region.name, job_class)
        try:
            info = await self._bus.api(f"CONSUMER.INFO.{stream}.{fleet}", timeout_s=INFO_TIMEOUT_S)
            return int(info["num_pending"]) + int(info["num_ack_pending"])
        except (Unavailable, ApiError, ValueError, KeyError) as error:
            log.debug("no depth of %s %s: %s", fleet, job_class, error)
            return None

    def _begin(self) -> None:
        self._since = self._clock()

    def _living(self, fleet: str) -> list[Beat]:
        now = self._clock()
        for runner in [name for name, heard in self._heard.items() if now - heard.at > SILENCE_S]:
            del self._heard[runner]
        return [heard.beat for heard in self._heard.values() if heard.fleet == fleet]

    def _on_beat(self, message: Message) -> None:
        try:
            beat = wire.unpack_as(Beat, message.data)
        except WireFault as error:
            log.debug("a beat that cannot be read: %s", error)
            return
        fleet = self._fleet_of(beat)
        if beat.leaving or fleet is None:
            self._heard.pop(beat.runner, None)
        else:
            self._heard[beat.runner] = _Heard(beat, fleet, self._clock())

    def _fleet_of(self, beat: Beat) -> str | None:
        if beat.fleet:
            return beat.fleet
        for offer in beat.offers:
            language = find(offer.language)
            if language is not None:
                return self._region.fleet_of(language).name
        return None


def _mean(values: list[float]) -> float | None:
    """Of the numbers that are numbers; None of none."""
    sane = [value for value in values if math.isfinite(value) and value >= 0]
    return round(sum(sane) / len(sane), 2) if sane else None
