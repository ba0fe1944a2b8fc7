"""Floors by the clock: the original design's tables, clock changes, events, and shares of fleets."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler import scaling
from autoscaler.policy import Bounds
from autoscaler.schedule import Event, Schedule, Step, begins
from jobs import region as regions

BERLIN = ZoneInfo("Europe/Berlin")
REGION = regions.embedded("us-east")
ONE = {"all": Bounds()}


def highest(schedule: Schedule, moment: datetime, fleet: str = "all", fleets: dict[str, Bounds] = ONE) -> int:
    return max((floor.minimum for floor in schedule.floors(moment.timestamp(), fleet, fleets)), default=0)


@pytest.mark.parametrize(
    ("moment", "minimum"),
    [
        ("2026-11-23T07:59", 10),  # Monday: the weekend's last step
        ("2026-11-23T08:00", 30),
        ("2026-11-24T10:00", 50),
        ("2026-11-25T13:59", 50),
        ("2026-11-25T14:00", 60),
        ("2026-11-26T18:30", 40),
        ("2026-11-27T23:00", 15),
        ("2026-11-28T09:59", 15),  # Saturday: Friday's last step
        ("2026-11-28T10:00", 20),
        ("2026-11-28T22:00", 10),
        ("2026-11-29T09:00", 10),
        ("2026-11-29T10:00", 20),
    ],
)
def test_the_defaults_are_the_original_designs_tables(moment: str, minimum: int) -> None:
    """Section 4.3, weekday and weekend, and what stands between them."""
    schedule = scaling.default(REGION).schedule
    assert highest(schedule, datetime.fromisoformat(moment).replace(tzinfo=UTC)) == minimum


def test_the_default_event_waits_for_its_start() -> None:
    """course_launch: 100 for four hours, once somebody says when."""
    (event,) = scaling.default(REGION).schedule.events
    assert (event.name, event.minimum, event.duration_s, event.starts) == ("course_launch", 100, 14400, ())


def test_times_are_the_zones_wall_clock() -> None:
    """08:00 in Berlin is 07:00 UTC in winter and 06:00 in summer."""
    schedule = Schedule(zone=BERLIN, weekday=(Step(at=time(8), minimum=30), Step(at=time(22), minimum=5)))
    assert highest(schedule, datetime(2026, 11, 25, 6, 59, tzinfo=UTC)) == 5
    assert highest(schedule, datetime(2026, 11, 25, 7, 0, tzinfo=UTC)) == 30
    assert highest(schedule, datetime(2026, 7, 15, 6, 0, tzinfo=UTC)) == 30


def test_a_time_that_is_left_out_begins_at_the_jump() -> None:
    """29 March 2026: after 01:59 comes 03:00, which is 01:00 UTC."""
    assert begins(date(2026, 3, 29), time(2, 30), BERLIN) == datetime(2026, 3, 29, 1, tzinfo=UTC).timestamp()


def test_a_time_that_comes_twice_begins_the_first_time() -> None:
    """25 October 2026: 02:30 is 00:30 UTC and 01:30 UTC; between them the step stands."""
    schedule = Schedule(zone=BERLIN, weekend=(Step(at=time(0), minimum=1), Step(at=time(2, 30), minimum=9)))
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert highest(schedule, first - timedelta(seconds=1)) == 1
    assert {highest(schedule, first + timedelta(minutes=minutes)) for minutes in range(0, 180, 5)} == {9}


zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])
times = st.times().map(lambda at: at.replace(second=0, microsecond=0, fold=0))


@settings(max_examples=60, deadline=None)
@given(zone=zones.map(ZoneInfo), at=times, day=st.dates(date(2025, 1, 1), date(2027, 12, 31)))
def test_a_step_begins_when_the_clock_first_shows_its_time(zone: ZoneInfo, at: time, day: date) -> None:
    """By looking at the clock every minute, on changes of the clocks and all other days."""
    moment = datetime.combine(day, time(0), zone).timestamp()
    while True:
        local = datetime.fromtimestamp(moment, zone)
        if local.date() > day or (local.date() == day and local.time() >= at):
            break
        moment += 60
    assert begins(day, at, zone) == moment


def test_an_event_holds_from_its_start_for_its_duration() -> None:
    """Both of its starts; its last second and not the one after."""
    start = datetime(2026, 12, 1, 9, tzinfo=UTC)
    event = Event(
        name="launch", starts=(start.timestamp(), start.timestamp() + 86400), duration_s=4 * 3600, minimum=100
    )
    schedule = Schedule(events=(event,))
    for day in (0, 1):
        begin = start + timedelta(days=day)
        assert highest(schedule, begin - timedelta(seconds=1)) == 0
        assert highest(schedule, begin) == 100
        assert highest(schedule, begin + timedelta(seconds=14399)) == 100
        assert highest(schedule, begin + timedelta(seconds=14400)) == 0


def test_the_regions_floor_is_shared_by_the_fleets_least() -> None:
    """60 over 20, 15, 10, 5, 5 and 3: together no less than 60; a fleet's own floor is its own."""
    bounds = {language.value: each for language, each in scaling.OF_LANGUAGE.items()}
    step, own = Step(at=time(0), minimum=60), Step(at=time(0), minimum=18, fleet="rust")
    schedule = Schedule(weekday=(step, own), weekend=(step, own))
    noon = datetime(2026, 11, 25, 12, tzinfo=UTC)
    shares = {fleet: highest(schedule, noon, fleet, bounds) for fleet in bounds}
    assert shares == {"python": 21, "javascript": 16, "java": 11, "go": 6, "cpp": 6, "rust": 18}
