"""Which NATS server is connected to: home's before any other, and home's again."""

from __future__ import annotations

import pytest

from jobs.service.bus import Bus
from jobs.service.homing import Homing, place_of
from tests.conftest import NatsServer
from tests.superclusters import eventually

HOME, NEAR, FAR = "h1:4222", "n1:4222", "f1:4222"
POOL = [FAR, HOME, NEAR, "h2:4222"]


@pytest.fixture
def homing() -> Homing:
    made = Homing(["nats://h1", "tls://h2:4222"], ["nats://n1:4222", "f1"], wait_s=0.25)
    made.connected(HOME)
    return made


def test_home_s_servers_are_tried_before_the_neighbours_and_there_is_a_pause_after_all(homing: Homing) -> None:
    """In the order in which they are given, whatever the order of the pool."""
    tries = [homing.choose(POOL) for _ in range(5)]
    assert tries == [(HOME, 0.0), ("h2:4222", 0.0), (NEAR, 0.0), (FAR, 0.0), (HOME, 0.25)]


def test_each_outage_begins_at_home(homing: Homing) -> None:
    for _ in range(3):
        homing.choose(POOL)
    homing.connected(NEAR)
    assert not homing.at_home
    assert homing.choose(POOL)[0] == HOME


def test_servers_that_a_cluster_told_of_belong_to_where_we_were(homing: Homing) -> None:
    """One that home's cluster named is home's; one that a neighbour's named is not."""
    homing.choose([*POOL, "h3:4222"])
    homing.connected(NEAR)
    homing.choose([*POOL, "h3:4222", "n2:4222"])
    homing.connected("h3:4222")
    assert homing.at_home
    homing.connected("n2:4222")
    assert not homing.at_home


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("nats://a", "a:4222"),
        ("tls://a:1", "a:1"),
        ("a:2", "a:2"),
        ("nats://u:p@a:3", "a:3"),
        ("nats://[::1]:4", "[::1]:4"),
    ],
)
def test_servers_are_told_apart_by_host_and_port(url: str, place: str) -> None:
    assert place_of(url) == place


async def test_a_connection_falls_back_and_comes_home(nats_server: NatsServer, own_nats_server: NatsServer) -> None:
    """With real servers: home dies, the neighbour serves; home is back, and so are we. What was subscribed stays so."""
    bus = await Bus.connect([own_nats_server.url], name="homing", fallback=[nats_server.url])
    heard: list[str] = []
    await bus.subscribe("homing.test", lambda message: heard.append(message.data.decode()))
    try:
        assert bus.at_home
        own_nats_server.stop()
        await eventually(lambda: _is(bus, at_home=False))
        assert await bus.until_connected(5)
        bus.publish("homing.test", b"afar")
        await eventually(lambda: _heard(heard, "afar"))
        own_nats_server.start()
        await eventually(lambda: _is(bus, at_home=True))
        bus.publish("homing.test", b"at home")
        await eventually(lambda: _heard(heard, "at home"))
    finally:
        await bus.close()


async def test_a_start_while_home_is_away_is_a_start_at_the_neighbour_s(nats_server: NatsServer) -> None:
    bus = await Bus.connect(["nats://127.0.0.1:9"], name="homing", fallback=[nats_server.url])
    assert bus.connected
    assert not bus.at_home
    await bus.close()


async def _is(bus: Bus, *, at_home: bool) -> bool:
    return bus.connected and bus.at_home is at_home


async def _heard(heard: list[str], word: str) -> bool:
    return word in heard
