"""Reading the head of a Go file: its package clause, its imports, and what would make a build more than plain.

Theory of operation: a Go file is comments, one package clause, import declarations, then other declarations. The head
is read token by token; whatever is not as the language's specification has it makes the file *not plain*, and then
``go`` itself shall build it, or say what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+)
      | (?P<newline>\n)
      | (?P<comment>//[^\n]*|/\*.*?\*/)
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<string>"[^"\\\n]*"|`[^`\\]*`)
      | (?P<sign>[().;])
      """,
    re.VERBOSE | re.DOTALL,
)
_DIRECTIVE = re.compile(r"^(?://go:(?:build|embed|debug|linkname|cgo_)|// ?\+build)", re.MULTILINE)
"""Comments that ``go build`` acts upon, anywhere in a file (a string that looks like one costs a slower build)."""


_IMPORTS = 200
"""More than any program has; a submission may not take the runner's time."""


@dataclass(frozen=True, kw_only=True)
class Header:
    package: str
    imports: tuple[str, ...]


class _Unread(Exception):
    """The head is not as the specification has it."""


def has_directives(source: str) -> bool:
    """Whether some comment asks for more than compiling."""
    return _DIRECTIVE.search(source) is not None


def read(source: str) -> Header | None:
    """The header of a file, or None where only ``go`` can tell what it is."""
    tokens = _Tokens(source.removeprefix("\ufeff"))
    try:
        tokens.expect("word", "package")
        package = tokens.expect("word")
        tokens.end_of_statement()
        imports: list[str] = []
        while tokens.take("word", "import") is not None:
            imports += islice(_import_declaration(tokens), _IMPORTS + 1)
            if len(imports) > _IMPORTS:
                return None
            tokens.end_of_statement()
    except _Unread:
        return None
    return Header(package=package, imports=tuple(imports))


def _import_declaration(tokens: _Tokens) -> Iterator[str]:
    if tokens.take("sign", "(") is None:
        yield _import_spec(tokens)
        return
    while tokens.take("sign", ")") is None:
        if tokens.take("newline") is None and tokens.take("sign", ";") is None:
            yield _import_spec(tokens)
            if not tokens.at("sign", ")"):
                tokens.end_of_statement()


def _import_spec(tokens: _Tokens) -> str:
    """``"path"``, ``name "path"``, ``. "path"``."""
    if tokens.take("word") is None:
        tokens.take("sign", ".")
    return tokens.expect("string")[1:-1]


class _Tokens:
    """The tokens of a text, one ahead; comments are white space. Newlines count only where a statement may end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._kind = ""
        self._value = ""
        self._advance()
        while self._kind == "newline":
            self._advance()

    def at(self, kind: str, value: str | None = None) -> bool:
        return self._kind == kind and (value is None or self._value == value)

    def take(self, kind: str, value: str | None = None) -> str | None:
        """The next token when it is such a one."""
        if not self.at(kind, value):
            return None
        taken = self._value
        self._advance()
        return taken

    def expect(self, kind: str, value: str | None = None) -> str:
        taken = self.take(kind, value)
        if taken is None:
            raise _Unread
        return taken

    def end_of_statement(self) -> None:
        """A newline, a semicolon or the end of the text, and all the empty lines after it."""
        if not (self.at("newline") or self.at("sign", ";") or self.at("end")):
            raise _Unread
        while self.take("newline") is not None or self.take("sign", ";") is not None:
            pass

    def _advance(self) -> None:
        while True:
            found = _TOKEN.match(self._text, self._position)
            if found is None:
                self._kind, self._value = ("end" if self._position == len(self._text) else "other"), ""
                return
            self._position = found.end()
            self._kind, self._value = found.lastgroup or "", found.group()
            if self._kind == "comment" and self._value.startswith("/*") and "\n" in self._value:
                self._kind = "newline"  # as the specification has it
            if self._kind not in ("space", "comment"):
                return
