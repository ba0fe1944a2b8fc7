"""What people complained of that should never have been taken: every fault is named at once."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import intake
from jobs.errors import InvalidSubmission


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"language": "python", "code": "", "timeout": 90, "memory_limit": 1 << 20}, {"timeout", "memory_limit"}),
        (
            {"language": "phyton", "stdin": 7, "args": "one two", "walltime": 3},
            {"language", "code", "stdin", "args", "walltime"},
        ),
        ({"language": "go", "code": "x", "args": ["a\0b"], "env": {"A": "b\0c"}}, {"args", "env"}),
        ({"language": "go", "code": "x", "files": [], "limits": {"processes": 10**6}}, {"limits.processes"}),
    ],
)  # fmt: skip
def test_every_fault_is_named(body: dict[str, Any], fields: set[str]) -> None:
    with pytest.raises(InvalidSubmission) as refused:
        intake.submission(body, intake.Known())
    named = {fault.field.split("[")[0] for fault in refused.value.faults}
    named |= {fault.field.rpartition(".")[2] for fault in refused.value.faults} | {
        f.field for f in refused.value.faults
    }
    assert {name for name in fields if name not in named and name.rpartition(".")[2] not in named} == set()


def test_an_empty_program_is_a_program() -> None:
    assert intake.submission({"language": "python", "code": ""}, intake.Known()).code == b""
