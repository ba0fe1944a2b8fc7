"""The bench of engines: what it was asked for, and how what it found is set beside each other."""

from __future__ import annotations

import math

import pytest

from bench import __main__ as command
from bench.engines import Cell, Numbers, beside_each_other
from bench.programs import GO, PYTHON, Program
from bench.walls import WALLS


def cell(wall: str, program: Program, waiting_mb: float | None = None) -> Cell:
    return Cell(
        wall=wall, program=program, alone_ms=[4.0, 5.0, 9.0], a_second=100.0, cold_percent=0.0, waiting_mb=waiting_mb
    )


def test_each_language_has_its_walls_below_its_bare_tool() -> None:
    """A language that only some walls have, and one that has no bare tool here, are told as they are."""
    cells = [cell("fork", PYTHON, 1.5), cell("fork", GO), cell("docker-runc", PYTHON, 9.0)]
    lines = beside_each_other(cells, {"python": ("bare", 9.5)}).splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["python", "bare"],
        ["fork", "5"],
        ["docker-runc", "5"],
        ["go", "no"],
        ["fork", "5"],
    ]
    assert lines[2].split() == ["fork", "5", "9", "3", "0", "100", "1.5"]
    assert lines[-1].endswith("-")


def test_what_could_not_be_measured_is_a_dash() -> None:
    broken = Cell(wall="fork", program=PYTHON, alone_ms=[], a_second=math.nan, cold_percent=0, waiting_mb=None)
    assert beside_each_other([broken], {}).splitlines()[-1].split() == ["fork", "-", "-", "0", "0", "-", "-"]


def test_no_source_is_sent_twice() -> None:
    numbers = Numbers()
    drawn = [numbers.next() for _ in range(1000)]
    assert len(set(drawn)) == 1000 and max(drawn) < 2**31


def test_only_engines_and_languages_that_there_are_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    options = command._arguments().parse_args(["engines", "--engines", "fork, docker-runsc", "--languages", "go"])
    assert (options.engines, options.languages, options.seconds) == (("fork", "docker-runsc"), ("go",), None)
    with pytest.raises(SystemExit):
        command._arguments().parse_args(["engines", "--engines", "podman"])
    assert f"'podman' is none of {', '.join(WALLS)}" in capsys.readouterr().err
