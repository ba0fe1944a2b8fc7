"""A runner's engine and shelves for tests of what happens inside sandboxes: no NATS, no gateway.

Theory of operation. One event loop in a thread of its own owns the engine; tests are plain functions that call ``run``
and get a ``Result``, by the very path that jobs take (``runner.execute``). A language is discovered, prepared and
proved when a test first asks for it, so that a test of Python alone starts in less than a second.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import pytest

from jobs.events import Stream
from jobs.job import Job
from jobs.languages import Language, satisfies
from jobs.limits import DEFAULTS
from jobs.result import Result
from jobs.states import Class
from jobs.submission import SourceFile, Submission
from runner.engine import Engine
from runner.engines.fork.engine import ForkEngine
from runner.execute import Execution, Shelf
from runner.languages.contract import Installation, Support
from runner.shelves import Shelves
from runner.tape import Tape

CACHE = Path(os.environ.get("YURT_TEST_CACHE", "/var/cache/toolchains"))
START_S = 300.0
RUN_S = 60.0
SLOTS = 48
SUPPORTS = {
    Language.PYTHON: "python:Python",
    Language.JAVASCRIPT: "javascript:JavaScript",
    Language.JAVA: "java:Java",
    Language.GO: "go:Go",
    Language.CPP: "cpp:Cpp",
    Language.RUST: "rust:Rust",
}

T = TypeVar("T")
OnChunk = Callable[[Execution, Stream, bytes], None]
Make = Callable[[], Coroutine[Any, Any, tuple[Engine, Callable[[Support], Support]]]]
"""Makes an engine, and says what becomes of a language with it."""


class Sandboxes:
    """``run`` a submission; ``together`` several at once; ``watch`` one while it runs."""

    def __init__(self, make: Make | None = None) -> None:
        self._make = make or _fork
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sandboxes", daemon=True)
        self._thread.start()
        self._older: dict[Language, list[tuple[Support, Installation]]] = {}
        self.engine, self._of_engine, self.shelves = self._wait(self._start(), START_S)

    def close(self) -> None:
        self._wait(self._end(), 60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def run(self, language: Language | str = Language.PYTHON, code: str | bytes | None = None, **fields: Any) -> Result:
        """The result of one submission; fields as in ``Submission``, those of ``limits`` too, files as a dict."""
        return self._wait(self._execute(self._submission(language, code, fields)), RUN_S)

    def together(self, submissions: Iterable[dict[str, Any]]) -> list[Result]:
        """Several at once."""
        asked = [
            self._submission(one.pop("language", Language.PYTHON), one.pop("code", None), one) for one in submissions
        ]

        async def all_of_them() -> list[Result]:
            return await asyncio.gather(*map(self._execute, asked))

        return self._wait(all_of_them(), RUN_S)

    def watch(self, on_chunk: OnChunk, language: Language | str, code: str, **fields: Any) -> Result:
        """As ``run``; *on_chunk* is called in the engine's loop with the execution and each chunk's stream and data."""
        submission = self._submission(language, code, fields)
        return self._wait(self._execute(submission, on_chunk), RUN_S)

    def shelf(self, language: Language | str, version: str = "*", variant: str = "") -> Shelf:
        """What is offered of a language; the test is skipped where nothing is."""
        found = self._shelf(Language(language), version, variant)
        if found is None:
            pytest.skip(f"{language} {version} {variant} does not work on this machine (see the log)")
        return found

    # -- inside -------------------------------------------------------------------------------------------------

    def _wait(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    async def _start(self) -> tuple[Engine, Callable[[Support], Support], Shelves]:
        engine, of_engine = await self._make()
        return engine, of_engine, Shelves(engine, cache=CACHE, warm=2, slots=8)

    async def _end(self) -> None:
        await self.shelves.close()
        await self.engine.close()

    def _shelf(self, language: Language, version: str = "*", variant: str = "") -> Shelf | None:
        if language not in self._older:
            support = _support(language)
            stock = [self._of_engine(support)] if support else []
            self._older[language] = self._wait(self.shelves.stock(stock), START_S)
        if self.shelves.find(language, version, variant) is None:
            fitting = [
                one for one in self._older[language] if one[1].variant == variant and satisfies(version, one[1].version)
            ][:1]
            self._older[language] = [one for one in self._older[language] if one not in fitting]
            self._wait(self.shelves.stock_older(fitting), START_S)
        return self.shelves.find(language, version, variant)

    def _submission(self, language: Language | str, code: str | bytes | None, fields: dict[str, Any]) -> Submission:
        language = Language(language)
        self.shelf(language, fields.get("version", "*"), fields.get("variant", ""))
        limits = {name: fields.pop(name) for name in list(fields) if name in DEFAULTS.__dataclass_fields__}
        timeout_s = fields.pop("timeout_s", 10.0)
        files = tuple(
            SourceFile(name=name, content=content.encode() if isinstance(content, str) else content)
            for name, content in fields.pop("files", {}).items()
        )
        env = tuple(fields.pop("env", {}).items())
        if isinstance(stdin := fields.get("stdin"), str):
            fields["stdin"] = stdin.encode()
        return Submission(
            language=language,
            code=code.encode() if isinstance(code, str) else code,
            files=files,
            env=env,
            timeout_s=timeout_s,
            memory_mb=fields.pop("memory_mb", 256),
            limits=replace(DEFAULTS, **{"cpu_seconds": timeout_s, **limits}),
            **fields,
        )

    async def _execute(self, submission: Submission, on_chunk: OnChunk | None = None) -> Result:
        now = int(time.time() * 1000)
        job = Job(
            id=f"test-{time.monotonic_ns()}",
            user_id="test",
            submission=submission,
            job_class=Class.STANDARD,
            region="here",
            gateway="here-1",
            created_at_ms=now,
            start_by_ms=now + 60_000,
            correlation_id="",
        )
        shelf = self.shelves.find(submission.language, submission.version, submission.variant)
        assert shelf is not None, f"no {submission.language} {submission.version} is offered"
        execution = Execution(
            job=job,
            shelf=shelf,
            builds=self.shelves.builds,
            building=self.shelves.building,
            tape=Tape(lambda number, stream, data: on_chunk and on_chunk(execution, stream, data)),
            runner="test",
            region="here",
            attempt=1,
            started_at_ms=now,
        )
        return await execution.run()


async def _fork() -> tuple[Engine, Callable[[Support], Support]]:
    return ForkEngine(slots=SLOTS), lambda support: support


async def docker(url: str, runtime: str = "runc") -> tuple[Engine, Callable[[Support], Support]]:
    from runner.engines.docker.engine import started

    engine = await started(url=url, runtime=runtime, cache=CACHE)
    return engine, engine.support


async def snapshot(runsc: str, images: Path) -> tuple[Engine, Callable[[Support], Support]]:
    from runner.engines.snapshot.engine import started

    engine = await started(program=runsc, images=images, cache=CACHE)
    return engine, engine.support


def _support(language: Language) -> Support | None:
    module, name = SUPPORTS[language].split(":")
    kind = getattr(import_module(f"runner.languages.{module}"), name, None)
    return kind() if kind is not None else None


def missing() -> str:
    """What this machine lacks to pitch sandboxes, or nothing."""
    if os.geteuid() != 0:
        return "sandboxes are pitched by root"
    if not Path("/proc/self/ns/user").exists():
        return "this kernel has no user namespaces"
    return ""


@cache
def shared() -> Sandboxes:
    """The one of this test run; ``YURT_TEST_DOCKER`` names a daemon's socket: then containers take the forks' place."""
    url = os.environ.get("YURT_TEST_DOCKER")
    return Sandboxes(None if url is None else lambda: docker(url, os.environ.get("YURT_TEST_RUNTIME", "runc")))


@pytest.fixture(scope="session")
def sandboxes(request: pytest.FixtureRequest) -> Sandboxes:
    """Imported by each folder's conftest; whichever asks first starts it, and the test run's end ends it."""
    if lack := missing():
        pytest.skip(lack)
    first = not shared.cache_info().currsize
    started = shared()
    if first:
        request.config.add_cleanup(started.close)
    return started
