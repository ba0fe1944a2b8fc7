"""Consul's answers as they should not be, from a server that gives them: ignored, told once by name, nothing raised."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from jobs.errors import ConfigFault, Unavailable
from jobs.region import Neighbour, embedded
from jobs.service import consul_door
from jobs.service.atlas import StaticAtlas, make_atlas
from jobs.service.connections import Connections
from jobs.service.consul_answers import LEAST_RTT_MS, Instance, Position, endpoint, rtt_ms
from jobs.service.consul_atlas import FORGET_S, ConsulAtlas
from jobs.service.consul_door import ANSWER_BYTES, ConsulDoor

TOKEN = "5ec2e7b2-a1c0-4de0-8b3a-0123456789ab"
FILE = embedded("us-east", neighbours=(Neighbour(region="eu-west", rtt_ms=85.0, url="https://file.example.org"),))


def coordinates(datacenter: str, *servers: dict[str, Any]) -> dict[str, Any]:
    return {
        "Datacenter": datacenter,
        "AreaID": "wan",
        "Coordinates": [{"Node": "n", "Coord": each} for each in servers],
    }


def at(*vector: float, height: float = 0.0, adjustment: float = 0.0, error: float = 0.1) -> dict[str, Any]:
    return {"Vec": list(vector), "Height": height, "Adjustment": adjustment, "Error": error}


def gateway(url: str = "", status: str = "passing") -> dict[str, Any]:
    return {"Service": {"Meta": {"url": url} if url else None}, "Checks": [{"Status": status}]}


@dataclass
class ScriptedConsul:
    """Answers by path: a value is sent as JSON, a string as it is; ``log`` has the requests."""

    datacenters: Any = field(default_factory=lambda: ["us-east", "eu-west", "ap-south"])
    coordinates: Any = field(
        default_factory=lambda: [
            coordinates("us-east", at(0.0, 0.0, height=0.001)),
            coordinates("eu-west", at(0.03, 0.04, height=0.002, adjustment=0.001)),
            coordinates("ap-south", at(0.0, 0.1, height=0.001)),
        ]
    )
    gateways: dict[str, Any] = field(
        default_factory=lambda: {
            "eu-west": [gateway("https://eu-west.example.org")],
            "ap-south": [gateway("https://ap-south.example.org")],
        }
    )
    address: str = ""
    redirect: str = ""
    urls: list[str] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.urls.append(str(request.rel_url))
        self.tokens.append(request.headers.get("X-Consul-Token"))
        if self.redirect:
            return web.Response(status=307, headers={"Location": self.redirect})
        match request.path:
            case "/v1/catalog/datacenters":
                said = self.datacenters
            case "/v1/coordinate/datacenters":
                said = self.coordinates
            case _:
                said = self.gateways.get(request.query["dc"], [])
        status = 500 if isinstance(said, str) and said.startswith("rpc error") else 200
        return web.Response(text=said if isinstance(said, str) else json.dumps(said), status=status)


@asynccontextmanager
async def scripted() -> AsyncIterator[ScriptedConsul]:
    consul = ScriptedConsul()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", consul.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    consul.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield consul
    finally:
        await runner.cleanup()


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def atlas(consul: ScriptedConsul, clock: Clock | None = None) -> ConsulAtlas:
    return ConsulAtlas(ConsulDoor(consul.address, token=TOKEN), FILE, clock=clock or Clock())


def ignored(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in caplog.messages if "consul_answer_ignored" in line]


async def test_regions_are_ranked_by_what_their_servers_measured() -> None:
    """|(30, 40)| + 1 + 2 + 1 of adjustment = 54 ms; |(0, 100)| + 1 + 1 = 102 ms; endpoints are the gateways'."""
    async with scripted() as consul:
        map_ = atlas(consul)
        assert map_.neighbours == FILE.neighbours
        assert await map_.refresh()
        near, far = map_.neighbours
        assert (near.region, near.url) == ("eu-west", "https://eu-west.example.org")
        assert (far.region, far.url) == ("ap-south", "https://ap-south.example.org")
        assert near.rtt_ms == pytest.approx(54) and far.rtt_ms == pytest.approx(102)
        assert set(consul.tokens) == {TOKEN}
        remote = [url for url in consul.urls if "/health/" in url]
        assert len(remote) == 2 and all("stale=1" in url and "yurt-gateway?dc=" in url for url in remote)


@pytest.mark.parametrize(
    ("part", "said", "told"),
    [
        ("datacenters", "<html>", "consul_away"),
        ("datacenters", {"a": 1}, "about='the datacenters' wrong="),
        ("datacenters", None, "the datacenters should be a list"),
        ("datacenters", [f"r{n}" for n in range(5000)], "holds 5000 entries"),
        ("datacenters", ["us-east", "eu-west", "ap-south", "../../etc"], "'../../etc'"),
        ("datacenters", ["us-east", "eu-west", "ap-south", "dc_office"], "'dc_office'"),
        ("datacenters", ["us-east", "eu-west", "ap-south", {"x": []}, 7, ""], "about='datacenter 7'"),
        ("datacenters", ["eu-west", "ap-south"], "region us-east"),
        ("coordinates", "", "consul_away"),
        ("coordinates", 12, "the coordinates should be a list"),
        ("coordinates", ["x", None, {}], "Datacenter is missing"),
        ("coordinates", [{"Datacenter": "eu-west", "AreaID": "wan"}], "Coordinates is missing"),
        ("coordinates", [coordinates("eu-west", {})], "Vec should be a list"),
        ("coordinates", [coordinates("eu-west", at(math.nan))], "nan"),
        ("coordinates", [coordinates("eu-west", at(math.inf))], "inf"),
        ("coordinates", [coordinates("eu-west", at(1.0, height=1e300))], "Height"),
        ("coordinates", [coordinates("eu-west", at(*([0.1] * 500)))], "holds 500 entries"),
        ("coordinates", [coordinates("eu-west", *([at(0.1)] * 500))], "holds 500 entries"),
        ("coordinates", [coordinates("eu-west", at(True))], "True"),
        ("eu-west", {"not": "a list"}, "gateways of eu-west"),
        ("eu-west", [{}], "Service is missing"),
        ("eu-west", [{"Service": {}, "Checks": "passing"}], "Checks is missing"),
        ("eu-west", [gateway("javascript:alert(1)")], "is no address"),
        ("eu-west", [gateway("https://u:p@host")], "is no address"),
        ("eu-west", [gateway("https://a\nb")], "is no address"),
        ("eu-west", [gateway("https://" + "a" * 9999)], "is no address"),
        ("eu-west", "rpc error making call: stream closed", "gateways of eu-west"),
        ("eu-west", [gateway("https://x.example.org")] * 1001, "holds 1001 entries"),
        ("eu-west", '[{"Service": ', "gateways of eu-west"),
        ("eu-west", "[" * 100_000, "gateways of eu-west"),
        ("eu-west", [{"Service": json.loads("[" * 500 + "]" * 500)}], "Service is missing"),
        ("eu-west", '[{"Service": {"Meta": {"url": "\\ud800"}}, "Checks": []}]', "is no address"),
        ("coordinates", "[" + "9" * 6000 + "]", "consul_away"),
    ],
)
async def test_a_wrong_answer_changes_nothing_and_is_told_once(
    part: str, said: Any, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What was known before stays; a line names what is wrong, and comes once however often it is wrong."""
    async with scripted() as consul:
        map_ = atlas(consul)
        await map_.refresh()
        before = map_.neighbours
        if part == "eu-west":
            consul.gateways["eu-west"] = said
        else:
            setattr(consul, part, said)
        for _ in range(3):
            await map_.refresh()
        assert map_.neighbours == before
        lines = [line for line in caplog.messages if told in line]
        assert len(lines) == 1 and "\n" not in lines[0] and len(lines[0]) < 600
        assert len(caplog.messages) <= 3  # one for each thing that is wrong with it


async def test_a_fault_that_comes_again_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    """And what is right again is used again."""
    async with scripted() as consul:
        map_ = atlas(consul)
        good = consul.datacenters
        for said in (7, good, 7, 7, good):
            consul.datacenters = said
            await map_.refresh()
        assert len(ignored(caplog)) == 2
        assert [each.region for each in map_.neighbours] == ["eu-west", "ap-south"]


async def test_a_datacenter_without_gateways_of_ours_is_no_region() -> None:
    """Unless the region file says so. One gateway, well or not, makes it one; an endpoint is only a well one's."""
    async with scripted() as consul:
        consul.gateways = {"ap-south": []}
        map_ = atlas(consul)
        await map_.refresh()
        assert [(each.region, each.url) for each in map_.neighbours] == [("eu-west", "https://file.example.org")]
        consul.gateways["ap-south"] = [gateway("https://sick.example.org", "critical")]
        await map_.refresh()
        assert [(each.region, each.url) for each in map_.neighbours][1:] == [("ap-south", "")]


async def test_a_server_that_has_measured_nothing_has_no_distance() -> None:
    """It would look as if it were next door. The region file's distance stands, or none."""
    async with scripted() as consul:
        consul.coordinates[1:] = [coordinates(name, at(0.0, error=1.5)) for name in ("eu-west", "ap-south")]
        map_ = atlas(consul)
        await map_.refresh()
        assert [(each.region, each.rtt_ms) for each in map_.neighbours] == [("eu-west", 85.0), ("ap-south", None)]


async def test_a_region_is_forgotten_late_and_not_for_an_outage() -> None:
    """A server that was just started knows only itself; time without Consul does not count."""
    async with scripted() as consul:
        clock = Clock()
        map_ = atlas(consul, clock)
        await map_.refresh()
        all_of_them = map_.neighbours
        consul.datacenters, clock.now = "<html>", clock.now + 10 * FORGET_S
        await map_.refresh()
        consul.datacenters = ["us-east"]
        await map_.refresh()
        assert map_.neighbours == all_of_them
        while [each.region for each in map_.neighbours] != ["eu-west"]:
            clock.now += 30
            await map_.refresh()
            assert clock.now < 11.2 * FORGET_S
        assert clock.now > 10.8 * FORGET_S
        assert map_.neighbours == FILE.neighbours


async def test_an_answer_without_end_is_not_read_to_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """A megabyte is more than Consul has to say; one line."""
    async with scripted() as consul:
        consul.datacenters = "[" + " " * (ANSWER_BYTES + 1) + "]"
        assert not await atlas(consul).refresh()
        assert len(caplog.messages) == 1 and "larger than 1 MB" in caplog.messages[0]


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\0" * 100,
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_one_line(said: bytes) -> None:
    """As if Consul were away."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        door = ConsulDoor(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", token=TOKEN)
        with pytest.raises(Unavailable) as caught:
            await door.datacenters()
        assert "\n" not in str(caught.value) and TOKEN not in str(caught.value)


async def test_a_redirect_does_not_get_the_token() -> None:
    """``requests`` would carry the header to wherever the answer points."""
    async with scripted() as thief, scripted() as consul:
        consul.redirect = f"{thief.address}/v1/catalog/datacenters"
        with pytest.raises(Unavailable, match="it redirects"):
            await ConsulDoor(consul.address, token=TOKEN).datacenters()
        assert not thief.urls


async def test_a_consul_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then keeps a socket's deadline away; the answer has one of its own."""
    monkeypatch.setattr(consul_door, "TIMEOUT_S", 0.2)

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b" ")
                await asyncio.sleep(0.02)
        except (ConnectionError, asyncio.CancelledError):
            return response

    app = web.Application()
    app.router.add_get("/{path:.*}", drip)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    with pytest.raises(Unavailable, match="does not answer"):
        await ConsulDoor(f"http://127.0.0.1:{runner.addresses[0][1]}").datacenters()
    await runner.cleanup()


def test_distances_are_vivaldis() -> None:
    """Symmetric; an adjustment that would make a distance negative is left out; the median is over pairs of servers."""
    one = Position(vector=(0.003, 0.0), height=0.001, adjustment=0.0)
    other = Position(vector=(0.0, 0.004), height=0.002, adjustment=-0.001)
    assert rtt_ms([one], [other]) == rtt_ms([other], [one]) == pytest.approx(5 + 3 - 1)
    early = Position(vector=(0.0, 0.0), height=0.001, adjustment=-1.0)
    assert rtt_ms([one], [early]) == pytest.approx(3 + 2)
    far = Position(vector=(9.0, 9.0), height=0.001, adjustment=0.0)
    assert rtt_ms([one], [other, other, far]) == pytest.approx(7)
    assert rtt_ms([one], [far]) is None and rtt_ms([], [one]) is None
    flat = Position(vector=(0.0,), height=0.0, adjustment=0.0)
    assert rtt_ms([flat], [flat]) == LEAST_RTT_MS
    assert rtt_ms([flat], [one]) is None


def test_the_endpoint_is_what_most_passing_gateways_say() -> None:
    """The same for every reader."""
    urls = ["https://b", "https://a", "https://b", "https://c", "https://c"]
    said = [Instance(url=url, passing=True) for url in urls]
    assert endpoint(said) == endpoint(reversed(said)) == "https://b"
    assert endpoint([*said, Instance(url="https://c", passing=False)]) == "https://b"
    assert endpoint([Instance(url="", passing=True)]) == endpoint([]) == ""


def test_which_atlas_a_process_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """The file's without a Consul. A Consul that cannot be one is told before anything is sent, in one line."""
    assert isinstance(make_atlas(Connections(), FILE), StaticAtlas)
    assert isinstance(make_atlas(Connections(consul_address="http://127.0.0.1:8500"), FILE), ConsulAtlas)
    for wrong, told in (
        ({"consul_address": "127.0.0.1:8500"}, "consul_address: '127.0.0.1:8500' is no address"),
        ({"consul_address": "http://127.0.0.1:x"}, "consul_address"),
        ({"consul_address": f"http://{TOKEN}:x@h"}, "YURT_CONSUL_TOKEN"),
        ({"consul_address": "https://h", "consul_ca_file": tmp_path / "none"}, "consul_ca_file"),
        ({"consul_address": "http://h", "consul_token": f"{TOKEN}\nX: y"}, "consul_token"),
    ):
        with pytest.raises(ConfigFault, match=told) as caught:
            make_atlas(Connections(**wrong), FILE)
        assert TOKEN not in str(caught.value)


def test_nomads_service_blocks_register_what_nomad_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is told otherwise; and its tasks' token is used unless there is another. It is in no ``repr``."""
    monkeypatch.delenv("NOMAD_ALLOC_ID", raising=False)
    assert Connections().consul_register
    monkeypatch.setenv("NOMAD_ALLOC_ID", "1f")
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", TOKEN)
    assert not Connections().consul_register and Connections(consul_register=True).consul_register
    assert Connections().consul_token == TOKEN and Connections(consul_token="other").consul_token == "other"
    assert TOKEN not in repr(Connections())
