"""A Docker daemon and sandboxes of the docker engine for this folder's tests, made once a test run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.daemon import Daemon, NoDaemon, runsc
from jobs.languages import Language
from jobs.result import Result
from runner.execute import Shelf
from runner.languages.catalogue import SUPPORT
from tests.engines.daemon import ARCHIVES, archive, missing
from tests.hostile.conftest import Attack, attacked
from tests.sandboxes import Sandboxes, docker, snapshot

PROGRAMS = Path(__file__).parents[1] / "rooms/programs"
SUFFIX = {"python": "py", "javascript": "js", "java": "java", "go": "go", "cpp": "cpp", "rust": "rs"}
HERE = "tests/engines/"
MADE = (Language.PYTHON, Language.JAVASCRIPT)  #: images of these are made where they are not there


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that lies here starts containers, wherever a test was written."""
    for item in items:
        if item.nodeid.startswith(HERE):
            item.add_marker("network")


@pytest.fixture(scope="session")
def daemon() -> Iterator[Daemon]:
    """With images of ``MADE``, and of every other language whose archive is here."""
    if lack := missing():
        pytest.skip(lack)
    images = [archive(name) for name in MADE]
    images += [path for each in Language if each not in MADE and (path := ARCHIVES / f"{each}.tar").exists()]
    started = Daemon()
    try:
        started.start()
        for image in images:
            started.load(image)
        yield started
    except NoDaemon as lack:
        pytest.skip(f"NO DOCKER HERE: {lack}")
    finally:
        started.stop()


class Contained(Sandboxes):
    """Containers: a language of which there is no image is skipped; one that is there must be offered."""

    def _shelf(self, language: Language, version: str = "*", variant: str = "") -> Shelf | None:
        found = super()._shelf(language, version, variant)
        if found is None:
            there = self._of_engine(SUPPORT[language]()).discover()
            if not any(each.variant == variant for each in there):
                pytest.skip(f"NO IMAGE OF {language} {variant} HERE, of today's sources: make images NAMES={language}")
        assert found is not None, f"{language} {version} is in an image and is not offered; the log says why"
        return found


@pytest.fixture(scope="session")
def sandboxes(daemon: Daemon) -> Iterator[Sandboxes]:
    """As those of ``tests.sandboxes``, but containers."""
    started = Contained(lambda: docker(daemon.url))
    yield started
    started.close()


@pytest.fixture(scope="module")
def guarded(daemon: Daemon) -> Iterator[Sandboxes]:
    """Containers under gVisor."""
    if runsc() is None:
        pytest.skip("NO GVISOR HERE: runsc cannot be found; .ci/docker gets it, where apt can")
    started = Contained(lambda: docker(daemon.url, "runsc"))
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


@pytest.fixture
def attack(sandboxes: Sandboxes) -> Attack:
    """As that of ``tests/hostile``, without another program after each: two containers share nothing to begin with."""

    def do(code: str | None, language: str = "python", **fields: Any) -> Result:
        return attacked(sandboxes, code, language, fields)

    return do
