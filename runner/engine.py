"""Where the parts of a runner meet: what an engine is, what a sandbox is told, and what it says of its run.

An engine pitches sandboxes (fork, docker, snapshot …); a pool keeps them ready; ``execute`` uses them one after the
other, once each. Nothing outside an engine's own folder knows how it does it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from jobs.events import Stream
from jobs.limits import Limits
from jobs.result import OutputFile
from jobs.submission import Terminal
from runner.languages.contract import Boot, Installation, Room


@dataclass(frozen=True, kw_only=True)
class PlacedFile:
    """A file at an absolute path in the room."""

    path: str
    content: bytes
    mode: int = 0o644


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a sandbox is to do, once.

    Exactly one of these starts: ``go`` (a runtime that waits warm), ``commands`` (a build), ``goes_on`` (an
    interpreter that was forked), or ``argv``.
    """

    files: tuple[PlacedFile, ...] = ()
    argv: tuple[str, ...] = ()
    go: bytes | None = None
    goes_on: bool = False
    args: tuple[str, ...] = ()  #: with ``goes_on``
    commands: tuple[tuple[str, ...], ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes | None = b""  #: None: it stays open, for ``Sandbox.feed``
    wall_s: float
    memory_bytes: int
    limits: Limits
    output_bytes: int  #: both streams together
    tty: Terminal | None = None  #: a pseudo-terminal in place of the three pipes
    globs: tuple[str, ...] = ()  #: files to bring back
    collect_files: int = 0
    collect_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended, as evidence: ``runner.verdict`` makes a verdict of it."""

    exit_code: int | None
    signal: int | None
    stdout: bytes
    stderr: bytes
    stdout_truncated: bool
    stderr_truncated: bool
    wall_ms: float
    cpu_ms: float
    memory_peak_bytes: int
    memory_kills: int = 0
    process_refusals: int = 0
    ran_out_of_wall: bool = False
    ran_out_of_cpu: bool = False
    ran_out_of_output: bool = False
    cancelled: bool = False
    files: tuple[OutputFile, ...] = ()


OnOutput = Callable[[Stream, bytes], None]


class Sandbox(Protocol):
    """One single-use box, pitched and waiting."""

    @property
    def warm(self) -> bool:
        """Whether its runtime has had time to be ready."""
        ...

    async def run(self, order: Order, on_output: OnOutput) -> Outcome:
        """Do what the order says, to its end; raises ``SandboxFault`` when the box failed apart from the program."""
        ...

    def feed(self, data: bytes | None) -> None:
        """More standard input while it runs; None ends it."""
        ...

    def resize(self, rows: int, cols: int) -> None:
        """Another size for its terminal."""
        ...

    def interrupt(self, number: int) -> None:
        """A signal for the program."""
        ...

    def stop(self) -> None:
        """End the run now; its outcome is *cancelled*."""
        ...

    def strike(self) -> None:
        """Take an unused sandbox down."""
        ...


class Engine(Protocol):
    """Pitches sandboxes for installations."""

    async def add(self, installation: Installation, boots: tuple[Boot, ...]) -> None:
        """Be ready to pitch for this installation; ``SandboxFault`` where it cannot."""
        ...

    async def pitch(self, installation: Installation, room: Room, *, cold: bool = False, tty: bool = False) -> Sandbox:
        """A new sandbox. ``cold``: nothing started ahead in it; ``tty``: for an order with a terminal."""
        ...

    def abreast(self, installation: Installation) -> int:
        """How many sandboxes a pool does well to have pitched at once."""
        ...

    async def remove(self, installation: Installation) -> None:
        """No more for this installation, and nothing left of it; none of its sandboxes may be running."""
        ...

    async def close(self) -> None:
        """Strike everything, leave nothing behind."""
        ...
