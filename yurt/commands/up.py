"""``yurt up``: the whole network on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.service import life
from yurt.stack.child import Say
from yurt.stack.folder import Folder
from yurt.stack.layout import Layout, Wish, lay_out, left_aside
from yurt.stack.network import Network, clear

if TYPE_CHECKING:
    from yurt.bootstrap.authority import Authority
    from yurt.stack.board import Board


def up(options: argparse.Namespace) -> int:
    """Start, say ``ready …``, serve until told to stop, end all. Exit code 0 after an ordinary end."""
    folder = Folder.chosen(options.data, os.environ)
    wish = _wish(options)
    folder.take()
    clear(folder, _say_nothing if options.quiet else _say)
    try:
        authority = _authority(folder) if wish.tls else None
        asyncio.run(_Session(folder, lay_out(wish, folder, authority), quiet=options.quiet).serve())
    finally:
        folder.leave()
    return 0


class _Session:
    """One life of the network, and what is said of it: on a terminal above a table, else line by line."""

    def __init__(self, folder: Folder, layouts: Sequence[Layout], *, quiet: bool) -> None:
        self._board = _board(layouts) if sys.stderr.isatty() and not quiet else None
        self._say: Say = _say_nothing if quiet else _say if self._board is None else self._above
        self._network = Network(folder, layouts, say=self._say)
        self._authority = layouts[0].authority
        self._to_know = left_aside(layouts)
        self._stop = asyncio.Event()

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)
        for words in self._to_know:
            self._say(words)
        if self._authority is not None:
            ca = self._authority.cert
            self._say(f"callers must trust this network's own authority: curl --cacert {ca}, or YURT_CA_FILE={ca}")
        table = None if self._board is None else asyncio.create_task(self._board.keep_up(), name="board")
        start = asyncio.create_task(self._network.start(self._on_ready), name="start")
        try:
            await life.first(asyncio.shield(start), self._stop.wait())
            if not self._stop.is_set():
                start.result()
                await self._stop.wait()
        finally:
            start.cancel()
            tasks = [start] if table is None else [start, table]
            if table is not None:
                table.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._stop.is_set():
                self._say("ending: what runs may finish (again Ctrl-C to kill it)")
            await self._network.stop()

    def _on_ready(self, layout: Layout) -> None:
        line = f"ready {layout.url} region={layout.region.name}"
        if self._board is None:
            print(line, flush=True)
        else:
            self._board.around(lambda: print(line, flush=True))

    def _above(self, line: str) -> None:
        assert self._board is not None
        self._board.say(f"yurt: {line}")

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._network.hurry()
        self._stop.set()


def _wish(options: argparse.Namespace) -> Wish:
    return Wish(
        regions=tuple(name.strip() for name in (options.regions or "").split(",") if name.strip()),
        files=tuple(map(Path, options.region_file or ())),
        rtt=tuple(options.rtt or ()),
        replicas=options.replicas,
        port=options.port,
        engine=tuple(options.engine or ()),
        tls=options.tls,
        consul=bool(os.environ.get("YURT_CONSUL_ADDRESS")),
    )


def _authority(folder: Folder) -> Authority:
    """The data folder's own, made at the first start and kept; its library is loaded only where it is asked for."""
    from yurt.bootstrap.authority import authority

    return authority(folder.path / "authority")


def _board(layouts: Sequence[Layout]) -> Board:
    from yurt.stack.board import Board

    return Board(layouts)


def _say(line: str) -> None:
    print(f"yurt: {line}", file=sys.stderr, flush=True)


def _say_nothing(line: str) -> None:
    """--quiet"""
