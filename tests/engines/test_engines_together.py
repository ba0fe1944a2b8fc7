"""One network whose languages have several engines: each runs where it was told to, and says so, and all of it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench.daemon import Daemon
from jobs.engines import EngineName
from tests.engines.daemon import others
from yurt import SyncClient

END_S = 120
#: said by the fleet; what was typed goes before it
REGION = """
region = "here"
[[fleets]]
name = "all"
languages = ["python", "javascript", "java", "go", "cpp", "rust"]
engine = "docker"
"""


def test_a_language_in_containers_runs_beside_one_that_is_forked(daemon: Daemon, tmp_path: Path) -> None:
    """And one whose engine cannot be had is not offered, which ``yurt up`` tells."""
    (tmp_path / "region.toml").write_text(REGION)
    words = [sys.executable, "-m", "yurt", "up", "--engine", "javascript=fork,java=snapshot"]
    words += ["--region-file", str(tmp_path / "region.toml"), "--data", str(tmp_path / "data")]
    env = {**os.environ, "DOCKER_HOST": daemon.url, "YURT_WARM": "2", "YURT_RUNSC": str(tmp_path / "runsc")}
    env["YURT_LANGUAGES"] = "python,javascript,java"
    log = tmp_path / "said"
    with log.open("w") as said, subprocess.Popen(words, stdout=subprocess.PIPE, stderr=said, env=env, text=True) as up:
        assert up.stdout is not None
        try:
            url = up.stdout.readline().split()[1]
            with SyncClient(url, patience_s=60) as client:
                python = client.execute("python", "print(6 * 7)")
                script = client.execute("javascript", "console.log(6 * 7)")
                offered = {entry["language"]: entry["engines"] for entry in client.languages()}
        finally:
            up.terminate()
            assert up.wait(END_S) == 0
    assert (python["stdout"], python["engine"]) == ("42\n", "docker-runc")
    assert (script["stdout"], script["engine"]) == ("42\n", EngineName.FORK)
    assert offered == {"python": ["docker-runc"], "javascript": ["fork"]}
    assert "engine snapshot cannot be had: " in log.read_text()
    assert others(daemon) == []
