"""Warm sandboxes are pitched as many at a time as the engine says, and no more than are wanted."""

from __future__ import annotations

import asyncio
from typing import Any

from jobs.errors import SandboxFault
from jobs.languages import Language
from runner import pool as pools
from runner.languages.contract import Installation, Room
from runner.pool import Pool
from tests.waiting import eventually

PYTHON = Installation(language=Language.PYTHON, version="3.11.2")


class Box:
    """A sandbox that knows whether it was struck."""

    warm = True
    struck = False

    def strike(self) -> None:
        self.struck = True


class Slow:
    """An engine whose pitches end when they are told to."""

    def __init__(self, abreast: int) -> None:
        self._abreast = abreast
        self.under_way: list[asyncio.Future[Box]] = []

    def abreast(self, installation: Installation) -> int:
        return self._abreast

    async def pitch(self, installation: Installation, room: Room, **_: Any) -> Box:
        self.under_way.append(asyncio.get_running_loop().create_future())
        return await self.under_way[-1]

    def end_one(self) -> None:
        self.under_way.pop(0).set_result(Box())


def of(engine: Any, *, least: int = 5, most: int = 8) -> Pool:
    return Pool(engine, PYTHON, Room.RUN, least=least, most=most)


async def test_as_many_are_pitched_at_once_as_the_engine_says() -> None:
    """Another begins when one is ready, and none when those under way are enough."""
    engine = Slow(3)
    pool = of(engine)
    pool.start()
    await eventually(lambda: len(engine.under_way) == 3)
    for ready, under_way in ((1, 3), (2, 3), (3, 2), (4, 1), (5, 0)):
        engine.end_one()
        await eventually(lambda ready=ready: pool.ready == ready)  # type: ignore[misc]
        await eventually(lambda under_way=under_way: len(engine.under_way) == under_way)  # type: ignore[misc]
    await pool.close()


async def test_one_after_the_other_where_the_engine_wants_it_so() -> None:
    engine = Slow(1)
    pool = of(engine, least=2)
    pool.start()
    for ready in (1, 2):
        await eventually(lambda: len(engine.under_way) == 1)
        engine.end_one()
        await eventually(lambda ready=ready: pool.ready == ready)  # type: ignore[misc]
    await pool.close()


async def test_what_is_claimed_is_replaced() -> None:
    engine = Slow(2)
    pool = of(engine, least=1)
    pool.start()
    await eventually(lambda: len(engine.under_way) == 1)
    engine.end_one()
    await eventually(lambda: pool.ready == 1)
    _, warm = await pool.claim()
    assert warm
    await eventually(lambda: len(engine.under_way) == 1)
    await pool.close()


async def test_a_pitch_that_fails_is_tried_again(monkeypatch: Any) -> None:
    monkeypatch.setattr(pools, "RETRY_S", 0.0)
    engine = Slow(1)
    pool = of(engine, least=1)
    pool.start()
    await eventually(lambda: len(engine.under_way) == 1)
    engine.under_way.pop().set_exception(SandboxFault("no room"))
    await eventually(lambda: len(engine.under_way) == 1)
    engine.end_one()
    await eventually(lambda: pool.ready == 1)
    await pool.close()


async def test_an_engine_that_pitches_slowly_keeps_more_of_them_ready() -> None:
    """What is claimed while one is pitched is what must be there: the target follows how long pitching takes."""
    engine = Slow(4)
    pool = of(engine, least=1)
    for _ in range(20):
        pool._claims.append(asyncio.get_running_loop().time())
    assert pool._target() == 2
    pool._pitch_s = 0.4
    assert pool._target() == 6
    await pool.close()


async def test_the_end_strikes_what_is_ready_and_lets_go_of_what_is_not() -> None:
    engine = Slow(2)
    pool = of(engine, least=3)
    pool.start()
    await eventually(lambda: len(engine.under_way) == 2)
    engine.end_one()
    await eventually(lambda: pool.ready == 1)
    box = pool._ready[0]
    left = list(engine.under_way)
    await pool.close()
    assert box.struck  # type: ignore[attr-defined]
    assert all(future.cancelled() for future in left)
