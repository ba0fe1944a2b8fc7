"""A region goes away: its JetStream, its NATS servers, all of it. What is accepted meanwhile runs in the next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from jobs.service.bus import Message
from jobs.streams import plan
from tests.gateway.conftest import comes_true, is_ready
from tests.gateway.lands import Land, land
from tests.gateway.scripted import Told
from tests.superclusters import Supercluster

UNKNOWN = "01234567-0000-7000-8000-00000000000f"
BODY = {"language": "python", "code": ""}


@pytest.fixture
async def three(supercluster: Supercluster, tmp_path: Path) -> AsyncIterator[Land]:
    """North has a gateway, north and east have runners."""
    async with land(supercluster, tmp_path) as settled:
        await settled.open("north")
        await settled.hire("east")
        await settled.hire("north")
        yield settled


async def lose_streams(land: Land, cluster: str) -> None:
    """As if JetStream were gone there: nobody listens on its subjects any more."""
    bus = await land.bus(cluster)
    for each in plan(land.regions[cluster]):
        await bus.api(f"STREAM.DELETE.{each.name}")


async def stored(land: Land, cluster: str) -> int:
    """How many jobs were put in the standard queue of a region since it was made."""
    bus = await land.bus("south")
    info = await bus.api(f"STREAM.INFO.JOBS_{land.name(cluster).upper()}_STANDARD")
    return int(info["state"]["last_seq"])


async def test_without_its_jetstream_a_gateway_places_jobs_with_the_nearest(three: Land) -> None:
    """At once, and with the reason; ``home`` and the name of home are 503 that name it; ready says who takes jobs."""
    door = three.doors["north"]
    await lose_streams(three, "north")
    status, execution = await door.submit("?wait=true")
    assert (status, execution["region"]) == (200, three.name("east"))
    assert execution["placement"]["reason"] == "home_away"
    for asked in ("home", three.name("north")):
        async with door.client.post(f"{door.url}/api/v1/execute", json={**BODY, "region": asked}) as answer:
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert three.name("north") in (await answer.json(content_type=None))["detail"]
    status, ready = await door.call("GET", "/readyz")
    assert (status, ready["takes_jobs"]) == (200, [three.name("east")])
    row = await three.row(door, three.name("north"))
    assert not row["healthy"] and row["why"]


async def test_with_a_key_the_next_region_is_asked_when_it_is_certain_that_nothing_was_stored(three: Land) -> None:
    """Nobody listened at home. The repeat finds the one that was placed elsewhere."""
    door = three.doors["north"]
    await lose_streams(three, "north")
    ids = set()
    for _ in range(2):
        status, execution = await door.call(
            "POST", "/api/v1/execute?wait=true", json=BODY, headers={"Idempotency-Key": "k"}
        )
        assert (status, execution["region"]) == (200, three.name("east"))
        ids.add(execution["execution_id"])
    assert len(ids) == 1
    assert await stored(three, "east") == 1


async def test_what_was_sent_and_not_confirmed_goes_on_under_a_new_id(three: Land) -> None:
    """Home's queue takes jobs and confirms none: the id it was sent may lie there, so it never goes anywhere else."""
    door, sent = three.doors["north"], []
    await three.becomes(door, "north", healthy=True)
    bus = await three.bus("north")
    await lose_jobs_unconfirmed(three, bus, sent)
    began = time.monotonic()
    status, execution = await door.submit("?wait=true")
    assert (status, execution["region"]) == (200, three.name("east"))
    assert time.monotonic() - began < 5
    assert [message.header("Nats-Msg-Id") for message in sent] != [execution["execution_id"]]
    assert len(sent) == 1
    began = time.monotonic()
    assert (await door.submit("?wait=true"))[0] == 200
    assert time.monotonic() - began < 1, "it is remembered for a while"


@pytest.mark.network
async def test_what_was_sent_with_a_key_and_not_confirmed_is_503(three: Land) -> None:
    """Its id is made of the key: it must not lie in two queues, and the caller may repeat it."""
    door, sent = three.doors["north"], []
    await three.becomes(door, "north", healthy=True)
    await lose_jobs_unconfirmed(three, await three.bus("north"), sent)
    url, key = f"{door.url}/api/v1/execute", {"Idempotency-Key": "unconfirmed"}
    async with door.client.post(url, json=BODY, headers=key) as answer:
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0
    status, problem = await door.call("POST", "/api/v1/execute", json=BODY, headers={"Idempotency-Key": "unconfirmed"})
    assert status == 503 and three.name("north") in problem["detail"], "it stays with the queue that may have it"
    assert {message.header("Nats-Msg-Id") for message in sent} == {sent[0].header("Nats-Msg-Id")}
    assert await stored(three, "east") == 0
    status, execution = await door.call(
        "POST", "/api/v1/execute?wait=true", json=BODY, headers={"Idempotency-Key": "another"}
    )
    assert (status, execution["region"]) == (200, three.name("east"))


async def lose_jobs_unconfirmed(land: Land, bus: Any, sent: list[Message]) -> None:
    """The queue of north is gone, and somebody listens in its place who never answers."""
    region = land.regions["north"]
    await bus.subscribe(f"jobs.{region.name}.standard.*", sent.append)
    await bus.api(f"STREAM.DELETE.JOBS_{region.name.upper()}_STANDARD")


# -- whole regions die: real processes, killed --------------------------------------------------------------------


@pytest.fixture
async def two(own_supercluster: Supercluster, tmp_path: Path) -> AsyncIterator[Land]:
    async with land(own_supercluster, tmp_path) as settled:
        yield settled


@pytest.mark.network
async def test_a_gateway_whose_nats_is_dead_goes_to_a_neighbour_s_and_comes_home(two: Land) -> None:
    """From the death of home's NATS to the first accepted job: at most five seconds; no request without an answer."""
    door = await two.open("north", nats_fallback_urls=(two.supercluster.url("east"),))
    await two.hire("east")
    await two.hire("north")
    assert (await door.submit("?wait=true"))[1]["region"] == two.name("north")
    began = time.monotonic()
    two.supercluster.stop("north")
    accepted: dict[str, Any] = {}

    async def is_accepted() -> bool:
        nonlocal accepted
        status, accepted = await door.submit("?wait=true")
        assert status in (200, 503)
        return status == 200

    await comes_true(is_accepted)
    took_s = time.monotonic() - began
    assert took_s < 5, f"{took_s:.1f} s"
    assert accepted["placement"] == {"region": two.name("east"), "reason": "home_away", "ran_in": two.name("east")}
    two.supercluster.start("north")
    await two.becomes_home(door)
    status, accepted = await door.submit(region="home")
    assert (status, accepted["region"]) == (202, two.name("north"))


@pytest.mark.network
@pytest.mark.parametrize("key", [None, "cut"])
async def test_what_was_under_way_when_home_died_lies_in_one_queue_only(two: Land, key: str | None) -> None:
    """Sent, and the connection died before an answer: a new id goes to the neighbour's; with a key it is 503."""
    door = await two.open("north", nats_fallback_urls=(two.supercluster.url("east"),))
    await two.hire("north")
    await two.hire("east")
    sent: list[Message] = []
    await lose_jobs_unconfirmed(two, await two.bus("north"), sent)
    headers = {} if key is None else {"Idempotency-Key": key}
    request = door.call("POST", "/api/v1/execute?wait=true", json=BODY, headers=headers)
    submitting = asyncio.create_task(request)

    async def is_sent() -> bool:
        return bool(sent)

    await comes_true(is_sent)
    two.supercluster.stop("north")
    status, answer = await submitting
    first = sent[0].header("Nats-Msg-Id")
    if key is None:
        assert (status, answer["region"]) == (200, two.name("east"))
        assert answer["execution_id"] != first
    else:
        assert status == 503
        assert two.name("north") in answer["detail"]


@pytest.mark.network
async def test_a_gateway_starts_while_home_is_dead(two: Land) -> None:
    """It serves by its neighbour, and is at home when home is there."""
    two.supercluster.stop("north")
    door = await two.open("north", nats_fallback_urls=(two.supercluster.url("east"),))
    await two.hire("east")
    status, execution = await door.submit("?wait=true")
    assert (status, execution["placement"]["reason"]) == (200, "home_away")
    two.supercluster.start("north")

    async def has_queues() -> bool:
        return bool((await two.row(door, two.name("north")))["why"] == "no living runner offers a language")

    await comes_true(has_queues)
    await two.hire("north")
    await two.becomes_home(door)
    assert (await door.submit("?wait=true"))[1]["region"] == two.name("north")


@pytest.mark.network
async def test_a_nats_that_says_nothing_any_more_is_left(two: Land) -> None:
    """No connection breaks, and no answer comes: the same five seconds, and no submission is refused."""
    door = await two.open("north", nats_fallback_urls=(two.supercluster.url("east"),))
    await two.hire("north")
    await two.hire("east")
    assert (await door.submit("?wait=true"))[1]["region"] == two.name("north")
    began = time.monotonic()
    two.supercluster.suspend("north")
    try:
        status, execution = await door.submit("?wait=true")
        assert (status, execution["region"]) == (200, two.name("east"))
        assert time.monotonic() - began < 5
    finally:
        two.supercluster.resume("north")
    await two.becomes_home(door)


@pytest.mark.network
async def test_a_dead_region_is_listed_as_such_and_what_it_may_know_is_503(two: Land) -> None:
    """Not a false 404; what is known elsewhere is found as before; nothing waits for the dead."""
    door, east = await two.open("north"), await two.open("east")
    await two.hire("east")
    await two.hire("north")
    _, theirs = await east.submit("?wait=true")
    _, far = await door.submit("?wait=true", region=two.name("east"))
    _, near = await door.submit("?wait=true")
    other = await two.open("north")  # the first forgets nothing of its own so soon
    await two.becomes_home(other)
    two.supercluster.stop("east")
    await two.becomes(other, "east", healthy=False)
    began = time.monotonic()
    for identity in (UNKNOWN, theirs["execution_id"]):
        async with other.client.get(f"{other.url}/api/v1/executions/{identity}") as answer:
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert two.name("east") in (await answer.json(content_type=None))["detail"]
    for known in (far, near):  # of the far one the word of its end is kept here
        assert (await other.call("GET", f"/api/v1/executions/{known['execution_id']}"))[0] == 200
    status, rows = await other.call("GET", "/api/v1/regions")
    assert [row["healthy"] for row in rows] == [True, False]
    assert (await other.submit("?wait=true"))[0] == 200
    status, problem = await other.submit(region=two.name("east"))
    assert status == 503 and two.name("east") in problem["detail"]
    assert time.monotonic() - began < 5


@pytest.mark.network
async def test_a_run_goes_on_being_told_after_home_s_nats_is_dead(two: Land) -> None:
    """Accepted in the north, running in the east: its listener hears the end though the north's NATS is gone."""
    door = await two.open("north", nats_fallback_urls=(two.supercluster.url("east"),))
    finish = asyncio.Event()

    async def tells(told: Told) -> None:
        await told.running()
        await told.prints(b"before\n")
        await finish.wait()
        await told.prints(b"after\n")
        await told.ends()

    await two.hire("east", tells)
    _, accepted = await door.submit(region=two.name("east"))
    output, last = b"", {}
    async with asyncio.timeout(20), door.listen(accepted["execution_id"]) as socket:
        while not output:
            told = await socket.receive_json()
            output += told.get("data", "").encode()
        two.supercluster.stop("north")
        await comes_true(lambda: is_ready(door))
        finish.set()
        async for message in socket:
            last = message.json()
            output += last.get("data", "").encode()
    assert output == b"before\nafter\n"
    assert last["result"]["verdict"] == "ok"
