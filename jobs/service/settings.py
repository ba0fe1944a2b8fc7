"""Settings of a process: a frozen dataclass, filled from a TOML file, then ``YURT_*`` variables, then flags.

A field ``slots: int`` is ``slots = 16`` in the file, ``YURT_SLOTS=16`` in the environment and ``--slots 16`` as a
flag; the later wins. A tuple of strings is a list in the file and words between commas elsewhere. Every fault is told
at once, with the place it came from.
"""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from jobs.errors import ConfigFault
from jobs.region import Region, embedded, parse

T = TypeVar("T")

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def load(cls: type[T], *, file: Path | None, environ: Mapping[str, str], flags: Mapping[str, Any]) -> T:
    """*cls* from its three sources; raises ``ConfigFault`` with every fault. Flags that are None were not given."""
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, cls))}
    hints = typing.get_type_hints(cls)
    faults: list[str] = []
    values: dict[str, Any] = {}
    for name, value in _from_file(file, faults).items():
        if name in fields:
            _take(values, hints, name, value, f"{file}: {name}", faults)
        else:
            faults.append(f"{file}: {name}: no such setting; the known ones are {', '.join(fields)}")
    for name in fields:
        if (variable := f"YURT_{name.upper()}") in environ:
            _take(values, hints, name, environ[variable], variable, faults)
        if flags.get(name) is not None:
            _take(values, hints, name, flags[name], f"--{name.replace('_', '-')}", faults)
    missing = [
        name
        for name, field in fields.items()
        if name not in values and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    faults += [f"{name}: must be set, in the file, as YURT_{name.upper()} or as a flag" for name in missing]
    if faults:
        raise ConfigFault("the settings have faults:\n  " + "\n  ".join(faults))
    return cls(**values)


def read_text(file: Path, what: str) -> str:
    """The text of a file that a setting names; ``ConfigFault`` names the setting and the reason."""
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigFault(f"{what} {file} cannot be read: {error}") from error


def load_region(file: Path | None, name: str) -> Region:
    """The region that a process serves: its file's, or without one the embedded region of that name."""
    return embedded(name) if file is None else parse(read_text(file, "region_file:"))


def _from_file(file: Path | None, faults: list[str]) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        faults.append(f"{file}: cannot be read: {error.strerror}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults.append(f"{file}: not TOML: {error}")
    return {}


def _take(values: dict[str, Any], hints: dict[str, Any], name: str, value: Any, where: str, faults: list[str]) -> None:
    try:
        values[name] = _convert(hints[name], value)
    except (TypeError, ValueError):
        faults.append(f"{where}: {value!r} is no {_say(hints[name])}")


def _convert(hint: Any, value: Any) -> Any:
    args = typing.get_args(hint)
    if type(None) in args:
        return None if value in (None, "") else _convert(next(arg for arg in args if arg is not type(None)), value)
    if typing.get_origin(hint) is tuple:
        words = [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value
        return tuple(_convert(args[0], word) for word in words)
    if hint is bool:
        if isinstance(value, bool):
            return value
        if (word := str(value).lower()) not in _BOOLEANS:
            raise ValueError
        return _BOOLEANS[word]
    if isinstance(value, bool) or (hint is str and not isinstance(value, str | Path)):
        raise TypeError
    return hint(value)


def _say(hint: Any) -> str:
    return {int: "whole number", float: "number", bool: "true or false", str: "text"}.get(hint, str(hint))
