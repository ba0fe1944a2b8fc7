"""States, verdicts, languages and settings: the tables hold for every member."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs import languages, states
from jobs.errors import ConfigFault
from jobs.languages import NAMING, Language
from jobs.service import settings
from jobs.states import CAUSES, FINAL, TRANSITIONS, Cause, State, Verdict


@pytest.mark.parametrize("state", State)
def test_every_state_has_a_row_and_final_ones_lead_nowhere(state: State) -> None:
    """The transition table is complete."""
    assert state in TRANSITIONS
    assert (state in FINAL) == (not TRANSITIONS[state])
    assert not states.may_become(state, state)


def test_every_state_can_be_reached_from_queued_and_can_end() -> None:
    """Nobody waits for ever: from each state that is not final a final one can be reached."""
    reached, frontier = {State.QUEUED}, [State.QUEUED]
    while frontier:
        for onward in TRANSITIONS[frontier.pop()] - reached:
            reached.add(onward)
            frontier.append(onward)
    assert reached == set(State)
    assert all(TRANSITIONS[state] & FINAL for state in State if state not in FINAL)


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_a_cause(verdict: Verdict) -> None:
    """Only *ok* has none; a limit's verdict is the limit's fault; none is the platform's."""
    cause = CAUSES[verdict]
    assert (cause is None) == (verdict is Verdict.OK)
    assert (cause is Cause.LIMIT) == verdict.value.endswith("_limit")
    assert cause not in (Cause.PLATFORM, Cause.LOST_RUNNER)


@pytest.mark.parametrize("language", Language)
def test_every_language_is_found_by_its_names_and_suffixes(language: Language) -> None:
    """Names in any case; suffixes with their dot."""
    for name in (language.value, *NAMING[language].aliases):
        assert languages.find(name.upper()) is language
    for suffix in NAMING[language].extensions:
        assert languages.of_suffix(suffix) is language


def test_names_and_suffixes_belong_to_one_language_each() -> None:
    """No alias is claimed twice."""
    names = [name for language, naming in NAMING.items() for name in (language.value, *naming.aliases)]
    suffixes = [suffix for naming in NAMING.values() for suffix in naming.extensions]
    assert len(set(names)) == len(names)
    assert len(set(suffixes)) == len(suffixes)


@pytest.mark.parametrize(
    ("wanted", "version", "fits"),
    [
        ("3", "3.11.2", True),
        ("3.1", "3.11.2", False),
        ("3.11", "3.11.2", True),
        ("3.11.2", "3.11.2", True),
        ("*", "20.1", True),
        ("2", "20.1", False),
    ],
)
def test_a_version_is_asked_for_by_whole_parts(wanted: str, version: str, fits: bool) -> None:
    """3.1 is not 3.11."""
    assert languages.satisfies(wanted, version) is fits


def test_versions_are_ordered_by_number() -> None:
    """3.9 is older than 3.11."""
    assert languages.version_key("3.9.18") < languages.version_key("3.11.2")


@dataclass(frozen=True, kw_only=True)
class Example:
    slots: int = 4
    urls: tuple[str, ...] = ("a",)
    file: Path | None = None
    loud: bool = False
    wait_s: float


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    """The nearest word counts."""
    file = tmp_path / "s.toml"
    file.write_text('slots = 1\nurls = ["x", "y"]\nwait_s = 1.5\n')
    environ = {"YURT_SLOTS": "2", "YURT_LOUD": "yes"}
    loaded = settings.load(Example, file=file, environ=environ, flags={"slots": 3})
    assert loaded == Example(slots=3, urls=("x", "y"), loud=True, wait_s=1.5)


def test_all_faults_of_settings_are_told_with_their_place(tmp_path: Path) -> None:
    """A typo, a wrong type and a missing value in one message."""
    file = tmp_path / "s.toml"
    file.write_text('slot = 1\nslots = "many"\n')
    with pytest.raises(ConfigFault) as caught:
        settings.load(Example, file=file, environ={"YURT_LOUD": "perhaps"}, flags={})
    said = str(caught.value)
    assert "slot: no such setting" in said
    assert "slots: 'many' is no whole number" in said
    assert "YURT_LOUD: 'perhaps' is no true or false" in said
    assert "wait_s: must be set" in said
