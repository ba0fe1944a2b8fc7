"""Python as a language: which variants are found, prepared and made, and when a run starts cold. No sandbox."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import SandboxFault
from jobs.languages import Language
from jobs.limits import DEFAULTS
from jobs.submission import Submission
from runner.languages.contract import Installation, Sources
from runner.languages.python import Python, provide, variants


def submission(**fields: Any) -> Submission:
    return Submission(
        language=Language.PYTHON, timeout_s=10, limits=DEFAULTS, **{"memory_mb": 256, "code": b"", **fields}
    )


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment without packages, as an operator makes one, in a folder of variants."""
    venv.create(tmp_path / "variants/maps", with_pip=False, symlinks=True)
    return tmp_path / "variants/maps"


def found(environment: Path) -> Installation:
    return next(one for one in Python(environment.parent).discover() if one.variant == environment.name)


# -- what is found --------------------------------------------------------------------------------------------------


def test_a_virtual_environment_is_a_variant_by_its_folders_name(environment: Path) -> None:
    one = found(environment)
    assert one.name == f"python-{one.version}-maps"
    assert one.version == ".".join(map(str, sys.version_info[:3]))
    assert one.path.startswith("/opt/maps/bin:")
    assert one.details["executable"] == "/opt/maps/bin/python3"
    assert (str(environment), "/opt/maps") in {(mount.source, mount.target) for mount in one.mounts}


def test_plain_versions_come_first_and_are_not_changed_by_a_variant(environment: Path, tmp_path: Path) -> None:
    without = [one for one in Python(tmp_path / "none").discover() if not one.variant]
    discovered = Python(environment.parent).discover()
    assert list(discovered[: len(without)]) == without
    assert all(one.variant for one in discovered[len(without) :])


@pytest.mark.parametrize("name", ["Maps", "my maps", ".maps", "-maps"])
def test_a_folder_whose_name_nobody_could_ask_for_is_no_variant(environment: Path, name: str) -> None:
    environment.rename(environment.with_name(name))
    assert not any(one.variant for one in Python(environment.parent).discover() if one.variant != "data")


def test_an_environment_whose_interpreter_is_gone_is_no_variant(environment: Path) -> None:
    (environment / "bin/python3").unlink()
    assert "maps" not in {one.variant for one in Python(environment.parent).discover()}


def test_an_interpreter_that_has_all_packages_of_a_set_is_offered_with_it(tmp_path: Path) -> None:
    """As Debian's is with python3-numpy, python3-pandas and python3-matplotlib; two of the three are not enough."""
    executable = tmp_path / "usr/bin/python3.11"
    packages = tmp_path / "usr/lib/python3/dist-packages"
    for name in ("numpy", "pandas"):
        (packages / name).mkdir(parents=True)
    plain = Installation(language=Language.PYTHON, version="3.11.2", details={"executable": str(executable)})
    assert not list(variants.installed([plain], tmp_path, lambda _: None))
    (packages / "matplotlib").mkdir()
    (one,) = variants.installed([plain], tmp_path, lambda _: None)
    assert (one.variant, one.details["executable"], one.mounts) == ("data", str(executable), plain.mounts)


# -- what is prepared -------------------------------------------------------------------------------------------------


def test_a_rehearsal_is_run_once_and_what_it_keeps_at_home_is_kept(environment: Path, tmp_path: Path) -> None:
    words = "import os, pathlib\npathlib.Path(os.environ['HOME'], 'fonts').write_text('found')\n"
    (environment / "rehearsal.py").write_text(words)
    said: list[str] = []
    for _ in range(2):
        one = Python().prepare(found(environment), tmp_path / "cache", said.append)
    (ahead,) = (Path(mount.source) for mount in one.mounts if mount.target == "/opt/maps.ahead")
    assert (ahead / "home/fonts").read_text() == "found"
    assert (ahead / "rehearsal.py").read_text() == words
    assert Python().boots(one)[0].rehearsal == "/opt/maps.ahead/rehearsal.py"
    assert len(said) == 1


def test_a_new_package_or_another_rehearsal_is_rehearsed_anew(environment: Path, tmp_path: Path) -> None:
    said: list[str] = []

    def prepare() -> None:
        Python().prepare(found(environment), tmp_path / "cache", said.append)

    (environment / "rehearsal.py").write_text("")
    prepare()
    (packages,) = environment.glob("lib/python3*/site-packages")
    (packages / "maps-2.0.dist-info").mkdir()
    prepare()
    (environment / "rehearsal.py").write_text("1")
    prepare()
    assert len(said) == 3


def test_libraries_that_cannot_be_imported_are_said_so(environment: Path, tmp_path: Path) -> None:
    (environment / "rehearsal.py").write_text("import maps_that_are_not_there")
    with pytest.raises(
        SandboxFault, match=r"cannot be imported: ModuleNotFoundError: No module named 'maps_that_are_not_there'"
    ):
        Python().prepare(found(environment), tmp_path / "cache", lambda _: None)
    assert not list((tmp_path / "cache").iterdir())


def test_without_a_rehearsal_nothing_is_imported_ahead(environment: Path, tmp_path: Path) -> None:
    one = Python().prepare(found(environment), tmp_path, lambda _: None)
    assert Python().boots(one)[0].rehearsal == ""


# -- when a run starts cold -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["MPLBACKEND", "MPLCONFIGDIR", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "XDG_CACHE_HOME"]
)
def test_what_libraries_read_at_their_import_starts_a_variant_cold_and_only_a_variant(name: str) -> None:
    nothing = Sources(files=(), entry="main.py")
    asked = submission(env=((name, "x"),))
    for variant, warm in (("", True), ("data", False)):
        installation = Installation(
            language=Language.PYTHON, version="3.11.2", variant=variant, details={"executable": "/usr/bin/python3"}
        )
        assert (Python().run(installation, nothing, (), (), asked).go is not None) is warm


# -- what is made ---------------------------------------------------------------------------------------------------


def test_a_set_is_locked_by_digests_and_rehearsed() -> None:
    for folder in variants.SETS.iterdir():
        lock = (folder / "requirements.lock").read_text()
        for name in (folder / "requirements.in").read_text().split():
            assert f"\n{name}==" in f"\n{lock}"
        assert lock.count("==") <= lock.count("--hash=sha256:")
        compile((folder / "rehearsal.py").read_text(), "rehearsal.py", "exec")


def test_an_environment_that_was_made_of_the_same_lock_is_left_as_it_is(
    environment: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sets = tmp_path / "sets/maps"
    sets.mkdir(parents=True)
    (sets / "requirements.lock").write_text("")
    monkeypatch.setattr(provide, "SETS", sets.parent)
    before = environment.stat().st_ino
    provide.provide("maps", environment.parent)
    made = environment.stat().st_ino
    provide.provide("maps", environment.parent)
    assert before != made == environment.stat().st_ino
    assert [path.name for path in environment.parent.iterdir() if path.is_dir()] == ["maps"]


def test_a_set_that_cannot_be_had_is_told_in_a_line_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = tmp_path / "sets/maps"
    sets.mkdir(parents=True)
    (sets / "requirements.lock").write_text("maps==1 --hash=sha256:" + "0" * 64)
    monkeypatch.setattr(provide, "SETS", sets.parent)
    monkeypatch.setattr(provide, "PIP", (*provide.PIP, "--no-index"))
    assert provide.main(["maps", "--into", str(tmp_path / "variants")]) == 1
    said = capsys.readouterr()
    assert "no variant maps of Python here: ERROR" in said.err
    assert not [path for path in (tmp_path / "variants").iterdir() if path.is_dir()]


def test_a_set_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "runner.languages.python.provide", "games"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "there is no set games; there are: data" in done.stderr
