"""Variants of Python: an interpreter with a set of libraries, offered beside the plain one under the set's name.

Theory of operation. A variant is found in one of two ways, by looking, without running a library:

1. as a virtual environment in a folder (the setting ``python_variants``), whose name is the variant's. ``provide``
   makes one from a lock file of ``sets``; an operator makes any other with ``python -m venv`` and pip;
2. where an interpreter's own packages, or Debian's for it, hold all that ``sets/NAME/requirements.in`` names.

A set may have a *rehearsal*: a program that imports its libraries, ``rehearsal.py`` in the virtual environment or else
``sets/NAME/rehearsal.py``. ``prepare`` runs it once on the host, which proves the libraries and leaves in a folder what
they keep at home (matplotlib its list of fonts); the zygote runs it before it forks, so that a program's ``import``
finds the libraries loaded.

In a room the environment lies at ``/opt/NAME``, and what was prepared at ``/opt/NAME.ahead``.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from jobs.errors import SandboxFault
from runner.languages.contract import Installation, Mount, Report

FOLDER = Path("/var/cache/toolchains/python-variants")
SETS = Path(__file__).with_name("sets")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
REHEARSAL = "rehearsal.py"
REHEARSE_S = 300
COMPLETE = "complete"
SAID_CHARACTERS = 600

Ask = Callable[[Path], Installation | None]


def installed(plain: Sequence[Installation], folder: Path, ask: Ask) -> Iterator[Installation]:
    """The variants of this host; *ask* makes the installation of an interpreter."""
    for environment in sorted(file.parent for file in folder.glob("*/pyvenv.cfg")):
        base = ask(environment / "bin/python3") if NAME.fullmatch(environment.name) else None
        if base is not None:
            yield _of_environment(environment, base)
    for recipe in sorted(SETS.glob("*/requirements.in")):
        names = recipe.read_text().split()
        for base in plain:
            places = _own_packages(Path(base.details["executable"]), base.version)
            if all(any((place / name).is_dir() for place in places) for name in names):
                yield _of_interpreter(recipe.parent.name, base)


def _of_environment(environment: Path, base: Installation) -> Installation:
    name = environment.name
    rehearsal = next((file for file in (environment / REHEARSAL, SETS / name / REHEARSAL) if file.is_file()), None)
    return replace(
        base,
        variant=name,
        mounts=(*base.mounts, Mount(source=str(environment), target=f"/opt/{name}")),
        path=f"/opt/{name}/bin:{base.path}",
        details={
            "executable": f"/opt/{name}/bin/python3",
            "on_host": str(environment / "bin/python3"),
            **({"rehearsal": str(rehearsal)} if rehearsal else {}),
        },
    )


def _of_interpreter(name: str, base: Installation) -> Installation:
    executable = base.details["executable"]
    details = {"executable": executable, "on_host": executable, "rehearsal": str(SETS / name / REHEARSAL)}
    return replace(base, variant=name, details=details)


def _own_packages(executable: Path, version: str) -> tuple[Path, ...]:
    """Where an interpreter that is no virtual environment's keeps packages, of those places that a room has."""
    lib, short = executable.parent.parent / "lib", ".".join(version.split(".")[:2])
    return lib / f"python{short}/site-packages", lib / "python3/dist-packages"


def prepare(installation: Installation, cache: Path, report: Report) -> Installation:
    """The variant rehearsed on the host, once for each set of its packages' versions."""
    rehearsal = installation.details.get("rehearsal")
    if rehearsal is None:
        return installation
    made = cache / f"{installation.name}-ahead-{_key(installation, Path(rehearsal))}"
    if not (made / COMPLETE).exists():
        report("importing its libraries once, and looking for fonts")
        shutil.rmtree(made, ignore_errors=True)
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".ahead-") as scratch:
            fresh = Path(scratch) / "made"
            (fresh / "home").mkdir(parents=True)
            shutil.copyfile(rehearsal, fresh / REHEARSAL)
            _rehearse(installation, fresh)
            (fresh / COMPLETE).touch()
            fresh.rename(made)
    target = f"/opt/{installation.variant}.ahead"
    details = {"executable": installation.details["executable"], "rehearsal": f"{target}/{REHEARSAL}"}
    mounts = (*installation.mounts, Mount(source=str(made), target=target))
    return replace(installation, mounts=mounts, details=details)


def _key(installation: Installation, rehearsal: Path) -> str:
    """Changes with the rehearsal and with the version of any package."""
    executable = Path(installation.details["on_host"])
    found = hashlib.sha256(rehearsal.read_bytes())
    for place in _own_packages(executable, installation.version):
        for each in sorted(file.name for file in place.glob("*-info")):
            found.update(each.encode() + b"\0")
    return found.hexdigest()[:16]


def _rehearse(installation: Installation, fresh: Path) -> None:
    home = fresh / "home"
    env = {"PATH": os.defpath, "HOME": str(home), "LANG": "C.UTF-8", "TMPDIR": str(home.parent.parent)}
    command = [installation.details["on_host"], str(fresh / REHEARSAL)]
    try:
        done = subprocess.run(command, env=env, cwd=home, capture_output=True, timeout=REHEARSE_S, check=False)
    except subprocess.TimeoutExpired as expired:
        raise SandboxFault(f"its libraries were not imported in {REHEARSE_S} s") from expired
    if done.returncode:
        raise SandboxFault(f"its libraries cannot be imported: {_last_error(done.stderr.decode(errors='replace'))}")


def _last_error(said: str) -> str:
    """Of a traceback the words of the exception, in one line."""
    _, error, words = said.rpartition("\n  File ")[2].partition("\n    ")
    return " ".join((words if error else said).partition("\n")[2].split())[:SAID_CHARACTERS]
