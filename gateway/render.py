"""Executions as JSON: what is stored (exact bytes) becomes what a caller reads (text or base64).

A ``Result`` gives the whole execution; an execution that has not ended has the same fields, null where nothing is known
yet. ``base64``: every output is exact bytes as base64; else undecodable bytes are replaced.
"""

from __future__ import annotations

import base64 as _base64
import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from gateway.feed import Feed
from gateway.placement import told
from jobs.events import Queued, Running
from jobs.result import CaseResult, CompileReport, OutputFile, Result, Usage
from jobs.states import State

# fmt: off
_OF_THE_END = (
    "verdict", "cause", "exit_code", "signal", "message", "stdout", "stderr", "stdout_truncated", "stderr_truncated",
    "compile", "usage",
)
# fmt: on


def dump(value: Any) -> bytes:
    """JSON as compact UTF-8."""
    return _encode(value).encode("utf-8", "replace")


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def moment(ms: int | None) -> str | None:
    """ISO 8601 UTC with milliseconds."""
    if ms is None:
        return None
    return f"{_second(ms // 1000)}.{ms % 1000:03d}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def output(data: bytes, base64: bool) -> str:
    return _base64.b64encode(data).decode() if base64 else data.decode("utf-8", "replace")


def of(feed: Feed, base64: bool = False) -> dict[str, Any]:
    """An execution, as far as it is."""
    return ended(feed.result, base64) if feed.result is not None else unended(feed.id, feed.queued, feed.running)


def ended(result: Result, base64: bool = False) -> dict[str, Any]:
    """An execution that has ended."""
    time = result.timeline
    ran_in = result.region if time.started_at_ms is not None else None
    return {
        "execution_id": result.execution_id,
        "status": result.state.value,
        "language": result.language,
        "version": result.version,
        "variant": result.variant,
        "region": result.region,
        "placement": told(result.queue or result.region, result.placed, ran_in),
        "runner": result.runner,
        "engine": result.engine or None,
        "attempt": result.attempt,
        "verdict": result.verdict,
        "cause": result.cause,
        "exit_code": result.exit_code,
        "signal": result.signal,
        "message": result.message,
        "stdout": output(result.stdout, base64),
        "stderr": output(result.stderr, base64),
        "stdout_truncated": result.stdout_truncated,
        "stderr_truncated": result.stderr_truncated,
        "compile": _compile(result.compile, base64) if result.compile is not None else None,
        "usage": _usage(result.usage),
        "timeline": {
            "created_at": moment(time.created_at_ms),
            "started_at": moment(time.started_at_ms),
            "finished_at": moment(time.finished_at_ms),
            "queued_ms": _ms(time.queued_ms),
            "sandbox_wait_ms": _ms(time.sandbox_wait_ms),
            "compile_ms": _ms(time.compile_ms),
            "run_ms": _ms(time.run_ms),
            "total_ms": _ms(time.total_ms),
        },
        "warm": result.warm,
        "cases": [_case(case, base64) for case in result.cases] if result.cases is not None else None,
        "files": [_file(file) for file in result.files] if result.files is not None else None,
    }


def unended(execution_id: str, queued: Queued | None, running: Running | None) -> dict[str, Any]:
    """An execution that is queued or running: of its end nothing is known, so that is null."""
    version = running.version if running is not None else None
    if version is None and queued is not None and queued.version != "*":
        version = queued.version
    created_at_ms = queued.created_at_ms if queued is not None else None
    started_at_ms = running.started_at_ms if running is not None else None
    ran_in = running.region if running is not None else None
    waited = started_at_ms - created_at_ms if started_at_ms is not None and created_at_ms is not None else None
    return {
        "execution_id": execution_id,
        "status": (State.QUEUED if running is None else State.RUNNING).value,
        "language": queued.language if queued is not None else None,
        "version": version,
        "variant": queued.variant if queued is not None else None,
        "region": ran_in or (queued.region if queued is not None else None),
        "placement": told(queued.region, queued.placed, ran_in) if queued is not None else None,
        "runner": running.runner if running is not None else None,
        "engine": None,
        "attempt": running.attempt if running is not None else None,
        **dict.fromkeys(_OF_THE_END),
        "timeline": {
            "created_at": moment(created_at_ms),
            "started_at": moment(started_at_ms),
            "finished_at": None,
            "queued_ms": waited,
            **dict.fromkeys(("sandbox_wait_ms", "compile_ms", "run_ms", "total_ms")),
        },
        "warm": None,
        "cases": None,
        "files": None,
    }


def _ms(value: float | None) -> float | None:
    return round(value, 3) if value is not None else None


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "wall_ms": round(usage.wall_ms, 3),
        "cpu_ms": round(usage.cpu_ms, 3),
        "memory_peak_bytes": usage.memory_peak_bytes,
    }


def _compile(report: CompileReport, base64: bool) -> dict[str, Any]:
    return {
        "exit_code": report.exit_code,
        "stdout": output(report.stdout, base64),
        "stderr": output(report.stderr, base64),
        **_usage(report.usage),
        "cached": report.cached,
    }


def _case(case: CaseResult, base64: bool) -> dict[str, Any]:
    return {
        "verdict": case.verdict,
        "exit_code": case.exit_code,
        "signal": case.signal,
        "stdout": output(case.stdout, base64),
        "stderr": output(case.stderr, base64),
        "stdout_truncated": case.stdout_truncated,
        "stderr_truncated": case.stderr_truncated,
        "usage": _usage(case.usage),
    }


def _file(file: OutputFile) -> dict[str, Any]:
    try:
        content, encoding = file.content.decode(), "utf8"
    except UnicodeDecodeError:
        content, encoding = _base64.b64encode(file.content).decode(), "base64"
    return {"name": file.name, "size_bytes": len(file.content), "content": content, "encoding": encoding}
