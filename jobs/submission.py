"""What a caller sends, after the door: checked, with defaults filled in, in our own types.

The gateway parses JSON into this (``gateway.intake``); nothing behind the gateway checks it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from jobs.languages import Language
from jobs.limits import Limits
from jobs.states import Priority


class Compare(StrEnum):
    #: white space at line ends and empty lines at the end do not count
    LINES = "lines"
    #: byte for byte
    EXACT = "exact"


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file: a relative name with ``/``, and its bytes."""

    name: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Case:
    """One judged run of a program that is compiled once."""

    stdin: bytes = b""
    expected_output: bytes | None = None  #: None: whatever it prints is right
    args: tuple[str, ...] | None = None  #: None: the submission's


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """The size of the pseudo-terminal an interactive run asked for."""

    rows: int
    cols: int


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """Where to call when the execution has ended, and with which of the user's secrets to sign it."""

    url: str
    secret_name: str


@dataclass(frozen=True, kw_only=True)
class Submission:
    """One program with everything it needs. Exactly one of ``code`` and ``files`` is given.

    ``version`` is what the caller asked for (a prefix, or ``*``); the runner resolves it to one it has.
    ``entry`` is None for ``code``; a language names that file itself.
    """

    language: Language
    version: str = "*"
    variant: str = ""
    code: bytes | None = None
    files: tuple[SourceFile, ...] = ()
    entry: str | None = None
    stdin: bytes = b""
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    timeout_s: float
    memory_mb: int
    limits: Limits
    compile_flags: tuple[str, ...] | None = None  #: None: the language's own
    cases: tuple[Case, ...] | None = None
    compare: Compare = Compare.LINES
    outputs: tuple[str, ...] = ()
    priority: Priority = Priority.NORMAL
    region: str = "auto"
    webhook: Webhook | None = None
    interactive: bool = False
    tty: Terminal | None = None
