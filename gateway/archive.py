"""Finding an execution by its id, whoever accepted it, wherever it lay or ran: here, in our region, in the others.

The order is that of certainty and of distance. What this gateway hears of itself comes first, held against the stored
result. Then our region: its results are the last word, and its output stream remembers (some minutes) what other
gateways accepted, or this one before a restart, and in which region's queue it lies. Only what our region knows nothing
of is looked for in the others, in all of them at once, each with a deadline.

"Nobody knows it" is said only when every region has answered; else it is *silent* regions that might.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from gateway.feed import Feed
from gateway.feeds import Feeds
from gateway.horizon import Horizon, Sight
from jobs import wire
from jobs.errors import NotFound, Unavailable
from jobs.result import Result
from jobs.service.bus import Bus
from jobs.streams import output_stream, results_stream, results_subject

ANSWER_S = 1.5  #: for another region
AWAY_S = 0.3  #: for one that did not answer when it was last looked at

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_id(word: str) -> bool:
    """Whether it is an id of ours, and so safe as a part of a subject."""
    return _ID.fullmatch(word) is not None


@dataclass(frozen=True, kw_only=True)
class Found:
    """*feed* is None where nobody knows the execution; *silent* are the regions that did not answer."""

    feed: Feed | None
    silent: tuple[str, ...] = ()


class Archive:
    def __init__(self, *, bus: Bus, feeds: Feeds, horizon: Horizon) -> None:
        self._bus = bus
        self._feeds = feeds
        self._horizon = horizon

    async def find(self, execution_id: str) -> Feed | None:
        """What is known of it now; None when it is known nowhere. ``Unavailable`` when a region that is away may."""
        if not is_id(execution_id):
            return None
        found = await self.search(execution_id)
        if found.feed is None and found.silent:
            raise Unavailable(f"{say_silent(found.silent)}; the execution may be known there")
        return found.feed

    async def need(self, execution_id: str) -> Feed:
        """As ``find``; raises ``NotFound``."""
        feed = await self.find(execution_id.lower())
        if feed is None:
            raise NotFound(f"no execution {execution_id[:64]!r} is known; results are kept for a while only")
        return feed

    async def live(self, feed: Feed) -> Feed:
        """The same execution, kept up to date from now on, with its output so far."""
        if feed.result is None and self._feeds.get(feed.id) is None:
            feed = await self._feeds.adopt(feed)
            await self._feeds.check(feed)
        await self._feeds.ready(feed)
        return feed

    async def search(self, execution_id: str) -> Found:
        """As ``find``, and raises nothing: what could not be asked is told."""
        feed = self._feeds.get(execution_id)
        if feed is not None:
            await self._feeds.check(feed)
            return Found(feed=feed)
        home, at_home = self._horizon.home, _Traces(execution_id)
        silent = []
        if not await self._in_results(home, at_home) or not await self._in_output(home, at_home):
            silent.append(home.name)
        elsewhere = at_home.queue not in ("", home.name)
        if at_home.feed is not None and not elsewhere:
            return Found(feed=at_home.feed)
        if elsewhere:
            await self._in_results(self._horizon.sight(at_home.queue), at_home)
            return Found(feed=at_home.feed)
        return await self._look_around(execution_id, silent)

    async def _look_around(self, execution_id: str, silent: list[str]) -> Found:
        """All the other regions at once. The first result found is enough; word of a live one goes by its queue."""
        traces = _Traces(execution_id)
        asks: dict[asyncio.Task[bool], str] = {}
        for sight in self._horizon.others:
            for ask in (self._in_results(sight, traces), self._in_output(sight, traces)):
                asks[asyncio.create_task(ask)] = sight.name
        waiting = set(asks)
        try:
            while waiting and not traces.settled(asks[task] for task in waiting):
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                silent += [asks[task] for task in done if not task.result()]
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        return Found(feed=traces.feed, silent=tuple(dict.fromkeys(silent)))

    # -- one region: each asks, notes what is found, and says whether there was an answer ----------------------------

    async def _in_results(self, sight: Sight, traces: _Traces) -> bool:
        subject = results_subject(sight.name, traces.execution_id)
        data = await _answer(self._bus.last(results_stream(sight.name), subject, timeout_s=self._patience_s(sight)))
        if isinstance(data, Unavailable):
            return False
        if data is not None:
            traces.ended(wire.unpack_as(Result, data))
        return True

    async def _in_output(self, sight: Sight, traces: _Traces) -> bool:
        if traces.result is not None:
            return True
        subject = f"output.*.{traces.execution_id}"
        events = await _answer(self._bus.all(output_stream(sight.name), subject, timeout_s=self._patience_s(sight)))
        if isinstance(events, Unavailable):
            return False
        traces.heard(sight.name if sight is not self._horizon.home else "", events)
        return True

    def _patience_s(self, sight: Sight) -> float:
        return ANSWER_S if sight.answers else AWAY_S


class _Traces:
    """What is found of one execution, here and there."""

    def __init__(self, execution_id: str) -> None:
        self.execution_id = execution_id
        self.feed: Feed | None = None

    @property
    def result(self) -> Result | None:
        return self.feed.result if self.feed is not None else None

    @property
    def queue(self) -> str:
        """The region in whose queue it lies; empty where that is not known, or does not matter any more."""
        queued = self.feed.queued if self.feed is not None else None
        return queued.region if queued is not None and self.result is None else ""

    def ended(self, result: Result) -> None:
        self._feed().end(result)

    def heard(self, region: str, events: list[bytes]) -> None:
        for data in events:
            self._feed().take(wire.unpack(data))
        if events:
            self._feed().kept_in = region

    def settled(self, waiting: Any) -> bool:
        """Whether those that are still *waited* for cannot tell more than is known."""
        return self.result is not None or (self.queue != "" and self.queue not in set(waiting))

    def _feed(self) -> Feed:
        if self.feed is None:
            self.feed = Feed(self.execution_id)
        return self.feed


async def _answer(ask: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await ask
    except Unavailable as away:
        return away


def say_silent(regions: tuple[str, ...]) -> str:
    return f"{' and '.join(regions)} {'does' if len(regions) == 1 else 'do'} not answer now"
