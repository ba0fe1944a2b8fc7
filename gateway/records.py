"""Two small records that live beside the results, so that any gateway finds them, also after a restart.

``results.<region>.batch-<id>`` lists the executions of a batch; ``results.<region>.key-<id>`` ties an idempotency key
to what was submitted with it. Both are JSON with a version, stored once (the first wins), kept as long as results are.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from typing import Any

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


def id_of_key(user_id: str, key: str, *, kind: str = "execution") -> str:
    """The same key of the same user is the same id, whichever gateway is asked."""
    return str(uuid.uuid5(_KEYS, "\0".join((kind, user_id, key))))


def id_in_batch(batch_id: str, at: int) -> str:
    return str(uuid.uuid5(uuid.UUID(batch_id), str(at)))


def digest(body: Any) -> str:
    """What was sent, whatever its white space and the order of its names."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


class Records:
    def __init__(self, *, bus: Bus, region: str) -> None:
        self._bus = bus
        self._region = region

    async def claim_key(self, identity: str, body_digest: str) -> bool:
        """Whether this is the first use of a key. Raises ``Conflict`` when it came with another body before."""
        if await self._store(f"key-{identity}", {"digest": body_digest}):
            return True
        record = await self._read(f"key-{identity}")
        if record is not None and record["digest"] != body_digest:
            raise Conflict("this Idempotency-Key came with another body before; use a new key for a new submission")
        return False

    async def add_batch(self, batch: Batch) -> None:
        await self._store(
            f"batch-{batch.id}",
            {"user": batch.user_id, "created_at_ms": batch.created_at_ms, "executions": list(batch.execution_ids)},
        )

    async def batch(self, batch_id: str) -> Batch:
        """Raises ``NotFound``."""
        record = await self._read(f"batch-{batch_id}")
        if record is None:
            raise NotFound(f"no batch {batch_id[:64]!r} is known; batches are kept as long as results are")
        return Batch(
            id=batch_id,
            user_id=record["user"],
            created_at_ms=record["created_at_ms"],
            execution_ids=tuple(record["executions"]),
        )

    async def _store(self, name: str, record: dict[str, Any]) -> bool:
        data = json.dumps({"v": VERSION, **record}).encode()
        return await self._bus.store_first(results_subject(self._region, name), data, timeout_s=2.0)

    async def _read(self, name: str) -> dict[str, Any] | None:
        data = await self._bus.last(results_stream(self._region), results_subject(self._region, name))
        if data is None:
            return None
        record: dict[str, Any] = json.loads(data)
        if record.get("v") != VERSION:
            raise Unavailable("a newer gateway wrote this record; this one cannot read it")
        return record
