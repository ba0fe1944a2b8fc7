"""Builds that are remembered: the same sources, flags and toolchain are compiled once. In memory, bounded by bytes.

What is remembered is what a build sandbox left and what the compiler said, so a refused program is refused again as
fast. A build that ran out of a limit is not remembered: another time it may not.

Builds that are not remembered take turns, as many at once as there are cores: a compiler's time limit means a core.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from jobs.limits import MIB
from jobs.result import CompileReport
from jobs.submission import SourceFile
from runner.engine import Outcome
from runner.languages.contract import Artifact, Installation, Sources

BUDGET_BYTES = 256 * MIB


@dataclass(frozen=True, kw_only=True)
class Built:
    """What a build left. ``artifact`` is None where the compiler refused the program."""

    artifact: Artifact | None
    report: CompileReport
    outcome: Outcome


class Builds:
    """Least recently used first out."""

    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        self._budget = budget_bytes
        self._held = 0
        self._builds: OrderedDict[bytes, Built] = OrderedDict()

    def get(self, key: bytes) -> Built | None:
        built = self._builds.get(key)
        if built is not None:
            self._builds.move_to_end(key)
        return built

    def put(self, key: bytes, built: Built) -> None:
        if key in self._builds or _size(built) > self._budget // 4:
            return
        self._builds[key] = built
        self._held += _size(built)
        while self._held > self._budget:
            _, oldest = self._builds.popitem(last=False)
            self._held -= _size(oldest)


class Turns:
    """So many builds at once; the others wait, in order, and are counted: ``async with turns``."""

    def __init__(self, most: int) -> None:
        self._turns = asyncio.Semaphore(most)
        self.waiting = 0

    async def __aenter__(self) -> None:
        self.waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self.waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        self._turns.release()


def key_of(installation: Installation, sources: Sources, flags: tuple[str, ...] | None) -> bytes:
    """A digest of everything that a build depends on; each part with its length, so that none can pose as another."""
    digest = hashlib.blake2b(digest_size=32)
    parts: list[bytes] = [installation.name.encode(), sources.entry.encode(), b"" if flags is None else b"flags"]
    parts += [flag.encode() for flag in flags or ()]
    for file in sorted(sources.files, key=_name):
        parts += [file.name.encode("utf-8", "surrogateescape"), file.content]
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def _name(file: SourceFile) -> str:
    return file.name


def _size(built: Built) -> int:
    report = built.report
    files = sum(len(file.content) for file in built.artifact or ())
    return 1024 + files + len(report.stdout) + len(report.stderr)
