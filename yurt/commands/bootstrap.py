"""``yurt bootstrap``: a region's streams, consumers and fleets from its file; and, before, the keys of its NATS."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from dataclasses import replace
from pathlib import Path

from jobs.errors import ConfigFault
from jobs.region import Region
from jobs.service.bus import ApiError, Bus
from jobs.service.connections import Connections, connect
from jobs.service.settings import load, load_region
from yurt.bootstrap import apply, keys
from yurt.bootstrap.accounts import SYSTEM
from yurt.bootstrap.changes import Allowed, Changes
from yurt.bootstrap.keys import Material, Servers
from yurt.commands import exits

CONNECT_S = 15.0

# its connection lives for a moment, and what fails is said in one line
logging.getLogger("bus").setLevel(logging.CRITICAL)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--region", metavar="NAME", help="the region; must be the one that its file names")
    parser.add_argument("--region-file", metavar="FILE", help="its file; without one, the embedded region's defaults")
    parser.add_argument("--nats", action="append", metavar="URL", help="a server of the region; may be given again")
    parser.add_argument("--nats-seed-file", metavar="FILE", help="the admin's key, where the servers ask for one")
    parser.add_argument("--nats-ca-file", metavar="FILE", help="the authority of the servers, where they speak TLS")
    parser.add_argument("--dry-run", action="store_true", help="say what would be changed, and change nothing")
    parser.add_argument("--forget", action="store_true", help="stored results and output may be dropped")
    parser.add_argument("--idle", action="store_true", help="queued jobs may go to a fleet that has no runner yet")
    parser.add_argument("--keys", metavar="DIR", help="make keys, accounts, certificates and configurations in DIR")
    parser.add_argument(
        "--server", action="append", metavar="NAME=HOST", help="a server for --keys; may be given again"
    )
    parser.add_argument(
        "--remote", action="append", metavar="REGION=HOST[:PORT]", help="a server of another region; may be given again"
    )
    parser.add_argument(
        "--place", metavar="DIR", help="where the servers will have these files, default where they are"
    )
    parser.add_argument("--store", metavar="DIR", help=f"where the servers keep their streams, default {keys.STORE}")
    parser.add_argument(
        "--guest",
        action="append",
        metavar="FILE",
        help="another region's public.toml, or a folder of them: its roles may come here too",
    )


def bootstrap(options: argparse.Namespace) -> int:
    """Exit code 0 when the region is, or could be made, as its file says."""
    settings = _settings(options)
    if options.region is None and settings.region_file is None and "YURT_REGION" not in os.environ:
        raise ConfigFault("--region: which one? Name it, or give its file with --region-file")
    region = load_region(settings.region_file, settings.region)
    if options.region is not None and options.region != region.name:
        raise ConfigFault(f"--region: {settings.region_file} is the file of {region.name}, not of {options.region}")
    if options.keys is not None:
        settings = _make_keys(options, region, settings)
        if not options.nats:
            return exits.OK
    allowed = Allowed(forget=options.forget, idle=options.idle)
    changes = asyncio.run(_do(settings, region, allowed, dry_run=options.dry_run))
    if changes.refusals:
        raise ConfigFault(apply.refused(region, changes))
    print(_conclusion(region, changes, dry_run=options.dry_run))
    return exits.OK


def _settings(options: argparse.Namespace) -> Connections:
    flags = {
        "region": options.region,
        "region_file": options.region_file,
        "nats_urls": options.nats,
        "nats_seed_file": options.nats_seed_file,
        "nats_ca_file": options.nats_ca_file,
    }
    return load(Connections, file=None, environ=os.environ, flags=flags)


async def _do(settings: Connections, region: Region, allowed: Allowed, *, dry_run: bool) -> Changes:
    bus = await connect(settings, role="admin", name="yurt-bootstrap", wait_s=CONNECT_S)
    try:
        _check_place(bus, region)
        changes = await apply.survey(bus, region, allowed=allowed)
        if settings.region_file is None and changes.alters:
            raise ConfigFault(
                f"region {region.name} is there, and not as the defaults are; give its file with --region-file:\n  "
                + "\n  ".join(changes.lines())
            )
        if dry_run or changes.refusals:
            print(*changes.lines(), sep="\n", end="\n" if changes else "")
        elif changes:
            await apply.carry_out(bus, region, changes, say=print)
        return changes
    except ApiError as error:
        raise ConfigFault(f"JetStream said no: {error}") from error
    finally:
        await bus.close()


def _check_place(bus: Bus, region: Region) -> None:
    """A server on its own takes any cluster's name, and would keep the streams of all of them."""
    if region.cluster and not bus.cluster:
        raise ConfigFault(
            f"the NATS server is on its own, and region {region.name} belongs in the cluster {region.cluster!r}; give"
            " its servers a cluster (--keys makes their configurations), or take cluster out of the region file"
        )


def _conclusion(region: Region, changes: Changes, *, dry_run: bool) -> str:
    if not changes:
        return f"region {region.name} is as its file says; nothing to do"
    return f"region {region.name}: nothing was changed" if dry_run else f"region {region.name} is as its file says now"


# -- keys -------------------------------------------------------------------------------------------------------


def _make_keys(options: argparse.Namespace, region: Region, settings: Connections) -> Connections:
    """The material; and the settings with the admin's part of it, where none was given."""
    folder = Path(options.keys)
    if options.dry_run:
        print(f"would make keys, accounts, certificates and configurations in {folder / region.name}, or keep them")
        return settings
    hosts = _pairs(options.server, "--server") or [(f"{region.name}-1", "127.0.0.1")]
    remote: dict[str, tuple[str, ...]] = {}
    for other, host in _pairs(options.remote, "--remote"):
        remote[other] = (*remote.get(other, ()), host)
    if region.name in remote:
        raise ConfigFault(f"--remote: {region.name} is this region; name its own servers with --server")
    servers = Servers(
        hosts=dict(hosts),
        remote=remote,
        store_dir=Path(options.store or keys.STORE),
        place=None if options.place is None else Path(options.place),
    )
    material = keys.make(folder, region, servers, [Path(guest) for guest in options.guest or ()])
    print(*_what_goes_where(material), sep="\n")
    return replace(
        settings,
        nats_seed_file=settings.nats_seed_file or material.seeds["admin"],
        nats_ca_file=settings.nats_ca_file or material.ca,
    )


def _pairs(words: list[str] | None, flag: str) -> list[tuple[str, str]]:
    pairs = [tuple(word.split("=", 1)) for word in words or ()]
    faults = [
        f"{flag}: {word!r} is no pair; write NAME=HOST"
        for word, pair in zip(words or (), pairs, strict=True)
        if len(pair) != 2 or not all(pair)
    ]
    if faults:
        raise ConfigFault("\n  ".join(faults))
    return [(name, host) for name, host in pairs]


def _what_goes_where(material: Material) -> list[str]:
    lines = []
    for server, config in material.configs.items():
        lines.append(f"server {server}: {config}, with {server}.pem and {server}-key.pem beside it, and {material.ca}")
    for role, seed in material.seeds.items():
        new = "new" if role in material.made else "kept"
        whose = "a person's, for the nats command" if role == SYSTEM else f"the {role}'s (nats_seed_file)"
        lines.append(f"{seed}: {whose}, {new}; nobody else may have it")
    lines.append(f"{material.ca}: everybody's who connects (nats_ca_file)")
    lines.append(f"{material.folder / keys.PUBLIC}: the other regions' (--guest), no secret")
    if material.guests:
        lines.append(f"the roles of {', '.join(material.guests)} may come here as guests")
    lines.append(
        f"a server that runs takes a new configuration with: nats-server --signal reload ({keys.ACCOUNTS} too);"
        " another --remote only at its next start"
    )
    return lines
