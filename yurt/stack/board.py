"""What a person sees of the network meanwhile: a table of its regions on the terminal, drawn anew in place.

Theory of operation. Each gateway is asked what it knows (``/api/v1/regions`` and its count of ended executions) every
``LOOK_S``. The table is always the last thing on the terminal: to say something else is to take it away, write, and
draw it again below. How many lines it has is remembered; no line is wider than the terminal, so that this is how far
the cursor must go up.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

import aiohttp

from yurt.commands.tables import milliseconds, table
from yurt.stack.layout import Layout
from yurt.stack.station import session_for

LOOK_S = 1.0
_ANSWER_S = 0.8
_ENDED = re.compile(r"^code_runner_execution_duration_seconds_count\{.*\} ([0-9.e+]+)$", re.MULTILINE)
_UP, _CLEAR, _HIDE, _SHOW = "\x1b[{}A", "\r\x1b[J", "\x1b[?25l", "\x1b[?25h"


@dataclass(frozen=True, kw_only=True)
class View:
    """A region as its own gateway sees it; numbers are None while it says nothing."""

    region: str
    url: str
    health: str
    runners: int | None = None
    queue: int | None = None
    running: int | None = None
    done_a_second: float | None = None
    rtt_ms: dict[str, float | None] = field(default_factory=dict, hash=False)  #: to the others


def lines_of(views: Sequence[View]) -> list[str]:
    """The table, and below it how far the regions are from each other."""
    rows = [
        [
            view.region,
            view.url,
            view.health,
            _number(view.runners),
            _number(view.queue),
            _number(view.running),
            "-" if view.done_a_second is None else f"{view.done_a_second:.1f}",
        ]
        for view in views
    ]
    headings = ["REGION", "URL", "HEALTH", "RUNNERS", "QUEUE", "RUNNING", "DONE/S"]
    lines = table(headings, rows, right=[3, 4, 5, 6]).split("\n")
    if len(views) > 1:
        lines += ["", *_distances(views)]
    return lines


def _distances(views: Sequence[View]) -> list[str]:
    rows = [
        [view.region, *("" if other is view else milliseconds(view.rtt_ms.get(other.region)) for other in views)]
        for view in views
    ]
    headings = ["ms FROM, TO", *(view.region for view in views)]
    return table(headings, rows, right=range(1, len(views) + 1)).split("\n")


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


class Board:
    """The table on *out*, a terminal. Whatever else is written there meanwhile goes through ``around``."""

    def __init__(self, layouts: Sequence[Layout], *, out: TextIO = sys.stderr) -> None:
        self._layouts, self._out = layouts, out
        self._views = [View(region=each.region.name, url=each.url, health="starting") for each in layouts]
        self._ended: dict[str, tuple[float, float]] = {}  #: by region: when, and how many executions had ended
        self._heard: set[str] = set()
        self._drawn = 0
        self._open = False

    async def keep_up(self) -> None:
        """Look and draw until cancelled; the terminal is left without the table."""
        self._open = True
        try:
            async with contextlib.AsyncExitStack() as stack:
                sessions = [await stack.enter_async_context(session_for(each, _ANSWER_S)) for each in self._layouts]
                while True:
                    looks = map(self._look, self._layouts, sessions)
                    self._views = list(await asyncio.gather(*looks))
                    self._draw()
                    await asyncio.sleep(LOOK_S)
        finally:
            self._open = False
            self._clear()
            self._out.write(_SHOW)
            self._out.flush()

    def around(self, write: Callable[[], None]) -> None:
        """*write* above the table."""
        self._clear()
        self._out.flush()
        write()
        self._draw()

    def say(self, line: str) -> None:
        self.around(lambda: print(line, file=self._out, flush=True))

    # -- drawing ------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        if not self._open:
            return
        columns, rows = shutil.get_terminal_size()
        lines = [line[: columns - 1] for line in ["", *lines_of(self._views)]][: rows - 1]
        self._clear()
        self._out.write(_HIDE + "\n".join(lines) + "\n")
        self._out.flush()
        self._drawn = len(lines)

    def _clear(self) -> None:
        if self._drawn:
            self._out.write(_UP.format(self._drawn) + _CLEAR)
            self._drawn = 0

    # -- looking ------------------------------------------------------------------------------------------------

    async def _look(self, layout: Layout, session: aiohttp.ClientSession) -> View:
        name = layout.region.name
        try:
            async with session.get(f"{layout.url}/api/v1/regions") as answer:
                rows: list[dict[str, Any]] = await answer.json()
            async with session.get(f"{layout.url}/metrics") as answer:
                ended = sum(float(count) for count in _ENDED.findall(await answer.text()))
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return View(region=name, url=layout.url, health="away" if name in self._heard else "starting")
        home = next((row for row in rows if row["region"] == name), None)
        if home is None:
            return View(region=name, url=layout.url, health="away")
        if home["healthy"]:
            self._heard.add(name)
        return View(
            region=name,
            url=layout.url,
            health=self._health(home),
            runners=home["runners"],
            queue=home["queue_depth"],
            running=home["running"],
            done_a_second=self._rate(name, ended),
            rtt_ms={row["region"]: row["rtt_ms"] for row in rows if row is not home},
        )

    def _health(self, home: dict[str, Any]) -> str:
        if home["healthy"]:
            return "ready"
        return "unwell" if home["region"] in self._heard else "starting"

    def _rate(self, region: str, ended: float) -> float:
        now = time.monotonic()
        at, before = self._ended.get(region, (now, ended))
        self._ended[region] = (now, ended)
        return max(0.0, ended - before) / (now - at) if now > at else 0.0
