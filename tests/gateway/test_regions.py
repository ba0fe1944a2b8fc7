"""Three regions, a gateway in each: where jobs go, and that everything is found through any door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from jobs.events import Stream
from jobs.languages import Language
from tests.gateway.conftest import Door, comes_true
from tests.gateway.lands import Land, land
from tests.gateway.scripted import OFFERS, Told
from tests.superclusters import Supercluster

UNKNOWN = "01234567-0000-7000-8000-00000000000f"


@pytest.fixture
async def three(supercluster: Supercluster, tmp_path: Path) -> AsyncIterator[Land]:
    """The clusters are called north, east and south."""
    async with land(supercluster, tmp_path) as settled:
        for cluster in supercluster.clusters:
            await settled.open(cluster)
        yield settled


async def until_cancelled(told: Told) -> None:
    await told.running()
    await told.prints(b"one\n")
    await told.cancelled.wait()
    await told.ends()


async def test_a_job_runs_at_home_or_where_it_was_asked_for_and_the_answer_says_so(three: Land) -> None:
    """The 202 and the execution carry the region and the reason; a name that nobody bears is a fault."""
    for cluster in ("north", "east", "south"):
        await three.hire(cluster)
    door, home, east = three.doors["north"], three.name("north"), three.name("east")
    for asked, region, reason in (("auto", home, "home"), ("home", home, "home"), (east, east, "asked_for")):
        status, accepted = await door.submit(region=asked)
        assert status == 202
        assert accepted["region"] == region
        assert (accepted["placement"]["region"], accepted["placement"]["reason"]) == (region, reason)
        status, execution = await door.submit("?wait=true", region=asked)
        assert (status, execution["region"]) == (200, region)
        assert execution["placement"] == {"region": region, "reason": reason, "ran_in": region}
    status, problem = await door.submit(region="mars")
    assert (status, problem["errors"][0]["field"]) == (422, "region")
    for region in three.regions.values():
        assert region.name in problem["errors"][0]["cure"]


async def test_a_region_whose_runners_are_gone_has_new_jobs_placed_in_the_next(three: Land) -> None:
    """And has them back when a runner is there again; where nobody runs it anywhere, home keeps it."""
    door = three.doors["north"]
    runner = await three.hire("north")
    elsewhere = [await three.hire("south"), await three.hire("east")]
    await three.dismiss(runner)
    await three.becomes(door, "north", healthy=False)
    _, execution = await door.submit("?wait=true")
    east = three.name("east")
    assert execution["placement"] == {"region": east, "reason": "home_has_no_runner", "ran_in": east}
    for other in elsewhere:
        await three.dismiss(other)
    await three.becomes(door, "south", healthy=False)
    await three.becomes(door, "east", healthy=False)
    _, accepted = await door.submit()
    assert accepted["placement"]["reason"] == "home"
    status, problem = await door.submit(region=east)
    assert status == 202, "nobody runs it anywhere: it waits where it was asked for"
    three.beating += [runner, elsewhere[0]]
    await three.becomes(door, "south", healthy=True)
    status, problem = await door.submit(region=east)
    assert status == 503
    assert east in problem["detail"]


async def test_a_language_that_only_a_neighbour_has_is_run_there(three: Land) -> None:
    """``auto`` goes there; ``home`` waits at home."""
    door = three.doors["north"]
    python = next(offer for offer in OFFERS if offer.language == Language.PYTHON)
    runner = await three.hire("north")
    await three.dismiss(runner)
    runner.offers = (python,)
    three.beating.append(runner)
    await three.becomes(door, "north", healthy=True)
    await three.hire("south")
    _, execution = await door.submit("?wait=true", language="rust")
    assert execution["placement"]["reason"] == "home_has_no_runner"
    assert execution["region"] == three.name("south")
    _, accepted = await door.submit(language="rust", region="home")
    assert accepted["region"] == three.name("north")


async def test_a_run_is_read_followed_and_cancelled_through_every_gateway(three: Land) -> None:
    """Whichever accepted it and wherever it lies: accepted in the north, queued in the east, asked for in the south."""
    await three.hire("east", until_cancelled)
    north, south = three.doors["north"], three.doors["south"]
    _, accepted = await north.submit(region=three.name("east"))
    identity = accepted["execution_id"]
    async with asyncio.timeout(10), south.listen(identity) as live, three.doors["east"].listen(identity) as local:
        for socket in (live, local):
            told = await socket.receive_json()
            while told["type"] != "output":
                told = await socket.receive_json()
            assert told["data"] == "one\n"
        _, execution = await south.call("GET", f"/api/v1/executions/{identity}")
        assert execution["status"] == "running"
        assert execution["placement"]["region"] == three.name("east")
        assert (await south.call("DELETE", f"/api/v1/executions/{identity}"))[0] == 202
        for socket in (live, local):
            last: dict[str, Any] = {}
            async for message in socket:
                last = message.json()
            assert last["type"] == "complete"
    for door in three.doors.values():
        told, code = await door.hear(identity)
        assert [step["data"] for step in told if step["type"] == "output"] == ["one\n"]
        assert code == 1000
    assert (await three.doors["east"].call("DELETE", f"/api/v1/executions/{identity}"))[0] == 409


async def test_who_comes_late_or_comes_back_in_another_region_is_told_from_where_he_wants(three: Land) -> None:
    """By WebSocket and by events, while it runs and afterwards, without a gap."""
    printed, finish = asyncio.Event(), asyncio.Event()

    async def tells(told: Told) -> None:
        await told.running()
        for number in range(1, 5):
            await told.prints(f"{number}\n".encode())
        printed.set()
        await finish.wait()
        await told.prints(b"5\n")
        await told.ends()

    await three.hire("east", tells)
    south = three.doors["south"]
    _, accepted = await three.doors["north"].submit(region=three.name("east"))
    identity = accepted["execution_id"]
    await printed.wait()
    numbers = []
    async with asyncio.timeout(10), south.listen(identity, "?from=3") as socket:
        while len(numbers) < 2:
            told = await socket.receive_json()
            numbers += [told["seq"]] if told["type"] == "output" else []
        finish.set()
        async for message in socket:
            told = message.json()
            numbers += [told["seq"]] if told["type"] == "output" else []
    assert numbers == [3, 4, 5]
    for door in three.doors.values():
        told, _ = await door.hear(identity, "?from=5")
        assert [step["data"] for step in told if step["type"] == "output"] == ["5\n"]
        path = f"{door.url}/api/v1/executions/{identity}/events"
        async with door.client.get(path, headers={"Last-Event-ID": "3"}) as events:
            text = await events.text()
        assert "id: 4" in text and "id: 5" in text and "id: 3" not in text and "id: end" in text


async def test_what_waits_in_another_region_s_queue_is_cancelled_through_a_third(three: Land) -> None:
    """The end is stored where the queue is; the gateway that accepted it hears of it at once."""
    await three.hire("east", pulls=False)
    _, accepted = await three.doors["north"].submit(region=three.name("east"))
    identity = accepted["execution_id"]
    async with asyncio.timeout(10), three.doors["north"].listen(identity) as socket:
        assert (await socket.receive_json())["status"] == "queued"
        assert (await three.doors["south"].call("DELETE", f"/api/v1/executions/{identity}"))[0] == 202
        last: dict[str, Any] = {}
        async for message in socket:
            last = message.json()
    assert last["result"]["status"] == "cancelled"
    assert last["result"]["placement"] == {"region": three.name("east"), "reason": "asked_for", "ran_in": None}


async def test_a_lost_end_is_found_where_the_queue_is(three: Land) -> None:
    """The word of the end never comes: the check looks into the results of the region in whose queue it lay."""

    async def silent(told: Told) -> None:
        await told.running()
        await told.ends(silent=True)

    await three.hire("east", silent)
    door = three.doors["north"]
    _, accepted = await door.submit(region=three.name("east"))
    path = f"/api/v1/executions/{accepted['execution_id']}"

    async def is_completed() -> bool:
        return bool((await door.call("GET", path))[1]["status"] == "completed")

    await comes_true(is_completed)


async def test_what_overflowed_says_so(three: Land) -> None:
    """A runner of the south takes a job of the north's queue: region is where it ran, the reason is overflow."""
    await three.hire("south", queue="north")
    north, south = three.name("north"), three.name("south")
    _, execution = await three.doors["north"].submit("?wait=true", region="home")
    assert execution["region"] == south
    assert execution["placement"] == {"region": north, "reason": "overflow", "ran_in": south}
    _, execution = await three.doors["east"].call("GET", f"/api/v1/executions/{execution['execution_id']}")
    assert execution["placement"] == {"region": north, "reason": "overflow", "ran_in": south}


async def test_input_typed_in_another_region_reaches_the_program(three: Land) -> None:
    """Standard input and the end of it, through a gateway that neither accepted nor queued the execution."""

    async def echo(told: Told) -> None:
        await told.running()
        await told.prints((await told.heard.get()).data, Stream.STDOUT)
        await told.heard.get()
        await told.ends()

    await three.hire("east", echo)
    _, accepted = await three.doors["north"].submit(region=three.name("east"), interactive=True)
    async with asyncio.timeout(10), three.doors["south"].listen(accepted["execution_id"]) as socket:
        await socket.send_json({"type": "stdin", "data": "hello\n"})
        told = await socket.receive_json()
        while told["type"] != "output":
            told = await socket.receive_json()
        assert told["data"] == "hello\n"
        await socket.send_json({"type": "stdin_eof"})
        async for message in socket:
            told = message.json()
    assert told["result"]["stdout"] == "hello\n"


async def test_what_nobody_knows_is_404_everywhere(three: Land) -> None:
    """Every region has answered: it is certain."""
    for door in three.doors.values():
        assert (await door.call("GET", f"/api/v1/executions/{UNKNOWN}"))[0] == 404
        assert (await door.call("GET", f"/api/v1/batches/{UNKNOWN}"))[0] == 404


async def test_a_key_means_the_same_execution_at_every_gateway(three: Land) -> None:
    """Whether it waits or has ended; and another body with it is a conflict everywhere."""
    runner = await three.hire("north", pulls=False)
    key = {"Idempotency-Key": "once"}
    body = {"language": "python", "code": "1"}

    async def submit(door: Door, **more: Any) -> tuple[int, Any]:
        return await door.call("POST", "/api/v1/execute", json={**body, **more}, headers=key)

    status, accepted = await submit(three.doors["north"])
    assert status == 202
    for door in three.doors.values():
        status, again = await submit(door)
        assert (status, again["execution_id"]) == (202, accepted["execution_id"])
        assert again["region"] == three.name("north")
        assert (await submit(door, stdin="other"))[0] == 409
    for job_class in ("priority", "standard", "bulk"):
        depth = await runner.bus.api(f"STREAM.INFO.JOBS_{three.name('north').upper()}_{job_class.upper()}")
        assert depth["state"]["messages"] == (1 if job_class == "standard" else 0)
    assert [(await three.row(three.doors["north"], three.name(each)))["queue_depth"] for each in ("east", "south")] == [
        0,
        0,
    ]


async def test_a_key_that_is_said_to_be_new_is_found_elsewhere_all_the_same(three: Land) -> None:
    """The first time nobody else is asked; who repeats it does not say that it is the first time."""
    await three.hire("north")
    await three.hire("east")
    body, first = {"language": "python", "code": "1"}, {"Idempotency-Key": "new", "Idempotency-Attempt": "1"}
    path = "/api/v1/execute?wait=true"
    _, execution = await three.doors["north"].call("POST", path, json=body, headers=first)
    _, again = await three.doors["east"].call("POST", path, json=body, headers={"Idempotency-Key": "new"})
    assert again == execution
    _, here = await three.doors["north"].call("POST", path, json=body, headers=first)
    assert here == execution


async def test_a_key_claimed_in_two_regions_at_once_is_queued_in_one(three: Land) -> None:
    """Both claims are stored; the earlier one counts for both."""
    await three.hire("north", pulls=False)
    await three.hire("east", pulls=False)
    body, key = {"language": "python", "code": "1"}, {"Idempotency-Key": "both"}
    answers = await asyncio.gather(
        *(door.call("POST", "/api/v1/execute", json=body, headers=key) for door in three.doors.values())
    )
    assert {status for status, _ in answers} == {202}
    assert len({accepted["execution_id"] for _, accepted in answers}) == 1
    bus = await three.bus("north")
    counts = []
    for region in three.regions.values():
        info = await bus.api(f"STREAM.INFO.JOBS_{region.name.upper()}_STANDARD")
        counts.append(info["state"]["messages"])
    assert sum(counts) == 1


async def test_a_batch_is_read_in_every_region(three: Land) -> None:
    """Its executions lie in different queues; its record in one."""
    await three.hire("north")
    await three.hire("east")
    entries = [{"language": "python", "code": "", "region": region} for region in ("auto", three.name("east"), "home")]
    status, accepted = await three.doors["north"].call("POST", "/api/v1/batches", json={"executions": entries})
    assert status == 202
    path = f"/api/v1/batches/{accepted['batch_id']}"
    for door in three.doors.values():

        async def is_completed(door: Door = door) -> bool:
            return bool((await door.call("GET", path))[1]["status"] == "completed")

        await comes_true(is_completed)
        _, told = await door.call("GET", path)
        regions = [execution["region"] for execution in told["executions"]]
        assert regions == [three.name("north"), three.name("east"), three.name("north")]


async def test_regions_are_listed_home_first_then_by_distance(three: Land) -> None:
    """With health, round trip, depth, running and runners of each."""
    await three.hire("east", pulls=False)
    await three.doors["south"].submit(region=three.name("east"))
    door = three.doors["south"]

    async def is_counted() -> bool:
        return bool((await three.row(door, three.name("east")))["queue_depth"] == 1)

    await comes_true(is_counted)
    _, rows = await door.call("GET", "/api/v1/regions")
    assert [row["region"] for row in rows] == [three.name(each) for each in ("south", "north", "east")]
    assert [row["home"] for row in rows] == [True, False, False]
    by_name = {row["region"]: row for row in rows}
    assert by_name[three.name("east")]["healthy"] and by_name[three.name("east")]["runners"] == 1
    assert all(row["rtt_ms"] > 0 for row in rows)
    assert by_name[three.name("north")]["why"] == "no living runner offers a language"
    status, body = await door.call("GET", "/readyz")
    assert (status, body["takes_jobs"]) == (200, [three.name("east")])
    async with door.client.get(f"{door.url}/metrics") as answer:
        text = await answer.text()
    assert f'yurt_gateway_region_healthy{{region="{three.name("east")}"}} 1.0' in text
    assert f'yurt_gateway_placed_total{{reason="asked_for",region="{three.name("east")}"}} 1.0' in text
