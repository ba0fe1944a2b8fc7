"""Several engines in one runner: each language has its own, and one that fails takes nobody else's with it."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobs.engines import EngineName
from jobs.errors import ConfigFault, SandboxFault
from jobs.languages import Language
from jobs.region import Fleet
from runner import app
from runner.engines import several
from runner.engines.several import Engines, Started
from runner.languages.contract import Installation, Room
from runner.settings import RunnerSettings
from tests.sandboxes import missing
from tests.waiting import eventually

FORK, DOCKER, SNAPSHOT = EngineName
PYTHON, JAVASCRIPT, JAVA, GO, CPP, RUST = Language
OF = {PYTHON: FORK, JAVA: SNAPSHOT, GO: DOCKER}
SOON_S = 0.01


class Stand:
    """An engine that only remembers, and may fail to close."""

    def __init__(self, name: str, *, closes: bool = True) -> None:
        self.name, self.closes, self.closed = name, closes, False
        self.there: set[str] = set()

    async def add(self, installation: Installation, boots: tuple[Any, ...]) -> None:
        self.there.add(installation.name)

    async def pitch(self, installation: Installation, room: Room, *, cold: bool = False, tty: bool = False) -> str:
        assert installation.name in self.there
        return f"{self.name} {room} {cold} {tty}"

    def abreast(self, installation: Installation) -> int:
        return 1

    async def remove(self, installation: Installation) -> None:
        self.there.discard(installation.name)

    async def close(self) -> None:
        self.closed = True
        if not self.closes:
            raise SandboxFault("it holds on")


class Plain:
    """A language that is only its name."""

    def __init__(self, language: Language) -> None:
        self.language = language


def starts(stands: dict[EngineName, Stand], faults: dict[EngineName, Exception]) -> dict[EngineName, several.Start]:
    """What *faults* names fails with that for as long as it is in there."""

    def one(name: EngineName) -> several.Start:
        async def start() -> Started:
            if name in faults:
                raise faults[name]
            return Started(engine=stands[name], called=f"{name}-wall")  # type: ignore[arg-type]  # it pitches words

        return start

    return {name: one(name) for name in EngineName}


@pytest.fixture
def stands() -> dict[EngineName, Stand]:
    return {name: Stand(name) for name in EngineName}


def installation(language: Language) -> Installation:
    return Installation(language=language, version="1")


def chosen(language: Language) -> EngineName:
    return OF[language]


async def test_each_installation_is_pitched_for_by_its_languages_engine(stands: dict[EngineName, Stand]) -> None:
    engines = Engines(starts(stands, {}), chosen)
    await engines.start(OF)
    for language, name in OF.items():
        assert engines.support(Plain(language)) is not None  # type: ignore[arg-type]
        await engines.add(installation(language), ())
        assert str(await engines.pitch(installation(language), Room.RUN, tty=True)) == f"{name} run False True"
        assert engines.called(language) == f"{name}-wall"
        await engines.remove(installation(language))
        assert stands[name].there == set()
    await engines.close()
    assert all(stand.closed for stand in stands.values())


async def test_only_what_is_needed_is_started(stands: dict[EngineName, Stand]) -> None:
    broken = {DOCKER: ConfigFault("no daemon"), SNAPSHOT: ConfigFault("no runsc")}
    engines = Engines(starts(stands, broken), chosen)
    await engines.start([PYTHON])
    await engines.close()
    assert [name for name, stand in stands.items() if stand.closed] == [FORK]


@pytest.mark.parametrize(
    "fault", [ConfigFault("docker_url: no daemon; start it"), OSError("no socket"), TimeoutError()]
)
async def test_one_that_cannot_start_takes_only_its_languages(
    stands: dict[EngineName, Stand], fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """And it is told loudly: which engine, whose languages, why, and the cure."""
    engines = Engines(starts(stands, {DOCKER: fault}), chosen)
    await engines.start(each for each in OF)
    offered = [each for each in OF if engines.support(Plain(each)) is not None]  # type: ignore[arg-type]
    assert offered == [PYTHON, JAVA]
    [line] = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert line.startswith("action=engine_off engine=docker languages=go why=")
    assert "docker" in line.partition("why=")[2] and str(fault) in line


async def test_where_nothing_remains_the_runner_says_why_of_each(stands: dict[EngineName, Stand]) -> None:
    broken: dict[EngineName, Exception] = {
        DOCKER: ConfigFault("docker_url: no daemon"),
        SNAPSHOT: ConfigFault("snapshot needs runsc"),
    }
    engines = Engines(starts(stands, broken), chosen)
    with pytest.raises(ConfigFault, match=r"snapshot needs runsc; .*docker.*no daemon"):
        await engines.start([JAVA, GO])


async def test_what_was_lacking_is_had_once_it_can_be(
    stands: dict[EngineName, Stand], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A daemon that starts after its runner; nothing is said again while nothing has changed."""
    monkeypatch.setattr(several, "RETRY_S", SOON_S)
    broken: dict[EngineName, Exception] = {DOCKER: ConfigFault("no daemon")}
    engines = Engines(starts(stands, broken), chosen)
    await engines.start(OF)
    keeping = asyncio.create_task(engines.keep_up())
    broken[DOCKER] = ConfigFault("no image")
    await eventually(lambda: "no image" in caplog.text)
    del broken[DOCKER]
    await eventually(lambda: engines.support(Plain(GO)) is not None)  # type: ignore[arg-type]
    keeping.cancel()
    assert [record.getMessage()[:18] for record in caplog.records].count("action=engine_off ") == 2


async def test_a_language_that_comes_later_brings_its_engine(stands: dict[EngineName, Stand]) -> None:
    """It joined the fleet: the engine is started at once, not at the next look."""
    engines = Engines(starts(stands, {}), chosen)
    await engines.start([PYTHON])
    keeping = asyncio.create_task(engines.keep_up())
    assert engines.support(Plain(GO)) is None  # type: ignore[arg-type]
    await eventually(lambda: engines.support(Plain(GO)) is not None)  # type: ignore[arg-type]
    keeping.cancel()


async def test_all_are_closed_also_when_one_fails_to(
    stands: dict[EngineName, Stand], caplog: pytest.LogCaptureFixture
) -> None:
    stands[FORK].closes = False
    engines = Engines(starts(stands, {}), chosen)
    await engines.start(OF)
    await engines.close()
    assert all(stand.closed for stand in stands.values())
    assert "action=engine_not_closed engine=fork why='it holds on'" in caplog.text


# -- of a real runner --------------------------------------------------------------------------------------------------

FLEET = Fleet(name="all", languages=tuple(Language), engine=DOCKER, engines=((GO, FORK),))


def test_a_runners_own_settings_go_before_its_fleet() -> None:
    """What the settings do not speak of is as the fleet says."""
    wanted = app.make_engines(settings(engine=("java=snapshot",)), FLEET).called
    assert [wanted(language) for language in (JAVA, GO, PYTHON)] == ["snapshot", "fork", "docker"]
    wanted = app.make_engines(settings(engine=("fork",)), FLEET).called
    assert {wanted(language) for language in Language} == {"fork"}
    wanted = app.make_engines(settings(), replace(FLEET, engine=None, engines=())).called
    assert {wanted(language) for language in Language} == {"fork"}


def test_a_runner_refuses_words_that_are_no_engines() -> None:
    with pytest.raises(ConfigFault, match="'forks' is no engine") as caught:
        app.make_engines(settings(engine=("forks", "cobol=docker")), FLEET)
    assert "'cobol' is no language" in str(caught.value)


async def test_without_root_there_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.os, "geteuid", lambda: 1000)
    with pytest.raises(ConfigFault, match="start the runner as root"):
        await app.make_engines(settings(), FLEET).start(Language)


#: in a process of its own: an engine takes names of its process for itself
WITHOUT_DOCKER = """
import asyncio
from jobs.engines import EngineName
from jobs.languages import Language
from jobs.region import Fleet
from jobs.service import logs
from runner import app
from runner.settings import RunnerSettings

async def main():
    forked = ((Language.GO, EngineName.FORK),)
    fleet = Fleet(name="all", languages=tuple(Language), engine=EngineName.DOCKER, engines=forked)
    settings = RunnerSettings(nats_urls=(), slots=4, docker_url="unix:///nowhere/docker.sock")
    engines = app.make_engines(settings, fleet)
    await engines.start(Language)
    print(engines.called(Language.GO), engines.support(app.SUPPORT[Language.JAVA]()))
    await engines.close()

logs.set_up(role="runner")
asyncio.run(main())
"""


@pytest.mark.skipif(bool(missing()), reason=missing())
def test_a_docker_that_is_not_there_leaves_the_forked_languages() -> None:
    home = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DOCKER], cwd=home, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "fork None\n", done.stderr
    assert "action=engine_off engine=docker languages=python,javascript,java,cpp,rust" in done.stderr
    assert "no Docker daemon answers at unix:///nowhere/docker.sock; start dockerd" in done.stderr


def settings(**changes: Any) -> RunnerSettings:
    return RunnerSettings(nats_urls=("nats://127.0.0.1:1",), region="here", slots=4, **changes)
