"""What is kept of a run: all figures as JSON, and a picture of ratios and distributions. Into ``bench/out``."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.figures import Figure, Outcome, Sense

OUT = Path(__file__).parent / "out"
ROW_INCHES = 0.21  #: of the picture, for a figure's bar and its name


def machine() -> dict[str, Any]:
    """What the figures hold for."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "processor": _processor(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
    }


def as_json(outcomes: Mapping[str, Outcome], *, about: Mapping[str, Any]) -> str:
    benches = {
        name: {
            "figures": [{**_plain(figure), "ratio": figure.ratio, "met": figure.met} for figure in outcome.figures],
            "faults": list(outcome.faults),
            "tables": list(outcome.tables),
            "samples_ms": {series: [round(value, 3) for value in values] for series, values in outcome.series.items()},
        }
        for name, outcome in outcomes.items()
    }
    return json.dumps(_finite({**about, "benches": benches}), indent=1, ensure_ascii=False) + "\n"


def write(outcomes: Mapping[str, Outcome], *, stamp: str, about: Mapping[str, Any], out: Path = OUT) -> list[Path]:
    """The files written: figures and picture under their time, and the figures again as ``latest.json``."""
    out.mkdir(parents=True, exist_ok=True)
    text = as_json(outcomes, about=about)
    files = [out / f"{stamp}.json", out / "latest.json"]
    for file in files:
        file.write_text(text)
    picture = out / f"{stamp}.png"
    if draw(outcomes, picture):
        files.append(picture)
    return files


def draw(outcomes: Mapping[str, Outcome], file: Path) -> bool:
    """Left: figures as multiples of their floors, with targets where there are any. Right: distributions.

    False: there is nothing to draw.
    """
    beside = [figure for outcome in outcomes.values() for figure in outcome.figures if figure.ratio]
    ratios = [figure for figure in beside if figure.targets] or beside
    series = {name: sorted(values) for one in outcomes.values() for name, values in one.series.items() if values}
    if not ratios and not series:
        return False
    try:
        import matplotlib as mpl
    except ModuleNotFoundError:  # a network can be measured without pictures
        return False
    mpl.use("Agg")
    from matplotlib import pyplot

    height = max(6.0, ROW_INCHES * len(ratios))
    picture, (left, right) = pyplot.subplots(1, 2, figsize=(15, height), layout="constrained")
    _draw_ratios(left, ratios)
    _draw_series(right, series)
    picture.savefig(file, dpi=110)
    pyplot.close(picture)
    return True


def _draw_ratios(axes: Any, figures: list[Figure]) -> None:
    axes.set_title("as a multiple of the bare tool, in the same run")
    places = range(len(figures))
    colours = ["#b3402e" if figure.met is False else "#2f7d4f" for figure in figures]
    axes.barh(places, [figure.ratio for figure in figures], color=colours)
    axes.set_yticks(places, [figure.what for figure in figures])
    axes.invert_yaxis()
    if figures:
        axes.set_xscale("log")
    axes.axvline(1, color="#555555", linewidth=1)
    for place, figure in zip(places, figures, strict=True):
        for target in figure.targets:
            bound = target.bound if target.ratio else target.bound / (figure.floor or math.nan)
            marker = "<" if target.sense is Sense.AT_MOST else ">"
            axes.plot(bound, place, marker=marker, color="black", linestyle="none")
    axes.grid(axis="x", alpha=0.3)


def _draw_series(axes: Any, series: Mapping[str, list[float]]) -> None:
    axes.set_title("share of runs that were answered within")
    for name, values in series.items():
        axes.step(values, [(rank + 1) / len(values) for rank in range(len(values))], where="post", label=name)
    if series:
        axes.set_xscale("log")
        axes.legend(fontsize=8)
    axes.set_xlabel("milliseconds")
    axes.grid(alpha=0.3)


def _plain(figure: Figure) -> dict[str, Any]:
    table = asdict(figure)
    table["targets"] = [
        {"sense": target.sense.value, "bound": target.bound, "of": "ratio" if target.ratio else "figure"}
        for target in figure.targets
    ]
    return table


def _finite(value: Any) -> Any:
    """JSON has no NaN: null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
