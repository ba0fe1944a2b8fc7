"""What a region on one machine is started as: NATS servers, a gateway, runners, maybe a link; each with its file.

The files are written anew at each start, so that they always say what runs; whoever wants something else sets it by
``YURT_*`` in the environment of ``yurt up``, which the processes read too, or gives a region file of his own.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.errors import ConfigFault
from jobs.region import Fleet
from yurt.bootstrap.nats_config import ServerPlan, TlsFiles, render
from yurt.stack.child import Plan
from yurt.stack.layout import Layout, Server, text_of
from yurt.stack.ports import ADDRESS

if TYPE_CHECKING:
    from yurt.bootstrap.authority import CertificateFiles

#: how long each may take to end: more than it takes itself by its settings (``drain_s``)
GATEWAY_DRAIN_S = 25.0
RUNNER_DRAIN_S = 90.0
NATS_DRAIN_S = 15.0
LINK_DRAIN_S = 5.0
LOG_BYTES = 16 * 1024 * 1024  #: a log larger than this is set aside at the start

#: variables of ``yurt up`` itself, which say nothing to the processes it starts
_OURS = frozenset({"YURT_DATA", "YURT_URL", "YURT_TOKEN", "YURT_CA_FILE"})


def nats_server() -> str:
    """The NATS server's program: the one installed beside this Python, else the one on the path."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise ConfigFault("there is no nats-server; install this project's dependencies: make setup")
    return found


def nats(layout: Layout, server: Server, environ: Mapping[str, str]) -> Plan:
    file = layout.config_of(server)
    file.write_text(render(_server_plan(layout, server)))
    # On one machine it shares the cores with what it serves: its scheduler on one of two cores costs a third less CPU
    # a message than on both.
    sparing = {"GOMAXPROCS": str(max(1, (os.cpu_count() or 1) // 4)), "GOGC": "300"}
    argv = [nats_server(), "-c", str(file)]
    return _plan(layout, "nats", server.title, argv, {**sparing, **environ}, NATS_DRAIN_S)


def gateway(layout: Layout, environ: Mapping[str, str]) -> Plan:
    settings: dict[str, Any] = {
        **_connections(layout),
        "gateway": layout.region.gateways[0],
        "host": ADDRESS,
        "port": layout.port,
    }
    if layout.others:
        settings["nats_fallback_urls"] = [url for other in layout.others for url in other.nats_from_afar]
    if (files := _certificate(layout, "gateway", "server")) is not None:
        settings |= {"tls_cert_file": str(files.cert), "tls_key_file": str(files.key)}
    return _ours(layout, "gateway", "gateway", settings, environ, GATEWAY_DRAIN_S)


def runners(layout: Layout, environ: Mapping[str, str]) -> list[Plan]:
    """One a fleet."""
    return [_runner(layout, fleet, environ) for fleet in layout.region.fleets]


def _runner(layout: Layout, fleet: Fleet, environ: Mapping[str, str]) -> Plan:
    settings: dict[str, Any] = {**_connections(layout), "fleet": fleet.name}
    if layout.engine:
        settings["engine"] = list(layout.engine)
    if (files := _certificate(layout, "admin", "server")) is not None:
        settings |= {"admin_tls_cert_file": str(files.cert), "admin_tls_key_file": str(files.key)}
    title = "runner" if len(layout.region.fleets) == 1 else f"runner-{fleet.name}"
    return _ours(layout, "runner", title, settings, environ, RUNNER_DRAIN_S)


def link(layout: Layout, environ: Mapping[str, str]) -> Plan:
    """The relay through which the regions that were set apart come to this one."""
    joints = [(server.far_gateway_port, server.gateway_port) for server in layout.servers]
    joints += [(server.far_port, server.port) for server in layout.servers]
    distances = [
        f"{file}={layout.rtt_ms[other.region.name]:g}"
        for other in layout.others
        if other.region.name in layout.rtt_ms
        for file in (other.gateway_file, *map(other.config_of, other.servers))
    ]
    settings = {
        "region": layout.region.name,
        "joints": [f"{listen}:{target}" for listen, target in joints],
        "distances": distances,
    }
    argv = [sys.executable, "-P", "-m", "yurt.stack.link", str(_write(layout.folder / "link.toml", settings))]
    return _plan(layout, "link", "link", argv, environ, LINK_DRAIN_S)


def _server_plan(layout: Layout, server: Server) -> ServerPlan:
    files = _certificate(layout, "nats", "both")
    return ServerPlan(
        name=server.name,
        cluster=layout.region.cluster,
        port=server.port,
        cluster_port=server.cluster_port,
        gateway_port=server.gateway_port if layout.others else None,
        routes=tuple(f"nats://{ADDRESS}:{each.cluster_port}" for each in layout.servers) if server.cluster_port else (),
        gateways={
            other.region.name: tuple(f"nats://{ADDRESS}:{each.gateway_seen}" for each in other.servers)
            for other in layout.others
        },
        monitor_port=server.monitor_port,
        gateway_advertise=f"{ADDRESS}:{server.far_gateway_port}" if server.far_gateway_port else "",
        store_dir=server.store,
        sync_always=layout.region.replicas > 1,
        tls=None if files is None else TlsFiles(certificate=files.cert, key=files.key, authority=files.ca),
    )


def _certificate(layout: Layout, name: str, usage: str) -> CertificateFiles | None:
    if layout.authority is None:
        return None
    from yurt.bootstrap.authority import issue  # its library is loaded only where there is TLS

    return issue(layout.authority, layout.folder / "certificates", name, hosts=[ADDRESS, "localhost"], usage=usage)


def _connections(layout: Layout) -> dict[str, Any]:
    file = layout.folder / "region.toml"
    file.write_text(text_of(layout))
    trust = {} if layout.authority is None else {"nats_ca_file": str(layout.authority.cert)}
    return {"region_file": str(file), "nats_urls": list(layout.nats), **trust}


def _ours(
    layout: Layout, role: str, title: str, settings: dict[str, Any], environ: Mapping[str, str], drain_s: float
) -> Plan:
    file = _write(layout.folder / f"{title}.toml", settings)
    set_by_file = {f"YURT_{name.upper()}" for name in settings}
    passed_on = {name: value for name, value in environ.items() if name not in set_by_file | _OURS}
    if "YURT_CACHE" in passed_on:  # as seen from where we are, not from the region's folder
        passed_on["YURT_CACHE"] = str(Path(passed_on["YURT_CACHE"]).absolute())
    argv = [sys.executable, "-P", "-m", "yurt", role, "--config", str(file)]
    return _plan(layout, role, title, argv, passed_on, drain_s)


def _write(file: Path, settings: Mapping[str, Any]) -> Path:
    file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
    return file


def _plan(layout: Layout, role: str, title: str, argv: list[str], environ: Mapping[str, str], drain_s: float) -> Plan:
    home = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (home, environ.get("PYTHONPATH"))))
    log = layout.folder / "logs" / f"{title}.log"
    _set_aside(log)
    return Plan(
        role=role,
        title=f"{title} of {layout.region.name}" if layout.others else title,
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
