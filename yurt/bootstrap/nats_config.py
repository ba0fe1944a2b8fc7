"""The configuration file of one NATS server, from a plan of it: alone, in a cluster, or in a cluster of a supercluster.

Theory of operation. A region is one cluster that bears its name; its servers find each other by routes. Clusters are
joined by gateways, and a gateway bears the name of its cluster, which is how JetStream places a region's streams: in
the cluster that ``Region.cluster`` names. A server without a cluster port is alone and renders as the plainest file.

Rules
1. A server's name is its identity in the JetStream meta group: it must stay the same over restarts.
2. One server in a region that has neighbours still has a cluster, of one, and a route to itself: JetStream does not
   start in a cluster without routes. The server knows its own addresses and does not follow such a route.
3. Routes and gateways are between our servers only: with TLS both sides must show a certificate of our authority.
   Clients show an NKey instead (the accounts block).
4. JetStream in a cluster needs a system account. A server without accounts makes one itself (``$SYS``); the text in
   ``accounts`` brings its own and names it (``system_account``).
5. ``sync_always`` for whatever is replicated: what is acknowledged is then on the disks, not in the kernels' memories.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jobs.errors import ConfigFault
from jobs.limits import MESSAGE_BYTES

#: how often a gateway or route that was never reached is tried again before the server says so; it goes on after that
CONNECT_RETRIES = 120


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """A server's certificate and key, and the authority's certificate that vouches for it and its like."""

    certificate: Path
    key: Path
    authority: Path


@dataclass(frozen=True, kw_only=True)
class ServerPlan:
    """One NATS server. Ports are TCP ports; -1 lets the kernel choose."""

    name: str  #: unique in the whole network, and stable
    cluster: str = ""  #: the region's cluster; empty with no cluster port
    host: str = "127.0.0.1"  #: where clients, routes and gateways are listened for
    port: int = 4222
    cluster_port: int | None = None
    gateway_port: int | None = None
    routes: tuple[str, ...] = ()  #: ``nats://HOST:PORT`` of the cluster's servers, this one's own may be among them
    gateways: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  #: other clusters, with some of their urls
    client_advertise: str = ""  #: HOST:PORT to be told to clients, where it is not the address listened on
    cluster_advertise: str = ""
    gateway_advertise: str = ""
    store_dir: Path
    sync_always: bool = False
    tags: tuple[str, ...] = ()  #: ``region:use1``, ``az:use1-az1`` …
    unique_tag: str = ""  #: replicas of a stream go to servers that differ in the tag of this prefix (``az:``)
    monitor_host: str = "127.0.0.1"  #: /healthz, /varz, /metrics of the server; TLS where that is not loopback
    monitor_port: int | None = None
    max_memory_bytes: int | None = None  #: of JetStream; None: what the server thinks right
    max_file_bytes: int | None = None
    tls: TlsFiles | None = None
    accounts: str | None = None  #: the accounts, users and permissions; None: open to whoever reaches it
    lame_duck_s: float = 30.0  #: over how long clients are sent away when told to (SIGUSR2)


def render(plan: ServerPlan) -> str:
    """The complete file; raises ``ConfigFault`` where the plan contradicts itself."""
    _check(plan)
    parts = [_server(plan), _jetstream(plan)]
    if plan.tls is not None:
        parts.append(_tls(plan.tls, mutual=False))
    if plan.cluster_port is not None:
        parts.append(_cluster(plan))
    if plan.gateway_port is not None:
        parts.append(_gateway(plan))
    if plan.accounts is not None:
        parts.append(plan.accounts.rstrip("\n"))
    return "\n".join(parts) + "\n"


def _check(plan: ServerPlan) -> None:
    if plan.cluster_port is not None and not plan.cluster:
        raise ConfigFault(f"server {plan.name}: it has a cluster port and no cluster; name the region's cluster")
    if plan.gateway_port is not None and plan.cluster_port is None:
        raise ConfigFault(f"server {plan.name}: it has a gateway port and no cluster port; JetStream needs both")
    if plan.gateways and plan.gateway_port is None:
        raise ConfigFault(f"server {plan.name}: it has other clusters' gateways and no gateway port of its own")


def _server(plan: ServerPlan) -> str:
    lines = [
        f"server_name: {_text(plan.name)}",
        f"listen: {_text(_address(plan.host, plan.port))}",
        f"max_payload: {MESSAGE_BYTES}",
        f"max_pending: {4 * MESSAGE_BYTES}",
    ]
    if plan.client_advertise:
        lines.append(f"client_advertise: {_text(plan.client_advertise)}")
    if plan.tags:
        lines.append(f"server_tags: {_list(plan.tags)}")
    if plan.monitor_port is not None:
        secured = plan.tls is not None and not _is_loopback(plan.monitor_host)
        lines.append(f"{'https' if secured else 'http'}: {_text(_address(plan.monitor_host, plan.monitor_port))}")
    lines.append(f"lame_duck_duration: {_seconds(plan.lame_duck_s)}")
    lines.append(f"lame_duck_grace_period: {_seconds(min(10.0, plan.lame_duck_s / 2))}")
    return "\n".join(lines)


def _jetstream(plan: ServerPlan) -> str:
    return _block("jetstream", _jetstream_lines(plan))


def _jetstream_lines(plan: ServerPlan) -> Iterator[str]:
    yield f"store_dir: {_text(str(plan.store_dir))}"
    if plan.max_memory_bytes is not None:
        yield f"max_memory_store: {plan.max_memory_bytes}"
    if plan.max_file_bytes is not None:
        yield f"max_file_store: {plan.max_file_bytes}"
    if plan.sync_always:
        yield "sync_interval: always"
    if plan.unique_tag:
        yield f"unique_tag: {_text(plan.unique_tag)}"


def _cluster(plan: ServerPlan) -> str:
    assert plan.cluster_port is not None
    lines = [f"name: {_text(plan.cluster)}", f"listen: {_text(_address(plan.host, plan.cluster_port))}"]
    if plan.cluster_advertise:
        lines.append(f"cluster_advertise: {_text(plan.cluster_advertise)}")
    lines.append(f"connect_retries: {CONNECT_RETRIES}")
    lines.append(f"routes: {_list(plan.routes or (_own_route(plan),))}")
    if plan.tls is not None:
        lines.append(_tls(plan.tls, mutual=True))
    return _block("cluster", lines)


def _own_route(plan: ServerPlan) -> str:
    host = "127.0.0.1" if plan.host in ("0.0.0.0", "::") else plan.host  # noqa: S104  # compared, not listened on
    return f"nats://{_address(host, plan.cluster_port or 0)}"


def _gateway(plan: ServerPlan) -> str:
    assert plan.gateway_port is not None
    lines = [f"name: {_text(plan.cluster)}", f"listen: {_text(_address(plan.host, plan.gateway_port))}"]
    if plan.gateway_advertise:
        lines.append(f"advertise: {_text(plan.gateway_advertise)}")
    lines.append(f"connect_retries: {CONNECT_RETRIES}")
    others = [f"{{ name: {_text(name)}, urls: {_list(urls)} }}" for name, urls in sorted(plan.gateways.items())]
    if others:
        lines.append(_block("gateways", others, brackets="[]"))
    if plan.tls is not None:
        lines.append(_tls(plan.tls, mutual=True))
    return _block("gateway", lines)


def _tls(files: TlsFiles, *, mutual: bool) -> str:
    lines = [
        f"cert_file: {_text(str(files.certificate))}",
        f"key_file: {_text(str(files.key))}",
        f"ca_file: {_text(str(files.authority))}",
    ]
    if mutual:
        lines.append("verify: true")
    return _block("tls", lines)


def _block(name: str, lines: Iterable[str], *, brackets: str = "{}") -> str:
    inner = "\n".join("  " + line for whole in lines for line in whole.splitlines())
    return f"{name}: {brackets[0]}\n{inner}\n{brackets[1]}"


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _text(value: str) -> str:
    """A quoted string: JSON's quoting is the server's, and keeps ``$`` and ``{{`` from being read as more than text."""
    return json.dumps(value)


def _list(values: Iterable[str]) -> str:
    return "[" + ", ".join(_text(value) for value in values) + "]"


def _seconds(value: float) -> str:
    return f'"{value:g}s"'
