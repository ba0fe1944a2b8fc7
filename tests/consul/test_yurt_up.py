"""A network on one machine that is told of a Consul: its processes are found there, healthy, and gone after its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.consul.datacenters import MANAGEMENT, Datacenter, comes_true

pytestmark = pytest.mark.network

SERVICES = ("yurt-nats", "yurt-gateway", "yurt-runner")


async def test_all_that_yurt_up_starts_is_in_consul_while_it_lives(home: Datacenter, tmp_path: Path) -> None:
    """Gateway and runner enter themselves; the NATS server is entered by who supervises it; all leave in the end."""
    environ = {
        **os.environ,
        "YURT_CONSUL_ADDRESS": home.address,
        "YURT_CONSUL_TOKEN": MANAGEMENT,
        "YURT_LANGUAGES": "python",
    }
    words = ["-m", "yurt", "up", "--regions", "us-east", "--data", str(tmp_path / "data"), "--quiet"]
    log = (tmp_path / "log").open("wb")
    network = subprocess.Popen([sys.executable, *words], env=environ, stdout=log, stderr=log)
    try:
        for service in SERVICES:
            await comes_true(lambda name=service: home.health(name) == ["passing"], f"{service} passes", 120)  # type: ignore[misc]
        network.send_signal(signal.SIGTERM)
        for service in SERVICES:
            await comes_true(lambda name=service: home.health(name) == [], f"{service} has left", 60)  # type: ignore[misc]
    finally:
        if network.poll() is None:
            network.send_signal(signal.SIGTERM)
        network.wait(60)
        log.close()
    assert network.returncode == 0, (tmp_path / "log").read_text()
