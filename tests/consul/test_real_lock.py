"""The autoscaler's lock in a real Consul, with an autoscaler's token; ``tests/autoscaler`` has it by script."""

from __future__ import annotations

import time

import pytest

from autoscaler.lock import ConsulLock
from jobs.service.consul_door import ConsulDoor
from tests.consul.datacenters import Datacenter

pytestmark = pytest.mark.network

KEY = "/v1/kv/yurt/us-east/autoscaler/leader"


def lock(home: Datacenter, owner: str, token: str) -> ConsulLock:
    return ConsulLock(ConsulDoor(home.address, token=token), region="us-east", owner=owner, clock=time.monotonic)


async def test_one_controller_at_a_time_in_a_real_consul(home: Datacenter) -> None:
    """Renewed it stays; left, the next one has it at once; and whoever lost its session lost it."""
    token = home.token("autoscaler")
    first, second = lock(home, "first", token), lock(home, "second", token)
    assert await first.take() and first.held
    assert not await second.take() and not second.held
    assert await first.take()
    await first.leave()
    assert await second.take() and second.held and not await first.take()
    session = home.ask(KEY)[0]["Session"]
    home.ask(f"/v1/session/destroy/{session}", method="PUT")  # as its time to live does
    deadline = time.monotonic() + 10
    while not await first.take():  # Consul keeps it from everybody for a second: its lock delay
        assert time.monotonic() < deadline
    assert not await second.take() and not second.held
    await first.leave()
