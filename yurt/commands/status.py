"""``yurt status`` and ``yurt doctor``: what runs here, and what could."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict

from yurt.commands import exits
from yurt.commands.tables import table
from yurt.host import Finding, examine
from yurt.stack.folder import Folder, State


def status(options: argparse.Namespace) -> int:
    """Exit code 0 when a network runs in the folder, or with ``--json``; else 1."""
    folder = Folder.chosen(options.data, os.environ)
    state = folder.read().living()
    if options.json:
        print(json.dumps(_as_json(state), indent=2))
        return exits.OK
    if not state.alive:
        print(f"no network runs in {folder.path}; start one with: yurt up --data {folder.path}")
        return exits.FAULT
    for place in state.places:
        print(f"{place.region}  {'ready' if place.ready else 'starting'}  {place.url}  {place.nats}")
    rows = [[process.role, process.region, str(process.pid)] for process in state.processes]
    print(table(["ROLE", "REGION", "PID"], rows, right=[2]))
    return exits.OK


def doctor(options: argparse.Namespace) -> int:
    """Exit code 1 where the fork engine cannot run."""
    findings = examine()
    fit = all(finding.good for finding in findings if finding.needed)
    if options.json:
        entries = [
            {"what": f.what, "found": f.found, "good": f.good, "needed": f.needed, "cure": f.cure} for f in findings
        ]
        print(json.dumps({"fit": fit, "findings": entries}, indent=2))
    else:
        print(table(["", "WHAT", "FOUND"], [[_mark(f), f.what, f.found] for f in findings]))
        for finding in findings:
            if not finding.good:
                print(f"\n{finding.what}: {finding.cure}")
        print("\nPrograms can run here." if fit else "\nPrograms cannot run here until what is marked NO is mended.")
    return exits.OK if fit else exits.FAULT


def _as_json(state: State) -> dict[str, object]:
    return {
        "running": state.alive,
        "pid": state.pid or None,
        "regions": [asdict(place) for place in state.places],
        "processes": [
            {"role": process.role, "region": process.region, "pid": process.pid} for process in state.processes
        ],
    }


def _mark(finding: Finding) -> str:
    if finding.good:
        return "yes"
    return "NO" if finding.needed else "no"
