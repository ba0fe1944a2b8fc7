"""One process of the network, kept alive: started, started again when it dies, ended within a deadline.

Theory of operation. The kernel tells us of the death through a pidfd, so nothing polls. The child is in a session of
its own, so that Ctrl-C reaches only us and we end the network in our order; and the kernel kills it when we die,
however we die (``PR_SET_PDEATHSIG``), so that no half of a network is left behind. Its output goes to its log file.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jobs.errors import PlatformFault
from yurt.stack.folder import Process, started_at

Say = Callable[[str], None]

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_STEADY_S = 20.0  #: lived that long: the next death is a new story
_PAUSES_S = (0.1, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to start. ``drain_s``: how long it may take to end after SIGTERM."""

    role: str
    title: str  #: what it is called before a person
    region: str
    argv: Sequence[str]
    log: Path
    folder: Path
    environ: Mapping[str, str] = field(hash=False)
    drain_s: float


class Child:
    """A process that lives until ``end``. *on_start* runs after each start, before anything else is told of it."""

    def __init__(self, plan: Plan, *, say: Say, on_start: Callable[[], Awaitable[None]]) -> None:
        self.plan = plan
        self.deaths = 0  #: in a row, none of them after a steady life
        self._say = say
        self._on_start = on_start
        self._popen: subprocess.Popen[bytes] | None = None
        self._exited = asyncio.Event()
        self._ending = False
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Started, and from now on kept alive."""
        self._spawn()
        await self._on_start()
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.plan.title}")

    async def end(self) -> None:
        """SIGTERM, and SIGKILL when its time to drain is over; returns when it is gone."""
        self._ending = True
        if self._popen is not None and not self._exited.is_set():
            self._send(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._exited.wait(), self.plan.drain_s)
            except TimeoutError:
                self._say(f"the {self.plan.title} did not end in {self.plan.drain_s:g} s and was killed")
                self.kill()
                await self._exited.wait()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    def kill(self) -> None:
        """SIGKILL, for good; what waits for its end goes on."""
        self._ending = True
        self._send(signal.SIGKILL)

    @property
    def process(self) -> Process | None:
        """The living process, or None between a death and the next start."""
        if self._popen is None or self._exited.is_set():
            return None
        started = started_at(self._popen.pid)
        if started is None:
            return None
        return Process(role=self.plan.role, region=self.plan.region, pid=self._popen.pid, started=started)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            await self._exited.wait()
            if self._ending:
                return
            self.deaths = 1 if loop.time() - begun > _STEADY_S else self.deaths + 1
            pause_s = _PAUSES_S[min(self.deaths, len(_PAUSES_S)) - 1]
            how = self._how_it_ended()
            await asyncio.sleep(pause_s)
            if self._ending:
                return
            try:
                pid = self._spawn()
            except PlatformFault as fault:
                self._say(str(fault))
                continue
            self._say(f"the {self.plan.title} {how}; started again as process {pid}")
            await self._on_start()

    def _spawn(self) -> int:
        """Start it; its pid."""
        parent = os.getpid()
        try:
            with self.plan.log.open("ab") as log:
                popen = subprocess.Popen(
                    list(self.plan.argv),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.plan.folder,
                    env=dict(self.plan.environ),
                    start_new_session=True,
                    preexec_fn=lambda: _die_with(parent),  # system calls alone, no Python state
                )
        except OSError as error:
            raise PlatformFault(f"the {self.plan.title} cannot be started: {error}") from error
        self._popen, self._exited = popen, asyncio.Event()
        pidfd = os.pidfd_open(popen.pid)
        asyncio.get_running_loop().add_reader(pidfd, self._on_exit, pidfd, popen, self._exited)
        return popen.pid

    def _on_exit(self, pidfd: int, popen: subprocess.Popen[bytes], exited: asyncio.Event) -> None:
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
        with contextlib.suppress(ProcessLookupError):  # what it started and left behind, a compiler perhaps
            os.killpg(popen.pid, signal.SIGKILL)
        popen.wait()
        exited.set()

    def _send(self, number: signal.Signals) -> None:
        if self._popen is not None and self._popen.poll() is None:
            self._popen.send_signal(number)

    def _how_it_ended(self) -> str:
        code = self._popen.returncode if self._popen is not None else 0
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"


def _die_with(parent: int) -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died in between
        os._exit(1)
