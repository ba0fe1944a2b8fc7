"""Who is there to run things: the runners of one region, as their beats tell, and what they offer together."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.intake import Known
from jobs import wire
from jobs.errors import WireFault
from jobs.events import BEAT_S, Beat, Offer
from jobs.languages import NAMING, Language, version_key

DEAD_AFTER_S = 3 * BEAT_S + 0.5  #: three beats were missed
HEARD_AFTER_S = 1.5 * BEAT_S + 0.5  #: whoever lives has been heard
FRESH_S = 0.25  #: how long the answer to who runs what is good for, if no runner comes or goes
SETTLED_AFTER_S = 15.0  #: nothing new was offered for so long: what is missing is missing


@dataclass(slots=True)
class _Runner:
    beat: Beat
    heard_at_s: float


class Roster:
    """The living runners. *now_s* is a monotonic clock."""

    def __init__(self, *, region: str, now_s: Callable[[], float]) -> None:
        self._region = region
        self._now_s = now_s
        self._runners: dict[str, _Runner] = {}
        self._ever: dict[Language, dict[str, Offer]] = {}  #: whatever was offered since we are here
        self._grown_at_s = now_s()
        self._known: Known | None = None
        self._listens_since_s = now_s()
        self._running: frozenset[str] = frozenset()
        self._running_until_s = 0.0

    def on_data(self, data: bytes) -> None:
        try:
            self.hear(wire.unpack_as(Beat, data))
        except WireFault:
            return  # a newer runner's: it will not be counted on

    def listen_anew(self) -> None:
        """Beats were missed, by our own fault: silence so far says nothing of the runners."""
        self._listens_since_s = self._now_s()

    def hear(self, beat: Beat) -> None:
        before = self._runners.get(beat.runner)
        if beat.leaving:
            self._runners.pop(beat.runner, None)
            self._running_until_s = 0.0
            self._listens_since_s = -math.inf  # it has said so itself: there is no need to wait for its silence
            return
        self._runners[beat.runner] = _Runner(beat, self._now_s())
        if before is None or before.beat.offers != beat.offers:
            self._learn(beat)
        if before is None or before.beat.offers != beat.offers or before.beat.draining != beat.draining:
            self._running_until_s = 0.0

    def _learn(self, beat: Beat) -> None:
        self._known = None
        for offer in beat.offers:
            language = next((known for known in Language if known == offer.language), None)
            if language is None:
                continue
            if language not in self._ever:
                self._ever[language] = {}
                self._grown_at_s = self._now_s()
            self._ever[language][offer.version] = _merged(self._ever[language].get(offer.version), offer)

    def living(self) -> list[Beat]:
        """The last beat of each runner that is not dead; the dead are struck off."""
        edge = self._now_s() - DEAD_AFTER_S
        for name in [name for name, runner in self._runners.items() if runner.heard_at_s < edge]:
            del self._runners[name]
        return [runner.beat for runner in self._runners.values()]

    @property
    def known(self) -> Known:
        """What submissions are held against. An offer outlives its runner here: another will come."""
        settled = bool(self._ever) and self._now_s() - self._grown_at_s > SETTLED_AFTER_S
        if self._known is None or self._known.settled != settled:
            offers = {language: _newest_first(by_version.values()) for language, by_version in self._ever.items()}
            self._known = Known(offers=offers, settled=settled, regions=(self._region,))
        return self._known

    def runs(self, language: Language) -> bool:
        """Whether a living runner, which is not about to leave, offers it."""
        now_s = self._now_s()
        if now_s >= self._running_until_s:
            staying = (beat for beat in self.living() if not beat.draining)
            self._running = frozenset(offer.language for beat in staying for offer in beat.offers)
            self._running_until_s = now_s + FRESH_S
        return language.value in self._running

    def may_run(self, language: Language) -> bool:
        """As ``runs``; and who has not been listened to for long enough may be there too."""
        return self._now_s() - self._listens_since_s <= HEARD_AFTER_S or self.runs(language)

    def can_run(self) -> bool:
        return any(beat.offers and not beat.draining for beat in self.living())

    def capacity(self) -> tuple[int, int, float]:
        """Slots, how many of them are busy, and the mean milliseconds that a job holds one."""
        beats = [beat for beat in self.living() if not beat.draining]
        slots = sum(beat.slots for beat in beats)
        means = [beat.mean_run_ms for beat in beats if beat.mean_run_ms > 0]
        return slots, sum(beat.running for beat in beats), sum(means) / len(means) if means else 50.0

    def warm(self) -> dict[str, int]:
        """Sandboxes that wait, by language."""
        counts = dict.fromkeys((language.value for language in self._ever), 0)
        for beat in self.living():
            for offer in beat.offers:
                counts[offer.language] = counts.get(offer.language, 0) + offer.warm
        return counts

    def languages(self) -> list[dict[str, Any]]:
        """One row a version that a living runner offers; languages in their usual order, newest version first."""
        merged: dict[Language, dict[str, Offer]] = {}
        engines: dict[tuple[str, str], set[str]] = {}
        for beat in self.living():
            for offer in beat.offers:
                if offer.language in NAMING:
                    versions = merged.setdefault(Language(offer.language), {})
                    versions[offer.version] = _merged(versions.get(offer.version), offer)
                    engines.setdefault((offer.language, offer.version), set()).add(offer.engine)
        return [
            {
                "language": language.value,
                "version": offer.version,
                "aliases": list(NAMING[language].aliases),
                "variants": list(offer.variants),
                "compiled": NAMING[language].compiled,
                "compile_flags": list(offer.compile_flags),
                "extensions": list(NAMING[language].extensions),
                "engines": sorted(filter(None, engines[language, offer.version])),
            }
            for language in Language
            for offer in _newest_first(merged.get(language, {}).values())
        ]


def _newest_first(offers: Any) -> tuple[Offer, ...]:
    return tuple(sorted(offers, key=lambda offer: version_key(offer.version), reverse=True))


def _merged(one: Offer | None, other: Offer) -> Offer:
    """The same version on two runners: what either has."""
    if one is None or (one.variants == other.variants and one.allowed_flags == other.allowed_flags):
        return other
    return Offer(
        language=other.language,
        version=other.version,
        variants=tuple(dict.fromkeys((*one.variants, *other.variants))),
        compile_flags=other.compile_flags,
        allowed_flags=tuple(dict.fromkeys((*one.allowed_flags, *other.allowed_flags))),
        warm=other.warm,
    )
