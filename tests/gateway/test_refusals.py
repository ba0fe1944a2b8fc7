"""What is refused, how, and that nothing was accepted."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway.problems import TABLE
from jobs import errors
from jobs.limits import BODY_BYTES
from tests.conftest import NatsServer
from tests.gateway.conftest import Door, Hire, comes_true, open_door, set_up

HELLO = {"language": "python", "code": "print(1)"}


async def raw(door: Door, request: bytes, *, most: int = 65536) -> tuple[int, dict[str, str], Any]:
    """What is answered to these very bytes, of which the rest may never come."""
    host, port = door.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = head.split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
        return int(lines[0].split()[1]), headers, json.loads(body) if body else None
    finally:
        writer.close()


def head(*lines: str) -> bytes:
    return ("\r\n".join(("POST /api/v1/execute HTTP/1.1", "Host: here", *lines)) + "\r\n\r\n").encode()


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(door: Door) -> None:
    """By its length alone: not a byte of it was sent."""
    status, headers, problem = await raw(
        door, head("Content-Type: application/json", f"Content-Length: {BODY_BYTES + 1}")
    )
    assert status == 413
    assert headers["content-type"].startswith("application/problem+json")
    assert problem["status"] == 413
    assert problem["request_id"]


async def test_a_body_that_is_too_large_is_not_asked_for(door: Door) -> None:
    """``Expect: 100-continue`` is answered 413, without a 100 before it."""
    length = f"Content-Length: {BODY_BYTES + 1}"
    status, _, _ = await raw(door, head("Content-Type: application/json", length, "Expect: 100-continue"))
    assert status == 413


async def test_a_chunked_body_is_refused_once_it_is_too_large(door: Door) -> None:
    """No length is given; it is cut off at the bound."""

    async def endless() -> Any:
        for _ in range(BODY_BYTES // (1 << 18) + 2):
            yield b" " * (1 << 18)

    status, problem = await door.call(
        "POST", "/api/v1/execute", data=endless(), headers={"Content-Type": "application/json"}
    )
    assert (status, problem["status"]) == (413, 413)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"print(1)", b"[1, 2]", b'"text"', b"null", b'{"code": NaN}', b'{"a": Infinity}', b"\xff\xfe",
     b"\xef\xbb\xbf{}",
     b'{"code": "a", "code": "b"}', b"[" * 100_000, b"9" * 10_000, '{"code": "x"}'.encode("utf-16")],
)  # fmt: skip
async def test_what_is_no_json_object_is_400(door: Door, body: bytes) -> None:
    """Whatever it is instead."""
    status, problem = await door.call(
        "POST", "/api/v1/execute", data=body, headers={"Content-Type": "application/json"}
    )
    assert (status, problem["type"]) == (400, "/docs#not-json")
    assert problem["detail"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_another_kind_of_body_is_415(door: Door, kind: str) -> None:
    status, problem = await door.call("POST", "/api/v1/execute", data=json.dumps(HELLO), headers={"Content-Type": kind})
    assert status == 415
    assert "application/json" in problem["detail"]


async def test_a_body_of_no_kind_is_415(door: Door) -> None:
    """A browser sends such a body across sites without asking: it must not start a program."""
    status, _, problem = await raw(door, head("Content-Length: 2") + b"{}")
    assert (status, problem["status"]) == (415, 415)


async def test_all_faults_come_at_once_with_field_problem_and_cure(door: Door) -> None:
    """The caller mends them in one go."""
    wrong = {"language": "pyhton", "code": 5, "stdin": ["x"], "wall_limit": 3, "args": "a b", "timeout": 60}
    status, problem = await door.call("POST", "/api/v1/execute", json=wrong)
    assert (status, problem["title"]) == (422, "Some fields are not as they must be")
    assert {fault["field"] for fault in problem["errors"]} == wrong.keys()
    assert all(fault["problem"] and fault["cure"] for fault in problem["errors"])
    language = next(fault for fault in problem["errors"] if fault["field"] == "language")
    assert "did you mean python?" in language["cure"]
    assert "rust" in language["cure"]


async def test_half_a_surrogate_pair_is_a_fault_and_the_answer_is_still_json(door: Door) -> None:
    """Such a string has no UTF-8, in a value as in a name."""
    body = b'{"language": "python", "code": "\\ud800", "stdin": "\\udfff", "\\ud801": 1}'
    status, problem = await door.call(
        "POST", "/api/v1/execute", data=body, headers={"Content-Type": "application/json"}
    )
    assert status == 422
    assert {fault["field"] for fault in problem["errors"]} == {"code", "stdin", "\\ud801"}


@pytest.mark.parametrize(
    "query", ["wait=maybe", "wait=61", "wait=-1", "wait=nan", "encoding=rot13", "wiat=true", "encoding=base64&x=1"]
)
async def test_a_query_that_is_not_understood_is_422(door: Door, query: str) -> None:
    status, problem = await door.call("POST", f"/api/v1/execute?{query}", json=HELLO)
    assert (status, len(problem["errors"])) == (422, 1)


async def test_a_wrong_method_is_405_and_a_wrong_path_404(door: Door) -> None:
    """Both as problems; 405 says what is served there."""
    async with door.client.get(f"{door.url}/api/v1/execute") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
        assert (await answer.json(content_type=None))["status"] == 405
    status, problem = await door.call("GET", "/api/v2/execute")
    assert (status, problem["type"]) == (404, "/docs#not-found")


async def test_the_caller_s_request_id_comes_back(door: Door) -> None:
    """A plain word does; anything else is replaced."""
    for given, kept in (("my-request.1", True), ("no spaces", False)):
        async with door.client.get(f"{door.url}/nothing", headers={"X-Request-Id": given}) as answer:
            told = (await answer.json(content_type=None))["request_id"]
            assert told == answer.headers["X-Request-Id"]
            assert (told == given) is kept


async def test_a_full_queue_is_429_with_a_reason_and_when_to_come_back(door: Door, bus: Any) -> None:
    """The queue's own bound says no; what was accepted before stays."""
    stream = f"JOBS_{door.region.name.upper()}_STANDARD"
    config = (await bus.api(f"STREAM.INFO.{stream}"))["config"]
    await bus.api(f"STREAM.UPDATE.{stream}", {**config, "max_msgs": 2})
    answers = [await door.submit() for _ in range(3)]
    assert [status for status, _ in answers] == [202, 202, 429]
    assert answers[2][1]["reason"] == "queue_full"
    async with door.client.post(f"{door.url}/api/v1/execute", json=HELLO) as answer:
        assert 1 <= int(answer.headers["Retry-After"]) <= 60


async def test_without_nats_it_is_503_at_once_and_afterwards_all_is_well(
    own_nats_server: NatsServer, region_name: str
) -> None:
    """Nothing was accepted, nothing hangs; ready says no, alive says yes; and it comes back by itself."""
    await set_up(own_nats_server.url, region_name)
    async with open_door(own_nats_server.url, region_name) as door:
        status, accepted = await door.submit()
        assert status == 202
        own_nats_server.stop()
        async with asyncio.timeout(5):
            status, problem = await door.submit("?wait=true")
        assert (status, problem["type"]) == (503, "/docs#unavailable")
        assert (await door.call("GET", "/healthz"))[0] == 200
        assert (await door.call("GET", "/readyz"))[0] == 503
        own_nats_server.start()
        await comes_true(lambda: is_accepted(door))
        status, execution = await door.call("GET", f"/api/v1/executions/{accepted['execution_id']}")
        assert (status, execution["status"]) == (200, "queued")


async def is_accepted(door: Door) -> bool:
    return (await door.submit())[0] == 202


async def test_an_error_of_ours_shows_nothing_of_the_inside(
    door: Door, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500, a request id, and no text of the exception."""
    from gateway import intake

    def breaks(*_: object, **__: object) -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr(intake, "submission", breaks)
    status, problem = await door.submit()
    assert (status, problem["title"]) == (500, "An error of ours")
    assert "secret" not in json.dumps(problem)


def test_every_error_that_a_caller_can_cause_has_a_row() -> None:
    """A new leaf of the tree is answered on purpose."""
    assert set(errors.CallerFault.__subclasses__()) <= TABLE.keys()
    assert errors.Unavailable in TABLE
