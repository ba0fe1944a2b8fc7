"""Finding an execution by its id, whoever accepted it and whenever: here, in the results, in the output stream.

The order is that of certainty: a stored result is the last word; what this gateway has heard comes next; and what the
output stream remembers (some minutes) tells of executions that other gateways accepted, or this one before a restart.
"""

from __future__ import annotations

import re

from gateway.feed import Feed
from gateway.feeds import Feeds
from jobs import wire
from jobs.errors import NotFound
from jobs.result import Result
from jobs.service.bus import Bus
from jobs.streams import output_stream, results_stream, results_subject

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_id(word: str) -> bool:
    """Whether it is an id of ours, and so safe as a part of a subject."""
    return _ID.fullmatch(word) is not None


class Archive:
    def __init__(self, *, bus: Bus, region: str, feeds: Feeds) -> None:
        self._bus = bus
        self._region = region
        self._feeds = feeds

    async def find(self, execution_id: str) -> Feed | None:
        """What is known of it now; None when nobody here knows it. Raises ``Unavailable``."""
        if not is_id(execution_id):
            return None
        feed = self._feeds.get(execution_id)
        if feed is not None:
            await self._feeds.check(feed)
            return feed
        feed = Feed(execution_id)
        data = await self._bus.last(results_stream(self._region), results_subject(self._region, execution_id))
        if data is not None:
            feed.end(wire.unpack_as(Result, data))
            return feed
        events = await self._bus.all(output_stream(self._region), f"output.*.{execution_id}")
        for event in events:
            feed.take(wire.unpack(event))
        return feed if events else None

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
