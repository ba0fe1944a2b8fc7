"""What a bench is given: the network, the floors of this run, how large to be, and a bar that shows how far it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TextIO, TypeVar

from bench import spawn
from bench.caller import Line
from bench.network import Network, versions
from jobs.languages import Language, version_key
from runner.languages.catalogue import SUPPORT

T = TypeVar("T")

BAR = 30
_EVERY_S = 0.1


@dataclass(kw_only=True)
class Arena:
    """``quick``: small numbers of runs, to see that all works; figures are then rough."""

    network: Network
    quick: bool
    walls: tuple[str, ...] = ()  #: for the bench of engines: only these
    of: tuple[str, ...] = ()  #: and only these languages
    seconds: float | None = None  #: and so long each
    bar: TextIO = sys.stderr
    _python: str = ""
    _languages: dict[str, str] = field(default_factory=dict)

    def runs(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    async def languages(self) -> dict[str, str]:
        """The newest version of each language that the network offers."""
        if not self._languages:
            line = await Line.open(self.network.url)
            try:
                self._languages = versions(await line.get("/api/v1/languages"))
            finally:
                line.close()
        return self._languages

    async def python(self) -> str:
        """The interpreter of the version that the network runs python in: the floor's must be the same."""
        if not self._python:
            offered = (await self.languages()).get("python", "")
            discovered = SUPPORT[Language.PYTHON]().discover()
            found = {one.version: one.details["executable"] for one in discovered if not one.variant}
            newest = max(found, key=version_key, default="")
            self._python = str(found.get(offered) or found.get(newest) or sys.executable)
        return self._python

    async def bare(self) -> spawn.Bare:
        """The unit: bare python hello, as it is at this moment. Measure before and after, for machines drift."""
        return spawn.often(spawn.hello_of(await self.python()), self.runs(40, 10))

    def each(self, what: str, things: Iterable[T], total: int) -> Iterator[T]:
        """*things*, with the bar moving."""
        progress = Progress(what, total, self.bar)
        done = 0
        try:
            for thing in things:
                progress.at(done)
                yield thing
                done += 1
        finally:
            progress.end(done)

    def progress(self, what: str, total: int) -> Progress:
        return Progress(what, total, self.bar)

    def says(self, words: str) -> None:
        print(words, file=self.bar, flush=True)


class Progress:
    """A bar on one line of a terminal; on anything else a line at the end alone."""

    def __init__(self, what: str, total: int, out: TextIO) -> None:
        self._what, self._total, self._out = what, max(1, total), out
        self._terminal = out.isatty()
        self._began = time.monotonic()
        self._next = 0.0

    def at(self, done: int) -> None:
        now = time.monotonic()
        if self._terminal and now >= self._next:
            self._next = now + _EVERY_S
            self._out.write("\r" + bar(self._what, done, self._total, now - self._began))
            self._out.flush()

    def end(self, done: int | None = None) -> None:
        start = "\r" if self._terminal else ""
        took_s = time.monotonic() - self._began
        self._out.write(start + bar(self._what, self._total if done is None else done, self._total, took_s) + "\n")
        self._out.flush()


def bar(what: str, done: int, total: int, took_s: float) -> str:
    """``hello  ███████·······  120/500  3 s``"""
    filled = min(BAR, BAR * done // total)
    return f"  {what:<34.34}  {'█' * filled}{'·' * (BAR - filled)}  {done:>6,}/{total:<6,} {took_s:4.0f} s"
