"""Make variants on this host: ``python -m runner.languages.python.provide [NAME …] [--into FOLDER]``.

Each is a virtual environment of the newest Python here for which all of its packages are to be had, by pip and exactly
as ``sets/NAME/requirements.lock`` says. It is made aside and moved into place when it is whole; one that was made of
the same lock is left as it is. ``NAME`` defaults to all sets. The exit code is 1 where one cannot be had.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from jobs.languages import version_key
from runner.languages.contract import Installation
from runner.languages.python import GOES_ON, Python
from runner.languages.python.variants import FOLDER, SETS

PIP_S = 900.0
STAMP = ".made-of"
PIP = (
    "install",
    "--quiet",
    "--no-input",
    "--retries",
    "2",
    "--timeout",
    "20",
    "--require-hashes",
    "--only-binary=:all:",
)


class CannotBeHad(Exception):
    """No interpreter of this host can have the set; the message says why."""


def main(words: Sequence[str] | None = None) -> int:
    known = sorted(path.parent.name for path in SETS.glob("*/requirements.lock"))
    parser = argparse.ArgumentParser(description="Make Python's variants on this host.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which; default all: {', '.join(known)}")
    parser.add_argument("--into", type=Path, default=FOLDER, help=f"the folder that runners look in; default {FOLDER}")
    asked = parser.parse_args(words)
    if unknown := sorted(set(asked.names) - set(known)):
        parser.error(f"there is no set {unknown[0]}; there are: {', '.join(known)}")
    lacking = False
    for name in asked.names or known:
        try:
            provide(name, asked.into)
        except (CannotBeHad, OSError) as error:
            lacking = True
            print(f"no variant {name} of Python here: {error}. Programs that ask for it are refused.", file=sys.stderr)
    return int(lacking)


def provide(name: str, folder: Path) -> None:
    """The set *name* in *folder*, or ``CannotBeHad``."""
    lock, target = SETS / name / "requirements.lock", folder / name
    made_of = hashlib.sha256(lock.read_bytes()).hexdigest()
    if _is_made_of(target, made_of):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder / f".{name}.lock"):
        if _is_made_of(target, made_of):
            return
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}.") as scratch:
            fresh = Path(scratch) / name
            _install(name, lock, fresh)
            (fresh / STAMP).write_text(made_of)
            if target.exists():
                target.rename(Path(scratch) / "old")
            fresh.rename(target)


def _is_made_of(environment: Path, made_of: str) -> bool:
    stamp = environment / STAMP
    return stamp.is_file() and stamp.read_text() == made_of and (environment / "bin/python3").exists()


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """While another process makes it, wait."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(name: str, lock: Path, fresh: Path) -> None:
    plain = [one for one in Python().discover() if not one.variant and version_key(one.version)[:2] >= GOES_ON]
    why = "it needs Python 3.11 or newer"
    for interpreter in plain:
        print(f"making the variant {name} of Python {interpreter.version}", flush=True)
        why = _try(interpreter, lock, fresh)
        if not why:
            return
        print(f"  not with this one: {why}", flush=True)
        shutil.rmtree(fresh, ignore_errors=True)
    raise CannotBeHad(why)


def _try(interpreter: Installation, lock: Path, fresh: Path) -> str:
    """Why it cannot be had with this interpreter, or nothing."""
    environment = [interpreter.details["executable"], "-I", "-m", "venv", "--without-pip", str(fresh)]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(fresh / "bin/python3")]
    for command in (environment, [*pip, *PIP, "--requirement", str(lock)]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_S, check=False)
        except subprocess.TimeoutExpired:
            return f"pip did not end in {PIP_S:.0f} s"
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith(("ERROR", "Error"))]
            return (said or done.stderr.splitlines() or ["no reason given"])[0].strip()
    return ""


if __name__ == "__main__":
    sys.exit(main())
