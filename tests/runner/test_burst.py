"""A dispatched runner ends by itself: idle, or at its time; a baseline runner stays; both are named by their place."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

import pytest

from jobs.errors import ConfigFault
from jobs.service.settings import load
from runner.lifetime import BURST_IDLE_S, BURST_LIFE_S, Lifetime
from runner.settings import RunnerSettings, default_name


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def lifetime(clock: Clock, **settings: object) -> Lifetime:
    return Lifetime(load(RunnerSettings, file=None, environ={}, flags=settings), clock)


def test_a_baseline_runner_stays() -> None:
    clock = Clock()
    life = lifetime(clock)
    clock.now += 365 * 24 * 3600
    assert life.why_over() == ""


def test_a_burst_runner_ends_when_it_was_idle_for_long_enough() -> None:
    clock = Clock()
    life = lifetime(clock, burst=True)
    clock.now += BURST_IDLE_S - 1
    assert life.why_over() == ""
    life.busy()
    clock.now += BURST_IDLE_S - 1
    assert life.why_over() == ""
    clock.now += 1
    assert "idle for 120 s" in life.why_over()


def test_the_drain_is_inside_its_life() -> None:
    """It begins to leave so early that what runs may take ``drain_s``, and is gone when its life is over."""
    clock = Clock()
    life = lifetime(clock, burst=True, drain_s=75.0)
    clock.now += BURST_LIFE_S - 76
    life.busy()
    assert life.why_over() == ""
    clock.now += 1
    life.busy()
    assert "3600 s are over" in life.why_over()


def test_the_two_can_be_set_for_any_runner() -> None:
    clock = Clock()
    life = lifetime(clock, idle_exit_s=5.0)
    clock.now += 5
    assert "idle for 5 s" in life.why_over()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"life_s": 75.0, "drain_s": 75.0}, "life_s: 75 leaves nothing beside drain_s"),
        ({"idle_exit_s": 0.0}, "above 0"),
    ],
)
def test_a_life_that_cannot_be_is_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigFault, match=words):
        lifetime(Clock(), **settings)


async def test_it_is_over_once_no_job_was_seen_for_its_idle_time() -> None:
    """Jobs that it has count as busy at every look, also those that were there before the first one ended."""
    clock = Clock()
    life = lifetime(clock, idle_exit_s=0.04)
    looks = 0

    def has_jobs() -> bool:
        nonlocal looks
        looks += 1
        clock.now += 0.03
        return looks < 5

    async with asyncio.timeout(5):
        await life.over(has_jobs)
    assert looks == 6


def test_a_runner_is_named_by_its_allocation_where_nomad_placed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOMAD_ALLOC_ID", raising=False)
    assert default_name().endswith(f"-{os.getpid()}")
    monkeypatch.setenv("NOMAD_ALLOC_ID", "5f7a2b1c-0d3e-4f5a-9b8c-7d6e5f4a3b2c")
    assert default_name().endswith("-5f7a2b1c")
