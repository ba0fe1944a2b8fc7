"""What may stand behind the ``?`` of an API call. A name that is not known is refused, like a field of a body."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl

from gateway.fields import Faults, shown
from jobs.errors import InvalidSubmission
from jobs.limits import WAIT_S
from jobs.states import State

PAGE = (1, 50, 500)  #: least, default and most executions in one page of the list


@dataclass(frozen=True, kw_only=True)
class Query:
    wait_s: float = 0.0
    base64: bool = False
    start: int = 1  #: the first chunk that is wanted
    limit: int = PAGE[1]
    cursor: int | None = None
    status: State | None = None


@lru_cache(maxsize=512)
def read(text: str, known: frozenset[str]) -> Query:
    """The query string *text*, of the *known* names; raises ``InvalidSubmission``."""
    if not text:
        return Query()
    faults = Faults()
    given = dict(parse_qsl(text[:2000], keep_blank_values=True))
    for name in given.keys() - known:
        there = ", ".join(sorted(known)) or "none"
        faults.add(ascii(name[:60])[1:-1], "there is no such parameter", f"leave it out; the known ones are: {there}")
    query = Query(
        wait_s=_wait_s(given, faults),
        base64=_base64(given, faults),
        start=_whole(given, "from", (1, 1, 1 << 53), faults),
        limit=_whole(given, "limit", PAGE, faults),
        cursor=_whole(given, "cursor", (0, 0, 1 << 53), faults) if "cursor" in given else None,
        status=_status(given, faults),
    )
    if faults.found:
        raise InvalidSubmission(tuple(faults.found))
    return query


def _wait_s(given: Mapping[str, str], faults: Faults) -> float:
    word = given.get("wait", "false").lower()
    if word in ("true", "yes", ""):
        return WAIT_S
    if word in ("false", "no"):
        return 0.0
    try:
        seconds = float(word)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= WAIT_S:
        faults.add("wait", f"{shown(word)} is no time to wait", f"use true, or seconds from 0 to {WAIT_S:g}")
        return 0.0
    return seconds


def _base64(given: Mapping[str, str], faults: Faults) -> bool:
    word = given.get("encoding", "utf8")
    if word not in ("utf8", "base64"):
        faults.add("encoding", f"{shown(word)} is no encoding", "use utf8 or base64")
    return word == "base64"


def _whole(given: Mapping[str, str], name: str, bounds: tuple[int, int, int], faults: Faults) -> int:
    least, default, most = bounds
    word = given.get(name)
    if word is None:
        return default
    value = int(word) if word.isascii() and word.isdigit() and len(word) < 20 else -1
    if not least <= value <= most:
        faults.add(name, f"{shown(word)} is out of bounds", f"use a whole number from {least} to {most}")
        return default
    return value


def _status(given: Mapping[str, str], faults: Faults) -> State | None:
    word = given.get("status")
    if word is None:
        return None
    try:
        return State(word)
    except ValueError:
        faults.add("status", f"{shown(word)} is no status", f"use one of {', '.join(State)}")
        return None
