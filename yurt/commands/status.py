"""``yurt status``: what runs in a data folder."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict

from yurt.commands import exits
from yurt.commands.tables import table
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


def _as_json(state: State) -> dict[str, object]:
    return {
        "running": state.alive,
        "pid": state.pid or None,
        "regions": [asdict(place) for place in state.places],
        "processes": [
            {"role": process.role, "region": process.region, "pid": process.pid} for process in state.processes
        ],
    }
