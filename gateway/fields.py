"""Reading fields of a JSON object: each value as the type it must be, or a fault that names it and the cure.

Theory of operation. A ``Fields`` wraps one object and its path (``files[2].``). A reader returns the value, or its
default when the field is absent, null or faulty: the caller goes on, so that all faults are found in one pass, and
nobody uses what was read once there is a fault. ``null`` is the same as leaving the field out.

Nothing here knows what the fields mean: that is ``gateway.intake``.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import math
from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from jobs.errors import Fault

E = TypeVar("E", bound=StrEnum)

SHOWN = 60
MOST_FAULTS = 200
ENCODINGS = ("utf8", "base64")


class Faults:
    """What was found wrong; past ``MOST_FAULTS`` more are counted but not kept."""

    def __init__(self) -> None:
        self.found: list[Fault] = []

    def add(self, field: str, problem: str, cure: str) -> None:
        if len(self.found) < MOST_FAULTS:
            self.found.append(Fault(field=field, problem=problem, cure=cure))


def shown(value: object) -> str:
    """A caller's value for a message: short, and free of anything that cannot be printed."""
    text = repr(value) if not isinstance(value, dict | list) else kind(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def kind(value: object) -> str:
    """What JSON calls it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    names = {str: "a string", int: "a whole number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def utf8(text: str) -> bytes | None:
    """The text's bytes; None for half a surrogate pair, which has none."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


class Fields:
    """One object's fields. *known*: every name it may have; others are faults, with the nearest known name as cure."""

    def __init__(self, body: dict[str, Any], known: Collection[str], faults: Faults, path: str = "") -> None:
        self.body = body
        self.faults = faults
        self.path = path
        if not body.keys() <= known:  # type: ignore[operator]  # a frozenset or the keys of a dict
            self._refuse_unknown(known)

    def _refuse_unknown(self, known: Collection[str]) -> None:
        for name in self.body:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                cure = f"did you mean {near[0]!r}?" if near else f"leave it out; the known ones are {', '.join(known)}"
                self.faults.add(self.path + ascii(name[:SHOWN])[1:-1], "there is no such field", cure)

    def given(self, name: str) -> bool:
        return self.body.get(name) is not None

    def fault(self, name: str, problem: str, cure: str) -> None:
        self.faults.add(self.path + name, problem, cure)

    # -- scalars ------------------------------------------------------------------------------------------------

    def text(self, name: str, default: str = "") -> str:
        value = self.body.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            self.fault(name, f"must be a string; this is {kind(value)}", "send it as a JSON string")
            return default
        if utf8(value) is None:
            self._half_a_pair(name)
            return default
        return value

    def _half_a_pair(self, name: str, where: str = "") -> None:
        self.fault(name, f"{where}holds half of a surrogate pair, which is no character", "send whole characters")

    def data(self, name: str, encoding: str = "utf8", default: bytes = b"") -> bytes:
        """A string field as bytes: its UTF-8, or what its base64 says."""
        value = self.body.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            self.fault(name, f"must be a string; this is {kind(value)}", "send it as a JSON string")
            return default
        if encoding == "base64":
            try:
                return base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                self.fault(name, "is not base64", "use the standard alphabet with padding and without line breaks")
                return default
        data = utf8(value)
        if data is None:
            self._half_a_pair(name)
            return default
        return data

    def encoding(self, name: str) -> str:
        value = self.text(name, "utf8")
        if value not in ENCODINGS:
            self.fault(name, f"{shown(value)} is no encoding", "use utf8 or base64")
            return "utf8"
        return value

    def boolean(self, name: str) -> bool:
        value = self.body.get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            self.fault(name, f"must be true or false; this is {kind(value)}", "send it without quotes")
            return False
        return value

    def number(self, name: str, least: float, default: float, most: float) -> float:
        value = self.body.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fault(name, f"must be a number; this is {kind(value)}", f"send a number from {least:g} to {most:g}")
            return default
        if not _within(value, least, most):
            self.fault(name, f"{shown(value)} is out of bounds", f"use a number from {least:g} to {most:g}")
            return default
        return float(value)

    def whole(self, name: str, least: int, default: int, most: int) -> int:
        value = self.body.get(name)
        if value is None:
            return default
        cure = f"use a whole number from {least} to {most}"
        if isinstance(value, bool) or not isinstance(value, int):
            self.fault(name, f"must be a whole number; this is {kind(value)}", cure)
            return default
        if not least <= value <= most:
            self.fault(name, f"{shown(value)} is out of bounds", cure)
            return default
        return value

    def choice(self, name: str, options: type[E], default: E) -> E:
        value = self.text(name)
        if not self.given(name):
            return default
        try:
            return options(value)
        except ValueError:
            self.fault(name, f"{shown(value)} is none of them", f"use one of {', '.join(options)}")
            return default

    # -- lists and objects --------------------------------------------------------------------------------------

    def items(self, name: str, most: int) -> list[Any]:
        """A list field; empty when absent."""
        value = self.body.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.fault(name, f"must be a list; this is {kind(value)}", "send a JSON list, in brackets")
            return []
        if len(value) > most:
            self.fault(name, f"has {len(value)} entries", f"send at most {most}")
            return []
        return value

    def texts(self, name: str, most: int, most_bytes: int) -> tuple[str, ...]:
        """A list of strings without NUL, each of at most *most_bytes*. Faults name the list and say which entry."""
        items = self.items(name, most)
        for at, item in enumerate(items):
            problem = text_problem(item, most_bytes)
            if problem:
                self.fault(name, f"entry {at} {problem[0]}", problem[1])
        return tuple(item for item in items if isinstance(item, str))

    def object(self, name: str) -> dict[str, Any] | None:
        value = self.body.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.fault(name, f"must be an object; this is {kind(value)}", "send a JSON object, in braces")
            return None
        return value

    def objects(self, name: str, most: int, known: Collection[str]) -> Sequence[Fields]:
        """A list of objects, each with its own path."""
        found = []
        for at, item in enumerate(self.items(name, most)):
            path = f"{self.path}{name}[{at}]"
            if isinstance(item, dict):
                found.append(Fields(item, known, self.faults, path + "."))
            else:
                self.faults.add(path, f"must be an object; this is {kind(item)}", "send a JSON object, in braces")
        return found


def text_problem(value: object, most_bytes: int) -> tuple[str, str] | None:
    """What is wrong with a string for the kernel (an argument, a variable), and the cure; None: nothing."""
    if not isinstance(value, str):
        return f"must be a string; this is {kind(value)}", "send strings only"
    data = utf8(value)
    if data is None:
        return "holds half of a surrogate pair, which is no character", "send whole characters"
    if b"\0" in data:
        return "holds a NUL, which no argument and no variable can", "leave the NUL out, or send it by stdin or a file"
    if len(data) > most_bytes:
        return f"has {len(data)} bytes", f"send at most {most_bytes}, or use stdin or a file"
    return None


def _within(value: int | float, least: float, most: float) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return least <= value <= most
