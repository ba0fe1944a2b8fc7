"""Whatever the network does to the events, a listener hears the output once, whole and in order."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.feed import Complete, Feed, Status, follow
from jobs.events import Chunk, Ended, Running, Stream
from jobs.result import Result, Timeline
from jobs.states import State, Verdict

ID = "01234567-0000-7000-8000-000000000001"


def running(attempt: int) -> Running:
    return Running(execution_id=ID, runner="r", region="here", attempt=attempt, started_at_ms=attempt, version="3")


def chunk(attempt: int, seq: int) -> Chunk:
    return Chunk(execution_id=ID, attempt=attempt, seq=seq, stream=Stream.STDOUT, data=f"{attempt}.{seq} ".encode())


def ended(attempt: int, count: int) -> Ended:
    parts = [chunk(attempt, seq).data for seq in range(1, count + 1)]
    result = Result(
        execution_id=ID,
        user_id="u",
        gateway="here-1",
        state=State.COMPLETED,
        language="python",
        version="3",
        variant="",
        region="here",
        runner="r",
        attempt=attempt,
        verdict=Verdict.OK,
        exit_code=0,
        stdout=b"".join(parts),
        timeline=Timeline(created_at_ms=1),
        chunks=tuple(("stdout", len(part)) for part in parts),
    )
    return Ended(execution_id=ID, result=result)


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[object], int, int]:
    """The events of one or two attempts as they arrive: some lost, some twice, some late; the end comes last."""
    count, attempts = draw(st.integers(0, 6)), draw(st.integers(1, 2))
    events: list[object] = []
    for attempt in range(1, attempts + 1):
        events += [running(attempt), *(chunk(attempt, seq) for seq in range(1, count + 1))]
    kept = [event for event in events if draw(st.integers(0, 3))]
    again = draw(st.lists(st.sampled_from(events), max_size=4))
    arrived = draw(st.permutations(kept + again)) if draw(st.booleans()) else kept
    return [*arrived, ended(attempts, count), *draw(st.lists(st.sampled_from(events), max_size=2))], attempts, count


async def listen(events: list[object], joins_at: int) -> list[Status | Chunk | Complete]:
    feed = Feed(ID)

    async def hear() -> list[Status | Chunk | Complete]:
        return [step async for step in follow(feed)]

    listener = None
    for at, event in enumerate(events):
        if at == joins_at:
            listener = asyncio.create_task(hear())
        feed.take(event)
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        return await (listener or asyncio.create_task(hear()))


@given(deliveries(), st.integers(0, 20))
def test_output_is_heard_once_whole_and_in_order_however_it_arrives(
    arrives: tuple[list[object], int, int], joins_at: int
) -> None:
    """After the last status that begins an attempt: 1, 2, 3 … and the result; nothing after it."""
    events, attempts, count = arrives
    told = asyncio.run(listen(events, joins_at))
    assert isinstance(told[0], Status)
    assert [at for at, step in enumerate(told) if isinstance(step, Complete)] == [len(told) - 1]
    chunks = [step for step in told if isinstance(step, Chunk)]
    last = [step for step in chunks if step.attempt == attempts]
    assert [step.seq for step in last] == list(range(1, count + 1))
    assert [step.data for step in last] == [chunk(attempts, seq).data for seq in range(1, count + 1)]
    for before, after in pairwise(chunks):
        assert (after.attempt, after.seq) == (before.attempt, before.seq + 1) or (
            after.attempt > before.attempt and after.seq == 1
        )


@given(deliveries())
def test_nothing_changes_after_the_end(arrives: tuple[list[object], int, int]) -> None:
    events, attempts, _ = arrives
    feed = Feed(ID)
    for event in events:
        feed.take(event)
    assert feed.result is not None
    assert (feed.state, feed.result.attempt) == (State.COMPLETED, attempts)
    assert (feed.chunks, feed.ahead) == ([], {})


async def test_waiting_ends_with_the_end_or_with_the_time() -> None:
    feed = Feed(ID)
    assert await feed.until_end(0.001) is False
    waiting = asyncio.create_task(feed.until_end(5))
    await asyncio.sleep(0)
    feed.take(ended(1, 0))
    assert await waiting is True
    assert await feed.until_end(5) is True
    assert feed.waiters == []
