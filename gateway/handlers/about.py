"""What is here: languages, regions, health, metrics, the contract and the page."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from gateway import openapi, pages, query, render
from gateway.desk import Desk
from gateway.feeds import Feeds
from gateway.horizon import Horizon, Sight
from jobs.errors import Unavailable

REFRESH_S = 0.5  #: more is not worth waiting for: what was seen last is told

_NONE: frozenset[str] = frozenset()


async def languages(desk: Desk, request: web.Request) -> web.Response:
    """``GET /api/v1/languages``"""
    query.read(request.rel_url.raw_query_string, _NONE)
    return _json(desk.horizon.home.roster.languages())


async def regions(desk: Desk, request: web.Request) -> web.Response:
    """``GET /api/v1/regions``: home, then its neighbours, nearest first, as they were last seen."""
    query.read(request.rel_url.raw_query_string, _NONE)
    await _refresh(desk)
    own_url = desk.settings.public_url or str(request.url.origin())
    return _json([_row(desk, sight, own_url) for sight in desk.horizon.regions])


def _row(desk: Desk, sight: Sight, own_url: str) -> dict[str, Any]:
    _, running, _ = sight.roster.capacity()
    is_home = sight is desk.horizon.home
    why = desk.horizon.why_unhealthy(sight)
    return {
        "region": sight.name,
        "healthy": why is None,
        "rtt_ms": round(sight.rtt_ms, 3) if sight.rtt_ms is not None else None,
        "queue_depth": max(sight.backlog.depth() - running, 0),
        "running": running,
        "runners": len(sight.roster.living()),
        "home": is_home,
        "url": own_url if is_home else sight.neighbour.url if sight.neighbour is not None else "",
        "why": why,
    }


async def _refresh(desk: Desk) -> None:
    """Home's queue as of now, where it answers; the others are looked at in the background."""
    if desk.horizon.home.answers and desk.bus.connected:
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(REFRESH_S):
                await desk.horizon.home.backlog.refresh()


async def alive(desk: Desk, request: web.Request) -> web.Response:
    """``GET /healthz``: this process lives."""
    return _json({"status": "ok"})


async def ready(desk: Desk, request: web.Request) -> web.Response:
    """``GET /readyz``: jobs can be taken, at home or by a neighbour, and somebody is there to run them."""
    wrong = {sight.name: desk.horizon.why_unhealthy(sight) for sight in desk.horizon.regions}
    takers = [name for name, why in wrong.items() if why is None]
    faults = ["this gateway is stopping"] if desk.leaving.begun else []
    if not takers:
        faults += [f"{name}: {why}" if name != desk.region.name else str(why) for name, why in wrong.items()]
    body = {
        "status": "ready" if not faults else "not ready",
        "region": desk.region.name,
        "takes_jobs": takers,
        "home": wrong[desk.region.name] or "ready",
        "faults": faults,
    }
    return _json(body, status=503 if faults else 200)


async def metrics(desk: Desk, request: web.Request) -> web.Response:
    """``GET /metrics``"""
    await _refresh(desk)
    return web.Response(body=desk.exposition.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def contract(desk: Desk, request: web.Request) -> web.Response:
    """``GET /openapi.json``"""
    return web.Response(body=openapi.document(), content_type="application/json")


async def docs(desk: Desk, request: web.Request) -> web.Response:
    """``GET /docs``"""
    return pages.docs()


async def page(desk: Desk, request: web.Request) -> web.Response:
    """``GET /``"""
    return pages.front()


def gauges(horizon: Horizon, feeds: Feeds) -> Iterator[Metric]:
    """What is read at the moment of a scrape."""
    roster = horizon.home.roster
    depth = GaugeMetricFamily(
        "code_runner_queue_depth", "Jobs waiting or running, by class", labels=["queue", "language"]
    )
    for (job_class, language), count in horizon.home.backlog.depths.items():
        depth.add_metric([job_class.value, language], count)
    yield depth
    warm = GaugeMetricFamily("code_runner_warm_containers", "Warm sandboxes", labels=["language"])
    for language, count in roster.warm().items():
        warm.add_metric([language], count)
    yield warm
    yield GaugeMetricFamily("yurt_gateway_runners", "Living runners", value=len(roster.living()))
    yield from _region_gauges(horizon)
    yield GaugeMetricFamily("yurt_gateway_feeds", "Executions held in memory", value=len(feeds))
    yield GaugeMetricFamily("yurt_gateway_feed_bytes", "Output and results held in memory", value=feeds.bytes)


def _region_gauges(horizon: Horizon) -> Iterator[Metric]:
    figures: tuple[tuple[str, str, Callable[[Sight], float | None]], ...] = (
        (
            "healthy",
            "Whether jobs can be taken and run there",
            lambda sight: float(horizon.why_unhealthy(sight) is None),
        ),
        ("rtt_seconds", "Round trip to its JetStream", lambda sight: sight.rtt_ms and sight.rtt_ms / 1000),
        ("queue_depth", "Jobs waiting or running", lambda sight: sight.backlog.depth()),
        ("running", "Jobs that its runners have", lambda sight: sight.roster.capacity()[1]),
        ("runners", "Living runners", lambda sight: len(sight.roster.living())),
    )
    for name, description, read in figures:
        family = GaugeMetricFamily(f"yurt_gateway_region_{name}", description, labels=["region"])
        for sight in horizon.regions:
            value = read(sight)
            if value is not None:
                family.add_metric([sight.name], value)
        yield family


def _json(value: object, *, status: int = 200) -> web.Response:
    return web.Response(body=render.dump(value), status=status, content_type="application/json")
