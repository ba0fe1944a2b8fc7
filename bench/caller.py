"""The load generator: one HTTP/1.1 connection kept open, one request at a time on it, and a WebSocket's reading half.

Theory of operation. The cores are shared with what is measured, and a general HTTP client costs about half a
millisecond of them a request; this one knows the few answers that our gateway gives (a status, a Content-Length, a
body) and costs a tenth of that. What it does not know is an error, never a guess.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from typing import Any, cast
from urllib.parse import urlsplit

ANSWER_S = 120.0  #: every wait has an end
_CONTINUES, _TEXT, _CLOSE, _PING, _PONG = 0, 1, 8, 9, 10


class WrongAnswer(Exception):
    """An answer that is not what the program must print, or no answer at all."""


class Line(asyncio.Protocol):
    """A connection. ``open`` one, ``call`` on it, ``close`` it; a call after the other side closed opens it anew."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self._transport: asyncio.Transport | None = None
        self._held = b""
        self._need = 0  #: bytes of the whole answer, 0 while its head is not complete
        self._body_at = 0
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._waits_until = 0.0
        self._watch: asyncio.TimerHandle | None = None

    @classmethod
    async def open(cls, url: str) -> Line:
        line = cls(url)
        await line._connect()
        return line

    async def call(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body; raises ``WrongAnswer`` when there is none."""
        if self._transport is None or self._transport.is_closing():
            await self._connect()
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        self._answer = loop.create_future()
        self._held, self._need = b"", 0
        self._waits_until = loop.time() + ANSWER_S
        self._transport.write(
            f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        return await self._answer

    async def execution(self, body: bytes) -> dict[str, Any]:
        """Submit *body* and wait for its end: the execution; raises ``WrongAnswer``."""
        status, answer = await self.call("POST", "/api/v1/execute?wait=60", body)
        if status != 200:
            raise WrongAnswer(f"status {status}: {answer[:200].decode(errors='replace')}")
        return _object(answer)

    async def submit(self, body: bytes) -> str:
        """Submit *body*: the execution's id; raises ``WrongAnswer``."""
        status, answer = await self.call("POST", "/api/v1/execute", body)
        if status != 202:
            raise WrongAnswer(f"status {status}: {answer[:200].decode(errors='replace')}")
        return str(_object(answer)["execution_id"])

    async def get(self, path: str) -> Any:
        """The answer to GET, which must be 200."""
        status, answer = await self.call("GET", path)
        if status != 200:
            raise WrongAnswer(f"{path}: status {status}")
        return json.loads(answer)

    def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, self.host, self.port)
        if self._watch is None:
            self._watch = loop.call_later(1.0, self._look)

    def _look(self) -> None:
        """One timer a connection, not one a request."""
        loop = asyncio.get_running_loop()
        if self._answer is not None and not self._answer.done() and loop.time() > self._waits_until:
            self._fail(f"no answer in {ANSWER_S:.0f} s")
        self._watch = loop.call_later(1.0, self._look)

    # -- asyncio.Protocol ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so

    def data_received(self, data: bytes) -> None:
        self._held = self._held + data if self._held else data
        if not self._need and not self._read_head():
            return
        if len(self._held) >= self._need and self._answer is not None and not self._answer.done():
            self._answer.set_result((int(self._held[9:12]), self._held[self._body_at : self._need]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail(f"the connection was lost: {exc or 'closed by the other side'}")

    def _read_head(self) -> bool:
        end = self._held.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = self._held[:end].lower()
        at = head.find(b"\r\ncontent-length:")
        if at < 0:
            self._fail("an answer without a Content-Length")
            return False
        stop = head.find(b"\r\n", at + 2)
        self._body_at = end + 4
        self._need = self._body_at + int(head[at + 17 : stop if stop > 0 else end])
        return True

    def _fail(self, why: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(WrongAnswer(why))


class Listener:
    """A WebSocket to an execution; ``message`` gives what comes, until None for the close."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, url: str, execution_id: str) -> Listener:
        parts = urlsplit(url)
        host, port = parts.hostname or "127.0.0.1", parts.port or 80
        reader, writer = await asyncio.open_connection(host, port)
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET /ws/execution/{execution_id} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        async with asyncio.timeout(ANSWER_S):
            head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            writer.close()
            raise WrongAnswer(f"no WebSocket: {head.splitlines()[0].decode(errors='replace')}")
        return cls(reader, writer)

    async def message(self) -> dict[str, Any] | None:
        """The next message; None when the other side closed in good order."""
        async with asyncio.timeout(ANSWER_S):
            while True:
                kind, data = await self._frame()
                if kind == _TEXT:
                    return _object(data)
                if kind == _CLOSE:
                    self._send(_CLOSE, data[:2])
                    if data[:2] != b"\x03\xe8":
                        raise WrongAnswer(f"closed with {int.from_bytes(data[:2], 'big')}")
                    return None
                if kind == _PING:
                    self._send(_PONG, data)

    def close(self) -> None:
        self._writer.close()

    async def _frame(self) -> tuple[int, bytes]:
        kind, length = await self._reader.readexactly(2)
        if not kind & 0x80 or kind & 0x0F == _CONTINUES:
            raise WrongAnswer("a message in pieces, which this listener does not read")
        if length > 125:
            length = int.from_bytes(await self._reader.readexactly(2 if length == 126 else 8), "big")
        return kind & 0x0F, await self._reader.readexactly(length)

    def _send(self, kind: int, data: bytes) -> None:
        # a mask of zeros is a mask, and leaves the bytes as they are
        self._writer.write(bytes((0x80 | kind, 0x80 | len(data), 0, 0, 0, 0)) + data)


def request(language: str, code: str, **fields: Any) -> bytes:
    """A submission's body."""
    return json.dumps({"language": language, "code": code, **fields}).encode()


def check(execution: dict[str, Any], stdout: str) -> None:
    """Raise ``WrongAnswer`` unless it ended well and printed *stdout*."""
    if execution["verdict"] != "ok" or execution["stdout"] != stdout:
        said = execution["message"] or (execution["compile"] or {}).get("stderr") or execution["stderr"]
        raise WrongAnswer(
            f"{execution['language']} {execution['status']}, verdict {execution['verdict']}, "
            f"printed {execution['stdout'][:60]!r} instead of {stdout[:60]!r}; {str(said)[:160]}"
        )


def _object(answer: bytes) -> dict[str, Any]:
    try:
        value = json.loads(answer)
    except ValueError as error:
        raise WrongAnswer(f"no JSON: {answer[:100]!r}") from error
    if not isinstance(value, dict):
        raise WrongAnswer(f"no object: {answer[:100]!r}")
    return value
