"""What a language is to the runner: how to find it, prepare it, build with it, run it, and prove that it works.

A language is one module (or folder) of ``runner.languages`` with one class that has these methods, and a row in
``runner.languages.catalogue``. It plans; it never runs a caller's code or compiler itself: plans are carried out by an
engine, in sandboxes. Everything here is the same for every engine.

Theory of operation, for one job::

    sources = language.sources(submission)                what lies in /workspace, and which file starts
    build   = language.build(installation, sources, …)    None, or commands to run in a *build* sandbox
    run     = language.run(installation, sources, artifact, …)   what to start in a *run* sandbox, once a case

A sandbox waits in one of three ways (``Boot``): as a fork of an interpreter that simply goes on (Python), as a process
that execs what it is told (the cold way, and compiled programs), or with a runtime exec'd ahead that waits for one
message on descriptor 3 (Node, the JVM). A step that a waiting runtime cannot honour says so (``go`` is None) and is
started cold.

Rules
1. Paths in plans are paths in the room: ``/workspace`` is the caller's folder, ``/box`` is ours and read-only to the
   program, ``/tmp`` is scratch.
2. The build's environment is fixed; only the run's carries the submission's ``env``.
3. A build's artifact is the files that match its ``artifact`` globs after it ended with exit code 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from jobs.languages import Language
from jobs.limits import DEFAULTS
from jobs.submission import SourceFile, Submission

#: what every run's environment holds, unless the submission's ``env`` replaces it
ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/workspace",
    "USER": "runner",
    "LANG": "C.UTF-8",
    "TMPDIR": "/tmp",
}

Report = Callable[[str], None]
"""Called with one line a step of slow work, so that a person sees progress."""


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A read-only bind of a host path at a path in the room."""

    source: str
    target: str


@dataclass(frozen=True, kw_only=True)
class Installation:
    """One language version on this host, with what its room needs beside the base userland (/usr/bin, /usr/lib …)."""

    language: Language
    version: str
    variant: str = ""
    mounts: tuple[Mount, ...] = ()
    path: str = ENVIRONMENT["PATH"]  #: PATH in the room
    compile_flags: tuple[str, ...] = ()  #: of the default build
    allowed_flags: tuple[str, ...] = ()  #: shell-style patterns of flags that a submission may pass
    details: Mapping[str, str] = field(default_factory=dict, hash=False)  #: the language's own notes, such as paths

    @property
    def name(self) -> str:
        """``python-3.11.7``, ``python-3.11.7-data``."""
        return "-".join(filter(None, (self.language.value, self.version, self.variant)))


class Room(StrEnum):
    #: compilers run here: more memory, the toolchain's flags, no environment of the caller's
    BUILD = "build"
    #: programs run here
    RUN = "run"


@dataclass(frozen=True, kw_only=True)
class Boot:
    """How sandboxes of one room wait. ``argv`` None: they exec what the order says, when it comes.

    ``interpreter``: the zygote is this interpreter itself and its forks go on in it (Python); ``argv[0]`` is it.
    Else ``argv`` is exec'd ahead and reads descriptor 3 until end of file: the step's ``go``.
    """

    room: Room
    argv: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(
        default_factory=dict, hash=False
    )  #: beside ENVIRONMENT, of the ahead-started process
    interpreter: bool = False
    rehearsal: str = ""  #: of an interpreter: a program in the room that it runs before it forks, for what that imports
    memory_mb: int = 256  #: the memory limit that a runtime started ahead was sized for


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The caller's files, names relative to /workspace, and the one that starts."""

    files: tuple[SourceFile, ...]
    entry: str


@dataclass(frozen=True, kw_only=True)
class BoxFile:
    """A file of ours for the room, at an absolute path under /box."""

    path: str
    content: bytes
    executable: bool = False


@dataclass(frozen=True, kw_only=True)
class Build:
    """Commands for a build sandbox, one after the other until one fails. The sources are in /workspace."""

    commands: tuple[tuple[str, ...], ...]
    artifact: tuple[str, ...]  #: globs, absolute; what matches is the artifact
    env: Mapping[str, str] = field(default_factory=dict, hash=False)
    box: tuple[BoxFile, ...] = ()
    go: bytes | None = None  #: for a build sandbox whose compiler waits warm


@dataclass(frozen=True, kw_only=True)
class Run:
    """What to start in a run sandbox, in /workspace, where the sources are.

    ``box`` are further files; ``workspace`` further files in /workspace (such as ``.class`` files).
    """

    argv: tuple[str, ...]
    box: tuple[BoxFile, ...] = ()
    workspace: tuple[SourceFile, ...] = ()
    go: bytes | None = None  #: for a run sandbox whose runtime waits warm; None: start ``argv`` cold
    env: Mapping[str, str] = field(default_factory=dict, hash=False)  #: beside ENVIRONMENT; seldom right: it shows


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A program of the self-test: it must end *ok* and print exactly this."""

    submission: Submission
    stdout: bytes


def probe(language: Language, stdout: bytes, *, timeout_s: float = 10, memory_mb: int = 256, **fields: Any) -> Probe:
    """A probe with the usual limits; *fields* are the submission's: ``code`` or ``files``, ``stdin``, ``args`` …"""
    submission = Submission(language=language, timeout_s=timeout_s, memory_mb=memory_mb, limits=DEFAULTS, **fields)
    return Probe(submission=submission, stdout=stdout)


Artifact = tuple[SourceFile, ...]
"""What a build left: absolute names in the build's room."""


class Support(Protocol):
    """One language."""

    language: Language

    def discover(self) -> Sequence[Installation]:
        """What of this language is installed on the host, found by looking; may run ``tool --version``."""
        ...

    def prepare(self, installation: Installation, cache: Path, report: Report) -> Installation:
        """The installation made fast: precompiled headers, archives and so on under *cache*, made once and found
        again, mounted into the room. Idempotent; safe against a process that died in the middle of it."""
        ...

    def boots(self, installation: Installation) -> Sequence[Boot]:
        """How its sandboxes wait: one for RUN and, where programs are compiled, one for BUILD."""
        ...

    def sources(self, submission: Submission) -> Sources:
        """The files in /workspace. For ``code``, this names the one file."""
        ...

    def build(self, installation: Installation, sources: Sources, flags: tuple[str, ...] | None) -> Build | None:
        """How to compile, or None where nothing is compiled ahead of the run."""
        ...

    def run(
        self,
        installation: Installation,
        sources: Sources,
        artifact: Artifact,
        args: tuple[str, ...],
        submission: Submission,
    ) -> Run:
        """How to start it. ``submission`` gives memory, env and the rest, for what a warm runtime cannot honour."""
        ...

    def gave_up_for_memory(self, exit_code: int | None, signal: str | None, stderr_tail: bytes) -> bool:
        """Whether the runtime itself ended for want of memory (MemoryError, OutOfMemoryError, bad_alloc …)."""
        ...

    def probes(self, installation: Installation) -> Sequence[Probe]:
        """Programs that must work before the installation is offered."""
        ...
