"""Live output: in order, without gaps, from any number, late or early, by WebSocket and by events."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway.app import make_desk
from gateway.feeds import Feeds
from gateway.handlers import follow
from gateway.settings import Settings
from jobs.events import ControlKind, Queued, Stream
from jobs.service.atlas import StaticAtlas
from jobs.service.bus import Bus
from jobs.states import Class
from tests.gateway.conftest import Door, Hire, comes_true, open_door
from tests.gateway.scripted import Told


def output(told: list[dict[str, Any]]) -> list[tuple[int, str, str]]:
    return [(step["seq"], step["stream"], step["data"]) for step in told if step["type"] == "output"]


def kinds(told: list[dict[str, Any]]) -> list[str]:
    return [step.get("status", step["type"]) for step in told]


async def in_three(told: Told) -> None:
    await told.running()
    await told.prints(b"one ")
    await told.prints(b"oops", Stream.STDERR)
    await told.prints(b"two")
    await told.ends()


THREE = [(1, "stdout", "one "), (2, "stderr", "oops"), (3, "stdout", "two")]


async def test_a_listener_hears_states_then_numbered_output_then_the_result(door: Door, hire: Hire) -> None:
    """Status at once and at each change; complete; close 1000."""
    go = asyncio.Event()

    async def tells(told: Told) -> None:
        await go.wait()
        await in_three(told)

    await hire(tells)
    _, accepted = await door.submit()
    told = []
    async with asyncio.timeout(10), door.listen(accepted["execution_id"]) as socket:
        told.append(await socket.receive_json())
        assert told[0]["status"] == "queued"
        assert told[0]["queued_at"] and told[0]["started_at"] is None
        go.set()
        async for message in socket:
            told.append(message.json())
    assert socket.close_code == 1000
    assert kinds(told) == ["queued", "running", "output", "output", "output", "completed", "complete"]
    assert told[1]["started_at"]
    assert output(told) == THREE
    assert told[-1]["result"]["stdout"] == "one two"


async def test_who_comes_after_the_end_hears_the_same_numbers(door: Door, hire: Hire) -> None:
    """Told again from the result; ``from`` leaves out what is known."""
    await hire(in_three)
    _, execution = await door.submit("?wait=true")
    told, code = await door.hear(execution["execution_id"])
    assert code == 1000
    assert kinds(told) == ["completed", "output", "output", "output", "complete"]
    assert output(told) == THREE
    told, _ = await door.hear(execution["execution_id"], "?from=3")
    assert output(told) == THREE[2:]
    told, _ = await door.hear(execution["execution_id"], "?from=99")
    assert kinds(told) == ["completed", "complete"]


async def test_who_comes_in_the_middle_hears_all_from_the_start(door: Door, hire: Hire) -> None:
    """Also when it comes to a gateway that was started anew, while it runs."""
    printed, finish = asyncio.Event(), asyncio.Event()

    async def tells(told: Told) -> None:
        await told.running()
        await told.prints(b"one ")
        await told.prints(b"oops", Stream.STDERR)
        printed.set()
        await finish.wait()
        await told.prints(b"two")
        await told.ends()

    runner = await hire(tells)
    _, accepted = await door.submit()
    await printed.wait()
    async with open_door(door.settings.nats_urls[0], door.region.name) as second:
        for each in (door, second):
            finish.clear()
            async with asyncio.timeout(10), each.listen(accepted["execution_id"]) as socket:
                told = [await socket.receive_json() for _ in range(3)]
                assert kinds(told) == ["running", "output", "output"]
        listening = asyncio.create_task(second.hear(accepted["execution_id"]))
        finish.set()
        told, code = await listening
        assert output(told) == THREE
        assert code == 1000
    assert runner.jobs


async def test_an_unknown_execution_closes_4004(door: Door) -> None:
    told, code = await door.hear("00000000-0000-0000-0000-000000000000")
    assert (told, code) == ([], 4004)
    told, code = await door.hear("not-an-id")
    assert (told, code) == ([], 4004)


async def test_a_lost_chunk_is_mended_before_what_follows_it(door: Door, hire: Hire) -> None:
    """The live word of a chunk never came: the listener gets it from the result, in its place."""

    async def tells(told: Told) -> None:
        await told.running()
        await told.prints(b"one ")
        await told.prints(b"oops", Stream.STDERR, lost=True)
        await told.prints(b"two")
        await told.ends()

    await hire(tells)
    _, accepted = await door.submit()
    told, _ = await door.hear(accepted["execution_id"])
    assert output(told) == THREE


async def test_a_new_attempt_starts_the_numbers_anew_and_says_so(door: Door, hire: Hire) -> None:
    """The runner was lost in the middle: a status with the new attempt comes before chunk 1 of it."""
    first_is_told, go_on = asyncio.Event(), asyncio.Event()

    async def tells(told: Told) -> None:
        await told.running()
        await told.prints(b"half")
        first_is_told.set()
        await go_on.wait()
        told.attempt, told.chunks = 2, []
        await in_three(told)

    await hire(tells)
    _, accepted = await door.submit()
    await first_is_told.wait()
    told = []
    async with asyncio.timeout(10), door.listen(accepted["execution_id"]) as socket:
        told += [await socket.receive_json() for _ in range(2)]
        go_on.set()
        async for message in socket:
            told.append(message.json())
    again = next(at for at, step in enumerate(told) if step.get("attempt") == 2)
    assert output(told[:again]) == [(1, "stdout", "half")]
    assert output(told[again:]) == THREE
    assert told[-1]["result"]["attempt"] == 2


async def test_output_comes_as_base64_where_it_is_asked_for(door: Door, hire: Hire) -> None:
    await hire(in_three)
    _, execution = await door.submit("?wait=true")
    told, _ = await door.hear(execution["execution_id"], "?encoding=base64")
    assert output(told)[0] == (1, "stdout", "b25lIA==")
    assert told[-1]["result"]["stdout"] == "b25lIHR3bw=="


async def test_what_the_client_says_reaches_the_runner_in_order(door: Door, hire: Hire) -> None:
    """stdin, its end, a signal and a size; what the runner refuses, and what is nonsense, is told."""

    async def reads(told: Told) -> None:
        await told.running()
        while (control := await told.heard.get()).kind is not ControlKind.STDIN_EOF:
            await told.prints(control.data or control.signal.encode())
        await told.ends()

    await hire(reads)
    _, accepted = await door.submit(interactive=True)
    told = []
    async with asyncio.timeout(10), door.listen(accepted["execution_id"]) as socket:
        await socket.send_json({"type": "stdin", "data": "größe\n"})
        await socket.send_json({"type": "resize", "rows": 10, "cols": 20})
        await socket.send_json({"type": "dance"})
        await socket.send_str("[" * 100_000)
        await socket.send_json({"type": "signal", "signal": "SIGINT"})
        await socket.send_json({"type": "stdin_eof"})
        async for message in socket:
            told.append(message.json())
    assert [data for _, _, data in output(told)] == ["größe\n", "SIGINT"] or [data for _, _, data in output(told)] == [
        "größe\n",
        "",
        "SIGINT",
    ]
    problems = [step["problem"] for step in told if step["type"] == "error"]
    assert problems[0] == "it has no terminal"
    assert len(problems) == 3


async def test_events_tell_the_same_and_resume_after_the_last_id(door: Door, hire: Hire) -> None:
    """Server-Sent Events: numbered by ``id``; after the end a browser that comes back is told to stay away."""
    await hire(in_three)
    _, execution = await door.submit("?wait=true")
    path = f"{door.url}/api/v1/executions/{execution['execution_id']}/events"
    async with asyncio.timeout(10), door.client.get(path) as answer:
        assert answer.content_type == "text/event-stream"
        told = events(await answer.text())
    assert output([data for _, data in told]) == THREE
    assert [identity for identity, _ in told] == ["", "1", "2", "3", "end"]
    async with door.client.get(path, headers={"Last-Event-ID": "2"}) as answer:
        assert output([data for _, data in events(await answer.text())]) == THREE[2:]
    async with door.client.get(path, headers={"Last-Event-ID": "end"}) as answer:
        assert answer.status == 204
    status, problem = await door.call("GET", "/api/v1/executions/nothing/events")
    assert status == 404, problem


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for block in filter(None, text.split("\n\n")):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((fields.get("id", ""), json.loads(fields["data"])))
    return found


async def test_a_reader_that_is_too_slow_is_let_go_and_may_resume(
    door: Door, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4008 after its patience is over; the output waits in JetStream, not in this process."""
    monkeypatch.setattr(follow, "SLOW_S", 0.1)
    monkeypatch.setattr(follow, "SLOWEST_BYTES_A_S", 1 << 30)
    monkeypatch.setattr(follow, "CLOSE_S", 0.1)
    chunks, size = 300, 64 * 1024

    async def floods(told: Told) -> None:
        await told.running()
        for _ in range(chunks):
            await told.prints(b"x" * size)
        await told.ends(inline=False)

    await hire(floods)
    _, accepted = await door.submit()
    async with asyncio.timeout(20), door.listen(accepted["execution_id"]) as socket:
        await comes_true(lambda: nobody_listens(door))
        told = [message.json() async for message in socket]
    assert socket.close_code == 4008
    heard = output(told)
    assert [seq for seq, _, _ in heard] == list(range(1, len(heard) + 1))
    assert len(heard) < chunks
    monkeypatch.undo()
    rest, code = await door.hear(accepted["execution_id"], f"?from={len(heard) + 1}")
    assert [seq for seq, _, _ in output(rest)] == list(range(len(heard) + 1, chunks + 1))
    assert code == 1000


async def nobody_listens(door: Door) -> bool:
    async with door.client.get(f"{door.url}/metrics") as answer:
        return "yurt_gateway_listeners 0.0" in await answer.text()


async def test_output_that_weighs_too_much_is_let_go_and_read_again_for_who_comes(
    door: Door, hire: Hire, bus: Bus
) -> None:
    """Memory is bounded over all executions: what nobody listens to is dropped, and mended from the stream."""
    printed, finish = asyncio.Event(), asyncio.Event()

    async def tells(told: Told) -> None:
        await told.running()
        for _ in range(5):
            await told.prints(b"x" * 1000)
        printed.set()
        await finish.wait()
        await told.ends()

    await hire(tells)
    desk = make_desk(Settings(), bus, door.region, door.region.gateways[0], StaticAtlas(door.region))
    feeds = Feeds(
        bus=bus, region=door.region.name, gateway=desk.gateway, on_end=ignore, on_change=ignore, keep_bytes=3000
    )
    _, accepted = await door.submit()
    await printed.wait()
    feed = feeds.open(Queued(
        execution_id=accepted["execution_id"], user_id="u", language="python", version="*", variant="",
        region=door.region.name, job_class=Class.STANDARD, created_at_ms=1, start_by_ms=2,
    ))  # fmt: skip
    async with asyncio.timeout(10):
        while not feed.shed:  # the stream has the last of it a moment after it was said
            await feeds.mend(feed)
    assert feeds.bytes == 0
    with feed.listening():
        await feeds.ready(feed)
        assert [chunk.seq for chunk in feed.chunks] == [1, 2, 3, 4, 5]
    finish.set()
    await feeds.close()


def ignore(_: object) -> None:
    return


async def test_a_stop_sends_listeners_away_and_answers_who_waits(door: Door, hire: Hire) -> None:
    """1001 for the WebSocket; the waiting request is answered, 202 when its execution does not end in time."""

    async def for_ever(told: Told) -> None:
        await told.running()
        await told.cancelled.wait()

    runner = await hire(for_ever)
    waiting = asyncio.create_task(door.submit("?wait=true"))
    async with asyncio.timeout(10):
        await runner.has_a_job.wait()
    async with door.listen(runner.jobs[0].id) as socket:
        assert (await socket.receive_json())["type"] == "status"
        door.stop.set()
        async with asyncio.timeout(10):
            async for _ in socket:
                pass
    assert socket.close_code == 1001
    status, accepted = await waiting
    assert (status, accepted["status"]) == (202, "running")
