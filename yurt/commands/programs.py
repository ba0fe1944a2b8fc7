"""Program files from the command line as the fields of a submission."""

from __future__ import annotations

import argparse
import base64
import os
import select
import shlex
import stat
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.errors import YurtError
from jobs.languages import NAMING, Language, find, of_suffix
from jobs.limits import BODY_BYTES, MIB

_PIPE_S = 0.3  #: a pipe that has not ended by then is passed on live
_PIPE_BYTES = 4 * MIB  #: what a pipe has beyond this is passed on live


class BadInput(YurtError):
    """Something on the command line cannot be used."""


class NoInput(YurtError):
    """A file cannot be read."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say how a program runs."""
    group = parser.add_argument_group("the program")
    group.add_argument("--language", metavar="NAME", help="where the file's suffix does not say: python, js, c++ …")
    group.add_argument("--version", metavar="V", help="a version or its beginning, such as 3.11; default the newest")
    group.add_argument("--variant", metavar="NAME", help="an installed set of libraries, such as data")
    group.add_argument("--stdin", metavar="FILE", help="what the program reads; default what is piped in, - says so")
    group.add_argument("--arg", metavar="WORD", action="append", help="an argument, or several after --")
    group.add_argument("--env", metavar="NAME=VALUE", action="append", help="an environment variable, repeatable")
    group.add_argument("--timeout", metavar="S", type=float, help="seconds the run may take, 1 to 30, default 10")
    group.add_argument("--memory", metavar="MB", type=int, help="memory in MB, 64 to 512, default 256")
    group.add_argument(
        "--compile-flags", metavar="FLAGS", help="in place of the language's own: --compile-flags='-O2 -Wall'"
    )
    group.add_argument("--priority", choices=("high", "normal", "low"), help="default normal")


def submission(options: argparse.Namespace, files: list[str], stdin: bytes) -> tuple[str, dict[str, Any]]:
    """The language and the other fields; the first file is the one that starts."""
    entry = Path(files[0])
    language = _language(options.language, entry)
    fields: dict[str, Any] = {
        "files": [_file(Path(name), entry.parent) for name in files],
        "entry": entry.name,
        "version": options.version,
        "variant": options.variant,
        "args": options.arg,
        "env": _environment(options.env),
        "timeout": options.timeout,
        "memory_limit": options.memory,
        "compile_flags": None if options.compile_flags is None else shlex.split(options.compile_flags),
        "priority": options.priority,
    }
    if stdin:
        fields |= {"stdin": base64.b64encode(stdin).decode(), "stdin_encoding": "base64"}
    return language, {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Input:
    """What a program reads: what is there now, and whether more may come on descriptor 0."""

    data: bytes = b""
    goes_on: bool = False


def stdin_of(given: str | None) -> bytes:
    """What the program reads: the named file, else what is piped in, to its end; nothing of a terminal."""
    if given is not None and given != "-":
        return _read(Path(given))
    if sys.stdin is None or sys.stdin.closed or (given is None and _mode() == "device"):
        return b""
    data = sys.stdin.buffer.read(BODY_BYTES + 1)
    if len(data) > BODY_BYTES:
        raise BadInput(f"standard input is over {BODY_BYTES >> 20} MiB, the most a submission may have")
    return data


def input_of(given: str | None) -> Input:
    """The same for a program that is waited for: a pipe that stays open, or has much, is passed on as it comes."""
    if given not in (None, "-") or sys.stdin is None or sys.stdin.closed or _mode() != "pipe":
        return Input(data=stdin_of(given))
    data = b""
    deadline = time.monotonic() + _PIPE_S
    while len(data) < _PIPE_BYTES:
        readable, _, _ = select.select([0], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            break
        piece = os.read(0, 1 << 16)
        if not piece:
            return Input(data=data)
        data += piece
    return Input(data=data, goes_on=True)


def _mode() -> str:
    """What standard input is: a ``file``, a ``pipe`` (or socket), or a ``device`` such as a terminal."""
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if stat.S_ISREG(mode):
        return "file"
    return "pipe" if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else "device"


def _language(given: str | None, entry: Path) -> str:
    if given is not None:
        language = find(given)
        if language is None:
            raise BadInput(f"--language: {given!r} is unknown; the known ones are {', '.join(Language)}")
        return language
    language = of_suffix(entry.suffix)
    if language is None:
        suffixes = " ".join(suffix for naming in NAMING.values() for suffix in naming.extensions)
        raise BadInput(f"{entry}: no language has the suffix {entry.suffix!r} ({suffixes}); give one with --language")
    return language


def _file(path: Path, folder: Path) -> dict[str, str]:
    try:
        name = path.resolve().relative_to(folder.resolve())
    except ValueError as error:
        raise BadInput(f"{path} is outside {folder}, the folder of the first file; put all under one") from error
    content = _read(path)
    try:
        return {"name": str(name), "content": content.decode()}
    except UnicodeDecodeError:
        return {"name": str(name), "content": base64.b64encode(content).decode(), "encoding": "base64"}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NoInput(f"{path} cannot be read: {error.strerror}") from error


def _environment(given: list[str] | None) -> dict[str, str] | None:
    if given is None:
        return None
    pairs = {}
    for entry in given:
        name, sign, value = entry.partition("=")
        if not sign or not name:
            raise BadInput(f"--env {entry!r}: write NAME=VALUE")
        pairs[name] = value
    return pairs
