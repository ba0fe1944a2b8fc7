"""Attacks run in sandboxes; after each of them the next person's program must work as if nothing had been."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from jobs.result import Result
from jobs.states import State
from tests.sandboxes import Sandboxes, sandboxes

__all__ = ["attack", "sandboxes"]

Attack = Callable[..., Result]


@pytest.fixture
def attack(sandboxes: Sandboxes) -> Attack:
    """``attack(code, language="python", **fields)``: its result, which must come within its deadlines."""

    def do(code: str | None, language: str = "python", **fields: Any) -> Result:
        result = attacked(sandboxes, code, language, fields)
        after = sandboxes.run("python", "import os; print('hello', len(os.listdir('/tmp')))")
        assert after.stdout == b"hello 0\n", (after.verdict, after.stderr)
        return result

    return do


def attacked(sandboxes: Sandboxes, code: str | None, language: str, fields: dict[str, Any]) -> Result:
    fields = {"timeout_s": 1.5, "memory_mb": 96, **fields}
    began = time.monotonic()
    result = sandboxes.run(language, code, **fields)
    took = time.monotonic() - began
    assert result.state is State.COMPLETED and result.verdict is not None
    assert took < fields["timeout_s"] + 5 + (result.timeline.compile_ms or 0) / 1000, f"it took {took:.1f} s"
    return result
