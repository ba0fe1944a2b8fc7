"""Finds Node installations on the host, and lays out what their rooms need.

A Node of the distribution lies in the base userland. Any other (``/usr/local``, nvm, fnm, volta …) is one executable
that is copied into the cache, so that the room does not show the folder it came from.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from jobs.languages import Language
from runner.languages.contract import ENVIRONMENT, Installation, Mount, Report

#: Folders whose content is in every room at the same path.
_BASE = (Path("/usr/bin"), Path("/usr/lib"), Path("/usr/share"), Path("/lib"), Path("/lib64"))

#: Patterns of where version managers and hand-made installations put ``node``, relative to / or the home folder.
_SYSTEM = ("usr/bin/node", "usr/local/bin/node", "opt/*/bin/node", "usr/local/n/versions/node/*/bin/node")
_HOME = (
    ".nvm/versions/node/*/bin/node",
    ".local/share/fnm/node-versions/*/installation/bin/node",
    ".volta/tools/image/node/*/bin/node",
    ".asdf/installs/nodejs/*/bin/node",
)

#: The sandbox's memory limit decides, not V8's ceiling (rule 2 of the package); one core needs one helper thread.
#: The checksum guards against a damaged executable, which the self-test does better.
_FLAGS = (
    "--max-old-space-size=640",
    "--stack-size=60000",
    "--v8-pool-size=1",
    "--single-threaded-gc",
    "--no-verify-snapshot-checksum",
)

_SCRIPTS = ("clock.js", "start.js", "wait.js")
_VERSION = re.compile(r"v(\d+\.\d+\.\d+)\s*\Z")


def installations() -> Iterator[Installation]:
    """Every Node version of the host once, the first place of each in the order of PATH and the patterns above."""
    seen: set[str] = set()
    for node in _candidates():
        version = _version(node)
        if version is not None and version not in seen:
            seen.add(version)
            yield Installation(language=Language.JAVASCRIPT, version=version, details={"host": str(node)})


def accepted_flags(installation: Installation) -> tuple[str, ...]:
    """Those of our flags that this version knows; an unknown one would keep it from starting."""
    node = installation.details["host"]
    return tuple(flag for flag in _FLAGS if _runs([node, flag, "-e", "0"]))


def keep_ready(installation: Installation, cache: Path, flags: tuple[str, ...], report: Report) -> Installation:
    """The installation with our scripts, and Node itself where it lies outside the base userland, mounted."""
    node = Path(installation.details["host"])
    in_base = any(node.is_relative_to(base) for base in _BASE)
    scripts = {name: (Path(__file__).parent / name).read_bytes() for name in _SCRIPTS}
    key = hashlib.sha256(repr((installation.version, str(node), node.stat().st_mtime_ns, scripts)).encode()).hexdigest()
    folder = cache / f"{installation.name}-{key[:16]}"
    if not folder.exists():
        report(f"{installation.name}: laying out its start scripts")
        _lay_out(folder, scripts, None if in_base else node)
    room = f"/opt/{installation.name}"
    return replace(
        installation,
        mounts=(Mount(source=str(folder), target=room),),
        path=ENVIRONMENT["PATH"] if in_base else f"{room}/bin:{ENVIRONMENT['PATH']}",
        details={
            "host": str(node),
            "node": str(node) if in_base else f"{room}/bin/node",
            "files": room,
            "flags": " ".join(flags),
        },
    )


def _lay_out(folder: Path, scripts: dict[str, bytes], node: Path | None) -> None:
    """Makes *folder* beside its place and renames it there, so that it is either whole or not there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as made:
        fresh = Path(made) / "files"
        fresh.mkdir()
        for name, content in scripts.items():
            (fresh / name).write_bytes(content)
            (fresh / name).chmod(0o644)
        if node is not None:
            (fresh / "bin").mkdir()
            shutil.copy2(node, fresh / "bin" / "node")
        fresh.chmod(0o755)
        try:
            fresh.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster, with the same content
                raise


def _candidates() -> Iterator[Path]:
    found = [Path(folder) / "node" for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    for pattern in _SYSTEM:
        found += sorted(Path("/").glob(pattern))
    for pattern in _HOME:
        found += sorted(Path.home().glob(pattern))
    seen: set[Path] = set()
    for path in found:
        if os.access(path, os.X_OK) and path.is_file():
            real = path.resolve()
            if real not in seen:
                seen.add(real)
                yield real


def _version(node: Path) -> str | None:
    try:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.match(answer.stdout)
    return match and match.group(1)


def _runs(argv: list[str]) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, timeout=20, check=False, env={"PATH": ""}).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
