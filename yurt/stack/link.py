"""A simulated distance: a TCP relay into one region that delays what passes, half a round trip each direction.

Run by ``yurt up`` for each region that ``--rtt`` sets apart from another, as ``python -m yurt.stack.link FILE``::

    region = "eu-west"
    joints = ["7301:7201"]                        # who connects to the first port talks to the second
    distances = ["/data/us-east/nats.conf=80"]    # the round trip in ms, by the configuration of who connects

The gateway connections of the other regions' NATS servers run through it. A process of its own, so that nothing which
``yurt up`` does delays what passes, and so that it can be stopped or killed like a cable.

Theory of operation. NATS servers tell each other the addresses of all gateways that they know, those in their own files
too, and use any of them. So every server must be given the *same* address for a region, the one that the region's own
servers advertise: the relay's. Who is connecting, and so how far away it is, is seen by which process owns the other
end of the connection. What a socket gives is put into a queue with the time at which it is due, and written to the
other socket then: late, in order, and as fast as it came. The end of a connection waits in the same queue.

Rules
1. At most ``HELD_BYTES`` lie in a queue; then its socket is not read until there is room. The bound is far above what
   a connection at full speed has under way, so that it slows nothing down.
2. A socket that takes no more is not written to; that fills the queue, and rule 1 tells the other side.
3. Who is not among ``distances`` is not delayed.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import sys
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from jobs.errors import ConfigFault
from jobs.service import life, logs
from jobs.service.settings import load
from yurt.stack import ports

log = logging.getLogger("link")

HELD_BYTES = 32 << 20  #: 400 MB/s at a round trip of 160 ms
CONNECT_S = 5.0
_EARLY_S = 0.0005  #: timers are of whole milliseconds; what is due within half of one is written


@dataclass(frozen=True, kw_only=True)
class LinkSettings:
    region: str  #: the one that it leads into
    joints: tuple[str, ...]  #: ``LISTEN:TARGET``, ports of this machine
    distances: tuple[str, ...] = ()  #: ``FILE=MILLISECONDS``; FILE is on the command line of who connects


class _End(asyncio.Protocol):
    """One socket of a pair: what it gives is due at the other one ``delay_s`` later."""

    def __init__(self, on_made: Callable[[_End], None]) -> None:
        self.delay_s = 0.0
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None
        self._on_made = on_made
        self._due: deque[tuple[float, bytes]] = deque()  #: empty bytes: the end
        self._held = 0
        self._timer: asyncio.TimerHandle | None = None
        self._reading = True
        self._takes = True  #: whether our own socket takes more
        self._gone = False  #: our own socket is no more
        self._ended = False  #: the other one was told that nothing more comes from here

    # -- as the event loop tells it -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._on_made(self)

    def data_received(self, data: bytes) -> None:
        self._put(data)
        self._held += len(data)
        if self._held > HELD_BYTES and self._reading and self.transport is not None:
            self._reading = False
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self._put(b"")
        return True  # the other direction goes on

    def connection_lost(self, error: Exception | None) -> None:
        self._gone = True
        self._put(b"")

    def pause_writing(self) -> None:
        self._takes = False

    def resume_writing(self) -> None:
        self._takes = True
        if self.other is not None:
            self.other.deliver()

    # -- towards the other --------------------------------------------------------------------------------------

    def deliver(self) -> None:
        """Write what is due, and come back for the rest."""
        sink = self.other
        if sink is None or sink.transport is None:
            return
        now = time.monotonic() + _EARLY_S
        while self._due and self._due[0][0] <= now and (sink._takes or sink._gone):
            data = self._due.popleft()[1]
            self._held -= len(data)
            if not data:
                self._end(sink)
            elif not sink._gone:
                sink.transport.write(data)
        if not self._reading and self._held <= HELD_BYTES // 2 and self.transport is not None and not self._gone:
            self._reading = True
            self.transport.resume_reading()
        if self._due and sink._takes and self._timer is None:
            wait_s = self._due[0][0] - time.monotonic()
            self._timer = asyncio.get_running_loop().call_later(max(wait_s, 0), self._on_time)

    def cut(self) -> None:
        """No more of it, at once."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self.transport is not None:
            self.transport.abort()

    def deliver_from(self, other: _End) -> None:
        """*other*'s socket is there: what waits for it may go."""
        self.deliver()

    def _put(self, data: bytes) -> None:
        self._due.append((time.monotonic() + self.delay_s, data))
        if self._timer is None:
            self.deliver()

    def _on_time(self) -> None:
        self._timer = None
        self.deliver()

    def _end(self, sink: _End) -> None:
        """Nothing more comes from here: tell the other one, or close both when that holds for both directions."""
        assert sink.transport is not None
        self._ended = True
        if self._gone or sink._ended:
            sink.transport.close()
            if self.transport is not None:
                self.transport.close()
        elif not sink._gone:
            with contextlib.suppress(OSError):  # it has just gone
                sink.transport.write_eof()


class Link:
    """Joins ports of this machine. *delay_s* says how late things are for who connects from one port to another."""

    def __init__(self, joints: Mapping[int, int], delay_s: Callable[[int, int], float]) -> None:
        self._joints, self._delay_s = joints, delay_s
        self._servers: list[asyncio.Server] = []
        self._calls: set[asyncio.Task[None]] = set()
        self._ends: weakref.WeakSet[_End] = weakref.WeakSet()

    async def start(self) -> None:
        """Listening on every joint when it returns; ``ConfigFault`` where a port is taken."""
        loop = asyncio.get_running_loop()
        for listen, target in self._joints.items():
            accept = functools.partial(_End, functools.partial(self._on_caller, target))
            try:
                self._servers.append(await loop.create_server(accept, ports.ADDRESS, listen))
            except OSError as error:
                raise ConfigFault(f"joints: port {listen} cannot be listened on: {error.strerror}") from error

    def _on_caller(self, target: int, near: _End) -> None:
        assert near.transport is not None
        listen, caller = (near.transport.get_extra_info(name)[1] for name in ("sockname", "peername"))
        near.delay_s = self._delay_s(caller, listen)
        self._ends.add(near)
        call = asyncio.get_running_loop().create_task(self._call(near, target))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _call(self, near: _End, target: int) -> None:
        """Join *near* to a new connection; where there is none to be had, it ends too."""
        far = _End(near.deliver_from)
        far.delay_s = near.delay_s
        near.other, far.other = far, near
        self._ends.add(far)
        try:
            async with asyncio.timeout(CONNECT_S):
                await asyncio.get_running_loop().create_connection(lambda: far, ports.ADDRESS, target)
        except (OSError, TimeoutError):
            if near.transport is not None:
                near.transport.abort()

    async def close(self) -> None:
        """Cut: what is under way is lost."""
        for server in self._servers:
            server.close()
        for call in list(self._calls):
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        for end in self._ends:
            end.cut()


def delay_of(distances: Mapping[str, float], caller: int, listen: int) -> float:
    """Half the round trip to the process that has a connection from port *caller* to *listen*; 0 for strangers."""
    for file, rtt_s in distances.items():
        if any(ports.has_connection(pid, caller, listen) for pid in _started_with(file)):
            return rtt_s / 2
    return 0.0


def _started_with(word: str) -> Iterable[int]:
    """The processes with *word* on their command line."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if word.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                yield int(folder.name)


async def _serve(settings: LinkSettings, stop: asyncio.Event) -> None:
    joints = {int(listen): int(target) for listen, target in (joint.split(":") for joint in settings.joints)}
    split = (distance.rpartition("=") for distance in settings.distances)
    distances = {file: float(ms) / 1000 for file, _, ms in split}
    link = Link(joints, functools.partial(delay_of, distances))
    await link.start()
    logs.event(log, "ready", region=settings.region)
    await stop.wait()
    await link.close()


def main() -> int:
    """The exit code of a link, whose settings are in the file that the command line names."""
    logs.set_up(role="link")
    settings = load(LinkSettings, file=Path(sys.argv[1]), environ={}, flags={})
    return life.run(lambda stop: _serve(settings, stop))


if __name__ == "__main__":
    sys.exit(main())
