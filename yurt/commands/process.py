"""``yurt gateway``, ``runner`` and ``autoscaler``: one process of a network, as Nomad or ``yurt up`` starts it."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Any

from jobs.service.settings import load


def gateway(options: argparse.Namespace) -> int:
    from gateway.app import run
    from gateway.settings import Settings

    return run(load(Settings, **_sources(options)))


def runner(options: argparse.Namespace) -> int:
    from runner.app import run
    from runner.settings import RunnerSettings

    return run(load(RunnerSettings, **_sources(options)))


def autoscaler(options: argparse.Namespace) -> int:
    from autoscaler.app import run
    from autoscaler.settings import AutoscalerSettings

    return run(load(AutoscalerSettings, **_sources(options)))


def add_settings(parser: argparse.ArgumentParser, role: str) -> None:
    """``--config``, and a flag for each setting of the role, so that ``--help`` lists them all."""
    parser.add_argument("--config", metavar="FILE", help="a TOML file with any of the settings below")
    group = parser.add_argument_group("settings", "each also as YURT_<NAME> in the environment; the later wins")
    for field in dataclasses.fields(_settings_of(role)):
        known = "" if field.default is dataclasses.MISSING else f"default {field.default}"
        group.add_argument(f"--{field.name.replace('_', '-')}", metavar="VALUE", help=known)


def _settings_of(role: str) -> Any:
    if role == "gateway":
        from gateway.settings import Settings

        return Settings
    if role == "autoscaler":
        from autoscaler.settings import AutoscalerSettings

        return AutoscalerSettings
    from runner.settings import RunnerSettings

    return RunnerSettings


def _sources(options: argparse.Namespace) -> dict[str, Any]:
    file = Path(options.config) if options.config else None
    return {"file": file, "environ": os.environ, "flags": vars(options)}
