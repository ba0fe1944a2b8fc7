"""The regions as this gateway sees them: its own and its neighbours. What it needs to place jobs, and to tell of them.

Theory of operation. Every second or two each region is looked at, all of them at once, each with a deadline: its
results are asked for something that is not there (when nobody is left to answer, that is known at once), and its queues
for what they hold (only a stream with a leader answers). Runners are heard all the time, by their beats. On the serving
path nothing is asked: what was last seen decides, and a submission that fails says so here (``missed``).

Rules
1. A region takes jobs when its last look succeeded. One look that runs into its deadline may be bad luck, two are not;
   where nobody listens, one is enough.
2. A queue that answers looks and confirms no jobs (it has lost its majority) is shut for ``SHUT_S``, each time twice as
   long. When the time is over one submission tries it, and the others stay away until that one is through.
3. A gateway without neighbours does not choose: it tries its queue each time, and that says what there is to say.
4. When no region answers at all, the connection is at fault, not every region: it is made anew, elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace

from gateway.backlog import Backlog
from gateway.intake import Known
from gateway.placement import AUTO, Placed, View, Why, place
from gateway.roster import Roster
from jobs.errors import Unavailable
from jobs.languages import Language
from jobs.region import Neighbour, Region
from jobs.service.atlas import Atlas, by_distance
from jobs.service.bus import Bus, Cut, Message, NotTaken
from jobs.service.logs import event
from jobs.streams import results_stream, results_subject, runner_subject

log = logging.getLogger("horizon")

LOOK_EVERY_S = (2.0, 1.0)  #: alone, and with neighbours to go to
LOOK_S = 1.5  #: for one region: a far one answers twice within it
MISSES = 2
SHUT_S = (2.0, 30.0)  #: at first, and at most
TRIAL_S = 2.5  #: a submission that tries a shut queue is through by then
UNCONFIRMED = "its queue does not confirm jobs"
_SMOOTHING = 0.2


@dataclass(slots=True)
class Sight:
    """One region, as last seen."""

    name: str
    roster: Roster
    backlog: Backlog
    neighbour: Neighbour | None = None  #: None: home
    answers: bool = False
    trouble: str = "it was not looked at yet"
    misses: int = 0
    shut_s: float = 0.0  #: how long its queue was shut last; 0: it confirms jobs
    shut_until_s: float = 0.0
    tried: bool = False  #: one submission is trying it
    measured_ms: float | None = None
    deafen: Callable[[], Awaitable[None]] | None = None  #: ends what is heard of its runners; None: nothing is yet

    def why_not(self, now_s: float) -> str:
        """Why it takes no jobs; empty where it does."""
        if not self.answers:
            return self.trouble
        return UNCONFIRMED if now_s < self.shut_until_s else ""

    @property
    def rtt_ms(self) -> float | None:
        """As measured; before that, as the atlas says."""
        if self.measured_ms is None and self.neighbour is not None:
            return self.neighbour.rtt_ms
        return self.measured_ms

    def measure(self, ms: float) -> None:
        before = self.measured_ms
        self.measured_ms = ms if before is None or ms < before else before + _SMOOTHING * (ms - before)


class Horizon:
    """Home and its neighbours. *now_s* is a monotonic clock."""

    def __init__(self, *, bus: Bus, region: Region, atlas: Atlas, now_s: Callable[[], float]) -> None:
        self._bus = bus
        self._region = region
        self._atlas = atlas
        self._now_s = now_s
        self.home = self._sight(region.name)
        self.home.answers, self.home.trouble = True, ""
        self._at_home = Placed(region=region.name, why=Why.HOME)
        self._sights: dict[str, Sight] = {region.name: self.home}
        self._order: tuple[Sight, ...] = (self.home,)
        self._known: tuple[tuple[Known, ...], Known] | None = None
        self._gone: list[Sight] = []
        self._look_soon = asyncio.Event()
        self._arrange()

    def _sight(self, name: str, neighbour: Neighbour | None = None) -> Sight:
        roster = Roster(region=name, now_s=self._now_s)
        backlog = Backlog(bus=self._bus, name=name, home=self._region, roster=roster, now_s=self._now_s)
        return Sight(name=name, roster=roster, backlog=backlog, neighbour=neighbour)

    def _arrange(self) -> None:
        """The atlas may have learnt of regions, and distances may have been measured."""
        neighbours = self._atlas.neighbours
        for neighbour in neighbours:
            if neighbour.region not in self._sights:
                self._sights[neighbour.region] = self._sight(neighbour.region, neighbour)
            self._sights[neighbour.region].neighbour = neighbour
        for name in self._sights.keys() - {self.home.name, *(neighbour.region for neighbour in neighbours)}:
            self._gone.append(self._sights.pop(name))
        ranked = by_distance(
            neighbour
            if neighbour.rtt_ms is not None
            else replace(neighbour, rtt_ms=self._sights[neighbour.region].rtt_ms)
            for neighbour in neighbours
        )
        self._order = (self.home, *(self._sights[neighbour.region] for neighbour in ranked))

    # -- what is seen -------------------------------------------------------------------------------------------

    @property
    def regions(self) -> tuple[Sight, ...]:
        """Home, then the others, nearest first."""
        return self._order

    @property
    def others(self) -> tuple[Sight, ...]:
        return self._order[1:]

    def sight(self, name: str) -> Sight:
        """Of a region; home's for one that is not known (any more)."""
        return self._sights.get(name, self.home)

    def why_unhealthy(self, sight: Sight) -> str | None:
        """None where jobs are taken and somebody is there to run them."""
        if not self._bus.connected:
            return "NATS is away"
        why_not = sight.why_not(self._now_s())
        return why_not or (None if sight.roster.can_run() else "no living runner offers a language")

    @property
    def known(self) -> Known:
        """What submissions are held against: home's offers, and beside them those of the regions that may be named."""
        parts = tuple(sight.roster.known for sight in self._order)
        before = self._known
        if (
            before is None
            or len(before[0]) != len(parts)
            or any(a is not b for a, b in zip(parts, before[0], strict=True))
        ):
            self._known = before = (parts, self._joined(parts))
        return before[1]

    def _joined(self, parts: tuple[Known, ...]) -> Known:
        if len(parts) == 1:
            return parts[0]
        names = tuple(sight.name for sight in self._order)
        own = tuple(replace(known, regions=names) for known in parts)
        elsewhere = {language: offers for known in reversed(parts[1:]) for language, offers in known.offers.items()}
        return replace(own[0], elsewhere=elsewhere, named=dict(zip(names, own, strict=True)))

    # -- where to -----------------------------------------------------------------------------------------------

    def place(self, asked: str, language: Language, *, without: Iterable[str] = ()) -> Placed:
        """The queue for a job; regions *without* which it must be have been tried. Raises ``Unavailable``."""
        home = self.home
        if not without:
            is_usual = asked == AUTO and home.answers and not home.shut_s and home.roster.may_run(language)
            if is_usual or len(self._order) == 1:
                return self._at_home
        placed = place(asked, [self._view(sight, language, without) for sight in self._order])
        chosen = self._sights[placed.region]
        if chosen.shut_s:
            chosen.shut_until_s, chosen.tried = self._now_s() + TRIAL_S, True
        return placed

    def _view(self, sight: Sight, language: Language, without: Iterable[str]) -> View:
        trouble = sight.why_not(self._now_s()) or (UNCONFIRMED if sight.name in without else "")
        runs = sight.roster.may_run(language) if sight is self.home else sight.roster.runs(language)
        return View(region=sight.name, takes=not trouble, runs=runs, trouble=trouble)

    def place_record(self, *, without: Iterable[str] = ()) -> Placed:
        """Where to keep what belongs to no one job: as for ``auto``, whoever runs what. Raises ``Unavailable``."""
        if len(self._order) == 1 and not without:
            return self._at_home
        views = [replace(self._view(sight, Language.PYTHON, without), runs=True) for sight in self._order]
        return place(AUTO, views)

    def took(self, region: str) -> None:
        """A job was confirmed there."""
        sight = self.sight(region)
        if sight.shut_s:
            sight.shut_s, sight.shut_until_s, sight.tried = 0.0, 0.0, False

    def missed(self, region: str, fault: Unavailable) -> None:
        """A job was not confirmed there."""
        sight = self.sight(region)
        if isinstance(fault, NotTaken):
            if self._bus.connected:
                self._fail(sight, "nobody takes its jobs")
            return
        now_s = self._now_s()
        if len(self._order) == 1 or isinstance(fault, Cut):
            return  # there is nowhere else to go; or it says nothing of the queue
        if now_s < sight.shut_until_s and not sight.tried:
            return  # it is shut already: this one was sent before
        least, most = SHUT_S
        sight.shut_s, sight.tried = min(max(2 * sight.shut_s, least), most), False
        sight.shut_until_s = now_s + sight.shut_s
        event(log, "queue_shut", level=logging.WARNING, region=sight.name, seconds=sight.shut_s, why=str(fault))

    # -- upkeep -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Hear runners, and have looked once."""
        self._bus.on_reconnect(self._on_reconnect)
        self._bus.home_is_well = lambda: self.home.answers
        await self.look()

    async def _listen(self) -> None:
        """Hear the runners of regions that are new, and no more those of regions that are gone."""
        for sight in self._sights.values():
            if sight.deafen is None:
                sight.deafen = await self._bus.subscribe(runner_subject(sight.name, "*"), self._on_beat)
        while self._gone:
            sight = self._gone.pop()
            if sight.deafen is not None:
                await sight.deafen()

    def _on_beat(self, message: Message) -> None:
        sight = self._sights.get(message.subject.split(".", 2)[1])
        if sight is not None:
            sight.roster.on_data(message.data)

    def _on_reconnect(self) -> None:
        """What was seen before may be long past; at a neighbour's server, home is what went away."""
        for sight in self._order:
            sight.roster.listen_anew()
        if not self._bus.at_home:
            self._fail(self.home, "its NATS servers are away")
        self._look_soon.set()

    async def keep_up(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S[len(self._order) > 1]):
                    await self._look_soon.wait()
            self._look_soon.clear()
            await self.look()

    async def look(self) -> None:
        """One look at every region."""
        self._arrange()
        if not self._bus.connected:
            return
        await self._listen()
        seen = await asyncio.gather(*(self._look_at(sight) for sight in self._order))
        if len(seen) > 1 and not any(seen):
            await self._bus.start_over()
        self._arrange()

    async def _look_at(self, sight: Sight) -> bool:
        """Whether anything was answered at all."""
        before = self._now_s()
        heard = False
        try:
            async with asyncio.timeout(LOOK_S):
                await self._bus.last(results_stream(sight.name), results_subject(sight.name, "none"), timeout_s=LOOK_S)
                heard = True
                sight.measure((self._now_s() - before) * 1000)
                await sight.backlog.refresh(fresh_s=0.0)
        except (Unavailable, TimeoutError) as fault:
            if not self._bus.connected:
                return False
            if isinstance(fault, NotTaken):
                self._fail(sight, "its streams are not there, or its NATS servers are away")
                return True
            sight.misses += 1
            if sight.misses >= MISSES or not sight.answers:
                self._fail(sight, "its JetStream does not answer")
        else:
            self._find_well(sight)
        return heard

    def _fail(self, sight: Sight, trouble: str) -> None:
        if sight.answers:
            event(log, "region_away", level=logging.WARNING, region=sight.name, why=trouble)
        sight.answers, sight.trouble = False, trouble

    def _find_well(self, sight: Sight) -> None:
        if not sight.answers:
            event(log, "region_answers", region=sight.name)
        sight.answers, sight.trouble, sight.misses = True, "", 0
