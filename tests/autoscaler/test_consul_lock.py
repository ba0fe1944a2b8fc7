"""The lock in Consul, against a server that speaks Consul's answers: sessions end, keys are held, tokens hidden."""

from __future__ import annotations

import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from autoscaler.lock import ConsulLock
from jobs.errors import ConfigFault, Unavailable
from jobs.service.consul_door import ConsulDoor

TOKEN = "5ec2e7b2-a1c0-4de0-8b3a-0123456789ab"


@dataclass
class ScriptedConsul:
    sessions: set[str] = field(default_factory=set)
    holder: str = ""
    value: str = ""
    moods: list[tuple[int, str]] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    created: list[Any] = field(default_factory=list)
    address: str = ""
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def answer(self, request: web.Request) -> web.Response:
        self.urls.append(str(request.url))
        self.tokens.append(request.headers.get("X-Consul-Token"))
        if self.moods:
            status, text = self.moods.pop(0)
            return web.Response(status=status, text=text)
        verb, _, last = request.path.removeprefix("/v1/").rpartition("/")
        if verb == "session" and last == "create":
            self.created.append(await request.json())
            session = f"session-{next(self.numbers)}"
            self.sessions.add(session)
            return web.json_response({"ID": session})
        if verb == "session/renew":
            if last not in self.sessions:
                return web.Response(status=404, text=f"Session id '{last}' not found")
            return web.json_response([{"ID": last}])
        if verb == "session/destroy":
            self.end(last)
            return web.json_response(True)
        if verb.startswith("kv/"):
            return await self._keys(request)
        return web.Response(status=404)

    async def _keys(self, request: web.Request) -> web.Response:
        if "release" in request.query:
            done = self.holder == request.query["release"]
            self.holder = "" if done else self.holder
            return web.json_response(done)
        if self.holder in ("", request.query["acquire"]):
            self.holder, self.value = request.query["acquire"], await request.text()
            return web.json_response(True)
        return web.json_response(False)

    def end(self, session: str) -> None:
        """As its time to live does."""
        self.sessions.discard(session)
        if self.holder == session:
            self.holder = ""


@asynccontextmanager
async def scripted_consul() -> AsyncIterator[ScriptedConsul]:
    consul = ScriptedConsul()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", consul.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    consul.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield consul
    await runner.cleanup()


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def lock(consul: ScriptedConsul, owner: str, clock: Clock | None = None) -> ConsulLock:
    door = ConsulDoor(consul.address, token=TOKEN)
    return ConsulLock(door, region="us-east", owner=owner, clock=clock or Clock())


async def test_one_holds_it_and_the_next_one_follows() -> None:
    """By a session of fifteen seconds; leaving lets the other in at once."""
    async with scripted_consul() as consul:
        first, second = lock(consul, "first"), lock(consul, "second")
        assert await first.take() and not await second.take()
        assert await first.take() and first.held and not second.held
        assert (consul.value, consul.created[0]["ttl"]) == ("first", "15s")
        await first.leave()
        assert not first.held
        assert await second.take() and consul.value == "second"


async def test_a_session_that_ended_is_made_anew() -> None:
    """And where another was quicker, the lock is the other's."""
    async with scripted_consul() as consul:
        first, second = lock(consul, "first"), lock(consul, "second")
        assert await first.take()
        consul.end("session-1")
        assert await first.take() and first.held
        consul.end("session-2")
        assert await second.take()
        assert not await first.take() and not first.held


async def test_a_lock_in_consul_is_believed_for_less_than_its_session_lives() -> None:
    """Counted from before it was asked for."""
    async with scripted_consul() as consul:
        clock = Clock()
        held = lock(consul, "first", clock)
        assert await held.take()
        clock.now += 12.9
        assert held.held
        clock.now += 0.2
        assert not held.held


async def test_consul_that_is_away_or_refuses_is_one_line() -> None:
    """No leader, no permission, no page of Consul's, nobody there."""
    async with scripted_consul() as consul:
        for mood, said in (
            ((500, "No cluster leader"), "No cluster leader"),
            ((403, "Permission denied"), "needs session:write"),
            ((200, "<html>"), "Consul at http"),
        ):
            consul.moods = [mood]
            with pytest.raises(Unavailable, match=said) as caught:
                await lock(consul, "first").take()
            assert TOKEN not in str(caught.value) and "\n" not in str(caught.value)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = ScriptedConsul(address=f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(Unavailable, match="does not answer"):
            await lock(nobody, "first").take()
    with pytest.raises(ConfigFault, match="consul_address"):
        ConsulDoor("127.0.0.1:8500")


async def test_consuls_token_travels_in_the_header_alone() -> None:
    """In no URL."""
    async with scripted_consul() as consul:
        held = lock(consul, "first")
        await held.take()
        await held.take()
        await held.leave()
        assert set(consul.tokens) == {TOKEN}
        assert not any(TOKEN in url or "token" in url for url in consul.urls)
