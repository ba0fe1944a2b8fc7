"""How a Go submission is to be built: which files are the package, and whether the tools can be called directly."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath

from jobs.submission import SourceFile
from runner.languages.contract import Sources
from runner.languages.go import header
from runner.languages.native import folder_of

_NOT_PLAIN_SUFFIXES = (
    ".s",
    ".S",
    ".sx",
    ".c",
    ".cc",
    ".cpp",
    ".cxx",
    ".h",
    ".hh",
    ".hpp",
    ".m",
    ".f",
    ".swig",
    ".syso",
)
_CONSTRAINED_NAME = re.compile(
    r"_(?:aix|android|darwin|dragonfly|freebsd|illumos|ios|js|linux|netbsd|openbsd|plan9|solaris|wasip1|windows"
    r"|386|amd64|arm|arm64|loong64|mips\w*|ppc64\w*|riscv64|s390x|wasm)\.go$"
)
_GO_LINE = re.compile(rb"^go[ \t]+(\d+\.\d+)", re.MULTILINE)
_ASKS_MORE = re.compile(rb"^(?:require|replace|exclude|tool|godebug|toolchain|ignore)\b", re.MULTILINE)
_READ_BYTES = 1 << 20
"""Larger submissions are not looked into: that would take the runner's time, and save them little."""

_BUILD_INFORMATION = "runtime/debug"
"""Only ``go build`` writes into a program what this package can read there."""

MADE_MODULE = "play"
"""The name of a module that has none, as on Go's own playground."""


@dataclass(frozen=True, kw_only=True)
class Direct:
    """The compiler and the linker do it: package main is these files."""

    files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Whole:
    """``go build`` does it, in the module that lies in *root*."""

    root: str
    target: str  #: a folder or a file, relative to *root*
    made_module: str | None = None  #: the name of the module to make first; None: it has a go.mod
    uses_c: bool = False


def plan(sources: Sources, *, standard: Collection[str], language_version: str) -> Direct | Whole:
    """The direct way where everything is plain; *standard* are the packages that may be imported there."""
    folder = folder_of(sources.entry)
    package = [file for file in sources.files if _belongs(file.name, folder) or file.name == sources.entry]
    if _is_plain(sources, folder, package, standard, language_version):
        return Direct(files=tuple(sorted(file.name for file in package)))
    root = _module_root(sources.files, folder)
    return Whole(
        root=root or ".",
        target=_target(sources, package, root or ".", folder),
        made_module=None if root else _module_name(sources.files),
        uses_c=any(b'"C"' in file.content for file in sources.files if file.name.endswith(".go")),
    )


def _belongs(name: str, folder: str) -> bool:
    """As ``go build`` chooses the files of a folder's package."""
    base = PurePosixPath(name).name
    return folder_of(name) == folder and base.endswith(".go") and not base.endswith("_test.go") and base[0] not in "._"


def _is_plain(
    sources: Sources, folder: str, package: list[SourceFile], standard: Collection[str], language_version: str
) -> bool:
    if sum(len(file.content) for file in package) > _READ_BYTES:
        return False
    for file in sources.files:
        if folder_of(file.name) == folder and (file.name.endswith(_NOT_PLAIN_SUFFIXES) or file.name.endswith(".pgo")):
            return False
        if PurePosixPath(file.name).name == "go.work":
            return False
        if PurePosixPath(file.name).name == "go.mod" and not _asks_nothing(file.content, language_version):
            return False
    return all(_is_plain_file(file, standard) for file in package)


def _is_plain_file(file: SourceFile, standard: Collection[str]) -> bool:
    if not file.name.endswith(".go") or _CONSTRAINED_NAME.search(file.name):
        return False
    try:
        source = file.content.decode()
    except UnicodeDecodeError:
        return False
    head = header.read(source)
    return (
        head is not None
        and head.package == "main"
        and not header.has_directives(source)
        and all(name in standard and name != _BUILD_INFORMATION for name in head.imports)
    )


def _asks_nothing(manifest: bytes, language_version: str) -> bool:
    """Whether a go.mod says nothing but a name and the language version that is the default anyway."""
    version = _GO_LINE.search(manifest)
    return version is not None and version.group(1).decode() == language_version and not _ASKS_MORE.search(manifest)


def _module_root(files: tuple[SourceFile, ...], folder: str) -> str | None:
    """The nearest folder with a go.mod, from the entry's upwards."""
    with_manifest = {folder_of(file.name) for file in files if PurePosixPath(file.name).name == "go.mod"}
    above = [folder, *map(str, PurePosixPath(folder).parents)] if folder != "." else ["."]
    return next((candidate for candidate in above if candidate in with_manifest), None)


def _target(sources: Sources, package: list[SourceFile], root: str, folder: str) -> str:
    """The folder of the package; the entry alone where ``go build`` would leave it out of its folder's package."""
    entry = next(file for file in package if file.name == sources.entry)
    alone = not _belongs(entry.name, folder) or re.search(
        rb"^//\s?(?:go:|\+)build\b.*\bignore\b", entry.content, re.MULTILINE
    )
    path = PurePosixPath(sources.entry if alone else folder).relative_to(root)
    return "." if str(path) == "." else f"./{path}"


def _module_name(files: tuple[SourceFile, ...]) -> str:
    """The name by which the submission imports its folders: ``shop``, for ``shop/prices`` and a folder ``prices``."""
    programs = [file for file in files if file.name.endswith(".go")]
    folders = {folder_of(file.name) for file in programs} - {"."}
    if not folders or sum(len(file.content) for file in programs) > _READ_BYTES:
        return MADE_MODULE
    for file in programs:
        head = header.read(file.content.decode(errors="replace"))
        for name in head.imports if head else ():
            if module := _before_a_folder(name, folders):
                return module
    return MADE_MODULE


def _before_a_folder(imported: str, folders: Collection[str]) -> str | None:
    """What stands before the longest end of an import path that is one of the *folders*."""
    parts = imported.split("/")
    ends = range(1, min(len(parts), 20))
    module = next(("/".join(parts[:end]) for end in ends if "/".join(parts[end:]) in folders), None)
    return module if module and re.fullmatch(r"[A-Za-z0-9_.~/-]+", module) else None
