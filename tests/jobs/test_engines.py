"""Which engine a language has: said in words, asked in order, wrong words told all at once."""

from __future__ import annotations

import pytest

from jobs import engines
from jobs.engines import Choice, EngineName
from jobs.languages import Language

FORK, DOCKER, SNAPSHOT = EngineName
PYTHON, JAVASCRIPT, JAVA, GO, CPP, RUST = Language


def read(*words: str) -> Choice:
    faults: list[str] = []
    choice = engines.read(words, "engine", faults)
    assert faults == []
    return choice


@pytest.mark.parametrize("name", EngineName)
def test_a_word_alone_is_for_every_language(name: EngineName) -> None:
    assert {read(name.value).of(language) for language in Language} == {name}


def test_languages_may_have_another_by_any_of_their_names() -> None:
    choice = read("docker", "jdk=snapshot", "c++=fork")
    assert [choice.of(language) for language in Language] == [DOCKER, DOCKER, SNAPSHOT, DOCKER, FORK, DOCKER]


def test_the_first_that_says_something_of_a_language_is_right_and_fork_is_where_none_does() -> None:
    own, fleet = read("java=snapshot"), Choice(engine=DOCKER, engines={JAVA: FORK, GO: FORK})
    assert [engines.chosen(each, (own, fleet)) for each in (JAVA, GO, PYTHON)] == [SNAPSHOT, FORK, DOCKER]
    assert engines.chosen(PYTHON, (own, Choice())) is FORK


def test_every_fault_is_told_with_its_cure() -> None:
    faults: list[str] = []
    engines.read(("dokcer", "java=snap", "cobol=fork", "py=fork", "python=docker", "fork", "docker"), "engine", faults)
    assert faults == [
        "engine: 'dokcer' is no engine; the known ones are fork, docker, snapshot",
        "engine: 'snap' is no engine; the known ones are fork, docker, snapshot",
        "engine: 'cobol' is no language; the known ones are python, javascript, java, go, cpp, rust",
        "engine: python is there twice; keep one",
        "engine: fork and docker are both for all languages; name the languages of one",
    ]
