"""A request's body as JSON, within bounds. Refusals come as early as they can: by the length, before a byte is read.

Rules
1. Over ``BODY_BYTES`` is 413: by ``Content-Length`` before reading (also before ``100 Continue``), while reading else.
2. JSON is UTF-8. ``NaN`` and ``Infinity`` are no JSON. A name that is there twice in one object is refused: which of
   the two was meant is nothing to guess.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from jobs.errors import NotJson, TooLarge, WrongMediaType
from jobs.limits import BODY_BYTES

READ_S = 60.0


async def read_json(request: web.Request) -> Any:
    """The body; raises ``TooLarge``, ``WrongMediaType`` or ``NotJson``."""
    check_head(request)
    return parse(await _read(request))


def check_head(request: web.Request) -> None:
    """What the headers alone are refused for."""
    if (request.content_length or 0) > BODY_BYTES:
        raise TooLarge(f"the body has {request.content_length} bytes; the most is {BODY_BYTES}")
    kind = request.content_type
    # none given is refused too: a browser sends such a body for any page, without asking us first
    if "Content-Type" not in request.headers or not (kind == "application/json" or kind.endswith("+json")):
        raise WrongMediaType(f"this reads application/json, not {kind[:100]}; send Content-Type: application/json")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise WrongMediaType("this reads plain bodies; send it without Content-Encoding")


async def expect(request: web.Request) -> None:
    """``Expect: 100-continue``: a body that would be refused is not asked for."""
    if (request.content_length or 0) <= BODY_BYTES and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def _read(request: web.Request) -> bytes:
    try:
        if request.content.is_eof():
            return await request.read()
        async with asyncio.timeout(READ_S):
            return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise TooLarge(f"the body is larger than {BODY_BYTES} bytes") from error
    except TimeoutError as error:
        raise NotJson(f"the body did not arrive within {READ_S:.0f} s") from error


def parse(data: bytes) -> Any:
    """The JSON value in *data*; raises ``NotJson``."""
    try:
        return json.loads(data.decode(), parse_constant=_refuse_constant, object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise NotJson(f"the body is not UTF-8: {error.reason} at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise NotJson(f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise NotJson("the body is nested too deeply") from error
    except ValueError as error:  # a number of thousands of digits
        raise NotJson("the body has a number that is too long") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise NotJson(f"the name {twice[:100]!a} is there twice in one object; give it once")
    return value


def _refuse_constant(word: str) -> None:
    raise NotJson(f"{word} is not JSON; give a number")
