"""The region's job files on a real Nomad: programs through allocations, burst, kills, rolls, a drain. Nothing is lost.

Each test ends with the account of ``audit``: every id that was accepted has exactly one stored result, and the queues
are empty. Loads are small (the machine is too): what matters is that something is always under way.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from jobs.errors import PlatformFault
from jobs.languages import Language
from tests.nomad_real.audit import Audit
from yurt.demo.nomad_stage import Allocation, Stage

PROGRAMS = {
    Language.PYTHON: "print(6 * 7)",
    Language.JAVASCRIPT: "console.log(6 * 7)",
    Language.JAVA: "class Answer { public static void main(String[] a) { System.out.println(6 * 7); } }",
    Language.GO: 'package main\nimport "fmt"\nfunc main() { fmt.Println(6 * 7) }',
    Language.CPP: "#include <iostream>\nint main() { std::cout << 6 * 7 << std::endl; }",
    Language.RUST: 'fn main() { println!("{}", 6 * 7); }',
}
PER_S = 20.0


def runner_of(allocation: Allocation) -> str:
    """The name that its runner has."""
    return f"runner-{allocation.id[:8]}"


@pytest.mark.parametrize("language", list(Language))
async def test_a_program_of_each_language_runs_in_an_allocation(stage: Stage, audit: Audit, language: Language) -> None:
    """By HTTP through the gateway's allocation, in the runner's, which names itself in the answer."""
    execution = await audit.client.execute(language.value, PROGRAMS[language])
    assert (execution["verdict"], execution["stdout"]) == ("ok", "42\n"), execution
    (runner,) = stage.running("runner")
    assert (execution["runner"], execution["region"]) == (runner_of(runner), "dev")


async def test_a_dispatched_runner_takes_work_and_ends_by_itself(stage: Stage, audit: Audit) -> None:
    """It shares the load with the baseline, ends with code 0 when it is idle, and is not brought back."""
    await asyncio.to_thread(stage.register, "runner-burst", burst_idle_s=4)
    child = await asyncio.to_thread(stage.dispatch)
    async with audit.load(PER_S, seconds=0.3):
        await _runs(stage, child)
        burst = runner_of(next(each for each in stage.allocations() if each.job == child))
        async with asyncio.timeout(60):
            while not await _took_some(audit, burst):
                await audit.more(5)
    await asyncio.to_thread(stage.until, lambda found: _ended(found, child), "the burst has ended by itself", 60)
    await audit.settle()
    assert burst in audit.runners.values()
    assert set(audit.attempts.values()) == {1}
    assert [each.status for each in stage.allocations() if each.job == child] == ["complete"]


async def _runs(stage: Stage, job: str) -> None:
    await asyncio.to_thread(stage.until, lambda found: any(each.job == job and each.runs for each in found), job)


async def _took_some(audit: Audit, runner: str) -> bool:
    """Whether *runner* has run one of the last few."""
    for execution_id in list(audit.accepted)[-10:]:
        if (await audit.client.wait(execution_id))["runner"] == runner:
            return True
    return False


def _ended(found: list[Allocation], job: str) -> bool:
    return all(each.status == "complete" for each in found if each.job == job)


@pytest.mark.parametrize("job", ["runner", "gateway", "nats"])
async def test_a_killed_allocation_comes_back_and_nothing_is_lost(stage: Stage, audit: Audit, job: str) -> None:
    """SIGKILL in the midst of a load. Callers go on submitting, and are never told that it failed for good."""
    (victim,) = stage.running(job)
    async with audit.load(PER_S, seconds=0.2):
        await audit.more(20)
        await asyncio.to_thread(stage.nomad, "alloc", "signal", "-s", "SIGKILL", victim.id)
        await audit.more(40)
    await audit.settle()
    (same,) = stage.running(job)
    assert same.id == victim.id  # restarted where it was
    if job == "runner":
        assert max(audit.attempts.values()) > 1  # what it had was given to its successor


@pytest.mark.parametrize("job", ["runner", "gateway"])
async def test_a_new_version_is_rolled_under_load_and_nobody_notices(stage: Stage, audit: Audit, job: str) -> None:
    """The old allocation ends what it has begun: no execution needs a second attempt."""
    version = stage.version(job)
    async with audit.load(PER_S, seconds=0.2):
        await audit.more(20)
        await asyncio.to_thread(stage.register, job, release=f"0.1.{version + 1}")
        await asyncio.to_thread(stage.deployed, job, version + 1)
        await audit.more(20)
    await audit.settle()
    assert {each.version for each in stage.running(job)} == {version + 1}
    assert set(audit.attempts.values()) == {1}


async def test_a_version_that_fails_its_check_is_taken_back(stage: Stage, audit: Audit, tmp_path: Path) -> None:
    """The canary never becomes healthy; the old version runs on, and is the job's again without anybody's doing."""
    mute = tmp_path / "mute"
    mute.write_text("#!/bin/sh\nexec sleep 600\n")
    mute.chmod(0o755)
    version = stage.version("runner")
    (before,) = stage.running("runner")
    async with audit.load(PER_S):
        soon = {"runner_deadline": "5s", "runner_progress": "20s", "runner_drain_s": 3}
        await asyncio.to_thread(stage.register, "runner", yurt_command=str(mute), **soon)
        with pytest.raises(PlatformFault, match=f"runner version {version + 1} was not deployed"):
            await asyncio.to_thread(stage.deployed, "runner", version + 1)
        await asyncio.to_thread(stage.deployed, "runner", version + 2)
        await audit.more(20)
    await audit.settle()
    assert [each.id for each in stage.running("runner")] == [before.id]
    assert set(audit.attempts.values()) == {1}


async def test_a_drained_node_gives_its_work_to_another(stage: Stage, audit: Audit) -> None:
    """All of the region moves to a second node under load: the runner ends what it has, NATS takes its data along."""
    (first,) = stage.get("/v1/nodes")
    await asyncio.to_thread(stage.add_node)
    async with audit.load(PER_S, seconds=0.2):
        await audit.more(20)
        await asyncio.to_thread(
            stage.nomad, "node", "drain", "-enable", "-yes", "-detach", "-deadline", "60s", first["ID"]
        )

        def moved(found: list[Allocation]) -> bool:
            there = {each.job for each in found if each.runs and each.node == "second"}
            return there == {"nats", "gateway", "runner"} and not any(
                each.lives for each in found if each.node != "second"
            )

        await asyncio.to_thread(stage.until, moved, "everything runs on the second node")
        await audit.more(20)
    await audit.settle()
    with contextlib.suppress(PlatformFault):  # it is as it was for whoever comes next
        stage.nomad("node", "drain", "-disable", "-yes", first["ID"])
