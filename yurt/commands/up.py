"""``yurt up``: the whole network on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from jobs.errors import ConfigFault
from jobs.region import NAME
from jobs.service import life
from yurt.stack import parts, ports
from yurt.stack.child import Say
from yurt.stack.folder import Folder
from yurt.stack.network import Network, clear

DEFAULT_PORT = 8080
DEFAULT_REGION = "local"


def up(options: argparse.Namespace) -> int:
    """Start, say ``ready …``, serve until told to stop, end all. Exit code 0 after an ordinary end."""
    folder = Folder.chosen(options.data, os.environ)
    say = _say_nothing if options.quiet else _say
    folder.take()
    clear(folder, say)
    network = Network(folder, _layout(options, folder), say=say)
    try:
        asyncio.run(_serve(network, say))
    finally:
        folder.leave()
    return 0


async def _serve(network: Network, say: Say) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, _on_signal, stop, network)
    start = asyncio.ensure_future(network.start())
    try:
        await life.first(asyncio.shield(start), stop.wait())
        if not stop.is_set():
            start.result()
            print(f"ready {network.layout.url} region={network.layout.region.name}", flush=True)
            await stop.wait()
        say("ending: what runs may finish (again Ctrl-C to kill it)")
    finally:
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)
        await network.stop()


def _on_signal(stop: asyncio.Event, network: Network) -> None:
    if stop.is_set():
        network.hurry()
    stop.set()


def _layout(options: argparse.Namespace, folder: Folder) -> parts.Layout:
    names = _regions(options.regions)
    file = None if options.region_file is None else Path(options.region_file)
    region, text = parts.region_of(file, names[0] if names else DEFAULT_REGION)
    if names and names[0] != region.name:
        raise ConfigFault(f"--regions says {names[0]}, and {file} says {region.name}; make them the same")
    before = {place.region: place for place in folder.read().places}
    nats_before = int(before[region.name].nats.rpartition(":")[2]) if region.name in before else None
    return parts.Layout(
        region=region,
        region_text=text,
        folder=folder.region(region.name),
        port=ports.first_free(DEFAULT_PORT) if options.port is None else ports.asked_for(options.port),
        nats_port=ports.any_free(nats_before),
        engine=options.engine,
    )


def _regions(given: str | None) -> list[str]:
    names = [name.strip() for name in (given or "").split(",") if name.strip()]
    if len(names) > 1:
        raise ConfigFault("this version serves one region on one machine; give --regions one name")
    for name in names:
        if not NAME.fullmatch(name):
            raise ConfigFault(f"--regions: {name!r} is no name; use lower-case letters, digits and inner hyphens")
    return names


def _say(line: str) -> None:
    print(f"yurt: {line}", file=sys.stderr, flush=True)


def _say_nothing(line: str) -> None:
    """--quiet"""
