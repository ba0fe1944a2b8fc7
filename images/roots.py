"""Roots: folders that become images. Packages unpacked, what no sandbox needs left out, the room's files laid in.

Every file is as old as SOURCE_DATE_EPOCH says at most, and is so before anything is baked: archives of classes and
precompiled code are bound to the times of what they were made from.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import layers
from recipes import Recipe

from runner.engines.docker.inside import files as inside
from runner.engines.fork import launcher

OURS = "/usr/lib/yurt"  #: where our packages and theirs lie in an image of one of our processes
STDLIB = "usr/lib/python3.11/"
DEBIANS = "usr/lib/python3/dist-packages/"  #: what Debian adds to it
STDLIB_PACKAGE = "libpython3.11-stdlib"
USR_MERGED = ("bin", "sbin", "lib", "lib64", "lib32")


def unpack(packages: Sequence[Path], root: Path, recipe: Recipe | None) -> None:
    """All of them; with a recipe, without what it leaves out."""
    root.mkdir()
    for name in USR_MERGED:
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    for package in packages:
        name = package.name.partition("_")[0]
        if recipe is not None and name in recipe.without:
            continue
        if recipe is not None and name == STDLIB_PACKAGE and recipe.keep_of_stdlib != ("*",):
            _extract_some(package, root, recipe.keep_of_stdlib)
        else:
            _extract(package, root)
    if recipe is not None:
        _drop(root, recipe)


def finish(root: Path, recipe: Recipe) -> None:
    """The room's files, process 1, the loader's cache, bytecode; every time brought down to the epoch."""
    for name in launcher.FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
    for name, target in recipe.moves.items():
        if (root / name).is_dir():
            (root / target).parent.mkdir(parents=True, exist_ok=True)
            if (root / target).is_symlink():  # to where it lay: go takes no link for the root of its library
                (root / target).unlink()
            (root / name).rename(root / target)
    for name, target in {**launcher.LINKS, **recipe.links}.items():
        link = root / name
        if name.startswith("dev/") or link.parent.is_symlink() or link.is_symlink():
            continue
        if not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)
    for name, text in launcher.FILES.items():
        if not name.startswith("sys/"):
            (root / name).write_text(text)
    if not recipe.role:
        _lay_process_one(root)
    subprocess.run(["/sbin/ldconfig", "-r", str(root)], check=True, capture_output=True)
    shutil.rmtree(root / "var/cache", ignore_errors=True)
    _compile(root)
    for name in ("tmp", "dev/shm"):
        (root / name).chmod(0o1777)
    age(root)


def age(root: Path) -> None:
    """No file younger than the epoch."""
    for path in (root, *root.rglob("*")):
        if path.lstat().st_mtime > layers.EPOCH:
            os.utime(path, (layers.EPOCH, layers.EPOCH), follow_symlinks=False)


def check_libraries(root: Path) -> None:
    """``ValueError`` where a program or library needs one that was left out."""
    there = {path.name for folder in ("usr/lib", "usr/lib64") for path in (root / folder).rglob("*.so*")}
    lacks: dict[str, str] = {}
    for path in root.rglob("*"):
        if path.is_symlink() or not path.is_file() or not (path.stat().st_mode & 0o111 or ".so" in path.name):
            continue
        with path.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                continue
        for name in _needed(path):
            if name not in there:
                lacks.setdefault(name, str(path.relative_to(root)))
    if lacks:
        raise ValueError("left out, but needed: " + ", ".join(f"{name} by {path}" for name, path in lacks.items()))


def _needed(path: Path) -> list[str]:
    """The libraries that a program or library names."""
    asked = subprocess.run(["readelf", "--dynamic", "--wide", str(path)], capture_output=True, text=True, check=False)
    return [line.rpartition("[")[2].rstrip("]") for line in asked.stdout.splitlines() if "(NEEDED)" in line]


def _extract(package: Path, root: Path) -> None:
    """As ``dpkg-deb --extract``, but that /lib stays the link that it is."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as opened:
        words = ["tar", "--extract", "--keep-directory-symlink", "--directory", str(root), "--file", "-"]
        subprocess.run(words, stdin=opened.stdout, check=True, capture_output=True)
    if opened.returncode:
        raise OSError(f"{package.name} cannot be unpacked")


def _extract_some(package: Path, root: Path, kept: Sequence[str]) -> None:
    """Of the standard library only what begins with one of *kept*."""
    aside = root / "aside"
    aside.mkdir()
    _extract(package, aside)
    for path in sorted(aside.rglob("*")):
        name = str(path.relative_to(aside))
        if path.is_file() and (name.removeprefix(STDLIB).startswith(tuple(kept)) or "/doc/" in name):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            path.rename(root / name)
    shutil.rmtree(aside)


def _drop(root: Path, recipe: Recipe) -> None:
    for path in sorted(root.rglob("*"), reverse=True):
        if _is_dropped(str(path.relative_to(root)), path, recipe):
            if path.is_symlink() or not path.is_dir():
                path.unlink()
            else:
                with contextlib.suppress(OSError):
                    path.rmdir()


def _is_dropped(relative: str, path: Path, recipe: Recipe) -> bool:
    place = f"{relative}/" if path.is_dir() and not path.is_symlink() else relative
    if any(fnmatch.fnmatch(place, each) if "*" in each else place.startswith(each) for each in recipe.drop):
        return True
    if relative.startswith("usr/share/doc/"):
        return path.name != "copyright" and not path.is_dir()
    return False


def _lay_process_one(root: Path) -> None:
    """The files of process 1 of a container."""
    place = root / inside.FOLDER.lstrip("/")
    place.mkdir(parents=True, exist_ok=True)
    for name, content in inside.contents().items():
        (place / name).write_bytes(content)


def _compile(root: Path) -> None:
    """Bytecode for every Python source, made by a process that has seen nothing else (``bytecode.py``)."""
    places = (STDLIB, DEBIANS, inside.FOLDER.lstrip("/"), OURS.lstrip("/"))
    folders = [folder for folder in places if (root / folder).is_dir()]
    subprocess.run(
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("bytecode.py")), str(root), *folders],
        env={"PYTHONHASHSEED": "0"},
        check=True,
        capture_output=True,
    )
