"""``yurt scale`` and ``yurt autoscaler`` as a person types them, on a real NATS."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from jobs import region as regions
from jobs import streams
from jobs.service.bus import Bus
from tests.conftest import NatsServer, make_streams

DEADLINE_S = 30.0
HOME = Path(__file__).resolve().parents[2]


async def start(*words: str) -> Process:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("YURT_")}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "yurt", *words, stdout=PIPE, stderr=PIPE, env={**environ, "PYTHONPATH": str(HOME)}
    )


async def typed(*words: str) -> tuple[int | None, str, str]:
    """Exit code, output and errors."""
    process = await start(*words)
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
async def config(bus: Bus, nats_server: NatsServer, tmp_path: Path) -> Path:
    """The configuration of an autoscaler of a region of its own, which has no runner."""
    region = f"typed-{os.getpid()}"
    await make_streams(bus, streams.plan(regions.embedded(region)))
    (tmp_path / "scaling.toml").write_text("weekday = []\nweekend = []\n[fleets.all]\nminimum = 4\n")
    file = tmp_path / "autoscaler.toml"
    file.write_text(
        f'nats_urls = ["{nats_server.url}"]\nregion = "{region}"\ninterval_s = 0.2\n'
        f'scaling_file = "{tmp_path / "scaling.toml"}"\n'
    )
    return file


async def test_a_policy_can_be_tried_on_a_file(tmp_path: Path) -> None:
    """A table, a line of what it came to, exit code 0; and JSON for programs."""
    file = tmp_path / "load.csv"
    file.write_text("at,queue\n" + "".join(f"{1_800_223_200 + 5 * step},400\n" for step in range(8)))
    code, out, err = await typed("scale", "simulate", str(file), "--start", "10")
    assert (code, err) == (0, "")
    assert "8 samples, 1 changes, at most 30 runners" in out
    assert max(map(len, out.splitlines())) <= 80
    code, out, _ = await typed("scale", "simulate", str(file), "--start", "10", "--json")
    assert [each["total"] for each in json.loads(out)] == [10] * 6 + [30] * 2
    code, _, err = await typed("scale", "simulate", str(tmp_path / "none.csv"))
    assert code == 1 and "cannot be read" in err
    code, _, err = await typed("scale", "simulate", str(file), "--fleet", "cobol")
    assert code == 1 and "there is no fleet 'cobol'; there are all" in err


async def test_an_autoscaler_decides_tells_and_leaves(config: Path) -> None:
    """One line a decision; ``status`` shows what it decided; ``plan`` says what comes next; SIGTERM ends it."""
    process = await start("autoscaler", "--config", str(config))
    assert process.stderr is not None
    lines = []
    async with asyncio.timeout(DEADLINE_S):
        while not lines or "action=decision" not in lines[-1]:
            lines.append((await process.stderr.readline()).decode())
    assert "direction=up" in lines[-1] and "total=4" in lines[-1] and "done='advice only'" in lines[-1]
    code, out, _ = await typed("scale", "status", "--config", str(config), "--last", "1")
    assert code == 0 and "the least is 4" in out
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(DEADLINE_S):
        await process.communicate()
    assert process.returncode == 0


@pytest.mark.network
async def test_plan_says_what_would_be_done_and_why(config: Path) -> None:
    """After listening for as long as silence means death."""
    code, out, err = await typed("scale", "plan", "--config", str(config))
    assert (code, err) == (0, "")
    assert "all: up, 0 to 4 (baseline 4, burst 0)" in out
    assert "1. queue depth 0 at 5 a runner asks for 0" in out
    code, out, _ = await typed(
        "scale", "plan", "--config", str(config), "--nomad-address", "http://127.0.0.1:1", "--json"
    )
    assert code == 75 and json.loads(out)[0]["still"] == "nomad_away"


async def test_faults_of_the_set_up_are_one_line_each(tmp_path: Path) -> None:
    """Exit code 1, and no traceback."""
    scaling = tmp_path / "scaling.toml"
    scaling.write_text("[rules]\ncpu = 3\n")
    for flag, value, said in (
        ("--scaling-file", str(scaling), "rules.cpu: no such setting"),
        ("--scaling-file", str(tmp_path / "none"), "cannot be read"),
        ("--interval-s", "0", "must be above 0"),
    ):
        code, _, err = await typed("autoscaler", flag, value)
        assert code == 1 and said in err and "Traceback" not in err
