"""A region as the text of its region file: the other way round of ``jobs.region.parse``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from jobs.region import Region


def render(region: Region) -> str:
    """A file that ``parse`` reads as *region*. What is not set is left out."""
    return "\n".join(_lines(region)) + "\n"


def _lines(region: Region) -> Iterator[str]:
    fields = {field.name: getattr(region, field.name) for field in dataclasses.fields(region)}
    yield f"region = {_value(fields.pop('name'))}"
    sections = {name: value for name, value in fields.items() if dataclasses.is_dataclass(value)}
    lists = {name: value for name, value in fields.items() if _is_list_of_tables(value)}
    for name, value in fields.items():
        if name not in sections and name not in lists and not _unset(value):
            yield f"{name} = {_value(value)}"
    for name, value in sections.items():
        yield from ("", f"[{name}]", *_table(value))
    for name, values in lists.items():
        for value in values:
            yield from ("", f"[[{name}]]", *_table(value))


def _table(record: Any) -> Iterator[str]:
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if not _unset(value):
            yield f"{field.name} = {_value(value)}"


def _is_list_of_tables(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and dataclasses.is_dataclass(value[0])


def _unset(value: Any) -> bool:
    return value is None or value in ("", ())


def _value(value: Any) -> str:
    """JSON's way of writing strings, numbers, booleans and lists of them is TOML's too. Pairs are a table on a line."""
    if isinstance(value, tuple) and value and isinstance(value[0], tuple):
        return "{ " + ", ".join(f"{key} = {_value(each)}" for key, each in value) + " }"
    return json.dumps(list(value) if isinstance(value, tuple) else value)
