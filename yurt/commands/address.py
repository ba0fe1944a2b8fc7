"""Which network a command speaks to, and whom it believes to be that network.

The authority that ``yurt up --tls`` made is trusted for what lies in its own data folder, and for this machine: a
folder that somebody else has put here must not vouch for the rest of the world.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from yurt.client import DEFAULT_URL, Client
from yurt.stack.folder import Folder
from yurt.sync import SyncClient

_HERE = frozenset({"localhost", "127.0.0.1", "::1"})


def client(options: argparse.Namespace, **more: Any) -> Client:
    """A client of the network that was asked for."""
    url = url_of(options)
    return Client(url, ca_file=ca_of(options, url), **more)


def sync_client(options: argparse.Namespace) -> SyncClient:
    """The same, without async."""
    url = url_of(options)
    return SyncClient(url, ca_file=ca_of(options, url))


def url_of(options: argparse.Namespace) -> str:
    """``--url``, else ``YURT_URL``, else that of the ``yurt up`` in the data folder, else the default one."""
    if given := options.url or os.environ.get("YURT_URL"):
        return str(given)
    state = Folder.chosen(options.data, os.environ).read()
    if state.alive and state.places:
        return state.places[0].url
    return DEFAULT_URL


def ca_of(options: argparse.Namespace, url: str) -> Path | None:
    """``--ca-file``, else the data folder's where *url* is its own; None leaves it to the client (``YURT_CA_FILE``)."""
    if options.ca_file:
        return Path(options.ca_file)
    folder = Folder.chosen(options.data, os.environ)
    local = folder.path / "authority" / "ca.pem"
    own = url.rstrip("/") in {place.url for place in folder.read().places}
    if own or (urlsplit(url).hostname in _HERE and not os.environ.get("YURT_CA_FILE")):
        return local if url.startswith("https:") and local.is_file() else None
    return None
