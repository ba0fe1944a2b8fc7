"""The network's answers, as the client gives them: plain dicts, typed. Fields may be added by a newer network.

Times are ISO 8601 UTC; durations and sizes carry their unit in the name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict


class Usage(TypedDict):
    wall_ms: float
    cpu_ms: float
    memory_peak_bytes: int


class Compile(TypedDict):
    exit_code: int | None
    stdout: str
    stderr: str
    wall_ms: float
    cpu_ms: float
    memory_peak_bytes: int
    cached: bool


class Timeline(TypedDict):
    created_at: str
    started_at: str | None
    finished_at: str | None
    queued_ms: float | None
    sandbox_wait_ms: float | None
    compile_ms: float | None
    run_ms: float | None
    total_ms: float | None


class Case(TypedDict):
    verdict: str
    exit_code: int | None
    signal: str | None
    stdout: str
    stderr: str
    usage: Usage


class OutputFile(TypedDict):
    name: str
    size_bytes: int
    content: str
    encoding: str


class Placement(TypedDict):
    """In which region's queue it was put, why that one, and where it runs or ran (None until it does)."""

    region: str
    reason: str
    ran_in: str | None


class Execution(TypedDict):
    """One execution. ``verdict`` is what the program did, None until the status is *completed*."""

    execution_id: str
    status: str
    language: str
    version: str
    variant: str
    region: str
    placement: Placement | None
    runner: str | None
    engine: NotRequired[str | None]  #: what its sandboxes were; older networks do not say
    attempt: int
    verdict: str | None
    cause: str | None
    exit_code: int | None
    signal: str | None
    message: str | None
    stdout: str
    stderr: str
    stdout_truncated: bool
    stderr_truncated: bool
    compile: Compile | None
    usage: Usage
    timeline: Timeline
    warm: bool
    cases: list[Case] | None
    files: list[OutputFile] | None


class Submitted(TypedDict):
    execution_id: str
    status: str
    websocket_url: str
    estimated_wait_ms: float
    region: str
    placement: Placement


class Language(TypedDict):
    language: str
    version: str
    aliases: list[str]
    variants: list[str]
    compiled: bool
    compile_flags: list[str]
    extensions: list[str]
    engines: NotRequired[list[str]]  #: older networks do not say


class Fields(TypedDict, total=False):
    """What a submission may carry beside language and code; the public contract says what each means."""

    version: str
    variant: str
    files: list[dict[str, str]]
    entry: str
    stdin: str
    stdin_encoding: str
    args: list[str]
    env: dict[str, str]
    timeout: float
    memory_limit: int
    limits: dict[str, float]
    compile_flags: list[str]
    cases: list[dict[str, Any]]
    compare: str
    outputs: list[str]
    priority: str
    region: str
    webhook: dict[str, str]
    interactive: bool
    tty: dict[str, int]


ENDED = frozenset({"completed", "failed", "cancelled", "expired"})
"""The values of ``status`` that do not change any more."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """The execution's status at the start of a stream, and at each change."""

    status: str
    attempt: int | None = None  #: from 1; more: the runner before was lost, and output starts again


@dataclass(frozen=True, kw_only=True)
class Output:
    """A piece of output; ``seq`` counts from 1 without gaps."""

    seq: int
    stream: str  #: stdout, stderr, or compile
    data: bytes

    @property
    def text(self) -> str:
        return self.data.decode(errors="replace")


@dataclass(frozen=True, kw_only=True)
class Complete:
    """The last of a stream."""

    execution: Execution


Event = Status | Output | Complete
