"""The room is the same in what was restored: the tests of ``tests/rooms``, with the snapshot engine behind them."""

import pytest

from jobs.events import Stream
from jobs.languages import Language
from jobs.states import Verdict
from jobs.submission import Terminal
from runner.execute import Execution
from tests.engines.house import is_furnished
from tests.rooms.test_outputs import *  # noqa: F403  # all of them, and those that will be
from tests.rooms.test_terminal import *  # noqa: F403
from tests.rooms.test_the_room import *  # noqa: F403
from tests.rooms.test_the_room import EVERY_LANGUAGE, NETWORK, Act, _report
from tests.sandboxes import Sandboxes


@pytest.fixture(scope="module")
def sandboxes(snapshots: Sandboxes) -> Sandboxes:
    return snapshots


# What follows stands in the place of tests of the same names: gVisor's kernel tells less of a process in /proc, has
# more devices, each its own, other words for a network that is not there, and no signal when a terminal is resized.

GVISOR_HAS = {"fuse", "net", "ptmx", "pts", "tty"}
EHOSTUNREACH = "113"


@EVERY_LANGUAGE
def test_it_starts_in_the_folder_of_its_files_with_the_usual_umask(act: Act, language: Language) -> None:
    seen = _report(act, language)
    assert (seen["cwd"], seen["made"]) == ("/workspace", "755")


def test_signals_are_at_their_defaults_and_none_is_blocked(sandboxes: Sandboxes) -> None:
    """As far as a program can ask: /proc does not say it."""
    program = "import signal as s\nprint(s.pthread_sigmask(0, []), s.getsignal(s.SIGTERM), s.getsignal(s.SIGHUP))"
    assert sandboxes.run("python", program).stdout == b"set() 0 0\n"


@EVERY_LANGUAGE
def test_it_has_no_rights(act: Act, language: Language) -> None:
    seen = _report(act, language)
    for held in ("CapInh", "CapPrm", "CapEff", "CapBnd"):
        assert int(seen[held], 16) == 0
    assert seen["Seccomp"] == "2"
    assert seen["Uid"].split() == seen["Gid"].split() == ["1000"] * 4


@EVERY_LANGUAGE
def test_it_is_told_of_one_cpu(act: Act, language: Language) -> None:
    seen = _report(act, language)
    if language is not Language.JAVASCRIPT:
        assert seen["cpus"] == "1"


def test_the_house_is_furnished(sandboxes: Sandboxes) -> None:
    is_furnished(sandboxes, also=GVISOR_HAS)


def test_what_was_written_before_the_end_is_not_lost(sandboxes: Sandboxes) -> None:
    """But by Node's process.exit(): gVisor writes less into a pipe than it is given, and Node forgets the rest."""
    code = "import os, sys\nsys.stdout.write('x' * 500000)\nsys.stdout.flush()\nos.kill(os.getpid(), 9)"
    result = sandboxes.run("python", code)
    assert (result.signal, len(result.stdout)) == ("SIGKILL", 500_000)


def test_its_network_is_its_own_loopback_and_nothing_else(sandboxes: Sandboxes) -> None:
    result = sandboxes.run("python", NETWORK)
    assert result.stdout.decode().split() == ["b'hello'", "six", "['lo']", *[EHOSTUNREACH] * 4, "no", "names"]


def test_a_terminal_is_one_to_the_program_and_can_be_typed_into_and_resized(sandboxes: Sandboxes) -> None:
    """Its size is another; that it became so is told to nobody."""
    program = """
import os, sys
print(os.isatty(0), os.get_terminal_size(), flush=True)
print("hello", input("name? "), flush=True)
while os.get_terminal_size().lines == 24: pass
print("now", os.get_terminal_size().lines, flush=True)
print("then", repr(sys.stdin.read()))
"""
    seen = bytearray()

    def watch(execution: Execution, stream: Stream, data: bytes) -> None:
        before = bytes(seen)
        seen.extend(data)
        for sign, then in (
            (b"name? ", lambda: execution.feed(b"ada\n")),
            (b"hello ada", lambda: execution.resize(50, 100)),
            (b"now 50", lambda: execution.feed(None)),
        ):
            if sign in seen and sign not in before:
                then()

    result = sandboxes.watch(watch, "python", program, interactive=True, tty=Terminal(rows=24, cols=80))
    assert result.verdict is Verdict.OK, result
    words = "True os.terminal_size(columns=80, lines=24) name? ada hello ada now 50 then ''"
    assert result.stdout.decode().split() == words.split()
