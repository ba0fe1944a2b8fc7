"""An installation made ready, once a machine, in a way that a stop need not wait for.

Theory of operation. What is prepared lies in a cache that all runners of a machine share: whoever comes first makes it,
behind a lock of the kernel's that falls with its holder, and the others find it made. It can take minutes. It is done
in a thread that the end of the process does not wait for; what it leaves half made is made anew by the next runner.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO, Any, TypeVar

from runner.languages.contract import Installation, Report, Support

T = TypeVar("T")

TURN_S = 900.0  #: whoever holds the lock for longer hangs: then it is done beside it
_LOOK_S = 0.2


async def prepared(support: Support, installation: Installation, cache: Path, report: Report) -> Installation:
    """*installation* with what it needs in *cache*; raises what ``support.prepare`` does."""
    async with _alone(cache / f".{installation.name}.preparing"):
        return await _aside(lambda: support.prepare(installation, cache, report))


@contextlib.asynccontextmanager
async def _alone(file: Path) -> AsyncIterator[None]:
    """No other runner of this machine is in here for the same *file*."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a cache that cannot be written: what needs it says so itself
            file.parent.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(file.open("w"))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TURN_S):
                    while not _take(lock):  # noqa: ASYNC110  # the kernel has no event for a lock
                        await asyncio.sleep(_LOOK_S)
        yield


def _take(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _aside(work: Callable[[], T]) -> T:
    """What *work* returns or raises, from a thread that nobody waits for in the end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(outcome: Callable[[Any], None], value: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is no more
            loop.call_soon_threadsafe(lambda: None if future.done() else outcome(value))

    def run() -> None:
        try:
            result = work()
        except Exception as error:
            tell(future.set_exception, error)
        else:
            tell(future.set_result, result)

    threading.Thread(target=run, name="preparing", daemon=True).start()
    return await future
