"""The command line: one line and the cure for what is wrong, help that teaches, and nothing loaded for nothing."""

from __future__ import annotations

import argparse
import base64
import subprocess
import sys
from pathlib import Path

import pytest

from yurt.commands import arguments, programs

COMMANDS = ("up", "run", "languages", "status", "doctor", "submit", "result", "cancel", "logs", "batch")


def yurt(*words: str, cwd: Path | None = None, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    home = str(Path(__file__).parents[2])
    return subprocess.run(
        [sys.executable, "-m", "yurt", *words],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": home, "HOME": "/nonexistent"},
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments.parse([command, "--help"])
    assert ended.value.code == 0
    assert f"yurt {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("run", "gone.py"), 66, b"gone.py cannot be read: No such file or directory"),
        (("run", "poem.txt"), 2, b"give one with --language"),
        (("run", "poem.txt", "--language", "cobol"), 2, b"the known ones are python, javascript, java, go, cpp, rust"),
        (("run", "hello.py", "--env", "X"), 2, b"write NAME=VALUE"),
        (("run", "hello.py", "--url", "http://127.0.0.1:1"), 75, b"start one with: yurt up"),
        (("run", "hello.py", "--port", "80"), 2, b"unrecognized arguments"),
        (("status", "--", "x"), 2, b"this command runs none"),
        (("status",), 1, b""),
        (("up", "--regions", "us-east,eu-west", "--rtt", "us-east:eu-west=80"), 1, b"write ONE:OTHER=80ms"),
        (("up", "--regions", "us-east,us-east"), 1, b"'us-east' is there twice"),
        (("up", "--regions", "US East"), 1, b"lower-case"),
        (("up", "--port", "99999"), 2, b"is no port"),
        (
            ("up", "--engine", "podman"),
            2,
            b"--engine: 'podman' is no engine; the known ones are fork, docker, snapshot",
        ),
        (("up", "--engine", "java=docker", "--engine", "cobol=fork"), 2, b"--engine: 'cobol' is no language"),
        (("up", "--region-file", "gone.toml"), 1, b"the region file gone.toml cannot be read"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_with_a_code(
    tmp_path: Path, words: tuple[str, ...], code: int, says: bytes
) -> None:
    (tmp_path / "hello.py").write_text("print('hello')")
    (tmp_path / "poem.txt").write_text("roses are red")
    ended = yurt(*words, cwd=tmp_path)
    assert (ended.returncode, says in ended.stderr) == (code, True), ended.stderr
    assert b"Traceback" not in ended.stderr


def test_importing_yurt_loads_no_http_library() -> None:
    program = "import sys, yurt; sys.exit('aiohttp' in sys.modules or 'jobs.errors' in sys.modules)"
    home = str(Path(__file__).parents[2])
    assert subprocess.run([sys.executable, "-c", program], cwd=home, check=False).returncode == 0


def test_an_engine_is_asked_for_as_a_whole_or_by_language_once_or_again() -> None:
    assert arguments.parse(["up"]).engine is None
    words = ["up", "--engine", "docker, go=fork", "--engine", "java=snapshot"]
    assert arguments.parse(words).engine == ["docker", "go=fork", "java=snapshot"]


def options(*words: str) -> argparse.Namespace:
    return arguments.parse(["run", *words])


def test_several_files_are_named_from_the_folder_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "main.py").write_text("import lib.words")
    (tmp_path / "lib" / "words.py").write_bytes(b"\xff")
    names = [str(tmp_path / "main.py"), str(tmp_path / "lib" / "words.py")]
    language, fields = programs.submission(options(*names), names, b"")
    assert (language, fields["entry"]) == ("python", "main.py")
    assert fields["files"] == [
        {"name": "main.py", "content": "import lib.words"},
        {"name": "lib/words.py", "content": base64.b64encode(b"\xff").decode(), "encoding": "base64"},
    ]


def test_a_file_outside_the_first_ones_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    for name in ("app/main.py", "other.py"):
        (tmp_path / name).write_text("")
    names = [str(tmp_path / "app" / "main.py"), str(tmp_path / "other.py")]
    with pytest.raises(programs.BadInput, match="put all under one"):
        programs.submission(options(*names), names, b"")


def test_options_become_the_fields_of_the_contract(tmp_path: Path) -> None:
    file = tmp_path / "main.cpp"
    file.write_text("int main() {}")
    words = f"{file} --timeout 2.5 --memory 128 --version 12 --env A=b=c --arg one --compile-flags=-O2 --priority low"
    given = options(*words.split(), "--", "two", "-x")
    language, fields = programs.submission(given, given.files, b"\x00in")
    del fields["files"]
    assert language == "cpp"
    assert fields == {
        "entry": "main.cpp",
        "timeout": 2.5,
        "memory_limit": 128,
        "version": "12",
        "env": {"A": "b=c"},
        "args": ["one", "two", "-x"],
        "compile_flags": ["-O2"],
        "priority": "low",
        "stdin": base64.b64encode(b"\x00in").decode(),
        "stdin_encoding": "base64",
    }
