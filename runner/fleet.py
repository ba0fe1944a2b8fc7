"""Which languages this runner serves, live: those of its fleet's consumers, and those of the jobs that it is handed.

Theory of operation. What a fleet serves is what its consumers deliver; a region file only says what they are made from
(``yurt.bootstrap.fleets``). So every few seconds the consumer of one class is asked for its filters, the classes in
turn: ``LOOK_S`` times three until a change is seen, and at most some requests a second from all runners of a region.
Nothing waits for that: a job whose language is not on the shelves yet brings it there, and is kept alive meanwhile.

A language that left the fleet is kept for ``LINGER_S``: its jobs that were in flight come back to this fleet if their
runner dies. Later ones of those bring it back to the shelves for as long again.

Rules
1. One language is stocked at a time, its newest version first. A job waits at most ``WAIT_S`` for it.
2. What does not work on this machine is tried again after ``RETRY_S``, and jobs do not wait for it before.
3. A language goes when none of its jobs is here.
4. A NATS that is away, or a consumer that is not there, changes nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress

from jobs.errors import Unavailable
from jobs.languages import Language
from jobs.service import life
from jobs.service.bus import ApiError, Bus
from jobs.service.logs import event
from jobs.states import Class
from jobs.streams import jobs_stream
from jobs.submission import Submission
from runner.languages.contract import Support
from runner.shelves import Shelves

log = logging.getLogger("fleet")

LOOK_S = 3.0
LINGER_S = 60.0
WAIT_S = 120.0
RETRY_S = 60.0
_ANSWER_S = 2.0


class FleetLanguages:
    """The languages of one runner. *clock* only goes forward; *supports* says how a language is supported here.

    *in_hand*: the languages of the jobs that run here now.
    """

    def __init__(
        self,
        bus: Bus,
        shelves: Shelves,
        *,
        region: str,
        name: str,
        supports: Callable[[Language], Support | None],
        in_hand: Callable[[], Collection[Language]],
        clock: Callable[[], float],
        look_s: float = LOOK_S,
        linger_s: float = LINGER_S,
    ) -> None:
        self._bus, self._shelves, self._region, self._name = bus, shelves, region, name
        self._supports, self._in_hand, self._clock = supports, in_hand, clock
        self._look_s, self._linger_s = look_s, linger_s
        self._filters: dict[Class, frozenset[Language]] = {}
        self._wanted_at: dict[Language, float] = {}  #: when it was last ours, or brought back by a job
        self._tried_at: dict[Language, float] = {}
        self._stocking: dict[Language, asyncio.Task[None]] = {}
        self._waiting: Counter[Language] = Counter()
        self._one_at_a_time = asyncio.Lock()

    async def look_once(self, otherwise: Iterable[Language]) -> tuple[Language, ...]:
        """The languages to begin with: those of all classes' consumers, or *otherwise* where they cannot be asked."""
        for job_class in Class:
            await self._look_at(job_class)
        languages = self.languages if self._filters else frozenset(otherwise)
        now = self._clock()
        self._wanted_at.update(dict.fromkeys(languages, now))
        self._tried_at.update(dict.fromkeys(languages, now))
        return tuple(language for language in Language if language in languages)

    @property
    def languages(self) -> frozenset[Language]:
        """What the fleet's consumers deliver, as last seen."""
        return frozenset().union(*self._filters.values())

    async def run(self) -> None:
        """Keep up with the fleet until cancelled."""
        for job_class in itertools.cycle(Class):
            await asyncio.sleep(self._look_s)
            await self._look_at(job_class)
            now = self._clock()
            for language in self.languages:
                self._wanted_at[language] = now
                self._begin(language)
            for language in [each for each, at in self._wanted_at.items() if now - at > self._linger_s]:
                await self._let_go(language)

    async def stocked(self, submission: Submission) -> None:
        """What *submission* needs is on the shelves when this returns, or is not to be had here."""
        language, deadline = submission.language, self._clock() + WAIT_S
        self._wanted_at[language] = self._clock()
        self._waiting[language] += 1
        try:
            self._begin(language)
            while (left_s := deadline - self._clock()) > 0 and language in self._stocking:
                if self._shelves.find(language, submission.version, submission.variant) is not None:
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(left_s):
                        await life.first(self._shelves.news.wait(), asyncio.shield(self._stocking[language]))
        finally:
            self._waiting[language] -= 1

    def expect(self, languages: Iterable[Language], stocking: asyncio.Task[None]) -> None:
        """More versions of *languages* are on their way."""
        for language in languages:
            self._stocking[language] = stocking
            stocking.add_done_callback(lambda _, language=language: self._stocking.pop(language, None))  # type: ignore[misc]

    async def close(self) -> None:
        tasks = list(self._stocking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- inside -------------------------------------------------------------------------------------------------

    async def _look_at(self, job_class: Class) -> None:
        verb = f"CONSUMER.INFO.{jobs_stream(self._region, job_class)}.{self._name}"
        try:
            config = (await self._bus.api(verb, timeout_s=_ANSWER_S))["config"]
        except (Unavailable, ApiError) as fault:
            log.debug("action=fleet_unknown class=%s why=%s", job_class, fault)
            return
        subjects = config.get("filter_subjects") or [config.get("filter_subject", "")]
        words = {subject.rpartition(".")[2] for subject in subjects}
        before = self.languages
        self._filters[job_class] = frozenset(language for language in Language if language in words)
        if before and self.languages != before:
            event(log, "fleet_changed", fleet=self._name, languages=",".join(sorted(self.languages)))

    def _begin(self, language: Language) -> None:
        """Stock it, unless it is there, or on its way, or was tried just now."""
        tried = self._tried_at.get(language)
        if language in self._stocking or (tried is not None and self._shelves.has(language)):
            return
        if tried is not None and self._clock() - tried < RETRY_S:
            return
        support = self._supports(language)
        if support is not None:
            self._tried_at[language] = self._clock()
            self._stocking[language] = asyncio.create_task(self._stock(support), name=f"stock {language}")

    async def _stock(self, support: Support) -> None:
        try:
            async with self._one_at_a_time:
                await self._shelves.stock_older(await self._shelves.stock([support]))
        except Exception:
            log.exception("action=not_stocked language=%s", support.language)
        finally:
            self._stocking.pop(support.language, None)

    async def _let_go(self, language: Language) -> None:
        if language in self._stocking or self._waiting[language] or language in self._in_hand():
            return
        del self._wanted_at[language]
        self._tried_at.pop(language, None)
        if self._shelves.has(language):
            event(log, "let_go", language=language)
            await self._shelves.drop(language)
