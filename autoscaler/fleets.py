"""Act: what there is of a fleet, and how a decision becomes so. By Nomad, or, without one, as advice only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from autoscaler.nomad_door import NomadDoor
from autoscaler.policy import Count, Decision
from autoscaler.scaling import FleetScaling
from autoscaler.sensor import Sensor


class Fleets(Protocol):
    """Where the controller reads counts and makes them so."""

    async def count(self, fleet: FleetScaling) -> Count: ...

    async def apply(self, fleet: FleetScaling, decision: Decision, *, key: str, still: Callable[[], bool]) -> str:
        """What was done, in words. *key* names the decision: the same again is done once. *still*: go on?"""
        ...


class NomadFleets:
    """The baseline by count; what is missing of the burst by dispatch. Too much burst ends by itself."""

    def __init__(self, door: NomadDoor) -> None:
        self._door = door

    async def count(self, fleet: FleetScaling) -> Count:
        baseline = await self._door.count(fleet.job, fleet.group)
        return Count(baseline=baseline, burst=await self._door.living(fleet.burst_job) if fleet.burst_job else 0)

    async def apply(self, fleet: FleetScaling, decision: Decision, *, key: str, still: Callable[[], bool]) -> str:
        done = []
        if fleet.burst_job:  # first: a dispatch is quicker than a deployment
            dispatched = 0
            while dispatched < decision.burst - decision.count.burst and still():
                await self._door.dispatch(fleet.burst_job, token=f"{key}-{dispatched}")
                dispatched += 1
            if dispatched:
                done.append(f"dispatched {dispatched}")
        if decision.baseline != decision.count.baseline and still():
            up = decision.baseline > decision.count.baseline
            said = "; ".join(decision.reasons)[:250]
            await self._door.scale(fleet.job, fleet.group, decision.baseline, up=up, message=said)
            done.append(f"baseline {decision.count.baseline} to {decision.baseline}")
        return ", ".join(done) or "nothing to do"


class Advice:
    """Without Nomad: the runners that are heard are what there is, and decisions are only told."""

    def __init__(self, sensor: Sensor) -> None:
        self._sensor = sensor

    async def count(self, fleet: FleetScaling) -> Count:
        return Count(baseline=self._sensor.heard(fleet.name))

    async def apply(self, fleet: FleetScaling, decision: Decision, *, key: str, still: Callable[[], bool]) -> str:
        return "advice only"
