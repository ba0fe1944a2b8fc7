"""How many runners a fleet should have: pure and exact, no clock and no I/O.

Theory of operation. One call of ``decide`` answers for one fleet at one moment, in five steps::

    metrics ─▶ recommendation ─▶ stabilised ─▶ limited in speed ─▶ within its bounds ─▶ baseline + burst

It is the policy of Kubernetes' horizontal autoscaler (autoscaling/v2), which the original design was written for.
What was recommended and decided before comes in as ``history``; a value stands until the next one, so a window begins
with whatever stood at its start. Where the history does not reach back that far, the present count stands in: a
controller that has just been started waits, in both directions, as long as any other.

Rules
1. Each metric asks for ``ceil(ready × value / target)``. Within the tolerance of its target it asks for what is there;
   above its target never for less than is there (runners that are starting are on their way). The highest wins.
2. What is missing asks for nothing, but while anything is missing what is there is the least.
3. Up: to the lowest recommendation of the last ``up_after_s``, at most by ``max(up_percent, up_count)`` of the count
   ``up_period_s`` ago.
4. Down: to the highest of the last ``down_after_s``, at most by ``down_percent`` of the count ``down_period_s`` ago,
   and by one where that is less than one (else a fleet of nine could never shrink).
   The count then is the smaller of then and now for 3, the larger for 4: the other direction earns nothing.
5. Bounds and floors hold at once, at any speed, with or without metrics. A floor never goes above the maximum.
6. The baseline is the floor, or what was needed all through the last ``trend_s`` if that is more; the rest is burst.

Decimal numbers are taken as they are written (``Fraction``): 77 % of 70 % is 1.1, and that is within 0.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from math import ceil

from jobs.states import Class


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The numbers of the original design, section 4.1."""

    queue_per_worker: float = 5.0  #: jobs that wait or run, a runner
    cpu_percent: float = 70.0
    memory_percent: float = 80.0
    tolerance: float = 0.1  #: of a target, either way, that changes nothing
    up_after_s: float = 30.0
    up_percent: float = 100.0
    up_count: int = 20
    up_period_s: float = 30.0
    down_after_s: float = 300.0
    down_percent: float = 10.0
    down_period_s: float = 60.0
    trend_s: float = 3600.0  #: what was needed for so long is baseline

    @property
    def memory_s(self) -> float:
        """How far back a decision looks."""
        return max(self.up_after_s, self.up_period_s, self.down_after_s, self.down_period_s, self.trend_s)


@dataclass(frozen=True, kw_only=True)
class Bounds:
    minimum: int = 10
    maximum: int = 200


@dataclass(frozen=True, kw_only=True)
class Floor:
    """At least so many now, and why."""

    minimum: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What was sensed of a fleet; None is not known. Depths are jobs that wait or run, by class."""

    queue: Mapping[Class, int | None] = field(default_factory=dict)
    ready: int | None = None
    cpu_percent: float | None = None  #: mean of its ready runners
    memory_percent: float | None = None

    @property
    def depth(self) -> int | None:
        """The depths that are known, together; a lower bound where one is missing; None where all are."""
        known = [depth for depth in self.queue.values() if depth is not None]
        return sum(known) if known else None

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of what is not known. CPU and memory of no runners at all are nothing that could be known."""
        names = [f"queue depth of {each.value}" for each in Class if self.queue.get(each) is None]
        if self.ready is None:
            names.append("ready runners")
        if self.ready != 0:
            names += ["CPU"] * (self.cpu_percent is None) + ["memory"] * (self.memory_percent is None)
        return tuple(names)


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many runners there are, as Nomad was told."""

    baseline: int
    burst: int = 0

    @property
    def total(self) -> int:
        return self.baseline + self.burst


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What a later decision needs to know of an earlier one."""

    at: float  #: seconds since 1970
    wanted: int  #: the recommendation, before any limit
    total: int  #: what was decided


class Limit(StrEnum):
    """What made a decision another than its recommendation."""

    #: something is not known, so nothing is taken away
    MISSING = "missing"
    #: the recommendation has not held long enough
    STABILISATION = "stabilisation"
    #: no faster than this
    SPEED = "speed"
    #: a schedule or an event
    FLOOR = "floor"
    #: the fleet's least
    MINIMUM = "minimum"
    #: the fleet's most
    MAXIMUM = "maximum"


@dataclass(frozen=True, kw_only=True)
class Decision:
    fleet: str
    at: float
    count: Count  #: before
    wanted: int  #: by the metrics, before any limit
    total: int
    baseline: int
    limits: tuple[Limit, ...]
    reasons: tuple[str, ...]  #: in words, in the order of the steps

    @property
    def burst(self) -> int:
        return self.total - self.baseline

    @property
    def direction(self) -> str:
        if self.total == self.count.total:
            return "hold"
        return "up" if self.total > self.count.total else "down"

    @property
    def moment(self) -> Moment:
        return Moment(at=self.at, wanted=self.wanted, total=self.total)


def decide(
    *,
    fleet: str,
    now: float,
    count: Count,
    sample: Sample,
    history: Sequence[Moment],
    rules: Rules,
    bounds: Bounds,
    floors: Iterable[Floor] = (),
    burst: bool = True,
) -> Decision:
    """The decision for *fleet*. *history* is oldest first; *burst* False: all of it is baseline."""
    reasons: list[str] = []
    limits: list[Limit] = []
    wanted = _recommend(sample, count.total, rules, reasons, limits)
    steady = _stabilise(wanted, count.total, now, history, rules, reasons, limits)
    paced = _pace(steady, count.total, now, history, rules, reasons, limits)
    low = _floor(bounds, floors)
    total = _bound(paced, low, bounds, reasons, limits)
    baseline = _baseline(total, low.minimum, count, now, history, rules) if burst else total
    if burst and total > baseline:
        reasons.append(f"{baseline} of them as baseline, {total - baseline} as burst")
    return Decision(
        fleet=fleet,
        at=now,
        count=count,
        wanted=wanted,
        total=total,
        baseline=baseline,
        limits=tuple(limits),
        reasons=tuple(reasons),
    )


def remember(history: Sequence[Moment], moment: Moment, rules: Rules) -> tuple[Moment, ...]:
    """*history* with *moment* at its end, and without what no decision looks back to any more."""
    kept = [*history, moment]
    start = moment.at - rules.memory_s
    while len(kept) > 1 and kept[1].at <= start:
        del kept[0]
    return tuple(kept)


# -- the steps --------------------------------------------------------------------------------------------------------


def _recommend(sample: Sample, count: int, rules: Rules, reasons: list[str], limits: list[Limit]) -> int:
    """Step 1: the highest of what the metrics ask for."""
    ready = count if sample.ready is None else sample.ready
    asked: list[tuple[int, str]] = []
    if (depth := sample.depth) is not None:
        target = _exact(rules.queue_per_worker)
        load = None if ready == 0 else depth / (ready * target)
        need = _need(ceil(depth / target), load, count, depth > 0, rules)
        asked.append((need, "queue depth"))
        reasons.append(f"queue depth {depth} at {rules.queue_per_worker:g} a runner asks for {need}")
    for name, value, goal in (
        ("CPU", sample.cpu_percent, rules.cpu_percent),
        ("memory", sample.memory_percent, rules.memory_percent),
    ):
        if value is None or ready == 0:
            continue
        load = _exact(value) / _exact(goal)
        need = _need(ceil(ready * load), load, count, True, rules)
        asked.append((need, name))
        reasons.append(f"{name} at {value:g} % of {goal:g} % with {ready} ready asks for {need}")
    if missing := sample.missing:
        reasons.append(f"not known: {', '.join(missing)}; so none is taken away")
        asked.append((count, "what is there"))
    wanted, winner = max(asked, key=lambda each: each[0])
    if missing and winner == "what is there" and len(asked) > 1:
        limits.append(Limit.MISSING)
    if len(asked) > 1:
        reasons.append(f"the highest is {winner}: {wanted}")
    return wanted


def _need(need: int, load: Fraction | None, count: int, busy: bool, rules: Rules) -> int:
    """*need*, seen with the tolerance; *load* is the metric over its target, None where nobody is ready to bear it."""
    if load is None:
        return max(need, count) if busy else need
    if abs(load - 1) <= _exact(rules.tolerance):
        return count
    return max(need, count) if load > 1 else need


def _stabilise(
    wanted: int,
    count: int,
    now: float,
    history: Sequence[Moment],
    rules: Rules,
    reasons: list[str],
    limits: list[Limit],
) -> int:
    """Step 2: the lowest of the last half minute on the way up, the highest of the last five on the way down."""
    up = min(_window([(each.at, each.wanted) for each in history], now, rules.up_after_s, count, wanted))
    down = max(_window([(each.at, each.wanted) for each in history], now, rules.down_after_s, count, wanted))
    if count < up:
        steady, which = up, f"lowest of the last {rules.up_after_s:g} s"
    elif count > down:
        steady, which = down, f"highest of the last {rules.down_after_s:g} s"
    else:
        steady = count
        which = f"{'lowest' if wanted > count else 'highest'} of the last " + (
            f"{rules.up_after_s:g} s" if wanted > count else f"{rules.down_after_s:g} s"
        )
    if steady != wanted:
        limits.append(Limit.STABILISATION)
        reasons.append(f"{wanted} has not held long enough: the {which} allows {steady}")
    return steady


def _pace(
    steady: int,
    count: int,
    now: float,
    history: Sequence[Moment],
    rules: Rules,
    reasons: list[str],
    limits: list[Limit],
) -> int:
    """Step 3: no faster than so much in so long."""
    totals = [(each.at, each.total) for each in history]
    if steady > count:
        base = min(count, _at(totals, now - rules.up_period_s, count))
        most = base + max(int(base * _exact(rules.up_percent) / 100), rules.up_count)
        paced = max(count, min(steady, most))
        how = f"at most {rules.up_percent:g} % or {rules.up_count} more than the {base} of {rules.up_period_s:g} s ago"
    elif steady < count:
        base = max(count, _at(totals, now - rules.down_period_s, count))
        least = base - max(int(base * _exact(rules.down_percent) / 100), 1)
        paced = min(count, max(steady, least))
        how = f"at most {rules.down_percent:g} % fewer than the {base} of {rules.down_period_s:g} s ago"
    else:
        return steady
    if paced != steady:
        limits.append(Limit.SPEED)
        reasons.append(f"{how}: {paced}")
    return paced


def _floor(bounds: Bounds, floors: Iterable[Floor]) -> Floor:
    """The highest floor, the fleet's least included; never above its most."""
    least = Floor(minimum=bounds.minimum, reason="")
    highest = max([least, *floors], key=lambda floor: floor.minimum)
    return Floor(minimum=min(highest.minimum, bounds.maximum), reason=highest.reason)


def _bound(paced: int, low: Floor, bounds: Bounds, reasons: list[str], limits: list[Limit]) -> int:
    """Step 4: whatever was asked for, not below the floor and not above the most."""
    if paced > bounds.maximum:
        limits.append(Limit.MAXIMUM)
        reasons.append(f"the most is {bounds.maximum}")
        return bounds.maximum
    if paced >= low.minimum:
        return paced
    if low.reason:
        limits.append(Limit.FLOOR)
        reasons.append(f"{low.reason}: at least {low.minimum}")
    else:
        limits.append(Limit.MINIMUM)
        reasons.append(f"the least is {low.minimum}")
    return low.minimum


def _baseline(total: int, low: int, count: Count, now: float, history: Sequence[Moment], rules: Rules) -> int:
    """Step 5: what was needed all the time is not worth a dispatch."""
    totals = [(each.at, each.total) for each in history]
    trend = min(_window(totals, now, rules.trend_s, min(count.baseline, total), total))
    return min(total, max(low, trend))


# -- values that stand until the next one ---------------------------------------------------------------------------


def _window(steps: Sequence[tuple[float, int]], now: float, length: float, before: int, present: int) -> list[int]:
    """The values that stood in the last *length* seconds; *before* is what stood before the first of *steps*."""
    start = now - length
    return [_at(steps, start, before), *(value for at, value in steps if start < at <= now), present]


def _at(steps: Sequence[tuple[float, int]], moment: float, before: int) -> int:
    for at, value in reversed(steps):
        if at <= moment:
            return value
    return before


def _exact(number: float) -> Fraction:
    return Fraction(str(number))
