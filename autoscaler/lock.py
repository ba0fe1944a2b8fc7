"""One controller at a time. By Consul where there is one, else by NATS, which is there whenever there is work at all.

The lock in NATS is the newest message of one subject: it names who holds it and ends by its own time to live, which the
server counts. Taking it expects no message there, renewing expects one's own: the stream compares and stores in one
step. That is less than a key-value bucket, and needs nothing that the record's stream does not have.

Rules
1. Who holds a lock trusts only its own clock, and counts from before it asked: it stops believing ``MARGIN_S`` before
   the server lets anybody else in.
2. A lock can still be lost between a look and an act; so the record refuses who was superseded (``autoscaler.record``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from autoscaler.record import last_of, store
from jobs.service.bus import Bus
from jobs.service.consul_door import ConsulDoor
from jobs.streams import scale_leader_subject, scale_stream

TTL_S = 15
MARGIN_S = 2.0


class Lock(Protocol):
    """``take`` before each decision; it raises ``Unavailable`` where whoever keeps the lock is away."""

    @property
    def held(self) -> bool: ...

    async def take(self) -> bool:
        """Take or renew it; whether it is ours."""
        ...

    async def leave(self) -> None:
        """Let the next one in at once."""
        ...


class NatsLock:
    """*owner* is unique to this process; *clock* only goes forward."""

    def __init__(self, bus: Bus, *, region: str, owner: str, clock: Callable[[], float], ttl_s: int = TTL_S) -> None:
        self._bus, self._owner, self._clock, self._ttl_s = bus, owner, clock, ttl_s
        self._stream, self._subject = scale_stream(region), scale_leader_subject(region)
        self._sequence = 0
        self._until = float("-inf")

    @property
    def held(self) -> bool:
        return self._clock() < self._until

    async def take(self) -> bool:
        if await self._store():
            return True
        # not as we thought: it ran out, or an answer to us was lost, or another has it
        self._sequence, holder = await last_of(self._bus, self._stream, self._subject)
        if holder in (b"", self._owner.encode()) and await self._store():
            return True
        self._sequence, self._until = 0, float("-inf")
        return False

    async def leave(self) -> None:
        if self.held:
            self._until = float("-inf")
            await self._bus.api(f"STREAM.PURGE.{self._stream}", {"filter": self._subject}, timeout_s=2)

    async def _store(self) -> bool:
        asked = self._clock()
        headers = {
            "Nats-Expected-Last-Subject-Sequence": str(self._sequence),
            "Nats-TTL": f"{self._ttl_s}s",
        }
        sequence = await store(self._bus, self._subject, self._owner.encode(), headers)
        if sequence is None:
            return False
        self._sequence, self._until = sequence, asked + self._ttl_s - MARGIN_S
        return True


class ConsulLock:
    """A key that a session with a time to live holds; Consul itself waits a while before another may have it."""

    def __init__(
        self, door: ConsulDoor, *, region: str, owner: str, clock: Callable[[], float], ttl_s: int = TTL_S
    ) -> None:
        self._door, self._owner, self._clock, self._ttl_s = door, owner, clock, ttl_s
        self._key = f"yurt/{region}/autoscaler/leader"
        self._session = ""
        self._until = float("-inf")

    @property
    def held(self) -> bool:
        return self._clock() < self._until

    async def take(self) -> bool:
        asked = self._clock()
        if self._session and not await self._door.renew(self._session):
            self._session, self._until = "", float("-inf")
        if not self._session:
            self._session = await self._door.session(f"yurt autoscaler {self._owner}", self._ttl_s)
        if not await self._door.acquire(self._key, self._owner, self._session):
            self._until = float("-inf")
            return False
        self._until = asked + self._ttl_s - MARGIN_S
        return True

    async def leave(self) -> None:
        if self._session:
            session, self._session, self._until = self._session, "", float("-inf")
            await self._door.release(self._key, self._owner, session)
