"""The client library without async: the same methods, run on an event loop in a thread of its own.

with SyncClient() as client:
    for event in client.stream(client.submit("python", "print(1)")["execution_id"]):
        print(event)
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from yurt.answers import Event, Execution, Fields, Language, Submitted
from yurt.client import Client

T = TypeVar("T")


class SyncClient:
    """A caller's side of one network; may be shared between threads. Close it, or use it in a ``with``."""

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        patience_s: float = 30.0,
        ca_file: Path | str | None = None,
    ) -> None:
        self._client = Client(url, token=token, patience_s=patience_s, ca_file=ca_file)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="yurt-client", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._loop.is_closed():
            return
        self._run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        return self._client.url

    def execute(self, language: str, code: str | None = None, **fields: Unpack[Fields]) -> Execution:
        """Run it and wait for its end; raises ``Problem``, ``NoNetwork``."""
        return self._run(self._client.execute(language, code, **fields))

    def submit(self, language: str, code: str | None = None, **fields: Unpack[Fields]) -> Submitted:
        """Have it accepted, which is durable; raises ``Problem``, ``NoNetwork``."""
        return self._run(self._client.submit(language, code, **fields))

    def result(self, execution_id: str, *, exact: bool = False) -> Execution:
        """The execution as it is now. *exact*: outputs are the exact bytes, as base64."""
        return self._run(self._client.result(execution_id, exact=exact))

    def wait(self, execution_id: str) -> Execution:
        """The execution once it has ended, however long that takes."""
        return self._run(self._client.wait(execution_id))

    def stream(self, execution_id: str, *, start: int = 1) -> Iterator[Event]:
        """What happens, as it happens, from output *start* on; survives dropped connections."""
        events = aiter(self._client.stream(execution_id, start=start))
        try:
            while (event := self._run(_next(events))) is not None:
                yield event
        finally:
            self._run(events.aclose())

    def cancel(self, execution_id: str) -> None:
        """End it; a ``Problem`` of status 409 when it has ended already."""
        self._run(self._client.cancel(execution_id))

    def executions(self, *, limit: int = 20, cursor: str = "", status: str = "") -> dict[str, Any]:
        """One's own executions, newest first."""
        return self._run(self._client.executions(limit=limit, cursor=cursor, status=status))

    def submit_batch(self, executions: list[dict[str, Any]]) -> dict[str, Any]:
        """Several submissions at once; the answer holds their ids in order."""
        return self._run(self._client.submit_batch(executions))

    def batch(self, batch_id: str) -> dict[str, Any]:
        """The states and results of a batch."""
        return self._run(self._client.batch(batch_id))

    def languages(self) -> list[Language]:
        """What programs may be written in, with versions."""
        return self._run(self._client.languages())

    def regions(self) -> list[dict[str, Any]]:
        """The regions that this one knows, with their health."""
        return self._run(self._client.regions())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C here ends the work there
            future.cancel()
            raise


async def _next(events: Any) -> Event | None:
    return await anext(events, None)
