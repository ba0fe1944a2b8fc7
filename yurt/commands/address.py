"""Which network a command speaks to."""

from __future__ import annotations

import argparse
import os

from yurt.client import DEFAULT_URL
from yurt.stack.folder import Folder


def url_of(options: argparse.Namespace) -> str:
    """``--url``, else ``YURT_URL``, else that of the ``yurt up`` in the data folder, else the default one."""
    if given := options.url or os.environ.get("YURT_URL"):
        return str(given)
    state = Folder.chosen(options.data, os.environ).read()
    if state.alive and state.places:
        return state.places[0].url
    return DEFAULT_URL
