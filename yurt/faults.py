"""What goes wrong between a caller and the network, as exceptions.

    jobs.errors.YurtError
    ├── Problem      the network answered, and said no: application/problem+json
    ├── NoNetwork    nobody answers at that address
    └── Untrusted    somebody does, and cannot prove to be the network

What the *program* does wrong is never an exception: it is the execution's ``verdict``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.errors import Fault, YurtError


class Problem(YurtError):
    """The network's refusal: ``status`` as in HTTP, ``faults`` with every field's fault and its cure."""

    def __init__(
        self,
        *,
        status: int,
        title: str,
        detail: str = "",
        request_id: str = "",
        reason: str = "",
        retry_after_s: float | None = None,
        faults: tuple[Fault, ...] = (),
    ) -> None:
        super().__init__(_sentence(title, detail, faults))
        self.status = status
        self.title = title
        self.detail = detail
        self.request_id = request_id
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.faults = faults


class NoNetwork(YurtError):
    """Nobody answers there."""


class Untrusted(YurtError):
    """Whoever answers there cannot prove to be the network, so nothing was sent."""


def problem(status: int, body: Mapping[str, Any], retry_after: str | None) -> Problem:
    """The exception for an answer with an error's status; *body* is its JSON, empty where it had none."""
    errors = body.get("errors")
    return Problem(
        status=status,
        title=str(body.get("title") or f"HTTP status {status}"),
        detail=str(body.get("detail") or ""),
        request_id=str(body.get("request_id") or ""),
        reason=str(body.get("reason") or ""),
        retry_after_s=_seconds(retry_after),
        faults=tuple(_fault(error) for error in errors) if isinstance(errors, list) else (),
    )


def _fault(error: Any) -> Fault:
    fields = error if isinstance(error, dict) else {"problem": str(error)}
    return Fault(
        field=str(fields.get("field", "")), problem=str(fields.get("problem", "")), cure=str(fields.get("cure", ""))
    )


def _seconds(retry_after: str | None) -> float | None:
    try:
        return None if retry_after is None else max(0.0, float(retry_after))
    except ValueError:  # a date; nobody of ours sends one
        return None


def _sentence(title: str, detail: str, faults: tuple[Fault, ...]) -> str:
    if faults:
        return "; ".join(
            f"{fault.field}: {fault.problem}" + (f" ({fault.cure})" if fault.cure else "") for fault in faults
        )
    return detail or title
