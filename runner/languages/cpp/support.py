"""How C++ is found, prepared, built and run: see the package's docstring for what makes it quick."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jobs import limits
from jobs.languages import Language, version_key
from jobs.submission import SourceFile, Submission
from runner.languages import native
from runner.languages.contract import (
    Artifact,
    Boot,
    Build,
    Installation,
    Mount,
    Probe,
    Report,
    Room,
    Run,
    Sources,
    probe,
)
from runner.languages.cpp import precompiled
from runner.languages.cpp.compilers import Compiler, find
from runner.languages.cpp.flags import ALLOWED_FLAGS, Chosen, choose
from runner.languages.cpp.includes import Precompiled, best, leading

_PREPARED = "/opt/cpp"
_RECIPE = "4"
"""Changes whenever ``prepare`` makes something else of the same compiler."""

_SUFFIXES = (".cpp", ".cc", ".cxx", ".c")
_FOUND_HERE = ("-iquote", ".", "-idirafter", ".")
"""Headers from the submission's folder; one that is called like a system's own is meant only in quotes."""

#: For the default build: what programs begin with. The measure was what the next header costs on top of the others.
_SETS = (
    ("bits/stdc++.h",),
    ("iostream",),
    ("iostream", "vector"),
    ("iostream", "cmath"),
    ("iostream", "iomanip"),
    ("iostream", "memory"),
    ("iostream", "thread"),
    ("iostream", "vector", "map"),
    ("iostream", "vector", "unordered_map"),
    ("iostream", "vector", "algorithm"),
    ("iostream", "vector", "algorithm", "map"),
    ("iostream", "vector", "algorithm", "cmath"),
)
#: For the builds that people ask for by flags, judges above all: their programs begin with everything.
_ASKED_FOR = (("-O2", "-std=gnu++20"), ("-O2", "-std=c++17"))
_FEW_SETS = (("bits/stdc++.h",), ("iostream",))

_OUT_OF_MEMORY = re.compile(
    rb"terminate called after throwing an instance of 'std::bad_alloc'"
    rb"|terminating (?:with|due to) uncaught exception of type std::bad_alloc"
)


class Cpp:
    """C++, as ``runner.languages.contract.Support`` describes a language."""

    language = Language.CPP

    def discover(self) -> Sequence[Installation]:
        return tuple(map(_installation, find()))

    def prepare(self, installation: Installation, cache: Path, report: Report) -> Installation:
        """The precompiled headers, mounted at ``/opt/cpp``."""
        details = installation.details
        default = installation.compile_flags
        key = native.digest(
            _RECIPE, installation.version, *map(native.stamp, map(Path, details["made_of"].split("\n"))), *default
        )

        def make(folder: Path) -> None:
            sets = {default: _SETS} | dict.fromkeys(_ASKED_FOR, _FEW_SETS)
            precompiled.make_all(details["compiler"], default[1], folder, sets=sets, report=report)

        folder = native.made_once(cache, f"cpp-{installation.version}-{key}", make)
        return replace(
            installation,
            mounts=(*installation.mounts, Mount(source=str(folder), target=_PREPARED)),
            details={**details, "precompiled": str(folder)},
        )

    def boots(self, installation: Installation) -> Sequence[Boot]:
        return (Boot(room=Room.RUN), Boot(room=Room.BUILD, memory_mb=limits.COMPILE_MEMORY_MB))

    def sources(self, submission: Submission) -> Sources:
        return native.gather(submission, usual_name="main.cpp", suffixes=_SUFFIXES)

    def build(self, installation: Installation, sources: Sources, flags: tuple[str, ...] | None) -> Build:
        tools = _Tools(installation, {file.name: file.content for file in sources.files})
        chosen = choose(flags or (), default=installation.compile_flags)
        units = [file for file in sources.files if file.name.endswith(_SUFFIXES) or file.name == sources.entry]
        return Build(
            commands=one_step(tools, units[0], chosen) if len(units) == 1 else many_steps(tools, units, chosen),
            artifact=(native.PROGRAM,),
            env={"HOME": "/tmp"},
        )

    def run(
        self,
        installation: Installation,
        sources: Sources,
        artifact: Artifact,
        args: tuple[str, ...],
        submission: Submission,
    ) -> Run:
        return native.start(artifact, args)

    def gave_up_for_memory(self, exit_code: int | None, signal: str | None, stderr_tail: bytes) -> bool:
        """An exception for want of memory that nobody caught."""
        return signal == "SIGABRT" and _OUT_OF_MEMORY.search(stderr_tail) is not None

    def probes(self, installation: Installation) -> Sequence[Probe]:
        mixed = (
            SourceFile(name="main.cpp", content=_PROBE_CPP),
            SourceFile(name="half.c", content=_PROBE_C),
            SourceFile(name="half.h", content=_PROBE_HEADER),
        )
        return (
            probe(Language.CPP, b"falcon 2\nowl 1\n", files=(SourceFile(name="main.cpp", content=_PROBE),)),
            probe(Language.CPP, b"21\n", files=mixed),
        )


@dataclass(frozen=True)
class _Tools:
    """What an installation brings, by name, for one submission's files."""

    installation: Installation
    files: Mapping[str, bytes]

    def command(self, *, is_c: bool) -> str:
        return self.installation.details["c_compiler" if is_c else "compiler"]

    @property
    def linking(self) -> tuple[str, ...]:
        linker = self.installation.details.get("linker")
        if linker is None:
            return ()
        # mold forks to end early and leave its memory for later: on one core that only costs
        return ("-fuse-ld=mold", "-Wl,--no-fork") if linker == "mold" else (f"-fuse-ld={linker}",)

    def made(self, name: str, flags: tuple[str, ...]) -> tuple[str, ...]:
        """The flags that use a precompiled header for a source, where one fits."""
        folder = self.installation.details.get("precompiled")
        included = leading(name, self.files)
        if folder is None or not included:
            return ()
        headers, closures = _prepared(Path(folder))
        one = best(included, flags, headers, closures)
        return precompiled.usage(f"{_PREPARED}/{one.name}", one, included[0]) if one else ()


def one_step(tools: _Tools, unit: SourceFile, chosen: Chosen) -> tuple[tuple[str, ...], ...]:
    """One source file: compiled and linked at once."""
    libraries = (*chosen.libraries, "-lm") if _is_c(unit) else chosen.libraries
    return ((*_compile(tools, unit, chosen), *_named(unit), *tools.linking, "-o", native.PROGRAM, *libraries),)


def many_steps(tools: _Tools, units: Sequence[SourceFile], chosen: Chosen) -> tuple[tuple[str, ...], ...]:
    """Several: each compiled, with the precompiled header that is right for it, then linked."""
    objects = [f"/tmp/{number}.o" for number in range(len(units))]
    compiling = [
        (*_compile(tools, unit, chosen), "-c", *_named(unit), "-o", target)
        for unit, target in zip(units, objects, strict=True)
    ]
    is_c = all(map(_is_c, units))
    flags = chosen.for_c if is_c else chosen.for_cpp
    linking = (
        tools.command(is_c=is_c),
        *flags,
        *tools.linking,
        "-o",
        native.PROGRAM,
        *objects,
        *chosen.libraries,
        "-lm",
    )
    return (*compiling, linking)


def _compile(tools: _Tools, unit: SourceFile, chosen: Chosen) -> tuple[str, ...]:
    """The compiler and its flags for one source file."""
    if _is_c(unit):
        return (tools.command(is_c=True), *chosen.for_c, "-pipe", *_FOUND_HERE)
    made = tools.made(unit.name, chosen.code) if chosen.usual else ()
    return (tools.command(is_c=False), *chosen.for_cpp, *made, "-pipe", *_FOUND_HERE)


def _named(unit: SourceFile) -> tuple[str, ...]:
    """A source file as an argument; one with another suffix is C++ if it is the entry."""
    name = native.operand(unit.name)
    return (name,) if unit.name.endswith(_SUFFIXES) else ("-x", "c++", name, "-x", "none")


def _is_c(unit: SourceFile) -> bool:
    return unit.name.endswith(".c")


@functools.cache
def _prepared(folder: Path) -> tuple[tuple[Precompiled, ...], dict[str, frozenset[str]]]:
    """What ``prepare`` made."""
    return precompiled.read_made(folder), precompiled.read_closures(folder)


def _installation(compiler: Compiler) -> Installation:
    standard = "-std=gnu++20" if version_key(compiler.version) >= (10,) else "-std=gnu++17"
    details = {
        "compiler": str(compiler.path),
        "c_compiler": str(compiler.c_compiler),
        "made_of": "\n".join(map(str, compiler.made_of)),
    }
    if compiler.linker is not None:
        details["linker"] = compiler.linker
    return Installation(
        language=Language.CPP,
        version=compiler.version,
        compile_flags=("-O1", standard),
        allowed_flags=ALLOWED_FLAGS,
        details=details,
    )


_PROBE = b"""#include <bits/stdc++.h>

int main() {
    std::map<std::string, int> seen;
    for (auto word : {"owl", "falcon", "falcon"}) seen[word]++;
    for (const auto& [word, times] : seen) std::cout << word << ' ' << times << std::endl;
}
"""

_PROBE_CPP = b"""#include <iostream>
#include "half.h"

int main() { std::cout << half(42) << std::endl; }
"""

_PROBE_C = b"""#include "half.h"

int half(int new) { return new / 2; }
"""

_PROBE_HEADER = b"""#ifdef __cplusplus
extern "C"
#endif
int half(int);
"""
