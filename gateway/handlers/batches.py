"""Batches: many submissions in one call, found again under one id."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from gateway import intake, query, records, render
from gateway.admission import Caller, caller, new_id
from gateway.archive import is_id
from gateway.body import read_json
from gateway.desk import Desk
from gateway.handlers.executions import checked_key, correlation, websocket_url
from jobs.errors import NotFound, Refused, Unavailable, YurtError
from jobs.states import FINAL
from jobs.submission import Submission

AT_ONCE = 64  #: submissions of one batch on their way to the queue

_NONE: frozenset[str] = frozenset()
_READ = frozenset({"encoding"})


async def submit(desk: Desk, request: web.Request) -> web.Response:
    """``POST /api/v1/batches``: all of it is valid and finds room, or nothing is accepted.

    When the queue fills up or goes away in the middle, what was accepted runs, and the rest ends *failed*: the batch
    tells of each.
    """
    query.read(request.rel_url.raw_query_string, _NONE)
    body = await read_json(request)
    who = caller()
    submissions = intake.batch(body, desk.roster.known, tier=who.tier)
    key = request.headers.get("Idempotency-Key")
    if key is not None:
        batch_id = records.id_of_key(who.user_id, checked_key(key), kind="batch")
        if not await desk.records.claim_key(batch_id, records.digest(body)):
            try:
                return _accepted(desk, request, await desk.records.batch(batch_id))
            except NotFound:
                pass  # it was refused the first time
    else:
        batch_id = new_id(desk.now_ms())
    batch = records.Batch(
        id=batch_id,
        user_id=who.user_id,
        created_at_ms=desk.now_ms(),
        execution_ids=tuple(records.id_in_batch(batch_id, at) for at in range(len(submissions))),
    )
    await desk.admission.check_room(submissions, who)
    await desk.records.add_batch(batch)
    await _accept_all(desk, batch, submissions, who, correlation(request))
    return _accepted(desk, request, batch)


async def _accept_all(
    desk: Desk, batch: records.Batch, submissions: Sequence[Submission], who: Caller, correlation_id: str
) -> None:
    """Queue them, a few at a time; raises what stopped it when not one was accepted."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def accept(execution_id: str, submission: Submission) -> YurtError | None:
        async with turn:
            try:
                await desk.admission.accept(
                    submission, who=who, execution_id=execution_id, correlation_id=correlation_id
                )
            except (Refused, Unavailable) as error:
                return error
        return None

    pairs = list(zip(batch.execution_ids, submissions, strict=True))
    problems = await asyncio.gather(*(accept(execution_id, submission) for execution_id, submission in pairs))
    stopped = [error for error in problems if error is not None]
    if len(stopped) == len(pairs):
        raise stopped[0]
    for (execution_id, submission), error in zip(pairs, problems, strict=True):
        if error is not None:
            await desk.admission.give_up(
                submission, who=who, execution_id=execution_id, message=f"Not queued: {error}."
            )


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


async def read(desk: Desk, request: web.Request) -> web.Response:
    """``GET /api/v1/batches/{id}``: the executions in order, each as far as it is."""
    asked = query.read(request.rel_url.raw_query_string, _READ)
    batch_id = request.match_info["id"].lower()
    if not is_id(batch_id):
        raise NotFound(f"no batch {batch_id[:64]!r} is known")
    batch = await desk.records.batch(batch_id)
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(execution_id: str) -> dict[str, Any]:
        async with turn:
            feed = await desk.archive.find(execution_id)
        if feed is None:
            return render.unended(execution_id, None, None)
        if feed.result is not None:
            return render.ended(feed.result, asked.base64)
        return render.unended(execution_id, feed.queued, feed.running)

    executions = await asyncio.gather(*(one(execution_id) for execution_id in batch.execution_ids))
    counts = Counter(execution["status"] for execution in executions)
    body = {
        "batch_id": batch.id,
        "status": "completed" if counts.keys() <= FINAL else "running",
        "created_at": render.moment(batch.created_at_ms),
        "counts": dict(counts),
        "executions": executions,
    }
    return web.Response(body=render.dump(body), content_type="application/json")
