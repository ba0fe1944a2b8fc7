"""The scaling file: rules, schedule, events and the fleets' bounds. What it leaves out is the original design's.

    time_zone = "Europe/Berlin"               # of the times below; default UTC

    [rules]                                   # ``autoscaler.policy.Rules``, any of them
    queue_per_worker = 5
    cpu_percent = 70

    [[weekday]]                               # replaces all the default ones; [[weekend]] likewise
    time = "08:00"
    minimum = 30
    reason = "Morning ramp-up"
    fleet = "python"                          # without it: the region's, shared out among the fleets

    [[events]]
    name = "course_launch"
    starts = [2026-12-01T09:00:00]            # in time_zone, unless it says its own
    duration = "4h"                           # s, m, h or d
    minimum = 100

    [fleets.python]                           # a fleet of the region file
    minimum = 20
    maximum = 100
    job = "runner-python"                     # the Nomad job of the baseline
    group = "runner"                          # its group
    burst_job = "runner-burst-python"         # the parameterised one; "" for none

All faults are told at once, each with its cure.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from autoscaler.policy import Bounds, Rules
from autoscaler.schedule import Event, Schedule, Step
from jobs.errors import ConfigFault
from jobs.languages import Language
from jobs.region import Fleet, Region

#: the design's bounds of a fleet of one language; of several it is their sum, of all six ``Bounds()``
OF_LANGUAGE: dict[Language, Bounds] = {
    Language.PYTHON: Bounds(minimum=20, maximum=100),
    Language.JAVASCRIPT: Bounds(minimum=15, maximum=80),
    Language.JAVA: Bounds(minimum=10, maximum=50),
    Language.GO: Bounds(minimum=5, maximum=30),
    Language.CPP: Bounds(minimum=5, maximum=30),
    Language.RUST: Bounds(minimum=3, maximum=20),
}
WEEKDAY = (
    Step(at=time(8), minimum=30, reason="Morning ramp-up"),
    Step(at=time(10), minimum=50, reason="Peak learning hours"),
    Step(at=time(14), minimum=60, reason="Afternoon peak"),
    Step(at=time(18), minimum=40, reason="Evening wind-down"),
    Step(at=time(22), minimum=15, reason="Night minimum"),
)
WEEKEND = (Step(at=time(10), minimum=20), Step(at=time(22), minimum=10))
#: planned by giving it starts
EVENTS = (Event(name="course_launch", starts=(), duration_s=4 * 3600.0, minimum=100),)

_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NOMAD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, kw_only=True)
class FleetScaling:
    """The bounds of a fleet, and the Nomad jobs it is made of."""

    name: str
    bounds: Bounds
    job: str
    group: str = "runner"
    burst_job: str = ""  #: empty: all of it is baseline


@dataclass(frozen=True, kw_only=True)
class Scaling:
    rules: Rules = field(default_factory=Rules)
    schedule: Schedule = field(
        default_factory=lambda: Schedule(weekday=WEEKDAY, weekend=WEEKEND, events=EVENTS),
    )
    fleets: tuple[FleetScaling, ...]

    @property
    def bounds(self) -> dict[str, Bounds]:
        return {fleet.name: fleet.bounds for fleet in self.fleets}


def default(region: Region) -> Scaling:
    """What holds without a scaling file."""
    return Scaling(fleets=tuple(_default_fleet(fleet) for fleet in region.fleets))


def parse(text: str, region: Region) -> Scaling:
    """The scaling of *region* by a scaling file; raises ``ConfigFault`` with every fault in it."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigFault(f"the scaling file is not TOML: {error}") from error
    faults: list[str] = []
    scaling = _Reader(region, faults).scaling(table)
    if faults:
        raise ConfigFault("the scaling file has faults:\n  " + "\n  ".join(faults))
    return scaling


def _default_fleet(fleet: Fleet) -> FleetScaling:
    suffix = "" if fleet.name == "all" else f"-{fleet.name}"
    return FleetScaling(
        name=fleet.name,
        bounds=_default_bounds(fleet),
        job=fleet.job or f"runner{suffix}",
        burst_job=fleet.burst_job or f"runner-burst{suffix}",
    )


def _default_bounds(fleet: Fleet) -> Bounds:
    """The region file's, where it says them, else the design's, as far as the other one lets them."""
    design = _design_bounds(fleet)
    minimum, maximum = fleet.minimum, fleet.maximum
    if minimum is None:
        minimum = design.minimum if maximum is None else min(design.minimum, maximum)
    return Bounds(minimum=minimum, maximum=max(design.maximum, minimum) if maximum is None else maximum)


def _design_bounds(fleet: Fleet) -> Bounds:
    if set(fleet.languages) == set(Language):
        return Bounds()
    each = [OF_LANGUAGE[language] for language in fleet.languages]
    return Bounds(minimum=sum(one.minimum for one in each), maximum=sum(one.maximum for one in each))


class _Reader:
    """Reads one scaling file; what is wrong goes into *faults*, and a default takes its place."""

    def __init__(self, region: Region, faults: list[str]) -> None:
        self._faults = faults
        self._fleets = {fleet.name: fleet for fleet in region.fleets}
        self._zone = ZoneInfo("UTC")

    def scaling(self, table: dict[str, Any]) -> Scaling:
        self._only(table, ("time_zone", "rules", "weekday", "weekend", "events", "fleets"), "")
        self._zone = self._read_zone(table.get("time_zone", "UTC"))
        return Scaling(
            rules=self._rules(self._table(table.get("rules", {}), "rules")),
            schedule=Schedule(
                zone=self._zone,
                weekday=self._steps(table, "weekday", WEEKDAY),
                weekend=self._steps(table, "weekend", WEEKEND),
                events=self._events(table),
            ),
            fleets=tuple(self._fleet_tables(self._table(table.get("fleets", {}), "fleets"))),
        )

    def _read_zone(self, name: Any) -> ZoneInfo:
        try:
            return ZoneInfo(name)
        except (OSError, ValueError, TypeError, KeyError):  # ZoneInfoNotFoundError is a KeyError
            self._say(
                "time_zone", f"{name!r} is no time zone here; use a name such as Europe/Berlin, or install tzdata"
            )
            return ZoneInfo("UTC")

    def _rules(self, given: dict[str, Any]) -> Rules:
        kinds = {each.name: each.default for each in fields(Rules)}
        self._only(given, kinds, "rules.")
        values: dict[str, Any] = {}
        for name in given.keys() & kinds.keys():
            value, whole = given[name], isinstance(kinds[name], int)
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not 0 <= value < 1e9:
                self._say(f"rules.{name}", f"{value!r} must be a {'whole ' if whole else ''}number, 0 or more")
            elif name in ("queue_per_worker", "cpu_percent", "memory_percent") and value == 0:
                self._say(f"rules.{name}", "a target of 0 can never be met; give a number above 0")
            else:
                values[name] = value if whole else float(value)
        return Rules(**values)

    def _steps(self, table: dict[str, Any], name: str, otherwise: tuple[Step, ...]) -> tuple[Step, ...]:
        if name not in table:
            return otherwise
        steps: list[Step] = []
        for where, entry in self._entries(table[name], name):
            self._only(entry, ("time", "minimum", "reason", "fleet"), f"{where}.")
            step = Step(
                at=self._time(entry.get("time"), f"{where}.time"),
                minimum=self._whole(entry.get("minimum"), f"{where}.minimum"),
                reason=self._text(entry.get("reason", ""), f"{where}.reason"),
                fleet=self._fleet(entry.get("fleet"), f"{where}.fleet"),
            )
            if any((step.at, step.fleet) == (other.at, other.fleet) for other in steps):
                self._say(f"{where}.time", f"{step.at:%H:%M} is there already; keep one of the two")
            steps.append(step)
        return tuple(steps)

    def _events(self, table: dict[str, Any]) -> tuple[Event, ...]:
        if "events" not in table:
            return EVENTS
        return tuple(self._event(where, entry) for where, entry in self._entries(table["events"], "events"))

    def _event(self, where: str, entry: dict[str, Any]) -> Event:
        self._only(entry, ("name", "starts", "duration", "minimum", "fleet"), f"{where}.")
        name = entry.get("name")
        if not isinstance(name, str) or not name:
            self._say(f"{where}.name", "give the event a name")
        starts = entry.get("starts", [])
        if not isinstance(starts, list) or not all(isinstance(start, datetime) for start in starts):
            self._say(f"{where}.starts", f"{starts!r} must be a list of dates with times: [2026-12-01T09:00:00]")
            starts = []
        return Event(
            name=str(name),
            starts=tuple((start if start.tzinfo else start.replace(tzinfo=self._zone)).timestamp() for start in starts),
            duration_s=self._duration(entry.get("duration"), f"{where}.duration"),
            minimum=self._whole(entry.get("minimum"), f"{where}.minimum"),
            fleet=self._fleet(entry.get("fleet"), f"{where}.fleet"),
        )

    def _fleet_tables(self, given: dict[str, Any]) -> Iterable[FleetScaling]:
        self._only(given, self._fleets, "fleets.", what="fleet of the region")
        for name, fleet in self._fleets.items():
            where = f"fleets.{name}"
            entry = self._table(given.get(name, {}), where)
            self._only(entry, ("minimum", "maximum", "job", "group", "burst_job"), f"{where}.")
            usual = _default_fleet(fleet)
            least = self._whole(entry.get("minimum", usual.bounds.minimum), f"{where}.minimum")
            most = self._whole(entry.get("maximum", usual.bounds.maximum), f"{where}.maximum")
            if least > most:
                self._say(f"{where}.minimum", f"{least} is above the maximum, {most}; lower one or raise the other")
            burst_job = entry.get("burst_job", usual.burst_job)
            yield FleetScaling(
                name=name,
                bounds=Bounds(minimum=least, maximum=most),
                job=self._nomad_name(entry.get("job", usual.job), f"{where}.job"),
                group=self._nomad_name(entry.get("group", usual.group), f"{where}.group"),
                burst_job="" if burst_job == "" else self._nomad_name(burst_job, f"{where}.burst_job"),
            )

    # -- single values --------------------------------------------------------------------------------------------

    def _say(self, where: str, fault: str) -> None:
        self._faults.append(f"{where}: {fault}")

    def _only(self, given: Mapping[str, Any], known: Iterable[str], prefix: str, *, what: str = "setting") -> None:
        names = list(known)
        for key in given:
            if key not in names:
                self._say(f"{prefix}{key}", f"no such {what}; the known ones are {', '.join(sorted(names))}")

    def _table(self, value: Any, where: str) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        self._say(where, f"must be a table [{where}]")
        return {}

    def _entries(self, value: Any, name: str) -> list[tuple[str, dict[str, Any]]]:
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            self._say(name, f"must be tables [[{name}]]")
            return []
        return [(f"{name}[{at}]", entry) for at, entry in enumerate(value)]

    def _time(self, value: Any, where: str) -> time:
        if isinstance(value, time) and value.tzinfo is None:
            return value
        if isinstance(value, str) and _TIME.fullmatch(value):
            return time.fromisoformat(value)
        self._say(where, f'{value!r} is no time of day; write "08:00"')
        return time(0)

    def _whole(self, value: Any, where: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 50_000:
            self._say(where, f"{value!r} must be a whole number from 0 to 50000")
            return 0
        return value

    def _text(self, value: Any, where: str) -> str:
        if not isinstance(value, str):
            self._say(where, f"{value!r} must be text")
        return str(value)

    def _duration(self, value: Any, where: str) -> float:
        found = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            self._say(where, f'{value!r} is no duration; write "90s", "30m", "4h" or "2d"')
            return 0.0
        return float(found[1]) * _SECONDS[found[2]]

    def _fleet(self, value: Any, where: str) -> str | None:
        if value is None or value in self._fleets:
            return value  # type: ignore[no-any-return]  # it is one of the names
        self._say(where, f"{value!r} is no fleet of the region; the known ones are {', '.join(self._fleets)}")
        return None

    def _nomad_name(self, value: Any, where: str) -> str:
        if not isinstance(value, str) or not _NOMAD_NAME.fullmatch(value):
            self._say(where, f"{value!r} is no Nomad name; use letters, digits, dots, hyphens and underscores")
            return "x"
        return value
