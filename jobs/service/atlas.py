"""Where the other regions are, nearest first: from the region file, or from Consul where there is one.

Whoever needs to know (the gateway to place jobs, the runner to overflow) asks an ``Atlas`` each time, and never waits:
what it says is what was last heard.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from typing import Protocol

from jobs.region import Neighbour, Region
from jobs.service.connections import Connections


class Atlas(Protocol):
    @property
    def neighbours(self) -> tuple[Neighbour, ...]:
        """The other regions, nearest first; those of unknown distance last."""
        ...

    async def keep_up(self) -> None:
        """Refresh what is known until cancelled. Raises nothing: what cannot be read keeps its last value."""
        ...


def by_distance(neighbours: Iterable[Neighbour]) -> tuple[Neighbour, ...]:
    """Nearest first; unknown distances last; equals by name."""
    return tuple(sorted(neighbours, key=lambda each: (math.inf if each.rtt_ms is None else each.rtt_ms, each.region)))


class StaticAtlas:
    """The neighbours of the region file."""

    def __init__(self, region: Region) -> None:
        self._neighbours = by_distance(region.neighbours)

    @property
    def neighbours(self) -> tuple[Neighbour, ...]:
        return self._neighbours

    async def keep_up(self) -> None:
        """A file does not change."""
        await asyncio.Event().wait()


def make_atlas(settings: Connections, region: Region) -> Atlas:
    """The atlas of a process: Consul's where it has one, else the region file's."""
    door = settings.consul()
    if door is None:
        return StaticAtlas(region)
    from jobs.service.consul_atlas import ConsulAtlas  # whoever has no Consul does not carry its client

    return ConsulAtlas(door, region)
