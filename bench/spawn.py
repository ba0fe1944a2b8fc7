"""Bare tools: a command started with nothing around it, its wall time and its CPU, and what the cores do of it.

``posix_spawn`` starts it without a copy of us; ``wait4`` says what CPU it took, children that it waited for included.
"""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.figures import median

HELLO = 'print("hello")'
LIMIT_S = 120
_COUNT = struct.Struct("<Id")


@dataclass(frozen=True, kw_only=True)
class Bare:
    """Milliseconds of each start."""

    wall_ms: tuple[float, ...]
    cpu_ms: tuple[float, ...]

    @property
    def wall(self) -> float:
        return median(self.wall_ms)

    @property
    def cpu(self) -> float:
        return median(self.cpu_ms)

    def __add__(self, other: Bare) -> Bare:
        return Bare(wall_ms=self.wall_ms + other.wall_ms, cpu_ms=self.cpu_ms + other.cpu_ms)


class ToolFailed(Exception):
    """A bare tool that ended badly: then it is no floor."""


def hello_of(python: str) -> list[str]:
    """The unit of it all."""
    return [python, "-I", "-S", "-c", HELLO]


def once(argv: Sequence[str], *, folder: Path | None = None, environ: Mapping[str, str] | None = None) -> Bare:
    """Start it, read its output to the end, wait for it; raises ``ToolFailed``."""
    reading, writing = os.pipe()
    began = time.perf_counter()
    try:
        words = list(argv) if folder is None else ["env", "-C", str(folder), *argv]
        actions = [(os.POSIX_SPAWN_DUP2, writing, 1), (os.POSIX_SPAWN_CLOSE, reading)]
        pid = os.posix_spawnp(words[0], words, {**os.environ, **(environ or {})}, file_actions=actions)
    finally:
        os.close(writing)
    said = b""
    while piece := os.read(reading, 65536):
        said += piece
    _, status, usage = os.wait4(pid, 0)
    wall_ms = (time.perf_counter() - began) * 1000
    os.close(reading)
    if status:
        raise ToolFailed(f"{' '.join(argv)} ended with wait status {status}: {said[-300:].decode(errors='replace')}")
    return Bare(wall_ms=(wall_ms,), cpu_ms=((usage.ru_utime + usage.ru_stime) * 1000,))


def often(argv: Sequence[str], times: int) -> Bare:
    """*times* starts, after one that only warms the page cache."""
    once(argv)
    total = Bare(wall_ms=(), cpu_ms=())
    for _ in range(times):
        total += once(argv)
    return total


def rate(argv: Sequence[str], seconds: float) -> float:
    """How many a second all cores do together: one process a core that starts one after the other."""
    began = time.perf_counter()
    pipes = [_loop(argv, began + seconds) for _ in os.sched_getaffinity(0)]
    total = 0.0
    for pid, reading in pipes:
        data = os.read(reading, _COUNT.size)
        os.close(reading)
        os.waitpid(pid, 0)
        if len(data) != _COUNT.size:
            raise ToolFailed(f"{' '.join(argv)} failed while its rate was measured")
        count, took = _COUNT.unpack(data)
        total += count / took
    return total


def _loop(argv: Sequence[str], until: float) -> tuple[int, int]:
    """A fork of us that starts *argv* until then, and the pipe by which it says how often it did."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    code = 1
    try:
        signal.alarm(LIMIT_S)
        began, count = time.perf_counter(), 0
        while time.perf_counter() < until:
            once(argv)
            count += 1
        os.write(writing, _COUNT.pack(count, time.perf_counter() - began))
        code = 0
    finally:
        os._exit(code)
