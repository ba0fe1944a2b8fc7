"""Where the other regions are, nearest first: from the region file, or from Consul where there is one.

Whoever needs to know (the gateway to place jobs, the runner to overflow) asks an ``Atlas`` each time, and never waits:
what it says is what was last heard.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

from jobs.region import Neighbour, Region


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
