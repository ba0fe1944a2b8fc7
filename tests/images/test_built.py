"""Images as they were built: nothing in them that a sandbox or a service has no use for, and what they say is true.

The image of Python is made if it is not there; of the others those are looked at that are (``make images`` makes all).
"""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.engines.daemon import ARCHIVES, IMAGES_S, archive, missing

SOURCES = Path(__file__).parents[2]
sys.path.insert(0, str(SOURCES / "images"))

import pins  # noqa: E402  # these lie beside the recipes, on no path of ours
import recipes  # noqa: E402

pytestmark = [pytest.mark.network, pytest.mark.skipif(bool(missing()), reason=missing())]

SHELLS = {"sh", "dash", "bash", "zsh", "ksh", "busybox", "csh", "fish"}
OF_PACKAGES = {"apt", "apt-get", "dpkg", "dpkg-deb", "rpm", "apk", "pip", "pip3", "npm", "gem", "cargo"}
PROGRAMS = ("bin/", "sbin/", "usr/bin/", "usr/sbin/", "usr/local/bin/")
FOR_ALL = {"tmp", "dev/shm"}  #: what a room mounts something over


@dataclass(frozen=True, kw_only=True)
class Built:
    """What is in an archive: its configuration, and its files by name, with those of upper layers last."""

    config: dict[str, Any]
    files: dict[str, tarfile.TarInfo]


@cache
def _built(name: str) -> Built:
    path = archive("python") if name == "python" else ARCHIVES / f"{name}.tar"
    if not path.exists():
        pytest.skip(f"NO IMAGE HERE: {name}; make images NAMES={name} makes it")
    with tarfile.open(path) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))[0]  # type: ignore[arg-type]
        config = json.load(tar.extractfile(manifest["Config"]))  # type: ignore[arg-type]
        files: dict[str, tarfile.TarInfo] = {}
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=tar.extractfile(layer)) as opened:
                files |= {member.name: member for member in opened}
    return Built(config=config, files=files)


@pytest.fixture(params=recipes.names())
def built(request: pytest.FixtureRequest) -> tuple[recipes.Recipe, Built]:
    return recipes.read(request.param), _built(request.param)


def test_a_shell_is_only_where_the_recipe_asks_for_one(built: tuple[recipes.Recipe, Built]) -> None:
    """That is where the language itself starts one: ``os.system``, ``child_process``, ``system(3)``, Go's build."""
    recipe, image = built
    found = {name for name in image.files if name.startswith(PROGRAMS) and name.rpartition("/")[2] in SHELLS}
    assert ("dash" in recipe.packages) == bool(found), found


def test_there_is_no_package_manager(built: tuple[recipes.Recipe, Built]) -> None:
    _, image = built
    assert not {name for name in image.files if name.startswith(PROGRAMS) and name.rpartition("/")[2] in OF_PACKAGES}
    assert not {name for name in image.files if name.startswith("var/lib/dpkg")}


def test_no_file_gives_rights_to_who_runs_it(built: tuple[recipes.Recipe, Built]) -> None:
    """No set-user-id, no set-group-id, no capability of a file."""
    _, image = built
    assert not [name for name, file in image.files.items() if file.mode & (stat.S_ISUID | stat.S_ISGID)]
    assert not [name for name, file in image.files.items() if any("xattr" in key for key in file.pax_headers)]


def test_all_is_roots_and_no_other_may_write(built: tuple[recipes.Recipe, Built]) -> None:
    """But for the folders that a room mounts its own over."""
    _, image = built
    assert {(file.uid, file.gid) for file in image.files.values()} == {(0, 0)}
    writable = {name for name, file in image.files.items() if not file.issym() and file.mode & 0o022}
    assert writable <= FOR_ALL


def test_its_user_is_root_only_where_the_recipe_says_why(built: tuple[recipes.Recipe, Built]) -> None:
    recipe, image = built
    assert image.config["config"]["User"] == recipe.user
    assert recipe.user == "1000:1000" or recipe.name == "runner"


def test_its_labels_say_what_it_is(built: tuple[recipes.Recipe, Built]) -> None:
    recipe, image = built
    labels = image.config["config"]["Labels"]
    assert labels["yurt.image"] == recipe.name
    assert labels["org.opencontainers.image.title"] == f"yurt/{recipe.name}"
    assert labels["org.opencontainers.image.version"]
    assert not recipe.language or labels["yurt.language"] == recipe.language


def test_its_bill_names_each_package_that_is_in_it(built: tuple[recipes.Recipe, Built]) -> None:
    recipe, _ = built
    bill = json.loads((ARCHIVES / f"{recipe.name}.spdx.json").read_text())
    listed = {package["name"].lower().replace("_", "-") for package in bill["packages"]}
    in_it = {pin.name for pin in pins.read(recipe.lock, "amd64") if not pin.toolchain} - set(recipe.without)
    assert listed >= in_it | set(recipe.python)
    contained = {each["relatedSpdxElement"] for each in bill["relationships"]}
    assert contained == {package["SPDXID"] for package in bill["packages"]}


@pytest.mark.thorough
def test_the_image_of_python_is_the_same_when_it_is_made_once_more() -> None:
    archive("python")
    words = [sys.executable, str(SOURCES / "images/make_images.py"), "python", "--twice", "--out", str(ARCHIVES)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=IMAGES_S)
    if done.returncode == 3:
        pytest.skip(f"PINS ARE GONE: {done.stderr[-1000:]}")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "python: equal: sha256:" in done.stderr, done.stderr[-2000:]
