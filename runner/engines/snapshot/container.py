"""One container of runsc's as a sandbox wants it: streams, signals, its end. Everything of it is in one control group.

Rules
1. A container's processes are those of its slot's group, and are killed as such: runsc is not needed for it, whose own
   way takes more than a second.
2. A container's state lies in its slot's folder, and goes with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from functools import partial

from jobs.errors import SandboxFault
from runner.engines.snapshot.owners import strike
from runner.engines.snapshot.runsc import CALL_S, WORDS_BYTES, Begin, Runsc, ended, last_words
from runner.engines.snapshot.slots import Slot

HELD_BYTES = 1 << 20  #: of output that nobody has taken yet; more is left in its pipe
GONE_S = 15.0
REST_S = 1.0
_LOOK_S = 0.002


class Streams:
    """Our ends of three pipes. ``open`` it in the loop that uses it."""

    def __init__(self) -> None:
        stdin, stdout, stderr = os.pipe(), os.pipe(), os.pipe()
        self.theirs: tuple[int, ...] = (stdin[0], stdout[1], stderr[1])
        self._ours = (stdin[1], stdout[0], stderr[0])
        self._got: deque[tuple[int, bytes]] = deque()
        self._held = 0
        self._open = 0
        self._news = asyncio.Event()
        self._outputs: list[asyncio.ReadTransport] = []
        self._input: asyncio.WriteTransport | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        stdin, stdout, stderr = self._ours
        self._input, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(stdin, "wb", 0))
        for number, fd in ((1, stdout), (2, stderr)):
            self._open += 1
            transport, _ = await loop.connect_read_pipe(partial(_Output, self, number), os.fdopen(fd, "rb", 0))
            self._outputs.append(transport)

    def close_theirs(self) -> None:
        """Whoever has them has them now; without that their end could not be seen."""
        for fd in self.theirs:
            os.close(fd)
        self.theirs = ()

    def write(self, data: bytes) -> None:
        """Sent when the other end takes it; that it is gone is not our affair."""
        if self._input is not None and not self._input.is_closing():
            self._input.write(data)

    def write_eof(self) -> None:
        if self._input is not None and not self._input.is_closing():
            self._input.write_eof()

    async def read(self) -> tuple[int, bytes] | None:
        """1 or 2 for its two outputs, and some of it; None at the end."""
        while not self._got:
            if not self._open:
                return None
            self._news.clear()
            await self._news.wait()
        number, data = self._got.popleft()
        self._held -= len(data)
        if self._held <= HELD_BYTES:
            for transport in self._outputs:
                transport.resume_reading()
        return number, data

    async def close(self) -> None:
        if self._input is not None and not self._input.is_closing():  # else it goes when its reader does
            self._input.abort()
        for transport in self._outputs:
            transport.close()
        self._open = 0
        self._news.set()
        self.close_theirs()

    def took(self, number: int, data: bytes) -> None:
        self._got.append((number, data))
        self._held += len(data)
        if self._held > HELD_BYTES:
            for transport in self._outputs:
                transport.pause_reading()
        self._news.set()

    def ended(self) -> None:
        self._open = max(0, self._open - 1)
        self._news.set()


class _Output(asyncio.Protocol):
    def __init__(self, streams: Streams, number: int) -> None:
        self._streams, self._number = streams, number

    def data_received(self, data: bytes) -> None:
        self._streams.took(self._number, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._streams.ended()


class Container:
    """One container that was restored, or is being so."""

    def __init__(self, runsc: Runsc, slot: Slot, streams: Streams) -> None:
        self._runsc, self.slot, self.streams = runsc, slot, streams

    async def begin(self, begin: Begin) -> None:
        """Start what *begin* starts with these streams; ``SandboxFault`` where runsc ends badly."""
        await self.streams.open()
        process = begin(self.slot, self.streams.theirs)
        self.streams.close_theirs()
        if await ended(process, CALL_S):
            raise SandboxFault(f"runsc could not make a sandbox: {last_words(await self._rest())}")

    async def signal(self, number: int) -> None:
        """To its process 1; that it has ended is no fault."""
        if number == signal.SIGKILL:
            self.strike(number)
            return
        with contextlib.suppress(SandboxFault):
            await self._runsc.kill(self.slot.place, number)

    def strike(self, number: int) -> bool:
        """A signal to its kernel and all that belongs to it; whether there was anything."""
        return strike(self.slot.members[0], number)

    async def was_killed_for_memory(self) -> bool:
        return self.slot.group.read().memory_kills > 0

    async def delete(self) -> None:
        """None of its processes is left; ``SandboxFault`` where the kernel does not end its processes."""
        await self.streams.close()
        try:
            async with asyncio.timeout(GONE_S):
                while self.strike(signal.SIGKILL):  # noqa: ASYNC110  # groups of version 1 tell nobody that they are empty
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError as error:
            raise SandboxFault(f"a container's processes did not end in {GONE_S:.0f} s") from error

    async def _rest(self) -> bytes:
        """What is said to its end, or for a moment."""
        said = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REST_S):
                while (got := await self.streams.read()) is not None and len(said) < WORDS_BYTES:
                    said += got[1]
        return said
