"""The names that a Java source declares at its top level: how its file must be called, and which classes may start.

A small tokenizer, not a parser: it skips comments, literals and everything in brackets, and looks at what is left.
What it gets wrong, the compiler says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from jobs.submission import SourceFile

_TOKEN = re.compile(
    r'''
      //[^\n\r]* | /\*.*?(?:\*/|\Z)                          # comments
    | """(?:\\.|(?!""").)*(?:"""|\Z)                         # text blocks
    | "(?:\\.|[^"\\\n\r])*"? | '(?:\\.|[^'\\\n\r])*'?        # strings and characters
    | (?P<word>[^\W\d][\w$]*|\$[\w$]*)
    | (?P<sign>[{}()\[\];@.])
    ''',
    re.VERBOSE | re.DOTALL,
)
_KINDS = frozenset({"class", "interface", "enum", "record"})
_OPEN, _CLOSE = frozenset("{(["), frozenset("})]")
BOM = "\ufeff".encode()


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A type at the top level."""

    name: str
    public: bool


@dataclass(frozen=True, kw_only=True)
class TopLevel:
    """What a source declares, in its order."""

    package: str = ""
    types: tuple[Declared, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(qualified(self.package, declared.name) for declared in self.types)


def qualified(package: str, name: str) -> str:
    return f"{package}.{name}" if package else name


def top_level(source: bytes) -> TopLevel:
    """The package and the types of a source in UTF-8, nested ones left out."""
    package, types = "", []
    statement: list[str] = []  #: the words and dots since the last statement or body at the top level
    for part in _outside_brackets(source.decode("utf-8", "replace")):
        if part in {";", "}"}:
            if statement[:1] == ["package"]:
                package = "".join(statement[1:])
            statement = []
            continue
        if statement and statement[-1] in _KINDS and _is_name(part) and statement[-2:-1] != ["."]:
            types.append(Declared(name=part, public="public" in statement))
        statement.append(part)
    return TopLevel(package=package, types=tuple(types))


def file_name(source: bytes) -> str:
    """How the one file of a program must be called: after its public class, if it has one."""
    public = [declared.name for declared in top_level(source).types if declared.public]
    return f"{public[0]}.java" if public else "Main.java"


def candidates(files: Sequence[SourceFile], entry: str) -> tuple[str, ...]:
    """The classes that may start, best first: the entry's (the one named as its file before all), then all others'."""
    found: list[str] = []
    java = [file for file in files if file.name.endswith(".java")]
    for file in sorted(java, key=lambda each: each.name != entry):
        declared = top_level(file.content)
        stem = qualified(declared.package, PurePosixPath(file.name).stem)
        own = [*declared.class_names, stem]  # a source without a class has one named as the file, since Java 25
        found += [stem, *own] if len(java) > 1 and stem in declared.class_names else own
    return tuple(dict.fromkeys(found)) or ("Main",)


def without_bom(file: SourceFile) -> SourceFile:
    """The file without the mark that editors put first, which javac takes for a wrong character."""
    if file.name.endswith(".java") and file.content.startswith(BOM):
        return SourceFile(name=file.name, content=file.content.removeprefix(BOM))
    return file


def _outside_brackets(text: str) -> Iterator[str]:
    """The words at the top level, with ``.``, ``@``, ``;``, and ``}`` where a body ends."""
    depth = 0
    for match in _TOKEN.finditer(text):
        part = match.group("word") or match.group("sign")
        if part is None:
            continue
        if part in _OPEN:
            depth += 1
        elif part in _CLOSE:
            depth = max(0, depth - 1)
            if depth == 0 and part == "}":
                yield part
        elif depth == 0:
            yield part


def _is_name(part: str) -> bool:
    return part[0].isidentifier() or part[0] == "$"
