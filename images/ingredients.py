"""What of our sources goes into an image, and the digest that says whether an image is still of today's.

Theory of operation. A language's image takes of our packages only what prepares the language (``bake.py``, the folder
of the language, and all that these import) and the files of process 1. The imports are read, not carried out: from the
statements of each file, wherever in it they stand. Only these files are laid into the root where ``bake.py`` runs, so
what is not counted here cannot be used there. An image of one of our processes holds all of our packages. The scripts
of this folder count as far as they make what is in an image.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from runner.engines.docker.inside import files as inside
from runner.engines.fork import launcher

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parent
PACKAGES = ("jobs", "gateway", "runner", "autoscaler", "yurt")
_OF_PROCESS_ONE = ("runner/engines/fork", "runner/engines/docker/inside")


def of_language(language: str, sources: Path = SOURCES) -> list[Path]:
    """The files below *sources* that make the image of a language, sorted."""
    place = sources / "runner/languages" / language
    own = {path for path in place.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    found = _with_all_they_import({sources / "images/bake.py", *own}, sources)
    found |= {
        path for folder in _OF_PROCESS_ONE for name in inside.contents() if (path := sources / folder / name).exists()
    }
    return sorted(found)


def of_process(sources: Path = SOURCES) -> list[Path]:
    """The files below *sources* that make the image of one of our processes, sorted."""
    ours = [path for name in PACKAGES for path in (sources / name).rglob("*") if path.suffix != ".pyc"]
    others = [sources / "requirements.lock", sources / "pyproject.toml"]
    return sorted(path for path in [*ours, *others] if path.is_file())


def how_made(start: str, sources: Path = SOURCES) -> list[Path]:
    """The scripts of images/ that make an image whose root *start* fills, sorted."""
    place = sources / "images"
    left, found = [place / name for name in (start, "layers.py", "bill.py")], {place / "image.py"}
    while left:
        path = left.pop()
        if path not in found:
            found.add(path)
            left += [each for name in _names(path) if (each := place / f"{name.partition('.')[0]}.py").exists()]
    return sorted(found)


def digest(files: Iterable[Path], *others: object, sources: Path = SOURCES) -> str:
    """Changes when a file, its place or one of *others* does, or what every room holds."""
    found = hashlib.sha256(repr((others, launcher.FOLDERS, launcher.LINKS, launcher.FILES)).encode())
    for path in sorted(set(files)):
        found.update(f"{path.relative_to(sources)}\0{path.stat().st_size}\0".encode())
        found.update(path.read_bytes())
    return found.hexdigest()


def _with_all_they_import(start: Iterable[Path], sources: Path) -> set[Path]:
    left, found = list(start), set[Path]()
    while left:
        path = left.pop()
        if path not in found:
            found.add(path)
            left += _imported(path, sources) if path.suffix == ".py" else ()
    return found


def _imported(path: Path, sources: Path) -> Iterator[Path]:
    """The files of our packages that the statements of a file name: modules, and the packages that they are in."""
    for name in _names(path):
        parts = name.split(".")
        if parts[0] in PACKAGES:
            for end in range(1, len(parts) + 1):
                module = sources.joinpath(*parts[:end])
                yield from (each for each in (module / "__init__.py", module.with_suffix(".py")) if each.is_file())


def _names(path: Path) -> Iterator[str]:
    """What a file imports, by its full name."""
    for statement in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(statement, ast.Import):
            yield from (each.name for each in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
            yield from (f"{statement.module}.{each.name}" for each in statement.names)
