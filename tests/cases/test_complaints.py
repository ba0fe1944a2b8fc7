"""What users of services like this one complained of in public, each as a small program with what is right.

A row names the complaint, the programs that show it, one a language, what is sent with them, and what must come back.
Unless a row says otherwise a program ends *ok*. A row with several languages is a complaint about any of them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from jobs.limits import MIB
from jobs.result import CaseResult, Result
from jobs.states import Cause, Verdict
from jobs.submission import Case
from tests.cases import programs as p
from tests.sandboxes import Sandboxes

LIMIT = Cause.LIMIT


@dataclass(frozen=True, kw_only=True)
class Right:
    """What must come back; what is not named is free."""

    verdict: tuple[Verdict, ...] = (Verdict.OK,)
    cause: Cause | None = None
    exit_code: int | None = None
    signal: str | None = None
    stdout: bytes | None = None
    stderr: bytes | None = None
    stdout_like: str = ""
    says: tuple[bytes, ...] = ()  #: in standard error, or by the compiler
    says_not: tuple[bytes, ...] = ()
    cases: tuple[Verdict, ...] = ()
    files: dict[str, bytes] = field(default_factory=dict)
    cpu_ms: tuple[float, float] = (0, 60_000)
    wall_ms: tuple[float, float] = (0, 60_000)
    peak_bytes: tuple[int, int] = (0, 1 << 40)
    truncated: bool = False


@dataclass(frozen=True, kw_only=True)
class Complaint:
    programs: dict[str, Any]  #: language → its code, or its files
    sent: dict[str, Any] = field(default_factory=dict)
    right: Right


OK, BAD, WRONG = Verdict.OK, Verdict.NONZERO_EXIT, Verdict.WRONG_ANSWER

COMPLAINTS: dict[str, Complaint] = {
    # -- text ---------------------------------------------------------------------------------------------------
    "source in other alphabets": Complaint(
        programs=p.ALPHABETS, sent={"stdin": "Łódź 東京🙂\n"}, right=Right(stdout="здравствуй Łódź 東京🙂\n".encode())
    ),
    "output that is no text": Complaint(programs=p.NO_TEXT, right=Right(stdout=b"a \xe3\x28\xff\x00 z\n")),
    "a character that comes in pieces": Complaint(programs=p.PIECES, right=Right(stdout="ś❄雪🧊\n".encode())),
    "a last line without an end": Complaint(
        programs=p.NO_NEWLINE, right=Right(stdout=b"sum: 7", stderr=b"mind the gap")
    ),
    "an exit right after a large print": Complaint(
        programs=p.PRINT_AND_EXIT, right=Right(stdout_like=r"line 39999\n\Z", exit_code=0)
    ),
    "a file saved on Windows": Complaint(programs=p.WINDOWS, right=Right(stdout=b"3 lines\n", stderr=b"")),
    # -- standard input -----------------------------------------------------------------------------------------
    "input that is not there": Complaint(
        programs=p.NO_INPUT, right=Right(verdict=(BAD,), exit_code=1, cause=Cause.PROGRAM, stdout=b"", says=(b"3",))
    ),
    "input whose last line has no end": Complaint(
        programs=p.SUM_OF_LINES, sent={"stdin": "10\n20\n12"}, right=Right(stdout=b"42\n")
    ),
    "input that is never read": Complaint(
        programs=p.DEAF, sent={"stdin": b"nobody wants this\n" * 40_000}, right=Right(stdout=b"deaf\n")
    ),
    "line ends of the input are kept": Complaint(
        programs=p.BYTES_OF_INPUT, sent={"stdin": b"x\r\ny\rz \t\n"}, right=Right(stdout=b"780d0a790d7a20090a\n")
    ),
    # -- how it ended -------------------------------------------------------------------------------------------
    "exit code 137 is no lack of memory": Complaint(
        programs=p.EXIT_137, right=Right(verdict=(BAD,), exit_code=137, cause=Cause.PROGRAM, stdout=b"chosen\n")
    ),
    "a failed assertion is an abort": Complaint(
        programs=p.ASSERTION,
        right=Right(verdict=(Verdict.SIGNALLED,), signal="SIGABRT", cause=Cause.PROGRAM, says=(b"must hold",)),
    ),
    "a division by zero keeps what was written": Complaint(
        programs=p.DIVISION, right=Right(verdict=(Verdict.SIGNALLED,), signal="SIGFPE", stdout=b"so far\n")
    ),
    "a deadlock is reported whole": Complaint(
        programs=p.DEADLOCK,
        right=Right(
            verdict=(BAD,), exit_code=2, stdout=b"waiting\n", says=(b"all goroutines are asleep", b"main.main")
        ),
    ),
    "a quiet way out is quiet": Complaint(
        programs=p.QUIT, right=Right(verdict=(BAD,), exit_code=5, stdout=b"so long\n", stderr=b"")
    ),
    "signals serve as a clock": Complaint(programs=p.TICKS, right=Right(stdout=b"4 ticks\n", exit_code=0)),
    # -- limits -------------------------------------------------------------------------------------------------
    "a sleeper is stopped by the wall clock": Complaint(
        programs=p.SLEEPER,
        sent={"timeout_s": 1.0},
        right=Right(verdict=(Verdict.TIME_LIMIT,), cause=LIMIT, stdout=b"zzz\n", wall_ms=(950, 2500), cpu_ms=(0, 500)),
    ),
    "a busy one too": Complaint(
        programs=p.BUSY,
        sent={"timeout_s": 1.0},
        right=Right(verdict=(Verdict.TIME_LIMIT, Verdict.CPU_LIMIT), cause=LIMIT, wall_ms=(500, 2500)),
    ),
    "waiting is not computing": Complaint(
        programs=p.WAITER, right=Right(stdout=b"rested\n", wall_ms=(290, 3000), cpu_ms=(0, 280))
    ),
    "memory that grows for ever": Complaint(
        programs=p.HOARDER,
        sent={"memory_mb": 128},
        right=Right(verdict=(Verdict.MEMORY_LIMIT,), cause=LIMIT, peak_bytes=(64 * MIB, 130 * MIB)),
    ),
    "the smallest memory is no misconfiguration": Complaint(
        programs=p.HELLO,
        sent={"memory_mb": 64},
        right=Right(verdict=(OK, Verdict.MEMORY_LIMIT), says_not=(b"Invalid", b"Could not create")),
    ),
    "printing for ever keeps the beginning": Complaint(
        programs=p.PRINTER,
        sent={"output_bytes": 50_000},
        right=Right(verdict=(Verdict.OUTPUT_LIMIT,), cause=LIMIT, stdout_like=r"\Atock\ntock\n", truncated=True),
    ),
    "a deep recursion has its stack": Complaint(programs=p.DEEP, right=Right(stdout=b"150000\n")),
    "the peak of a short run is seen": Complaint(
        programs=p.SHORT, right=Right(stdout=b"done\n", peak_bytes=(60 * MIB, 110 * MIB))
    ),
    "forty threads are no crowd": Complaint(programs=p.FORTY, right=Right(stdout=b"780\n", stderr=b"")),
    # -- the room -----------------------------------------------------------------------------------------------
    "devices by their names": Complaint(
        programs=p.DEVICES, sent={"stdin": "in"}, right=Right(stdout=b"in 00 true\nby name\n")
    ),
    "a user with a name and a home": Complaint(programs=p.USER, right=Right(stdout=b"runner /workspace yes\n")),
    "the machine as the runtime sees it": Complaint(programs=p.MACHINE, right=Right(stdout=b"true true 1\n")),
    "it may talk to itself": Complaint(programs=p.ECHO, right=Right(stdout=b"ping\n")),
    "nothing of the service is seen": Complaint(
        programs=p.VARIABLES,
        sent={"env": {"MINE": "a = b"}},
        right=Right(stdout=b"HOME\nLANG\nMINE=a = b\nPATH\nTMPDIR\nUSER\n"),
    ),
    "arguments of every kind": Complaint(
        programs=p.ARGUMENTS,
        sent={"args": ("a b", "", "'\"\\", "$HOME;`ls`*", "--help", "-", "new\nline", "żółw")},
        right=Right(stdout="[a b][]['\"\\][$HOME;`ls`*][--help][-][new\nline][żółw]\n".encode()),
    ),
    "a program reads its own source": Complaint(
        programs=p.OWN_SOURCE, right=Right(stdout=b"def six():\n    return 6\nTrue True\n")
    ),
    "a trace has the program's lines and no others": Complaint(
        programs=p.TRACE,
        right=Right(
            verdict=(BAD,),
            exit_code=1,
            stderr=b"Traceback (most recent call last):\n"
            b'  File "/workspace/main.py", line 3, in <module>\n'
            b"    raise KeyError('k')\n"
            b"KeyError: 'k'\n",
        ),
    ),
    "a script is started as its runtime does it": Complaint(
        programs=p.AS_STARTED, right=Right(stdout=b"true true /workspace 1\n")
    ),
    "no stray descriptors": Complaint(programs=p.DESCRIPTORS, right=Right(stdout=b"0 1 2\n")),
    # -- building -----------------------------------------------------------------------------------------------
    "main is in the second class": Complaint(programs=p.SECOND_CLASS, right=Right(stdout=b"second\n")),
    "a public class of any name": Complaint(programs=p.ANY_NAME, right=Right(stdout=b"named\n")),
    "rarely used packages": Complaint(programs=p.RARE, right=Right(stdout=b"<b></b> 1024 6869\n")),
    "a package of one's own": Complaint(
        programs=p.OWN_PACKAGE, sent={"entry": "main.go"}, right=Right(stdout=b"inner\n")
    ),
    "only a comment": Complaint(
        programs=p.COMMENT,
        right=Right(verdict=(Verdict.COMPILE_ERROR,), cause=Cause.PROGRAM, stdout=b"", stderr=b"", says=(b"main",)),
    ),
    "nothing at all": Complaint(programs=p.NOTHING, right=Right(stdout=b"", stderr=b"")),
    "modules of both kinds": Complaint(
        programs=p.MODULES, sent={"entry": "main.mjs"}, right=Right(stdout=b"7 undefined\n", stderr=b"")
    ),
    # -- judging ------------------------------------------------------------------------------------------------
    "line ends do not decide": Complaint(
        programs=p.PARROT,
        sent={
            "cases": (
                Case(stdin=b"1\r\n2\r\n", expected_output=b"1\n2"),
                Case(stdin=b"1 \n2\n\n\n", expected_output=b"1\n2\n"),
                Case(stdin=b"1\n2", expected_output=b"1\r\n2\r\n"),
            )
        },
        right=Right(cases=(OK, OK, OK)),
    ),
    "a judge is not too kind": Complaint(
        programs=p.PARROT,
        sent={
            "cases": (
                Case(stdin=b"a b\n", expected_output=b"a b"),
                Case(stdin=b"a  b\n", expected_output=b"a b"),
                Case(stdin=b" a b\n", expected_output=b"a b"),
                Case(stdin=b"A b\n", expected_output=b"a b"),
                Case(stdin=b"a\n\nb\n", expected_output=b"a\nb"),
            )
        },
        right=Right(verdict=(WRONG,), cases=(OK, WRONG, WRONG, WRONG, WRONG)),
    ),
    "one case that is too slow spoils no other": Complaint(
        programs=p.SLOW_FOR_TWO,
        sent={
            "timeout_s": 1.0,
            "cases": tuple(Case(stdin=b"%d" % n, expected_output=b"%d" % min(n, 3)) for n in (1, 2, 3, 4)),
        },
        right=Right(verdict=(Verdict.TIME_LIMIT,), cases=(OK, Verdict.TIME_LIMIT, OK, WRONG)),
    ),
    "arguments of a case": Complaint(
        programs=p.QUOTIENT,
        sent={
            "cases": (
                Case(args=("84", "2"), expected_output=b"42"),
                Case(args=("1", "0"), expected_output=b""),
                Case(args=(), expected_output=b""),
            )
        },
        right=Right(verdict=(BAD,), cases=(OK, BAD, BAD)),
    ),
    # -- files --------------------------------------------------------------------------------------------------
    "names that people give to files": Complaint(
        programs=p.NAMES,
        sent={"entry": "main.py", "outputs": ("été *.txt",)},
        right=Right(stdout=b"2\n", files={"été 2.txt": b"two rows"}),
    ),
    "bytes go in and come out": Complaint(
        programs=p.BINARY,
        sent={"entry": "main.rs", "outputs": ("out.bin",)},
        right=Right(stdout=b"6\n", files={"out.bin": base64.b64decode("AP8NCoDD")}),
    ),
    # -- children -----------------------------------------------------------------------------------------------
    "orphans are buried": Complaint(programs=p.ORPHANS, right=Right(stdout=b"0 left\n")),
}


def _rows() -> Iterator[Any]:
    for name, complaint in COMPLAINTS.items():
        for language in complaint.programs:
            yield pytest.param(language, complaint, id=f"{name} ({language})")


@pytest.mark.parametrize(("language", "complaint"), list(_rows()))
def test_a_complaint_does_not_hold(sandboxes: Sandboxes, language: str, complaint: Complaint) -> None:
    program = complaint.programs[language]
    code = {"files": program} if isinstance(program, dict) else {"code": program}
    result = sandboxes.run(language, **{**complaint.sent, **code})
    _check(result, complaint.right)


def _check(result: Result, right: Right) -> None:
    said = result.stderr
    if result.compile is not None:
        said += result.compile.stdout + result.compile.stderr
    assert result.verdict in right.verdict, (result.exit_code, result.signal, said[-2000:])
    for name in ("cause", "exit_code", "signal", "stdout", "stderr"):
        wanted = getattr(right, name)
        if wanted is not None:
            assert getattr(result, name) == wanted, said[-2000:]
    if right.stdout_like:
        assert re.search(right.stdout_like, result.stdout.decode())
    assert all(word in said for word in right.says), said
    assert not any(word in said for word in right.says_not), said
    assert [case.verdict for case in result.cases or ()] == list(right.cases), result.cases
    assert {file.name: file.content for file in result.files or ()} == right.files
    assert right.cpu_ms[0] <= result.usage.cpu_ms <= right.cpu_ms[1]
    assert right.wall_ms[0] <= result.usage.wall_ms <= right.wall_ms[1]
    assert right.peak_bytes[0] <= result.usage.memory_peak_bytes <= right.peak_bytes[1]
    assert result.stdout_truncated == right.truncated
    _agrees(result)


def _agrees(result: Result | CaseResult) -> None:
    """Verdict, exit code and signal tell the same story."""
    if result.verdict is Verdict.OK:
        assert (result.exit_code, result.signal) == (0, None)
    elif result.verdict is Verdict.SIGNALLED:
        assert result.exit_code is None and result.signal
    elif result.verdict is Verdict.NONZERO_EXIT:
        assert result.exit_code and result.signal is None


@pytest.mark.parametrize("language", p.LUCK)
def test_luck_is_new_each_time(sandboxes: Sandboxes, language: str) -> None:
    drawn = {sandboxes.run(language, p.LUCK[language]).stdout for _ in range(4)}
    assert len(drawn) == 4 and b"" not in drawn


def test_no_traces_of_the_last_run(sandboxes: Sandboxes) -> None:
    runs = [sandboxes.run("python", p.MARKS).stdout for _ in range(3)]
    assert runs == [b"[]\n"] * 3
