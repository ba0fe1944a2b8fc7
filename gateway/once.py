"""What an ``Idempotency-Key`` does: in which region it is claimed, and so in which queue its execution lies.

It is queued where its key was claimed and nowhere else, wherever it is repeated, so that the queue knows a repeat.
Only when it is certain that nothing was stored there, the next region is asked. Where it is not certain, the key stays
with that region: repeated here, it is 503 until the region confirms.

A caller who has just made up a key may say that it is the first time (``Idempotency-Attempt: 1``): then the other
regions are not asked for it, which would take a round trip to the farthest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from gateway import records
from gateway.admission import RECONNECT_S, Caller
from gateway.desk import Desk
from gateway.feed import Feed
from gateway.placement import Placed, Why
from jobs.errors import Fault, InvalidSubmission, Unavailable
from jobs.service.bus import NotTaken
from jobs.submission import Submission

Place = Callable[[set[str]], Placed]


def key_of(request: web.Request) -> str | None:
    """The key of a request, where it has one; raises ``InvalidSubmission``."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and (not 1 <= len(key) <= 255 or not key.isprintable()):
        fault = Fault(field="Idempotency-Key", problem="is no key", cure="use 1 to 255 printable characters")
        raise InvalidSubmission((fault,))
    return key


def is_first(request: web.Request) -> bool:
    """Whether the caller says that nobody has seen this key before."""
    return request.headers.get("Idempotency-Attempt") == "1"


async def claim(
    desk: Desk, identity: str, body: Any, place: Place, tried: set[str], *, first: bool
) -> tuple[Placed, bool]:
    """The queue for what has this *identity*, and whether it is new. Regions that keep nothing now go into *tried*.

    Raises ``Conflict``, and ``Unavailable`` when no region is left.
    """
    digest = records.digest(body)
    while True:
        if not await desk.bus.until_connected(RECONNECT_S):
            raise Unavailable("the queue is away; nothing was accepted")
        queue = place(tried)
        if queue.region in tried:
            raise Unavailable(f"the queue of {queue.region} did not confirm it; it may be there", retry_after_s=2)
        try:
            earlier = await desk.records.claim(identity, digest, queue.region, look_around=not first)
        except Unavailable:
            tried.add(queue.region)
            continue
        if earlier:
            return Placed(region=earlier[0].region, why=Why.SAME_KEY), False
        return queue, True


async def submit(
    desk: Desk, body: Any, submission: Submission, who: Caller, key: str, correlation_id: str, *, first: bool
) -> Feed:
    """The execution that the key has made before, or a new one of an id made of the key."""
    execution_id = records.id_of_key(who.user_id, key)
    tried: set[str] = set()

    def place(without: set[str]) -> Placed:
        unsure = desk.admission.unsure.get(execution_id)
        if unsure is not None:
            return Placed(region=unsure, why=Why.SAME_KEY)
        return desk.horizon.place(submission.region, submission.language, without=without)

    while True:
        queue, is_new = await claim(desk, execution_id, body, place, tried, first=first)
        if not is_new:
            feed = await desk.archive.find(execution_id)
            if feed is not None and feed.durable:
                return await desk.archive.live(feed)
        try:
            return await desk.admission.accept(
                submission,
                who=who,
                execution_id=execution_id,
                correlation_id=correlation_id,
                fixed=True,
                queue=queue,
            )
        except NotTaken:
            if not is_new or queue.region in tried:
                raise
            tried.add(queue.region)
