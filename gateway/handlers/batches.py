"""Batches: many submissions in one call, found again under one id."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiohttp import web

from gateway import intake, once, query, records, render
from gateway.admission import Caller, caller, new_id
from gateway.archive import is_id, say_silent
from gateway.body import read_json
from gateway.desk import Desk
from gateway.handlers.executions import correlation, websocket_url
from gateway.placement import AUTO, Placed
from gateway.warden import GRACE_S
from jobs.errors import NotFound, Refused, Unavailable, YurtError
from jobs.states import FINAL, State
from jobs.submission import Submission

AT_ONCE = 64  #: submissions of one batch on their way to the queue
READ_AT_ONCE = 16  #: results of one batch in memory
WRITE_S = 60.0  #: for so many of them to leave

Pair = tuple[str, Submission]

_NONE: frozenset[str] = frozenset()
_READ = frozenset({"encoding"})


async def submit(desk: Desk, request: web.Request) -> web.Response:
    """``POST /api/v1/batches``: all of it is valid and finds room, or nothing is accepted.

    When the queue fills up in the middle, what was accepted runs, and the rest ends *failed*: the batch tells of each.
    """
    query.read(request.rel_url.raw_query_string, _NONE)
    body = await read_json(request)
    who = caller()
    submissions = intake.batch(body, desk.horizon.known, tier=who.tier)
    batch, missing, queue = await _batch(desk, request, body, submissions, who)
    if missing:
        await desk.admission.check_room([submission for _, submission in missing], who, queue)
        await desk.records.add_batch(batch, (queue or desk.horizon.place_record()).region)
        await _accept_all(desk, missing, who, correlation(request), queue)
    return _accepted(desk, request, batch)


async def _batch(
    desk: Desk, request: web.Request, body: Any, submissions: Sequence[Submission], who: Caller
) -> tuple[records.Batch, list[Pair], Placed | None]:
    """The batch, and those of it that are still to be queued: all, or, for a repeated key, what nobody knows of.

    With a key all of it that may run anywhere goes to the queues of one region, so that these know a repeat.
    """
    key, is_new = once.key_of(request), True
    batch_id, queue = new_id(desk.now_ms()), None
    if key is not None:
        batch_id = records.id_of_key(who.user_id, key, kind="batch")
        queue, is_new = await once.claim(
            desk,
            batch_id,
            body,
            lambda tried: desk.horizon.place_record(without=tried),
            set(),
            first=once.is_first(request),
        )
    batch = records.Batch(
        id=batch_id,
        user_id=who.user_id,
        created_at_ms=desk.now_ms(),
        execution_ids=tuple(records.id_in_batch(batch_id, at) for at in range(len(submissions))),
    )
    pairs = list(zip(batch.execution_ids, submissions, strict=True))
    if is_new:
        return batch, pairs, queue
    feeds = [await desk.archive.find(execution_id) for execution_id in batch.execution_ids]
    return batch, [pair for pair, feed in zip(pairs, feeds, strict=True) if feed is None or not feed.durable], queue


async def _accept_all(
    desk: Desk, pairs: Sequence[Pair], who: Caller, correlation_id: str, queue: Placed | None
) -> None:
    """Queue them, a few at a time. Raises what stopped it when not one was accepted, and ``Unavailable`` always: then
    the same call with the same ``Idempotency-Key`` queues the rest."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def accept(execution_id: str, submission: Submission) -> YurtError | None:
        async with turn:
            try:
                await desk.admission.accept(
                    submission,
                    who=who,
                    execution_id=execution_id,
                    correlation_id=correlation_id,
                    fixed=True,
                    queue=queue if submission.region == AUTO else None,
                )
            except (Refused, Unavailable) as error:
                return error
        return None

    problems = await asyncio.gather(*(accept(execution_id, submission) for execution_id, submission in pairs))
    stopped = [error for error in problems if error is not None]
    away = next((error for error in stopped if isinstance(error, Unavailable)), None)
    if away is not None and len(stopped) < len(pairs):
        raise Unavailable("the queue went away in the middle of the batch; repeat it with the same Idempotency-Key")
    if away is not None or len(stopped) == len(pairs):
        raise stopped[0]
    for (execution_id, submission), error in zip(pairs, problems, strict=True):
        if error is not None:
            message = f"It was not queued: {error}."
            await desk.admission.give_up(submission, who=who, execution_id=execution_id, message=message)


def _accepted(desk: Desk, request: web.Request, batch: records.Batch) -> web.Response:
    body = {
        "batch_id": batch.id,
        "status": "queued",
        "execution_ids": list(batch.execution_ids),
        "executions": [
            {"execution_id": identity, "websocket_url": websocket_url(desk, request, identity)}
            for identity in batch.execution_ids
        ],
        "region": desk.region.name,
    }
    headers = {"Location": f"/api/v1/batches/{batch.id}"}
    return web.Response(body=render.dump(body), status=202, headers=headers, content_type="application/json")


async def read(desk: Desk, request: web.Request) -> web.StreamResponse:
    """``GET /api/v1/batches/{id}``: the executions in order, each as far as it is.

    Written as it is read: a thousand results of some megabytes each are never in memory together.
    """
    asked = query.read(request.rel_url.raw_query_string, _READ)
    batch_id = request.match_info["id"].lower()
    if not is_id(batch_id):
        raise NotFound(f"no batch {batch_id[:64]!r} is known")
    batch = await desk.records.batch(batch_id)
    response = web.StreamResponse()
    response.content_type = "application/json"
    groups = _groups(desk, batch, asked.base64)
    first = await anext(groups)  # what fails here can still be answered as a problem
    await response.prepare(request)
    try:
        await _write(response, batch, first, groups)
    except (YurtError, TimeoutError):
        if request.transport is not None:
            request.transport.abort()  # a whole answer is not to be had: better a broken one than a wrong one
    return response


async def _write(
    response: web.StreamResponse,
    batch: records.Batch,
    group: list[dict[str, Any]],
    rest: AsyncIterator[list[dict[str, Any]]],
) -> None:
    counts: Counter[str] = Counter()
    head = {"batch_id": batch.id, "created_at": render.moment(batch.created_at_ms)}
    await response.write(render.dump(head)[:-1] + b',"executions":[')
    between = b""
    while group:
        counts.update(execution["status"] for execution in group)
        async with asyncio.timeout(WRITE_S):
            await response.write(between + b",".join(render.dump(execution) for execution in group))
        between = b","
        group = await anext(rest, [])
    tail = {"counts": dict(counts), "status": "completed" if counts.keys() <= FINAL else "running"}
    await response.write(b"]," + render.dump(tail)[1:])
    await response.write_eof()


async def _groups(desk: Desk, batch: records.Batch, base64: bool) -> AsyncIterator[list[dict[str, Any]]]:
    for start in range(0, len(batch.execution_ids), READ_AT_ONCE):
        identities = batch.execution_ids[start : start + READ_AT_ONCE]
        yield list(await asyncio.gather(*(_one(desk, batch, identity, base64) for identity in identities)))


async def _one(desk: Desk, batch: records.Batch, execution_id: str, base64: bool) -> dict[str, Any]:
    found = await desk.archive.search(execution_id)
    if found.feed is not None:
        return render.of(found.feed, base64)
    unknown = render.unended(execution_id, None, None)
    if found.silent:
        return unknown | {"message": f"{say_silent(found.silent)}; it may be known there."}
    if desk.now_ms() - batch.created_at_ms > (desk.region.delivery.start_by_s + GRACE_S) * 1000:
        unknown |= {"status": State.EXPIRED.value, "message": "It was never queued, or its result is kept no longer."}
    return unknown
