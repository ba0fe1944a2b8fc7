"""One container as a sandbox: an attached connection, a control group, and process 1 inside it (``inside.zygote``).

Theory of operation. ``run`` sends the order and the program's input down the connection, takes the program's outputs
from it as they come, and knows by process 1's mark on both that the program has ended and nothing else is alive. Then
the control group is read, and the container removed behind the caller's back. Wall time, CPU time and output are
bounded here, memory and processes by the container's control group, file sizes by the kernel's resource limits.

Rules
1. Process 1 ends the program when its wall time is over; our own clock is behind it, and only for one that does not.
   ``stop`` asks process 1 to kill the program, and a second later the container is killed.
2. A container that ends without its mark was killed: for memory if the kernel says so, by us, or it is our fault.
3. What comes after the mark is bounded too; it is not trusted (``fork.sandbox.unpack_files``).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import struct
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

from jobs.errors import SandboxFault
from jobs.events import Stream
from runner.engine import OnOutput, Order, Outcome
from runner.engines.docker.kernels import MOST_THREADS, REFUSED, Kernel
from runner.engines.ending import Printed
from runner.engines.fork import protocol
from runner.engines.fork.cgroups import Group, Reading
from runner.engines.fork.sandbox import COLLECT_MARGIN_BYTES, END_OF_FILE, INSIST_S, plain, unpack_files

#: what ``inside.zygote`` says and hears; it is no module of ours to import
STOP = 30
READY, ENDED, END, FAILED = b"r", b"x", b"e", b"f"
STATUS = struct.Struct("<iB")
WALL, CROWD = 1, 2
FRAME = struct.Struct("<cI")
KEYS, SIZE = b"k", b"s"
OWN_PROCESSES = 1  #: process 1
WATCH_S = 0.1
BEHIND_S = 0.3  #: how long after process 1's clock ours ends the program
TAIL_BYTES = 16 * 1024  #: of standard error, where a runtime says what it failed of
DEAD_S = 15.0  #: the longest that a container may take to die once the daemon was told to kill it


class Streams(Protocol):
    """The standard streams of a container."""

    def write(self, data: bytes) -> None: ...
    def write_eof(self) -> None: ...
    async def read(self) -> tuple[int, bytes] | None: ...
    async def close(self) -> None: ...


class Container(Protocol):
    """What a sandbox asks of its container, whoever made it."""

    @property
    def streams(self) -> Streams: ...
    async def signal(self, number: int) -> None: ...
    def strike(self, number: int) -> bool: ...
    async def was_killed_for_memory(self) -> bool: ...


@dataclass
class Scan:
    """One output, parted at the mark: what comes before it is the program's, what comes after it is ours."""

    mark: bytes
    found: bool = False
    after: bytearray = field(default_factory=bytearray)
    _held: bytes = b""

    def feed(self, data: bytes) -> bytes:
        """The program's part; an end that may be the beginning of the mark is held back."""
        if self.found:
            self.after += data
            return b""
        data = self._held + data
        at = data.find(self.mark)
        if at >= 0:
            self.found, self._held = True, b""
            self.after += data[at + len(self.mark) :]
            return data[:at]
        held = next((size for size in range(min(len(self.mark) - 1, len(data)), 0, -1) if _begins(self, data, size)), 0)
        self._held = data[len(data) - held :]
        return data[: len(data) - held]

    def rest(self) -> bytes:
        """What was held back, where no more will come."""
        held, self._held = self._held, b""
        return held


def _begins(scan: Scan, data: bytes, size: int) -> bool:
    return data.endswith(scan.mark[:size])


C = TypeVar("C", bound=Container)


class DockerSandbox(Generic[C]):
    """See ``runner.engine.Sandbox``."""

    def __init__(
        self,
        *,
        container: C,
        group: Group,
        kernel: Kernel,
        mark: bytes,
        ready_at: float,
        tty: bool,
        remove: Callable[[DockerSandbox[C]], None],
        in_background: Callable[[Coroutine[object, object, None]], None],
        bound_by: Callable[[int, int], Awaitable[None]] | None = None,
    ) -> None:
        """*bound_by*: sets memory and processes, where its control group here is not what bounds it."""
        self.container, self.group, self._kernel = container, group, kernel
        self._mark, self._ready_at, self._tty = mark, ready_at, tty
        self._remove, self._in_background, self._bound_by = remove, in_background, bound_by
        self._loop = asyncio.get_running_loop()
        self._stopped = ""
        self._over = False
        self._last: Reading | None = None
        self._timers: list[asyncio.TimerHandle] = []

    @property
    def warm(self) -> bool:
        return self._loop.time() >= self._ready_at

    # -- what the runner does with it ---------------------------------------------------------------------------

    async def run(self, order: Order, on_output: OnOutput) -> Outcome:
        self._order = order
        self._printed = Printed(order.output_bytes, on_output, lambda: self._stop("output"))
        try:
            await self._bound(order)
            started = time.perf_counter()
            self._start(order)
            status = await self._until_the_end()
            ended = time.perf_counter()
            return self._printed.outcome(
                status,
                reading=self._reading,
                stopped=self._stopped,
                files=unpack_files(self._files, order.collect_files, order.collect_bytes),
                wall_ms=(ended - started) * 1000,
            )
        finally:
            self._over = True
            self._cancel_timers()
            self._remove(self)

    def feed(self, data: bytes | None) -> None:
        if self._over:
            return
        if self._tty:
            keys = END_OF_FILE if data is None else data
            self.container.streams.write(FRAME.pack(KEYS, len(keys)) + keys)
        elif data is None:
            self.container.streams.write_eof()
        else:
            self.container.streams.write(data)

    def resize(self, rows: int, cols: int) -> None:
        if self._tty and not self._over:
            self.container.streams.write(FRAME.pack(SIZE, rows << 16 | cols))

    def interrupt(self, number: int) -> None:
        if not self._over:
            self._signal(number)

    def stop(self) -> None:
        self._stop("cancelled")

    def strike(self) -> None:
        self._over = True
        self._remove(self)

    # -- inside -------------------------------------------------------------------------------------------------

    async def _bound(self, order: Order) -> None:
        self._most = order.limits.processes + OWN_PROCESSES + (order.go is not None)
        try:
            if self._bound_by is not None:
                await self._bound_by(order.memory_bytes, self._most)
            else:
                processes = self._most if self._kernel.bounds_processes else MOST_THREADS
                self.group.bound(memory_bytes=order.memory_bytes, processes=processes)
            self.group.begin()
        except OSError as error:  # version 1 refuses a bound below what is held already; or the container is gone
            raise SandboxFault(f"the bounds of a container could not be set: {error.strerror}") from error

    def _start(self, order: Order) -> None:
        self._timers.append(self._loop.call_later(order.wall_s + BEHIND_S, self._stop, "wall"))
        if order.limits.cpu_seconds < order.wall_s:
            self._timers.append(self._loop.call_later(order.limits.cpu_seconds, self._check_cpu))
        if not self._kernel.is_ours:
            self._timers.append(self._loop.call_later(WATCH_S, self._watch))
        streams = self.container.streams
        streams.write(protocol.pack_order({**plain(order), "bounds": (order.wall_s, self._kernel.look_s, self._most)}))
        if order.tty is None and order.stdin is not None:
            streams.write(order.stdin)
            streams.write_eof()

    async def _until_the_end(self) -> int:
        """The program's wait status; that of SIGKILL where the whole container was killed."""
        out, err = Scan(self._mark), Scan(self._mark)
        most = self._order.collect_bytes + COLLECT_MARGIN_BYTES
        end = self._mark + END
        while not (err.found and out.found and (out.after[:1] == FAILED or out.after.endswith(end))):
            got = await self.container.streams.read()
            if got is None or len(out.after) > most or len(err.after) > COLLECT_MARGIN_BYTES:
                self._printed.take(Stream.STDOUT, out.rest())
                self._printed.take(Stream.STDERR, err.rest())
                await self._killed()
                return int(signal.SIGKILL)
            number, data = got
            scan, stream = (out, Stream.STDOUT) if number == 1 else (err, Stream.STDERR)
            self._printed.take(stream, scan.feed(data))
            if scan.found:
                self._ended()
            if out.after[:1] == FAILED and len(out.after) >= 1 + STATUS.size:
                break
        status, why = STATUS.unpack_from(out.after, 1)
        if out.after[:1] != ENDED:
            said = self._printed.kept(Stream.STDERR).decode(errors="replace").strip()
            raise SandboxFault(f"the program of a container did not begin (wait status {status}): {said[-400:]}")
        self._files = bytes(out.after[1 + STATUS.size : -len(end)])
        self._reading = self._read_group(crowded=bool(why & CROWD))
        if why & WALL and not self._stopped:
            self._stopped = "wall"
        return int(status)

    def _ended(self) -> None:
        """The program has ended; what it was bounded by does not bound the bringing of its files."""
        if self._timers:
            self._cancel_timers()
            self._timers.append(self._loop.call_later(DEAD_S, self._insist))

    async def _killed(self) -> None:
        """It ended without a word. Raises ``SandboxFault`` unless it is known why."""
        self._files = b""
        seen = self._last  # its control group went with it
        for_memory = bool(seen and seen.memory_kills) or await self.container.was_killed_for_memory()
        if not for_memory and not self._stopped:
            raise SandboxFault("a container ended without a word")
        self._reading = Reading(
            cpu_ms=seen.cpu_ms if seen else 0.0,
            memory_peak_bytes=self._order.memory_bytes if for_memory else seen.memory_peak_bytes if seen else 0,
            memory_kills=int(for_memory),
            process_refusals=0,
        )

    def _read_group(self, *, crowded: bool) -> Reading:
        try:
            reading = self.group.read()
        except OSError as error:
            raise SandboxFault(f"the control group of a container could not be read: {error.strerror}") from error
        if self._kernel.bounds_processes:
            return reading
        crowded = crowded or REFUSED.search(self._printed.kept(Stream.STDERR)[-TAIL_BYTES:]) is not None
        return replace(reading, process_refusals=int(crowded))

    def _check_cpu(self) -> None:
        """A run has one core, so the bound cannot be reached before this is called again."""
        try:
            left = self._order.limits.cpu_seconds - self.group.cpu_ms() / 1000
        except OSError:  # it is gone: its end is under way
            return
        if left <= 0:
            self._stop("cpu")
        else:
            self._timers.append(self._loop.call_later(max(left, 0.005), self._check_cpu))

    def _signal(self, number: int) -> None:
        """To process 1, which passes it on."""
        if not (self._kernel.is_ours and self.container.strike(number)):
            self._in_background(self.container.signal(number))

    def _watch(self) -> None:
        """A kernel that is made of processes here does not always notice that it lost one: the rest is ended then."""
        try:
            self._last = self.group.read()
        except OSError:  # it is gone: its end is under way
            return
        if self._last.memory_kills and not self._over:
            self._stopped = self._stopped or "memory"
            self._insist()
        else:
            self._timers.append(self._loop.call_later(WATCH_S, self._watch))

    def _stop(self, why: str) -> None:
        if not self._stopped and not self._over:
            self._stopped = why
            self._signal(STOP)
            self._timers.append(self._loop.call_later(INSIST_S, self._insist))

    def _insist(self) -> None:
        if not self._over:
            with contextlib.suppress(OSError):
                self._last = self.group.read()
            self._stopped = self._stopped or "wall"
            if not (self._kernel.ends_with_process and self.container.strike(signal.SIGKILL)):
                self._in_background(self.container.signal(signal.SIGKILL))
            self._timers.append(self._loop.call_later(DEAD_S, self._give_up))

    def _give_up(self) -> None:
        """The daemon does not do what it is told: the connection's end is the end."""
        self._in_background(self.container.streams.close())

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
