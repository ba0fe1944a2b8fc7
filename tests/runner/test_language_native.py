"""What the compiled languages share: which file starts, names as arguments, and folders that are made once."""

from __future__ import annotations

from multiprocessing import get_context
from pathlib import Path

import pytest

from jobs.errors import ConfigFault
from jobs.languages import Language
from jobs.limits import DEFAULTS
from jobs.submission import SourceFile, Submission
from runner.languages import native
from runner.languages.contract import ENVIRONMENT


def submission(*names: str, entry: str | None = None, code: bytes | None = None) -> Submission:
    files = tuple(SourceFile(name=name, content=b"") for name in names)
    return Submission(
        language=Language.RUST, code=code, files=files, entry=entry, timeout_s=10, memory_mb=256, limits=DEFAULTS
    )


def test_code_gets_the_usual_name() -> None:
    sources = native.gather(submission(code=b"text"), usual_name="main.rs", suffixes=(".rs",))
    assert (sources.entry, [file.content for file in sources.files]) == ("main.rs", [b"text"])


@pytest.mark.parametrize(
    ("names", "entry", "starts"),
    [
        (("data.csv", "app.rs", "lib.rs"), None, "app.rs"),
        (("a.rs", "b.rs"), "b.rs", "b.rs"),
        (("notes.txt",), None, "notes.txt"),
    ],
)
def test_the_entry_is_the_named_file_or_the_first_source(names: tuple[str, ...], entry: str, starts: str) -> None:
    assert native.gather(submission(*names, entry=entry), usual_name="main.rs", suffixes=(".rs",)).entry == starts


@pytest.mark.parametrize("name", ["-o.cpp", "@list.c", "--version"])
def test_no_file_name_is_taken_for_an_option(name: str) -> None:
    assert native.operand(name) == f"./{name}"
    assert native.operand("main.cpp") == "main.cpp"


def test_a_run_starts_the_program_with_its_arguments() -> None:
    artifact = (SourceFile(name=native.PROGRAM, content=b"\x7fELF"),)
    run = native.start(artifact, ("a", ""))
    assert run.argv == ("/box/program", "a", "")
    assert [(file.path, file.content, file.executable) for file in run.box] == [("/box/program", b"\x7fELF", True)]


def test_tools_of_the_host_see_none_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "hush")
    seen = native.carry_out(["/usr/bin/env"], env={"MORE": "1"})
    assert {line.split("=")[0] for line in seen.splitlines()} == {*ENVIRONMENT, "MORE"}


def test_a_tool_that_fails_is_a_fault_with_its_own_words() -> None:
    with pytest.raises(ConfigFault, match="cannot do that"):
        native.carry_out(["/bin/sh", "-c", "echo cannot do that >&2; exit 3"])
    with pytest.raises(ConfigFault, match="no-such-tool"):
        native.carry_out(["/no-such-tool"])


def test_what_was_made_once_is_found_again(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "file").write_text("made")
        (folder / "file").chmod(0o600)

    first = native.made_once(tmp_path / "cache", "thing-1", make)
    again = native.made_once(tmp_path / "cache", "thing-1", make)
    assert first == again and len(made) == 1 and not made[0].exists()
    assert (first / "file").read_text() == "made"
    assert (first / "file").stat().st_mode & 0o777 == 0o644


def test_a_maker_that_failed_leaves_nothing_that_looks_made(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise ConfigFault("no")

    with pytest.raises(ConfigFault):
        native.made_once(tmp_path, "thing", fail)
    assert not (tmp_path / "thing").exists()
    folder = native.made_once(tmp_path, "thing", lambda folder: (folder / "whole").touch())
    assert [path.name for path in folder.iterdir()] == ["whole"]


def _make_and_count(cache: str) -> None:
    def make(folder: Path) -> None:
        with (Path(cache) / "count").open("a") as count:
            count.write("x")
        (folder / "whole").touch()

    native.made_once(Path(cache), "thing", make)


def test_processes_that_want_it_at_once_make_it_once(tmp_path: Path) -> None:
    context = get_context("spawn")
    processes = [context.Process(target=_make_and_count, args=(str(tmp_path),)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert (tmp_path / "count").read_text() == "x"


def test_a_digest_tells_parts_apart() -> None:
    assert native.digest("ab", "c") != native.digest("a", "bc")
    assert native.digest("a") == native.digest("a")
