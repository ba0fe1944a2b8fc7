"""The live executions of this gateway: each message of ``output.<gateway>.>`` finds its feed here.

Feeds are let go some time after the end, sooner when there are many, and sooner still when they weigh much. What is
let go is still in JetStream, where ``gateway.archive`` finds it.

Rules
1. A feed that stays silent is held against the stored results now and then: the word of its end may have been lost.
2. A listener holds its feed, not its place here: letting go of a feed never cuts a listener off.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable

from gateway.feed import Feed
from jobs import wire
from jobs.errors import Unavailable, WireFault
from jobs.events import Ended, Queued
from jobs.result import Result
from jobs.service.bus import Bus, Message
from jobs.streams import output_stream, output_subject, results_stream, results_subject

log = logging.getLogger("gateway")

KEEP_S = 60.0  #: after its end, for those who come a little late
KEEP_ENDED = 4_000  #: ended feeds kept at most
KEEP_BYTES = 256 << 20  #: output and results kept at most
SILENT_S = 5.0  #: a live feed that has said nothing for so long is held against the results
CHECKS_A_SWEEP = 100
SWEEP_S = 1.0
HEARD_AFAR_S = (0.3, 1.0)  #: pauses in which a new subscription has surely reached another region


class Feeds:
    """The live executions of a gateway, by id."""

    def __init__(
        self,
        *,
        bus: Bus,
        region: str,
        gateway: str,
        on_end: Callable[[Feed], None],
        on_change: Callable[[Feed], None],
        keep_bytes: int = KEEP_BYTES,
        keep_ended: int = KEEP_ENDED,
    ) -> None:
        self._bus = bus
        self._region = region
        self._gateway = gateway
        self._on_end = on_end
        self._on_change = on_change
        self._keep_bytes = keep_bytes
        self._keep_ended = keep_ended
        self._feeds: dict[str, Feed] = {}
        self._ended: OrderedDict[str, float] = OrderedDict()  #: when each is let go
        self._chores: set[asyncio.Task[None]] = set()
        self.bytes = 0

    async def start(self) -> None:
        """Hear what runners say to this gateway."""
        await self._bus.subscribe(f"output.{self._gateway}.>", self.on_message)
        self._bus.on_reconnect(self.check_all_soon)

    def __len__(self) -> int:
        return len(self._feeds)

    def get(self, execution_id: str) -> Feed | None:
        return self._feeds.get(execution_id)

    def open(self, queued: Queued) -> Feed:
        """The feed of an execution that is about to be accepted here; the one that is there, where there is one."""
        feed = self._feeds.get(queued.execution_id)
        if feed is None:
            feed = self._feeds[queued.execution_id] = Feed(queued.execution_id, queued, _now_s())
            feed.durable = False
        return feed

    def keep(self, feed: Feed) -> None:
        """It is accepted: it stays, also where another request with the same key failed and forgot it."""
        feed.durable = True
        self._feeds.setdefault(feed.id, feed)

    async def adopt(self, feed: Feed) -> Feed:
        """Live from now on, though another gateway (or this one, before it was started anew) accepted it."""
        known = self._feeds.setdefault(feed.id, feed)
        if known is feed:
            end = await self._bus.subscribe(f"output.*.{feed.id}", self.on_message)
            self._chore(self._end_with(feed, end))
            await self.mend(feed)
            if self._is_afar(feed):
                self._chore(self._mend_again(feed))
        return known

    def _is_afar(self, feed: Feed) -> bool:
        """Whether what is said of it comes from another region."""
        running_in = feed.running.region if feed.running is not None else self._region
        return {feed.kept_in or self._region, feed.lies_in or self._region, running_in} != {self._region}

    async def _mend_again(self, feed: Feed) -> None:
        """That we listen is known in another region a moment later only: what was said in between was kept."""
        for pause_s in HEARD_AFAR_S:
            await asyncio.sleep(pause_s)
            await self.mend(feed)

    def forget(self, execution_id: str) -> None:
        """It was not accepted after all."""
        feed = self._feeds.pop(execution_id, None)
        self._ended.pop(execution_id, None)
        if feed is not None:
            self.bytes -= feed.weight

    # -- what comes in ------------------------------------------------------------------------------------------

    def on_message(self, message: Message) -> None:
        feed = self._feeds.get(message.subject.rpartition(".")[2])
        if feed is None or feed.result is not None:
            return
        try:
            event = wire.unpack(message.data)
        except WireFault as fault:
            log.warning("action=event_unreadable execution_id=%s fault=%s", feed.id, fault)
            return
        self.tell(feed, event)

    def tell(self, feed: Feed, event: object) -> None:
        """Give a feed an event, and do what follows from it."""
        before, was_running = feed.weight, feed.running
        feed.checked_at = _now_s()
        feed.take(event)
        self.bytes += feed.weight - before
        if feed.result is not None:
            self._note_end(feed)
        elif isinstance(event, Ended):
            self._chore(self.check(feed))
        elif feed.running is not was_running:
            self._on_change(feed)
        elif feed.ahead and feed.listeners and feed.mended != feed.missing:
            self._chore(self.mend(feed))
        if self.bytes > self._keep_bytes:
            self._lighten()

    def _note_end(self, feed: Feed) -> None:
        if feed.id in self._feeds and feed.id not in self._ended:
            self._ended[feed.id] = _now_s() + KEEP_S
            self._on_end(feed)
            if len(self._ended) > self._keep_ended:
                self.forget(next(iter(self._ended)))

    def _lighten(self) -> None:
        """Over the bytes that may be kept: ended ones go first, the oldest first, then output nobody listens to."""
        while self._ended and self.bytes > self._keep_bytes:
            self.forget(next(iter(self._ended)))
        if self.bytes <= self._keep_bytes:
            return
        for feed in self._feeds.values():
            if feed.result is None and not feed.listeners and feed.weight:
                self.bytes -= feed.weight
                feed.drop_chunks()
                feed.shed = True

    # -- what was missed ----------------------------------------------------------------------------------------

    async def ready(self, feed: Feed) -> None:
        """Before a listener reads: chunks that were shed or missed are fetched."""
        if feed.result is None and (feed.shed or feed.ahead):
            feed.shed = False
            await self.mend(feed)

    async def mend(self, feed: Feed) -> None:
        """What the OUTPUT stream has of it, told again."""
        if feed.mending:
            return
        feed.mending, feed.mended = True, feed.missing
        try:
            for data in await self._bus.all(output_stream(feed.kept_in or self._region), f"output.*.{feed.id}"):
                self.tell(feed, wire.unpack(data))
        except (Unavailable, WireFault) as fault:
            log.debug("action=mend_failed execution_id=%s fault=%s", feed.id, fault)
        finally:
            feed.mending = False

    async def check(self, feed: Feed) -> None:
        """Whether its result is stored; if so, it has ended."""
        feed.checked_at = _now_s()
        if feed.result is not None or not self._bus.connected:
            return
        try:
            region = feed.lies_in or self._region
            data = await self._bus.last(results_stream(region), results_subject(region, feed.id))
            if data is not None:
                self.tell(feed, Ended(execution_id=feed.id, result=wire.unpack_as(Result, data)))
        except (Unavailable, WireFault) as fault:
            log.debug("action=check_failed execution_id=%s fault=%s", feed.id, fault)

    async def end(self, result: Result, gateways: Iterable[str]) -> None:
        """Spread the word of a result that this process has stored itself."""
        event = Ended(execution_id=result.execution_id, result=result)
        feed = self._feeds.get(result.execution_id)
        if feed is not None:
            self.tell(feed, event)
        for gateway in gateways:
            self._bus.publish(output_subject(gateway, result.execution_id), wire.pack(event))

    def tell_waiting(self) -> int:
        """Say ``Queued`` again of what was placed in other regions and has not ended; how many. Our region's stream of
        output was lost, and our region's queues do not have them."""
        told = 0
        for feed in self._feeds.values():
            queued = feed.queued if feed.result is None else None
            if queued is not None and queued.gateway == self._gateway and queued.region != self._region:
                self._bus.publish(output_subject(self._gateway, feed.id), wire.pack(queued))
                told += 1
        return told

    def check_all_soon(self) -> None:
        """After an outage any feed may have missed its end."""
        for feed in self._feeds.values():
            feed.checked_at = 0.0

    # -- upkeep -------------------------------------------------------------------------------------------------

    async def keep_up(self) -> None:
        """Let go of what is past, and look after what is silent, for ever."""
        while True:
            await asyncio.sleep(SWEEP_S)
            await self.sweep(_now_s())

    async def sweep(self, now_s: float) -> None:
        while self._ended and next(iter(self._ended.values())) <= now_s:
            self.forget(next(iter(self._ended)))
        silent = [f for f in self._feeds.values() if f.result is None and f.checked_at + SILENT_S <= now_s]
        silent.sort(key=lambda feed: (not (feed.waiters or feed.listeners), feed.checked_at))
        await asyncio.gather(*(self.check(feed) for feed in silent[:CHECKS_A_SWEEP]))

    async def drain(self, seconds: float) -> None:
        """This process stops: requests that wait for an end get some time, then they are told what there is."""
        waiters = [waiter for feed in self._feeds.values() for waiter in feed.waiters]
        if waiters:
            await asyncio.wait(waiters, timeout=seconds)
        for feed in list(self._feeds.values()):
            feed.release()

    async def close(self) -> None:
        for chore in list(self._chores):
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)

    def _chore(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def _end_with(self, feed: Feed, end: Callable[[], object]) -> None:
        """Stop listening for an adopted feed once it has ended, or nobody has asked for it for a while."""
        idle_since = _now_s()
        while feed.result is None:
            await asyncio.sleep(SWEEP_S)
            if feed.listeners or feed.waiters:
                idle_since = _now_s()
            elif _now_s() - idle_since > KEEP_S:
                self.forget(feed.id)
                break
        await end()  # type: ignore[misc]  # the bus gives a coroutine function


def _now_s() -> float:
    return time.monotonic()
