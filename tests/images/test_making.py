"""Making images, as a person meets it: what is refused and how, and what is told of two builds."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SOURCES = Path(__file__).parents[2]
IMAGES = SOURCES / "images"
sys.path.insert(0, str(IMAGES))

import layers  # noqa: E402  # these lie beside the recipes, on no path of ours
import make_images  # noqa: E402
import twice  # noqa: E402

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="NO ROOT HERE: what is refused first is that")


def _called(*words: str) -> tuple[int, str]:
    command = [sys.executable, str(IMAGES / "make_images.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


@as_root
def test_an_unknown_name_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    code, said = _called("pyhton", "--out", str(tmp_path))
    assert code == 2
    assert "no image 'pyhton'" in said
    assert "python" in said.split("there are")[1]
    assert len(said.splitlines()) == 1


@as_root
@pytest.mark.parametrize("there", [False, True])
def test_a_base_that_is_no_tar_is_refused(tmp_path: Path, there: bool) -> None:
    base = tmp_path / "root.tar"
    if there:
        base.write_text("not a tar")
    code, said = _called("python", "--base", str(base), "--out", str(tmp_path))
    assert code == 2
    assert f"BASE: {base} is no {'tar' if there else 'file'}" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("lacks", "cure"), [("root", "sudo make images"), ("readelf", "apt-get install binutils"), ("3.11", "PYTHON=")]
)
def test_what_a_machine_lacks_is_said_with_its_cure(monkeypatch: pytest.MonkeyPatch, lacks: str, cure: str) -> None:
    if lacks == "root":
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
    elif lacks == "3.11":
        monkeypatch.setattr(sys, "version_info", (3, 12, 0, "final", 0))
    else:
        monkeypatch.setattr(make_images.shutil, "which", lambda tool: None if tool == lacks else tool)
    monkeypatch.setattr(sys, "argv", ["make_images.py", "python"])
    faults = make_images._faults_of_machine(make_images._arguments())
    assert any(cure in fault for fault in faults), faults


def _image(folder: Path, out: Path, *, label: str = "1") -> Path:
    out.mkdir()
    layer = layers.write_layer(folder, out / "layer.tar", below={})
    layers.write_image(out / "image.tar", tag="yurt/x:latest", layers=(layer,), config={}, labels={"a": label})
    return out / "image.tar"


def test_two_archives_are_compared_file_by_file(tmp_path: Path) -> None:
    folder = tmp_path / "root"
    folder.mkdir()
    for name in ("alike", "changed", "gone"):
        (folder / name).write_text("1")
    first = _image(folder, tmp_path / "first")
    assert twice.differences(first, _image(folder, tmp_path / "again")) == []
    (folder / "changed").write_text("2")
    (folder / "gone").unlink()
    found = twice.differences(first, _image(folder, tmp_path / "second", label="2"))
    assert found == ["configuration: config", "changed: content", "gone: only in the first"]


@pytest.fixture
def bake(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script that runs inside a root; it looks for our packages where its first word says."""
    monkeypatch.setattr(sys, "argv", ["bake.py", str(SOURCES), "go"])
    return importlib.import_module("bake")


def test_bytes_that_a_compiler_never_set_are_zeros(tmp_path: Path, bake: ModuleType) -> None:
    """Four bytes that two runs have differently; where more differ, the header stays as it is."""
    same = bytes(range(1, 255))
    for name, guard in (("one", b"\x01\x02\x03\x04"), ("two", b"\x05\x02\x03\x08")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "few.gch").write_bytes(same[:100] + guard + same[100:])
        (tmp_path / name / "many.gch").write_bytes(name.encode() * 100)
    bake.blank_what_is_never_set(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "one/few.gch").read_bytes() == same[:100] + bytes(4) + same[100:]
    assert (tmp_path / "one/many.gch").read_bytes() == b"one" * 100


def test_entries_of_gos_cache_have_one_time(tmp_path: Path, bake: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many letters as before: go refuses an entry of another length."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1750000000")
    entry = tmp_path / "00" / "00ab-a"
    entry.parent.mkdir()
    entry.write_text("v1 00ab 30cd               858182  1795881900115345147\n")
    bake.date_all_alike(tmp_path)
    assert entry.read_text() == "v1 00ab 30cd               858182  1750000000000000000\n"
