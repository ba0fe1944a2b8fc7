"""The image of one of our processes: our packages, and those of Python that it imports, by ``requirements.lock``."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import ingredients
import roots
from languages import Filled
from recipes import Recipe

INSTALL_S = 600.0


def fill(recipe: Recipe, packages: Sequence[Path], root: Path, say: Callable[[str], None]) -> Filled:
    """Lay the process into *root*."""
    roots.unpack(packages, root, recipe)
    place = root / roots.OURS.lstrip("/")
    locked = root.with_name(f"{root.name}.lock")
    locked.write_text("".join(_locked(_with_all_they_need(recipe.python))))
    say("installing what requirements.lock says")
    _install(locked, place)
    for name in ingredients.PACKAGES:
        shutil.copytree(ingredients.SOURCES / name, place / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    project = tomllib.loads((ingredients.SOURCES / "pyproject.toml").read_text())["project"]
    return Filled(
        labels={"yurt.image": recipe.name, "org.opencontainers.image.version": project["version"]},
        config={
            "User": recipe.user,
            "WorkingDir": "/",
            "Env": ["LANG=C.UTF-8", f"PYTHONPATH={roots.OURS}", "PATH=/usr/bin", "HOME=/tmp"],
            "Entrypoint": ["/usr/bin/python3.11", "-m", "yurt", recipe.role],
        },
    )


def installed(root: Path) -> list[tuple[str, str]]:
    """Name and version of each Python package in the root of a process."""
    place = root / roots.OURS.lstrip("/")
    found = importlib.metadata.distributions(path=[str(place)]) if place.is_dir() else ()
    return sorted((each.metadata["Name"], each.version) for each in found)


def _install(locked: Path, place: Path) -> None:
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    words += ["--no-compile", "--require-hashes", "--target", str(place), "--requirement", str(locked)]
    subprocess.run(words, check=True, capture_output=True, timeout=INSTALL_S)
    shutil.rmtree(place / "bin", ignore_errors=True)
    for record in place.glob("*.dist-info/RECORD"):
        record.unlink()  # it lists the bytecode that is not there yet


def _with_all_they_need(names: Sequence[str]) -> set[str]:
    """The packages and those that they ask for, as they are installed here."""
    left, found = list(names), set[str]()
    while left:
        name = re.split(r"[^A-Za-z0-9_.-]", left.pop())[0].lower().replace("_", "-")
        if name in found:
            continue
        try:
            asked = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:  # of another system or version
            continue
        found.add(name)
        left += [each for each in asked if "extra ==" not in each]
    return found


def _locked(names: set[str]) -> list[str]:
    """The lines of the lock file that name these packages."""
    kept: list[str] = []
    wanted = False
    for line in (ingredients.SOURCES / "requirements.lock").read_text().splitlines(keepends=True):
        if not line.startswith((" ", "#")):
            wanted = line.partition("==")[0].strip().lower() in names
        if wanted:
            kept.append(line)
    return kept
