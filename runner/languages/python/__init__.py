"""Python: the zygote is the interpreter itself, and a run is a fork of it that goes on (see ``engines.fork.zygote``).

A run goes on in the forked interpreter when it starts ``main.py`` and sets nothing that an interpreter reads at its own
start; else the interpreter is exec'd. Nothing is compiled ahead.

Versions are found on PATH and where pyenv and Debian keep them; each is proved by its self-test. Sets of libraries are
variants (``variants``).
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from jobs.languages import Language, version_key
from jobs.submission import SourceFile, Submission
from runner.languages.contract import (
    ENVIRONMENT,
    Artifact,
    Boot,
    Build,
    Installation,
    Mount,
    Probe,
    Report,
    Room,
    Run,
    Sources,
    probe,
)
from runner.languages.python import variants

MAIN = "main.py"
OLDEST = (3, 8)
GOES_ON = (3, 11)  #: an older one cannot hide a frame, and is exec'd
_ASK = "import sys; print('.'.join(map(str, sys.version_info[:3])), sys.base_prefix, sys.implementation.name)"
_MEMORY = re.compile(rb"^(?:\w+\.)*MemoryError\b", re.M)


class Python:
    """See ``contract.Support``."""

    language = Language.PYTHON

    def __init__(self, variants_folder: Path = variants.FOLDER) -> None:
        self._variants = variants_folder

    def discover(self) -> Sequence[Installation]:
        """Versions newest first, and after them variants, of which one is the first that was found."""
        found: dict[str, Installation] = {}
        for executable in _candidates():
            installation = _ask(executable)
            if installation is not None:
                found.setdefault(installation.version, installation)
        plain = sorted(found.values(), key=lambda one: version_key(one.version), reverse=True)
        several: dict[str, Installation] = {}
        for installation in variants.installed(plain, self._variants, _ask):
            several.setdefault(installation.name, installation)
        return [*plain, *sorted(several.values(), key=lambda one: version_key(one.version), reverse=True)]

    def prepare(self, installation: Installation, cache: Path, report: Report) -> Installation:
        return variants.prepare(installation, cache, report) if installation.variant else installation

    def boots(self, installation: Installation) -> Sequence[Boot]:
        if version_key(installation.version)[:2] < GOES_ON:
            return (Boot(room=Room.RUN),)
        argv, rehearsal = (installation.details["executable"],), installation.details.get("rehearsal", "")
        return (Boot(room=Room.RUN, argv=argv, interpreter=True, rehearsal=rehearsal),)

    def sources(self, submission: Submission) -> Sources:
        if submission.code is not None:
            return Sources(files=(SourceFile(name=MAIN, content=submission.code),), entry=MAIN)
        return Sources(files=submission.files, entry=submission.entry or submission.files[0].name)

    def build(self, installation: Installation, sources: Sources, flags: tuple[str, ...] | None) -> Build | None:
        return None

    def run(
        self,
        installation: Installation,
        sources: Sources,
        artifact: Artifact,
        args: tuple[str, ...],
        submission: Submission,
    ) -> Run:
        goes_on = (
            version_key(installation.version)[:2] >= GOES_ON
            and sources.entry == MAIN
            and submission.tty is None
            and not any(map(_read_at_start, submission.env))
            and not (installation.variant and any(map(_read_at_import, submission.env)))
        )
        argv = (installation.details["executable"], sources.entry, *args)
        return Run(argv=argv, go=b"" if goes_on else None)

    def gave_up_for_memory(self, exit_code: int | None, signal: str | None, stderr_tail: bytes) -> bool:
        return exit_code == 1 and _MEMORY.search(stderr_tail.rpartition(b"Traceback")[2]) is not None

    def probes(self, installation: Installation) -> Sequence[Probe]:
        program = b"import sys\nprint(sys.version.split()[0], sum(map(int, input().split())), sys._getframe().f_back)\n"
        return (probe(Language.PYTHON, f"{installation.version} 42 None\n".encode(), code=program, stdin=b"20 22\n"),)


def _read_at_start(variable: tuple[str, str]) -> bool:
    """Whether an interpreter reads the variable once, at its start, so that a forked one cannot honour it."""
    name = variable[0]
    return name.startswith(("PYTHON", "LC_", "LD_", "MALLOC_", "GLIBC_")) or name in (
        "LANG",
        "LANGUAGE",
        "HOME",
        "PATH",
    )


def _read_at_import(variable: tuple[str, str]) -> bool:
    """Whether a library may read the variable when it is first imported."""
    return variable[0].startswith(("MPL", "XDG_", "OPENBLAS_", "OMP_", "MKL_", "GOTO_", "NPY_", "NUMPY_", "PANDAS_"))


def _candidates() -> Iterator[Path]:
    """Interpreters that may be here, those that PATH finds first; folders that we may not read have none."""
    for folder in [*os.environ.get("PATH", "").split(os.pathsep), "/usr/bin", "/usr/local/bin"]:
        with contextlib.suppress(OSError):
            yield from sorted(Path(folder or ".").glob("python3*"), reverse=True)
    for home in (os.environ.get("PYENV_ROOT", ""), str(Path.home() / ".pyenv"), "/opt/pyenv"):
        with contextlib.suppress(OSError):
            yield from sorted(Path(home, "versions").glob("*/bin/python3")) if home else ()


def _ask(executable: Path) -> Installation | None:
    if not re.fullmatch(r"python3(\.\d+)?", executable.name) or not os.access(executable, os.X_OK):
        return None
    try:
        answer = subprocess.run(
            [executable, "-I", "-S", "-c", _ASK],
            capture_output=True,
            text=True,
            timeout=10,
            env={"PATH": "/usr/bin:/bin"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = answer.stdout.split()
    if answer.returncode or len(words) != 3 or words[2] != "cpython" or version_key(words[0])[:2] < OLDEST:
        return None
    version, prefix = words[0], Path(words[1])
    name = "python" + ".".join(version.split(".")[:2])
    real = next((prefix / "bin" / each for each in (name, "python3") if (prefix / "bin" / each).exists()), None)
    if real is None:
        return None
    if prefix == Path("/usr"):
        return Installation(language=Language.PYTHON, version=version, details={"executable": str(real)})
    return Installation(
        language=Language.PYTHON,
        version=version,
        mounts=(Mount(source=str(prefix), target=str(prefix)),),  # where it was built for: its libraries are found so
        path=f"{prefix}/bin:{ENVIRONMENT['PATH']}",
        details={"executable": str(real)},
    )
