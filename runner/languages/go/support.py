"""How Go is found, prepared, built and run: see the package's docstring for the two ways to build."""

from __future__ import annotations

import functools
import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from jobs import limits
from jobs.languages import Language
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
from runner.languages.go import toolchains
from runner.languages.go.plan import Direct, Whole, plan

ALLOWED_FLAGS = ("-gcflags=*", "-ldflags=-X *", "-tags=*", "-trimpath")
_ROOT = "/usr/local/go"
"""Where the toolchain lies in the room: as on most machines, so that traces through the standard library look usual."""
_PREPARED = "/opt/go"
_OBJECT = "/tmp/main.a"
_NO_INDEX = "goindex=0"
_RECIPE = "3"
"""Changes whenever ``prepare`` makes something else of the same toolchain."""

_ENVIRONMENT = {
    "HOME": "/tmp",
    "GOROOT": _ROOT,
    "GOPATH": "/tmp/go",
    "GOCACHE": f"{_PREPARED}/cache",
    "GOENV": "off",
    "GOFLAGS": "-buildvcs=false",
    "GOPROXY": "off",
    "GOSUMDB": "off",
    "GOTOOLCHAIN": "local",
    "CGO_ENABLED": "0",
}
#: a compiler lives for a tenth of a second in a room with memory enough
_NO_COLLECTOR = {"HOME": "/tmp", "GOROOT": _ROOT, "GOGC": "400"}

_OUT_OF_MEMORY = re.compile(
    rb"^(?:fatal error: )?(?:runtime: out of memory|runtime: cannot allocate memory|runtime: cannot map pages"
    rb"|fatal error: out of memory|out of memory$)",
    re.MULTILINE,
)


class Go:
    """Go, as ``runner.languages.contract.Support`` describes a language."""

    language = Language.GO

    def discover(self) -> Sequence[Installation]:
        return tuple(map(_installation, toolchains.find()))

    def prepare(self, installation: Installation, cache: Path, report: Report) -> Installation:
        """The standard library compiled, mounted at ``/opt/go``."""
        toolchain = _toolchain(installation)
        with_c = shutil.which("gcc") is not None
        key = native.digest(_RECIPE, toolchain.version, native.stamp(toolchain.tools / "compile"), str(with_c))
        folder = native.made_once(
            cache,
            f"go-{toolchain.version}-{key}",
            functools.partial(
                toolchains.compile_standard_library, toolchain, seen_at=_PREPARED, with_c=with_c, report=report
            ),
        )
        return replace(
            installation,
            mounts=(*installation.mounts, Mount(source=str(folder), target=_PREPARED)),
            details={**installation.details, "importable": str(folder / "compile.cfg")},
        )

    def boots(self, installation: Installation) -> Sequence[Boot]:
        return (Boot(room=Room.RUN), Boot(room=Room.BUILD, memory_mb=limits.COMPILE_MEMORY_MB))

    def sources(self, submission: Submission) -> Sources:
        return native.gather(submission, usual_name="main.go", suffixes=(".go",))

    def build(self, installation: Installation, sources: Sources, flags: tuple[str, ...] | None) -> Build:
        way = plan(
            sources,
            standard=frozenset() if flags else _importable(installation.details.get("importable")),
            language_version=installation.details["language_version"],
        )
        if isinstance(way, Direct):
            return direct_build(way, tools=installation.details["tools"], lang=installation.details["language_version"])
        whole = whole_build(way, flags or (), lang=installation.details["language_version"])
        # in an image go cannot keep an index of its library, and then takes the library for absent
        return replace(whole, env={**whole.env, "GODEBUG": _NO_INDEX}) if "no_index" in installation.details else whole

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
        """The runtime's last words; it exits with 2, as for every fatal error."""
        return exit_code == 2 and _OUT_OF_MEMORY.search(stderr_tail) is not None

    def probes(self, installation: Installation) -> Sequence[Probe]:
        """One for each way to build."""
        module = (
            SourceFile(name="main.go", content=_PROBE_MODULE),
            SourceFile(name="words/words.go", content=_PROBE_PACKAGE),
        )
        return (
            probe(Language.GO, b"HELLO, 42\n", files=(SourceFile(name="main.go", content=_PROBE),)),
            probe(Language.GO, b"HELLO, 42\n", files=module),
        )


def direct_build(way: Direct, *, tools: str, lang: str) -> Build:
    """What ``go build`` would do, without what it looks at first.

    One shell does both steps, which is quicker to fork than what carries out a plan. The compiler speaks on standard
    output; its words go where go would put them.
    """
    compile_main = [
        *(f"{tools}/compile", "-o", _OBJECT, "-p", "main", f"-lang=go{lang}", "-complete", "-nolocalimports"),
        *("-importcfg", f"{_PREPARED}/compile.cfg", "-pack"),
    ]
    link = [
        *(f"{tools}/link", "-o", native.PROGRAM, "-importcfg", f"{_PREPARED}/link.cfg", "-s", "-w"),
        *("-buildmode=exe", _OBJECT),
    ]
    script = f'{shlex.join(compile_main)} "$@" >&2 && exec {shlex.join(link)}'
    return Build(
        commands=(("/bin/sh", "-c", script, "sh", *map(shown, way.files)),),
        artifact=(native.PROGRAM,),
        env=_NO_COLLECTOR,
    )


def whole_build(way: Whole, flags: tuple[str, ...], *, lang: str) -> Build:
    """``go build``, after making the go.mod that it cannot do without."""
    manifest = (
        *("/bin/sh", "-c", 'printf "module %s\\n\\ngo %s\\n" "$1" "$2" > go.mod', "sh"),
        *(way.made_module or "", lang),
    )
    build = (
        *(f"{_ROOT}/bin/go", "build", "-C", f"./{way.root}" if way.root != "." else ".", "-o", native.PROGRAM),
        # refuses what is no program; nobody debugs what is run once
        *("-buildmode=exe", "-ldflags=-s -w", f"-gcflags=std={toolchains.WITHOUT_DEBUGGING}", *flags, way.target),
    )
    return Build(
        commands=(manifest, build) if way.made_module else (build,),
        artifact=(native.PROGRAM,),
        env={**_ENVIRONMENT, "CGO_ENABLED": "1" if way.uses_c else "0"},
    )


def shown(name: str) -> str:
    """A file's name as go prints it: ``./main.go``, ``sub/other.go``."""
    return name if "/" in name and name[0] not in "-@" else f"./{name}"


@functools.cache
def _importable(path: str | None) -> frozenset[str]:
    """The packages of the list that ``prepare`` made; none before it has."""
    return frozenset(map(toolchains.imported, Path(path).read_text().splitlines())) if path else frozenset()


def _installation(toolchain: toolchains.Toolchain) -> Installation:
    mounts = [Mount(source=str(toolchain.root), target=_ROOT)]
    for child in sorted(toolchain.root.iterdir()):  # distributions scatter a root over several places
        real = child.resolve()
        if child.is_symlink() and not real.is_relative_to(toolchain.root):
            mounts.append(Mount(source=str(real), target=str(real)))
    inside = toolchain.tools.is_relative_to(toolchain.root)
    return Installation(
        language=Language.GO,
        version=toolchain.version,
        mounts=tuple(mounts),
        allowed_flags=ALLOWED_FLAGS,
        details={
            "root": str(toolchain.root),
            "host_tools": str(toolchain.tools),
            "tools": f"{_ROOT}/{toolchain.tools.relative_to(toolchain.root)}" if inside else str(toolchain.tools),
            "language_version": toolchain.language_version,
        },
    )


def _toolchain(installation: Installation) -> toolchains.Toolchain:
    details = installation.details
    return toolchains.Toolchain(
        root=Path(details["root"]), version=installation.version, tools=Path(details["host_tools"])
    )


_PROBE = b"""package main

import (
	"fmt"
	"strings"
)

func main() {
	answers := make(chan int)
	go func() { answers <- 42 }()
	fmt.Printf("%s, %d\\n", strings.ToUpper("hello"), <-answers)
}
"""

_PROBE_MODULE = b"""package main

import (
	"fmt"

	"probe/words"
)

func main() { fmt.Printf("%s, %d\\n", words.Louder("hello"), 42) }
"""

_PROBE_PACKAGE = b"""package words

import "strings"

func Louder(word string) string { return strings.ToUpper(word) }
"""
