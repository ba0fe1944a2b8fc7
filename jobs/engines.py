"""The engines by name, and which of them pitches for a language.

A choice is written in words between commas, each an engine for all languages or for one::

    docker                        everything in containers
    docker,java=snapshot          the same, but for Java
    java=snapshot                 Java alone; of the others this choice says nothing

Choices are asked one after the other (a runner's own settings, then its fleet in the region file): the first one that
says something of a language is right, and ``fork`` is where none does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from jobs.languages import Language, find


class EngineName(StrEnum):
    #: forked ahead from a process of the language: the fastest
    FORK = "fork"
    #: one container a sandbox, started ahead, by Docker: runc, or gVisor's or Firecracker's wall
    DOCKER = "docker"
    #: one restored checkpoint of a warmed runtime a sandbox, inside gVisor
    SNAPSHOT = "snapshot"


DEFAULT = EngineName.FORK
NAMES = ", ".join(EngineName)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """``engine``: of every language that ``engines`` does not name; None: nothing is said of those."""

    engine: EngineName | None = None
    engines: Mapping[Language, EngineName] = field(default_factory=dict, hash=False)

    def of(self, language: Language) -> EngineName | None:
        return self.engines.get(language, self.engine)


def chosen(language: Language, choices: Iterable[Choice]) -> EngineName:
    """What the first of *choices* that says something of it says."""
    return next((engine for choice in choices if (engine := choice.of(language)) is not None), DEFAULT)


def read(words: Iterable[str], where: str, faults: list[str]) -> Choice:
    """The choice that *words* are; what is wrong with them is added to *faults*, each with its cure."""
    whole: EngineName | None = None
    engines: dict[Language, EngineName] = {}
    for word in words:
        name, is_one, engine_word = word.rpartition("=")
        engine = engine_named(engine_word, where, faults)
        if not is_one:
            if whole is not None and engine is not None:
                faults.append(f"{where}: {whole} and {engine} are both for all languages; name the languages of one")
            whole = engine or whole
            continue
        language = find(name)
        if language is None:
            faults.append(f"{where}: {name!r} is no language; the known ones are {', '.join(Language)}")
        elif language in engines:
            faults.append(f"{where}: {language} is there twice; keep one")
        elif engine is not None:
            engines[language] = engine
    return Choice(engine=whole, engines=engines)


def engine_named(word: object, where: str, faults: list[str]) -> EngineName | None:
    """The engine that is called so; None, and a fault, where none is."""
    name = word.strip().lower() if isinstance(word, str) else ""
    if name in list(EngineName):
        return EngineName(name)
    faults.append(f"{where}: {word!r} is no engine; the known ones are {NAMES}")
    return None
