"""The executions that this gateway accepted, newest first: what ``GET /api/v1/executions`` pages through.

In memory and bounded: it holds the newest ``MOST`` of this process's own, and starts empty after a restart. What falls
out of it is still found by its id.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from gateway.render import moment
from jobs.result import Result
from jobs.states import State

MOST = 10_000


@dataclass(slots=True)
class Entry:
    number: int  #: counts up; the cursor
    execution_id: str
    user_id: str
    language: str
    variant: str
    region: str
    created_at_ms: int
    state: State = State.QUEUED
    version: str | None = None
    verdict: str | None = None
    cause: str | None = None
    finished_at_ms: int | None = None

    def end(self, result: Result) -> None:
        self.state = result.state
        self.region = result.region
        self.version = result.version
        self.verdict = result.verdict
        self.cause = result.cause
        self.finished_at_ms = result.timeline.finished_at_ms

    def plain(self) -> dict[str, Any]:
        return {
            "execution_id": self.execution_id,
            "status": self.state.value,
            "language": self.language,
            "version": self.version,
            "variant": self.variant,
            "region": self.region,
            "verdict": self.verdict,
            "cause": self.cause,
            "created_at": moment(self.created_at_ms),
            "finished_at": moment(self.finished_at_ms),
        }


class Listing:
    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._count = 0

    def add(
        self, execution_id: str, user_id: str, language: str, variant: str, region: str, created_at_ms: int
    ) -> None:
        if execution_id in self._entries:
            return
        self._count += 1
        self._entries[execution_id] = Entry(
            self._count, execution_id, user_id, language, variant, region, created_at_ms
        )
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)

    def get(self, execution_id: str) -> Entry | None:
        return self._entries.get(execution_id)

    def page(
        self, user_id: str, *, limit: int, before: int | None, state: State | None
    ) -> tuple[list[Entry], int | None]:
        """At most *limit* entries older than number *before*, and the number to go on before; None: that is all."""
        found: list[Entry] = []
        for entry in reversed(self._entries.values()):
            if before is not None and entry.number >= before:
                continue
            if entry.user_id != user_id or (state is not None and entry.state is not state):
                continue
            if len(found) == limit:
                return found, found[-1].number
            found.append(entry)
        return found, None
