"""What a gateway believes of the regions, between two looks at them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.horizon import SHUT_S, TRIAL_S, Horizon
from gateway.intake import submission
from gateway.placement import Why
from gateway.roster import HEARD_AFTER_S
from jobs.errors import InvalidSubmission, Unavailable
from jobs.events import Beat, Offer
from jobs.languages import Language
from jobs.region import Neighbour, embedded
from jobs.service.atlas import StaticAtlas
from jobs.service.bus import Bus, NotTaken
from tests.gateway.scripted import OFFERS

BEAT = Beat(
    runner="a", region="here", pid=1, slots=4, running=1, draining=False, cpu_percent=1, memory_percent=1,
    offers=OFFERS, mean_run_ms=100.0,
)  # fmt: skip


class Clock:
    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def horizon(bus: Bus, clock: Clock) -> Horizon:
    """Home and two neighbours, all well, each with a runner for everything."""
    return well(bus, clock, Neighbour(region="near", rtt_ms=10), Neighbour(region="far", rtt_ms=90))


def well(bus: Bus, clock: Clock, *neighbours: Neighbour) -> Horizon:
    region = embedded("here", neighbours=neighbours)
    horizon = Horizon(bus=bus, region=region, atlas=StaticAtlas(region), now_s=clock)
    for sight in horizon.regions:
        sight.answers = True
        sight.roster.hear(replace(BEAT, region=sight.name))
    return horizon


def where(horizon: Horizon, asked: str = "auto", language: Language = Language.PYTHON) -> str:
    return horizon.place(asked, language).region


def test_a_queue_that_does_not_confirm_is_shut_and_then_tried_by_one(horizon: Horizon, clock: Clock) -> None:
    """Each time twice as long; the others stay away until the one is through; a confirmation opens it."""
    least, _ = SHUT_S
    for shut_s in (least, 2 * least):
        horizon.missed("here", Unavailable("no answer"))
        assert where(horizon) == "near"
        clock.s += shut_s - 0.1
        keep_alive(horizon)
        assert where(horizon) == "near"
        clock.s += 0.2
        assert where(horizon) == "here", "the trial"
        assert where(horizon) == "near", "the others"
    clock.s += TRIAL_S
    assert where(horizon) == "here", "the one that tried never told how it went"
    horizon.took("here")
    assert where(horizon) == where(horizon) == "here"


def test_where_nobody_listens_is_away_until_it_is_seen_again(horizon: Horizon) -> None:
    """It is certain, so there is nothing to try; and why is told by name."""
    horizon.missed("here", NotTaken("nobody listens"))
    assert horizon.place("auto", Language.PYTHON).why is Why.HOME_AWAY
    with pytest.raises(Unavailable, match="here"):
        where(horizon, "home")
    horizon.missed("near", NotTaken("nobody listens"))
    assert where(horizon) == "far"


def test_without_neighbours_there_is_nothing_to_choose(bus: Bus, clock: Clock) -> None:
    """The queue itself says what there is to say, each time."""
    horizon = well(bus, clock)
    horizon.missed("here", Unavailable("no answer"))
    horizon.missed("here", NotTaken("nobody listens"))
    assert where(horizon) == where(horizon, "home") == "here"


def test_runners_that_could_not_be_heard_yet_are_not_missed(bus: Bus, clock: Clock) -> None:
    """A gateway that has just started, or was cut off, waits for their beats before it takes home for empty."""
    region = embedded("here", neighbours=(Neighbour(region="near"),))
    horizon = Horizon(bus=bus, region=region, atlas=StaticAtlas(region), now_s=clock)
    near = horizon.regions[1]
    near.answers = True
    near.roster.hear(BEAT)
    assert where(horizon) == "here"
    clock.s += HEARD_AFTER_S + 0.1
    near.roster.hear(BEAT)
    assert where(horizon) == "near"
    horizon.home.roster.hear(BEAT)
    assert where(horizon) == "here"
    horizon.home.roster.hear(replace(BEAT, draining=True))
    assert where(horizon) == "near", "what drains takes no new jobs"


def test_unknown_distances_are_ranked_by_what_was_measured(bus: Bus, clock: Clock) -> None:
    horizon = well(bus, clock, Neighbour(region="b"), Neighbour(region="a"), Neighbour(region="c", rtt_ms=50))
    assert [sight.name for sight in horizon.regions] == ["here", "c", "a", "b"]
    for name, ms in (("a", 80.0), ("b", 20.0)):
        horizon.sight(name).measure(ms)
    horizon._arrange()
    assert [sight.name for sight in horizon.regions] == ["here", "b", "c", "a"]


def test_what_is_offered_is_home_s_then_anybody_s_or_the_named_region_s(bus: Bus, clock: Clock) -> None:
    """A version is held against the region that will run it; a language of a neighbour's is no fault for auto."""
    horizon = well(bus, clock, Neighbour(region="near", rtt_ms=10))
    horizon.sight("near").roster.hear(replace(BEAT, runner="b", offers=(Offer(language="python", version="3.13.1"),)))
    assert parsed(horizon, region="near", version="3.13").version == "3.13"
    assert parsed(horizon, version="3.12").version == "3.12"
    for region in ("auto", "home", "here"):
        with pytest.raises(InvalidSubmission, match="version"):
            parsed(horizon, region=region, version="3.13")


def test_a_language_of_a_neighbour_s_is_no_fault_for_auto(bus: Bus, clock: Clock) -> None:
    region = embedded("here", neighbours=(Neighbour(region="near"),))
    horizon = Horizon(bus=bus, region=region, atlas=StaticAtlas(region), now_s=clock)
    horizon.home.roster.hear(replace(BEAT, offers=OFFERS[:1]))
    horizon.regions[1].roster.hear(replace(BEAT, region="near"))
    clock.s += 60
    assert parsed(horizon, language="rust").language is Language.RUST
    assert parsed(horizon, language="rust", region="near").language is Language.RUST
    with pytest.raises(InvalidSubmission, match="no runner here offers rust"):
        parsed(horizon, language="rust", region="home")


def parsed(horizon: Horizon, **fields: Any) -> Any:
    return submission({"language": "python", "code": "", **fields}, horizon.known)


def keep_alive(horizon: Horizon) -> None:
    for sight in horizon.regions:
        sight.roster.hear(replace(BEAT, region=sight.name))
