"""The contract as OpenAPI 3.1, made of the numbers in ``jobs.limits`` and the words in ``jobs.states``."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from gateway.placement import Why
from gateway.problems import TABLE
from jobs import limits
from jobs.events import Stream
from jobs.languages import Language
from jobs.states import Cause, Priority, State, Verdict
from jobs.submission import Compare

Schema = dict[str, Any]


@cache
def document() -> bytes:
    """``/openapi.json``"""
    return json.dumps(contract(), indent=1).encode()


@cache
def contract() -> Schema:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Yurt",
            "version": "1",
            "description": "A code-execution network: programs in six languages, run sealed, near the user, each "
            "answered exactly once. Fields may be added; none is renamed, retyped or dropped. Times are ISO 8601 UTC, "
            "durations carry their unit in the name, sizes are bytes unless the name says otherwise; MB is 2^20 bytes.",
        },
        "paths": _paths(),
        "components": {"schemas": _schemas()},
    }


def _text(description: str, **more: Any) -> Schema:
    return {"type": "string", "description": description, **more}


def _integer(description: str, least: int, default: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "default": default, "maximum": most, "description": description}


def _number(description: str, least: float, default: float | None, most: float) -> Schema:
    schema = {"type": "number", "minimum": least, "maximum": most, "description": description}
    return schema if default is None else {**schema, "default": default}


def _list(items: Schema, description: str, most: int | None = None) -> Schema:
    schema = {"type": "array", "items": items, "description": description}
    return schema if most is None else {**schema, "maxItems": most}


def _object(properties: dict[str, Schema], description: str, required: tuple[str, ...] = ()) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _null_or(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _words(words: Any, description: str) -> Schema:
    return {"type": "string", "enum": [str(word) for word in words], "description": description}


_ENCODING = {"type": "string", "enum": ["utf8", "base64"], "default": "utf8"}


def _submission() -> Schema:
    least, default, most = limits.LEAST, limits.DEFAULTS, limits.WIDEST
    file = _object(
        {"name": _text("relative, no .."), "content": _text("the content"), "encoding": _ENCODING},
        "",
        ("name", "content"),
    )
    case = _object(
        {
            "stdin": _text("the case's input; left out: the submission's"),
            "expected_output": _text("what it must print; left out: anything"),
            "args": _list({"type": "string"}, "left out: the submission's"),
            "encoding": _ENCODING,
        },
        "",
    )
    bounds = _object(
        {
            "cpu_seconds": _number("CPU time; default: timeout", least.cpu_seconds, None, most.cpu_seconds),
            "output_bytes": _integer("both streams", least.output_bytes, default.output_bytes, most.output_bytes),
            "processes": _integer("threads count", least.processes, default.processes, most.processes),
            "file_bytes": _integer("a file", least.file_bytes, default.file_bytes, most.file_bytes),
            "compile_seconds": _number("", least.compile_seconds, default.compile_seconds, most.compile_seconds),
        },
        "what one run may use",
    )
    cells = _integer("", 1, 24, 1000)
    return _object(
        {
            "language": _text(f"{', '.join(Language)}, or an alias"),
            "version": _text("a prefix of an installed version, or *", default="*"),
            "variant": _text("an installed set of libraries"),
            "code": _text("one source file; this or files"),
            "files": _list(file, "several source files, in one folder", limits.FILES),
            "entry": _text("the file to start; default: the first"),
            "stdin": _text("standard input", default=""),
            "stdin_encoding": _ENCODING,
            "args": _list({"type": "string"}, "arguments", limits.ARGS),
            "env": {"type": "object", "additionalProperties": {"type": "string"}, "description": "variables"},
            "timeout": _number("wall seconds of the run", *limits.TIMEOUT_S),
            "memory_limit": _integer("MB", *limits.MEMORY_MB),
            "limits": bounds,
            "compile_flags": _list({"type": "string"}, "from the language's allow list", limits.COMPILE_FLAGS),
            "cases": _list(case, "compile once, run each, judge each", limits.CASES),
            "compare": {**_words(Compare, "how cases are compared"), "default": "lines"},
            "outputs": _list({"type": "string"}, "globs of files to bring back", limits.OUTPUT_GLOBS),
            "priority": {**_words(Priority, "which queue"), "default": "normal"},
            "region": _text(
                "where it is queued. auto: home, or the nearest healthy region while home is away or has no runner for "
                "the language; home; or the name of a region that GET /api/v1/regions lists",
                default="auto",
            ),
            "webhook": _object({"url": _text(""), "secret_name": _text("")}, "not served yet: refused"),
            "interactive": {"type": "boolean", "default": False, "description": "stdin stays open for the WebSocket"},
            "tty": _object({"rows": cells, "cols": {**cells, "default": 80}}, "a pseudo-terminal; with interactive"),
        },
        "One program with everything it needs: exactly one of code and files. Unknown fields are refused.",
        ("language",),
    )


def _schemas() -> dict[str, Schema]:
    text, number, count = _null_or({"type": "string"}), _null_or({"type": "number"}), {"type": "integer"}
    usage = {"wall_ms": {"type": "number"}, "cpu_ms": {"type": "number"}, "memory_peak_bytes": count}
    verdict = _null_or(_words(Verdict, "what the program did; null until completed"))
    ran = {"exit_code": _null_or(count), "stdout": text, "stderr": text}
    moments = dict.fromkeys(("created_at", "started_at", "finished_at"), text)
    durations = dict.fromkeys(("queued_ms", "sandbox_wait_ms", "compile_ms", "run_ms", "total_ms"), number)
    placement = _object(
        {
            "region": _text("whose queue it lies, or lay, in"),
            "reason": _words(Why, "why that one; overflow: an idle runner of another region took it from there"),
            "ran_in": _null_or(_text("where it runs or ran; null until it does")),
        },
        "where and why",
    )
    execution = {
        "execution_id": {"type": "string"},
        "status": _words(State, "what the platform did"),
        "language": text,
        "version": text,
        "variant": text,
        "region": _null_or(_text("where it ran; before that, whose queue it lies in")),
        "placement": _null_or(placement),
        "runner": text,
        "engine": _null_or(
            _text("what its sandboxes were: fork, docker-runc, docker-runsc, snapshot; null until it ends")
        ),
        "attempt": _null_or(count),
        "verdict": verdict,
        "cause": _null_or(_words(Cause, "whose fault it is; null for ok")),
        **ran,
        "signal": text,
        "message": text,
        "stdout_truncated": _null_or({"type": "boolean"}),
        "stderr_truncated": _null_or({"type": "boolean"}),
        "compile": _null_or(_object({**ran, **usage, "cached": {"type": "boolean"}}, "what the compiler said")),
        "usage": _null_or(_object(usage, "of the run alone")),
        "timeline": _object({**moments, **durations}, "where the time went"),
        "warm": _null_or({"type": "boolean"}),
        "cases": _null_or(
            _list(_object({"verdict": verdict, **ran, "signal": text, "usage": _object(usage, "")}, ""), "each case")
        ),
        "files": _null_or(
            _list(
                _object({"name": text, "size_bytes": count, "content": text, "encoding": _ENCODING}, ""), "brought back"
            )
        ),
    }
    accepted = {
        "execution_id": {"type": "string"},
        "status": _words(State, ""),
        "websocket_url": {"type": "string"},
        "estimated_wait_ms": count,
        "region": _text("whose queue it lies in"),
        "placement": placement,
    }
    region = {
        "region": {"type": "string"},
        "healthy": {"type": "boolean", "description": "jobs can be taken there, and a runner is there to run them"},
        "rtt_ms": number,
        "queue_depth": {"type": "integer", "description": "jobs that wait"},
        "running": count,
        "runners": {"type": "integer", "description": "living ones"},
        "home": {"type": "boolean", "description": "the region of this gateway"},
        "url": _text("its regional endpoint; empty where it is not known"),
        "why": _null_or(_text("what is wrong there; null where nothing is")),
    }
    fault = _object({"field": _text(""), "problem": _text(""), "cure": _text("")}, "")
    return {
        "Submission": _submission(),
        "Accepted": _object(accepted, "it is queued, durably"),
        "Execution": {"type": "object", "properties": execution, "description": "one execution, as far as it is"},
        "Region": _object(region, "a region, as this gateway last saw it"),
        "Problem": {
            "type": "object",
            "description": "RFC 9457; for 422 with every fault at once",
            "properties": {
                "type": _text(""),
                "title": _text(""),
                "status": count,
                "detail": _text(""),
                "request_id": _text(""),
                "errors": _list(fault, "each with the field, the problem and the cure"),
                "reason": _text("of a 429: queue_full, user_concurrency or user_rate"),
            },
        },
    }


def _parameter(name: str, where: str, description: str) -> Schema:
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "description": description,
        "schema": {"type": "string"},
    }


_WAIT = _parameter(
    "wait", "query", f"true, or seconds up to {limits.WAIT_S:g}: answer 200 with the execution once it has ended"
)
_ENCODED = _parameter("encoding", "query", "base64: outputs as exact bytes; default: text")
_ID = _parameter("id", "path", "the id")
_FROM = _parameter("from", "query", "the first number of output that is wanted; default 1")
_LIMIT = _parameter("limit", "query", "so many in one page: 1 to 500, default 50")
_CURSOR = _parameter("cursor", "query", "the next_cursor of the page before")
_STATUS = _parameter("status", "query", f"only those that are {', '.join(State)}")
_KEY = _parameter("Idempotency-Key", "header", "a repeat with the same key is the same execution")
_ATTEMPT = _parameter(
    "Idempotency-Attempt", "header", "1: the key is new, so that other regions need not be asked for it"
)
_JSON = "application/json"


def _answer(description: str, schema: Schema | None = None) -> Schema:
    return (
        {"description": description}
        if schema is None
        else {"description": description, "content": {_JSON: {"schema": schema}}}
    )


def _operation(
    summary: str, answers: dict[str, Schema], parameters: tuple[Schema, ...] = (), body: Schema | None = None
) -> Schema:
    problem = {"description": "a problem", "content": {"application/problem+json": {"schema": _ref("Problem")}}}
    operation: Schema = {
        "summary": summary,
        "parameters": list(parameters),
        "responses": {**answers, "default": problem},
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": body}}}
    return operation


def _paths() -> Schema:
    accepted, execution = _answer("queued", _ref("Accepted")), _answer("the execution", _ref("Execution"))
    streams = ", ".join(Stream)
    follow = f"A status at once and at each change, numbered output ({streams}), then complete."
    batch = _object({"executions": _list(_ref("Submission"), "", limits.BATCH)}, "", ("executions",))
    return {
        "/api/v1/execute": {
            "post": _operation(
                "Submit a program",
                {"202": accepted, "200": execution},
                (_WAIT, _ENCODED, _KEY, _ATTEMPT),
                _ref("Submission"),
            )
        },
        "/api/v1/executions": {
            "get": _operation(
                "One's executions, newest first",
                {"200": _answer("a page: executions and next_cursor")},
                (_LIMIT, _CURSOR, _STATUS),
            )
        },
        "/api/v1/executions/{id}": {
            "get": _operation("Read an execution", {"200": execution}, (_ID, _ENCODED)),
            "delete": _operation("Cancel an execution; 409 once it has ended", {"202": _answer("it will end")}, (_ID,)),
        },
        "/api/v1/executions/{id}/events": {
            "get": _operation(
                f"Follow by Server-Sent Events. {follow} Last-Event-ID resumes.",
                {"200": {"description": "the events", "content": {"text/event-stream": {}}}},
                (_ID, _FROM, _ENCODED),
            )
        },
        "/ws/execution/{id}": {
            "get": _operation(
                f"Follow by WebSocket. {follow} Then close 1000; 4004 unknown, 4008 too slow a reader. "
                "The client may send stdin, stdin_eof, signal and resize to an interactive execution.",
                {"101": _answer("switched to WebSocket")},
                (_ID, _FROM, _ENCODED),
            )
        },
        "/api/v1/batches": {
            "post": _operation("Submit many", {"202": _answer("ids in order")}, (_KEY, _ATTEMPT), batch)
        },
        "/api/v1/batches/{id}": {
            "get": _operation("Read a batch", {"200": _answer("states and results")}, (_ID, _ENCODED))
        },
        "/api/v1/languages": {"get": _operation("What can be run", {"200": _answer("a row a version")})},
        "/api/v1/regions": {
            "get": _operation(
                "Where it can run: home first, then the others, nearest first",
                {"200": _answer("a row a region", {"type": "array", "items": _ref("Region")})},
            )
        },
        "/healthz": {"get": _operation("Whether the process lives", {"200": _answer("it does")})},
        "/readyz": {
            "get": _operation(
                "Whether jobs are taken, at home or by a neighbour", {"200": _answer("yes"), "503": _answer("not now")}
            )
        },
        "/metrics": {"get": _operation("Prometheus", {"200": _answer("the metrics")})},
    }


def problems() -> list[tuple[str, int, str]]:
    """Slug, status and title of each problem, for the readable docs."""
    return [(row.slug, row.status, row.title) for row in TABLE.values()]
