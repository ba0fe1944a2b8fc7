"""The wire format: msgpack maps with a version and a type. The one module that imports msgpack.

Theory of operation. A message is ``{"v": 1, "t": "Job", …fields}``. A frozen dataclass becomes a map of its fields,
an enum its value, a tuple a list. Reading turns that round by the dataclass's own type hints, resolved once a class.

Rules
1. A version that we do not know is refused (``UnknownVersion``): a newer process must not be half understood.
2. A field that we do not know is passed over, and one that has a default may be missing: a newer process of the same
   version may add fields, and no process needs to be upgraded in step with another.
3. A field left at its default is not written (small messages; and rule 2 gives it back).
4. Whatever is malformed raises ``WireFault``, never anything else; sizes are bounded before memory is spent.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Hashable
from enum import Enum
from functools import cache
from typing import Any, TypeVar, cast

import msgpack

from jobs import events, job, result, submission
from jobs.errors import UnknownVersion, WireFault
from jobs.limits import MESSAGE_BYTES

VERSION = 1

T = TypeVar("T")

MESSAGES: tuple[type, ...] = (
    job.Job,
    result.Result,
    events.Queued,
    events.Running,
    events.Chunk,
    events.Ended,
    events.Control,
    events.ControlReply,
    events.Beat,
    submission.Submission,
)
_BY_NAME = {cls.__name__: cls for cls in MESSAGES}


def pack(message: Any) -> bytes:
    """A message of one of ``MESSAGES`` as bytes."""
    fields = _to_map(message)
    fields["v"] = VERSION
    fields["t"] = type(message).__name__
    packed: bytes = msgpack.packb(fields, use_bin_type=True)
    return packed


def unpack(data: bytes) -> Any:
    """The message in *data*; raises ``WireFault`` (``UnknownVersion`` where that is why)."""
    if len(data) > MESSAGE_BYTES:
        raise WireFault(f"a message of {len(data)} bytes; the most is {MESSAGE_BYTES}")
    try:
        fields = msgpack.unpackb(data, raw=False, strict_map_key=True)
    except (ValueError, msgpack.exceptions.UnpackException, RecursionError) as error:
        raise WireFault(f"not msgpack: {error}") from error
    if not isinstance(fields, dict):
        raise WireFault(f"a message is a map; this is a {type(fields).__name__}")
    if fields.get("v") != VERSION:
        raise UnknownVersion(
            f"message version {fields.get('v')!r}; this process reads version {VERSION}: upgrade it first"
        )
    cls = _BY_NAME.get(str(fields.get("t")))
    if cls is None:
        raise WireFault(f"unknown message type {fields.get('t')!r}")
    return _from_map(cls, fields)


def unpack_as(cls: type[T], data: bytes) -> T:
    """The message in *data*, which must be a *cls*."""
    message = unpack(data)
    if not isinstance(message, cls):
        raise WireFault(f"a {type(message).__name__} where a {cls.__name__} belongs")
    return message


def _to_map(value: Any) -> dict[str, Any]:
    written = {}
    for name, default in _defaults(type(value)):  # type: ignore[arg-type]  # a class is hashable
        field = getattr(value, name)
        if field is not default and field != default:
            written[name] = _plain(field)
    return written


def _plain(value: Any) -> Any:
    if value is None or type(value) in (str, bytes, int, float, bool):
        return value
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if isinstance(value, Enum):
        return value.value
    return _to_map(value)


@cache
def _defaults(cls: Hashable) -> tuple[tuple[str, Any], ...]:
    return tuple((field.name, field.default) for field in dataclasses.fields(cast(Any, cls)))


def _from_map(cls: type[T], fields: dict[str, Any]) -> T:
    values = {}
    for name, read in _readers(cls):  # type: ignore[arg-type]  # a class is hashable
        if name in fields:
            try:
                values[name] = read(fields[name])
            except (TypeError, ValueError, KeyError) as error:
                raise WireFault(f"{cls.__name__}.{name}: {error}") from error
    try:
        return cls(**values)
    except TypeError as error:  # a field without default is missing
        raise WireFault(f"{cls.__name__}: {error}") from error


@cache
def _readers(cls: Hashable) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    hints = typing.get_type_hints(cast(Any, cls))
    return tuple((field.name, _reader(hints[field.name])) for field in dataclasses.fields(cast(Any, cls)))


def _reader(hint: Any) -> Callable[[Any], Any]:
    """How a plain value becomes one of *hint*: scalars, enums, dataclasses, ``X | None``, and both kinds of tuple."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        inner = _reader(next(arg for arg in args if arg is not type(None)))
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        return _tuple_reader(args)
    if dataclasses.is_dataclass(hint):
        return lambda value: _from_map(cast(type, hint), _checked(dict, value))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    if hint is float:
        return lambda value: float(_checked((int, float), value))
    return lambda value: _checked(hint, value)


def _tuple_reader(args: tuple[Any, ...]) -> Callable[[Any], Any]:
    if len(args) == 2 and args[1] is Ellipsis:
        item = _reader(args[0])
        return lambda value: tuple(item(part) for part in _checked(list, value))
    readers = tuple(_reader(arg) for arg in args)
    return lambda value: tuple(read(part) for read, part in zip(readers, _checked(list, value), strict=True))


def _checked(kind: Any, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"a {type(value).__name__} where {kind} belongs")
    return value
