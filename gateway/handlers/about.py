"""What is here: languages, regions, health, metrics, the contract and the page."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from gateway import openapi, pages, query, render
from gateway.backlog import Backlog
from gateway.desk import Desk
from gateway.feeds import Feeds
from gateway.roster import Roster
from jobs.errors import Unavailable

_NONE: frozenset[str] = frozenset()


async def languages(desk: Desk, request: web.Request) -> web.Response:
    """``GET /api/v1/languages``"""
    query.read(request.rel_url.raw_query_string, _NONE)
    return _json(desk.roster.languages())


async def regions(desk: Desk, request: web.Request) -> web.Response:
    """``GET /api/v1/regions``"""
    query.read(request.rel_url.raw_query_string, _NONE)
    healthy = desk.bus.connected and desk.roster.can_run()
    try:
        await desk.backlog.refresh()
    except Unavailable:
        healthy = False
    _, running, _ = desk.roster.capacity()
    row = {
        "region": desk.region.name,
        "healthy": healthy,
        "rtt_ms": round(desk.backlog.rtt_ms, 3) if desk.backlog.rtt_ms is not None else None,
        "queue_depth": max(desk.backlog.depth() - running, 0),
        "running": running,
        "runners": len(desk.roster.living()),
    }
    return _json([row])


async def alive(desk: Desk, request: web.Request) -> web.Response:
    """``GET /healthz``: this process lives."""
    return _json({"status": "ok"})


async def ready(desk: Desk, request: web.Request) -> web.Response:
    """``GET /readyz``: jobs can be taken, and somebody is there to run them."""
    faults = []
    if desk.leaving.begun:
        faults.append("this gateway is stopping")
    if not desk.bus.connected:
        faults.append("NATS is away")
    if not desk.roster.can_run():
        faults.append("no living runner offers a language")
    body = {"status": "ready" if not faults else "not ready", "region": desk.region.name, "faults": faults}
    return _json(body, status=503 if faults else 200)


async def metrics(desk: Desk, request: web.Request) -> web.Response:
    """``GET /metrics``"""
    with contextlib.suppress(Unavailable):
        await desk.backlog.refresh()
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


def gauges(backlog: Backlog, roster: Roster, feeds: Feeds) -> Iterator[Metric]:
    """What is read at the moment of a scrape."""
    depth = GaugeMetricFamily(
        "code_runner_queue_depth", "Jobs waiting or running, by class", labels=["queue", "language"]
    )
    for (job_class, language), count in backlog.depths.items():
        depth.add_metric([job_class.value, language], count)
    yield depth
    warm = GaugeMetricFamily("code_runner_warm_containers", "Warm sandboxes", labels=["language"])
    for language, count in roster.warm().items():
        warm.add_metric([language], count)
    yield warm
    yield GaugeMetricFamily("yurt_gateway_runners", "Living runners", value=len(roster.living()))
    yield GaugeMetricFamily("yurt_gateway_feeds", "Executions held in memory", value=len(feeds))
    yield GaugeMetricFamily("yurt_gateway_feed_bytes", "Output and results held in memory", value=feeds.bytes)


def _json(value: object, *, status: int = 200) -> web.Response:
    return web.Response(body=render.dump(value), status=status, content_type="application/json")
