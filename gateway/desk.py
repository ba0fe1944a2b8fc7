"""What every handler has at hand: the parts that ``app`` built, in one frozen record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from gateway.admission import Admission
from gateway.archive import Archive
from gateway.feeds import Feeds
from gateway.horizon import Horizon
from gateway.listing import Listing
from gateway.metrics import Exposition, Metrics
from gateway.records import Records
from gateway.settings import Settings
from jobs.region import Region
from jobs.service.bus import Bus


@dataclass(slots=True)
class Leaving:
    """Whether this process is on its way out."""

    begun: bool = False


@dataclass(frozen=True, kw_only=True)
class Desk:
    settings: Settings
    region: Region
    gateway: str  #: our name, under which output comes back
    bus: Bus
    feeds: Feeds
    archive: Archive
    horizon: Horizon
    admission: Admission
    listing: Listing
    records: Records
    metrics: Metrics
    exposition: Exposition
    now_ms: Callable[[], int]
    sockets: set[web.WebSocketResponse] = field(default_factory=set)
    lost_streams: asyncio.Event = field(default_factory=asyncio.Event)  #: set when NATS was away
    leaving: Leaving = field(default_factory=Leaving)
