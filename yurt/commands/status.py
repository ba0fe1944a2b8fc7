"""``yurt status``: what runs in a data folder, and how its regions are."""

from __future__ import annotations

import argparse
import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

from yurt.commands import exits
from yurt.commands.tables import table
from yurt.stack.folder import Folder, Place, Process, State

ANSWER_S = 2.0


def status(options: argparse.Namespace) -> int:
    """Exit code 0 when a network runs in the folder, or with ``--json``; else 1."""
    folder = Folder.chosen(options.data, os.environ)
    state = folder.read().living()
    health = _health(state.places, folder.path / "authority" / "ca.pem")
    if options.json:
        print(json.dumps(_as_json(state, health), indent=2))
        return exits.OK
    if not state.alive:
        print(f"no network runs in {folder.path}; start one with: yurt up --data {folder.path}")
        return exits.FAULT
    regions = [[place.region, place.url, how, place.nats] for place, how in zip(state.places, health, strict=True)]
    print(table(["REGION", "URL", "HEALTH", "NATS"], regions))
    print()
    rows = [[process.region, process.role, str(process.pid)] for process in _by_region(state)]
    print(table(["REGION", "ROLE", "PID"], rows, right=[2]))
    return exits.OK


def _health(places: Sequence[Place], ca_file: Path) -> list[str]:
    """``ready``, ``starting``, ``unwell`` (it answers, and takes no jobs) or ``away``, of each."""
    if not places:
        return []
    trust = ssl.create_default_context(cafile=str(ca_file)) if ca_file.is_file() else None
    with ThreadPoolExecutor(len(places)) as threads:
        return list(threads.map(partial(_ask, trust=trust), places))


def _ask(place: Place, *, trust: ssl.SSLContext | None) -> str:
    try:
        with urllib.request.urlopen(f"{place.url}/readyz", timeout=ANSWER_S, context=trust):  # noqa: S310  # our own
            return "ready" if place.ready else "starting"
    except urllib.error.HTTPError as error:
        error.close()
        return "unwell" if place.ready else "starting"
    except (OSError, ValueError):
        return "away" if place.ready else "starting"


def _by_region(state: State) -> list[Process]:
    order = {place.region: at for at, place in enumerate(state.places)}
    return sorted(state.processes, key=lambda process: order.get(process.region, len(order)))


def _as_json(state: State, health: Sequence[str]) -> dict[str, object]:
    return {
        "running": state.alive,
        "pid": state.pid or None,
        "regions": [
            {**asdict(place), "healthy": how == "ready", "health": how}
            for place, how in zip(state.places, health, strict=True)
        ],
        "processes": [
            {"role": process.role, "region": process.region, "pid": process.pid} for process in state.processes
        ],
    }
