"""Interactive runs: standard input that stays open, and a pseudo-terminal where one is asked for."""

from __future__ import annotations

import pytest

from jobs.events import Stream
from jobs.languages import Language
from jobs.states import Verdict
from jobs.submission import Terminal
from runner.execute import Execution
from tests.sandboxes import Sandboxes

ASK = """
import os, sys, signal
signal.signal(signal.SIGWINCH, lambda *_: print("now", os.get_terminal_size().lines, flush=True))
print(sys.stdin.isatty(), sys.stdout.isatty(), sys.stderr.isatty(), os.get_terminal_size(), flush=True)
name = input("name? ")
print("hello", name, flush=True)
signal.pause()
rest = sys.stdin.read()
print("then", repr(rest))
"""


def test_a_terminal_is_one_to_the_program_and_can_be_typed_into_and_resized(sandboxes: Sandboxes) -> None:
    """isatty, its size, echo, a prompt without a line end, SIGWINCH, and Ctrl-D."""
    seen = bytearray()

    def watch(execution: Execution, stream: Stream, data: bytes) -> None:
        before = bytes(seen)
        seen.extend(data)
        for sign, then in (
            (b"name? ", lambda: execution.feed(b"ada\n")),
            (b"hello ada", lambda: execution.resize(50, 100)),
            (b"now 50", lambda: execution.feed(b"more\n")),
            (b"more\r\n", lambda: execution.feed(None)),
        ):
            if sign in seen and sign not in before:
                then()

    result = sandboxes.watch(watch, "python", ASK, interactive=True, tty=Terminal(rows=24, cols=80))
    text = result.stdout.decode()
    assert result.verdict is Verdict.OK, result
    assert text.startswith("True True True os.terminal_size(columns=80, lines=24)\r\nname? ada\r\nhello ada\r\n")
    assert text.endswith("now 50\r\nmore\r\nthen 'more\\n'\r\n")
    assert result.stderr == b""


@pytest.mark.parametrize("language", ["javascript", "java", "go", "cpp", "rust"])
def test_every_language_can_have_a_terminal(sandboxes: Sandboxes, language: str) -> None:
    """A line typed is a line read."""
    code = {
        "javascript": "process.stdin.once('data', (d) => {"
        " console.log(process.stdout.isTTY, String(d)); process.exit(); })",
        "java": "public class Main { public static void main(String[] a) {"
        ' System.out.println("true " + new java.util.Scanner(System.in).nextLine()); } }',
        "go": 'package main\nimport "fmt"\nfunc main() { var s string; fmt.Scanln(&s); fmt.Println(true, s) }\n',
        "cpp": "#include <iostream>\n#include <unistd.h>\nint main() { std::string s; std::cin >> s;"
        ' std::cout << std::boolalpha << bool(isatty(1)) << " " << s << "\\n"; }\n',
        "rust": "use std::io::IsTerminal;\nfn main() { let mut s = String::new();"
        " std::io::stdin().read_line(&mut s).unwrap();"
        ' println!("{} {}", std::io::stdout().is_terminal(), s.trim()); }\n',
    }[language]
    result = sandboxes.run(
        Language(language), code, stdin="typed\n", interactive=True, tty=Terminal(rows=24, cols=80), compile_seconds=30
    )
    assert result.verdict is Verdict.OK, result
    assert b"true typed" in result.stdout


def test_input_that_stays_open_is_read_as_it_comes(sandboxes: Sandboxes) -> None:
    """Without a terminal: pipes, and the end of the input when it is said."""
    seen = bytearray()

    def watch(execution: Execution, stream: Stream, data: bytes) -> None:
        seen.extend(data)
        if seen.endswith(b"?\n"):
            execution.feed(b"1\n")
        elif seen.endswith(b"got 1\n"):
            execution.feed(None)

    code = """
import sys
print("?", flush=True)
for line in sys.stdin:
    print("got", line.strip(), flush=True)
print("end")
"""
    result = sandboxes.watch(watch, "python", code, interactive=True)
    assert (result.verdict, result.stdout) == (Verdict.OK, b"?\ngot 1\nend\n")


def test_a_signal_reaches_the_program(sandboxes: Sandboxes) -> None:
    """SIGINT is KeyboardInterrupt to a Python program."""

    def watch(execution: Execution, stream: Stream, data: bytes) -> None:
        if b"ready" in data:
            execution.interrupt(2)

    code = """
import signal
try:
    print("ready", flush=True)
    signal.pause()
except KeyboardInterrupt:
    print("stopped")
"""
    result = sandboxes.watch(watch, "python", code, interactive=True)
    assert (result.verdict, result.stdout) == (Verdict.OK, b"ready\nstopped\n")
