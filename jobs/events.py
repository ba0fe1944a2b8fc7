"""What travels on ``output.<gateway>.<execution id>`` while a job lives, and on the other core subjects.

An execution's life there, in order::

    Queued, then for each attempt:  Running, Chunk 1, Chunk 2, … and at the end of the last one:  Ended

Rules
1. Chunks are numbered from 1 without gaps within an attempt. A new attempt (the runner was lost) starts at 1 again;
   its ``Running`` comes first, and whoever listens forgets the chunks of the attempt before.
2. A chunk never splits a UTF-8 character, unless the bytes are no UTF-8 anyhow.
3. ``Ended`` comes after the result is stored. It carries the result when that is small (``INLINE_BYTES``), else
   None: then the result is read from its stream.
4. All of this is at most once: a listener that misses a number reads the ``OUTPUT`` stream, or the stored result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from jobs.result import Result
from jobs.states import Class

INLINE_BYTES = 64 * 1024


class Stream(StrEnum):
    STDOUT = "stdout"
    STDERR = "stderr"
    #: what the compiler prints, both of its streams
    COMPILE = "compile"


@dataclass(frozen=True, kw_only=True)
class Queued:
    """The gateway accepted it. Enough to answer for an execution that has not started."""

    execution_id: str
    user_id: str
    language: str
    version: str  #: as asked for
    variant: str
    region: str  #: whose queue it lies in
    job_class: Class
    created_at_ms: int
    start_by_ms: int
    gateway: str = ""  #: the one that accepted it; empty: an older one, which did not say
    placed: str = "home"  #: why its queue is that region's


@dataclass(frozen=True, kw_only=True)
class Running:
    execution_id: str
    runner: str
    region: str  #: where it runs
    attempt: int
    started_at_ms: int
    version: str


@dataclass(frozen=True, kw_only=True)
class Chunk:
    execution_id: str
    attempt: int
    seq: int
    stream: Stream
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Ended:
    execution_id: str
    result: Result | None


class ControlKind(StrEnum):
    CANCEL = "cancel"
    STDIN = "stdin"
    STDIN_EOF = "stdin_eof"
    SIGNAL = "signal"
    RESIZE = "resize"


@dataclass(frozen=True, kw_only=True)
class Control:
    """Said to whichever runner has the execution, on ``control.<region>.<execution id>``.

    The runner that has it replies with a ``ControlReply``; no reply means that no runner has it.
    """

    execution_id: str
    kind: ControlKind
    data: bytes = b""  #: of stdin
    signal: str = ""  #: ``SIGINT`` …
    rows: int = 0
    cols: int = 0


@dataclass(frozen=True, kw_only=True)
class ControlReply:
    """``accepted`` False: the runner has it, but ``problem`` (no terminal, stdin closed …)."""

    accepted: bool
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A language version that a runner has proved by its self-test."""

    language: str
    version: str
    variants: tuple[str, ...] = ()  #: names of installed sets of libraries, beside the plain one
    compile_flags: tuple[str, ...] = ()  #: the default build's flags
    allowed_flags: tuple[str, ...] = ()  #: what a submission may pass, as shell-style patterns
    warm: int = 0  #: sandboxes ready now
    engine: str = ""  #: what its sandboxes are: fork, docker-runc …; empty: an older runner, which does not say


@dataclass(frozen=True, kw_only=True)
class Beat:
    """A runner says that it is there, every ``BEAT_S`` on ``runners.<region>.<runner>``; silence for three is death."""

    runner: str
    region: str
    pid: int
    slots: int  #: jobs that it has at once under steady load; sleepers may be more
    running: int
    draining: bool
    cpu_percent: float
    memory_percent: float
    offers: tuple[Offer, ...]
    cold_starts: int = 0
    warm_starts: int = 0
    mean_run_ms: float = 0.0  #: moving mean of how long a job holds a slot
    leaving: bool = False  #: the last one it sends
    why_leaving: str = ""  #: what ended it, where that was its own decision
    fleet: str = ""  #: the fleet it serves; empty: an older runner, known by what it offers
    burst: bool = False  #: dispatched: it ends by itself


BEAT_S = 2.0


def retell(result: Result) -> Iterator[Chunk]:
    """The numbered chunks of a stored result, as they came while it ran."""
    at = {Stream.STDOUT: 0, Stream.STDERR: 0, Stream.COMPILE: 0}
    source = {Stream.STDOUT: result.stdout, Stream.STDERR: result.stderr, Stream.COMPILE: _compile_output(result)}
    for seq, (name, size) in enumerate(result.chunks, start=1):
        stream = Stream(name)
        data = source[stream][at[stream] : at[stream] + size]
        at[stream] += size
        yield Chunk(execution_id=result.execution_id, attempt=result.attempt, seq=seq, stream=stream, data=data)


def _compile_output(result: Result) -> bytes:
    return b"" if result.compile is None else result.compile.stdout + result.compile.stderr
