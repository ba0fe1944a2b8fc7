"""Tables for a terminal: columns as wide as they need, and no line over 80 signs."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH = 80
_LEAST = 8  #: no column gets narrower than this


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Lines of text; the columns numbered in *right* stand to the right. Gaps give way first, then the widest one."""
    widths = [max(len(row[column]) for row in [headings, *rows]) for column in range(len(headings))]
    gap = 2 if sum(widths) + 2 * (len(widths) - 1) <= WIDTH else 1
    while (excess := sum(widths) + gap * (len(widths) - 1) - WIDTH) > 0 and max(widths) > _LEAST:
        widest = widths.index(max(widths))
        widths[widest] = max(_LEAST, widths[widest] - excess)
    return "\n".join(_line(row, widths, gap, right) for row in [headings, *rows])


def _line(row: Sequence[str], widths: Sequence[int], gap: int, right: Sequence[int]) -> str:
    cells = []
    for column, (word, width) in enumerate(zip(row, widths, strict=True)):
        short = word if len(word) <= width else word[: width - 1] + "…"
        cells.append(short.rjust(width) if column in right else short.ljust(width))
    return (" " * gap).join(cells).rstrip()


def milliseconds(value: float | None) -> str:
    """``0.4``, ``12``, ``1,240``; ``-`` for None."""
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def megabytes(size: int | None) -> str:
    """Bytes as MB of 2**20; ``-`` for None and for 0, which is never true of a process."""
    return f"{size / (1 << 20):.1f}" if size else "-"
