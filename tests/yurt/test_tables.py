"""Tables fit a terminal of 80 columns, whatever is in them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from yurt.commands.tables import WIDTH, megabytes, milliseconds, table

words = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=120)


@given(st.lists(st.tuples(words, words, words), max_size=5))
def test_no_line_is_wider_than_a_terminal(rows: list[tuple[str, str, str]]) -> None:
    lines = table(["A", "B", "C"], rows).split("\n")
    assert len(lines) == 1 + len(rows)
    assert max(map(len, lines)) <= WIDTH


def test_columns_are_as_wide_as_they_need_and_figures_stand_to_the_right() -> None:
    assert table(["NAME", "MS"], [["a", "7"], ["longer", "1,200"]], right=[1]) == (
        "NAME       MS\n"
        "a           7\n"
        "longer  1,200"
    )  # fmt: skip


def test_figures_are_as_exact_as_a_person_reads_them() -> None:
    assert [milliseconds(value) for value in (None, 0.42, 12.3, 1240.2)] == ["-", "0.4", "12", "1,240"]
    assert [megabytes(value) for value in (None, 0, 3 << 19)] == ["-", "-", "1.5"]
