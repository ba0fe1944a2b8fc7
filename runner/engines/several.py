"""Several engines in one runner, as one: each language's sandboxes are pitched by the engine that was chosen for it.

Theory of operation. An engine is started when a language first needs it: ``start`` does so for the languages that a
runner begins with. One that cannot be started takes only its own languages out of the offer, is told loudly with the
cure, and is tried again (``keep_up``), for what it lacks may come later: a daemon that starts after us, an image. Once
it is there its languages come to the shelves as any that joined the fleet do.

Rules
1. What starts an engine is given to us (``Start``); nothing is constructed here.
2. An installation stays with the engine that it was added to. Nothing stands between a pool and that engine when a
   sandbox is pitched, but a look into a dictionary.
3. ``close`` closes every engine, also when one of them fails to close.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jobs.engines import EngineName
from jobs.errors import ConfigFault, PlatformFault
from jobs.languages import Language
from jobs.service.logs import event
from runner.engine import Engine, Sandbox
from runner.languages.contract import Boot, Installation, Room, Support

log = logging.getLogger("engines")

START_S = 120.0  #: an engine looks at its images, and removes what is left of runners that are gone
RETRY_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Started:
    """An engine that works, what becomes of a language with it, and its name for people, with the wall it has."""

    engine: Engine
    support: Callable[[Support], Support] = lambda support: support
    called: str


Start = Callable[[], Awaitable[Started]]


class Engines:
    """See ``runner.engine.Engine``. *chosen* says whose each language is."""

    def __init__(self, starts: Mapping[EngineName, Start], chosen: Callable[[Language], EngineName]) -> None:
        self._starts, self._chosen = starts, chosen
        self._started: dict[EngineName, Started] = {}
        self._lacking: dict[EngineName, str] = {}  #: those that were wanted and cannot be had, and why
        self._homes: dict[str, Engine] = {}
        self._missed = asyncio.Event()  #: an engine was asked for that nobody needed before

    async def start(self, languages: Iterable[Language]) -> None:
        """Start what these need; ``ConfigFault`` where none of them can be had."""
        languages = tuple(languages)
        wanted = tuple(dict.fromkeys(map(self._chosen, languages)))
        for name in wanted:
            await self._try(name)
        if wanted and not self._started:
            raise ConfigFault("; ".join(self._lacking[name] for name in wanted))
        for name in self._lacking:
            self._tell(name, [each for each in languages if self._chosen(each) == name])

    async def keep_up(self) -> None:
        """Try again what could not be started, and start what is needed later, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S):
                    await self._missed.wait()
            self._missed.clear()
            for name in list(self._lacking):
                before = self._lacking[name]
                await self._try(name)
                if name in self._started:
                    event(log, "engine_on", engine=name)
                elif self._lacking[name] != before:
                    self._tell(name, ())

    def support(self, support: Support) -> Support | None:
        """That language as its engine has it; None while its engine cannot be had."""
        name = self._chosen(support.language)
        started = self._started.get(name)
        if started is None:
            if name not in self._lacking:
                self._lacking[name] = f"engine: {name} was not needed before"
                self._missed.set()
            return None
        return started.support(support)

    def called(self, language: Language) -> str:
        """The name, for people, of what runs a language."""
        name = self._chosen(language)
        started = self._started.get(name)
        return name if started is None else started.called

    # -- runner.engine.Engine -----------------------------------------------------------------------------------

    async def add(self, installation: Installation, boots: tuple[Boot, ...]) -> None:
        engine = self._started[self._chosen(installation.language)].engine
        self._homes[installation.name] = engine
        await engine.add(installation, boots)

    def pitch(
        self, installation: Installation, room: Room, *, cold: bool = False, tty: bool = False
    ) -> Coroutine[Any, Any, Sandbox]:
        return self._homes[installation.name].pitch(installation, room, cold=cold, tty=tty)

    def abreast(self, installation: Installation) -> int:
        return self._homes[installation.name].abreast(installation)

    async def remove(self, installation: Installation) -> None:
        engine = self._homes.pop(installation.name, None)
        if engine is not None:
            await engine.remove(installation)

    async def close(self) -> None:
        started = list(self._started.items())
        ends = await asyncio.gather(*(one.engine.close() for _, one in started), return_exceptions=True)
        for (name, _), end in zip(started, ends, strict=True):
            if isinstance(end, BaseException):
                event(log, "engine_not_closed", level=logging.ERROR, engine=name, why=str(end) or type(end).__name__)

    # -- inside -------------------------------------------------------------------------------------------------

    async def _try(self, name: EngineName) -> None:
        try:
            async with asyncio.timeout(START_S):
                self._started[name] = await self._starts[name]()
        except TimeoutError:
            self._lacking[name] = f"engine: {name} did not start in {START_S:.0f} s; look at its daemon"
        except (PlatformFault, OSError) as fault:
            self._lacking[name] = _said_of(name, str(fault))
        else:
            self._lacking.pop(name, None)

    def _tell(self, name: EngineName, languages: Iterable[Language]) -> None:
        words = ",".join(languages)
        event(log, "engine_off", level=logging.ERROR, engine=name, languages=words, why=self._lacking[name])


def _said_of(name: EngineName, fault: str) -> str:
    """A fault names its setting; which engine it is about is said where it does not."""
    return fault if name in fault else f"engine: {name}: {fault}"
