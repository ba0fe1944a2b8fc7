"""Floors that follow the clock: times of day on weekdays and at weekends, and events. Pure; the moment comes in.

A step says "from this time on, at least so many"; it stands until the next step of that kind of day, over midnight and
over the weekend's edges too: what Friday's last step says holds until Saturday's first.

Rules
1. Times are those of the wall clock in the schedule's zone. On the day the clocks go forward, a time that is left out
   begins when the clock jumps over it; on the day they go back, a time that comes twice begins the first time.
2. An event's start is a moment; its duration is real time, whatever the clocks do meanwhile.
3. Where several hold at once, all are told: the policy takes the highest.
4. A floor that names no fleet is the region's: it is shared out in proportion to the fleets' least counts, rounded up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from autoscaler.policy import Bounds, Floor

UTC = ZoneInfo("UTC")

_WEEKEND = (5, 6)
_DAYS_BACK = 8  #: a step stands for no longer than until the same weekday's


@dataclass(frozen=True, kw_only=True)
class Step:
    """From *at* on, at least *minimum*."""

    at: time
    minimum: int
    reason: str = ""
    fleet: str | None = None  #: None: the whole region's


@dataclass(frozen=True, kw_only=True)
class Event:
    """At least *minimum* for *duration_s* from each of *starts*; without starts it waits to be planned."""

    name: str
    starts: tuple[float, ...]  #: seconds since 1970
    duration_s: float
    minimum: int
    fleet: str | None = None


@dataclass(frozen=True, kw_only=True)
class Schedule:
    zone: ZoneInfo = UTC
    weekday: tuple[Step, ...] = ()
    weekend: tuple[Step, ...] = ()
    events: tuple[Event, ...] = ()

    def floors(self, now: float, fleet: str, fleets: Mapping[str, Bounds]) -> tuple[Floor, ...]:
        """What holds for *fleet* at *now*; *fleets* are all of the region's, to share with."""
        found = []
        for step in filter(None, (self._standing(now, None), self._standing(now, fleet))):
            why = f" ({step.reason})" if step.reason else ""
            found.append(_floor(step.minimum, step.fleet, fleet, fleets, f"schedule since {step.at:%H:%M}{why}"))
        for event in self.events:
            running = any(start <= now < start + event.duration_s for start in event.starts)
            if running and event.fleet in (None, fleet):
                found.append(_floor(event.minimum, event.fleet, fleet, fleets, f"event {event.name}"))
        return tuple(found)

    def _standing(self, now: float, fleet: str | None) -> Step | None:
        """The step that began last, of those for *fleet* (None: for the region)."""
        today = datetime.fromtimestamp(now, self.zone).date()
        for day in (today - timedelta(days=back) for back in range(_DAYS_BACK)):
            steps = [step for step in self._steps(day) if step.fleet == fleet]
            begun = [step for step in steps if begins(day, step.at, self.zone) <= now]
            if begun:
                return max(begun, key=lambda step: step.at)
        return None

    def _steps(self, day: date) -> Iterator[Step]:
        yield from self.weekend if day.weekday() in _WEEKEND else self.weekday


def begins(day: date, at: time, zone: ZoneInfo) -> float:
    """The first moment of *day* at which the clock of *zone* shows *at* or later, in seconds since 1970."""
    wall = datetime.combine(day, at, zone)
    moment = wall.timestamp()
    if datetime.fromtimestamp(moment, zone).replace(tzinfo=None) == wall.replace(tzinfo=None):
        return moment
    return _jump(wall.replace(fold=1).timestamp(), moment, zone)


def _jump(before: float, after: float, zone: ZoneInfo) -> float:
    """The second, after *before* and not after *after*, from which the clock of *zone* is another."""
    low, high = int(before), int(after)
    old = datetime.fromtimestamp(low, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == old:
            low = middle
        else:
            high = middle
    return float(high)


def _floor(minimum: int, owner: str | None, fleet: str, fleets: Mapping[str, Bounds], reason: str) -> Floor:
    """*minimum* itself where it is the fleet's own, else its share of the region's."""
    least = {name: max(1, bounds.minimum) for name, bounds in fleets.items()}
    if owner is not None or len(least) < 2:
        return Floor(minimum=minimum, reason=reason)
    share = -(-minimum * least[fleet] // sum(least.values()))
    return Floor(minimum=share, reason=f"{reason}, {minimum} in the region")
