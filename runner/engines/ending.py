"""What every engine tells of a run in the same way: what was printed, up to its bound, and how it ended."""

from __future__ import annotations

import os
from collections.abc import Callable

from jobs.events import Stream
from jobs.result import OutputFile
from runner.engine import OnOutput, Outcome
from runner.engines.fork.cgroups import Reading


class Printed:
    """Both outputs of a program, kept to the byte up to *most* together. *on_full* once there is more than that."""

    def __init__(self, most: int, on_output: OnOutput, on_full: Callable[[], None]) -> None:
        self._room_left, self._on_output, self._on_full = most, on_output, on_full
        self._kept = {Stream.STDOUT: bytearray(), Stream.STDERR: bytearray()}
        self._cut = {Stream.STDOUT: False, Stream.STDERR: False}

    def take(self, stream: Stream, data: bytes) -> None:
        kept = data[: self._room_left]
        if len(kept) < len(data):
            self._cut[stream] = True
            self._on_full()
        if kept:
            self._room_left -= len(kept)
            self._kept[stream] += kept
            self._on_output(stream, kept)

    def kept(self, stream: Stream) -> bytes:
        return bytes(self._kept[stream])

    def outcome(
        self, status: int, *, reading: Reading, stopped: str, files: tuple[OutputFile, ...], wall_ms: float
    ) -> Outcome:
        """*status*: the program's, as ``wait`` tells it. *stopped*: why we ended it; empty where we did not."""
        signalled = os.WIFSIGNALED(status)
        return Outcome(
            exit_code=None if signalled else os.waitstatus_to_exitcode(status),
            signal=os.WTERMSIG(status) if signalled else None,
            stdout=bytes(self._kept[Stream.STDOUT]),
            stderr=bytes(self._kept[Stream.STDERR]),
            stdout_truncated=self._cut[Stream.STDOUT],
            stderr_truncated=self._cut[Stream.STDERR],
            wall_ms=wall_ms,
            cpu_ms=reading.cpu_ms,
            memory_peak_bytes=reading.memory_peak_bytes,
            memory_kills=reading.memory_kills,
            process_refusals=reading.process_refusals,
            ran_out_of_wall=stopped == "wall",
            ran_out_of_cpu=stopped == "cpu",
            ran_out_of_output=True in self._cut.values(),
            cancelled=stopped == "cancelled",
            files=files,
        )
