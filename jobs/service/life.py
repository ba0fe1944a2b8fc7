"""The life of a process: start, serve until told to stop, stop. One way in, one way out.

``run`` gives the main coroutine an event that SIGTERM and SIGINT set; a second signal ends at once. The main coroutine
reads as three steps: start, wait for the event (or for a task that must not end), shut down within a deadline.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import uvloop

from jobs.errors import YurtError

log = logging.getLogger("life")


def run(main: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> int:
    """Run *main* on uvloop; the exit code. An error of ours is one line, not a traceback."""

    async def with_signals() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _on_signal, stop)
        await main(stop)

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a connection, or a sandbox's pipe, is one each
    try:
        uvloop.run(with_signals())
    except YurtError as error:
        print(f"yurt: {error}", file=sys.stderr)
        return 1
    return 0


def settle_memory() -> None:
    """Once a process has started: the collector passes over what lives as long as it does, and runs less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _on_signal(stop: asyncio.Event) -> None:
    if stop.is_set():
        os._exit(130)
    stop.set()


class Tasks:
    """The side tasks of a process: named, and each death is noticed.

    ``failed`` is set when one ends by itself, unless the process is ``closing``, when they may.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self.failed = asyncio.Event()
        self.closing = False

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """A task that is meant to live until ``cancel``."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (task.exception() is not None or not self.closing):
            log.error("action=task_died task=%s", task.get_name(), exc_info=task.exception())
            self.failed.set()

    async def cancel(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def first(*waits: Awaitable[Any]) -> None:
    """Return when the first of *waits* is done; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
