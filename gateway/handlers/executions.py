"""Submit, read, cancel and list executions."""

from __future__ import annotations

import contextlib
from typing import Any

from aiohttp import web

from gateway import intake, query, records, render
from gateway.admission import Caller, caller, new_id
from gateway.body import read_json
from gateway.desk import Desk
from gateway.feed import Feed
from gateway.problems import request_id
from jobs import wire
from jobs.ends import unrun
from jobs.errors import Conflict, Fault, InvalidSubmission, Unavailable
from jobs.events import Control, ControlKind, ControlReply, Queued
from jobs.states import Class, State
from jobs.streams import control_subject
from jobs.submission import Submission

CANCEL_S = 0.3  #: a runner that has it answers within this
QUIET_S = 0.02  #: what ends sooner, for a caller who waits, is not announced before its end

_SUBMIT = frozenset({"wait", "encoding"})
_READ = frozenset({"encoding"})
_LIST = frozenset({"limit", "cursor", "status"})


async def submit(desk: Desk, request: web.Request) -> web.Response:
    """``POST /api/v1/execute``"""
    asked = query.read(request.rel_url.raw_query_string, _SUBMIT)
    body = await read_json(request)
    who = caller()
    submission = intake.submission(body, desk.roster.known, tier=who.tier)
    key = request.headers.get("Idempotency-Key")
    if key is None:
        feed = await desk.admission.accept(
            submission,
            who=who,
            execution_id=new_id(desk.now_ms()),
            correlation_id=correlation(request),
            quiet_s=QUIET_S if asked.wait_s else 0.0,
        )
    else:
        feed = await _submit_once(desk, request, body, submission, who, key)
    if asked.wait_s and await feed.until_end(asked.wait_s):
        return execution(feed, asked.base64)
    return await _accepted(desk, request, feed)


async def _submit_once(
    desk: Desk, request: web.Request, body: Any, submission: Submission, who: Caller, key: str
) -> Feed:
    """With an idempotency key: the execution that the key has made before, or a new one of an id made of the key."""
    execution_id = records.id_of_key(who.user_id, checked_key(key))
    first = await desk.records.claim_key(execution_id, records.digest(body))
    feed = None if first else await desk.archive.find(execution_id)
    if feed is not None and feed.durable:
        return await desk.archive.live(feed)
    return await desk.admission.accept(
        submission, who=who, execution_id=execution_id, correlation_id=correlation(request)
    )


def checked_key(key: str) -> str:
    if not 1 <= len(key) <= 255 or not key.isprintable():
        fault = Fault(field="Idempotency-Key", problem="is no key", cure="use 1 to 255 printable characters")
        raise InvalidSubmission((fault,))
    return key


def correlation(request: web.Request) -> str:
    """The caller's own word for this request, empty where there is none."""
    return request_id(request) if "X-Request-Id" in request.headers else ""


async def _accepted(desk: Desk, request: web.Request, feed: Feed) -> web.Response:
    desk.admission.say(feed)
    queued = feed.queued
    return web.Response(
        body=render.dump(
            {
                "execution_id": feed.id,
                "status": feed.state.value,
                "websocket_url": websocket_url(desk, request, feed.id),
                "estimated_wait_ms": await _estimate(desk, feed),
                "region": queued.region if queued is not None else desk.region.name,
            }
        ),
        status=202,
        headers={"Location": f"/api/v1/executions/{feed.id}"},
        content_type="application/json",
    )


async def _estimate(desk: Desk, feed: Feed) -> int:
    if feed.state is not State.QUEUED:
        return 0
    with contextlib.suppress(Unavailable):  # the job is accepted all the same: the last known will do
        await desk.backlog.refresh()
    return desk.backlog.wait_ms(feed.queued.job_class if feed.queued is not None else Class.STANDARD)


def websocket_url(desk: Desk, request: web.Request, execution_id: str) -> str:
    base = desk.settings.public_url.rstrip("/")
    base = "ws" + base.removeprefix("http") if base else f"{'wss' if request.secure else 'ws'}://{request.host}"
    return f"{base}/ws/execution/{execution_id}"


def execution(feed: Feed, base64: bool) -> web.Response:
    plain = render.ended(feed.result, base64) if feed.result else render.unended(feed.id, feed.queued, feed.running)
    return web.Response(body=render.dump(plain), content_type="application/json")


async def read(desk: Desk, request: web.Request) -> web.Response:
    """``GET /api/v1/executions/{id}``"""
    asked = query.read(request.rel_url.raw_query_string, _READ)
    return execution(await desk.archive.need(request.match_info["id"]), asked.base64)


async def cancel(desk: Desk, request: web.Request) -> web.Response:
    """``DELETE /api/v1/executions/{id}``: by the runner that has it, or else by a stored result."""
    feed = await desk.archive.need(request.match_info["id"])
    if feed.result is not None:
        raise Conflict(f"it has ended already: {feed.state}")
    control = Control(execution_id=feed.id, kind=ControlKind.CANCEL)
    reply = await ask_runner(desk, feed, control, timeout_s=CANCEL_S)
    if reply is None:
        await _cancel_unstarted(desk, feed)
    elif not reply.accepted:
        raise Conflict(reply.problem or "the runner that has it refused")
    body = {"execution_id": feed.id, "status": feed.state.value}
    return web.Response(body=render.dump(body), status=202, content_type="application/json")


async def _cancel_unstarted(desk: Desk, feed: Feed) -> None:
    """No runner has it: its result is stored here, and the job, when a runner meets it, is found done."""
    result = unrun(
        feed.queued or _queued_unknown(desk, feed),
        State.CANCELLED,
        None,
        "It was cancelled.",
        desk.gateway,
        desk.now_ms(),
        attempt=feed.attempt,
        runner=feed.running.runner if feed.running is not None else None,
        started_at_ms=feed.running.started_at_ms if feed.running is not None else None,
    )
    if not await desk.admission.settle(result, everywhere=desk.feeds.get(feed.id) is None):
        raise Conflict("it has just ended")
    if feed.result is None:  # a feed of another gateway's execution, which is not kept here
        feed.end(result)


def _queued_unknown(desk: Desk, feed: Feed) -> Queued:
    """For an execution whose acceptance nobody remembers: what little is known."""
    now_ms = desk.now_ms()
    return Queued(
        execution_id=feed.id,
        user_id=caller().user_id,
        language="",
        version=feed.running.version if feed.running is not None else "*",
        variant="",
        region=desk.region.name,
        job_class=Class.STANDARD,
        created_at_ms=now_ms,
        start_by_ms=now_ms,
    )


async def ask_runner(desk: Desk, feed: Feed, control: Control, *, timeout_s: float) -> ControlReply | None:
    """The reply of the runner that has it; None when none has."""
    region = feed.queued.region if feed.queued is not None else desk.region.name
    try:
        answer = await desk.bus.request(control_subject(region, feed.id), wire.pack(control), timeout_s=timeout_s)
    except Unavailable:
        if not desk.bus.connected:
            raise
        return None
    return wire.unpack_as(ControlReply, answer.data)


async def list_(desk: Desk, request: web.Request) -> web.Response:
    """``GET /api/v1/executions``"""
    asked = query.read(request.rel_url.raw_query_string, _LIST)
    entries, onward = desk.listing.page(caller().user_id, limit=asked.limit, before=asked.cursor, state=asked.status)
    body = {
        "executions": [entry.plain() for entry in entries],
        "next_cursor": str(onward) if onward is not None else None,
    }
    return web.Response(body=render.dump(body), content_type="application/json")
