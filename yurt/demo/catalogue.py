"""The programs of the demo, and how each must end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One program: what it shows, what it is given, and the verdict it must get."""

    file: str
    shows: str
    verdict: str = "ok"
    stdin: str = ""  #: a file beside it
    timeout_s: float = 10.0
    memory_mb: int = 256
    variant: str = ""  #: left out where it is not installed

    @property
    def code(self) -> str:
        return (PROGRAMS / self.file).read_text()

    @property
    def input(self) -> str:
        return (PROGRAMS / self.stdin).read_text() if self.stdin else ""


PIECES = (
    Piece(file="launch.py", shows="prints while it runs"),
    Piece(file="words.js", shows="reads its standard input", stdin="words.txt"),
    Piece(file="Queens.java", shows="compiled and run"),
    Piece(file="sieve.go", shows="a dozen goroutines"),
    Piece(file="fractal.cpp", shows="draws"),
    Piece(file="life.rs", shows="plays"),
    Piece(file="refusal.py", shows="chooses an exit code", verdict="nonzero_exit"),
    Piece(file="typo.rs", shows="a compile error", verdict="compile_error"),
    Piece(file="crash.cpp", shows="ended by a signal", verdict="signalled"),
    Piece(file="forever.go", shows="a time limit of 2 s", verdict="time_limit", timeout_s=2),
    Piece(file="hungry.js", shows="a memory limit of 128 MB", verdict="memory_limit", memory_mb=128),
    Piece(file="rain.py", shows="pandas and matplotlib, loaded before it came", variant="data"),
)
