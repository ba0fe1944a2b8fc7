"""The region with all its locks: NATS with keys and TLS, HTTPS, Nomad with tokens; every secret a Nomad variable."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.errors import PlatformFault
from yurt import Client
from yurt.bootstrap.authority import Usage, authority, issue
from yurt.demo.nomad_stage import Stage, staged

pytestmark = [
    pytest.mark.skipif(shutil.which("nomad") is None, reason="no nomad on PATH: A SECURED REGION IS NOT TESTED HERE"),
    pytest.mark.skipif(os.geteuid() != 0, reason="not root, which runners need"),
]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path, secured=True) as stage:
        yield stage


async def test_a_region_runs_by_the_secrets_that_each_job_may_read(stage: Stage, tmp_path: Path) -> None:
    """What ``yurt bootstrap`` makes is put where each job reads its own and nothing else: programs run, bursts too."""
    keys = tmp_path / "keys"
    (node,) = (each["Name"] for each in stage.get("/v1/nodes"))
    stage.bootstrap("--keys", str(keys), "--server", f"{node}=127.0.0.1", nats=False)
    own, ca = keys / "dev", keys / "authority" / "ca.pem"
    front = issue(authority(keys / "authority"), tmp_path, "front", hosts=["127.0.0.1"], usage=Usage.SERVER)
    put(
        stage,
        "nats",
        accounts=own / "accounts.conf",
        ca=ca,
        **{f"cert_{node}": own / f"{node}.pem", f"key_{node}": own / f"{node}-key.pem"},
    )
    put(stage, "gateway", nats_seed=own / "gateway.nk", nats_ca=ca, tls_cert=front.cert, tls_key=front.key)
    for job in ("runner", "runner-burst"):
        put(stage, job, nats_seed=own / "runner.nk", nats_ca=ca)

    locked = {"secured": True, "nats_urls": [stage.nats_url.replace("nats:", "tls:")]}
    stage.register("nats", **locked)
    stage.deployed("nats", 0)
    stage.bootstrap("--nats-seed-file", str(own / "admin.nk"), "--nats-ca-file", str(ca))
    with pytest.raises(PlatformFault):
        stage.bootstrap("--nats-ca-file", str(ca))  # without a key nobody may do anything
    for job in ("runner", "gateway", "runner-burst"):
        stage.register(job, **locked)
    for job in ("runner", "gateway"):
        stage.deployed(job, 0)

    async with Client(stage.url.replace("http:", "https:"), ca_file=ca, patience_s=30) as client:
        execution = await client.execute("python", "print(6 * 7)")
        assert (execution["verdict"], execution["stdout"]) == ("ok", "42\n")
    child = stage.dispatch()
    await asyncio.to_thread(
        stage.until, lambda found: any(each.job == child and each.runs for each in found), "a child reads its parent's"
    )
    for path in tmp_path.rglob("secrets/*_seed"):
        assert path.stat().st_mode & 0o777 == 0o600


def put(stage: Stage, job: str, **files: Path) -> None:
    stage.nomad("var", "put", f"nomad/jobs/{job}", *(f"{name}=@{file}" for name, file in files.items()))
