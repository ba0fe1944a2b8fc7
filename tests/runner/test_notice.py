"""A machine's notice is heard once it is there, counts down to its end, and nothing about it can fail a runner."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from jobs.errors import ConfigFault
from runner.notice import ACTION, MARGIN_S, NOTICE_S, REBALANCE, Notice
from tests.conftest import free_port
from tests.metadata import Metadata, metadata
from tests.waiting import eventually

WITHIN_S = 10.0


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[Notice]:
    notice = Notice(url, every_s=0.01)
    task = asyncio.create_task(notice.listen())
    try:
        yield notice
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def endpoint() -> AsyncIterator[tuple[Metadata, Notice]]:
    async with metadata() as machine, listening(machine.url + "/") as notice:
        yield machine, notice


comes_true = partial(eventually, within_s=WITHIN_S)


async def test_a_notice_is_heard_with_its_time() -> None:
    async with endpoint() as (machine, notice):
        await comes_true(lambda: len(machine.asked) > 4)
        assert not notice.given.is_set() and notice.left_s() == math.inf and notice.why == ""
        machine.take_away(in_s=90)
        await asyncio.wait_for(notice.given.wait(), WITHIN_S)
        assert 80 - WITHIN_S < notice.left_s() <= 80
        assert "terminate" in notice.why
        assert {path for _, path in machine.asked} == {ACTION, REBALANCE}
        assert machine.tokens == 1  # one for all of it


async def test_an_earlier_time_counts_and_a_later_one_does_not() -> None:
    """Nothing that is heard later gives back time."""
    async with endpoint() as (machine, notice):
        machine.take_away(in_s=60)
        await asyncio.wait_for(notice.given.wait(), WITHIN_S)
        machine.take_away(in_s=30)
        await comes_true(lambda: notice.left_s() <= 30 - MARGIN_S)
        machine.take_away(in_s=100)
        looked = len(machine.asked)
        await comes_true(lambda: len(machine.asked) > looked + 2)
        del machine.says[ACTION]
        looked = len(machine.asked)
        await comes_true(lambda: len(machine.asked) > looked + 2)
        assert notice.given.is_set() and notice.left_s() <= 30 - MARGIN_S


async def test_an_advice_to_rebalance_is_only_logged_and_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        async with endpoint() as (machine, notice):
            machine.advise()
            await comes_true(lambda: machine.asked.count((1, REBALANCE)) > 3)
            assert not notice.given.is_set()
    assert caplog.text.count("action=rebalance_advised") == 1


async def test_a_token_that_was_forgotten_is_asked_for_again() -> None:
    async with endpoint() as (machine, notice):
        await comes_true(lambda: len(machine.asked) > 2)
        machine.forget_tokens()
        machine.take_away(in_s=60)
        await asyncio.wait_for(notice.given.wait(), WITHIN_S)


@pytest.mark.parametrize(
    "words",
    ["", "null", "[]", '"terminate"', "<html>", '{"time": "2026-01-01T00:00:00Z"}', '{"action": 7}', "x" * 9999],
)
async def test_an_answer_that_makes_no_sense_is_no_notice(words: str) -> None:
    """And the next that does is one."""
    async with endpoint() as (machine, notice):
        machine.says[ACTION] = words
        await comes_true(lambda: len(machine.asked) > 4)
        assert not notice.given.is_set()
        machine.take_away(in_s=60)
        await asyncio.wait_for(notice.given.wait(), WITHIN_S)


@pytest.mark.parametrize("time", ["", ', "time": "soon"', ', "time": 7', ', "time": "9999-99-99T00:00:00Z"'])
async def test_a_notice_without_a_time_counts_as_the_shortest(time: str) -> None:
    async with endpoint() as (machine, notice):
        machine.says[ACTION] = f'{{"action": "stop"{time}}}'
        await asyncio.wait_for(notice.given.wait(), WITHIN_S)
        assert NOTICE_S - MARGIN_S - 5 - WITHIN_S < notice.left_s() <= NOTICE_S - MARGIN_S - 5


async def test_a_time_that_is_over_leaves_nothing() -> None:
    async with endpoint() as (machine, notice):
        machine.take_away(in_s=-3600)
        await asyncio.wait_for(notice.given.wait(), WITHIN_S)
        assert notice.left_s() == 0


async def test_an_endpoint_that_is_away_is_told_once_and_heard_when_it_is_back(
    caplog: pytest.LogCaptureFixture, unused_url: str
) -> None:
    """Where there is none at all, the runner goes on without."""
    with caplog.at_level(logging.INFO):
        async with endpoint() as (machine, notice):
            machine.fails = True
            await comes_true(lambda: "action=notices_unknown" in caplog.text)
            machine.fails = False
            await comes_true(lambda: "action=notices_known" in caplog.text)
            machine.take_away(in_s=60)
            await asyncio.wait_for(notice.given.wait(), WITHIN_S)
        assert caplog.text.count("action=notices_unknown") == 1
        caplog.clear()
        async with listening(unused_url) as notice:
            await comes_true(lambda: "action=notices_unknown" in caplog.text)
            assert not notice.given.is_set()


@pytest.fixture
def unused_url() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest.mark.parametrize("url", ["169.254.169.254", "http://", "ftp://a", "http://a/latest", "http://a:0", "http://[a"])
def test_what_is_no_address_is_refused_with_the_cure(url: str) -> None:
    with pytest.raises(ConfigFault, match=r"notice_url: .* use http://HOST"):
        Notice(url)
