"""Finds JDKs on the host, and what their rooms need beside the base userland.

A JDK is a folder with a ``release`` file, ``bin/java``, ``bin/javac`` and ``lib/modules``. A distribution's may have
its configuration elsewhere (Debian: ``/etc/java-17-openjdk``), behind symbolic links; those folders are mounted too.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from jobs.languages import Language
from runner.languages.contract import ENVIRONMENT, Installation, Mount

#: Folders whose content is in every room at the same path.
_BASE = tuple(map(Path, ("/usr/bin", "/usr/lib", "/usr/share", "/etc/alternatives", "/etc/ssl/certs")))
_SYSTEM = ("usr/lib/jvm/*", "usr/local/*jdk*", "usr/local/*java*", "opt/*jdk*", "opt/*java*", "opt/*/*jdk*")
_HOME = (".sdkman/candidates/java/*", ".jdks/*", ".asdf/installs/java/*", ".local/share/mise/installs/java/*")
_VERSION = re.compile(r'^JAVA_VERSION="([\d.]+)', re.MULTILINE)
_OLDEST = 11  #: the oldest that what we compile for the rooms can be expected to work with is told by the self-test

#: What a submission may hand to javac.
ALLOWED_FLAGS = (
    "-Xlint",
    "-Xlint:*",
    "-Xdiags:*",
    "-g",
    "-g:*",
    "-parameters",
    "-nowarn",
    "-Werror",
    "-deprecation",
    "-proc:none",
    "-proc:full",
    "--enable-preview",
    "--release",
    "--release=[0-9]*",
    "[0-9]",
    "[0-9][0-9]",
)
USUAL_FLAGS = ("-proc:none",)


def installations() -> Iterator[Installation]:
    """Every JDK version of the host once."""
    seen: set[str] = set()
    for home in _homes():
        match = _VERSION.search((home / "release").read_text(errors="replace"))
        if match is None or match.group(1) in seen or int(match.group(1).split(".")[0]) < _OLDEST:
            continue
        version = match.group(1)
        seen.add(version)
        in_base = any(home.is_relative_to(base) for base in _BASE)
        room = str(home) if in_base else f"/opt/jdk-{version}"
        first = shutil.which("java", path=ENVIRONMENT["PATH"])
        usual = in_base and first is not None and Path(first).resolve().is_relative_to(home)
        yield Installation(
            language=Language.JAVA,
            version=version,
            mounts=(*(() if in_base else (Mount(source=str(home), target=room),)), *_linked(home)),
            path=ENVIRONMENT["PATH"] if usual else f"{room}/bin:{ENVIRONMENT['PATH']}",
            compile_flags=USUAL_FLAGS,
            allowed_flags=ALLOWED_FLAGS,
            details={"host": str(home), "java": f"{room}/bin/java"},
        )


def _homes() -> Iterator[Path]:
    found = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    javac = shutil.which("javac")
    if javac is not None:
        found.append(Path(javac).resolve().parent.parent)
    for pattern in _SYSTEM:
        found += sorted(Path("/").glob(pattern))
    for pattern in _HOME:
        found += sorted(Path.home().glob(pattern))
    seen: set[Path] = set()
    for home in found:
        home = home.resolve()
        if home not in seen and all(
            (home / part).is_file() for part in ("release", "bin/java", "bin/javac", "lib/modules")
        ):
            seen.add(home)
            yield home


def _linked(home: Path) -> Iterator[Mount]:
    """The folders outside that files of *home* are links into, each only once and without those inside another."""
    folders: set[Path] = set()
    for place, _, names in os.walk(home):
        for name in names:
            path = Path(place, name)
            if path.is_symlink() and path.exists():
                folder = path.resolve().parent
                if not any(folder.is_relative_to(known) for known in (home, *_BASE)):
                    folders.add(folder)
    for folder in sorted(folders):
        if not any(folder != other and folder.is_relative_to(other) for other in folders):
            yield Mount(source=str(folder), target=str(folder))
