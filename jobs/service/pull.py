"""Pull requests on one JetStream consumer: ask for messages, get them by a function call, settle each.

Theory of operation. ``ask`` publishes a pull request whose reply subject carries a number. Messages come for the oldest
request first; a status (404 none, 408 expired, 409 refused) names the request that it ends early. ``outstanding`` is
how many messages are still due to us. A server that forgot our requests (restart, reconnect) is noticed by their own
expiry, a second late, or at once by the connection's word. A request that was refused (no such stream, no leader, too
many wait) makes the consumer one to leave alone for a moment: ``resting``. Requests that lie are taken back by ceasing
to listen (``close``); what comes until then is ours like any other.

nats-py's ``fetch(n)`` is not used: it stalls for seconds when messages trickle in.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jobs.service.bus import Bus, Message
from jobs.streams import PRIORITY_GROUP

REST_S = 0.25  #: after a refusal
#: where clusters are joined, a server serves a request of that age without looking whether anybody still listens
YOUNG_S = 2.1

_GRACE_S = 1.0
_HEARTBEAT = "100"
_ENDED = ("404", "408")  #: nothing there; its time is over. Any other status is a refusal


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message of a work queue, ours until it is settled or its ack wait runs out."""

    bus: Bus
    data: bytes
    reply: str  #: ``$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>``

    @property
    def attempt(self) -> int:
        return int(self.reply.split(".")[-5])

    @property
    def pending(self) -> int:
        """How many more the consumer has waiting, as of this one."""
        return int(self.reply.split(".")[-1])

    async def acknowledge(self) -> None:
        """Off the queue, confirmed by the server; ``Unavailable`` when it does not confirm."""
        await self.bus.request(self.reply, b"+ACK", timeout_s=5)

    def in_progress(self) -> None:
        """Start the ack wait anew."""
        self.bus.publish(self.reply, b"+WPI")

    def hand_back(self, delay_s: float = 0.0) -> None:
        """To the queue again, for another runner."""
        body = b"-NAK" if delay_s <= 0 else b"-NAK " + json.dumps({"delay": int(delay_s * 1e9)}).encode()
        self.bus.publish(self.reply, body)

    def give_up(self) -> None:
        """Off the queue for good, without an acknowledgement."""
        self.bus.publish(self.reply, b"+TERM")


@dataclass(slots=True)
class _Request:
    due: int
    expires_at: float
    on_end: Callable[[], None]


class Puller:
    """Pull requests of one process on one consumer."""

    def __init__(self, bus: Bus, stream: str, consumer: str, on_delivery: Callable[[Delivery], None]) -> None:
        self._bus = bus
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = f"{bus.inbox}.p.{stream}.{consumer}"
        self._on_delivery = on_delivery
        self._requests: dict[str, _Request] = {}
        self._next = 0
        self._rests_until = 0.0
        self._asked_at = 0.0
        self._ended = asyncio.Event()
        self._end_subscription: Callable[..., Any] | None = None

    async def start(self) -> None:
        self._end_subscription = await self._bus.subscribe(f"{self._inbox}.*", self._on_message)
        self._bus.on_reconnect(self.forget)

    async def close(self) -> None:
        """Take back what lies, within ``YOUNG_S``; ask no more before. No more comes once this has returned."""
        end, self._end_subscription = self._end_subscription, None
        while self.outstanding and (young_s := self._asked_at + YOUNG_S - asyncio.get_running_loop().time()) > 0:
            self._ended.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(young_s):
                    await self._ended.wait()
        if end is not None:
            await end(hear_out=True)
        self._requests.clear()

    @property
    def resting(self) -> bool:
        """Refused a moment ago: asking again would only be refused again."""
        return asyncio.get_running_loop().time() < self._rests_until

    @property
    def outstanding(self) -> int:
        """How many messages are still due to us."""
        now = asyncio.get_running_loop().time()
        for token in [token for token, request in self._requests.items() if request.expires_at < now]:
            del self._requests[token]
        return sum(request.due for request in self._requests.values())

    def forget(self) -> None:
        """What was asked of a server that is gone will not be answered."""
        requests = list(self._requests.values())
        self._requests.clear()
        for request in requests:
            request.on_end()

    def ask(self, batch: int, *, expires_s: float | None, on_end: Callable[[], None], priority: int = 0) -> None:
        """Ask for *batch* messages; *expires_s* None: only what is there now. *on_end* when no more is due of it."""
        self._next += 1
        token = str(self._next)
        body: dict[str, object] = {"batch": batch, "group": PRIORITY_GROUP, "priority": priority}
        if expires_s is None:
            body["no_wait"] = True
        else:
            body["expires"] = int(expires_s * 1e9)
        self._asked_at = asyncio.get_running_loop().time()
        deadline = self._asked_at + (expires_s or 2.0) + _GRACE_S
        self._requests[token] = _Request(due=batch, expires_at=deadline, on_end=on_end)
        self._bus.publish(self._subject, json.dumps(body).encode(), reply=f"{self._inbox}.{token}")

    def _on_message(self, message: Message) -> None:
        if message.status:
            if message.status == _HEARTBEAT:
                return
            if message.status not in _ENDED:
                self._rests_until = asyncio.get_running_loop().time() + REST_S
            self._end(message.subject.rpartition(".")[2])
            return
        # A delivery carries the job's own subject, not the request's: the server serves requests in their order.
        token, request = next(iter(self._requests.items()), ("", None))
        self._on_delivery(Delivery(self._bus, message.data, message.reply))
        if request is not None:
            request.due -= 1
            if request.due <= 0:
                self._end(token)

    def _end(self, token: str) -> None:
        request = self._requests.pop(token, None)
        if request is not None:
            self._ended.set()
            request.on_end()
