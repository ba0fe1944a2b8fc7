"""In which region's queue a job is put, and why. Pure: how the regions stand comes in as an argument.

================  ==========================================================================================
asked for         the queue
================  ==========================================================================================
``auto``          home, when it takes jobs and somebody there runs the language; else the nearest region of
                  which both are true; when nobody anywhere runs the language, the nearest that takes jobs
``home``          home, when it takes jobs: there the job waits for a runner
a region's name   that region, when it takes jobs and runs the language (or nobody anywhere does)
================  ==========================================================================================

Otherwise nothing is accepted, and the refusal names each region that was thought of and what is wrong there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from jobs.errors import Unavailable

AUTO, HOME = "auto", "home"
RETRY_AFTER_S = 2


class Why(StrEnum):
    #: it is the caller's own region
    HOME = "home"
    #: the caller named it
    ASKED_FOR = "asked_for"
    #: home takes jobs, but has no living runner for the language
    HOME_HAS_NO_RUNNER = "home_has_no_runner"
    #: home's queues do not answer
    HOME_AWAY = "home_away"
    #: an earlier submission with the same idempotency key was placed there
    SAME_KEY = "same_key"
    #: an idle runner of another region took it from the queue
    OVERFLOW = "overflow"


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """A region, as far as placing a job of one language goes."""

    region: str
    takes: bool  #: its queues answer
    runs: bool  #: a living runner of it offers the language
    trouble: str = ""  #: why it does not take jobs


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    region: str
    why: Why


def place(asked: str, views: Sequence[View]) -> Placed:
    """Home comes first in *views*, then the others, nearest first. Raises ``Unavailable``."""
    home = views[0]
    if asked == AUTO:
        return _nearest(home, views)
    if asked == HOME:
        return _only(home, Why.HOME, needs_runner=False)
    named = next((view for view in views if view.region == asked), None)
    if named is None:
        raise Unavailable(f"{asked} is no region of this network any more", retry_after_s=RETRY_AFTER_S)
    why = Why.HOME if named is home else Why.ASKED_FOR
    return _only(named, why, needs_runner=any(view.runs for view in views))


def _nearest(home: View, views: Sequence[View]) -> Placed:
    taking = [view for view in views if view.takes]
    if not taking:
        raise Unavailable("no region takes jobs now: " + "; ".join(map(_trouble, views)), retry_after_s=RETRY_AFTER_S)
    chosen = next((view for view in taking if view.runs), taking[0])
    if chosen is home:
        return Placed(region=home.region, why=Why.HOME)
    return Placed(region=chosen.region, why=Why.HOME_HAS_NO_RUNNER if home.takes else Why.HOME_AWAY)


def _only(view: View, why: Why, *, needs_runner: bool) -> Placed:
    if not view.takes or (needs_runner and not view.runs):
        raise Unavailable(f"{_trouble(view)}; ask for auto to run elsewhere", retry_after_s=RETRY_AFTER_S)
    return Placed(region=view.region, why=why)


def _trouble(view: View) -> str:
    return f"{view.region}: {view.trouble or 'no living runner there offers the language'}"


def told(queue: str, why: str, ran_in: str | None) -> dict[str, str | None]:
    """What an answer says of it: the queue's region, why that one, and where it ran (null until it does)."""
    overflown = ran_in is not None and ran_in != queue
    return {"region": queue, "reason": Why.OVERFLOW.value if overflown else why, "ran_in": ran_in}
