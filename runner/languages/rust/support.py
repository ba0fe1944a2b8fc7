"""How Rust is found, built and run: see the package's docstring for the why of its flags."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

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
from runner.languages.rust import toolchains

DEFAULT_FLAGS = ("-Copt-level=1", "-Coverflow-checks=on", "--edition=2021")
ALLOWED_FLAGS = (
    "-O",
    "-g",
    "-C",  # the two-word form: what follows is one of the words below
    *(
        prefix + option
        for prefix in ("", "-C")
        for option in (
            "opt-level=[0-3sz]",
            "debuginfo=[0-2]",
            "debug-assertions=*",
            "overflow-checks=*",
            "codegen-units=*",
            "target-cpu=*",
            "target-feature=*",
            "panic=unwind",
            "panic=abort",
            "lto=thin",
            "lto=fat",
        )
    ),
    "--edition=20[0-9][0-9]",
    "--cfg=*",
    "--check-cfg=*",
    "--cap-lints=*",
    "-[AWDF]*",  # lints
)

_OUT_OF_MEMORY = re.compile(rb"^memory allocation of \d+ bytes failed", re.MULTILINE)
_EDITIONS = ("2015", "2018", "2021", "2024")
_OWN_LINKER = (1, 90)
"""Since then rustc links with the lld that it brings along."""


class Rust:
    """Rust, as ``runner.languages.contract.Support`` describes a language."""

    language = Language.RUST

    def discover(self) -> Sequence[Installation]:
        """Every stable toolchain; none where no C compiler is there to drive the linker."""
        if shutil.which("cc") is None:
            return ()
        return tuple(map(_installation, toolchains.find()))

    def prepare(self, installation: Installation, cache: Path, report: Report) -> Installation:
        """Nothing is made ahead: the toolchain brings all of it."""
        return installation

    def boots(self, installation: Installation) -> Sequence[Boot]:
        return (Boot(room=Room.RUN), Boot(room=Room.BUILD, memory_mb=limits.COMPILE_MEMORY_MB))

    def sources(self, submission: Submission) -> Sources:
        """The crate's root is the entry, else ``main.rs`` where Cargo and people put it, else the first Rust file."""
        if submission.code is None and submission.entry is None:
            names = {file.name for file in submission.files}
            if submission.files[0].name.endswith(".toml") and (
                root := next(iter({"src/main.rs", "main.rs"} & names), None)
            ):
                return Sources(files=submission.files, entry=root)
        return native.gather(submission, usual_name="main.rs", suffixes=(".rs",))

    def build(self, installation: Installation, sources: Sources, flags: tuple[str, ...] | None) -> Build:
        chosen = complete(flags or (), edition=declared_edition(sources.files))
        library = installation.details.get("shared_library")
        linking = (
            ("-Cprefer-dynamic", f"-Clink-arg=-Wl,-rpath,{library}") if library and may_link_shared(chosen) else ()
        )
        command = (
            installation.details["rustc"],
            f"--crate-name={crate_name(sources.entry)}",
            "--crate-type=bin",
            *chosen,
            *linking,
            *filter(None, [installation.details.get("linker")]),
            "-o",
            native.PROGRAM,
            native.operand(sources.entry),
        )
        return Build(commands=(command,), artifact=(native.PROGRAM,), env={"HOME": "/tmp"})

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
        """The allocator's last words, then abort."""
        return signal == "SIGABRT" and _OUT_OF_MEMORY.search(stderr_tail) is not None

    def probes(self, installation: Installation) -> Sequence[Probe]:
        return (
            probe(
                Language.RUST,
                b"3 words, the longest is ornithopter\n",
                files=(
                    SourceFile(name="main.rs", content=_PROBE),
                    SourceFile(name="words.rs", content=_PROBE_MODULE),
                ),
            ),
        )


def complete(flags: tuple[str, ...], *, edition: str | None) -> tuple[str, ...]:
    """The flags of a build: the submission's, and of ours those that it did not decide itself."""
    told = " ".join(flags)
    ours = []
    if "edition=" not in told:
        ours.append(f"--edition={edition or '2021'}")
    if "opt-level=" not in told and "-O" not in flags:
        ours.append("-Copt-level=1")
    if "overflow-checks=" not in told and "-O" not in flags and "opt-level=" not in told:
        ours.append("-Coverflow-checks=on")
    if "codegen-units=" not in told:
        ours.append("-Ccodegen-units=1")
    if "debuginfo=" not in told and "-g" not in flags:
        ours.append("-Cdebuginfo=0")
    return (*ours, *flags)


def may_link_shared(flags: tuple[str, ...]) -> bool:
    """The shared standard library unwinds and is compiled: no use for panic=abort and link-time optimisation."""
    return not any(word in flag for flag in flags for word in ("panic=abort", "lto="))


def crate_name(entry: str) -> str:
    """As rustc derives it from the file's name, where that gives one; else ``main``."""
    stem = PurePosixPath(entry).stem.replace("-", "_")
    return (
        stem if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", stem) and stem not in ("std", "core", "alloc", "_") else "main"
    )


def declared_edition(files: tuple[SourceFile, ...]) -> str | None:
    """The edition that a ``Cargo.toml`` of the submission asks for."""
    manifest = next((file for file in files if file.name == "Cargo.toml"), None)
    if manifest is None:
        return None
    try:
        edition = tomllib.loads(manifest.content.decode())["package"]["edition"]
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError):
        return None
    return edition if edition in _EDITIONS else None


def _installation(toolchain: toolchains.Toolchain) -> Installation:
    """The toolchain at its place in the room; a system's own compiler is in the base userland already."""
    in_userland = toolchain.root == Path("/usr")
    root = "/usr" if in_userland else f"/opt/rust-{toolchain.version}"
    library = f"lib/rustlib/{toolchain.host}/lib"
    details = {"rustc": f"{root}/bin/rustc"}
    if any((toolchain.root / library).glob("libstd-*.so")):
        details["shared_library"] = f"{root}/{library}"
    if version_key(toolchain.version)[:2] < _OWN_LINKER and (linker := _linker()):
        details["linker"] = f"-Clink-arg=-fuse-ld={linker}"
    return Installation(
        language=Language.RUST,
        version=toolchain.version,
        mounts=() if in_userland else (Mount(source=str(toolchain.root), target=root),),
        compile_flags=DEFAULT_FLAGS,
        allowed_flags=ALLOWED_FLAGS,
        details=details,
    )


def _linker() -> str | None:
    """The fastest linker that the C compiler can find under the base userland."""
    return next((name for name in ("mold", "lld", "gold") if Path(f"/usr/bin/ld.{name}").exists()), None)


_PROBE = b"""mod words;

use std::collections::HashMap;

fn main() {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for word in words::ALL.split(' ') {
        *seen.entry(word).or_default() += word.len();
    }
    let longest = seen.keys().max_by_key(|word| word.len()).unwrap();
    println!("{} words, the longest is {longest}", seen.len());
}
"""

_PROBE_MODULE = b"""pub const ALL: &str = "a falcon ornithopter";
"""
