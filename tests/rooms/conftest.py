"""Sandboxes for this folder's tests, and one program of many actions in each language."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.languages import Language
from jobs.result import Result
from tests.sandboxes import Sandboxes, sandboxes

__all__ = ["act", "sandboxes"]

PROGRAMS = Path(__file__).parent / "programs"
SUFFIX = {"python": "py", "javascript": "js", "java": "java", "go": "go", "cpp": "cpp", "rust": "rs"}


@pytest.fixture
def act(sandboxes: Sandboxes) -> Callable[..., Result]:
    """``act(language, action, **fields)``: the program of that language does it; compiled once for all tests."""

    def do(language: Language | str, action: str, **fields: Any) -> Result:
        code = (PROGRAMS / f"actions.{SUFFIX[language]}").read_text()
        return sandboxes.run(language, code, args=(action,), **fields)

    return do
