"""One file describes a region: its queues, how they deliver, its gateways and its fleets. The embedded network too.

A region file is TOML; everything but ``region`` has a default::

    region   = "us-east"
    gateways = ["us-east-1", "us-east-2"]     # names under which output comes back
    replicas = 3                              # 1 embedded, 3 in a cluster

    [queues]                                  # messages waiting or running
    priority = 10000
    standard = 50000
    bulk = 50000
    per_language = 20000

    [delivery]
    ack_wait_s = 15                           # a silent runner's job goes back to the queue after this
    max_attempts = 3
    start_by_s = 600                          # not started by then: expired

    [results]
    max_age_s = 3600

    [[fleets]]
    name = "all"
    languages = ["python", "javascript", "java", "go", "cpp", "rust"]

Rules: every language belongs to exactly one fleet (JetStream's work queues allow one consumer a subject); all faults
are told at once, each with its cure.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import Any, TypeVar

from jobs.errors import ConfigFault
from jobs.languages import Language, find
from jobs.states import Class

T = TypeVar("T")

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class Queues:
    priority: int = 10_000
    standard: int = 50_000
    bulk: int = 50_000
    per_language: int = 20_000

    def bound(self, job_class: Class) -> int:
        return {Class.PRIORITY: self.priority, Class.STANDARD: self.standard, Class.BULK: self.bulk}[job_class]


@dataclass(frozen=True, kw_only=True)
class Delivery:
    ack_wait_s: float = 15.0
    max_attempts: int = 3
    start_by_s: float = 600.0


@dataclass(frozen=True, kw_only=True)
class Results:
    max_age_s: float = 3600.0


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The runners of a region that serve one set of languages."""

    name: str
    languages: tuple[Language, ...]


@dataclass(frozen=True, kw_only=True)
class Region:
    name: str
    gateways: tuple[str, ...]
    replicas: int = 1
    queues: Queues = field(default_factory=Queues)
    delivery: Delivery = field(default_factory=Delivery)
    results: Results = field(default_factory=Results)
    fleets: tuple[Fleet, ...] = (Fleet(name="all", languages=tuple(Language)),)

    def fleet_of(self, language: Language) -> Fleet:
        return next(fleet for fleet in self.fleets if language in fleet.languages)


def embedded(name: str, **changes: Any) -> Region:
    """The region of a network on one machine."""
    return Region(name=name, gateways=(f"{name}-1",), **changes)


def parse(text: str) -> Region:
    """The region that a region file describes; raises ``ConfigFault`` with every fault in it."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigFault(f"the region file is not TOML: {error}") from error
    faults: list[str] = []
    region = _region(table, faults)
    if faults:
        raise ConfigFault("the region file has faults:\n  " + "\n  ".join(faults))
    return region


def _region(table: dict[str, Any], faults: list[str]) -> Region:
    known = {"region", "gateways", "replicas", "queues", "delivery", "results", "fleets"}
    faults += [f"{key}: no such setting; the known ones are {', '.join(sorted(known))}" for key in table.keys() - known]
    name = _name(table.get("region"), "region", faults)
    gateways = table.get("gateways", [f"{name}-1"])
    if not isinstance(gateways, list) or not gateways:
        faults.append("gateways: give a list of at least one name")
        gateways = []
    replicas = table.get("replicas", 1)
    if replicas not in (1, 3, 5):
        faults.append(f"replicas: {replicas!r} is none of 1, 3, 5")
    return Region(
        name=name,
        gateways=tuple(_name(gateway, f"gateways[{at}]", faults) for at, gateway in enumerate(gateways)),
        replicas=replicas,
        queues=_section(Queues, table, "queues", faults),
        delivery=_section(Delivery, table, "delivery", faults),
        results=_section(Results, table, "results", faults),
        fleets=_fleets(table["fleets"], faults) if "fleets" in table else Region.fleets,
    )


def _name(value: Any, where: str, faults: list[str]) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        faults.append(f"{where}: {value!r} is no name; use lower-case letters, digits and inner hyphens, at most 40")
        return "x"
    return value


def _section(cls: type[T], table: dict[str, Any], name: str, faults: list[str]) -> T:
    given = table.get(name, {})
    if not isinstance(given, dict):
        faults.append(f"{name}: must be a table [{name}]")
        return cls()
    defaults = vars(cls())
    values = {}
    for key, value in given.items():
        if key not in defaults:
            faults.append(f"{name}.{key}: no such setting; the known ones are {', '.join(defaults)}")
        elif isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            faults.append(f"{name}.{key}: {value!r} must be a number above 0")
        else:
            values[key] = type(defaults[key])(value)
    return cls(**values)


def _fleets(given: Any, faults: list[str]) -> tuple[Fleet, ...]:
    fleets, owner = [], dict[Language, str]()
    for at, entry in enumerate(given if isinstance(given, list) else []):
        if not isinstance(entry, dict):
            faults.append(f"fleets[{at}]: must be a table [[fleets]]")
            continue
        name = _name(entry.get("name"), f"fleets[{at}].name", faults)
        languages = []
        for word in entry.get("languages", []):
            language = find(word) if isinstance(word, str) else None
            if language is None:
                faults.append(
                    f"fleets[{at}].languages: {word!r} is no language; the known ones are {', '.join(Language)}"
                )
            elif language in owner:
                faults.append(f"fleets[{at}].languages: {language} is in fleet {owner[language]!r} already; keep one")
            else:
                owner[language] = name
                languages.append(language)
        fleets.append(Fleet(name=name, languages=tuple(languages)))
    missing = [language for language in Language if language not in owner]
    if missing:
        faults.append(f"fleets: no fleet serves {', '.join(missing)}; put each into one")
    return tuple(fleets)
