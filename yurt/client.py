"""The client library, asynchronous. ``yurt.sync`` is the same without async.

    async with Client() as client:
        execution = await client.execute("python", "print(input())", stdin="hello")
        print(execution["verdict"], execution["stdout"])

Rules
1. A submission carries an ``Idempotency-Key``, so that one that is sent again, because its answer was lost, is the
   same execution. The first time says so (``Idempotency-Attempt``), which spares a look into the other regions.
2. A broken connection and the statuses 429, 502, 503 and 504 are tried again, after ``Retry-After`` or a growing pause,
   until ``patience_s`` is over. A network that has never answered is not waited for: ``NoNetwork`` at once; nor is
   one that cannot prove to be it: ``Untrusted``.
3. What the network refuses is a ``Problem``, with every fault it named. What the program does is its verdict.
"""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

import aiohttp

from yurt import trust
from yurt.answers import ENDED, Complete, Execution, Fields, Language, Submitted
from yurt.faults import NoNetwork, Problem, problem
from yurt.stream import Stream

DEFAULT_URL = "http://127.0.0.1:8080"
WAIT_S = 60  #: the longest ``?wait=``
_ANSWER_S = 30.0  #: for an answer that waits for nothing
_PASSING = frozenset({429, 502, 503, 504})


class Client:
    """A caller's side of one network. *url* defaults to ``YURT_URL``, *token* to ``YURT_TOKEN``.

    *ca_file*, ``YURT_CA_FILE``: an authority to trust besides those of the system; ``ConfigFault`` if it is none.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        patience_s: float = 30.0,
        ca_file: Path | str | None = None,
    ) -> None:
        self.url = (url or os.environ.get("YURT_URL") or DEFAULT_URL).rstrip("/")
        self._token = token or os.environ.get("YURT_TOKEN")
        self._patience_s = patience_s
        self._trust = trust.context_of(ca_file or os.environ.get("YURT_CA_FILE"))
        self._session: aiohttp.ClientSession | None = None
        self._answered = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    # -- executions ---------------------------------------------------------------------------------------------

    async def execute(self, language: str, code: str | None = None, **fields: Unpack[Fields]) -> Execution:
        """Run it and wait for its end; raises ``Problem``, ``NoNetwork``."""
        answer = await self._submit(language, code, fields, wait=True)
        return answer if answer["status"] in ENDED else await self.wait(answer["execution_id"])

    async def submit(self, language: str, code: str | None = None, **fields: Unpack[Fields]) -> Submitted:
        """Have it accepted, which is durable; raises ``Problem``, ``NoNetwork``."""
        answer: Submitted = await self._submit(language, code, fields, wait=False)
        return answer

    async def result(self, execution_id: str, *, exact: bool = False) -> Execution:
        """The execution as it is now. *exact*: outputs are the exact bytes, as base64."""
        query = {"encoding": "base64"} if exact else {}
        answer: Execution = await self._call("GET", f"/api/v1/executions/{execution_id}", query=query)
        return answer

    async def wait(self, execution_id: str) -> Execution:
        """The execution once it has ended, however long that takes."""
        async with aclosing(aiter(self.stream(execution_id))) as events:
            async for event in events:
                if isinstance(event, Complete):
                    return event.execution
        return await self.result(execution_id)

    def stream(self, execution_id: str, *, start: int = 1) -> Stream:
        """What happens, as it happens, from output *start* on; survives dropped connections."""
        return Stream(self, execution_id, start=start)

    async def cancel(self, execution_id: str) -> None:
        """End it; a ``Problem`` of status 409 when it has ended already."""
        await self._call("DELETE", f"/api/v1/executions/{execution_id}")

    async def executions(self, *, limit: int = 20, cursor: str = "", status: str = "") -> dict[str, Any]:
        """One's own executions, newest first."""
        query = {"limit": str(limit), "cursor": cursor, "status": status}
        answer: dict[str, Any] = await self._call(
            "GET", "/api/v1/executions", query={name: value for name, value in query.items() if value}
        )
        return answer

    async def submit_batch(self, executions: list[dict[str, Any]]) -> dict[str, Any]:
        """Several submissions at once; the answer holds their ids in order."""
        answer: dict[str, Any] = await self._call(
            "POST", "/api/v1/batches", body={"executions": executions}, key=uuid.uuid4().hex
        )
        return answer

    async def batch(self, batch_id: str) -> dict[str, Any]:
        """The states and results of a batch."""
        answer: dict[str, Any] = await self._call("GET", f"/api/v1/batches/{batch_id}")
        return answer

    # -- the network --------------------------------------------------------------------------------------------

    async def languages(self) -> list[Language]:
        """What programs may be written in, with versions."""
        answer: list[Language] = await self._call("GET", "/api/v1/languages")
        return answer

    async def regions(self) -> list[dict[str, Any]]:
        """The regions that this one knows, with their health."""
        answer: list[dict[str, Any]] = await self._call("GET", "/api/v1/regions")
        return answer

    # -- inside -------------------------------------------------------------------------------------------------

    async def _submit(self, language: str, code: str | None, fields: Fields, *, wait: bool) -> Any:
        body: dict[str, Any] = {"language": language, **fields}
        if code is not None:
            body["code"] = code
        query = {"wait": str(WAIT_S)} if wait else {}
        return await self._call("POST", "/api/v1/execute", body=body, query=query, key=uuid.uuid4().hex)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: dict[str, str] | None = None,
        key: str | None = None,
    ) -> Any:
        patience = Patience(self._patience_s)
        answer_s = _ANSWER_S + (WAIT_S if query and "wait" in query else 0)
        headers = {"Idempotency-Key": key, "Idempotency-Attempt": "1"} if key else {}
        while True:
            try:
                return await self._once(method, path, body, query, headers, answer_s)
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
                if (distrust := trust.untrusted(self.url, error)) is not None:
                    raise distrust from error
                if not self._answered or not await patience.pause():
                    raise self.unreachable(error) from error
            except Problem as error:
                if error.status not in _PASSING or not await patience.pause(error.retry_after_s):
                    raise
            headers.pop("Idempotency-Attempt", None)

    async def _once(
        self,
        method: str,
        path: str,
        body: Any,
        query: dict[str, str] | None,
        headers: dict[str, str],
        answer_s: float,
    ) -> Any:
        request = self.session.request(
            method,
            self.url + path,
            json=body,
            params=query,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=answer_s, connect=5),
        )
        async with request as answer:
            self._answered = True
            if answer.status >= 400:
                raise problem(answer.status, await _json_of(answer), answer.headers.get("Retry-After"))
            return await answer.json(content_type=None)

    @property
    def session(self) -> aiohttp.ClientSession:
        """The HTTP session, made on first use, inside the running loop."""
        if self._session is None:
            headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
            connector = aiohttp.TCPConnector(limit=0, ssl=self._trust or True)
            self._session = aiohttp.ClientSession(headers=headers, connector=connector, read_bufsize=1 << 18)
        return self._session

    @property
    def patience_s(self) -> float:
        return self._patience_s

    def unreachable(self, error: BaseException) -> NoNetwork:
        """The exception for a connection that could not be made."""
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or "no answer in time"
        return NoNetwork(f"no network answers at {self.url} ({reason}); start one with: yurt up")


class Patience:
    """Pauses between tries, growing, until the patience is over."""

    def __init__(self, seconds: float) -> None:
        self._until = asyncio.get_running_loop().time() + seconds
        self._pause_s = 0.1

    async def pause(self, at_least_s: float | None = None) -> bool:
        """Wait and say True; False, at once, where that would take longer than there is patience."""
        pause_s = max(self._pause_s * random.uniform(0.5, 1.0), at_least_s or 0.0)  # noqa: S311  # not a secret
        self._pause_s = min(self._pause_s * 2, 5.0)
        if asyncio.get_running_loop().time() + pause_s > self._until:
            return False
        await asyncio.sleep(pause_s)
        return True


async def _json_of(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    try:
        body = await answer.json(content_type=None)
    except ValueError:  # not from an application of ours; but a port that wants HTTPS says so in words
        return {"title": (await answer.text())[:200].strip()} if answer.content_type == "text/plain" else {}
    return body if isinstance(body, dict) else {}
