"""Which NATS server to connect to: home's first, a neighbour's when home's are all gone, home's again when one answers.

A client left to itself stays wherever it got to. ``Homing`` gives it an order instead: every try of a new connection
begins at home, and goes on to the fallback servers in the order in which they are given. Servers that a cluster told of
belong to whichever side we were connected to when we first saw them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

PORT = 4222
LOOK_S = 1.0


def place_of(url: str) -> str:
    """``HOST:PORT`` of a server's url, by which servers are told apart."""
    parts = urlsplit(url if "://" in url else f"nats://{url}")
    host = parts.hostname or ""
    return f"{f'[{host}]' if ':' in host else host}:{parts.port or PORT}"


class Homing:
    """*wait_s*: the pause before all servers are tried over again."""

    def __init__(self, home: Iterable[str], fallback: Iterable[str], *, wait_s: float) -> None:
        self._home = {place_of(url): True for url in home}
        self._fallback = {place_of(url): True for url in fallback if place_of(url) not in self._home}
        self._wait_s = wait_s
        self._tries = 0
        self._at = ""

    def choose(self, known: Sequence[str]) -> tuple[str, float]:
        """The server of *known* to try next, and the pause before."""
        self.learn(known)
        order = [place for place in (*self._home, *self._fallback) if place in known] or list(known)
        rounds, at = divmod(self._tries, len(order))
        self._tries += 1
        return order[at], self._wait_s if rounds and at == 0 else 0.0

    def learn(self, known: Sequence[str]) -> None:
        mine = self._home if self.at_home else self._fallback
        for place in known:
            if place not in self._home and place not in self._fallback:
                mine[place] = True

    def connected(self, place: str) -> None:
        """The next try begins at home again."""
        self._at, self._tries = place, 0

    @property
    def at_home(self) -> bool:
        return not self._at or self._at in self._home

    async def home_answers(self) -> bool:
        """Whether one of home's servers greets who connects."""
        return any(await asyncio.gather(*(_greets(place) for place in self._home)))


async def _greets(place: str) -> bool:
    host, _, port = place.rpartition(":")
    try:
        async with asyncio.timeout(LOOK_S):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            try:
                return await reader.readexactly(4) == b"INFO"
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False
