"""Images are made from the versions that the repository names, and nothing else is taken for them."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

IMAGES = Path(__file__).parents[2] / "images"
sys.path.insert(0, str(IMAGES))

import pins  # noqa: E402  # these lie beside the recipes, on no path of ours
import recipes  # noqa: E402
from pins import Pin  # noqa: E402

CONTENT = b"what was pinned"
PIN = Pin(
    name="libc6",
    version="1:2.36-9+deb12u14",
    architecture="amd64",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)
ALL = [recipes.base(), *map(recipes.read, recipes.names())]


@pytest.mark.parametrize("recipe", ALL, ids=lambda recipe: recipe.name)
def test_each_image_has_a_lock_file_with_every_package_of_its_recipe(recipe: recipes.Recipe) -> None:
    locked = pins.read(recipe.lock, "amd64")
    assert {pin.name for pin in locked if not pin.toolchain} >= set(recipe.packages)
    assert {pin.name for pin in locked} >= {*recipe.packages, *recipe.toolchain}
    assert all(len(pin.sha256) == 64 for pin in locked)


def test_a_package_has_one_version_in_all_lock_files() -> None:
    """Else the layer that all share lies in some image twice, in part, and one of the two is not the newer."""
    assert pins.differing({recipe.name: pins.read(recipe.lock, "amd64") for recipe in ALL}) == []


def test_two_versions_of_a_package_are_told_with_where_they_are() -> None:
    other = replace(PIN, version="2")
    assert pins.differing({"go": [PIN], "java": [other]}) == ["libc6: 1:2.36-9+deb12u14 in go, 2 in java"]


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    written = (PIN, replace(PIN, name="mount", architecture="all", toolchain=True))
    pins.write(tmp_path / "lock", reversed(written))
    assert pins.read(tmp_path / "lock", "amd64") == written


@pytest.mark.parametrize("line", ["libc6 1 amd64", "libc6=1 amd64", "libc6=1 amd64 abc kitchen"])
def test_a_line_that_is_no_pin_is_refused_with_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / "lock").write_text(f"# head\n{line}\n")
    with pytest.raises(ValueError, match=r"lock:2: not name=version architecture sha256"):
        pins.read(tmp_path / "lock", "amd64")


def test_a_lock_file_that_is_not_there_names_its_cure(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="make images RENEW=1"):
        pins.read(tmp_path / "lock", "amd64")


def test_a_lock_file_of_another_architecture_is_refused(tmp_path: Path) -> None:
    pins.write(tmp_path / "lock", [PIN])
    with pytest.raises(ValueError, match="is for amd64, and this machine is arm64"):
        pins.read(tmp_path / "lock", "arm64")


def test_a_file_of_the_pool_counts_only_with_the_digest_that_is_pinned(tmp_path: Path) -> None:
    file = tmp_path / "libc6_1%3a2.36-9+deb12u14_amd64.deb"
    assert pins.missing([PIN], tmp_path) == [PIN]
    file.write_bytes(CONTENT)
    assert pins.missing([PIN], tmp_path) == []
    file.write_bytes(b"something else under its name")
    assert pins.missing([PIN], tmp_path) == [PIN]
    assert not file.exists()


def test_what_is_no_longer_served_is_named_with_the_ways_on() -> None:
    said = str(pins.Gone([PIN, replace(PIN, name="old")], {"libc6": "1:2.36-9+deb12u15"}))
    assert "libc6=1:2.36-9+deb12u14: Debian has 1:2.36-9+deb12u15 now" in said
    assert "old=1:2.36-9+deb12u14: Debian has none now" in said
    assert "RENEW=1" in said
    assert "UNPINNED=1" in said
