"""One forked sandbox, seen from the runner: three pipes, a slot, and events from its zygote.

Theory of operation. ``run`` writes the order and the program's input into the stdin pipe, reads both outputs as they
come, and waits for the zygote's word that the program has ended: then all else in the sandbox is dead, and what is
left in the pipes is all there is. Wall time, CPU time and output are bounded here, memory and processes by the slot's
control group, file sizes by the kernel's resource limits.

Rules
1. Every read is bounded before it is read: at most ``READ_BYTES``, and never past the output bound.
2. ``stop`` asks the zygote to kill the program, and a second later to kill process 1, and with it everything.
3. What the program does to its pipes (closing, never reading) is never an error of ours.
"""

from __future__ import annotations

import asyncio
import os
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from jobs.errors import SandboxFault
from jobs.events import Stream
from jobs.result import OutputFile
from runner.engine import OnOutput, Order, Outcome
from runner.engines.ending import Printed
from runner.engines.fork import bring_back, protocol
from runner.engines.fork.cgroups import Cgroups

READ_BYTES = 64 * 1024
INSIST_S = 1.0
END_OF_FILE = b"\x04"  #: what a terminal takes for the end of its input
COLLECT_MARGIN_BYTES = 1 << 20  #: names and headers of the files that are brought back


@dataclass
class Ends:
    """The runner's ends of a sandbox's pipes; closed once each."""

    stdin: int
    stdout: int
    stderr: int
    open: set[int] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self.open = {self.stdin, self.stdout, self.stderr}
        for fd in self.open:
            os.set_blocking(fd, False)

    def close(self, fd: int) -> None:
        if fd in self.open:
            self.open.discard(fd)
            os.close(fd)

    def close_all(self) -> None:
        for fd in list(self.open):
            self.close(fd)


class ForkSandbox:
    """See ``runner.engine.Sandbox``."""

    def __init__(
        self, *, slot: int, ends: Ends, cgroups: Cgroups, ask: Callable[[bytes, int, int], None], ready_at: float
    ) -> None:
        self._slot = slot
        self._ends = ends
        self._cgroups = cgroups
        self._ask = ask  #: what, slot, number → to the zygote
        self._ready_at = ready_at
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        self._input = bytearray()
        self._keys = bytearray()
        self._close_input = False
        self._stopped = ""
        self._timers: list[asyncio.TimerHandle] = []
        self._files = b""
        self._files_fd = -1
        self._files_done: asyncio.Future[None] | None = None

    @property
    def warm(self) -> bool:
        return self._loop.time() >= self._ready_at

    # -- what the runner does with it ---------------------------------------------------------------------------

    async def run(self, order: Order, on_output: OnOutput) -> Outcome:
        self._order = order
        self._printed = Printed(order.output_bytes, on_output, lambda: self._stop("output"))
        try:
            self._bound(order)
            started = time.perf_counter()
            self._start(order)
            status = await self._ended
            ended = time.perf_counter()
            self._drain()
            if self._files_done is not None:
                await self._files_done
        finally:
            self._let_go()
        return self._printed.outcome(
            status,
            reading=self._reading,
            stopped=self._stopped,
            files=unpack_files(self._files, order.collect_files, order.collect_bytes),
            wall_ms=(ended - started) * 1000,
        )

    def feed(self, data: bytes | None) -> None:
        if self._order.tty is not None:
            self._keys += END_OF_FILE if data is None else data
            self._type()
            return
        if data is None:
            self._close_input = True
        else:
            self._input += data
        self._write()

    def resize(self, rows: int, cols: int) -> None:
        if self._order.tty is not None and self._ends.stdout in self._ends.open:
            termios.tcsetwinsize(self._ends.stdout, (rows, cols))

    def interrupt(self, number: int) -> None:
        self._ask(protocol.SIGNAL, self._slot, number)

    def stop(self) -> None:
        self._stop("cancelled")

    def strike(self) -> None:
        self._ask(protocol.KILL, self._slot, 0)
        self._ends.close_all()

    # -- what its zygote says -----------------------------------------------------------------------------------

    def on_exited(self, status: int) -> None:
        """The program has ended and nothing is left: the slot is somebody else's when this returns."""
        if not self._ended.done():
            self._reading = self._cgroups.read(self._slot)
            self._ended.set_result(status)

    def on_failed(self, reason: str) -> None:
        if not self._ended.done():
            self._ended.set_exception(SandboxFault(reason))
            self._ended.exception()  # whoever waits gets it; when nobody does, it is no news

    def on_files(self, fd: int) -> None:
        """The program has ended; what it was bounded by does not bound the bringing of its files."""
        self._cancel_timers()
        os.set_blocking(fd, False)
        self._files_fd = fd
        self._files_done = self._loop.create_future()
        self._collected = bytearray()
        self._loop.add_reader(fd, self._read_files)

    # -- inside -------------------------------------------------------------------------------------------------

    def _bound(self, order: Order) -> None:
        processes = order.limits.processes + (order.go is not None)  # the feeder of a waiting runtime
        try:
            self._cgroups.bound(self._slot, memory_bytes=order.memory_bytes, processes=processes)
            self._cgroups.begin(self._slot)
        except OSError as error:  # version 1 refuses a bound below what is held already
            raise SandboxFault(f"the bounds of slot {self._slot} could not be set: {error.strerror}") from error

    def _start(self, order: Order) -> None:
        self._loop.add_reader(self._ends.stdout, self._read, self._ends.stdout, Stream.STDOUT)
        self._loop.add_reader(self._ends.stderr, self._read, self._ends.stderr, Stream.STDERR)
        self._timers.append(self._loop.call_later(order.wall_s, self._stop, "wall"))
        if order.limits.cpu_seconds < order.wall_s:
            self._timers.append(self._loop.call_later(order.limits.cpu_seconds, self._check_cpu))
        self._input += protocol.pack_order(plain(order))
        if order.tty is not None:
            self._close_input = True  # the order is all that comes by the pipe; keys go to the terminal
        elif order.stdin is not None:
            self._input += order.stdin
            self._close_input = True
        self._write()

    def _check_cpu(self) -> None:
        """A run has one core, so the bound cannot be reached before this is called again."""
        left = self._order.limits.cpu_seconds - self._cgroups.cpu_ms(self._slot) / 1000
        if left <= 0:
            self._stop("cpu")
        else:
            self._timers.append(self._loop.call_later(max(left, 0.005), self._check_cpu))

    def _stop(self, why: str) -> None:
        if not self._stopped and not self._ended.done():
            self._stopped = why
            self._ask(protocol.STOP, self._slot, 0)
            self._timers.append(self._loop.call_later(INSIST_S, self._ask, protocol.KILL, self._slot, 0))

    def _write(self) -> None:
        fd = self._ends.stdin
        if self._put(fd, self._input, self._write) and self._close_input:
            self._ends.close(fd)

    def _type(self) -> None:
        self._put(self._ends.stdout, self._keys, self._type)

    def _put(self, fd: int, data: bytearray, again: Callable[[], None]) -> bool:
        """Write what the other end takes now, the rest by *again*; whether all that will ever be taken is."""
        if fd not in self._ends.open:
            return False
        try:
            while data:
                del data[: os.write(fd, data)]
        except BlockingIOError:
            self._loop.add_writer(fd, again)
            return False
        except OSError:  # it closed its input, or is gone: its own affair
            data.clear()
            self._close_input = True
        self._loop.remove_writer(fd)
        return True

    def _read(self, fd: int, stream: Stream) -> bool:
        """One read; whether there may be more."""
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(fd)
            self._loop.remove_writer(fd)  # of a terminal
            self._ends.close(fd)
            return False
        self._printed.take(stream, data)
        return True

    def _drain(self) -> None:
        for fd, stream in ((self._ends.stdout, Stream.STDOUT), (self._ends.stderr, Stream.STDERR)):
            while fd in self._ends.open and self._read(fd, stream):
                pass

    def _read_files(self) -> None:
        most = self._order.collect_bytes + COLLECT_MARGIN_BYTES
        try:
            part = os.read(self._files_fd, min(READ_BYTES * 4, most + 1 - len(self._collected)))
        except BlockingIOError:
            return
        except OSError:
            part = b""
        self._collected += part
        if not part or len(self._collected) > most:
            self._loop.remove_reader(self._files_fd)
            os.close(self._files_fd)
            self._files = bytes(self._collected)
            if self._files_done is not None and not self._files_done.done():
                self._files_done.set_result(None)

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _let_go(self) -> None:
        self._cancel_timers()
        for fd in (self._ends.stdout, self._ends.stderr):
            if fd in self._ends.open:
                self._loop.remove_reader(fd)
                self._loop.remove_writer(fd)
        if self._ends.stdin in self._ends.open:
            self._loop.remove_writer(self._ends.stdin)
        if not self._ended.done():
            self._ask(protocol.KILL, self._slot, 0)
        self._ends.close_all()


def plain(order: Order) -> dict[str, object]:
    """The order as the zygote's side reads it: plain values only."""
    return {
        "files": [(file.path, file.content, file.mode) for file in order.files],
        "argv": list(order.argv) if not (order.goes_on or order.commands or order.go is not None) else None,
        "args": list(order.args),
        "commands": [list(command) for command in order.commands],
        "env": dict(order.env),
        "limits": {} if order.go is not None else rlimits(order.limits.file_bytes, order.memory_bytes),
        "go": order.go,
        "tty": None if order.tty is None else (order.tty.rows, order.tty.cols),
        "globs": list(order.globs),
        "collect": (order.collect_files, order.collect_bytes),
    }


def rlimits(file_bytes: int, memory_bytes: int) -> dict[str, int]:
    """The resource limits of a program; the stack may grow to the memory limit."""
    return {"RLIMIT_FSIZE": file_bytes, "RLIMIT_STACK": memory_bytes}


def unpack_files(data: bytes, most_files: int, most_bytes: int) -> tuple[OutputFile, ...]:
    """The files in what a collector wrote; it is not trusted: what is cut short or over the bounds is left out."""
    files: list[OutputFile] = []
    at = 0
    while at + bring_back.FILE_HEADER.size <= len(data) and len(files) < most_files:
        name_size, size = bring_back.FILE_HEADER.unpack_from(data, at)
        start = at + bring_back.FILE_HEADER.size + name_size
        if start + size > len(data) or size > most_bytes:
            break
        most_bytes -= size
        name = data[at + bring_back.FILE_HEADER.size : start].decode("utf-8", "replace")
        files.append(OutputFile(name=name, content=data[start : start + size]))
        at = start + size
    return tuple(files)
