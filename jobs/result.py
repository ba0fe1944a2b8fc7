"""The one record that replaces a job. Byte strings are exact; the gateway makes text of them at the door.

``chunks`` remembers how the output came: ``(stream, bytes)`` in order. With it the numbered output of a run can be
told again, from any sequence number, by any gateway, for as long as the result is kept (``output.retell``).
"""

from __future__ import annotations

from dataclasses import dataclass

from jobs.states import Cause, State, Verdict


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a run used: the program and its children, nothing of ours."""

    wall_ms: float = 0.0
    cpu_ms: float = 0.0
    memory_peak_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class CompileReport:
    """What the compiler said and used. ``cached``: the same source was compiled before, and this is its report."""

    exit_code: int | None
    stdout: bytes
    stderr: bytes
    usage: Usage
    cached: bool = False


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    verdict: Verdict
    exit_code: int | None
    signal: str | None
    stdout: bytes
    stderr: bytes
    usage: Usage
    stdout_truncated: bool = False
    stderr_truncated: bool = False


@dataclass(frozen=True, kw_only=True)
class OutputFile:
    """A file that the caller asked for by ``outputs``."""

    name: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Where the time went. Times are milliseconds since the epoch, durations milliseconds; None: it never got there."""

    created_at_ms: int
    started_at_ms: int | None = None
    finished_at_ms: int | None = None
    queued_ms: float | None = None
    sandbox_wait_ms: float | None = None
    compile_ms: float | None = None
    run_ms: float | None = None
    total_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """How an execution ended. ``verdict`` is None unless the state is *completed*.

    ``region`` is where it ran, ``queue`` the region whose queue it lay in (empty: the same), ``placed`` why that one.
    """

    execution_id: str
    user_id: str
    gateway: str
    state: State
    language: str
    version: str
    variant: str
    region: str
    runner: str | None
    attempt: int
    verdict: Verdict | None = None
    cause: Cause | None = None
    exit_code: int | None = None
    signal: str | None = None
    message: str | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    compile: CompileReport | None = None
    usage: Usage = Usage()
    timeline: Timeline
    warm: bool = False
    cases: tuple[CaseResult, ...] | None = None
    files: tuple[OutputFile, ...] | None = None
    chunks: tuple[tuple[str, int], ...] = ()
    queue: str = ""
    placed: str = "home"
    engine: str = ""  #: what its sandboxes were: fork, docker-runc …; empty: it never ran, or an older runner
