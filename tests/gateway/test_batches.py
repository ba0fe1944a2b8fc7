"""Many submissions in one call."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.gateway.conftest import Door, Hire, open_door
from tests.gateway.scripted import Told


async def prints_its_code(told: Told) -> None:
    await told.running()
    await told.prints(told.job.submission.code or b"")
    await told.ends()


def batch(*codes: str) -> dict[str, Any]:
    return {"executions": [{"language": "python", "code": code} for code in codes]}


async def ended(door: Door, identity: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            status, read = await door.call("GET", f"/api/v1/batches/{identity}")
            assert status == 200
            if read["status"] == "completed":
                return read  # type: ignore[no-any-return]


async def test_a_batch_is_accepted_with_ids_in_order_and_read_by_any_gateway(
    nats_server: Any, door: Door, hire: Hire
) -> None:
    """Also by one that was started after it."""
    await hire(prints_its_code)
    codes = [str(number) for number in range(100)]
    status, accepted = await door.call("POST", "/api/v1/batches", json=batch(*codes))
    assert status == 202
    assert len(set(accepted["execution_ids"])) == 100
    async with open_door(nats_server.url, door.region.name) as second:
        read = await ended(second, accepted["batch_id"])
    assert [execution["execution_id"] for execution in read["executions"]] == accepted["execution_ids"]
    assert [execution["stdout"] for execution in read["executions"]] == codes
    assert read["counts"] == {"completed": 100}


async def test_one_fault_refuses_the_whole_batch(door: Door, hire: Hire) -> None:
    """All or nothing: the good ones were not queued either."""
    runner = await hire(prints_its_code)
    body = batch("a", "b")
    body["executions"][1]["timeout"] = 99
    status, problem = await door.call("POST", "/api/v1/batches", json=body)
    assert status == 422
    assert [fault["field"] for fault in problem["errors"]] == ["executions[1].timeout"]
    await door.submit("?wait=true", code="last")
    assert [job.submission.code for job in runner.jobs] == [b"last"]


async def test_a_batch_that_finds_no_room_is_429_as_a_whole(door: Door, bus: Any) -> None:
    stream = f"JOBS_{door.region.name.upper()}_STANDARD"
    bound = door.region.queues.standard
    await bus.api(f"STREAM.UPDATE.{stream}", {**(await bus.api(f"STREAM.INFO.{stream}"))["config"], "max_msgs": 1})
    assert bound > 1
    status, problem = await door.call("POST", "/api/v1/batches", json=batch("a", "b"))
    assert status == 202, "room for one: the other ends failed, and the batch says so"
    read = await ended_one(door, problem["batch_id"], "failed")
    assert sorted(execution["status"] for execution in read["executions"]) == ["failed", "queued"]
    status, problem = await door.call("POST", "/api/v1/batches", json=batch("a", "b"))
    assert (status, problem["reason"]) == (429, "queue_full")


async def ended_one(door: Door, identity: str, state: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            _, read = await door.call("GET", f"/api/v1/batches/{identity}")
            if state in read["counts"]:
                return read  # type: ignore[no-any-return]


async def test_a_repeated_key_is_the_same_batch(door: Door, hire: Hire) -> None:
    await hire(prints_its_code)
    key = {"Idempotency-Key": "batch-1"}
    _, first = await door.call("POST", "/api/v1/batches", json=batch("a", "b"), headers=key)
    status, again = await door.call("POST", "/api/v1/batches", json=batch("a", "b"), headers=key)
    assert (status, again["execution_ids"]) == (202, first["execution_ids"])
    status, _ = await door.call("POST", "/api/v1/batches", json=batch("a", "c"), headers=key)
    assert status == 409


async def test_a_batch_that_found_no_room_is_queued_when_it_is_repeated_later(door: Door, bus: Any) -> None:
    """The key was used, but nothing was accepted: the repeat is no empty promise."""
    stream = f"JOBS_{door.region.name.upper()}_STANDARD"
    config = (await bus.api(f"STREAM.INFO.{stream}"))["config"]
    key = {"Idempotency-Key": "later"}
    await bus.api(f"STREAM.UPDATE.{stream}", {**config, "max_msgs_per_subject": 1})
    assert (await door.submit())[0] == 202
    assert (await door.call("POST", "/api/v1/batches", json=batch("a", "b"), headers=key))[0] == 429
    await bus.api(f"STREAM.UPDATE.{stream}", config)
    status, accepted = await door.call("POST", "/api/v1/batches", json=batch("a", "b"), headers=key)
    assert status == 202
    read = await ended_one(door, accepted["batch_id"], "queued")
    assert read["counts"] == {"queued": 2}
    assert (await bus.api(f"STREAM.INFO.{stream}"))["state"]["messages"] == 3


async def test_an_unknown_batch_is_not_found(door: Door) -> None:
    for word in ("nothing", "*", "00000000-0000-0000-0000-000000000000"):
        assert (await door.call("GET", f"/api/v1/batches/{word}"))[0] == 404
