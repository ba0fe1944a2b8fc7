"""When a runner leaves by itself: one that was dispatched for a peak, or told to end when it has nothing to do.

A dispatched runner is a batch task: it ends well (exit code 0) once it has been idle for ``idle_s``, and in any case so
early that what runs can end before its ``life_s`` are over. A baseline runner has neither, and stays.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from jobs.errors import ConfigFault
from runner.settings import RunnerSettings

BURST_IDLE_S = 120.0
BURST_LIFE_S = 3600.0
LOOK_S = 1.0  #: the most between two looks


class Lifetime:
    """Make it when the process starts. *clock* is any that only goes forward, in seconds."""

    def __init__(self, settings: RunnerSettings, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._idle_s = _given(settings.idle_exit_s, BURST_IDLE_S if settings.burst else math.inf)
        self._life_s = _given(settings.life_s, BURST_LIFE_S if settings.burst else math.inf)
        if self._idle_s <= 0:
            raise ConfigFault(f"idle_exit_s: {self._idle_s:g} must be above 0; leave it out to stay")
        if self._life_s <= settings.drain_s:
            raise ConfigFault(
                f"life_s: {self._life_s:g} leaves nothing beside drain_s, {settings.drain_s:g}; make it longer"
            )
        self._born_at = self._busy_at = clock()
        self._drain_s = settings.drain_s

    def busy(self) -> None:
        """It has a job at this moment, or has just had one."""
        self._busy_at = self._clock()

    def why_over(self) -> str:
        """Why it is time to leave, or the empty string."""
        now = self._clock()
        if now >= self._born_at + self._life_s - self._drain_s:
            return f"its {self._life_s:g} s are over, but for the time to drain"
        if now - self._busy_at >= self._idle_s:
            return f"it was idle for {self._idle_s:g} s"
        return ""

    async def over(self, has_jobs: Callable[[], bool]) -> None:
        """Returns when it is time to leave; never, where nothing bounds it."""
        self.busy()  # what came before, the start, is not idleness
        pause_s = min(LOOK_S, self._idle_s / 4)
        while not self.why_over():
            await asyncio.sleep(pause_s)
            if has_jobs():
                self.busy()


def _given(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
