"""Rust: which toolchains are offered, what a build is told, and how a program without memory ends."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from jobs.languages import Language
from jobs.limits import DEFAULTS
from jobs.submission import SourceFile, Submission
from runner.languages.contract import Installation, Sources
from runner.languages.rust import Rust, support
from runner.languages.rust.toolchains import Toolchain, choose, read_version

INSTALLATION = Installation(
    language=Language.RUST,
    version="1.95.0",
    details={"rustc": "/opt/rust/bin/rustc", "shared_library": "/opt/rust/lib"},
)


def toolchain(version: str, root: str = "/toolchain") -> Toolchain:
    return Toolchain(root=Path(root), version=version, host="x86_64-unknown-linux-gnu")


def command(entry: str = "main.rs", flags: tuple[str, ...] | None = None) -> tuple[str, ...]:
    sources = Sources(files=(SourceFile(name=entry, content=b""),), entry=entry)
    [only] = Rust().build(INSTALLATION, sources, flags).commands
    return only


def test_only_stable_toolchains_are_offered_and_each_version_once() -> None:
    found = [
        toolchain("1.97.0-nightly"),
        toolchain("1.100.0"),
        toolchain("1.95.0", "/stable"),
        toolchain("1.95.0", "/numbered"),
    ]
    assert [(one.version, str(one.root)) for one in choose(found)] == [("1.95.0", "/stable"), ("1.100.0", "/toolchain")]


def test_a_nightly_is_offered_where_nothing_is_stable() -> None:
    assert [one.version for one in choose([toolchain("1.97.0-nightly")])] == ["1.97.0-nightly"]


def test_the_version_is_read_from_what_rustc_says() -> None:
    said = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0\n"
    assert read_version(said) == ("1.95.0", "x86_64-unknown-linux-gnu")
    assert read_version("error: no toolchain") is None


def test_the_default_build_is_optimised_and_catches_overflow() -> None:
    told = command()
    assert {"-Copt-level=1", "-Coverflow-checks=on", "--edition=2021", "-Cprefer-dynamic"} <= set(told)
    assert told[-1] == "main.rs"
    assert "-Clink-arg=-Wl,-rpath,/opt/rust/lib" in told


@pytest.mark.parametrize(
    ("flags", "gone", "there"),
    [
        (("-O",), "-Copt-level=1", "-O"),
        (("-C", "opt-level=3"), "-Copt-level=1", "opt-level=3"),
        (("--edition=2024",), "--edition=2021", "--edition=2024"),
        (("-Coverflow-checks=off",), "-Coverflow-checks=on", "-Coverflow-checks=off"),
        (("-O",), "-Coverflow-checks=on", "-O"),
    ],
)
def test_a_flag_replaces_the_default_that_it_is_about(flags: tuple[str, ...], gone: str, there: str) -> None:
    told = command(flags=flags)
    assert gone not in told and there in told


@pytest.mark.parametrize("flag", ["-Cpanic=abort", "-Clto=fat"])
def test_what_the_shared_library_cannot_do_is_linked_whole(flag: str) -> None:
    assert "-Cprefer-dynamic" not in command(flags=(flag,))


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("main.rs", "main"),
        ("src/two-words.rs", "two_words"),
        ("é 1.rs", "main"),
        ("1st.rs", "main"),
        ("std.rs", "main"),
    ],
)
def test_the_crate_is_called_like_its_file_where_that_is_a_name(entry: str, name: str) -> None:
    assert f"--crate-name={name}" in command(entry)


def test_a_file_like_an_option_or_a_list_is_an_operand() -> None:
    assert command("-O.rs")[-1] == "./-O.rs"
    assert command("@args.rs")[-1] == "./@args.rs"


@pytest.mark.parametrize(
    ("manifest", "edition"),
    [
        (b'[package]\nname = "a"\nedition = "2018"\n', "2018"),
        (b'[package]\nedition = "9999"\n', None),
        (b"[package", None),
        (b"\xff", None),
        (b"package = 3\n", None),
    ],
)
def test_the_edition_of_a_cargo_manifest_is_used(manifest: bytes, edition: str | None) -> None:
    assert support.declared_edition((SourceFile(name="Cargo.toml", content=manifest),)) == edition


def test_a_cargo_project_starts_at_its_main_file() -> None:
    files = tuple(SourceFile(name=name, content=b"") for name in ("Cargo.toml", "src/lib.rs", "src/main.rs"))
    submission = Submission(language=Language.RUST, files=files, timeout_s=10, memory_mb=256, limits=DEFAULTS)
    assert Rust().sources(submission).entry == "src/main.rs"


@pytest.mark.parametrize(
    "flag",
    [
        "-Clinker=/bin/sh",
        "-Clink-arg=-x",
        "-o",
        "--out-dir=/",
        "-L/",
        "@x",
        "--extern=a=/b",
        "-Zunstable",
        "linker=/bin/sh",
    ],
)
def test_flags_that_name_files_or_programs_are_not_allowed(flag: str) -> None:
    assert not any(fnmatchcase(flag, pattern) for pattern in support.ALLOWED_FLAGS)


@pytest.mark.parametrize(
    "flag", ["-O", "-Copt-level=3", "--edition=2024", "-Adead_code", "--cfg=judge", "-Ctarget-cpu=native"]
)
def test_flags_that_people_use_are_allowed(flag: str) -> None:
    assert any(fnmatchcase(flag, pattern) for pattern in support.ALLOWED_FLAGS)


def test_an_allocator_that_gave_up_is_told_from_other_aborts() -> None:
    rust = Rust()
    assert rust.gave_up_for_memory(None, "SIGABRT", b"memory allocation of 1099511627776 bytes failed\n")
    assert not rust.gave_up_for_memory(None, "SIGABRT", b"thread 'main' panicked\n")
    assert not rust.gave_up_for_memory(101, None, b"memory allocation of 5 bytes failed\n")
