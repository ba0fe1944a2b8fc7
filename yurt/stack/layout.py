"""Where everything of a network on one machine is: which regions, how far apart, their servers, ports and files.

Theory of operation. One region without replicas is one NATS server on its own. Several regions, or replicas, make
clusters: one a region, which bears its name, of one server or as many as there are replicas, and between regions the
servers' gateway ports. A region that was set apart from another (``--rtt``) has a *link* before those ports: its
servers tell the others the link's port in place of their own, so that whoever comes from another region comes through
it (``yurt.stack.link``). All is decided here, before anything is started.

Rules
1. A server keeps its name and its folder over starts: that is its identity in the JetStream meta group. A server on its
   own has a folder of its own, since it cannot take a cluster's streams for its own, nor the other way round.
2. Most of the servers that ever were together in a data folder must be started, or JetStream would wait for them for
   ever: that is refused before anything is started.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.errors import ConfigFault
from jobs.region import NAME, Neighbour, Region, embedded, parse
from jobs.service.settings import read_text
from yurt.stack import distances, ports, region_file
from yurt.stack.distances import NEAR_MS, Distances
from yurt.stack.folder import Folder, Place

if TYPE_CHECKING:
    from yurt.bootstrap.authority import Authority

DEFAULT_PORT = 8080
DEFAULT_REGION = "local"
_PORTS = 5  #: of a server in a cluster
_STORE = re.compile(r"jetstream-\d+")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What ``yurt up`` was asked for."""

    regions: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    rtt: tuple[str, ...] = ()
    replicas: int | None = None
    port: int | None = None
    engine: tuple[str, ...] = ()  #: as in a runner's settings; empty: as region files and runners say
    tls: bool = False
    consul: bool = False  #: NATS servers are entered in Consul, as gateways and runners enter themselves


@dataclass(frozen=True, kw_only=True)
class Server:
    """One NATS server. ``far_*``: the link's ports, by which other regions reach it; None where there is no link."""

    name: str
    title: str  #: of its configuration and its log: ``nats``, or ``nats-2``
    store: Path
    port: int
    cluster_port: int | None = None
    gateway_port: int | None = None
    far_port: int | None = None
    far_gateway_port: int | None = None
    monitor_port: int | None = None  #: for Consul's check; None where there is no Consul

    @property
    def gateway_seen(self) -> int | None:
        """The port at which other regions' servers meet it."""
        return self.far_gateway_port or self.gateway_port


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One region. ``others``: the network's other regions, nearest first."""

    region: Region
    folder: Path
    port: int
    servers: tuple[Server, ...]
    engine: tuple[str, ...] = ()
    authority: Authority | None = field(default=None, repr=False)  #: None: no TLS
    rtt_ms: Mapping[str, float] = field(default_factory=dict, hash=False)  #: to those regions it was set apart from
    others: tuple[Layout, ...] = field(default=(), repr=False)

    @property
    def url(self) -> str:
        return f"{'http' if self.authority is None else 'https'}://{ports.ADDRESS}:{self.port}"

    @property
    def nats(self) -> tuple[str, ...]:
        return tuple(self.nats_url(server.port) for server in self.servers)

    @property
    def nats_from_afar(self) -> tuple[str, ...]:
        """The same, for clients of another region."""
        return tuple(self.nats_url(server.far_port or server.port) for server in self.servers)

    def nats_url(self, port: int) -> str:
        return f"{'nats' if self.authority is None else 'tls'}://{ports.ADDRESS}:{port}"

    def config_of(self, server: Server) -> Path:
        return self.folder / f"{server.title}.conf"

    @property
    def gateway_file(self) -> Path:
        return self.folder / "gateway.toml"


def lay_out(wish: Wish, folder: Folder, authority: Authority | None = None) -> tuple[Layout, ...]:
    """Every region of the network, in the order asked for; raises ``ConfigFault``. The folder must be ours."""
    regions = _regions(wish)
    apart = distances.parse(wish.rtt, [region.name for region in regions])
    if wish.replicas is not None:
        regions = [replace(region, replicas=wish.replicas) for region in regions]
    joined = len(regions) > 1 or any(region.replicas > 1 for region in regions)
    before = {place.region: place for place in folder.read().places}
    http = _http_ports(wish.port, len(regions))
    fresh = ports.several_free(sum(_PORTS * region.replicas for region in regions))
    layouts = []
    for region, port in zip(regions, http, strict=True):
        home = folder.region(region.name)
        layout = Layout(
            region=replace(region, cluster=region.name if joined else ""),
            folder=home,
            port=port,
            servers=tuple(
                replace(server, monitor_port=ports.any_free()) if wish.consul else server
                for server in _servers(
                    region, home, before.get(region.name), fresh, joined=joined, linked=apart.apart(region.name)
                )
            ),
            engine=wish.engine,
            authority=authority,
            rtt_ms=_row(region.name, regions, apart),
        )
        layouts.append(layout)
    if joined:
        _check_majority(folder.path, layouts)
    return tuple(_among(layout, layouts, apart) for layout in layouts)


# -- regions ----------------------------------------------------------------------------------------------------


def _regions(wish: Wish) -> list[Region]:
    files = {file: parse(read_text(file, "the region file")) for file in wish.files}
    described: dict[str, Region] = {}
    faults = [
        f"{name!r} is no name; use lower-case letters, digits and inner hyphens"
        for name in wish.regions
        if not NAME.fullmatch(name)
    ]
    faults += [f"{name!r} is there twice" for name in sorted(set(wish.regions)) if wish.regions.count(name) > 1]
    for file, region in files.items():
        if region.name in described:
            faults.append(f"{file} is a second file of {region.name}; give one a region")
        elif wish.regions and region.name not in wish.regions:
            faults.append(f"{file} is the file of {region.name}, which is not among {', '.join(wish.regions)}; add it")
        described[region.name] = region
    if faults:
        raise ConfigFault("--regions: " + "\n  ".join(faults))
    names = wish.regions or tuple(described) or (DEFAULT_REGION,)
    return [described.get(name) or embedded(name) for name in names]


def _row(name: str, regions: Sequence[Region], apart: Distances) -> dict[str, float]:
    row = {other.name: apart.between(name, other.name) for other in regions}
    return {other: rtt_ms for other, rtt_ms in row.items() if rtt_ms is not None}


def _among(layout: Layout, layouts: Sequence[Layout], apart: Distances) -> Layout:
    """*layout* with the other regions as its neighbours; a region alone keeps those of its file."""
    others = [other for other in layouts if other.region.name != layout.region.name]
    if not others:
        return layout
    told = {each.region: each.rtt_ms for each in layout.region.neighbours}

    def rtt_ms(other: Layout) -> float:
        return layout.rtt_ms.get(other.region.name) or told.get(other.region.name) or NEAR_MS

    others.sort(key=rtt_ms)
    neighbours = tuple(Neighbour(region=each.region.name, rtt_ms=rtt_ms(each), url=each.url) for each in others)
    return replace(layout, region=replace(layout.region, neighbours=neighbours), others=tuple(others))


def text_of(layout: Layout) -> str:
    """The region file that the region's processes read."""
    return region_file.render(layout.region)


# -- servers and ports ------------------------------------------------------------------------------------------


def _http_ports(asked: int | None, count: int) -> list[int]:
    """One a region, counted up: exactly from the one asked for, else from the default one, over those taken."""
    if asked is not None:
        return [ports.asked_for(port) for port in range(asked, asked + count)]
    found: list[int] = []
    for _ in range(count):
        found.append(ports.first_free(found[-1] + 1 if found else DEFAULT_PORT))
    return found


def _servers(
    region: Region, home: Path, before: Place | None, fresh: Iterator[int], *, joined: bool, linked: bool
) -> tuple[Server, ...]:
    if not joined:
        port = _port_before(before, 0) or next(fresh)
        return (Server(name=region.name, title="nats", store=home / "jetstream", port=port),)
    servers = []
    for number in range(1, region.replicas + 1):
        port, cluster_port, gateway_port, far_port, far_gateway_port = (next(fresh) for _ in range(_PORTS))
        servers.append(
            Server(
                name=f"{region.name}-{number}",
                title="nats" if region.replicas == 1 else f"nats-{number}",
                store=home / f"jetstream-{number}",
                port=_port_before(before, number - 1) or port,
                cluster_port=cluster_port,
                gateway_port=gateway_port,
                far_port=far_port if linked else None,
                far_gateway_port=far_gateway_port if linked else None,
            )
        )
    return tuple(servers)


def _port_before(before: Place | None, at: int) -> int | None:
    """The port that a server had at the last start, where it is free."""
    urls = () if before is None else before.servers or (before.nats,)
    port = int(urls[at].rpartition(":")[2]) if at < len(urls) else 0
    return port if port and ports.is_free(port) else None


def _check_majority(folder: Path, layouts: Sequence[Layout]) -> None:
    ours = {server.store for layout in layouts for server in layout.servers}
    ever = set(_stores(folder)) | ours
    if 2 * len(ours) > len(ever):
        return
    missing = sorted(f"{store.parent.name} ({store.name.rpartition('-')[2]})" for store in ever - ours)
    raise ConfigFault(
        f"the NATS servers in {folder} were {len(ever)} together, and fewer than most of them cannot go on: "
        f"{', '.join(missing)} would be missing; start those regions with their replicas too, or another --data"
    )


def left_aside(layouts: Sequence[Layout]) -> list[str]:
    """What a person should know of regions that ran on their own before and do not now, or the other way round."""
    words = []
    for layout in layouts:
        kept = [
            path for path in layout.folder.glob("jetstream*") if path not in {each.store for each in layout.servers}
        ]
        if kept and not any(server.store.exists() for server in layout.servers):
            how = "in a cluster" if layout.region.cluster else "on its own"
            words.append(
                f"{layout.region.name} runs {how} for the first time; what it kept before stays in "
                f"{', '.join(sorted(path.name for path in kept))} of {layout.folder}, for when it is started as it was"
            )
    return words


def _stores(folder: Path) -> Iterator[Path]:
    """The stores of the servers that were ever part of a cluster in this data folder."""
    return (path for path in folder.glob("*/jetstream-*") if _STORE.fullmatch(path.name))
