"""Finding the Rust toolchains of a host: rustup's, and whatever ``rustc`` the system has.

The binary itself is wanted, never rustup's proxy of the same name, which would look for settings and the network.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.languages import version_key
from runner.languages.native import output_of


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """One toolchain: where it lies, and what its compiler says of itself."""

    root: Path  #: rustc's sysroot
    version: str
    host: str  #: the target triple that it compiles for

    @property
    def stable(self) -> bool:
        """Whether this is a release: its version has numbers only."""
        return self.version.replace(".", "").isdigit()


def find() -> tuple[Toolchain, ...]:
    """The toolchains of this host, one a version, oldest first."""
    return choose(filter(None, map(_ask, _compilers(os.environ))))


def choose(found: Iterable[Toolchain]) -> tuple[Toolchain, ...]:
    """One a version: a toolchain under several names is offered once, and nightlies only where nothing is stable."""
    by_version: dict[str, Toolchain] = {}
    for toolchain in found:
        by_version.setdefault(toolchain.version, toolchain)
    stable = [toolchain for toolchain in by_version.values() if toolchain.stable]
    return tuple(sorted(stable or by_version.values(), key=lambda toolchain: version_key(toolchain.version)))


def read_version(verbose: str) -> tuple[str, str] | None:
    """The release and the host of what ``rustc -vV`` prints."""
    facts = dict(line.split(": ", 1) for line in verbose.splitlines() if ": " in line)
    return (facts["release"], facts["host"]) if {"release", "host"} <= facts.keys() else None


def _compilers(env: Mapping[str, str]) -> Iterator[Path]:
    """Binaries named rustc, rustup's proxies left out."""
    home = Path(env.get("RUSTUP_HOME") or Path.home() / ".rustup")
    named = [*sorted(home.glob("toolchains/*/bin/rustc")), *sorted(Path("/opt").glob("rust*/bin/rustc"))]
    on_path = shutil.which("rustc")
    seen: set[Path] = set()
    for path in [*named, *([Path(on_path)] if on_path else []), Path("/usr/local/bin/rustc"), Path("/usr/bin/rustc")]:
        real = path.resolve()
        if real.is_file() and not real.name.startswith("rustup") and real not in seen:
            seen.add(real)
            yield real


def _ask(compiler: Path) -> Toolchain | None:
    said = read_version(output_of([str(compiler), "-vV"]) or "")
    root = (output_of([str(compiler), "--print", "sysroot"]) or "").strip()
    if said is None or not root or not (Path(root) / "bin/rustc").is_file():
        return None
    version, host = said
    return Toolchain(root=Path(root), version=version, host=host)
