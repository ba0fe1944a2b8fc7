"""The policy on recorded load: a file of samples in, a decision a sample out. Pure; nothing is changed anywhere.

A file is JSON lines (an object a line) or CSV with a header. Its fields, of which only ``at`` must be there::

    at               2026-11-25T14:00:00Z, or seconds since 1970; each later than the one before
    queue            jobs that wait or run; or by class: priority, standard, bulk
    ready            runners that take jobs; where the field is nowhere in the file, as many as were decided before
    cpu_percent      mean of the ready runners
    memory_percent

A field that is empty or null in one sample is one that was not known then. All faults are told at once.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from autoscaler.policy import Count, Decision, Moment, Sample, decide, remember
from autoscaler.scaling import FleetScaling, Scaling
from jobs.errors import ConfigFault
from jobs.states import Class

MOST_FAULTS = 20

_CLASSES = tuple(each.value for each in Class)
_FIELDS = ("at", "queue", *_CLASSES, "ready", "cpu_percent", "memory_percent")


@dataclass(frozen=True, kw_only=True)
class Recorded:
    at: float
    sample: Sample


def read(text: str) -> list[Recorded]:
    """The samples of a file; raises ``ConfigFault`` with the faults in it."""
    faults: list[str] = []
    rows = list(_json_lines(text, faults) if text.lstrip()[:1] == "{" else _csv(text, faults))
    unknown = sorted({name for _, row in rows for name in row} - set(_FIELDS))
    faults += [f"{name}: no such field; the known ones are {', '.join(_FIELDS)}" for name in unknown]
    whole = any("queue" in row for _, row in rows)
    found: list[Recorded] = []
    for line, row in rows:
        recorded = _recorded(line, row, whole, faults)
        if found and recorded.at <= found[-1].at:
            faults.append(f"line {line}: at: is not later than the sample before")
        found.append(recorded)
    if not rows and not faults:
        faults.append("there is no sample in it")
    if faults:
        more = [f"… and {len(faults) - MOST_FAULTS} more"] if len(faults) > MOST_FAULTS else []
        raise ConfigFault("the samples have faults:\n  " + "\n  ".join(faults[:MOST_FAULTS] + more))
    return found


def run(recorded: list[Recorded], fleet: FleetScaling, scaling: Scaling, *, start: int) -> Iterator[Decision]:
    """A decision a sample, each carried out at once, from *start* runners on."""
    count, history = Count(baseline=start), tuple[Moment, ...]()
    follows = all(each.sample.ready is None for each in recorded)
    for each in recorded:
        decision = decide(
            fleet=fleet.name,
            now=each.at,
            count=count,
            sample=replace(each.sample, ready=count.total) if follows else each.sample,
            history=history,
            rules=scaling.rules,
            bounds=fleet.bounds,
            floors=scaling.schedule.floors(each.at, fleet.name, scaling.bounds),
            burst=bool(fleet.burst_job),
        )
        history = remember(history, decision.moment, scaling.rules)
        count = Count(baseline=decision.baseline, burst=decision.burst)
        yield decision


def _json_lines(text: str, faults: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            faults.append(f"line {number}: not JSON: {error}")
            continue
        if isinstance(row, dict):
            yield number, row
        else:
            faults.append(f"line {number}: must be an object, {{...}}")


def _csv(text: str, faults: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    for row in reader:
        if None in row or None in row.values():
            faults.append(f"line {reader.line_num}: has not as many fields as the header")
        else:
            yield reader.line_num, dict(row)


def _recorded(line: int, row: dict[str, Any], whole: bool, faults: list[str]) -> Recorded:
    def number(name: str, kind: type[int] | type[float]) -> Any:
        value = row.get(name)
        if value is None or value == "":
            return None
        try:
            read = float(value)
            if isinstance(value, bool) or not math.isfinite(read) or read < 0 or (kind is int and read != int(read)):
                raise ValueError
        except (TypeError, ValueError):
            faults.append(f"line {line}: {name}: {value!r} must be a {'whole ' * (kind is int)}number, 0 or more")
            return None
        return kind(read)

    if whole:
        queue = {**dict.fromkeys(Class, 0), Class.STANDARD: number("queue", int)}
        if queue[Class.STANDARD] is None:
            queue = dict.fromkeys(Class)
    else:
        queue = {each: number(each.value, int) for each in Class}
    sample = Sample(
        queue=queue,
        ready=number("ready", int),
        cpu_percent=number("cpu_percent", float),
        memory_percent=number("memory_percent", float),
    )
    return Recorded(at=_moment(line, row.get("at"), faults), sample=sample)


def _moment(line: int, value: Any, faults: list[str]) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        pass
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        faults.append(f"line {line}: at: {value!r} is no time; write 2026-11-25T14:00:00Z or seconds since 1970")
        return math.inf
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
