"""The secrets of a region's NATS, and what is made of them: one NKey a role, certificates, each server's configuration.

Theory of operation. One folder holds a network's material, one folder in it a region's::

    authority/ca.pem, ca-key.pem     signs every server of every region: they must know each other
    us-east/gateway.nk …             a seed a role, for its processes only
    us-east/gateway.old.nk           where that is there: the one before, good until this file is gone
    us-east/public.toml              the public keys: for other regions, as their guests
    us-east/accounts.conf            users and permissions, as in each server's configuration
    us-east/us-east-1.conf           a server's whole configuration; beside it its certificate and key

What is secret is made once, readable by its owner alone, and kept; what follows from it is written anew each time.
Other regions whose folders (or ``public.toml``) are there are guests of this one.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nkeys

from jobs.errors import ConfigFault
from jobs.region import NAME, Region
from jobs.roles import Role
from jobs.service.access import public_key
from yurt.bootstrap import accounts
from yurt.bootstrap.accounts import SYSTEM, PublicKeys
from yurt.bootstrap.authority import Usage, authority, issue
from yurt.bootstrap.nats_config import ServerPlan, TlsFiles, render

STORE = Path("/var/lib/nats")
PUBLIC = "public.toml"
ACCOUNTS = "accounts.conf"


@dataclass(frozen=True, kw_only=True)
class Ports:
    """What the servers of a region listen on."""

    client: int = 4222
    cluster: int = 6222
    gateway: int = 7222
    monitor: int = 8222


@dataclass(frozen=True, kw_only=True)
class Servers:
    """Where a region's servers are: name to host, and HOST or HOST:PORT of other regions' servers, by region."""

    hosts: Mapping[str, str]
    remote: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ports: Ports = field(default_factory=Ports)
    store_dir: Path = STORE
    place: Path | None = None  #: the folder in which a server will have its files; None: where they are made


@dataclass(frozen=True, kw_only=True)
class Material:
    """What was made, or was there already."""

    folder: Path
    seeds: Mapping[str, Path]
    made: tuple[str, ...]  #: the roles whose seeds are new
    public: PublicKeys
    accounts: Path
    ca: Path
    configs: Mapping[str, Path]  #: by server
    guests: tuple[str, ...]  #: the regions whose roles may come here


def make(folder: Path, region: Region, servers: Servers, guests: Sequence[Path] = ()) -> Material:
    """All of a region's material under *folder*; raises ``ConfigFault`` naming what cannot be read or written."""
    own = folder / region.name
    try:
        own.mkdir(parents=True, exist_ok=True)
        seeds, made = _seeds(own)
        before = {role: own / f"{role}.old.nk" for role in seeds if (own / f"{role}.old.nk").exists()}
        public = PublicKeys(region=region.name, keys=_public_keys(seeds), before=_public_keys(before))
        _write(own / PUBLIC, _public_text(public))
        others = read_guests([*guests, folder], region.name)
        known = [*(each.region for each in region.neighbours), *servers.remote]
        text = accounts.render(public, known, others)
        _write(own / ACCOUNTS, text)
        ca = authority(folder / "authority")
        configs = {}
        for name, host in servers.hosts.items():
            files = issue(ca, own, name, hosts=[host, "localhost", "127.0.0.1"], usage=Usage.BOTH)
            tls = TlsFiles(
                certificate=_placed(servers, files.cert),
                key=_placed(servers, files.key),
                authority=_placed(servers, files.ca),
            )
            configs[name] = own / f"{name}.conf"
            _write(configs[name], render(_server(region, servers, name, tls, text)))
    except OSError as error:
        raise ConfigFault(f"--keys: {error.filename or folder} cannot be used: {error.strerror}") from error
    return Material(
        folder=own,
        seeds=seeds,
        made=made,
        public=public,
        accounts=own / ACCOUNTS,
        ca=ca.cert,
        configs=configs,
        guests=tuple(sorted(other.region for other in others)),
    )


def _server(region: Region, servers: Servers, name: str, tls: TlsFiles, text: str) -> ServerPlan:
    """A server alone in a network of one, else one of its region's cluster."""
    joined = bool(region.cluster or len(servers.hosts) > 1 or servers.remote)
    host, ports = servers.hosts[name], servers.ports
    return ServerPlan(
        name=name,
        cluster=(region.cluster or region.name) if joined else "",
        host="0.0.0.0",  # noqa: S104  # behind TLS and keys
        port=ports.client,
        cluster_port=ports.cluster if joined else None,
        gateway_port=ports.gateway if servers.remote else None,
        routes=_urls(servers.hosts.values(), ports.cluster) if len(servers.hosts) > 1 else (),
        gateways={other: _urls(hosts, ports.gateway) for other, hosts in servers.remote.items()},
        client_advertise=f"{host}:{ports.client}",
        cluster_advertise=f"{host}:{ports.cluster}" if joined else "",
        gateway_advertise=f"{host}:{ports.gateway}" if servers.remote else "",
        store_dir=servers.store_dir,
        sync_always=joined,
        tags=(f"region:{region.name}",),
        monitor_port=ports.monitor,
        tls=tls,
        accounts=text,
    )


def _placed(servers: Servers, file: Path) -> Path:
    return file.absolute() if servers.place is None else servers.place / file.name


def _urls(hosts: Iterable[str], port: int) -> tuple[str, ...]:
    return tuple(f"nats://{host}" if ":" in host else f"nats://{host}:{port}" for host in hosts)


# -- seeds ------------------------------------------------------------------------------------------------------


def _seeds(folder: Path) -> tuple[dict[str, Path], tuple[str, ...]]:
    seeds, made = {}, []
    for role in (*Role, SYSTEM):
        seeds[str(role)] = file = folder / f"{role}.nk"
        if not file.exists():
            _write(file, nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER).decode() + "\n", mode=0o600)
            made.append(str(role))
        file.chmod(0o600)  # wherever it was copied from
    return seeds, tuple(made)


def _public_keys(seeds: Mapping[str, Path]) -> dict[str, str]:
    return {role: _public_key(seed) for role, seed in seeds.items()}


def _public_key(seed: Path) -> str:
    try:
        return public_key(seed)
    except ValueError as error:
        raise ConfigFault(f"--keys: {error}; delete it, and run this again for a new one") from error


# -- other regions ----------------------------------------------------------------------------------------------


def read_guests(places: Iterable[Path], home: str) -> tuple[PublicKeys, ...]:
    """The public keys of other regions, in the files and folders given; the first of a region counts."""
    found: dict[str, PublicKeys] = {}
    for file in _public_files(places):
        keys = _read_public(file)
        if keys.region != home:
            found.setdefault(keys.region, keys)
    return tuple(found.values())


def _public_files(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        if place.is_dir():
            yield from sorted([*place.glob(f"*/{PUBLIC}"), *place.glob("*.toml")])
        else:
            yield place


def _read_public(file: Path) -> PublicKeys:
    try:
        table = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigFault(f"--guest: {file} cannot be read: {error}") from error
    region, keys, before = table.get("region"), table.get("keys"), table.get("before", {})
    named = isinstance(region, str) and NAME.fullmatch(region) is not None
    if not named or not isinstance(keys, dict) or not isinstance(before, dict):
        raise ConfigFault(f"--guest: {file} names no region and keys; give a region's {PUBLIC}")
    for role, key in [*keys.items(), *before.items()]:
        if not isinstance(key, str) or not _is_public(key):
            raise ConfigFault(
                f"--guest: {file}: the key of {role} is no public NKey; one begins with U and has 56 letters"
            )
    return PublicKeys(region=str(region), keys=keys, before=before)


def _is_public(key: str) -> bool:
    return len(key) == 56 and key.startswith("U") and key.isalnum() and key.isupper()


def _public_text(public: PublicKeys) -> str:
    def table(name: str, keys: Mapping[str, str]) -> str:
        return f"\n[{name}]\n" + "".join(f'{role} = "{key}"\n' for role, key in keys.items())

    return (
        f'# no secrets: for other regions, whose servers take these roles as guests\nregion = "{public.region}"\n'
        + table("keys", public.keys)
        + (table("before", public.before) if public.before else "")
    )


def _write(file: Path, text: str, *, mode: int = 0o644) -> None:
    """Whole or not at all."""
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as out:
        out.write(text)
    new.replace(file)
