"""Errors as callers see them: ``application/problem+json`` (RFC 9457). The one table from error to status is here.

Rules
1. Every answer that is not 2xx comes from ``answer``, carries a ``request_id`` and, for invalid fields, all faults.
2. What is ours (5xx) is logged with that id; what is the caller's is not.
3. Nothing of the inside shows: an error that is not of our tree is "an error of ours", and its text stays in the log.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from jobs import errors

log = logging.getLogger("gateway")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


@dataclass(frozen=True, kw_only=True)
class Row:
    status: int
    slug: str  #: the ``type`` is ``/docs#<slug>``
    title: str


TABLE: dict[type[BaseException], Row] = {
    errors.NotJson: Row(status=400, slug="not-json", title="The body is not a JSON object"),
    errors.Unauthenticated: Row(status=401, slug="unauthenticated", title="Who asks is not known"),
    errors.Forbidden: Row(status=403, slug="forbidden", title="This is somebody else's"),
    errors.NotFound: Row(status=404, slug="not-found", title="There is nothing by that name"),
    errors.Conflict: Row(status=409, slug="conflict", title="It is too late for that"),
    errors.TooLarge: Row(status=413, slug="too-large", title="The request is larger than is allowed"),
    errors.WrongMediaType: Row(status=415, slug="media-type", title="The body is of another kind than is read here"),
    errors.InvalidSubmission: Row(status=422, slug="invalid-fields", title="Some fields are not as they must be"),
    errors.Refused: Row(status=429, slug="no-room", title="There is no room for this now"),
    errors.Unavailable: Row(status=503, slug="unavailable", title="A part that this needs is away; try again"),
}
METHOD = Row(status=405, slug="method", title="This is not done here by that method")
OURS = Row(status=500, slug="error", title="An error of ours")


def request_id(request: web.BaseRequest) -> str:
    """The caller's ``X-Request-Id`` where it is a plain word, else one of ours."""
    given = request.headers.get("X-Request-Id", "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def answer(request: web.BaseRequest, error: BaseException) -> web.Response:
    """The answer that *error* becomes."""
    row = _row(error)
    identity = request_id(request)
    if row.status >= 500:
        known = isinstance(error, errors.Unavailable)
        log.log(
            logging.WARNING if known else logging.ERROR,
            "action=request_failed request_id=%s path=%s error=%r",
            identity,
            request.path,
            error,
            exc_info=None if known else error,
        )
    detail = str(error) if isinstance(error, errors.YurtError) and row is not OURS else ""
    more: dict[str, Any] = {}
    headers = {}
    if isinstance(error, errors.InvalidSubmission):
        more["errors"] = [{"field": f.field, "problem": f.problem, "cure": f.cure} for f in error.faults]
    if isinstance(error, errors.Refused):
        more["reason"] = str(error.reason)
    if isinstance(error, errors.Refused | errors.Unavailable):
        headers["Retry-After"] = str(error.retry_after_s)
    return problem(row, identity, detail, more, headers)


def wrong_method(request: web.BaseRequest, allowed: list[str]) -> web.Response:
    detail = f"{request.method} is not served here; {', '.join(allowed)} is"
    return problem(METHOD, request_id(request), detail, {}, {"Allow": ", ".join(allowed)})


def problem(row: Row, identity: str, detail: str, more: dict[str, Any], headers: dict[str, str]) -> web.Response:
    body = {
        "type": f"/docs#{row.slug}",
        "title": row.title,
        "status": row.status,
        "detail": detail or row.title,
        "request_id": identity,
        **more,
    }
    # escaped to ASCII: a refused name may hold half a surrogate pair, which UTF-8 has no bytes for
    return web.Response(
        body=json.dumps(body).encode(),
        status=row.status,
        headers={"X-Request-Id": identity, **headers},
        content_type="application/problem+json",
    )


def _row(error: BaseException) -> Row:
    for cls in type(error).__mro__:
        if cls in TABLE:
            return TABLE[cls]
    return OURS
