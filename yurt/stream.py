"""An execution followed live, over a WebSocket that may drop and come back.

Theory of operation. The server sends the status, then numbered output, then the result. We remember the last number
and, when the connection drops, ask for what comes after it; a number seen before is passed over. When a runner is lost
the program runs again: the status then tells a higher attempt, and numbers start at 1 anew.

Connections are tried again for as long as the client has patience, counted from the last thing that came.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

import aiohttp

from yurt.answers import Complete, Event, Execution, Output, Status
from yurt.faults import Problem, problem
from yurt.trust import untrusted

if TYPE_CHECKING:
    from yurt.client import Client

_QUIET_S = 20.0  #: a connection that answers no ping for this long is gone
_RESULT_BYTES = 64 * 1024 * 1024

#: WebSocket close codes that end a stream, as HTTP's statuses and the words for them
_FINAL_CODES = {
    4001: (401, "the network does not know who asks; set YURT_TOKEN"),
    4003: (403, "this execution is somebody else's"),
    4004: (404, "there is no execution of this id; results are kept for a limited time"),
}


class Stream:
    """Iterate it for ``Status``, ``Output`` and, last, ``Complete``; say things to the program meanwhile."""

    def __init__(self, client: Client, execution_id: str, *, start: int = 1) -> None:
        self._client = client
        self._execution_id = execution_id
        self._next = start
        self._attempt: int | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._connected = asyncio.Event()

    async def stdin(self, data: bytes) -> None:
        """Bytes for the program's standard input; the submission must have been ``interactive``."""
        await self._say({"type": "stdin", "data": base64.b64encode(data).decode()})

    async def stdin_eof(self) -> None:
        await self._say({"type": "stdin_eof"})

    async def signal(self, name: str) -> None:
        """``SIGINT`` … for the program."""
        await self._say({"type": "signal", "signal": name})

    async def resize(self, rows: int, cols: int) -> None:
        await self._say({"type": "resize", "rows": rows, "cols": cols})

    def __aiter__(self) -> AsyncGenerator[Event, None]:
        return self._events()

    async def _events(self) -> AsyncGenerator[Event, None]:
        from yurt.client import Patience  # not at the top: the client imports this module

        patience = Patience(self._client.patience_s)
        while True:
            try:
                async for event in self._connection():
                    patience = Patience(self._client.patience_s)
                    yield event
                    if isinstance(event, Complete):
                        return
                if not await patience.pause():
                    raise self._client.unreachable(TimeoutError("the stream keeps ending early"))
            except aiohttp.WSServerHandshakeError as error:
                if error.status < 500 or not await patience.pause():
                    raise problem(error.status, {"title": error.message}, None) from error
            except (aiohttp.ClientError, TimeoutError) as error:
                if (distrust := untrusted(self._client.url, error)) is not None:
                    raise distrust from error
                if not await patience.pause():
                    raise self._client.unreachable(error) from error

    async def _connection(self) -> AsyncGenerator[Event, None]:
        """One connection's events, until it ends; raises ``Problem`` where another would end the same."""
        url = f"{self._client.url}/ws/execution/{self._execution_id}"
        query = {"encoding": "base64", "from": str(self._next)}
        async with self._client.session.ws_connect(
            url, params=query, heartbeat=_QUIET_S, max_msg_size=_RESULT_BYTES
        ) as socket:
            self._socket = socket
            self._connected.set()
            try:
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        event = self._read(json.loads(message.data))
                        if event is not None:
                            yield event
            finally:
                self._connected.clear()
                self._socket = None
            if socket.close_code in _FINAL_CODES:
                status, words = _FINAL_CODES[socket.close_code]
                raise Problem(status=status, title=words)

    def _read(self, message: dict[str, Any]) -> Event | None:
        kind = message.get("type")
        if kind == "output":
            return self._output(message)
        if kind == "status":
            return self._status(message)
        if kind == "complete":
            return Complete(execution=in_text(message["result"]))
        return None  # a newer network's

    def _output(self, message: dict[str, Any]) -> Output | None:
        seq = int(message["seq"])
        if seq < self._next:
            return None
        self._next = seq + 1
        return Output(seq=seq, stream=str(message["stream"]), data=base64.b64decode(message["data"]))

    def _status(self, message: dict[str, Any]) -> Status:
        attempt = message.get("attempt")
        if isinstance(attempt, int):
            if self._attempt is not None and attempt > self._attempt:
                self._next = 1
            self._attempt = attempt
        return Status(status=str(message["status"]), attempt=self._attempt)

    async def _say(self, message: dict[str, Any]) -> None:
        async with asyncio.timeout(self._client.patience_s):
            await self._connected.wait()
        if self._socket is not None:
            await self._socket.send_str(json.dumps(message))


def in_text(execution: dict[str, Any]) -> Execution:
    """An execution whose outputs came as base64, with them as text; undecodable bytes are replaced."""
    text: Any = {**execution, **_decoded(execution)}
    if isinstance(execution.get("compile"), dict):
        text["compile"] = {**execution["compile"], **_decoded(execution["compile"])}
    if isinstance(execution.get("cases"), list):
        text["cases"] = [{**case, **_decoded(case)} for case in execution["cases"]]
    result: Execution = text
    return result


def _decoded(fields: dict[str, Any]) -> dict[str, str]:
    return {
        name: base64.b64decode(fields[name]).decode(errors="replace")
        for name in ("stdout", "stderr")
        if isinstance(fields.get(name), str)
    }
