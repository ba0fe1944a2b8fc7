"""What a region on one machine is started as: a NATS server, a gateway, a runner, each with its configuration file.

The files are written anew at each start, so that they always say what runs; whoever wants something else sets it by
``YURT_*`` in the environment of ``yurt up``, which the processes read too, or gives a region file of his own.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.errors import ConfigFault
from jobs.limits import MESSAGE_BYTES
from jobs.region import Region, parse
from jobs.service.settings import read_text
from yurt.stack.child import Plan

#: how long each may take to end: more than it takes itself by its settings (``drain_s``)
GATEWAY_DRAIN_S = 25.0
RUNNER_DRAIN_S = 90.0
NATS_DRAIN_S = 15.0
LOG_BYTES = 16 * 1024 * 1024  #: a log larger than this is set aside at the start

#: variables of ``yurt up`` itself, which say nothing to the processes it starts
_OURS = frozenset({"YURT_DATA", "YURT_URL", "YURT_TOKEN"})


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What the configuration of a region's processes is made of."""

    region: Region
    region_text: str  #: the region file
    folder: Path  #: the region's own
    port: int
    nats_port: int
    engine: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def nats(self) -> str:
        return f"nats://127.0.0.1:{self.nats_port}"


def region_of(file: Path | None, name: str) -> tuple[Region, str]:
    """The region, and the text of its file: *file*'s, or a new one's that has nothing but the name."""
    text = f"region = {json.dumps(name)}\n" if file is None else read_text(file, "the region file")
    return parse(text), text


def nats_server() -> str:
    """The NATS server's program: the one installed beside this Python, else the one on the path."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise ConfigFault("there is no nats-server; install this project's dependencies: make setup")
    return found


def nats(layout: Layout, environ: Mapping[str, str]) -> Plan:
    file = layout.folder / "nats.conf"
    file.write_text(_nats_config(layout))
    # On one machine it shares the cores with what it serves: its scheduler on one of two cores costs a third less CPU
    # a message than on both.
    sparing = {"GOMAXPROCS": str(max(1, (os.cpu_count() or 1) // 4)), "GOGC": "300"}
    return _plan(layout, "nats", [nats_server(), "-c", str(file)], {**sparing, **environ}, NATS_DRAIN_S)


def gateway(layout: Layout, environ: Mapping[str, str]) -> Plan:
    settings = {
        "region_file": str(_region_file(layout)),
        "nats_urls": [layout.nats],
        "gateway": layout.region.gateways[0],
        "host": "127.0.0.1",
        "port": layout.port,
    }
    return _ours(layout, "gateway", settings, environ, GATEWAY_DRAIN_S)


def runner(layout: Layout, environ: Mapping[str, str]) -> Plan:
    settings = {
        "region_file": str(_region_file(layout)),
        "nats_urls": [layout.nats],
        "engine": layout.engine,
    }
    return _ours(layout, "runner", settings, environ, RUNNER_DRAIN_S)


def _ours(layout: Layout, role: str, settings: dict[str, Any], environ: Mapping[str, str], drain_s: float) -> Plan:
    file = layout.folder / f"{role}.toml"
    file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
    set_by_file = {f"YURT_{name.upper()}" for name in settings}
    passed_on = {name: value for name, value in environ.items() if name not in set_by_file | _OURS}
    if "YURT_CACHE" in passed_on:  # as seen from where we are, not from the region's folder
        passed_on["YURT_CACHE"] = str(Path(passed_on["YURT_CACHE"]).absolute())
    argv = [sys.executable, "-P", "-m", "yurt", role, "--config", str(file)]
    return _plan(layout, role, argv, passed_on, drain_s)


def _plan(layout: Layout, role: str, argv: list[str], environ: Mapping[str, str], drain_s: float) -> Plan:
    home = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (home, environ.get("PYTHONPATH"))))
    log = layout.folder / "logs" / f"{role}.log"
    _set_aside(log)
    return Plan(
        role=role,
        region=layout.region.name,
        argv=argv,
        log=log,
        folder=layout.folder,
        environ={**environ, "PYTHONPATH": path},
        drain_s=drain_s,
    )


def _set_aside(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))


def _region_file(layout: Layout) -> Path:
    file = layout.folder / "region.toml"
    file.write_text(layout.region_text)
    return file


def _nats_config(layout: Layout) -> str:
    """One server with JetStream. A kill loses nothing: what the kernel took is written, whoever dies before."""
    return (
        f"server_name: {json.dumps(layout.region.name)}\n"
        f'listen: "127.0.0.1:{layout.nats_port}"\n'
        f"max_payload: {MESSAGE_BYTES}\n"
        f"max_pending: {4 * MESSAGE_BYTES}\n"
        f"jetstream {{\n  store_dir: {json.dumps(str(layout.folder / 'jetstream'))}\n}}\n"
    )
