"""Finding the Go toolchains of a host, and compiling the standard library of one."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs.languages import version_key
from runner.languages.contract import Report
from runner.languages.native import carry_out, output_of

_ALONE = {"GOTOOLCHAIN": "local", "GOENV": "off", "GOFLAGS": "", "GOPROXY": "off", "GO111MODULE": "on"}
"""Go as it is installed: no other version fetched, no settings of the person's."""

WITHOUT_DEBUGGING = "-dwarf=false"
"""For the compiler of the standard library: programs are linked without what debuggers read. A quarter less to keep."""

_USE_C = ("runtime/cgo", "os/user", "net")
"""What is another package where C is allowed. What stands on these is compiled when a program with C imports it."""


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    root: Path  #: GOROOT
    version: str  #: ``1.26.8``
    tools: Path  #: the folder of ``compile`` and ``link``

    @property
    def language_version(self) -> str:
        """``1.26``: what a module without a go.mod is compiled as."""
        return ".".join(self.version.split(".")[:2])


def find() -> tuple[Toolchain, ...]:
    """The toolchains of this host, one a version, oldest first. Those before 1.20 lack what is used here."""
    by_version: dict[str, Toolchain] = {}
    for toolchain in filter(None, map(_ask, _commands())):
        by_version.setdefault(toolchain.version, toolchain)
    known = [toolchain for toolchain in by_version.values() if version_key(toolchain.version) >= (1, 20)]
    return tuple(sorted(known, key=lambda toolchain: version_key(toolchain.version)))


def compile_standard_library(toolchain: Toolchain, folder: Path, *, seen_at: str, with_c: bool, report: Report) -> None:
    """Fill *folder*, which the room sees at *seen_at*.

    ``cache``: a build cache of the whole standard library; ``link.cfg``: all its archives; ``compile.cfg``: those that
    a program may import.
    """
    cache = folder / "cache"
    line = "{{if .Export}}packagefile {{.ImportPath}}={{.Export}}{{end}}"
    listed = [str(toolchain.root / "bin/go"), "list", f"-gcflags=std={WITHOUT_DEBUGGING}", "-export", "-f", line]
    own = folder / "own"  # what else go writes, such as its telemetry
    env = {**_ALONE, "GOCACHE": str(cache), "GOPATH": str(own), "GOROOT": str(toolchain.root), "HOME": str(own)}
    report(f"go {toolchain.version}: compiling the standard library")
    archives = carry_out([*listed, "std"], env={**env, "CGO_ENABLED": "0"}, cwd=folder)
    if with_c:
        report(f"go {toolchain.version}: compiling what programs with C in them need")
        carry_out([*listed, *_USE_C], env={**env, "CGO_ENABLED": "1"}, cwd=folder)
    shutil.rmtree(own, ignore_errors=True)
    lines = archives.replace(f"={cache}/", f"={seen_at}/cache/").splitlines()
    (folder / "link.cfg").write_text("".join(f"{line}\n" for line in lines))
    (folder / "compile.cfg").write_text("".join(f"{line}\n" for line in lines if is_public(imported(line))))


def imported(line: str) -> str:
    """The import path of a line ``packagefile PATH=ARCHIVE``."""
    return line.removeprefix("packagefile ").split("=", 1)[0]


def is_public(package: str) -> bool:
    """Whether programs may import this package of the standard library."""
    return not {"internal", "vendor"} & set(package.split("/"))


def _commands() -> Iterator[Path]:
    """Binaries named go: on the path, and where the usual ways of installing put them."""
    on_path = shutil.which("go")
    seen: set[Path] = set()
    for path in [
        *([Path(on_path)] if on_path else []),
        *sorted(Path("/usr/local").glob("go*/bin/go")),
        *sorted(Path("/usr/lib").glob("go-*/bin/go")),
        *sorted(Path.home().glob("sdk/go*/bin/go")),
    ]:
        real = path.resolve()
        if real.is_file() and real not in seen:
            seen.add(real)
            yield real


def _ask(command: Path) -> Toolchain | None:
    said = output_of([str(command), "env", "GOROOT", "GOVERSION", "GOTOOLDIR"], env=_ALONE)
    if said is None or len(lines := said.splitlines()) != 3:
        return None
    root, version, tools = lines
    found = re.match(r"go(\d+\.\d+(?:\.\d+)?)", version)
    if found is None or not (Path(tools) / "compile").is_file() or not (Path(tools) / "link").is_file():
        return None
    return Toolchain(root=Path(root), version=found.group(1), tools=Path(tools))
