"""What the languages share that compile to one native program: Go, C++ and Rust.

Their builds leave the program at ``PROGRAM``; their runs place it at ``/box/program`` and start it. What is slow (a
compiled standard library, precompiled headers) is made once by ``made_once``.

Rules of ``made_once``
1. A folder under its final name is complete: it is made under another name and renamed.
2. One process makes it, others wait for it (``flock``); what a dead one left half-made is swept by the next.
3. Its name carries a digest of all that it is made of, so that a new compiler or a new recipe means a new folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from jobs.errors import ConfigFault
from jobs.submission import SourceFile, Submission
from runner.languages.contract import ENVIRONMENT, Artifact, BoxFile, Run, Sources

PROGRAM = "/tmp/program"
"""Where a build leaves the program, in its room."""

_STARTED = "/box/program"


def gather(submission: Submission, *, usual_name: str, suffixes: tuple[str, ...]) -> Sources:
    """The files of a submission. Its entry is the one it names, else the first source file, else the first file."""
    if submission.code is not None:
        return Sources(files=(SourceFile(name=usual_name, content=submission.code),), entry=usual_name)
    names = [file.name for file in submission.files]
    entry = submission.entry or next((name for name in names if name.endswith(suffixes)), names[0])
    return Sources(files=submission.files, entry=entry)


def operand(name: str) -> str:
    """The name of a file as an argument that no tool takes for an option (``-o.cpp``) or a list of more (``@x.c``)."""
    return f"./{name}" if name.startswith(("-", "@")) else name


def folder_of(name: str) -> str:
    """The folder a file lies in, ``.`` for the submission's own."""
    return str(PurePosixPath(name).parent)


def start(artifact: Artifact, args: tuple[str, ...]) -> Run:
    """The run of a built program."""
    program = next(file for file in artifact if file.name == PROGRAM)
    return Run(argv=(_STARTED, *args), box=(BoxFile(path=_STARTED, content=program.content, executable=True),))


def output_of(argv: Sequence[str], *, env: Mapping[str, str] | None = None, timeout_s: float = 20) -> str | None:
    """What a tool of the host prints, or None when it cannot be asked."""
    try:
        done = subprocess.run(
            argv,
            env={**os.environ, "LC_ALL": "C", **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=True,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout


def carry_out(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None, timeout_s: float = 900
) -> str:
    """Run a tool of the host to prepare something; its output, or a ConfigFault with what it said.

    The tool sees nothing of our own environment but *env*.
    """
    try:
        done = subprocess.run(
            argv,
            env={**ENVIRONMENT, "HOME": "/tmp", **(env or {})},
            cwd=cwd,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigFault(f"{argv[0]}: {error}") from error
    if done.returncode != 0:
        raise ConfigFault(f"{argv[0]} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout


def digest(*parts: str) -> str:
    """Twelve letters that stand for all of *parts*."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def stamp(tool: Path) -> str:
    """What tells one build of a tool from the next without reading all of it."""
    status = tool.stat()
    return f"{tool} {status.st_size} {status.st_mtime_ns}"


def made_once(cache: Path, name: str, make: Callable[[Path], None]) -> Path:
    """The folder *name* under *cache*; *make* fills it when it is not there yet."""
    finished = cache / name
    if finished.is_dir():
        return finished
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.is_dir():
            unfinished = cache / f".{name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            make(unfinished)
            _readable_by_all(unfinished)
            unfinished.rename(finished)
    return finished


def _readable_by_all(folder: Path) -> None:
    """The programs that read it in the room are not its owner."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
