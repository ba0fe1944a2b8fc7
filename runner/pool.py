"""Warm sandboxes of one room of one installation: pitched ahead, handed out once, replaced behind.

The target follows demand: at least ``least``, at most ``most``, one and a half times what is taken while one is
pitched. A claim waits at most ``CLAIM_S`` for a warm one, then a cold sandbox is pitched, and counted. Pitching ahead
goes on in tasks of its own, as many as the engine says, so that it never stands before a job that needs a sandbox now.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass

from jobs.errors import SandboxFault
from jobs.service.logs import event
from runner.engine import Engine, Sandbox
from runner.languages.contract import Installation, Room

log = logging.getLogger("pool")

CLAIM_S = 0.1
DEMAND_S = 2.0
RETRY_S = 0.5
PITCH_S = 0.1  #: the least that pitching one is taken to last: what comes in bursts is met too
PITCH_WEIGHT = 0.3


@dataclass
class Counts:
    """Since the runner started."""

    warm: int = 0
    cold: int = 0


class Pool:
    """Make it, ``start`` it, ``claim`` from it, ``close`` it."""

    def __init__(self, engine: Engine, installation: Installation, room: Room, *, least: int, most: int) -> None:
        self._engine, self._installation, self._room = engine, installation, room
        self._least, self._most = least, most
        self._ready: deque[Sandbox] = deque()
        self._wanted = asyncio.Event()
        self._arrived = asyncio.Event()
        self._claims: deque[float] = deque()
        self._tasks: list[asyncio.Task[None]] = []
        self._pitching = 0
        self._loop = asyncio.get_running_loop()
        self._pitch_s = PITCH_S  #: how long one took of late
        self.counts = Counts()

    def start(self) -> None:
        name = f"pool {self._installation.name} {self._room}"
        abreast = self._engine.abreast(self._installation)
        self._tasks = [asyncio.create_task(self._fill(), name=name) for _ in range(abreast)]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while self._ready:
            self._ready.popleft().strike()

    @property
    def ready(self) -> int:
        return len(self._ready)

    async def claim(self) -> tuple[Sandbox, bool]:
        """A sandbox, and whether it was warm; ``SandboxFault`` where not even a cold one can be had."""
        self._claims.append(self._loop.time())
        if not self._ready and self._least:
            self._arrived.clear()
            self._wanted.set()
            try:
                async with asyncio.timeout(CLAIM_S):
                    await self._arrived.wait()
            except TimeoutError:
                pass
        if self._ready:
            self.counts.warm += 1
            sandbox = self._ready.popleft()
            self._wanted.set()
            return sandbox, sandbox.warm
        self.counts.cold += 1
        return await self._engine.pitch(self._installation, self._room), False

    async def cold(self, *, tty: bool = False) -> Sandbox:
        """A sandbox in which nothing was started ahead; ``tty``: with a terminal."""
        self.counts.cold += 1
        return await self._engine.pitch(self._installation, self._room, cold=True, tty=tty)

    def _target(self) -> int:
        horizon = self._loop.time() - DEMAND_S
        while self._claims and self._claims[0] < horizon:
            self._claims.popleft()
        recent = len(self._claims) / DEMAND_S * max(PITCH_S, self._pitch_s)
        return min(self._most, max(self._least, round(recent * 1.5)))

    async def _fill(self) -> None:
        """One of the tasks that pitch ahead; there are as many as the engine pitches abreast."""
        while True:
            if len(self._ready) + self._pitching >= self._target():
                self._wanted.clear()
                await self._wanted.wait()
                continue
            began = self._loop.time()
            self._pitching += 1
            try:
                self._ready.append(await self._engine.pitch(self._installation, self._room))
            except SandboxFault as fault:
                event(log, "pitch_failed", level=logging.WARNING, installation=self._installation.name, why=str(fault))
                await asyncio.sleep(RETRY_S)
                continue
            finally:
                self._pitching -= 1
            self._pitch_s += PITCH_WEIGHT * (self._loop.time() - began - self._pitch_s)
            self._arrived.set()
