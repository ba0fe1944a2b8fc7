"""Live output: the WebSocket, and the same as Server-Sent Events.

Theory of operation. Both read ``feed.follow`` and write each step as one message; a listener that reads too slowly
holds up only itself, and is let go after ``SLOW_S``: it can come back at the number it has. The WebSocket has a second
half, which passes what the client says (stdin, signals, terminal size) to the runner, in order, once there is one.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from gateway import query, render
from gateway.desk import Desk
from gateway.feed import Complete, Feed, Status, follow
from gateway.handlers.executions import ask_runner
from jobs.errors import Fault, InvalidSubmission, Unavailable, WireFault
from jobs.events import Chunk, Control, ControlKind
from jobs.states import State

HEARTBEAT_S = 30.0
EVENTS_HEARTBEAT_S = 15.0
SLOW_S = 10.0  #: one message must leave within this, and the time that its size takes at
SLOWEST_BYTES_A_S = 64 * 1024
CLOSE_S = 3.0  #: the client's answer to a close
CONTROL_S = 2.0
CLIENT_MESSAGE_BYTES = 1 << 20

UNKNOWN, TOO_SLOW = 4004, 4008

_KNOWN = frozenset({"from", "encoding"})

Step = Status | Chunk | Complete


def plain(step: Step, base64_: bool) -> dict[str, Any]:
    """A step as the message that a listener gets."""
    if isinstance(step, Chunk):
        return {
            "type": "output",
            "seq": step.seq,
            "stream": step.stream.value,
            "data": render.output(step.data, base64_),
        }
    if isinstance(step, Status):
        return {
            "type": "status",
            "status": step.state.value,
            "attempt": step.attempt or None,
            "queued_at": render.moment(step.queued_at_ms),
            "started_at": render.moment(step.started_at_ms),
        }
    return {"type": "complete", "result": render.ended(step.result, base64_)}


def patience_s(message: bytes) -> float:
    return SLOW_S + len(message) / SLOWEST_BYTES_A_S


# -- WebSocket ---------------------------------------------------------------------------------------------------


async def websocket(desk: Desk, request: web.Request) -> web.WebSocketResponse:
    """``GET /ws/execution/{id}``"""
    asked = query.read(request.rel_url.raw_query_string, _KNOWN)
    feed = await desk.archive.find(request.match_info["id"].lower())
    if feed is not None:
        feed = await desk.archive.live(feed)
    socket = web.WebSocketResponse(
        heartbeat=HEARTBEAT_S, timeout=CLOSE_S, compress=False, max_msg_size=CLIENT_MESSAGE_BYTES
    )
    await socket.prepare(request)
    if feed is None:
        await socket.close(code=UNKNOWN, message=b"unknown execution")
        return socket
    desk.sockets.add(socket)
    desk.metrics.listeners += 1
    try:
        await _serve(desk, socket, feed, asked)
    finally:
        desk.metrics.listeners -= 1
        desk.sockets.discard(socket)
    return socket


async def _serve(desk: Desk, socket: web.WebSocketResponse, feed: Feed, asked: query.Query) -> None:
    """Until the end is told, or either side goes away."""
    telling = asyncio.create_task(_tell(socket, feed, asked), name=f"tell-{feed.id}")
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await _hear(desk, socket, feed, message.data, asked.base64)
    finally:
        telling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await telling


async def _tell(socket: web.WebSocketResponse, feed: Feed, asked: query.Query) -> None:
    try:
        async for step in follow(feed, asked.start):
            message = render.dump(plain(step, asked.base64))
            async with asyncio.timeout(patience_s(message)):
                await socket.send_frame(message, WSMsgType.TEXT)
    except TimeoutError:
        # without draining: that is what it does not let us do
        await socket.close(code=TOO_SLOW, message=b"too slow a reader; resume with from", drain=False)
    except (ConnectionError, RuntimeError):
        return  # the client went away in the middle of a message
    else:
        await socket.close(code=WSCloseCode.OK)


async def _hear(desk: Desk, socket: web.WebSocketResponse, feed: Feed, text: str, base64_: bool) -> None:
    """One message of the client's. What is wrong with it is told in a message of type ``error``."""
    try:
        control = control_of(feed.id, text, base64_)
        await _until_running(feed)
        reply = await ask_runner(desk, feed, control, timeout_s=CONTROL_S) if feed.result is None else None
        problem = "" if reply is not None and reply.accepted else reply.problem if reply is not None else "it has ended"
        if reply is None and feed.result is None:
            problem = "no runner has it at present"
    except (ValueError, Unavailable, WireFault) as fault:
        problem = str(fault)
    if problem and not socket.closed:
        with contextlib.suppress(ConnectionError, RuntimeError):
            await socket.send_str(json.dumps({"type": "error", "problem": problem}))


async def _until_running(feed: Feed) -> None:
    with feed.listening() as wake:
        while feed.state is State.QUEUED:
            wake.clear()
            await wake.wait()


def control_of(execution_id: str, text: str, base64_: bool) -> Control:
    """What a client's message asks of the runner; raises ``ValueError`` with what is wrong with it."""
    try:
        message = json.loads(text)
        kind = ControlKind(message["type"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("a message is an object with a type: stdin, stdin_eof, signal or resize") from error
    if kind is ControlKind.CANCEL:
        raise ValueError("to cancel, DELETE the execution")
    if kind is ControlKind.STDIN:
        return Control(execution_id=execution_id, kind=kind, data=_stdin(message.get("data"), base64_))
    if kind is ControlKind.SIGNAL:
        return Control(execution_id=execution_id, kind=kind, signal=_signal(message.get("signal")))
    if kind is ControlKind.RESIZE:
        rows, cols = (_cells(message.get(name), name) for name in ("rows", "cols"))
        return Control(execution_id=execution_id, kind=kind, rows=rows, cols=cols)
    return Control(execution_id=execution_id, kind=kind)


def _stdin(data: object, base64_: bool) -> bytes:
    if not isinstance(data, str):
        raise ValueError("stdin needs data, a string")
    try:
        return base64.b64decode(data, validate=True) if base64_ else data.encode()
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("the data of stdin is not what ?encoding says") from error


def _signal(name: object) -> str:
    if not isinstance(name, str) or not name.startswith("SIG") or not name.isascii() or len(name) > 12:
        raise ValueError("signal needs a name such as SIGINT")
    return name


def _cells(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1000:
        raise ValueError(f"resize needs {name}, a whole number from 1 to 1000")
    return value


# -- Server-Sent Events ------------------------------------------------------------------------------------------


async def events(desk: Desk, request: web.Request) -> web.StreamResponse:
    """``GET /api/v1/executions/{id}/events``"""
    asked = query.read(request.rel_url.raw_query_string, _KNOWN)
    last = request.headers.get("Last-Event-ID", "")
    if last == "end":
        return web.Response(status=204)  # a browser that comes back after the end is told to stay away
    start = _after(last) if last else asked.start
    feed = await desk.archive.live(await desk.archive.need(request.match_info["id"]))
    response = web.StreamResponse(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    response.content_type = "text/event-stream"
    response.charset = "utf-8"
    await response.prepare(request)
    desk.metrics.listeners += 1
    try:
        await _stream(response, feed, start, asked.base64)
    except (TimeoutError, ConnectionError):
        if request.transport is not None:
            request.transport.abort()  # too slow, or gone
    finally:
        desk.metrics.listeners -= 1
    return response


def _after(last: str) -> int:
    if not (last.isascii() and last.isdigit() and len(last) < 16):
        fault = Fault(field="Last-Event-ID", problem="is no number of ours", cure="send the last id that came")
        raise InvalidSubmission((fault,))
    return int(last) + 1


async def _stream(response: web.StreamResponse, feed: Feed, start: int, base64_: bool) -> None:
    steps = follow(feed, start)
    upcoming = asyncio.ensure_future(anext(steps))
    try:
        while True:
            done, _ = await asyncio.wait({upcoming}, timeout=EVENTS_HEARTBEAT_S)
            if not done:
                await _write(response, b": still here\n\n")
                continue
            step = upcoming.result()
            await _write(response, _event(step, base64_))
            if isinstance(step, Complete):
                return
            upcoming = asyncio.ensure_future(anext(steps))
    finally:
        upcoming.cancel()
        await asyncio.gather(upcoming, return_exceptions=True)
        await steps.aclose()  # type: ignore[attr-defined]  # an async generator


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(patience_s(data)):
        await response.write(data)


def _event(step: Step, base64_: bool) -> bytes:
    message = plain(step, base64_)
    identity = f"id: {step.seq}\n" if isinstance(step, Chunk) else "id: end\n" if isinstance(step, Complete) else ""
    return identity.encode() + f"event: {message['type']}\ndata: ".encode() + render.dump(message) + b"\n\n"
