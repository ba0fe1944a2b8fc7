"""The loop: sense, decide, act, every few seconds, where nobody else does.

One round::

    take the lock ─▶ for each fleet:  count ─▶ sense ─▶ decide ─▶ store the decision ─▶ carry it out

Rules
1. What is away stops the round, or the fleet it concerns, and nothing is changed: holding still is always safe. It says
   so once a round in a log line, and in the metrics.
2. A decision is stored before it is carried out. Its place in the record is the key by which a repeated dispatch is
   known as the same.
3. Another controller may have decided while this one did not lead: the history is read anew whenever it starts to lead,
   and after anything about the record went wrong.
4. What cannot be carried out is not tried again in the same round: the next decision starts from what there is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from autoscaler.fleets import Fleets
from autoscaler.lock import Lock
from autoscaler.metrics import Metrics
from autoscaler.nomad_door import Busy, NomadAway, NomadRefused
from autoscaler.policy import Decision, Moment, Sample, decide, remember
from autoscaler.record import Record, Superseded
from autoscaler.scaling import FleetScaling, Scaling
from autoscaler.sensor import Sensor
from jobs.errors import Unavailable
from jobs.service.bus import ApiError
from jobs.service.logs import event

log = logging.getLogger("autoscaler")


class Still(StrEnum):
    """Why a round, or a decision of it, changed nothing."""

    #: another controller leads
    STANDBY = "standby"
    #: whoever keeps the lock does not answer
    LOCK_AWAY = "lock_away"
    NATS_AWAY = "nats_away"
    NOMAD_AWAY = "nomad_away"
    #: Nomad says no; a person has to look
    NOMAD_REFUSES = "nomad_refuses"
    #: a deployment is in the way
    DEPLOYMENT = "deployment"
    #: another controller decided in between
    SUPERSEDED = "superseded"
    #: it is told, and not done
    DRY_RUN = "dry_run"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a round did for one fleet; without a decision, none could be made."""

    fleet: str
    decision: Decision | None = None
    sample: Sample | None = None
    done: str = ""
    still: Still | None = None
    problem: str = ""


class Controller:
    """*clock* is the time of day, in seconds since 1970: schedules are about it."""

    def __init__(
        self,
        *,
        region: str,
        scaling: Scaling,
        sensor: Sensor,
        fleets: Fleets,
        record: Record,
        lock: Lock,
        metrics: Metrics,
        clock: Callable[[], float],
        dry_run: bool = False,
    ) -> None:
        self._region, self._scaling, self._sensor, self._fleets = region, scaling, sensor, fleets
        self._record, self._lock, self._metrics, self._clock, self._dry_run = record, lock, metrics, clock, dry_run
        self._histories: dict[str, tuple[Moment, ...]] = {}
        self._led: bool | None = None

    async def run(self, interval_s: float) -> None:
        """Rounds, for ever; they begin *interval_s* apart, or as soon as the one before has ended."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await self.round()
            await asyncio.sleep(max(0.0, began + interval_s - loop.time()))

    async def round(self) -> list[Outcome]:
        """One round, and what it did."""
        try:
            leads = await self._lock.take()
        except (Unavailable, ApiError) as error:
            return self._all_still(Still.LOCK_AWAY, str(error))
        self._metrics.leads(leads)
        if leads != self._led:
            event(log, "leads" if leads else "stands_by", region=self._region)
            self._led = leads
            self._histories.clear()
        if not leads:
            return [Outcome(fleet=fleet.name, still=Still.STANDBY) for fleet in self._scaling.fleets]
        return [self._tell(await self._one(fleet)) for fleet in self._scaling.fleets]

    async def plan(self, fleet: FleetScaling) -> Outcome:
        """The decision that would be made now; nothing is stored or done."""
        try:
            await self._take_up(fleet)
            decision, sample = await self._decide(fleet)
        except (Unavailable, NomadRefused, ApiError) as error:
            return Outcome(fleet=fleet.name, still=_why(error), problem=str(error))
        return Outcome(fleet=fleet.name, decision=decision, sample=sample, still=Still.DRY_RUN)

    async def leave(self) -> None:
        try:
            await self._lock.leave()
        except (Unavailable, ApiError) as error:
            log.debug("the lock will end by itself: %s", error)

    # -- one fleet ------------------------------------------------------------------------------------------------

    async def _one(self, fleet: FleetScaling) -> Outcome:
        try:
            await self._take_up(fleet)
            decision, sample = await self._decide(fleet)
            if self._dry_run:
                return Outcome(fleet=fleet.name, decision=decision, sample=sample, still=Still.DRY_RUN)
            place = await self._record.add(decision)
        except (Unavailable, NomadRefused, ApiError, Superseded) as error:
            self._histories.pop(fleet.name, None)
            return Outcome(fleet=fleet.name, still=_why(error), problem=str(error))
        self._histories[fleet.name] = remember(self._histories[fleet.name], decision.moment, self._scaling.rules)
        try:
            key = f"{self._region}-{fleet.name}-{int(decision.at)}-{place}"
            done = await self._fleets.apply(fleet, decision, key=key, still=lambda: self._lock.held)
        except (NomadAway, NomadRefused, Busy) as error:
            return Outcome(fleet=fleet.name, decision=decision, sample=sample, still=_why(error), problem=str(error))
        return Outcome(fleet=fleet.name, decision=decision, sample=sample, done=done)

    async def _take_up(self, fleet: FleetScaling) -> None:
        """The history of *fleet*, where this controller does not have it already."""
        if fleet.name not in self._histories:
            history: tuple[Moment, ...] = ()
            for decision in await self._record.read(fleet.name):
                history = remember(history, decision.moment, self._scaling.rules)
            self._histories[fleet.name] = history

    async def _decide(self, fleet: FleetScaling) -> tuple[Decision, Sample]:
        count = await self._fleets.count(fleet)
        sample = await self._sensor.sample(fleet.name)
        now = self._clock()
        decision = decide(
            fleet=fleet.name,
            now=now,
            count=count,
            sample=sample,
            history=self._histories[fleet.name],
            rules=self._scaling.rules,
            bounds=fleet.bounds,
            floors=self._scaling.schedule.floors(now, fleet.name, self._scaling.bounds),
            burst=bool(fleet.burst_job),
        )
        return decision, sample

    # -- what is told ---------------------------------------------------------------------------------------------

    def _all_still(self, why: Still, problem: str) -> list[Outcome]:
        return [self._tell(Outcome(fleet=fleet.name, still=why, problem=problem)) for fleet in self._scaling.fleets]

    def _tell(self, outcome: Outcome) -> Outcome:
        """One line, and the metrics."""
        decision = outcome.decision
        if decision is not None and outcome.sample is not None:
            self._metrics.decided(decision, outcome.sample)
            event(
                log,
                "decision",
                fleet=outcome.fleet,
                direction=decision.direction,
                count=decision.count.total,
                wanted=decision.wanted,
                total=decision.total,
                baseline=decision.baseline,
                burst=decision.burst,
                done=outcome.done or None,
                still=outcome.still,
                problem=outcome.problem or None,
                reasons="; ".join(decision.reasons),
            )
        else:
            event(
                log,
                "holds_still",
                level=logging.WARNING,
                fleet=outcome.fleet,
                still=outcome.still,
                problem=outcome.problem,
            )
        if outcome.still is not None and outcome.still is not Still.DRY_RUN:
            self._metrics.held_still(outcome.fleet, outcome.still.value)
        return outcome


def _why(error: Exception) -> Still:
    if isinstance(error, NomadAway):
        return Still.NOMAD_AWAY
    if isinstance(error, NomadRefused):
        return Still.NOMAD_REFUSES
    if isinstance(error, Busy):
        return Still.DEPLOYMENT
    return Still.SUPERSEDED if isinstance(error, Superseded) else Still.NATS_AWAY
