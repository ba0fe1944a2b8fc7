"""Images are made alike twice, and each folder says what its image is."""

from __future__ import annotations

import json
import os
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from jobs.languages import Language

IMAGES = Path(__file__).parents[2] / "images"
sys.path.insert(0, str(IMAGES))

import layers  # noqa: E402  # it lies beside the recipes, on no path of ours

RECIPES = {path.parent.name: tomllib.loads(path.read_text()) for path in IMAGES.glob("*/image.toml")}
ROLES = {"gateway", "runner", "autoscaler"}


def test_there_is_an_image_for_each_language_and_each_process() -> None:
    assert {recipe.get("language") for recipe in RECIPES.values()} - {None} == {each.value for each in Language}
    assert {recipe.get("role") for recipe in RECIPES.values()} - {None} == ROLES


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_each_has_a_size_to_stay_under_and_packages_by_name(name: str) -> None:
    assert RECIPES[name]["target_mb"] > 0
    assert RECIPES[name]["packages"]


def _folder(at: Path, *, time: int) -> Path:
    (at / "usr/lib").mkdir(parents=True)
    (at / "usr/lib/b.so").write_bytes(b"library")
    os.link(at / "usr/lib/b.so", at / "usr/lib/a.so")
    (at / "lib").symlink_to("usr/lib")
    (at / "etc").mkdir()
    (at / "etc/hostname").write_text("yurt\n")
    for path in [*at.rglob("*"), at]:
        os.utime(path, (time, time), follow_symlinks=False)
    return at


def _image(folder: Path, out: Path) -> str:
    out.mkdir()
    base = layers.write_layer(folder, out / "base.tar", below={})
    return layers.write_image(
        out / "image.tar",
        tag="yurt/x:latest",
        layers=(base,),
        config={"User": "1000:1000"},
        labels={"b": "2", "a": "1"},
    )


def test_the_same_files_are_the_same_image_whenever_and_wherever_they_were_made(tmp_path: Path) -> None:
    """Order, owners and times of making do not count; times after the epoch are brought down to it."""
    first = _image(_folder(tmp_path / "one", time=layers.EPOCH + 5), tmp_path / "out-1")
    second = _image(_folder(tmp_path / "two", time=layers.EPOCH + 5000), tmp_path / "out-2")
    assert first == second
    assert (tmp_path / "out-1/image.tar").read_bytes() == (tmp_path / "out-2/image.tar").read_bytes()


def test_another_byte_is_another_image(tmp_path: Path) -> None:
    first = _image(_folder(tmp_path / "one", time=1), tmp_path / "out-1")
    changed = _folder(tmp_path / "two", time=1)
    (changed / "etc/hostname").write_text("other\n")
    assert _image(changed, tmp_path / "out-2") != first


def test_a_layer_leaves_out_what_the_one_below_has(tmp_path: Path) -> None:
    below = _folder(tmp_path / "below", time=1)
    above = _folder(tmp_path / "above", time=1)
    (above / "etc/more").write_text("more\n")
    layers.write_layer(above, tmp_path / "layer.tar", below=layers.fingerprints(below))
    with tarfile.open(tmp_path / "layer.tar") as tar:
        assert tar.getnames() == ["etc/more"]


def test_an_archive_is_what_docker_load_reads(tmp_path: Path) -> None:
    identity = _image(_folder(tmp_path / "one", time=1), tmp_path / "out")
    with tarfile.open(tmp_path / "out/image.tar") as tar:
        manifest = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        config = json.load(tar.extractfile(manifest[0]["Config"]))  # type: ignore[arg-type]
        assert manifest[0]["Config"] == f"{identity.removeprefix('sha256:')}.json"
        assert manifest[0]["Layers"][0] in tar.getnames()
    assert config["config"]["Labels"] == {"a": "1", "b": "2"}
    assert len(config["rootfs"]["diff_ids"]) == 1
