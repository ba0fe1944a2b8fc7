"""What ``yurt run`` exits with stands for how the execution ended."""

from __future__ import annotations

from typing import Any, cast

import pytest

from jobs.states import FINAL, State, Verdict
from yurt.answers import Execution
from yurt.commands import exits


def execution(**fields: Any) -> Execution:
    whole = {"status": "completed", "verdict": "ok", "exit_code": 0, "signal": None, **fields}
    return cast(Execution, whole)


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_an_exit_code_and_only_ok_has_zero(verdict: Verdict) -> None:
    code = exits.of(execution(verdict=verdict.value, exit_code=None if verdict is Verdict.SIGNALLED else 0))
    assert (code == 0) == (verdict is Verdict.OK)


@pytest.mark.parametrize("state", sorted(FINAL - {State.COMPLETED}))
def test_an_execution_that_did_not_complete_is_never_zero(state: State) -> None:
    assert exits.of(execution(status=state.value, verdict=None, exit_code=None)) != 0


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"verdict": "nonzero_exit", "exit_code": 7}, 7),
        ({"verdict": "nonzero_exit", "exit_code": 255}, 255),
        ({"verdict": "signalled", "exit_code": None, "signal": "SIGSEGV"}, 139),
        ({"verdict": "signalled", "exit_code": None, "signal": "SIGRTMIN+2"}, 164),
        ({"verdict": "time_limit", "exit_code": None, "signal": "SIGKILL"}, 124),
        ({"verdict": "memory_limit", "exit_code": 1}, 137),
        ({"verdict": "compile_error", "exit_code": None}, 65),
        ({"verdict": "file_limit", "exit_code": 3}, 3),
        ({"verdict": "process_limit", "exit_code": 0}, 1),
    ],
)
def test_the_program_speaks_for_itself_and_limits_speak_over_it(fields: dict[str, Any], code: int) -> None:
    assert exits.of(execution(**fields)) == code
