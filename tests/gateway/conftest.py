"""A gateway on a real socket with a real NATS behind it, and a scripted runner at its side."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
import pytest

from gateway.app import serve
from gateway.settings import Settings
from jobs.region import Region, embedded
from jobs.service.bus import Bus
from jobs.service.settings import load_region
from jobs.streams import plan
from tests.conftest import (
    NatsServer,  # noqa: F401  (the type of a fixture)
    make_streams,
)
from tests.gateway.scripted import ScriptedRunner, Story, hello
from tests.waiting import eventually

_numbers = itertools.count(1)

DEADLINE_S = 10.0


@dataclass
class Door:
    """A running gateway, and a client that talks to it."""

    url: str
    region: Region
    client: aiohttp.ClientSession
    stop: asyncio.Event
    serving: asyncio.Task[None]
    settings: Settings

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        async with asyncio.timeout(DEADLINE_S), self.client.request(method, self.url + path, **more) as answer:
            return answer.status, await answer.json(content_type=None)

    async def submit(self, query: str = "", **fields: Any) -> tuple[int, Any]:
        return await self.call("POST", f"/api/v1/execute{query}", json={"language": "python", "code": "", **fields})

    @asynccontextmanager
    async def listen(self, execution_id: str, query: str = "") -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with self.client.ws_connect(f"{self.url}/ws/execution/{execution_id}{query}", max_msg_size=0) as socket:
            yield socket

    async def hear(self, execution_id: str, query: str = "") -> tuple[list[dict[str, Any]], int | None]:
        """All that a WebSocket tells, and the close code."""
        told = []
        async with asyncio.timeout(DEADLINE_S), self.listen(execution_id, query) as socket:
            async for message in socket:
                told.append(message.json())
            return told, socket.close_code


async def set_up(url: str, region_name: str) -> None:
    """The region's streams, as ``yurt bootstrap`` makes them."""
    bus = await Bus.connect([url], name="set-up")
    await make_streams(bus, plan(embedded(region_name)))
    await bus.close()


@asynccontextmanager
async def open_door(url: str, region_name: str, **changes: Any) -> AsyncIterator[Door]:
    settings = Settings(host="127.0.0.1", port=0, nats_urls=(url,), region=region_name, drain_s=2.0)
    settings = Settings(**{**vars(settings), **changes})
    stop = asyncio.Event()
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(settings, stop, on_ready=ready.set_result))
    await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    async with aiohttp.ClientSession() as client:
        yield Door(
            url=ready.result(),
            region=load_region(settings.region_file, region_name),
            client=client,
            stop=stop,
            serving=serving,
            settings=settings,
        )
    stop.set()
    await serving


@pytest.fixture
def region_name() -> str:
    """A region of the test's own: its streams are nobody else's."""
    return f"t{next(_numbers)}"


@pytest.fixture
async def door(nats_server: Any, region_name: str) -> AsyncIterator[Door]:
    await set_up(nats_server.url, region_name)
    async with open_door(nats_server.url, region_name) as opened:
        yield opened


comes_true = partial(eventually, within_s=DEADLINE_S)


async def is_ready(door: Door) -> bool:
    return (await door.call("GET", "/readyz"))[0] == 200


Hire = Callable[..., Awaitable[ScriptedRunner]]


@pytest.fixture
async def hire(nats_server: Any, door: Door, bus: Bus) -> AsyncIterator[Hire]:
    """A runner that tells a story; the gateway has heard of it when this returns."""
    async with AsyncExitStack() as cleanup:

        async def hire_one(tells: Story = hello, **more: Any) -> ScriptedRunner:
            runner = ScriptedRunner(bus, door.region, tells=tells)
            await runner.start(**more)
            cleanup.push_async_callback(runner.stop)
            await comes_true(lambda: is_ready(door))
            return runner

        yield hire_one
