"""The atlas out of Consul: each datacenter with gateways of ours is a region, its distance is what servers measured.

Theory of operation. A round asks the local agent for the datacenters, for their coordinates, and of each other
datacenter for its gateways. What was learnt stays until something better is: a Consul that is away, a datacenter that
cannot be reached and an answer that is wrong change nothing. What was never learnt is as the region file says.

Rules
1. A datacenter is named like its region. One that the region file does not name is a region once a gateway of ours was
   seen there: a Consul may serve others too.
2. A region is forgotten when Consul has not named it, or has named no gateway of it, for ``FORGET_S``: a server that
   has just started knows only itself. Time in which Consul was away does not count.
3. Rounds keep ``EVERY_S`` apart, give or take a fifth, so that many processes do not ask at once; after a failed one
   the pauses start at ``FIRST_RETRY_S`` and double.
4. Each thing that is wrong is told once, until it is right again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from jobs.errors import Unavailable
from jobs.region import Neighbour, Region
from jobs.service import logs
from jobs.service.atlas import by_distance
from jobs.service.consul_answers import (
    Complaint,
    Instance,
    WrongAnswer,
    endpoint,
    read_coordinates,
    read_datacenters,
    read_instances,
    rtt_ms,
)
from jobs.service.registration import service_name

log = logging.getLogger("atlas")

EVERY_S = 30.0
FIRST_RETRY_S = 1.0
FORGET_S = 600.0
AT_ONCE = 4  #: datacenters asked at the same time
MOST_COMPLAINTS = 8  #: told of one round


class Catalog(Protocol):
    """What of Consul is asked; answers are as they came."""

    async def datacenters(self) -> Any: ...

    async def coordinates(self) -> Any: ...

    async def instances(self, name: str, datacenter: str) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What Consul last said of a region."""

    rtt_ms: float | None = None
    url: str = ""
    heard_at: float = 0.0  #: when its datacenter was last named, in time with Consul
    ours_at: float = -FORGET_S  #: when a gateway was last seen there


class ConsulAtlas:
    """An ``Atlas``; *clock* only goes forward, *jitter* is between 0 and 1."""

    def __init__(
        self,
        catalog: Catalog,
        region: Region,
        *,
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._catalog, self._home = catalog, region.name
        self._file = {neighbour.region: neighbour for neighbour in region.neighbours}
        self._every_s, self._clock, self._jitter = every_s, clock, jitter
        self._known: dict[str, _Known] = {}
        self._neighbours = by_distance(self._file.values())
        self._complaints: dict[str, str] = {}
        self._away = False
        self._now = 0.0  #: time spent with Consul
        self._round_at = clock()

    @property
    def neighbours(self) -> tuple[Neighbour, ...]:
        return self._neighbours

    async def keep_up(self) -> None:
        pause_s = min(FIRST_RETRY_S, self._every_s)
        while True:
            if await self.refresh():
                pause_s = min(FIRST_RETRY_S, self._every_s)
                await asyncio.sleep(self._every_s * (0.8 + 0.4 * self._jitter()))
            else:
                await asyncio.sleep(pause_s * (0.8 + 0.4 * self._jitter()))
                pause_s = min(2 * pause_s, self._every_s)

    async def refresh(self) -> bool:
        """One round; whether Consul answered at all. Raises nothing."""
        complaints: list[Complaint] = []
        try:
            answers = await asyncio.gather(self._catalog.datacenters(), self._catalog.coordinates())
        except Unavailable as fault:
            self._tell_away(str(fault))
            return False
        self._tell_back()
        self._count_time()
        others = self._take_datacenters(answers[0], complaints)
        self._take_coordinates(answers[1], others, complaints)
        await self._take_gateways(others, complaints)
        self._forget()
        self._draw()
        self._complain(complaints)
        return True

    # -- one round ----------------------------------------------------------------------------------------------

    def _count_time(self) -> None:
        now = self._clock()
        self._now += min(now - self._round_at, 2 * self._every_s)
        self._round_at = now

    def _take_datacenters(self, answer: Any, complaints: list[Complaint]) -> list[str]:
        try:
            names = read_datacenters(answer, complaints)
        except WrongAnswer as wrong:
            complaints.append(Complaint(about="the datacenters", wrong=str(wrong)))
            return []
        if self._home not in names:
            known = ", ".join(names[:5]) or "none"
            wrong_name = f"is no datacenter of this Consul, which knows {known}; name the datacenter like the region"
            complaints.append(Complaint(about=f"region {self._home}", wrong=wrong_name))
        others = [name for name in names if name != self._home]
        for name in others:
            self._learn(name, heard_at=self._now)
        return others

    def _take_coordinates(self, answer: Any, others: list[str], complaints: list[Complaint]) -> None:
        try:
            positions = read_coordinates(answer, complaints)
        except WrongAnswer as wrong:
            complaints.append(Complaint(about="the coordinates", wrong=str(wrong)))
            return
        for name in others:
            measured = rtt_ms(positions.get(self._home, ()), positions.get(name, ()))
            if measured is not None:
                self._learn(name, rtt_ms=measured)

    async def _take_gateways(self, others: list[str], complaints: list[Complaint]) -> None:
        turns = asyncio.Semaphore(AT_ONCE)

        async def ask(name: str) -> None:
            async with turns:
                answer = await self._catalog.instances(service_name("gateway"), name)
            self._take_instances(name, read_instances(answer, name, complaints))

        done = await asyncio.gather(*(ask(name) for name in others), return_exceptions=True)
        for name, result in zip(others, done, strict=True):
            if isinstance(result, Unavailable | WrongAnswer):
                if self._is_ours(self._known[name]):  # as far as anybody knows
                    self._learn(name, ours_at=self._now)
                complaints.append(Complaint(about=f"gateways of {name}", wrong=str(result)))
            elif isinstance(result, BaseException):
                raise result

    def _take_instances(self, name: str, instances: tuple[Instance, ...]) -> None:
        if not instances:
            return
        url = endpoint(instances)
        self._learn(name, ours_at=self._now, **({"url": url} if url else {}))

    def _is_ours(self, known: _Known) -> bool:
        return self._now - known.ours_at < FORGET_S

    def _learn(self, name: str, **news: Any) -> None:
        self._known[name] = replace(self._known.get(name, _Known()), **news)

    def _forget(self) -> None:
        self._known = {name: known for name, known in self._known.items() if self._now - known.heard_at < FORGET_S}

    def _draw(self) -> None:
        """The neighbours anew, out of what is known and what the file says."""
        before = [each.region for each in self._neighbours]
        names = self._file.keys() | {name for name, known in self._known.items() if self._is_ours(known)}
        self._neighbours = by_distance(map(self._neighbour, names))
        now = [each.region for each in self._neighbours]
        if set(now) != set(before):
            logs.event(log, "regions_changed", regions=",".join(now), before=",".join(before))

    def _neighbour(self, name: str) -> Neighbour:
        known, given = self._known.get(name, _Known()), self._file.get(name, Neighbour(region=name))
        return Neighbour(
            region=name, rtt_ms=given.rtt_ms if known.rtt_ms is None else known.rtt_ms, url=known.url or given.url
        )

    # -- what is told -------------------------------------------------------------------------------------------

    def _tell_away(self, fault: str) -> None:
        if not self._away:
            self._away = True
            regions = ",".join(each.region for each in self._neighbours)
            logs.event(log, "consul_away", level=logging.WARNING, fault=fault, regions_as_last_heard=regions)

    def _tell_back(self) -> None:
        if self._away:
            self._away = False
            logs.event(log, "consul_back")

    def _complain(self, complaints: list[Complaint]) -> None:
        told = self._complaints
        self._complaints = {each.about: each.wrong for each in complaints[:MOST_COMPLAINTS]}
        for about, wrong in self._complaints.items():
            if about not in told:
                logs.event(log, "consul_answer_ignored", level=logging.WARNING, about=about, wrong=wrong)
