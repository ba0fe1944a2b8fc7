"""Waiting for what has no event: asked again and again, at first often, until it is so or its time is over."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

T = TypeVar("T")


def _pauses_s() -> Iterator[float]:
    return itertools.chain((0.005, 0.01, 0.02), itertools.repeat(0.05))


async def eventually(true: Callable[[], T | Awaitable[T]], within_s: float = 10.0) -> T:
    """What *true* gives, once that is something; ``TimeoutError`` after *within_s*."""
    async with asyncio.timeout(within_s):
        for pause_s in _pauses_s():
            value = true()
            if inspect.isawaitable(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(pause_s)
    raise AssertionError("pauses have no end")


def until(true: Callable[[], T], within_s: float = 30.0) -> T:
    """The same where no event loop runs; an assertion when it takes longer."""
    pause, deadline = threading.Event(), time.monotonic() + within_s
    for pause_s in _pauses_s():
        if value := true():
            return value
        assert time.monotonic() < deadline, f"not within {within_s} s: {true}"
        pause.wait(pause_s)
    raise AssertionError("pauses have no end")
