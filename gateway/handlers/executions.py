"""Submit, read, cancel and list executions."""

from __future__ import annotations

import contextlib

from aiohttp import web

from gateway import intake, once, query, render
from gateway.admission import caller, new_id
from gateway.body import read_json
from gateway.desk import Desk
from gateway.feed import Feed
from gateway.placement import Why, told
from gateway.problems import request_id
from jobs import wire
from jobs.ends import unrun
from jobs.errors import Conflict, Unavailable
from jobs.events import Control, ControlKind, ControlReply, Queued
from jobs.states import Class, State
from jobs.streams import control_subject

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
    submission = intake.submission(body, desk.horizon.known, tier=who.tier)
    key = once.key_of(request)
    if key is None:
        feed = await desk.admission.accept(
            submission,
            who=who,
            execution_id=new_id(desk.now_ms()),
            correlation_id=correlation(request),
            quiet_s=QUIET_S if asked.wait_s else 0.0,
        )
    else:
        feed = await once.submit(desk, body, submission, who, key, correlation(request), first=once.is_first(request))
    if asked.wait_s and await feed.until_end(asked.wait_s):
        return execution(feed, asked.base64)
    return await _accepted(desk, request, feed)


def correlation(request: web.Request) -> str:
    """The caller's own word for this request, empty where there is none."""
    return request_id(request) if "X-Request-Id" in request.headers else ""


async def _accepted(desk: Desk, request: web.Request, feed: Feed) -> web.Response:
    desk.admission.say(feed)
    queued = feed.queued
    region = queued.region if queued is not None else desk.region.name
    return web.Response(
        body=render.dump(
            {
                "execution_id": feed.id,
                "status": feed.state.value,
                "websocket_url": websocket_url(desk, request, feed.id),
                "estimated_wait_ms": await _estimate(desk, feed),
                "region": region,
                "placement": told(region, queued.placed if queued is not None else Why.HOME, _ran_in(feed)),
            }
        ),
        status=202,
        headers={"Location": f"/api/v1/executions/{feed.id}"},
        content_type="application/json",
    )


def _ran_in(feed: Feed) -> str | None:
    return feed.running.region if feed.running is not None else None


async def _estimate(desk: Desk, feed: Feed) -> int:
    if feed.state is not State.QUEUED:
        return 0
    sight = desk.horizon.sight(feed.lies_in or desk.region.name)
    if sight is desk.horizon.home and sight.answers:
        with contextlib.suppress(Unavailable):  # the job is accepted all the same: the last known will do
            await sight.backlog.refresh()
    return sight.backlog.wait_ms(feed.queued.job_class if feed.queued is not None else Class.STANDARD)


def websocket_url(desk: Desk, request: web.Request, execution_id: str) -> str:
    base = desk.settings.public_url.rstrip("/")
    base = "ws" + base.removeprefix("http") if base else f"{'wss' if request.secure else 'ws'}://{request.host}"
    return f"{base}/ws/execution/{execution_id}"


def execution(feed: Feed, base64: bool) -> web.Response:
    return web.Response(body=render.dump(render.of(feed, base64)), content_type="application/json")


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
        feed.queued.gateway if feed.queued is not None else "",
        desk.now_ms(),
        attempt=feed.attempt,
        runner=feed.running.runner if feed.running is not None else None,
        started_at_ms=feed.running.started_at_ms if feed.running is not None else None,
    )
    if not await desk.admission.settle(result):
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
        region=feed.lies_in or desk.region.name,
        job_class=Class.STANDARD,
        created_at_ms=now_ms,
        start_by_ms=now_ms,
    )


async def ask_runner(desk: Desk, feed: Feed, control: Control, *, timeout_s: float) -> ControlReply | None:
    """The reply of the runner that has it; None when none has."""
    region = feed.lies_in or desk.region.name
    afar_s = _afar_s(desk, region) + _afar_s(desk, feed.running.region if feed.running is not None else region)
    try:
        answer = await desk.bus.request(
            control_subject(region, feed.id), wire.pack(control), timeout_s=timeout_s + afar_s
        )
    except Unavailable:
        if not desk.bus.connected:
            raise
        return None
    return wire.unpack_as(ControlReply, answer.data)


def _afar_s(desk: Desk, region: str) -> float:
    """What a word takes to another region and back."""
    sight = desk.horizon.sight(region)
    return 0.0 if sight is desk.horizon.home else (sight.rtt_ms or 0.0) / 1000


async def list_(desk: Desk, request: web.Request) -> web.Response:
    """``GET /api/v1/executions``"""
    asked = query.read(request.rel_url.raw_query_string, _LIST)
    entries, onward = desk.listing.page(caller().user_id, limit=asked.limit, before=asked.cursor, state=asked.status)
    body = {
        "executions": [entry.plain() for entry in entries],
        "next_cursor": str(onward) if onward is not None else None,
    }
    return web.Response(body=render.dump(body), content_type="application/json")
