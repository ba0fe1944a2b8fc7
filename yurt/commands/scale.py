"""``yurt scale``: what the autoscaler decided, what it would decide now, and what it would have on recorded load."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autoscaler import app, follow, simulate
from autoscaler.controller import Outcome, Still
from autoscaler.policy import Decision
from autoscaler.scaling import FleetScaling, Scaling
from autoscaler.settings import AutoscalerSettings
from jobs.errors import ConfigFault
from jobs.service.settings import load
from yurt.commands import exits, process
from yurt.commands.tables import table

LAST = 10

_PLAN = """\
It senses the region for six seconds and prints what would be decided now, with the reasons in their order.
Nothing is stored and nothing is changed; without --nomad-address the runners that are heard are counted.

example:
  yurt scale plan --config autoscaler.toml

exit code: 0 when every fleet has a decision, 75 when something it needs is away.
"""
_STATUS = """\
example:
  yurt scale status --config autoscaler.toml --last 20
"""
_SIMULATE = """\
FILE is JSON lines or CSV: at, queue (or priority, standard, bulk), ready, cpu_percent, memory_percent;
only "at" must be there, an empty field was not known, and without "ready" the runners are as decided.

example:
  yurt scale simulate monday.csv --scaling-file scaling.toml --start 20
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``status``, ``plan`` and ``simulate`` under *parser*."""
    verbs = parser.add_subparsers(dest="verb", metavar="status|plan|simulate", required=True)
    for name, says, do, more in (
        ("status", "the last decisions", status, _STATUS),
        ("plan", "what would be decided now", plan, _PLAN),
        ("simulate", "the policy on recorded load", simulated, _SIMULATE),
    ):
        verb = verbs.add_parser(
            name,
            help=says,
            description=says[0].upper() + says[1:] + ".",
            epilog=more,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        verb.set_defaults(do=do)
        if name == "simulate":
            verb.add_argument("file", metavar="FILE", help="the samples; - for standard input")
            verb.add_argument("--fleet", metavar="NAME", help="default the first of the region")
            verb.add_argument("--start", type=int, metavar="N", help="runners at the start, default the fleet's least")
            verb.add_argument("--reasons", action="store_true", help="print each decision's reasons under it")
        if name == "status":
            verb.add_argument("--last", type=int, default=LAST, metavar="N", help=f"decisions a fleet, default {LAST}")
        verb.add_argument("--json", action="store_true", help="print JSON")
        process.add_settings(verb, "autoscaler")


def status(options: argparse.Namespace) -> int:
    """Exit code 0, also where nothing has been decided yet."""
    decisions = asyncio.run(app.last_decisions(_settings(options)))
    shown = {fleet: each[-max(1, options.last) :] for fleet, each in decisions.items()}
    if options.json:
        print(json.dumps({fleet: [_as_json(each) for each in found] for fleet, found in shown.items()}, indent=2))
        return exits.OK
    for fleet, found in shown.items():
        if not found:
            print(f"{fleet}: no autoscaler has decided anything in the last hours")
            continue
        print(_table(found))
        print(f"{fleet}, last: {'; '.join(found[-1].reasons)}")
    return exits.OK


def plan(options: argparse.Namespace) -> int:
    outcomes = asyncio.run(app.plan(_settings(options)))
    if options.json:
        print(json.dumps([_outcome_as_json(each) for each in outcomes], indent=2))
    else:
        for outcome in outcomes:
            print(_told(outcome))
    away = any(outcome.still is not Still.DRY_RUN for outcome in outcomes)
    return exits.NO_NETWORK if away else exits.OK


def simulated(options: argparse.Namespace) -> int:
    settings = _settings(options)
    _, scaling = follow.read(settings)
    fleet = _fleet(scaling, options.fleet)
    start = fleet.bounds.minimum if options.start is None else max(0, options.start)
    decisions = list(simulate.run(simulate.read(_text(options.file)), fleet, scaling, start=start))
    if options.json:
        print(json.dumps([_as_json(each) for each in decisions], indent=2))
        return exits.OK
    lines = _table(decisions).split("\n")
    print(lines[0])
    for line, decision in zip(lines[1:], decisions, strict=True):
        print(line)
        if options.reasons:
            print("".join(f"    {reason}\n" for reason in decision.reasons), end="")
    peak = max(decision.total for decision in decisions)
    changes = sum(decision.direction != "hold" for decision in decisions)
    print(f"{len(decisions)} samples, {changes} changes, at most {peak} runners")
    return exits.OK


def _settings(options: argparse.Namespace) -> AutoscalerSettings:
    file = Path(options.config) if options.config else None
    return load(AutoscalerSettings, file=file, environ=os.environ, flags=vars(options))


def _fleet(scaling: Scaling, name: str | None) -> FleetScaling:
    for fleet in scaling.fleets:
        if name in (None, fleet.name):
            return fleet
    raise ConfigFault(f"--fleet: there is no fleet {name!r}; there are {', '.join(scaling.bounds)}")


def _text(file: str) -> str:
    try:
        return Path("/dev/stdin" if file == "-" else file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigFault(f"{file} cannot be read: {error}") from error


def _table(decisions: Sequence[Decision]) -> str:
    rows = [
        [
            datetime.fromtimestamp(each.at, UTC).strftime("%m-%d %H:%M:%S"),
            each.fleet,
            str(each.count.total),
            str(each.wanted),
            str(each.total),
            str(each.baseline),
            str(each.burst),
            each.direction,
            ", ".join(limit.value for limit in each.limits),
        ]
        for each in decisions
    ]
    headings = ["AT (UTC)", "FLEET", "WERE", "WANTED", "TOTAL", "BASE", "BURST", "", "LIMITED BY"]
    return table(headings, rows, right=[2, 3, 4, 5, 6])


def _told(outcome: Outcome) -> str:
    decision = outcome.decision
    if decision is None:
        return f"{outcome.fleet}: cannot decide ({outcome.still}): {outcome.problem}"
    head = (
        f"{outcome.fleet}: {decision.direction}, {decision.count.total} to {decision.total}"
        f" (baseline {decision.baseline}, burst {decision.burst})"
    )
    return "\n".join([head, *(f"  {at}. {reason}" for at, reason in enumerate(decision.reasons, start=1))])


def _as_json(decision: Decision) -> dict[str, Any]:
    return {
        "at": datetime.fromtimestamp(decision.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "fleet": decision.fleet,
        "direction": decision.direction,
        "count": decision.count.total,
        "wanted": decision.wanted,
        "total": decision.total,
        "baseline": decision.baseline,
        "burst": decision.burst,
        "limits": [limit.value for limit in decision.limits],
        "reasons": list(decision.reasons),
    }


def _outcome_as_json(outcome: Outcome) -> dict[str, Any]:
    if outcome.decision is None:
        return {"fleet": outcome.fleet, "problem": outcome.problem, "still": outcome.still}
    return _as_json(outcome.decision)
