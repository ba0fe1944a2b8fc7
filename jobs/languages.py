"""The six languages and the names people give them.

Which *versions* exist is never written here: runners discover them, prove them by a self-test and announce them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Language(StrEnum):
    #: CPython
    PYTHON = "python"
    #: Node.js
    JAVASCRIPT = "javascript"
    #: any JDK with ``java`` and ``jdk.compiler``
    JAVA = "java"
    #: the Go toolchain
    GO = "go"
    #: g++ or clang++
    CPP = "cpp"
    #: rustc
    RUST = "rust"


@dataclass(frozen=True, kw_only=True)
class Naming:
    """How people write a language: aliases in submissions, suffixes of files (the first is the usual one)."""

    aliases: tuple[str, ...]
    extensions: tuple[str, ...]
    compiled: bool


NAMING: dict[Language, Naming] = {
    Language.PYTHON: Naming(aliases=("py", "python3", "cpython"), extensions=(".py",), compiled=False),
    Language.JAVASCRIPT: Naming(
        aliases=("js", "node", "nodejs", "node.js", "node-javascript"),
        extensions=(".js", ".mjs", ".cjs"),
        compiled=False,
    ),
    Language.JAVA: Naming(aliases=("jdk", "openjdk"), extensions=(".java",), compiled=True),
    Language.GO: Naming(aliases=("golang",), extensions=(".go",), compiled=True),
    Language.CPP: Naming(
        aliases=("c++", "cxx", "g++", "cc", "cplusplus"), extensions=(".cpp", ".cc", ".cxx", ".c"), compiled=True
    ),
    Language.RUST: Naming(aliases=("rs", "rustc"), extensions=(".rs",), compiled=True),
}

_BY_NAME = {name: language for language, naming in NAMING.items() for name in (language.value, *naming.aliases)}
_BY_EXTENSION = {suffix: language for language, naming in NAMING.items() for suffix in naming.extensions}


def find(name: str) -> Language | None:
    """The language of this name or alias, in any case; None when nobody calls a language so."""
    return _BY_NAME.get(name.strip().lower())


def of_suffix(suffix: str) -> Language | None:
    """The language of a file's suffix (with its dot), or None."""
    return _BY_EXTENSION.get(suffix.lower())


def version_key(version: str) -> tuple[int, ...]:
    """An order for versions such as ``3.11.7``: by number, part by part; what is no number counts as 0."""
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))


def satisfies(wanted: str, version: str) -> bool:
    """Whether *version* is one that *wanted* asks for: ``*``, or a prefix by whole parts (``3.1`` is not ``3.11``)."""
    wanted = wanted.strip()
    return wanted == "*" or version == wanted or version.startswith(wanted + ".")
