"""The door to Nomad against a real Nomad, where one is on the path: scaling, an active deployment, dispatch."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from autoscaler.fleets import NomadFleets
from autoscaler.nomad_door import Busy, NomadDoor, NomadRefused
from autoscaler.policy import Bounds, Count, Decision
from autoscaler.scaling import FleetScaling
from jobs import streams
from jobs.languages import Language
from jobs.region import embedded
from jobs.service.bus import Bus
from jobs.states import Class
from tests.conftest import NatsServer, free_port

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(shutil.which("nomad") is None, reason="no nomad on PATH: scaling a real Nomad is not tested"),
    pytest.mark.skipif(os.geteuid() != 0, reason="not root: raw_exec of a real Nomad is not tested"),
]

START_S = 30.0
DEADLINE_S = 25.0
#: cloud fingerprinters ask metadata servers that are not there, and one of them refuses a CA bundle
CONFIG = """
bind_addr = "127.0.0.1"
ports { http = %d rpc = %d serf = %d }
plugin "raw_exec" { config { enabled = true } }
client { options = { "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean" } }
"""

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


@dataclass
class RealNomad:
    address: str
    client: aiohttp.ClientSession

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        async with self.client.request(method, f"{self.address}/v1/{path}", json=body) as answer:
            text = await answer.text()
            assert answer.ok, text
            return json.loads(text)

    async def deployments(self, status: str) -> int:
        found = await self.call("GET", "job/runner/deployments")
        return sum(each["Status"] == status for each in found)

    async def running(self, job: str) -> int:
        found = await self.call("GET", f"job/{job}/allocations")
        return sum(each["ClientStatus"] == "running" for each in found)


async def until(what: Callable[[], Awaitable[bool]]) -> float:
    """Seconds until it is so."""
    began = time.monotonic()
    async with asyncio.timeout(DEADLINE_S):
        while not await what():  # noqa: ASYNC110  another process is asked; it has no event of ours
            await asyncio.sleep(0.05)
    return time.monotonic() - began


@pytest.fixture
async def nomad(tmp_path: Path) -> AsyncIterator[RealNomad]:
    """A development agent, and both jobs registered with it."""
    config = tmp_path / "agent.hcl"
    port = free_port()
    config.write_text(CONFIG % (port, free_port(), free_port()))
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "NOMAD_"))}
    with (tmp_path / "agent.log").open("wb") as log:
        agent = subprocess.Popen(["nomad", "agent", "-dev", "-config", config], stdout=log, stderr=log, env=environ)
    async with aiohttp.ClientSession() as client:
        real = RealNomad(f"http://127.0.0.1:{port}", client)
        try:
            await _ready(real, agent, tmp_path / "agent.log")
            for job in (BASELINE, BURST):
                await real.call("POST", "jobs", {"Job": {"Datacenters": ["*"], **job}})
            yield real
            await _stop_all(real)
        finally:
            agent.terminate()
            try:
                agent.wait(20)
            except subprocess.TimeoutExpired:
                agent.kill()
                agent.wait()


async def _ready(real: RealNomad, agent: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        assert agent.poll() is None and time.monotonic() < deadline, log.read_text(errors="replace")[-4000:]
        try:
            if any(node["Status"] == "ready" for node in await real.call("GET", "nodes")):
                return
        except (aiohttp.ClientError, AssertionError):
            pass
        await asyncio.sleep(0.1)


async def _stop_all(real: RealNomad) -> None:
    """A terminated agent leaves its raw_exec tasks running."""
    for job in await real.call("GET", "jobs"):
        await real.call("DELETE", f"job/{job['ID'].replace('/', '%2F')}?purge=false")

    async def stopped() -> bool:
        found = await real.call("GET", "allocations")
        return all(each["ClientStatus"] not in ("running", "pending") for each in found)

    await until(stopped)


FLEET = FleetScaling(name="all", bounds=Bounds(), job="runner", burst_job="runner-burst")


async def test_scaling_an_active_deployment_and_dispatching(
    nomad: RealNomad, capsys: pytest.CaptureFixture[str]
) -> None:
    """One agent, for it takes seconds to start: counts, the deployment in the way, the same dispatch twice."""
    door = NomadDoor(nomad.address)
    fleets = NomadFleets(door)

    async def settled() -> bool:
        return await nomad.deployments("running") == 0 and await nomad.deployments("successful") > 0

    await until(settled)
    assert await fleets.count(FLEET) == Count(baseline=1)

    # a scaling begins a deployment, which blocks the next one: up goes through all the same, down waits
    await door.scale("runner", "runner", 2, up=True, message="first")

    async def deploying() -> bool:
        return await nomad.deployments("running") == 1

    await until(deploying)
    with pytest.raises(Busy):
        await door.scale("runner", "runner", 1, up=False, message="down")
    await door.scale("runner", "runner", 3, up=True, message="second")
    assert await door.count("runner", "runner") == 3

    async def three() -> bool:
        return await nomad.running("runner") == 3

    up_s = await until(three)
    await until(settled)
    await door.scale("runner", "runner", 2, up=False, message="down")
    assert await door.count("runner", "runner") == 2

    # the same token is the same child
    began = time.monotonic()
    child = await door.dispatch("runner-burst", token="here-all-1-0")
    dispatch_s = time.monotonic() - began
    assert await door.dispatch("runner-burst", token="here-all-1-0") == child
    assert await door.dispatch("runner-burst", token="here-all-1-1") != child
    assert await door.living("runner-burst") == 2

    async def child_runs() -> bool:
        return await nomad.running(child.replace("/", "%2F")) == 1

    runs_s = await until(child_runs)

    # a decision, carried out twice, is carried out once
    decision = Decision(
        fleet="all", at=1.0, count=Count(baseline=2, burst=2), wanted=6, total=6, baseline=2, limits=(), reasons=("x",)
    )
    for _ in range(2):
        await fleets.apply(FLEET, decision, key="here-all-2", still=lambda: True)
    assert await fleets.count(FLEET) == Count(baseline=2, burst=4)
    await nomad.call("DELETE", f"job/{child.replace('/', '%2F')}")
    assert await door.living("runner-burst") == 3

    with pytest.raises(NomadRefused, match="register it first"):
        await door.count("no-such-job", "runner")
    with pytest.raises(NomadRefused, match="has no group web"):
        await door.count("runner", "web")
    with capsys.disabled():
        print(f" [3 run after {up_s:.2f} s; a dispatch {1000 * dispatch_s:.0f} ms, its allocation {runs_s:.2f} s]")


async def test_a_step_in_load_becomes_running_allocations(
    nomad: RealNomad, bus: Bus, nats_server: NatsServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole process between a real queue and a real Nomad: ten times the load, ten times the runners, in bounds."""
    region = embedded("step")
    await bus.ensure(streams.plan(region))
    (tmp_path / "scaling.toml").write_text(
        "weekday = []\nweekend = []\n[rules]\nup_after_s = 1\n[fleets.all]\nminimum = 1\nmaximum = 8\n"
    )
    settings = {
        "nats-urls": nats_server.url,
        "region": region.name,
        "scaling-file": str(tmp_path / "scaling.toml"),
        "nomad-address": nomad.address,
        "interval-s": "0.25",
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    home = str(Path(__file__).resolve().parents[2])
    with (tmp_path / "autoscaler.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "yurt", "autoscaler", *words],
            stderr=log,
            env={**os.environ, "PYTHONPATH": home},
        )
    try:
        await bus.enqueue(streams.jobs_subject("step", Class.STANDARD, Language.PYTHON), b"", message_id="first")

        async def decides() -> bool:
            return b"action=decision" in (tmp_path / "autoscaler.log").read_bytes()

        await until(decides)
        await asyncio.gather(
            *(
                bus.enqueue(streams.jobs_subject("step", Class.STANDARD, Language.PYTHON), b"", message_id=f"{number}")
                for number in range(49)
            )
        )

        async def eight_run() -> bool:
            found = await nomad.call("GET", "allocations")
            return sum(each["ClientStatus"] == "running" for each in found) == 8

        step_s = await until(eight_run)
        assert await NomadDoor(nomad.address).living("runner-burst") == 7
        assert await NomadDoor(nomad.address).count("runner", "runner") == 1
    finally:
        process.terminate()
        process.wait(20)
    with capsys.disabled():
        print(f" [8 run {step_s:.2f} s after the step, 1 s of it for agreement]")
