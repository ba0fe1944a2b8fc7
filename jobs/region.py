"""One file describes a region: its queues, how they deliver, its gateways and its fleets. The embedded network too.

A region file is TOML; everything but ``region`` has a default::

    region   = "us-east"
    gateways = ["us-east-1", "us-east-2"]     # names under which output comes back
    replicas = 3                              # 1 embedded, 3 in a cluster
    cluster  = "us-east"                      # the NATS cluster its streams lie in; none: a server on its own

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
    minimum = 10                              # runners, for the autoscaler; without them the design's bounds
    maximum = 200
    job = "runner"                            # the Nomad job of its baseline, and of what is dispatched
    burst_job = "runner-burst"
    engine = "fork"                           # what its sandboxes are: fork, docker or snapshot (jobs.engines)
    engines = { java = "snapshot" }           # and where that is another for some of its languages

    [[neighbours]]                            # where jobs may overflow to, and come from; Consul knows better
    region = "eu-west"
    rtt_ms = 80                               # without it, as measured
    url = "https://eu-west.example.org"       # its regional endpoint, to tell callers

Rules: every language belongs to exactly one fleet (JetStream's work queues allow one consumer a subject); all faults
are told at once, each with its cure.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import Any, TypeVar

from jobs.engines import Choice, EngineName, engine_named
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
    minimum: int | None = None
    maximum: int | None = None
    job: str = ""  #: empty: ``runner``, or ``runner-<fleet>`` where there are several
    burst_job: str = ""  #: empty: ``runner-burst``, or ``runner-burst-<fleet>``
    engine: EngineName | None = None  #: None: as its runners are set, else the default one
    engines: tuple[tuple[Language, EngineName], ...] = ()  #: of languages that have another

    @property
    def choice(self) -> Choice:
        return Choice(engine=self.engine, engines=dict(self.engines))


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """Another region, as seen from this one."""

    region: str
    rtt_ms: float | None = None  #: round trip between the two; None: not known
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class Region:
    name: str
    gateways: tuple[str, ...]
    replicas: int = 1
    cluster: str = ""
    neighbours: tuple[Neighbour, ...] = ()
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
    known = {"region", "gateways", "replicas", "queues", "delivery", "results", "fleets", "cluster", "neighbours"}
    faults += [f"{key}: no such setting; the known ones are {', '.join(sorted(known))}" for key in table.keys() - known]
    name = _name(table.get("region"), "region", faults)
    gateways = table.get("gateways", [f"{name}-1"])
    if not isinstance(gateways, list) or not gateways:
        faults.append("gateways: give a list of at least one name")
        gateways = []
    replicas = table.get("replicas", 1)
    if replicas not in (1, 3, 5):
        faults.append(f"replicas: {replicas!r} is none of 1, 3, 5")
    cluster = table.get("cluster", "")
    return Region(
        name=name,
        cluster=cluster if cluster == "" else _name(cluster, "cluster", faults),
        neighbours=_neighbours(table.get("neighbours", []), name, faults),
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


def _neighbours(given: Any, home: str, faults: list[str]) -> tuple[Neighbour, ...]:
    neighbours: list[Neighbour] = []
    for at, entry in enumerate(_tables(given, "neighbours", faults)):
        where = f"neighbours[{at}]"
        _only(entry, ("region", "rtt_ms", "url"), where, faults)
        name = _name(entry.get("region"), f"{where}.region", faults)
        rtt_ms, url = entry.get("rtt_ms"), entry.get("url", "")
        if name == home or any(name == other.region for other in neighbours):
            faults.append(f"{where}.region: {name!r} is there already; name each other region once")
        if rtt_ms is not None and (isinstance(rtt_ms, bool) or not isinstance(rtt_ms, int | float) or rtt_ms <= 0):
            faults.append(f"{where}.rtt_ms: {rtt_ms!r} must be a number of milliseconds above 0")
            rtt_ms = None
        if not isinstance(url, str) or (url and not url.startswith(("http://", "https://"))):
            faults.append(f"{where}.url: {url!r} is no address; write https://HOST")
            url = ""
        neighbours.append(Neighbour(region=name, rtt_ms=None if rtt_ms is None else float(rtt_ms), url=url))
    return tuple(neighbours)


def _tables(given: Any, name: str, faults: list[str]) -> list[dict[str, Any]]:
    if not isinstance(given, list) or not all(isinstance(entry, dict) for entry in given):
        faults.append(f"{name}: must be tables [[{name}]]")
        return []
    return given


def _only(entry: dict[str, Any], known: tuple[str, ...], where: str, faults: list[str]) -> None:
    faults += [
        f"{where}.{key}: no such setting; the known ones are {', '.join(known)}" for key in entry if key not in known
    ]


def _fleets(given: Any, faults: list[str]) -> tuple[Fleet, ...]:
    fleets: list[Fleet] = []
    owner: dict[Language, str] = {}
    known = ("name", "languages", "minimum", "maximum", "job", "burst_job", "engine", "engines")
    for at, entry in enumerate(_tables(given, "fleets", faults)):
        where = f"fleets[{at}]"
        _only(entry, known, where, faults)
        name = _name(entry.get("name"), f"{where}.name", faults)
        if any(name == fleet.name for fleet in fleets):
            faults.append(f"{where}.name: {name!r} is there already; give each fleet a name of its own")
        languages = _languages(entry.get("languages", []), name, owner, f"{where}.languages", faults)
        bounds = [_count(entry.get(key), f"{where}.{key}", faults) for key in ("minimum", "maximum")]
        if None not in bounds and bounds[0] > bounds[1]:  # type: ignore[operator]
            faults.append(f"{where}.minimum: {bounds[0]} is above the maximum {bounds[1]}; swap them")
        jobs = [_job(entry.get(key, ""), f"{where}.{key}", faults) for key in ("job", "burst_job")]
        fleets.append(
            Fleet(
                name=name,
                languages=languages,
                minimum=bounds[0],
                maximum=bounds[1],
                job=jobs[0],
                burst_job=jobs[1],
                engine=engine_named(entry["engine"], f"{where}.engine", faults) if "engine" in entry else None,
                engines=_engines(entry.get("engines", {}), languages, f"{where}.engines", faults),
            )
        )
    missing = [language for language in Language if language not in owner]
    if missing:
        faults.append(f"fleets: no fleet serves {', '.join(missing)}; put each into one")
    return tuple(fleets)


def _languages(
    words: Any, fleet: str, owner: dict[Language, str], where: str, faults: list[str]
) -> tuple[Language, ...]:
    """Those of one fleet; *owner* remembers whose each is."""
    languages = []
    if not isinstance(words, list):
        faults.append(f"{where}: must be a list of languages")
        words = []
    for word in words:
        language = find(word) if isinstance(word, str) else None
        if language is None:
            faults.append(f"{where}: {word!r} is no language; the known ones are {', '.join(Language)}")
        elif language in owner:
            faults.append(f"{where}: {language} is in fleet {owner[language]!r} already; keep one")
        else:
            owner[language] = fleet
            languages.append(language)
    if words == []:
        faults.append(f"{where}: a fleet needs at least one language; give it one, or leave the fleet out")
    return tuple(languages)


def _engines(
    given: Any, languages: tuple[Language, ...], where: str, faults: list[str]
) -> tuple[tuple[Language, EngineName], ...]:
    """The languages of a fleet that have an engine of their own."""
    if not isinstance(given, dict):
        faults.append(f'{where}: must be a table, {{ java = "snapshot" }}')
        return ()
    engines: dict[Language, EngineName] = {}
    for word, name in given.items():
        language = find(word)
        if language is None:
            faults.append(f"{where}.{word}: no such language; the known ones are {', '.join(Language)}")
        elif language not in languages:
            faults.append(f"{where}.{word}: this fleet does not serve {language}; say it in the fleet that does")
        elif language in engines:
            faults.append(f"{where}.{word}: {language} is there twice; keep one")
        engine = engine_named(name, f"{where}.{word}", faults)
        if language in languages and engine is not None:
            engines[language] = engine
    return tuple(engines.items())


def _count(value: Any, where: str, faults: list[str]) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        faults.append(f"{where}: {value!r} must be a whole number of runners, 0 or more")
        return None
    return value


def _job(value: Any, where: str, faults: list[str]) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9._-]{0,128}", value):
        faults.append(f"{where}: {value!r} is no name of a Nomad job; use letters, digits, '.', '_' and '-'")
        return ""
    return value
