"""The arithmetic of the benches."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import report
from bench.figures import (
    WIDTH,
    Figure,
    Outcome,
    at_least,
    at_least_floors,
    at_most,
    at_most_floors,
    figures_table,
    median,
    number,
    percentile,
    table,
    told,
)


@pytest.mark.parametrize(("per_cent", "value"), [(0, 1), (50, 50), (50.5, 51), (99, 99), (100, 100)])
def test_a_percentile_is_the_nearest_rank(per_cent: float, value: float) -> None:
    assert percentile(range(1, 101), per_cent) == value


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 100))
def test_a_percentile_is_one_of_the_samples_and_at_least_its_share_is_not_above(
    samples: list[float], per_cent: float
) -> None:
    value = percentile(samples, per_cent)
    assert value in samples
    assert sum(sample <= value for sample in samples) >= len(samples) * per_cent / 100 - 1e-6


def test_a_percentile_of_nothing_is_not_a_number() -> None:
    assert math.isnan(median([]))


def test_a_figure_is_met_when_every_target_holds() -> None:
    figure = Figure(what="p50", value=5, unit="ms", floor=10, targets=(at_most(6), at_most_floors(0.4)))
    assert figure.ratio == 0.5
    assert figure.met is False
    assert Figure(what="p50", value=4, unit="ms", floor=10, targets=figure.targets).met is True
    assert Figure(what="p50", value=4, unit="ms").met is None


def test_more_is_better_where_the_target_says_so() -> None:
    targets = (at_least(300), at_least_floors(3))
    assert Figure(what="rate", value=700, unit="/s", floor=225, targets=targets).met is True
    assert Figure(what="rate", value=400, unit="/s", floor=225, targets=targets).met is False


def test_a_target_on_an_unknown_ratio_or_value_does_not_hold() -> None:
    assert Figure(what="p50", value=1, unit="ms", targets=(at_most_floors(1),)).met is False
    assert Figure(what="p50", value=math.nan, unit="ms", targets=(at_most(1),)).met is False


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "", "0"),
        (0.4123, "ms", "0.412 ms"),
        (4.0, "ms", "4 ms"),
        (41.23, "ms", "41.2 ms"),
        (1240.4, "ms", "1,240 ms"),
        (225.2, "/s", "225/s"),
        (None, "ms", "-"),
        (math.nan, "ms", "-"),
    ],
)
def test_a_number_shows_the_digits_that_count(value: float | None, unit: str, text: str) -> None:
    assert number(value, unit) == text


def test_a_target_is_told_with_its_direction() -> None:
    assert told(at_most(6), "ms") == "≤ 6 ms"
    assert told(at_least_floors(3), "/s") == "≥ 3×"


@given(st.lists(st.tuples(*[st.text(st.characters(codec="ascii", categories=["L", "N"]))] * 4), max_size=5))
def test_no_line_of_a_table_is_too_long(rows: list[tuple[str, ...]]) -> None:
    wide = [tuple(word * 20 for word in row) for row in rows]
    assert all(len(line) <= WIDTH for line in table(("a", "b", "c", "d"), wide).splitlines())


def test_the_table_of_figures_has_figure_floor_ratio_target_and_verdict() -> None:
    figure = Figure(what="hello, p50", value=4, unit="ms", floor=10, floor_is="bare", targets=(at_most_floors(0.4),))
    line = figures_table([figure]).splitlines()[1]
    assert " ".join(line.split()) == "hello, p50 4 ms 10 ms bare 0.4× ≤ 0.4× met"


def test_what_is_kept_is_json_with_null_for_what_is_not_a_number() -> None:
    figure = Figure(what="p50", value=math.nan, unit="ms", floor=10, targets=(at_most(1),))
    outcome = Outcome(figures=(figure,), series={"p50": [1.23456]}, faults=("wrong",))
    kept = json.loads(report.as_json({"hello": outcome}, about={"quick": True}))
    assert kept["quick"] is True
    assert kept["benches"]["hello"]["figures"][0]["value"] is None
    assert kept["benches"]["hello"]["figures"][0]["met"] is False
    assert kept["benches"]["hello"]["samples_ms"] == {"p50": [1.235]}
    assert kept["benches"]["hello"]["faults"] == ["wrong"]


def test_with_nothing_measured_there_is_no_picture(tmp_path: Path) -> None:
    assert report.draw({"hello": Outcome(figures=())}, tmp_path / "none.png") is False
    assert not (tmp_path / "none.png").exists()
