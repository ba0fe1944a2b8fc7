"""A runner whose machine will be taken away is out of a real Consul before it ends."""

from __future__ import annotations

import os

import pytest

from jobs.region import embedded
from jobs.service.bus import Bus
from jobs.streams import plan
from tests.conftest import NatsServer, make_streams
from tests.consul.datacenters import Datacenter, comes_true
from tests.metadata import metadata
from tests.runner_processes import runner_process

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(os.geteuid() != 0, reason="the fork engine needs root"),
]


async def test_a_notice_takes_the_runner_out_of_the_catalog(home: Datacenter, own_nats_server: NatsServer) -> None:
    """It is there while it serves; it ends well, and leaves nothing for the agent to find critical."""
    bus = await Bus.connect([own_nats_server.url], name="test")
    await make_streams(bus, plan(embedded("us-east")))
    await bus.close()
    async with metadata() as machine:
        environ = {
            "YURT_REGION": "us-east",
            "YURT_CONSUL_ADDRESS": home.address,
            "YURT_CONSUL_TOKEN": home.token("runner"),
            "YURT_CONSUL_REGISTER": "true",
            "YURT_NOTICE_URL": machine.url,
        }
        async with runner_process(own_nats_server.url, **environ) as process:
            await process.said("action=ready")
            await comes_true(lambda: len(home.entries("yurt-runner")) == 1, "the runner")
            machine.take_away(in_s=60)
            await process.said("action=draining")
            assert await process.ended(20) == 0
    assert home.entries("yurt-runner") == []
