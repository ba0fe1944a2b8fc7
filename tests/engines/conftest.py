"""A Docker daemon and sandboxes of the docker engine for this folder's tests, made once a test run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.daemon import Daemon, NoDaemon, runsc
from jobs.languages import Language
from jobs.result import Result
from tests.engines.daemon import ARCHIVES, archive, missing
from tests.sandboxes import Sandboxes, docker, snapshot

PROGRAMS = Path(__file__).parents[1] / "rooms/programs"
SUFFIX = {"python": "py", "javascript": "js", "java": "java", "go": "go", "cpp": "cpp", "rust": "rs"}
HERE = "tests/engines/"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that lies here starts containers, wherever a test was written."""
    for item in items:
        if item.nodeid.startswith(HERE):
            item.add_marker("network")


@pytest.fixture(scope="session")
def daemon() -> Iterator[Daemon]:
    """With an image of Python."""
    if lack := missing():
        pytest.skip(lack)
    image = archive("python")
    started = Daemon()
    try:
        started.start()
        started.load(image)
        yield started
    except NoDaemon as lack:
        pytest.skip(f"NO DOCKER HERE: {lack}")
    finally:
        started.stop()


@pytest.fixture(scope="session")
def sandboxes(daemon: Daemon) -> Iterator[Sandboxes]:
    """As those of ``tests.sandboxes``, but containers."""
    started = Sandboxes(lambda: docker(daemon.url))
    yield started
    started.close()


@pytest.fixture(scope="session")
def gvisor() -> str:
    """``runsc``, and an image of Python."""
    program = runsc()
    if lack := missing():
        pytest.skip(lack)
    if program is None:
        pytest.skip("NO GVISOR HERE: runsc cannot be found; .ci/docker gets it, where apt can")
    archive("python")
    return program


@pytest.fixture(scope="session")
def snapshots(gvisor: str) -> Iterator[Sandboxes]:
    """As those of ``tests.sandboxes``, but restored from snapshots."""
    started = Sandboxes(lambda: snapshot(gvisor, ARCHIVES))
    yield started
    started.close()


@pytest.fixture
def act(sandboxes: Sandboxes) -> Callable[..., Result]:
    """As that of ``tests/rooms``: the program of a language does an action."""

    def do(language: Language | str, action: str, **fields: Any) -> Result:
        code = (PROGRAMS / f"actions.{SUFFIX[language]}").read_text()
        return sandboxes.run(language, code, args=(action,), **fields)

    return do
