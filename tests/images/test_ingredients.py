"""An image is made anew when, and only when, something changed that is in it or that makes it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from jobs.languages import Language

SOURCES = Path(__file__).parents[2]
sys.path.insert(0, str(SOURCES / "images"))

import ingredients  # noqa: E402  # it lies beside the recipes, on no path of ours


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of ours that a test may change."""
    for name in ("jobs", "runner", "images"):
        shutil.copytree(SOURCES / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def _key(language: str, sources: Path) -> str:
    files = [*ingredients.of_language(language, sources), *ingredients.how_made("languages.py", sources)]
    return ingredients.digest(files, sources=sources)


def _change(file: Path) -> None:
    file.write_text(file.read_text() + "\n")


def _keys(sources: Path) -> dict[Language, str]:
    return {language: _key(language.value, sources) for language in Language}


@pytest.mark.parametrize(
    "file", ["runner/work.py", "runner/engines/docker/engine.py", "jobs/wire.py", "images/make_images.py"]
)
def test_what_runs_jobs_does_not_make_a_languages_image_stale(file: str, sources: Path) -> None:
    before = _keys(sources)
    _change(sources / file)
    assert _keys(sources) == before


@pytest.mark.parametrize(
    "file", ["runner/languages/contract.py", "jobs/submission.py", "runner/engines/fork/program.py", "images/layers.py"]
)
def test_what_is_in_every_image_makes_each_stale(file: str, sources: Path) -> None:
    """The contract and what it imports, process 1 of a container, and how images are made."""
    before = _keys(sources)
    _change(sources / file)
    assert not set(_keys(sources).items()) & set(before.items())


@pytest.mark.parametrize("language", Language)
def test_a_languages_own_module_makes_its_image_stale_and_no_other(language: Language, sources: Path) -> None:
    before = _keys(sources)
    _change(sources / "runner/languages" / language.value / "__init__.py")
    assert {each for each, key in _keys(sources).items() if key != before[each]} == {language}


def test_files_that_are_no_python_count_too(sources: Path) -> None:
    before = _key("javascript", sources)
    _change(sources / "runner/languages/javascript/start.js")
    assert _key("javascript", sources) != before


def test_an_import_within_a_function_is_one(sources: Path) -> None:
    """So that nothing that is used in the root is missing there."""
    module = sources / "runner/languages/python/__init__.py"
    module.write_text(module.read_text() + "\n\ndef late() -> None:\n    from runner.work import Work  # noqa\n")
    assert sources / "runner/work.py" in ingredients.of_language("python", sources)


def test_an_image_of_a_process_is_made_of_all_our_packages() -> None:
    files = ingredients.of_process()
    assert {path.relative_to(SOURCES).parts[0] for path in files} == {
        *ingredients.PACKAGES,
        "pyproject.toml",
        "requirements.lock",
    }
