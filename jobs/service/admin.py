"""The admin port of a process: ``/healthz`` and ``/metrics`` on loopback, for its supervisor and for Prometheus.

Plain HTTP, which does not leave the machine there; HTTPS where whoever reads it asks for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from jobs.service.certificates import Certificate, chosen
from jobs.service.https import HttpsSite

_HOST = "127.0.0.1"


def admin_certificate(cert: Path | None, key: Path | None) -> Certificate | None:
    """For the settings ``admin_tls_cert_file`` and ``admin_tls_key_file``; raises ``ConfigFault``."""
    files = chosen(cert, key, prefix="admin_tls")
    return None if files is None else Certificate(files)


class Admin:
    """*healthy*: whether the process is as it should be; *refresh* brings gauges up to date before they are read."""

    def __init__(
        self,
        registry: CollectorRegistry,
        healthy: Callable[[], bool],
        refresh: Callable[[], None] = lambda: None,
        *,
        certificate: Certificate | None = None,
    ) -> None:
        self._registry, self._healthy, self._refresh = registry, healthy, refresh
        self._certificate = certificate
        self._follower: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None

    async def start(self, port: int) -> int:
        """Listen; the port it is (0: a free one)."""
        app = web.Application()
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await self._site(self._runner, port).start()
        address = self._runner.addresses[0]
        return int(address[1])

    async def close(self) -> None:
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    def _site(self, runner: web.AppRunner, port: int) -> web.BaseSite:
        certificate = self._certificate
        if certificate is None:
            return web.TCPSite(runner, _HOST, port)
        left = Gauge(
            "yurt_admin_certificate_seconds", "Until the admin port's certificate ends", registry=self._registry
        )
        left.set_function(lambda: certificate.left_s)
        self._follower = asyncio.create_task(certificate.keep_up(), name="certificate")
        return HttpsSite(runner, _HOST, port, certificate=certificate)

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"healthy": self._healthy()}, status=200 if self._healthy() else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        self._refresh()
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
