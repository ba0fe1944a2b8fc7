"""The scaling file: what it leaves out is the original design's, and every fault is told at once."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pytest

from autoscaler import scaling
from autoscaler.policy import Bounds, Rules
from autoscaler.scaling import FleetScaling
from jobs import region as regions
from jobs.errors import ConfigFault
from jobs.languages import Language

SPLIT = regions.parse(
    'region = "us-east"\n'
    + "".join(
        f'[[fleets]]\nname = "{name}"\nlanguages = [{", ".join(repr(each) for each in languages)}]\n'
        for name, languages in {
            "python": ["python"],
            "rust": ["rust"],
            "rest": ["javascript", "java", "go", "cpp"],
        }.items()
    )
)

FILE = """
time_zone = "Europe/Berlin"
[rules]
queue_per_worker = 8
up_count = 4
[[weekday]]
time = "07:30"
minimum = 25
reason = "school"
fleet = "python"
[[events]]
name = "exam"
starts = [2026-12-01T09:00:00, 2026-12-02T09:00:00Z]
duration = "90m"
minimum = 80
[fleets.python]
minimum = 5
maximum = 300
job = "py"
burst_job = ""
"""


def test_an_empty_file_is_the_default() -> None:
    """Rules, tables and bounds of the original design; a fleet of one language has that language's."""
    parsed = scaling.parse("", SPLIT)
    assert parsed == scaling.default(SPLIT)
    assert parsed.rules == Rules()
    assert parsed.bounds == {
        "python": Bounds(minimum=20, maximum=100),
        "rust": Bounds(minimum=3, maximum=20),
        "rest": Bounds(minimum=35, maximum=190),
    }
    assert scaling.default(regions.embedded("x")).bounds == {"all": Bounds(minimum=10, maximum=200)}


@pytest.mark.parametrize(
    ("said", "bounds"),
    [
        ("", Bounds(minimum=20, maximum=100)),
        ("minimum = 4\nmaximum = 9", Bounds(minimum=4, maximum=9)),
        ("minimum = 4", Bounds(minimum=4, maximum=100)),
        ("minimum = 300", Bounds(minimum=300, maximum=300)),
        ("maximum = 9", Bounds(minimum=9, maximum=9)),
        ("minimum = 0\nmaximum = 0", Bounds(minimum=0, maximum=0)),
    ],
)
def test_bounds_are_the_region_files_where_it_says_them(said: str, bounds: Bounds) -> None:
    """Else the design's, which give way to the one that was said: the least is never above the most."""
    region = _fleets_of("python", said)
    assert scaling.default(region).bounds["python"] == bounds
    assert scaling.parse("", region).bounds["python"] == bounds


def test_a_scaling_file_goes_before_the_region_file() -> None:
    """Bounds and jobs, each where it says it; the region file holds for the rest."""
    region = _fleets_of("python", 'minimum = 4\nmaximum = 9\njob = "py"\nburst_job = "py-burst"')
    assert (scaling.default(region).fleets[0].job, scaling.default(region).fleets[0].burst_job) == ("py", "py-burst")
    (python, _) = scaling.parse('[fleets.python]\nmaximum = 7\nburst_job = ""', region).fleets
    assert python == FleetScaling(name="python", bounds=Bounds(minimum=4, maximum=7), job="py", burst_job="")


def _fleets_of(language: str, said: str) -> regions.Region:
    """A region with a fleet for *language*, of which its file says something, and one for the rest."""
    rest = [each for each in Language if each != language]
    return regions.parse(
        f'region = "us-east"\n[[fleets]]\nname = "{language}"\nlanguages = ["{language}"]\n{said}\n'
        f'[[fleets]]\nname = "rest"\nlanguages = {[each.value for each in rest]}\n'
    )


def test_what_a_file_says_holds() -> None:
    """Times in its zone, unless they say their own; what it does not say is as before."""
    parsed = scaling.parse(FILE, SPLIT)
    assert parsed.rules == Rules(queue_per_worker=8, up_count=4)
    (step,) = parsed.schedule.weekday
    assert (step.at, step.minimum, step.reason, step.fleet) == (time(7, 30), 25, "school", "python")
    assert parsed.schedule.weekend == scaling.WEEKEND
    (event,) = parsed.schedule.events
    assert event.starts == (
        datetime(2026, 12, 1, 8, tzinfo=UTC).timestamp(),
        datetime(2026, 12, 2, 9, tzinfo=UTC).timestamp(),
    )
    assert event.duration_s == 5400
    python = parsed.fleets[0]
    assert (python.bounds, python.job, python.burst_job) == (Bounds(minimum=5, maximum=300), "py", "")
    assert (parsed.fleets[1].job, parsed.fleets[1].burst_job) == ("runner-rust", "runner-burst-rust")


def test_every_fault_of_a_scaling_file_is_told_at_once() -> None:
    """Each with its place and what would mend it."""
    text = """
time_zone = "Mars/Olympus"
colour = "blue"
weekend = 3
[rules]
queue_per_worker = 0
up_count = 2.5
tolerence = 0.2
[[weekday]]
time = "25:00"
minimum = -1
fleet = "cobol"
[[events]]
starts = ["tomorrow"]
duration = "soon"
minimum = 100
[fleets.python]
minimum = 50
maximum = 20
job = "a b"
[fleets.cobol]
minimum = 1
"""
    with pytest.raises(ConfigFault) as caught:
        scaling.parse(text, SPLIT)
    for part in (
        "time_zone: 'Mars/Olympus'",
        "colour: no such setting",
        "weekend: must be tables",
        "rules.queue_per_worker: a target of 0",
        "rules.up_count: 2.5 must be a whole number",
        "rules.tolerence: no such setting",
        "weekday[0].time: '25:00'",
        "weekday[0].minimum: -1",
        "weekday[0].fleet: 'cobol'",
        "events[0].name",
        "events[0].starts",
        "events[0].duration: 'soon'",
        "fleets.python.minimum: 50 is above",
        "fleets.python.job: 'a b'",
        "fleets.cobol: no such fleet",
    ):
        assert part in str(caught.value)


def test_what_is_not_toml_is_one_line() -> None:
    """And names the file."""
    with pytest.raises(ConfigFault, match="the scaling file is not TOML"):
        scaling.parse("[rules", SPLIT)
