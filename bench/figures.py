"""The arithmetic of the benches: percentiles, figures with floors and targets, and the table that shows them. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

WIDTH = 100


class Sense(Enum):
    """Which way a target points."""

    #: the less the better
    AT_MOST = "≤"
    #: the more the better
    AT_LEAST = "≥"


@dataclass(frozen=True, kw_only=True)
class Target:
    """A bound on a figure itself, or with ``ratio`` on the figure divided by its floor."""

    sense: Sense
    bound: float
    ratio: bool = False


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number, what it is set beside, and what it should be. ``floor`` is in the unit of ``value``."""

    what: str
    value: float
    unit: str
    floor: float | None = None
    floor_is: str = ""
    targets: tuple[Target, ...] = ()

    @property
    def ratio(self) -> float | None:
        """The figure as a multiple of its floor; None where there is none."""
        return self.value / self.floor if self.floor else None

    @property
    def met(self) -> bool | None:
        """Whether every target holds; None where there is none. A target on a ratio that is unknown does not hold."""
        if not self.targets:
            return None
        return all(self._holds(target) for target in self.targets)

    def _holds(self, target: Target) -> bool:
        value = self.ratio if target.ratio else self.value
        if value is None or math.isnan(value):
            return False
        return value <= target.bound if target.sense is Sense.AT_MOST else value >= target.bound


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a bench found. ``series`` are samples to draw, by name; ``faults`` say what was wrong, a sentence each."""

    figures: tuple[Figure, ...]
    tables: tuple[str, ...] = ()
    series: dict[str, list[float]] = field(default_factory=dict)
    faults: tuple[str, ...] = ()


def at_most(bound: float) -> Target:
    return Target(sense=Sense.AT_MOST, bound=bound)


def at_most_floors(bound: float) -> Target:
    """*bound* times the floor, or less."""
    return Target(sense=Sense.AT_MOST, bound=bound, ratio=True)


def at_least(bound: float) -> Target:
    return Target(sense=Sense.AT_LEAST, bound=bound)


def at_least_floors(bound: float) -> Target:
    """*bound* times the floor, or more."""
    return Target(sense=Sense.AT_LEAST, bound=bound, ratio=True)


def percentile(samples: Iterable[float], per_cent: float) -> float:
    """The nearest-rank percentile: a sample that was really there. NaN where there are none."""
    ordered = sorted(samples)
    if not ordered:
        return math.nan
    rank = math.ceil(per_cent / 100 * len(ordered))
    return ordered[min(len(ordered), max(1, rank)) - 1]


def median(samples: Iterable[float]) -> float:
    return percentile(samples, 50)


def number(value: float | None, unit: str = "") -> str:
    """Three digits that count: ``0.412 ms``, ``41.2 ms``, ``1,240 ms``; ``-`` for None."""
    if value is None or math.isnan(value):
        return "-"
    size = abs(value)
    digits = 3 if 0 < size < 1 else 2 if size < 10 else 1 if size < 100 else 0
    text = f"{value:,.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{text}{unit}" if unit.startswith("/") or not unit else f"{text} {unit}"


def told(target: Target, unit: str) -> str:
    """A target in words: ``≤ 6 ms`` or ``≥ 3×``."""
    return (
        f"{target.sense.value} {number(target.bound)}×"
        if target.ratio
        else (f"{target.sense.value} {number(target.bound, unit)}")
    )


def verdict(figure: Figure) -> str:
    return {None: "", True: "met", False: "MISSED"}[figure.met]


def figures_table(figures: Sequence[Figure]) -> str:
    """Figure, floor, ratio, target, met or missed: a line each."""
    rows = [
        (
            figure.what,
            number(figure.value, figure.unit),
            f"{number(figure.floor, figure.unit)} {figure.floor_is}".strip() if figure.floor is not None else "",
            f"{number(figure.ratio)}×" if figure.ratio is not None else "",
            ", ".join(told(target, figure.unit) for target in figure.targets),
            verdict(figure),
        )
        for figure in figures
    ]
    return table(("what", "figure", "floor", "ratio", "target", ""), rows, right=(1, 3))


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Lines of text, none over ``WIDTH``: the widest column gives way. Columns in *right* stand right."""
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    room = WIDTH - 2 * (len(widths) - 1)
    while sum(widths) > room and max(widths) > 1:
        widest = widths.index(max(widths))
        widths[widest] -= 1
    return "\n".join(_line(row, widths, right) for row in (headings, *rows))


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[int]) -> str:
    cells = []
    for column, (word, width) in enumerate(zip(row, widths, strict=True)):
        short = word if len(word) <= width else word[: max(0, width - 1)] + "…"
        cells.append(short.rjust(width) if column in right else short.ljust(width))
    return "  ".join(cells).rstrip()
