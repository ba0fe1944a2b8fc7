"""The admin port of a process: ``/healthz`` and ``/metrics`` on loopback, for its supervisor and for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST


class Admin:
    """*healthy*: whether the process is as it should be; *refresh* brings gauges up to date before they are read."""

    def __init__(
        self, registry: CollectorRegistry, healthy: Callable[[], bool], refresh: Callable[[], None] = lambda: None
    ) -> None:
        self._registry, self._healthy, self._refresh = registry, healthy, refresh
        self._runner: web.AppRunner | None = None

    async def start(self, port: int) -> int:
        """Listen; the port it is (0: a free one)."""
        app = web.Application()
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        address = self._runner.addresses[0]
        return int(address[1])

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"healthy": self._healthy()}, status=200 if self._healthy() else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        self._refresh()
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
