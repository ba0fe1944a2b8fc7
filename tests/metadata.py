"""A stand-in for a machine's metadata endpoint: version 2, by a token that is asked for by PUT, as AWS has it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from aiohttp import web

from runner.notice import ACTION, REBALANCE, SESSION


class Metadata:
    """``says`` is what it answers at a path, 404 elsewhere; ``asked`` what it was asked, a token's number first."""

    def __init__(self) -> None:
        self.says: dict[str, str] = {}
        self.asked: list[tuple[int, str]] = []
        self.tokens = 0
        self.fails = False
        self.url = ""

    def take_away(self, in_s: float, action: str = "terminate") -> None:
        at = datetime.now(UTC) + timedelta(seconds=in_s)
        self.says[ACTION] = json.dumps({"action": action, "time": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")})

    def advise(self) -> None:
        self.says[REBALANCE] = json.dumps({"noticeTime": "2026-01-01T00:00:00Z"})

    def forget_tokens(self) -> None:
        """Those that were given are refused from here on."""
        self.tokens += 1

    async def answer(self, request: web.Request) -> web.Response:
        if self.fails:
            return web.Response(status=503)
        if request.path == SESSION:
            if request.method != "PUT" or not request.headers.get("X-aws-ec2-metadata-token-ttl-seconds"):
                return web.Response(status=400)
            self.tokens += 1
            return web.Response(text=f"token-{self.tokens}")
        if request.headers.get("X-aws-ec2-metadata-token") != f"token-{self.tokens}":
            return web.Response(status=401)
        self.asked.append((self.tokens, request.path))
        words = self.says.get(request.path)
        return web.Response(status=404) if words is None else web.Response(text=words)


@asynccontextmanager
async def metadata() -> AsyncIterator[Metadata]:
    """On loopback, on a port of its own."""
    endpoint = Metadata()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", endpoint.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield endpoint
    finally:
        await runner.cleanup()
