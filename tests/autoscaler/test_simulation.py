"""The policy on recorded load, and the original design's scaling scenario by it."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from autoscaler import scaling, simulate
from autoscaler.policy import Bounds
from autoscaler.scaling import FleetScaling
from autoscaler.schedule import Schedule
from jobs import region as regions
from jobs.errors import ConfigFault
from jobs.states import Class

FLEET = FleetScaling(name="all", bounds=Bounds(), job="runner", burst_job="runner-burst")
PLAIN = scaling.Scaling(schedule=Schedule(), fleets=(FLEET,))


def minutes(*phases: tuple[int, int, float]) -> str:
    """CSV, a sample each five seconds: (seconds, queue, CPU) a phase."""
    lines, at = ["at,queue,cpu_percent,memory_percent"], 1_800_000_000
    for seconds, queue, cpu in phases:
        for _ in range(0, seconds, 5):
            lines.append(f"{at},{queue},{cpu},40")
            at += 5
    return "\n".join(lines)


def totals(text: str, start: int = 10) -> list[int]:
    return [each.total for each in simulate.run(simulate.read(text), FLEET, PLAIN, start=start)]


def test_a_tenfold_step_is_met_within_two_minutes() -> None:
    """Half a minute of agreement, then 30, 60, 120 at half a minute each: the scenario's bound is two minutes."""
    found = totals(minutes((60, 45, 68.0), (150, 500, 68.0)))
    reached = next(at for at, total in enumerate(found) if total >= 100)
    assert found[:12] == [10] * 12
    assert [total for total, after in pairwise(found) if total != after] == [10, 30, 60]
    assert (reached - 12) * 5 == 90


def test_scaling_down_begins_after_five_minutes_a_tenth_at_a_time() -> None:
    """The scenario's bound is ten."""
    found = totals(minutes((600, 0, 5.0)), start=100)
    first = next(at for at, total in enumerate(found) if total < 100)
    assert first * 5 == 300
    assert sorted(set(found), reverse=True)[:4] == [100, 90, 81, 73]


def test_both_kinds_of_file_are_the_same_samples() -> None:
    """CSV and JSON lines; depth as a whole or by class; what is empty was not known."""
    rows = [
        {"at": 10, "priority": 1, "standard": 2, "bulk": 3, "ready": 4, "cpu_percent": 5.5, "memory_percent": None},
        {"at": "1970-01-01T00:00:20Z", "priority": None, "standard": 2, "bulk": 3, "ready": 4},
    ]
    header = "at,priority,standard,bulk,ready,cpu_percent,memory_percent\n"
    as_csv = header + "10,1,2,3,4,5.5,\n1970-01-01T00:00:20Z,,2,3,4,,\n"
    found = simulate.read(as_csv)
    assert found == simulate.read("\n".join(json.dumps(row) for row in rows))
    assert (found[0].sample.depth, found[1].sample.depth, found[1].at) == (6, 5, 20.0)
    whole = simulate.read('{"at": 1, "queue": 7}\n{"at": 2, "queue": null}')
    assert (whole[0].sample.depth, whole[1].sample.depth) == (7, None)
    assert whole[0].sample.queue[Class.BULK] == 0


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", ["there is no sample"]),
        ("at,quue\n1,2\n", ["quue: no such field"]),
        (
            "at,queue\n1,x\n1,2.5\nsoon,3,4\n",
            ["line 2: queue: 'x'", "line 3: queue: '2.5'", "line 3: at", "line 4: has"],
        ),
        ('{"at": 1}\n[1]\n{"at"', ["line 2: must be an object", "line 3: not JSON"]),
        ('{"at": 1, "ready": -1, "cpu_percent": "NaN"}', ["ready: -1", "cpu_percent: 'NaN'"]),
    ],
)
def test_every_fault_of_a_sample_file_is_told_with_its_line(text: str, faults: list[str]) -> None:
    """All at once."""
    with pytest.raises(ConfigFault) as caught:
        simulate.read(text)
    for fault in faults:
        assert fault in str(caught.value)


def test_a_fleet_without_a_burst_job_is_all_baseline() -> None:
    """As the scaling file says it."""
    plans = scaling.parse('[fleets.all]\nburst_job = ""\n', regions.embedded("here"))
    decisions = list(simulate.run(simulate.read(minutes((60, 500, 90.0))), plans.fleets[0], plans, start=60))
    assert {each.burst for each in decisions} == {0}
