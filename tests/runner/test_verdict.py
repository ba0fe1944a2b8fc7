"""What an outcome means: the table of signs, row by row, and what comes before what."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.states import CAUSES, Cause, Verdict
from jobs.submission import Compare
from runner import verdict as verdicts
from runner.engine import Outcome

LIMITS = dict.fromkeys(
    ("timeout", "cpu_seconds", "memory_limit", "output_bytes", "processes", "file_bytes", "compile_seconds"), "so much"
)


def _outcome(**signs: Any) -> Outcome:
    usual: dict[str, Any] = {
        "exit_code": 0,
        "signal": None,
        "stdout": b"",
        "stderr": b"",
        "stdout_truncated": False,
        "stderr_truncated": False,
        "wall_ms": 1.0,
        "cpu_ms": 1.0,
        "memory_peak_bytes": 1,
    }
    return Outcome(**{**usual, **signs})


def _judge(gave_up: bool = False, **signs: Any) -> Verdict:
    return verdicts.judge(_outcome(**signs), lambda code, name, tail: gave_up)


KILLED = {"exit_code": None, "signal": 9}


@pytest.mark.parametrize(
    ("signs", "verdict"),
    [
        ({}, Verdict.OK),
        ({"exit_code": 1}, Verdict.NONZERO_EXIT),
        ({"exit_code": 137}, Verdict.NONZERO_EXIT),
        ({"exit_code": None, "signal": 11}, Verdict.SIGNALLED),
        (KILLED, Verdict.SIGNALLED),
        ({**KILLED, "ran_out_of_wall": True}, Verdict.TIME_LIMIT),
        ({**KILLED, "ran_out_of_cpu": True}, Verdict.CPU_LIMIT),
        ({**KILLED, "ran_out_of_output": True}, Verdict.OUTPUT_LIMIT),
        ({"ran_out_of_output": True}, Verdict.OUTPUT_LIMIT),
        ({**KILLED, "memory_kills": 1}, Verdict.MEMORY_LIMIT),
        ({"exit_code": 1, "memory_kills": 1}, Verdict.MEMORY_LIMIT),
        ({"memory_kills": 3}, Verdict.OK),
        ({"gave_up": True}, Verdict.OK),
        ({"exit_code": 1, "gave_up": True}, Verdict.MEMORY_LIMIT),
        ({"exit_code": 1, "process_refusals": 1}, Verdict.PROCESS_LIMIT),
        ({"process_refusals": 9}, Verdict.OK),
        ({"exit_code": None, "signal": signal.SIGXFSZ}, Verdict.FILE_LIMIT),
        ({"exit_code": 1, "stderr": b"OSError: [Errno 27] File too large"}, Verdict.FILE_LIMIT),
        ({"exit_code": 2, "stderr": b"panic: write big: file too large"}, Verdict.FILE_LIMIT),
        ({"exit_code": 1, "stderr": b"code: 'EFBIG'"}, Verdict.FILE_LIMIT),
        ({"stderr": b"File too large"}, Verdict.OK),
        ({"exit_code": 1, "stderr": b"File too large" + b"x" * 20_000}, Verdict.NONZERO_EXIT),
        ({**KILLED, "ran_out_of_wall": True, "memory_kills": 1}, Verdict.MEMORY_LIMIT),
        ({**KILLED, "ran_out_of_output": True, "memory_kills": 1}, Verdict.OUTPUT_LIMIT),
    ],
)
def test_a_sign_means(signs: dict[str, Any], verdict: Verdict) -> None:
    assert _judge(**signs) is verdict


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_has_a_cause_and_a_sentence(verdict: Verdict) -> None:
    """Only *ok* has neither."""
    said = verdicts.message(verdict, _outcome(exit_code=3), limits=LIMITS)
    assert (said is None) == (verdict is Verdict.OK) == (CAUSES[verdict] is None)
    assert said is None or (said[0].isupper() and said.endswith("."))


@pytest.mark.parametrize("sign", ["ran_out_of_wall", "memory_kills", "ran_out_of_output"])
def test_a_compiler_that_met_a_limit_is_the_limits_fault(sign: str) -> None:
    assert verdicts.cause(Verdict.COMPILE_ERROR, _outcome(**{sign: True})) is Cause.LIMIT
    assert verdicts.cause(Verdict.COMPILE_ERROR, _outcome()) is Cause.PROGRAM


@pytest.mark.parametrize(("number", "name"), [(None, None), (11, "SIGSEGV"), (34, "SIGRTMIN"), (40, "SIG40")])
def test_a_signal_has_its_name(number: int | None, name: str | None) -> None:
    assert verdicts.signal_name(number) == name


@pytest.mark.parametrize(
    ("expected", "actual", "lines", "exact"),
    [
        (b"1\n2\n", b"1\n2\n", True, True),
        (b"1\n2", b"1 \t\r\n2\n\n \n", True, False),
        (b"", b"\n\n", True, False),
        (b"1\n\n2", b"1\n2", False, False),
        (b"a b", b"a  b", False, False),
        (b" a", b"a", False, False),
        (b"a", b"A", False, False),
        (b"\xff", b"\xff\n", True, False),
    ],
)
def test_two_outputs_are_the_same(expected: bytes, actual: bytes, lines: bool, exact: bool) -> None:
    assert verdicts.same(expected, actual, Compare.LINES) is lines
    assert verdicts.same(expected, actual, Compare.EXACT) is exact


@given(st.binary(), st.lists(st.sampled_from([b" ", b"\t", b"\r", b"\n"])))
def test_white_space_at_the_end_never_counts(text: bytes, space: list[bytes]) -> None:
    assert verdicts.same(text, text + b"".join(space), Compare.LINES)
