"""What a person at this machine would type for each language: bare tools, from a changed source to its output.

Each ``Floor`` prepares a folder, then does its whole way for a number that makes the source new. A tool that is not
here is left out. What is warm for a person (Go's build cache) is warm here too.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bench import programs
from bench.programs import Program
from bench.spawn import Bare, once


@dataclass(frozen=True, kw_only=True)
class Floor:
    """``steps`` are the commands of one way, in order; ``source`` is the file that changes."""

    name: str
    program: Program
    source: str
    steps: tuple[list[str], ...]
    folder: Path
    environ: tuple[tuple[str, str], ...] = ()

    def measure(self, times: int, first: int) -> Bare:
        """*times* ways, each with a source that was never seen; steps' times are added up."""
        total = Bare(wall_ms=(), cpu_ms=())
        for number in range(first, first + times + 1):
            (self.folder / self.source).write_text(self.program.source(number))
            parts = [once(step, folder=self.folder, environ=dict(self.environ)) for step in self.steps]
            if number > first:  # the first one warms the page cache
                total += Bare(wall_ms=(sum(p.wall_ms[0] for p in parts),), cpu_ms=(sum(p.cpu_ms[0] for p in parts),))
        return total


def floors(folder: Path) -> Iterator[Floor]:
    """Those whose tools are here, each in a folder of its own below *folder*."""
    for make in (_node, _java, _go, _cpp, _rust):
        yield from make(folder)


def _node(folder: Path) -> Iterator[Floor]:
    if shutil.which("node"):
        yield _floor(folder, "node hello.js", programs.JAVASCRIPT, "hello.js", ["node", "hello.js"])


def _java(folder: Path) -> Iterator[Floor]:
    if shutil.which("javac"):
        compiling = ["javac", "Hello.java"]
        yield _floor(folder, "javac", programs.JAVA, "Hello.java", compiling)
        yield _floor(folder, "javac + java", programs.JAVA, "Hello.java", compiling, ["java", "Hello"])
    if shutil.which("java"):
        yield _floor(folder, "java Hello.java", programs.JAVA, "Hello.java", ["java", "Hello.java"])


def _go(folder: Path) -> Iterator[Floor]:
    if not shutil.which("go"):
        return
    environ = (("GOCACHE", str(folder / "gocache")), ("GOFLAGS", "-mod=mod"), ("GOTOOLCHAIN", "local"))
    build = ["go", "build", "-o", "hello", "hello.go"]
    yield replace(_floor(folder, "go build + run", programs.GO, "hello.go", build, ["./hello"]), environ=environ)
    listing = ["go", "list", "-export", "-deps", "-f", "{{if .Export}}packagefile {{.ImportPath}}={{.Export}}{{end}}"]
    parts = _floor(
        folder,
        "go tool compile, link + run",
        programs.GO,
        "hello.go",
        ["go", "tool", "compile", "-p", "main", "-importcfg", "importcfg", "-o", "hello.o", "hello.go"],
        ["go", "tool", "link", "-importcfg", "importcfg", "-s", "-w", "-o", "hello", "hello.o"],
        ["./hello"],
    )
    words = " ".join(f"'{word}'" for word in [*listing, "fmt", "runtime"])
    once(["sh", "-c", f"{words} > importcfg"], folder=parts.folder, environ=dict(environ))
    yield replace(parts, environ=environ)


def _cpp(folder: Path) -> Iterator[Floor]:
    if shutil.which("g++"):
        for program in (programs.CPP, programs.CPP_BITS):
            name = f"g++ -O2 {program.name.removeprefix('c++ ')} + run"
            yield _floor(folder, name, program, "hello.cpp", ["g++", "-O2", "-o", "hello", "hello.cpp"], ["./hello"])


def _rust(folder: Path) -> Iterator[Floor]:
    if shutil.which("rustc"):
        for flags in ([], ["-O"]):
            name = " ".join(["rustc", *flags, "+ run"])
            yield _floor(folder, name, programs.RUST, "hello.rs", ["rustc", *flags, "hello.rs"], ["./hello"])


def _floor(folder: Path, name: str, program: Program, source: str, *steps: list[str]) -> Floor:
    own = folder / "".join(sign if sign.isalnum() else "-" for sign in name)
    own.mkdir()
    return Floor(name=name, program=program, source=source, steps=steps, folder=own)


#: the floor that each program's way through the network is set beside: the best that a person could type
BESIDE = {
    "javascript": "node hello.js",
    "java": "java Hello.java",
    "go": "go tool compile, link + run",
    "c++ iostream": "g++ -O2 iostream + run",
    "c++ bits/stdc++.h": "g++ -O2 bits/stdc++.h + run",
    "rust": "rustc + run",
}
