"""The atlas out of two real federated datacenters, read with a runner's narrow token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest

from jobs.errors import Unavailable
from jobs.region import Neighbour, Region, embedded
from jobs.service.connections import Connections
from jobs.service.consul_atlas import ConsulAtlas
from jobs.service.consul_door import ConsulDoor
from jobs.service.registration import Registration, gateway_service
from tests.consul.datacenters import AWAY, HOME, Datacenter, comes_true

pytestmark = pytest.mark.network

T = TypeVar("T", ConsulAtlas, Registration)

EVERY_S = 0.1
FILE = embedded(HOME, neighbours=(Neighbour(region="ap-south", rtt_ms=200.0, url="https://ap-south.example.org"),))


@asynccontextmanager
async def a_gateway(datacenter: Datacenter, token: str, public_url: str) -> AsyncIterator[None]:
    """Entered in a datacenter, as its gateways do."""
    service = gateway_service(
        Connections(),
        region=datacenter.name,
        name=f"{datacenter.name}-1",
        listens_at="https://0.0.0.0:8080",
        public_url=public_url,
    )
    told = Registration(ConsulDoor(datacenter.address, token=token), service, round_s=EVERY_S)
    async with kept_up(told):
        yield
        await told.leave()


@asynccontextmanager
async def kept_up(what: T) -> AsyncIterator[T]:
    keeping = asyncio.create_task(what.keep_up())
    try:
        yield what
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


def map_of(home: Datacenter, region: Region = FILE) -> ConsulAtlas:
    return ConsulAtlas(ConsulDoor(home.address, token=home.token("runner")), region, every_s=EVERY_S)


def regions(atlas: ConsulAtlas) -> list[str]:
    return [each.region for each in atlas.neighbours]


async def test_a_datacenter_with_a_gateway_of_ours_is_a_region_at_its_distance(
    home: Datacenter, away: Datacenter
) -> None:
    """And one without is none. Beside it the region file's neighbours, farther than what is next door."""
    async with kept_up(map_of(home)) as atlas:
        assert await atlas.refresh()
        assert regions(atlas) == ["ap-south"]
        async with a_gateway(away, home.token("gateway"), "https://eu-west.example.org"):
            await comes_true(lambda: regions(atlas) == [AWAY, "ap-south"], "two neighbours, the nearer first")
            near = atlas.neighbours[0]
            assert near.url == "https://eu-west.example.org"
            assert near.rtt_ms is not None and 0 < near.rtt_ms < 100


async def test_an_atlas_is_of_use_while_consul_is_away(
    home: Datacenter, away: Datacenter, caplog: pytest.LogCaptureFixture
) -> None:
    """Killed, it is as last heard, and told once; back, it is heard again, with what is new."""
    caplog.set_level("INFO")
    token = home.token("gateway")
    async with kept_up(map_of(home)) as atlas:
        async with a_gateway(away, token, "https://old.example.org"):
            await comes_true(lambda: regions(atlas)[:1] == [AWAY], "a neighbour")
            before = atlas.neighbours
            home.stop()
            await comes_true(lambda: "consul_away" in caplog.text, "the word that Consul is away")
            assert [(each.region, each.url) for each in atlas.neighbours] == [
                (each.region, each.url) for each in before
            ]
        async with a_gateway(away, token, "https://new.example.org"):
            home.start()
            await asyncio.to_thread(home.until_ready)
            await comes_true(lambda: atlas.neighbours[0].url == "https://new.example.org", "the new endpoint")
        assert caplog.text.count("action=consul_away") == caplog.text.count("action=consul_back") == 1


async def test_a_datacenter_that_is_cut_off_stays_a_region(
    home: Datacenter, away: Datacenter, caplog: pytest.LogCaptureFixture
) -> None:
    """Its catalog cannot be read; what was known of it stays, and that is one line."""
    async with kept_up(map_of(home)) as atlas:
        async with a_gateway(away, home.token("gateway"), "https://eu-west.example.org"):
            await comes_true(lambda: atlas.neighbours[0].url == "https://eu-west.example.org", "a neighbour's address")
            away.stop()
            await comes_true(lambda: f"gateways of {AWAY}" in caplog.text, "the word that it cannot be read")
            for _ in range(3):
                assert await atlas.refresh()
            assert (atlas.neighbours[0].region, atlas.neighbours[0].url) == (AWAY, "https://eu-west.example.org")
            assert caplog.text.count("consul_answer_ignored") == 1
            away.start()
            await asyncio.to_thread(away.until_ready)


async def test_a_token_that_may_not_read_the_gateways_leaves_the_file(home: Datacenter, away: Datacenter) -> None:
    """Consul hides what a token may not see: distances alone make no region of ours."""
    blind = ConsulAtlas(ConsulDoor(home.address, token=home.token("nats")), FILE, every_s=EVERY_S)
    async with a_gateway(away, home.token("gateway"), "https://eu-west.example.org"):
        await comes_true(lambda: bool(away.entries("yurt-gateway")), "a gateway to be blind to")
        assert await blind.refresh()
        assert regions(blind) == ["ap-south"]
        wrong = ConsulDoor(home.address, token="deadbeef-0000-0000-0000-000000000000")
        with pytest.raises(Unavailable, match="ACL not found"):
            await wrong.instances("yurt-gateway", AWAY)
