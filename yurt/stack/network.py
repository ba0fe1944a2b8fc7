"""A region on one machine, whole: started in order, watched, ended in order.

Theory of operation. NATS first, then the streams, then gateway and runner at once; ready is when the gateway says that
it can take jobs and the runner has offered what it has. Each process that dies is started again by its ``Child``; after
a new start of NATS its streams are made again (those in memory went with it). The end goes the other way: the gateway
lets its callers go, the runner finishes what runs, NATS keeps what is queued for the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import signal

import aiohttp

from jobs.errors import PlatformFault, Unavailable
from jobs.service.bus import Bus
from yurt.bootstrap.apply import set_up
from yurt.bootstrap.changes import Allowed
from yurt.stack import parts
from yurt.stack.child import Child, Plan, Say
from yurt.stack.folder import Folder, Place, State, started_at
from yurt.stack.parts import Layout
from yurt.stack.progress import Progress

# its connections to NATS live for a moment only: that they end is no news
logging.getLogger("bus").setLevel(logging.ERROR)

NATS_READY_S = 120.0  #: JetStream reads its stores first
READY_S = 900.0  #: a runner's first start prepares every toolchain
_LOOK_S = 0.1
_KILLED_S = 5.0  #: the kernel takes a moment to clear a killed process away
_HOPELESS = 4  #: deaths in a row before ready: it will not come up


class Network:
    """One region on this machine. ``start``, then ``ended`` when something is past hope, then ``stop``."""

    def __init__(self, folder: Folder, layout: Layout, *, say: Say) -> None:
        self._folder = folder
        self._layout = layout
        self._say = say
        self._children: list[Child] = []
        self._ready = False

    @property
    def layout(self) -> Layout:
        return self._layout

    async def start(self) -> None:
        """Ready to take jobs when it returns; raises ``PlatformFault`` when that cannot be."""
        environ = dict(os.environ)
        await self._add(parts.nats(self._layout, environ), streams=True)
        await self._add(parts.gateway(self._layout, environ))
        runner = parts.runner(self._layout, environ)
        progress = Progress(runner.log)
        await self._add(runner)
        await self._until_ready(progress)
        self._ready = True
        self._note()

    async def stop(self) -> None:
        """Everything ended, in the order in which nothing is lost."""
        for role in ("gateway", "runner", "nats"):
            for child in self._children:
                if child.plan.role == role:
                    await child.end()

    def hurry(self) -> None:
        """Kill what has not ended yet."""
        for child in self._children:
            child.kill()

    # -- starting -----------------------------------------------------------------------------------------------

    async def _add(self, what: Plan, *, streams: bool = False) -> None:
        async def on_start() -> None:
            self._note()
            if streams:
                await self._make_streams(child)

        child = Child(what, say=self._say, on_start=on_start)
        self._children.append(child)
        await child.start()

    async def _make_streams(self, nats: Child) -> None:
        """Wait for the NATS server that was just started, and give it the region's streams."""
        began = nats.process
        deadline = asyncio.get_running_loop().time() + NATS_READY_S
        while True:
            try:
                bus = await Bus.connect([self._layout.nats], name="yurt-up", wait_s=2)
            except Unavailable:
                if nats.process is None or nats.process != began:
                    if self._ready:
                        return  # it died again; its next start comes here too
                    raise PlatformFault(self._grave(nats)) from None
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(_LOOK_S)
                continue
            try:
                await set_up(bus, self._layout.region, allowed=Allowed(forget=True, idle=True))
            finally:
                await bus.close()
            return

    async def _until_ready(self, progress: Progress) -> None:
        deadline = asyncio.get_running_loop().time() + READY_S
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            while not (progress.done and await self._answers(session)):
                for line in progress.news():
                    self._say(line)
                for child in self._children:
                    if child.deaths >= _HOPELESS:
                        raise PlatformFault(self._grave(child))
                if asyncio.get_running_loop().time() > deadline:
                    raise PlatformFault(f"not ready after {READY_S:.0f} s; the logs are in {self._layout.folder}/logs")
                await asyncio.sleep(_LOOK_S)

    async def _answers(self, session: aiohttp.ClientSession) -> bool:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(f"{self._layout.url}/readyz") as answer:
                return answer.status == 200
        return False

    def _grave(self, child: Child) -> str:
        """Why a process does not come up, by its own last words."""
        last = child.plan.log.read_text(errors="replace").splitlines()[-5:] if child.plan.log.exists() else []
        return f"the {child.plan.role} does not stay up; its log {child.plan.log} ends with:\n  " + "\n  ".join(last)

    def _note(self) -> None:
        """Write down what runs, for ``yurt status`` and ``yurt run``."""
        layout = self._layout
        place = Place(region=layout.region.name, url=layout.url, nats=layout.nats, ready=self._ready)
        living = tuple(process for child in self._children if (process := child.process) is not None)
        self._folder.write(
            State(pid=os.getpid(), started=started_at(os.getpid()) or 0, places=(place,), processes=living)
        )


def clear(folder: Folder, say: Say) -> None:
    """End what an earlier run, itself killed, has left. The folder must be ours."""
    for process in folder.read().processes:
        if process.alive:
            say(f"ending the {process.role} of an earlier run, process {process.pid}")
            with contextlib.suppress(ProcessLookupError):
                pidfd = os.pidfd_open(process.pid)
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                select.select([pidfd], [], [], _KILLED_S)
                os.close(pidfd)
