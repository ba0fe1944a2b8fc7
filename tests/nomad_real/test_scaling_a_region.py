"""The autoscaler as a Nomad job among the others: it scales the baseline by count and dispatches bursts, for real."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autoscaler.nomad_door import NomadDoor
from autoscaler.policy import Rules
from jobs import streams
from jobs.languages import Language
from jobs.region import Region, parse
from jobs.service.bus import Bus
from jobs.states import Class
from tests.conftest import make_streams
from tests.nomad_real.audit import Audit
from yurt.demo.nomad_stage import Allocation, Stage

QUICK = """
weekday = []
weekend = []
[rules]
up_after_s = 1
down_after_s = 1
down_period_s = 1
trend_s = 600
[fleets.all]
minimum = %d
maximum = %d
"""
STEP = """
region = "step"
[[fleets]]
name = "all"
languages = ["python", "javascript", "java", "go", "cpp", "rust"]
minimum = 1
maximum = 10
"""


@pytest.fixture
async def cleared(stage: Stage) -> AsyncIterator[Stage]:
    """The stage; afterwards no autoscaler, no burst, and one baseline runner, as it was before."""
    yield stage
    await asyncio.to_thread(_clear, stage)


def _clear(stage: Stage) -> None:
    stage.end("autoscaler")
    for each in stage.allocations():
        if each.job.startswith("runner-burst/") and each.lives:
            stage.end(each.job)
    stage.until(
        lambda found: not any(each.lives for each in found if _passing(each)), "burst and autoscaler have ended"
    )
    stage.deployed("runner", stage.version("runner"))
    if stage.get("/v1/job/runner/scale")["TaskGroups"]["runner"]["Desired"] != 1:
        stage.call("POST", "/v1/job/runner/scale", {"Count": 1, "Target": {"Group": "runner"}, "Message": "as before"})
    stage.register("runner-burst")


def _passing(each: Allocation) -> bool:
    return each.job == "autoscaler" or each.job.startswith("runner-burst/")


def bursts(found: list[Allocation]) -> int:
    return sum(each.runs for each in found if each.job.startswith("runner-burst/"))


def baseline(found: list[Allocation]) -> int:
    return sum(each.runs for each in found if each.job == "runner")


async def test_load_is_answered_by_a_burst_and_a_floor_by_the_baseline(cleared: Stage, audit: Audit) -> None:
    """Up by dispatch for the queue, up and down by count for the floor; and a deploy leaves the count as it is."""
    stage = cleared
    await asyncio.to_thread(stage.register, "runner-burst", burst_idle_s=4)
    await _autoscale(stage, QUICK % (1, 2))
    async with audit.load(8, seconds=1.5):  # a dozen under way, where five are for one runner
        await asyncio.to_thread(stage.until, lambda found: bursts(found) == 1, "a burst was dispatched")
        await audit.more(8)
    await asyncio.to_thread(stage.until, lambda found: bursts(found) == 0, "the burst has ended by itself")

    await _autoscale(stage, QUICK % (2, 2))
    await asyncio.to_thread(stage.until, lambda found: baseline(found) == 2, "the baseline is two")
    await asyncio.to_thread(stage.deployed, "runner", stage.version("runner"))
    await asyncio.to_thread(stage.register, "runner")  # the file says one, and is told to leave the count alone
    assert await NomadDoor(stage.address).count("runner", "runner") == 2
    await asyncio.to_thread(stage.deployed, "runner", stage.version("runner"))

    await _autoscale(stage, QUICK % (1, 2))
    await asyncio.to_thread(stage.until, lambda found: baseline(found) == 1, "the baseline is one again")
    assert await NomadDoor(stage.address).count("runner", "runner") == 1
    await audit.settle()
    assert set(audit.attempts.values()) == {1}


async def test_a_tenfold_step_becomes_ten_runners_by_the_rules_of_the_design(
    cleared: Stage, audit: Audit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not before the thirty seconds for which a wish has to hold; then at once, and as many as are allowed.

    The queue is a region's that nobody serves, so that it stays as deep as it is; what is dispatched is the job file's
    allocation with a task that only sleeps, so that ten of them are no more than a small machine can bear.
    """
    stage = cleared
    region = parse(STEP)
    await make_streams(audit.bus, streams.plan(region))
    asleep = tmp_path / "asleep"
    asleep.write_text("#!/bin/sh\nexec sleep 600\n")
    asleep.chmod(0o755)
    await asyncio.to_thread(stage.register, "runner-burst", yurt_command=str(asleep))
    await _enqueue(audit.bus, region, range(5))
    decided = asyncio.Event()
    end = await audit.bus.subscribe(streams.scale_decision_subject(region.name, "all"), lambda _: decided.set())
    scaling = "weekday = []\nweekend = []\n"
    await asyncio.to_thread(stage.register, "autoscaler", region="step", region_file=STEP, scaling_file=scaling)
    await asyncio.wait_for(decided.wait(), 60)
    await end()

    began = time.monotonic()
    await _enqueue(audit.bus, region, range(5, 50))
    await asyncio.to_thread(stage.until, lambda found: bursts(found) == 9, "nine were dispatched", 90)
    step_s = time.monotonic() - began
    assert await NomadDoor(stage.address).living("runner-burst") == 9
    assert baseline(stage.allocations()) == 1
    assert step_s >= Rules().up_after_s
    for plan in streams.plan(region):
        await audit.bus.api(f"STREAM.DELETE.{plan.name}")
    with capsys.disabled():
        print(f" [ten times the load: ten run after {step_s:.1f} s, {Rules().up_after_s:g} s of it by the rules]")


async def _autoscale(stage: Stage, scaling: str) -> None:
    """An autoscaler with these rules, which has decided by them."""
    await asyncio.to_thread(stage.register, "autoscaler", scaling_file=scaling, scaling_interval_s=0.5)
    await asyncio.to_thread(stage.deployed, "autoscaler", stage.version("autoscaler"))


async def _enqueue(bus: Bus, region: Region, numbers: range) -> None:
    subject = streams.jobs_subject(region.name, Class.STANDARD, Language.PYTHON)
    await asyncio.gather(*(bus.enqueue(subject, b"", message_id=f"step-{number}") for number in numbers))
