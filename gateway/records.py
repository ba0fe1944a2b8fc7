"""Two small records that live beside the results, so that any gateway finds them, also after a restart.

``results.<region>.batch-<id>`` lists the executions of a batch; ``results.<region>.key-<id>`` ties an idempotency key
to what was submitted with it. Both are JSON with a version, stored once (the first wins), kept as long as results are.

A batch's record lies where jobs were placed when it came, which is home for most, and is looked for everywhere. A key
is claimed in the region in whose queue its execution is to lie; then the other regions are asked whether they have a
claim of it too, and the earliest by the servers' clocks counts. So a key means one execution in the whole network, but
for two windows: a region that is away cannot be asked; and two first uses in two regions within a round
trip of each other, when the clocks there differ by more than that.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from dataclasses import dataclass
from typing import Any

from gateway.archive import ANSWER_S, say_silent
from gateway.horizon import Horizon, Sight
from jobs.errors import Conflict, NotFound, Unavailable
from jobs.service.bus import Bus
from jobs.streams import results_stream, results_subject

VERSION = 1
_KEYS = uuid.UUID("6f0c3a52-8f0e-4d0b-9f3e-2b6a7f1d9c44")  #: the name space of ids made of idempotency keys


@dataclass(frozen=True, kw_only=True)
class Batch:
    id: str
    user_id: str
    created_at_ms: int
    execution_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, order=True)
class Claim:
    """A use of an idempotency key, by the region that keeps it; the earliest is the least."""

    stored_at: str  #: the server's time, as text that sorts
    region: str
    digest: str


def id_of_key(user_id: str, key: str, *, kind: str = "execution") -> str:
    """The same key of the same user is the same id, whichever gateway is asked."""
    return str(uuid.uuid5(_KEYS, "\0".join((kind, user_id, key))))


def id_in_batch(batch_id: str, at: int) -> str:
    return str(uuid.uuid5(uuid.UUID(batch_id), str(at)))


def digest(body: Any) -> str:
    """What was sent, whatever its white space and the order of its names."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


class Records:
    def __init__(self, *, bus: Bus, horizon: Horizon) -> None:
        self._bus = bus
        self._horizon = horizon

    async def claim(self, identity: str, body_digest: str, region: str, *, look_around: bool) -> list[Claim]:
        """The earlier claims of a key, the earliest first; none: ours, kept in *region*, is the first.

        Without *look_around* a claim that is new in *region* is taken for the first everywhere.
        Raises ``Conflict`` when it came with another body before; ``Unavailable`` when *region* keeps nothing now.
        """
        name = f"key-{identity}"
        is_new = await self._store(region, name, {"digest": body_digest})
        ask = [sight for sight in self._horizon.regions if sight.answers or sight.name == region]
        if is_new and (len(ask) == 1 or not look_around):
            return []
        claims = sorted(claim for claim in await asyncio.gather(*(self._claim(each, name) for each in ask)) if claim)
        if any(claim.digest != body_digest for claim in claims):
            raise Conflict("this Idempotency-Key came with another body before; use a new key for a new submission")
        first_is_ours = is_new and (not claims or claims[0].region == region)
        return [] if first_is_ours else claims

    async def _claim(self, sight: Sight, name: str) -> Claim | None:
        """A region's claim of a key; None where it has none, or does not answer."""
        subject = results_subject(sight.name, name)
        try:
            message = await self._bus.newest(results_stream(sight.name), subject, timeout_s=ANSWER_S)
        except Unavailable:
            return None
        if message is None:
            return None
        stored_at = _sortable(message.header("Nats-Time-Stamp"))
        return Claim(stored_at=stored_at, region=sight.name, digest=_read(message.data)["digest"])

    async def add_batch(self, batch: Batch, region: str) -> None:
        await self._store(
            region,
            f"batch-{batch.id}",
            {"user": batch.user_id, "created_at_ms": batch.created_at_ms, "executions": list(batch.execution_ids)},
        )

    async def batch(self, batch_id: str) -> Batch:
        """Raises ``NotFound``; ``Unavailable`` when it may be known in a region that does not answer."""
        record = await self._find(f"batch-{batch_id}")
        if record is None:
            raise NotFound(f"no batch {batch_id[:64]!r} is known; batches are kept as long as results are")
        return Batch(
            id=batch_id,
            user_id=record["user"],
            created_at_ms=record["created_at_ms"],
            execution_ids=tuple(record["executions"]),
        )

    async def _store(self, region: str, name: str, record: dict[str, Any]) -> bool:
        data = json.dumps({"v": VERSION, **record}).encode()
        try:
            return await self._bus.store_first(results_subject(region, name), data, timeout_s=2.0)
        except Unavailable as fault:
            self._horizon.missed(region, fault)
            raise

    async def _find(self, name: str) -> dict[str, Any] | None:
        """At home, then in all the other regions at once."""
        silent: list[str] = []
        for sights in ((self._horizon.home,), self._horizon.others):
            answers = await asyncio.gather(*(self._ask(sight, name) for sight in sights))
            for sight, (answered, record) in zip(sights, answers, strict=True):
                if record is not None:
                    return record
                if not answered:
                    silent.append(sight.name)
        if silent:
            raise Unavailable(f"{say_silent(tuple(silent))}; it may be known there")
        return None

    async def _ask(self, sight: Sight, name: str) -> tuple[bool, dict[str, Any] | None]:
        try:
            data = await self._bus.last(
                results_stream(sight.name), results_subject(sight.name, name), timeout_s=ANSWER_S
            )
        except Unavailable:
            return False, None
        return True, None if data is None else _read(data)


def _read(data: bytes) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(data)
    if record.get("v") != VERSION:
        raise Unavailable("a newer gateway wrote this record; this one cannot read it")
    return record


def _sortable(moment: str) -> str:
    """RFC 3339 in UTC with as many digits as there are, made to sort as text."""
    head, _, fraction = moment.rstrip("Z").partition(".")
    return f"{head}.{fraction:0<9}"
