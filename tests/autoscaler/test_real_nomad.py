"""The door to Nomad against a real Nomad, where one is on the path: scaling, an active deployment, dispatch.

Here are the traps of Nomad and of its client, with tasks that only sleep. The autoscaler on the region's own job files
is tested in ``tests/nomad_real``.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autoscaler.fleets import NomadFleets
from autoscaler.nomad_door import Busy, NomadDoor, NomadRefused
from autoscaler.policy import Bounds, Count, Decision
from autoscaler.scaling import FleetScaling
from yurt.demo.nomad_stage import Allocation, Stage, staged

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(
        shutil.which("nomad") is None, reason="no nomad on PATH: SCALING A REAL NOMAD IS NOT TESTED HERE"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="not root: raw_exec of a real Nomad is not tested"),
]

DEADLINE_S = 60.0

SLEEPER = {
    "Name": "sleeper",
    "Driver": "raw_exec",
    "Config": {"command": "/bin/sleep", "args": ["600"]},
    "Resources": {"CPU": 1, "MemoryMB": 10},
    "KillTimeout": 1_000_000_000,
    "LogConfig": {"MaxFiles": 1, "MaxFileSizeMB": 1},
}


def group(count: int, **more: Any) -> dict[str, Any]:
    disk = {"SizeMB": 10}
    return {"Name": "runner", "Count": count, "Tasks": [SLEEPER], "EphemeralDisk": disk, **more}


UPDATE = {
    "MaxParallel": 2,
    "HealthCheck": "task_states",
    "MinHealthyTime": 2_000_000_000,
    "HealthyDeadline": 60_000_000_000,
    "ProgressDeadline": 120_000_000_000,
}
BASELINE = {"ID": "runner", "Name": "runner", "Type": "service", "TaskGroups": [group(1, Update=UPDATE)]}
BURST = {
    "ID": "runner-burst",
    "Name": "runner-burst",
    "Type": "batch",
    "ParameterizedJob": {"Payload": "optional"},
    "TaskGroups": [group(1)],
}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A development agent, and both jobs registered with it."""
    with staged(tmp_path) as stage:
        for job in (BASELINE, BURST):
            stage.call("POST", "/v1/jobs", {"Job": {"Datacenters": ["*"], **job}})
        yield stage


async def until(stage: Stage, true: Callable[[list[Allocation]], bool], what: str) -> float:
    """Seconds until it is so."""
    return await asyncio.to_thread(stage.until, true, what, DEADLINE_S)


def running(found: list[Allocation], job: str) -> int:
    return sum(each.runs for each in found if each.job == job)


async def settled(stage: Stage) -> None:
    """Until the newest version of the baseline is deployed."""
    version = await asyncio.to_thread(stage.version, "runner")
    await asyncio.to_thread(stage.deployed, "runner", version, DEADLINE_S)


FLEET = FleetScaling(name="all", bounds=Bounds(), job="runner", burst_job="runner-burst")


async def test_scaling_an_active_deployment_and_dispatching(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """One agent, for it takes seconds to start: counts, the deployment in the way, the same dispatch twice."""
    door = NomadDoor(stage.address)
    fleets = NomadFleets(door)
    await settled(stage)
    assert await fleets.count(FLEET) == Count(baseline=1)

    # a scaling begins a deployment, which blocks the next one: up goes through all the same, down waits
    await door.scale("runner", "runner", 2, up=True, message="first")
    version = stage.version("runner")
    await asyncio.to_thread(stage.deploying, "runner", version, DEADLINE_S)
    with pytest.raises(Busy):
        await door.scale("runner", "runner", 1, up=False, message="down")
    await door.scale("runner", "runner", 3, up=True, message="second")
    assert await door.count("runner", "runner") == 3
    up_s = await until(stage, lambda found: running(found, "runner") == 3, "three run")
    await settled(stage)
    await door.scale("runner", "runner", 2, up=False, message="down")
    assert await door.count("runner", "runner") == 2

    # the same token is the same child
    began = time.monotonic()
    child = await door.dispatch("runner-burst", token="here-all-1-0")
    dispatch_s = time.monotonic() - began
    assert await door.dispatch("runner-burst", token="here-all-1-0") == child
    assert await door.dispatch("runner-burst", token="here-all-1-1") != child
    assert await door.living("runner-burst") == 2
    runs_s = await until(stage, lambda found: running(found, child) == 1, "the child runs")

    # a decision, carried out twice, is carried out once
    decision = Decision(
        fleet="all", at=1.0, count=Count(baseline=2, burst=2), wanted=6, total=6, baseline=2, limits=(), reasons=("x",)
    )
    for _ in range(2):
        await fleets.apply(FLEET, decision, key="here-all-2", still=lambda: True)
    assert await fleets.count(FLEET) == Count(baseline=2, burst=4)
    stage.call("DELETE", f"/v1/job/{child.replace('/', '%2F')}")
    assert await door.living("runner-burst") == 3

    with pytest.raises(NomadRefused, match="register it first"):
        await door.count("no-such-job", "runner")
    with pytest.raises(NomadRefused, match="has no group web"):
        await door.count("runner", "web")
    with capsys.disabled():
        print(f" [3 run after {up_s:.2f} s; a dispatch {1000 * dispatch_s:.0f} ms, its allocation {runs_s:.2f} s]")


async def test_a_fleet_is_counted_without_the_bursts_of_its_neighbours(stage: Stage) -> None:
    """``runner-burst`` is the beginning of ``runner-burst-python``: the children of the one are not the other's."""
    door = NomadDoor(stage.address)
    other = {**BURST, "ID": "runner-burst-python", "Name": "runner-burst-python"}
    stage.call("POST", "/v1/jobs", {"Job": {"Datacenters": ["*"], **other}})
    await door.dispatch("runner-burst-python", token="a")
    await door.dispatch("runner-burst-python", token="b")
    await door.dispatch("runner-burst", token="a")
    assert (await door.living("runner-burst"), await door.living("runner-burst-python")) == (1, 2)


async def test_scaling_up_goes_through_while_a_canary_is_on_trial(stage: Stage) -> None:
    """The count is raised on the version that is being rolled out, and the roll goes on to its end."""
    door = NomadDoor(stage.address)
    await settled(stage)
    trial = {**BASELINE, "Meta": {"release": "2"}}
    trial["TaskGroups"] = [
        group(1, Update={**UPDATE, "Canary": 1, "AutoPromote": True, "MinHealthyTime": 5_000_000_000})
    ]
    stage.call("POST", "/v1/jobs", {"Job": {"Datacenters": ["*"], **trial}})
    version = stage.version("runner")
    await asyncio.to_thread(stage.deploying, "runner", version, DEADLINE_S)
    await door.scale("runner", "runner", 3, up=True, message="while a canary is on trial")
    assert await door.count("runner", "runner") == 3
    await settled(stage)
    newest = stage.get("/v1/job/runner")
    assert (newest["Version"], newest["Meta"]) == (version + 1, {"release": "2"})
    await until(
        stage,
        lambda found: [each.version >= version for each in found if each.job == "runner" and each.runs] == [True] * 3,
        "three of the new version run, and none of the old",
    )
