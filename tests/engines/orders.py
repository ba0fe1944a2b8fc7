"""What tests of the engines themselves tell a sandbox of Python to do."""

from __future__ import annotations

from typing import Any

from jobs.limits import DEFAULTS, MIB
from runner.engine import Order, PlacedFile
from runner.languages.contract import ENVIRONMENT


def order(code: str, *, stdin: bytes | None = b"", wall_s: float = 10.0) -> Order:
    """Go on with this program, within the usual limits."""
    return Order(
        files=(PlacedFile(path="/workspace/main.py", content=code.encode()),),
        goes_on=True,
        env=ENVIRONMENT,
        stdin=stdin,
        wall_s=wall_s,
        memory_bytes=256 * MIB,
        limits=DEFAULTS,
        output_bytes=MIB,
    )


def nothing(*_: Any) -> None:
    """No listener."""
