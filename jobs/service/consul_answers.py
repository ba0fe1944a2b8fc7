"""What Consul answered, read with suspicion: which datacenters there are, how far they are, where their gateways are.

Pure. An answer that is wrong as a whole raises ``WrongAnswer``; a part that is wrong is left out and complained of. A
complaint is what it is about and what is wrong with it, for one log line.

Distances are Vivaldi's, as Consul reckons them (hashicorp/serf, coordinate.go; Dabek et al., SIGCOMM 2004): the length
between two vectors, plus both heights, plus both adjustments unless they make it negative, in seconds of round trip.
Between datacenters it is the median over pairs of servers, so that one server with a bad day does not move a region.
"""

from __future__ import annotations

import math
import reprlib
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from jobs.region import NAME

#: more than any network of ours has; an answer with more of them is not believed
MOST_DATACENTERS = 64
MOST_SERVERS = 16
MOST_INSTANCES = 1000
MOST_DIMENSIONS = 32
MOST_URL_LETTERS = 512
#: serf's VivaldiErrorMax: a server that has measured nothing yet
UNMEASURED = 1.5
#: a round trip to nowhere on this planet
MOST_RTT_MS = 10_000.0
LEAST_RTT_MS = 0.01


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxdict, _SHORT.maxlist, _SHORT.maxstring = 2, 3, 3, 40
MOST_SHOWN = 60


class WrongAnswer(ValueError):
    """Nothing of an answer can be used."""


@dataclass(frozen=True, kw_only=True)
class Complaint:
    about: str
    wrong: str


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a server is in the space of round trips; all in seconds."""

    vector: tuple[float, ...]
    height: float
    adjustment: float


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One gateway of a region, as its datacenter knows it."""

    url: str  #: empty: it told none
    passing: bool


def read_datacenters(answer: Any, complaints: list[Complaint]) -> tuple[str, ...]:
    """The names that can be regions' names."""
    names = []
    for name in _list(answer, "the datacenters", MOST_DATACENTERS):
        if isinstance(name, str) and NAME.fullmatch(name):
            names.append(name)
        else:
            complaints.append(Complaint(about=f"datacenter {show(name)}", wrong="is no name of a region"))
    return tuple(names)


def read_coordinates(answer: Any, complaints: list[Complaint]) -> dict[str, tuple[Position, ...]]:
    """The measured servers by datacenter; a server that has measured nothing yet is left out without complaint."""
    found = {}
    for entry in _list(answer, "the coordinates", MOST_DATACENTERS):
        try:
            name = _field(entry, "Datacenter", str)
            if _field(entry, "AreaID", str) != "wan":
                continue
        except WrongAnswer as wrong:
            complaints.append(Complaint(about="a datacenter's coordinates", wrong=str(wrong)))
            continue
        try:
            servers = _list(_field(entry, "Coordinates", list), "it", MOST_SERVERS)
            found[name] = tuple(position for server in servers if (position := _position(server)) is not None)
        except WrongAnswer as wrong:
            complaints.append(Complaint(about=f"coordinates of {show(name)}", wrong=str(wrong)))
    return found


def read_instances(answer: Any, datacenter: str, complaints: list[Complaint]) -> tuple[Instance, ...]:
    """The gateways that a datacenter knows."""
    instances = []
    about = f"gateways of {datacenter}"
    for entry in _list(answer, "it", MOST_INSTANCES):
        try:
            service = _field(entry, "Service", dict)
            checks = _field(entry, "Checks", list)
            passing = all(_field(check, "Status", str) == "passing" for check in checks)
            instances.append(Instance(url=_url(service.get("Meta") or {}), passing=passing))
        except WrongAnswer as wrong:
            complaints.append(Complaint(about=about, wrong=str(wrong)))
    return tuple(instances)


def rtt_ms(here: Iterable[Position], there: Iterable[Position]) -> float | None:
    """The median round trip between two datacenters; None where a side has measured nothing, or nothing sensible."""
    away = tuple(there)
    measured = [_between(one, other) for one in here for other in away]
    if not measured:
        return None
    median = statistics.median(measured) * 1000
    return max(LEAST_RTT_MS, median) if median <= MOST_RTT_MS else None


def endpoint(instances: Iterable[Instance]) -> str:
    """The address that most of the passing gateways name as their region's; of equals the first by letters."""
    urls = sorted(instance.url for instance in instances if instance.passing and instance.url)
    return max(dict.fromkeys(urls), key=urls.count, default="")


def show(value: Any) -> str:
    """A value out of an answer, short enough for a line, however large and however nested it is."""
    return _SHORT.repr(value)[:MOST_SHOWN]


def _between(one: Position, other: Position) -> float:
    apart = math.dist(one.vector, other.vector) if len(one.vector) == len(other.vector) else math.inf
    plain = apart + one.height + other.height
    adjusted = plain + one.adjustment + other.adjustment
    return adjusted if adjusted > 0 else plain


def _position(server: Any) -> Position | None:
    coordinate = _field(server, "Coord", dict)
    vector = _list(coordinate.get("Vec"), "Vec", MOST_DIMENSIONS)
    numbers = [_number(coordinate.get(key), key) for key in ("Height", "Adjustment", "Error")]
    if numbers[2] >= UNMEASURED:
        return None
    return Position(
        vector=tuple(_number(part, "Vec") for part in vector), height=max(0.0, numbers[0]), adjustment=numbers[1]
    )


def _list(value: Any, what: str, most: int) -> list[Any]:
    if not isinstance(value, list):
        raise WrongAnswer(f"{what} should be a list and is {show(value)}")
    if len(value) > most:
        raise WrongAnswer(f"{what} holds {len(value)} entries; more than {most} are not believed")
    return value


def _field(entry: Any, key: str, kind: type) -> Any:
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, kind):
        raise WrongAnswer(f"{key} is missing or wrong in {show(entry)}")
    return value


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e6:  # nan is not either
        raise WrongAnswer(f"{what} is {show(value)}, which is no number of seconds")
    return float(value)


def _url(meta: Any) -> str:
    url = meta.get("url", "") if isinstance(meta, dict) else None
    if url == "":
        return ""
    if isinstance(url, str) and len(url) <= MOST_URL_LETTERS and url.isascii() and url.isprintable() and " " not in url:
        try:
            parts = urlsplit(url)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme in ("http", "https") and parts.hostname and not parts.username and not parts.password:
            return url
    raise WrongAnswer(f"the url {show(url)} is no address; a gateway registers http(s)://HOST")
