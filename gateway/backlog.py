"""How much waits in a region's queues, and so how long a new job will wait there: computed, never a constant.

The streams are asked at most once in ``FRESH_S``; what this gateway has queued since is counted on top. A job waits for
those of its class and of the better ones, which share the slots that the runners' beats tell of.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from gateway.roster import Roster
from jobs.errors import Unavailable
from jobs.languages import Language
from jobs.region import Region
from jobs.service.bus import ApiError, Bus
from jobs.states import Class
from jobs.streams import jobs_stream

FRESH_S = 1.0
RETRY_AFTER_S = (1, 60)  #: least and most
SHARE_TO_DRAIN = 0.05  #: a full queue is worth another try when so much of it is done


class Backlog:
    """Of the region *name*; *home* is ours: another region's jobs may wait as long, and its bounds are read there."""

    def __init__(self, *, bus: Bus, name: str, home: Region, roster: Roster, now_s: Callable[[], float]) -> None:
        self._bus = bus
        self._name = name
        self._is_home = name == home.name
        self._start_by_s = home.delivery.start_by_s
        self._roster = roster
        self._now_s = now_s
        self._asked_at_s = -math.inf
        self.rtt_ms: float | None = None
        #: by class and language, running ones included
        self.depths = {(job_class, language.value): 0 for job_class in Class for language in Language}
        self._ahead = dict.fromkeys(Class, 0)
        self._bounds = {job_class: home.queues.bound(job_class) for job_class in Class}

    async def refresh(self, *, fresh_s: float = FRESH_S) -> None:
        """As of at most *fresh_s* ago; raises ``Unavailable``."""
        now_s = self._now_s()
        if now_s - self._asked_at_s < fresh_s:
            return
        self._asked_at_s = now_s
        took_s = await asyncio.gather(*(self._read(job_class) for job_class in Class))
        self.rtt_ms = min(took_s) * 1000

    async def _read(self, job_class: Class) -> float:
        before = self._now_s()
        verb = f"STREAM.INFO.{jobs_stream(self._name, job_class)}"
        try:
            info = await self._bus.api(verb, {"subjects_filter": ">"}, timeout_s=2.0)
        except ApiError as error:
            raise Unavailable(f"{verb}: {error}") from error
        took_s = self._now_s() - before
        self._note(job_class, info["state"])
        if not self._is_home:
            self._bounds[job_class] = int(info["config"]["max_msgs"])
        return took_s

    def _note(self, job_class: Class, state: dict[str, Any]) -> None:
        self._ahead[job_class] = int(state["messages"])
        counts = {subject.rpartition(".")[2]: count for subject, count in (state.get("subjects") or {}).items()}
        for known, language in list(self.depths):
            if known is job_class:
                self.depths[known, language] = 0
        for language, count in counts.items():
            self.depths[job_class, language] = count

    def count(self, job_class: Class) -> None:
        """One more was queued here."""
        self._ahead[job_class] += 1

    def ahead(self, job_class: Class) -> int:
        """How many jobs are served before a new one of this class: waiting or running."""
        classes = tuple(Class)
        return sum(self._ahead[better] for better in classes[: classes.index(job_class) + 1])

    def room(self, job_class: Class) -> int:
        return self._bounds[job_class] - self._ahead[job_class]

    def depth(self) -> int:
        """Waiting or running, in all classes."""
        return sum(self._ahead.values())

    def wait_ms(self, job_class: Class) -> int:
        """How long a job queued now will wait for a slot. Without a living runner: as long as it is let wait."""
        slots, _, mean_ms = self._roster.capacity()
        if slots == 0:
            return int(self._start_by_s * 1000)
        waiting = self.ahead(job_class) - slots
        return 0 if waiting < 0 else round((waiting + 1) * mean_ms / slots)

    def retry_after_s(self, job_class: Class) -> int:
        """When it is worth trying again at a full queue."""
        slots, _, mean_ms = self._roster.capacity()
        least, most = RETRY_AFTER_S
        if slots == 0:
            return most
        rate = slots * 1000 / mean_ms
        return min(max(math.ceil(self.ahead(job_class) * SHARE_TO_DRAIN / rate), least), most)
