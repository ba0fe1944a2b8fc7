"""The client against a server that breaks off, is full, and loses runners: nothing twice, no wait for ever."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

import yurt
from yurt.answers import Complete, Event, Output, Status

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[..., Awaitable[yurt.Client]]

EXECUTION = {
    "execution_id": "e1",
    "status": "completed",
    "verdict": "ok",
    "exit_code": 0,
    "compile": None,
    "cases": None,
}


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def output(seq: int, text: str) -> dict[str, Any]:
    return {"type": "output", "seq": seq, "stream": "stdout", "data": base64_of(text)}


def complete(text: str) -> dict[str, Any]:
    return {"type": "complete", "result": {**EXECUTION, "stdout": base64_of(text), "stderr": ""}}


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """A client of a server that answers by the given handlers."""
    servers, clients = [], []

    async def made(*, patience_s: float = 5.0, **handlers: Handler) -> yurt.Client:
        app = web.Application()
        paths = {"execute": "/api/v1/execute", "follow": "/ws/execution/{id}", "read": "/api/v1/executions/{id}"}
        for name, handler in handlers.items():
            app.router.add_route("*", paths[name], handler)
        server = TestServer(app)
        await server.start_server()
        servers.append(server)
        clients.append(yurt.Client(str(server.make_url("")), patience_s=patience_s))
        return clients[-1]

    yield made
    for client in clients:
        await client.close()
    for server in servers:
        await server.close()


async def test_a_full_network_is_asked_again_under_the_same_key(serve: Serve) -> None:
    """The first time says that it is: other regions then need not be asked for the key."""
    keys, attempts = [], []

    async def execute(request: web.Request) -> web.Response:
        keys.append(request.headers["Idempotency-Key"])
        attempts.append(request.headers.get("Idempotency-Attempt"))
        if len(keys) < 3:
            body = {"title": "There is no room", "reason": "queue_full"}
            return web.json_response(body, status=429, headers={"Retry-After": "0"})
        return web.json_response({"execution_id": "e1", "status": "queued"}, status=202)

    client = await serve(execute=execute)
    assert (await client.submit("python", "print(1)"))["execution_id"] == "e1"
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert attempts == ["1", None, None]


async def test_a_broken_connection_is_made_again_under_the_same_key(serve: Serve) -> None:
    keys = []

    async def execute(request: web.Request) -> web.Response:
        keys.append(request.headers["Idempotency-Key"])
        if len(keys) == 2:  # the first told the client that somebody is there
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"execution_id": "e1", "status": "queued"}, status=202)

    client = await serve(execute=execute)
    await client.submit("python", "1")
    await client.submit("python", "2")
    assert keys[1] == keys[2] != keys[0]


async def test_patience_ends_and_then_the_refusal_is_told(serve: Serve) -> None:
    async def execute(request: web.Request) -> web.Response:
        body = {"title": "There is no room", "detail": "the queue is full", "reason": "queue_full"}
        return web.json_response(body, status=429, headers={"Retry-After": "60"})

    client = await serve(execute=execute, patience_s=0.5)
    with pytest.raises(yurt.Problem, match="the queue is full") as caught:
        await client.submit("python", "print(1)")
    assert (caught.value.status, caught.value.reason, caught.value.retry_after_s) == (429, "queue_full", 60.0)


async def test_a_refusal_carries_every_fault_and_is_not_tried_again(serve: Serve) -> None:
    calls = []

    async def execute(request: web.Request) -> web.Response:
        calls.append(request)
        errors = [
            {"field": "timeout", "problem": "is 99", "cure": "use 1 to 30"},
            {"field": "cod", "problem": "is unknown", "cure": "did you mean code?"},
        ]
        return web.json_response({"title": "Some fields", "errors": errors, "request_id": "r1"}, status=422)

    client = await serve(execute=execute)
    with pytest.raises(yurt.Problem) as caught:
        await client.execute("python", "print(1)")
    assert [fault.field for fault in caught.value.faults] == ["timeout", "cod"]
    assert str(caught.value) == "timeout: is 99 (use 1 to 30); cod: is unknown (did you mean code?)"
    assert len(calls) == 1


async def test_a_network_that_never_answered_is_not_waited_for() -> None:
    async with yurt.Client("http://127.0.0.1:1", patience_s=60) as client:
        with pytest.raises(yurt.NoNetwork, match="yurt up"):
            await client.languages()


async def test_a_dropped_stream_goes_on_after_the_last_number_it_had(serve: Serve) -> None:
    asked = []

    async def follow(request: web.Request) -> web.WebSocketResponse:
        asked.append(request.query["from"])
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "status", "status": "running", "attempt": 1})
        if len(asked) == 1:
            await socket.send_json(output(1, "one"))
            await socket.send_json(output(2, "two"))
            await socket.close(code=4008)
        else:
            await socket.send_json(output(2, "two"))  # told again, passed over
            await socket.send_json(output(3, "three"))
            await socket.send_json(complete("onetwothree"))
            await socket.close()
        return socket

    client = await serve(follow=follow)
    events = [event async for event in client.stream("e1")]
    assert [event.text for event in events if isinstance(event, Output)] == ["one", "two", "three"]
    assert asked == ["1", "3"]
    assert isinstance(events[-1], Complete)
    assert events[-1].execution["stdout"] == "onetwothree"


async def test_a_lost_runner_starts_the_numbers_anew(serve: Serve) -> None:
    async def follow(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "status", "status": "running", "attempt": 1})
        await socket.send_json(output(1, "half"))
        await socket.send_json({"type": "status", "status": "running", "attempt": 2})
        await socket.send_json(output(1, "whole"))
        await socket.send_json(complete("whole"))
        await socket.close()
        return socket

    client = await serve(follow=follow)
    events: list[Event] = [event async for event in client.stream("e1")]
    assert [event.text for event in events if isinstance(event, Output)] == ["half", "whole"]
    assert [event.attempt for event in events if isinstance(event, Status)] == [1, 2]


async def test_an_unknown_execution_ends_the_stream_with_its_reason(serve: Serve) -> None:
    async def follow(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.close(code=4004)
        return socket

    client = await serve(follow=follow)
    with pytest.raises(yurt.Problem, match="no execution of this id") as caught:
        await client.wait("e1")
    assert caught.value.status == 404


async def test_a_stream_that_never_gets_anywhere_ends_with_patience(serve: Serve) -> None:
    async def follow(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.close(code=1001)
        return socket

    client = await serve(follow=follow, patience_s=0.3)
    with pytest.raises(yurt.NoNetwork):
        await client.wait("e1")


async def test_execute_waits_on_when_the_answer_came_before_the_end(serve: Serve) -> None:
    async def execute(request: web.Request) -> web.Response:
        assert request.query["wait"]
        return web.json_response({"execution_id": "e1", "status": "running"}, status=202)

    async def follow(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json(complete("late"))
        await socket.close()
        return socket

    client = await serve(execute=execute, follow=follow)
    assert (await client.execute("python", "print('late')"))["stdout"] == "late"


def test_the_package_exports_what_it_says_and_loads_it_late() -> None:
    for name in yurt.__all__:
        assert getattr(yurt, name) is not None
    with pytest.raises(AttributeError):
        _ = yurt.Nothing  # type: ignore[attr-defined]
