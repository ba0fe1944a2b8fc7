"""One live execution, as this gateway hears of it: state, numbered output, the end.

Theory of operation. The events of ``jobs.events`` go into a ``Feed`` (``take``), in whatever order and as often as they
come. Listeners read it at their own pace (``follow``): a listener keeps a position, and is woken when there is more.

Rules
1. Output comes at most once, so a number may be missing. Later chunks wait (``ahead``) until the gap is mended from the
   OUTPUT stream, or until the result comes: its chunks, told again, have the same numbers.
2. A higher attempt forgets the chunks of the one before (``jobs.events``, rule 1).
3. Nothing follows the end. Whatever comes after it is passed over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from jobs.events import Chunk, Ended, Queued, Running, retell
from jobs.result import Result
from jobs.states import State


class Feed:
    """One execution. ``result`` is None until it has ended."""

    __slots__ = (
        "_retold",
        "ahead",
        "attempt",
        "checked_at",
        "chunks",
        "durable",
        "id",
        "kept_in",
        "listeners",
        "mended",
        "mending",
        "queued",
        "result",
        "running",
        "said",
        "shed",
        "waiters",
        "weight",
    )

    def __init__(self, execution_id: str, queued: Queued | None = None, now_s: float = 0.0) -> None:
        self.id = execution_id
        self.queued = queued
        self.running: Running | None = None
        self.result: Result | None = None
        self.attempt = 0
        self.chunks: list[Chunk] = []
        self.ahead: dict[int, Chunk] = {}
        self.listeners: set[asyncio.Event] = set()
        self.waiters: list[asyncio.Future[None]] = []
        self.weight = 0
        self.checked_at = now_s
        self.mending = False
        self.mended = 0  #: the number that was missing when mending was last tried
        self.durable = True  #: the queue has it; False only while that is being asked
        self.said = True  #: others can know of it: ``Queued`` is out, or need not be any more
        self.kept_in = ""  #: the region whose stream keeps its output; empty: ours
        self.shed = False  #: chunks are not kept at present; a listener has them mended first
        self._retold: list[Chunk] | None = None

    @property
    def state(self) -> State:
        if self.result is not None:
            return self.result.state
        return State.QUEUED if self.running is None else State.RUNNING

    @property
    def lies_in(self) -> str:
        """The region in whose queue it lies, as far as is known; empty: ours."""
        return self.queued.region if self.queued is not None else self.kept_in

    @property
    def missing(self) -> int:
        """The number of the chunk that has to come next."""
        return len(self.chunks) + 1

    def take(self, event: object) -> None:
        """What an event says. Again, late or out of order does no harm."""
        if self.result is not None:
            return
        if isinstance(event, Chunk):
            self._take_chunk(event)
        elif isinstance(event, Running):
            if event.attempt >= self.attempt and (self.running is None or event.attempt > self.running.attempt):
                self._begin(event.attempt)
                self.running = event
        elif isinstance(event, Queued):
            self.queued = self.queued or event
        elif isinstance(event, Ended) and event.result is not None:
            self.end(event.result)
            return
        self.wake()

    def _take_chunk(self, chunk: Chunk) -> None:
        if chunk.attempt < self.attempt or self.shed:
            return
        if chunk.attempt > self.attempt:
            self._begin(chunk.attempt)
        if chunk.seq <= len(self.chunks) or chunk.seq in self.ahead:
            return
        self.weight += len(chunk.data) + 200
        self.ahead[chunk.seq] = chunk
        while (following := self.ahead.pop(self.missing, None)) is not None:
            self.chunks.append(following)

    def _begin(self, attempt: int) -> None:
        if attempt > self.attempt:
            self.attempt = attempt
            self.drop_chunks()

    def drop_chunks(self) -> None:
        self.chunks, self.ahead, self.weight = [], {}, 0

    def end(self, result: Result) -> None:
        self.result = result
        self.attempt = max(self.attempt, result.attempt)
        self.drop_chunks()
        self.shed = False
        self.weight = len(result.stdout) + len(result.stderr) + sum(len(file.content) for file in result.files or ())
        self.weight += sum(len(case.stdout) + len(case.stderr) for case in result.cases or ())
        self.wake()
        self.release()

    def wake(self) -> None:
        for listener in self.listeners:
            listener.set()

    def release(self) -> None:
        """Whoever waits for the end goes on, ended or not."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def chunk(self, seq: int) -> Chunk | None:
        """The chunk of this number, or None where it has not come (yet)."""
        if self.result is not None:
            if self._retold is None:
                self._retold = list(retell(self.result))
            return self._retold[seq - 1] if seq <= len(self._retold) else None
        return self.chunks[seq - 1] if seq <= len(self.chunks) else None

    @contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        wake = asyncio.Event()
        self.listeners.add(wake)
        try:
            yield wake
        finally:
            self.listeners.discard(wake)
            if not self.listeners:
                self._retold = None

    async def until_end(self, seconds: float) -> bool:
        """Whether it has ended, after waiting at most *seconds* for it."""
        if self.result is None and seconds > 0:
            loop = asyncio.get_running_loop()
            waiter: asyncio.Future[None] = loop.create_future()
            self.waiters.append(waiter)
            timer = loop.call_later(seconds, _give_up, waiter)
            try:
                await waiter
            finally:
                timer.cancel()
                if waiter in self.waiters:
                    self.waiters.remove(waiter)
        return self.result is not None


def _give_up(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


@dataclass(frozen=True, slots=True)
class Status:
    """A step of ``follow``: the state, as of now."""

    state: State
    attempt: int
    queued_at_ms: int | None
    started_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Complete:
    """The last step of ``follow``."""

    result: Result


async def follow(feed: Feed, start: int = 1) -> AsyncIterator[Status | Chunk | Complete]:
    """What a listener is told, from chunk *start* on: a status at once and at each change, the output, the end.

    After the end only what is left is told: the final status, the chunks, the result.
    """
    at = max(start, 1)
    told: Status | None = None
    with feed.listening() as wake:
        while True:
            wake.clear()
            status = _status(feed)
            anew = told is not None and 0 < told.attempt < status.attempt
            if anew:
                at = 1
            # a live listener hears of the end after the last of the output
            if told is None or anew or (feed.result is None and status != told):
                told = status
                yield status
                continue
            chunk = feed.chunk(at)
            if chunk is not None:
                at += 1
                yield chunk
            elif feed.result is not None:
                if status.state != told.state:
                    yield status
                yield Complete(feed.result)
                return
            else:
                await wake.wait()


def _status(feed: Feed) -> Status:
    if feed.result is not None:
        timeline = feed.result.timeline
        return Status(feed.result.state, feed.attempt, timeline.created_at_ms, timeline.started_at_ms)
    queued_at_ms = feed.queued.created_at_ms if feed.queued is not None else None
    started_at_ms = feed.running.started_at_ms if feed.running is not None else None
    return Status(feed.state, feed.attempt, queued_at_ms, started_at_ms)
