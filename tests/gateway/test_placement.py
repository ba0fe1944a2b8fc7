"""In which queue a job is put: the whole table."""

from __future__ import annotations

import pytest

from gateway.placement import Placed, View, Why, place, told
from jobs.errors import Unavailable


def views(*states: str) -> list[View]:
    """One word a region, home first: ``well``, ``idle`` (takes jobs, has no runner), ``away``, ``cut`` (both not)."""
    return [
        View(
            region=name,
            takes=state in ("well", "idle"),
            runs=state in ("well", "away"),
            trouble="" if state in ("well", "idle") else "it does not answer",
        )
        for name, state in zip(("home-1", "near", "far"), states, strict=False)
    ]


# fmt: off
PLACED = [
    ("auto",   ("well", "well", "well"), "home-1", Why.HOME),
    ("auto",   ("well", "away", "away"), "home-1", Why.HOME),
    ("auto",   ("idle", "well", "well"), "near",   Why.HOME_HAS_NO_RUNNER),
    ("auto",   ("idle", "away", "well"), "far",    Why.HOME_HAS_NO_RUNNER),
    ("auto",   ("idle", "idle", "well"), "far",    Why.HOME_HAS_NO_RUNNER),
    ("auto",   ("idle", "idle", "idle"), "home-1", Why.HOME),
    ("auto",   ("idle", "away", "away"), "home-1", Why.HOME),
    ("auto",   ("away", "well", "well"), "near",   Why.HOME_AWAY),
    ("auto",   ("away", "idle", "well"), "far",    Why.HOME_AWAY),
    ("auto",   ("cut",  "idle", "idle"), "near",   Why.HOME_AWAY),
    ("auto",   ("away", "cut",  "idle"), "far",    Why.HOME_AWAY),
    ("home",   ("well", "well", "well"), "home-1", Why.HOME),
    ("home",   ("idle", "well", "well"), "home-1", Why.HOME),
    ("home-1", ("well", "well", "well"), "home-1", Why.HOME),
    ("near",   ("well", "well", "well"), "near",   Why.ASKED_FOR),
    ("far",    ("away", "away", "well"), "far",    Why.ASKED_FOR),
    ("near",   ("idle", "idle", "idle"), "near",   Why.ASKED_FOR),
    ("auto",   ("well",),                "home-1", Why.HOME),
    ("auto",   ("idle",),                "home-1", Why.HOME),
]
# fmt: on


@pytest.mark.parametrize(("asked", "states", "region", "why"), PLACED)
def test_where_a_job_goes_and_why(asked: str, states: tuple[str, ...], region: str, why: Why) -> None:
    """Home first, then the nearest that takes jobs and runs the language; a named region is that one."""
    assert place(asked, views(*states)) == Placed(region=region, why=why)


# fmt: off
REFUSED = [
    ("auto",   ("away", "cut",  "away"), ("home-1", "near", "far")),
    ("auto",   ("cut",),                 ("home-1",)),
    ("home",   ("away", "well", "well"), ("home-1",)),
    ("near",   ("well", "cut",  "well"), ("near",)),
    ("near",   ("well", "idle", "well"), ("near",)),
    ("home-1", ("idle", "well", "well"), ("home-1",)),
]
# fmt: on


@pytest.mark.parametrize(("asked", "states", "named"), REFUSED)
def test_what_nobody_can_take_is_refused_by_name(asked: str, states: tuple[str, ...], named: tuple[str, ...]) -> None:
    """The refusal names each region that was thought of, and no other."""
    with pytest.raises(Unavailable) as refusal:
        place(asked, views(*states))
    assert [name for name in ("home-1", "near", "far") if name in str(refusal.value)] == list(named)
    assert refusal.value.retry_after_s > 0


def test_an_answer_says_where_it_lay_why_and_where_it_ran() -> None:
    """Overflow is told by where it ran, whatever the reason was to queue it there."""
    assert told("a", "home", None) == {"region": "a", "reason": "home", "ran_in": None}
    assert told("a", "asked_for", "a") == {"region": "a", "reason": "asked_for", "ran_in": "a"}
    assert told("a", "home", "b") == {"region": "a", "reason": "overflow", "ran_in": "b"}
