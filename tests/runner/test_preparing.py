"""Preparing happens once a machine, and stopping does not wait for it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from jobs.languages import Language
from runner.languages.contract import Installation, Support
from runner.preparing import prepared

HERE = Installation(language=Language.PYTHON, version="3.0")


class Slow:
    """A language whose preparing can be held up, and is counted."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.inside = self.most = 0

    def prepare(self, installation: Installation, cache: Path, report: Any) -> Installation:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.begun.set()
        self.go_on.wait(10)
        self.inside -= 1
        return installation


def begin(slow: Any, cache: Path) -> asyncio.Task[Installation]:
    return asyncio.create_task(prepared(cast(Support, slow), HERE, cache, lambda words: None))


async def test_of_several_at_once_one_prepares_after_the_other(tmp_path: Path) -> None:
    slow = Slow()
    tasks = [begin(slow, tmp_path) for _ in range(3)]
    await asyncio.to_thread(slow.begun.wait, 10)
    slow.go_on.set()
    assert await asyncio.wait_for(asyncio.gather(*tasks), 10) == [HERE] * 3
    assert slow.most == 1


async def test_who_is_cancelled_is_gone_at_once_and_the_next_has_its_turn(tmp_path: Path) -> None:
    slow = Slow()
    first, second = begin(slow, tmp_path), begin(Slow(), tmp_path)
    await asyncio.to_thread(slow.begun.wait, 10)
    for task in (first, second):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 1)
    third = Slow()
    third.go_on.set()
    assert await asyncio.wait_for(begin(third, tmp_path), 10) == HERE
    slow.go_on.set()


async def test_what_goes_wrong_is_told_as_it_was(tmp_path: Path) -> None:
    class Broken:
        def prepare(self, *_: Any) -> Installation:
            raise ValueError("no compiler")

    with pytest.raises(ValueError, match="no compiler"):
        await begin(Broken(), tmp_path)


async def test_a_cache_that_cannot_be_written_is_the_languages_own_affair(tmp_path: Path) -> None:
    slow = Slow()
    slow.go_on.set()
    (tmp_path / "file").write_text("")
    assert await begin(slow, tmp_path / "file" / "cache") == HERE
