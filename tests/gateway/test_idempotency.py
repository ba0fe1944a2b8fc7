"""The same key is the same execution: at once, later, and through another gateway."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.records import digest, id_of_key
from tests.gateway.conftest import Door, Hire, open_door
from tests.gateway.scripted import hello

KEY = {"Idempotency-Key": "order-66"}
BODY = {"language": "python", "code": "print(1)"}


async def submit(door: Door, body: dict[str, Any] = BODY, query: str = "", key: str = "order-66") -> tuple[int, Any]:
    return await door.call("POST", f"/api/v1/execute{query}", json=body, headers={"Idempotency-Key": key})


async def test_a_repeat_is_the_same_execution_and_runs_once(nats_server: Any, door: Door, hire: Hire) -> None:
    """While it is queued, after it has ended, at once from many sides, and at a gateway started later."""
    runner = await hire(hello)
    answers = await asyncio.gather(*(submit(door) for _ in range(10)))
    identities = {accepted["execution_id"] for status, accepted in answers if status == 202}
    assert len(identities) == 1
    status, execution = await submit(door, query="?wait=true")
    assert (status, execution["execution_id"]) == (200, *identities)
    async with open_door(nats_server.url, door.region.name) as second:
        status, execution = await submit(second, query="?wait=true")
        assert (status, execution["execution_id"], execution["stdout"]) == (200, *identities, "hello\n")
    assert len(runner.jobs) == 1


async def test_the_same_key_with_another_body_is_a_conflict(door: Door, hire: Hire) -> None:
    """White space and the order of names are not another body."""
    await hire(hello)
    await submit(door, query="?wait=true")
    status, _ = await submit(door, {"code": "print(1)", "language": "python"})
    assert status == 202
    status, problem = await submit(door, {**BODY, "code": "print(2)"})
    assert (status, problem["type"]) == (409, "/docs#conflict")


async def test_a_key_that_is_none_is_refused(door: Door) -> None:
    status, problem = await submit(door, key="x" * 256)
    assert (status, problem["errors"][0]["field"]) == (422, "Idempotency-Key")


@given(st.text(), st.text(), st.text())
def test_ids_of_keys_are_apart_by_user_and_by_key(user: str, key: str, other: str) -> None:
    assert id_of_key(user, key) == id_of_key(user, key)
    assert id_of_key(user, key) != id_of_key(user, key, kind="batch")
    assert (id_of_key("u", key) == id_of_key("u", other)) is (key == other)


def test_the_digest_is_of_what_was_said_not_how() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})
