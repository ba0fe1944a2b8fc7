"""Which handler answers what, and the one frame around all of them: errors become problems, answers are counted.

There are no middlewares: the frame is put around each handler once, when the routes are made.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from aiohttp import web

from gateway import body, problems
from gateway.desk import Desk
from gateway.handlers import about, batches, executions, follow
from jobs.errors import NotFound

Handler = Callable[[Desk, web.Request], Awaitable[web.StreamResponse]]

ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("POST", "/api/v1/execute", executions.submit),
    ("GET", "/api/v1/executions", executions.list_),
    ("GET", "/api/v1/executions/{id}", executions.read),
    ("DELETE", "/api/v1/executions/{id}", executions.cancel),
    ("GET", "/api/v1/executions/{id}/events", follow.events),
    ("POST", "/api/v1/batches", batches.submit),
    ("GET", "/api/v1/batches/{id}", batches.read),
    ("GET", "/api/v1/languages", about.languages),
    ("GET", "/api/v1/regions", about.regions),
    ("GET", "/ws/execution/{id}", follow.websocket),
    ("GET", "/healthz", about.alive),
    ("GET", "/readyz", about.ready),
    ("GET", "/metrics", about.metrics),
    ("GET", "/openapi.json", about.contract),
    ("GET", "/docs", about.docs),
    ("GET", "/", about.page),
)


def add(app: web.Application, desk: Desk) -> None:
    """Every route of ``ROUTES``, and an answer for all that is none of them."""
    for method, path, handler in ROUTES:
        framed = frame(desk, path, handler)
        if method == "POST":
            app.router.add_post(path, framed, expect_handler=body.expect)
        elif method == "GET":
            app.router.add_get(path, framed, allow_head=not path.startswith("/ws/"))
        else:
            app.router.add_route(method, path, framed)
    app.router.add_route("*", "/{anything:.*}", frame(desk, "other", _other), expect_handler=body.expect)


def frame(desk: Desk, route: str, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    requests = desk.metrics.requests

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            response = await handler(desk, request)
        except Exception as error:
            response = problems.answer(request, error)
        requests[route, response.status] += 1
        return response

    return answer


async def _other(desk: Desk, request: web.Request) -> web.StreamResponse:
    allowed = [method for method, path, _ in ROUTES if _matches(path, request.path)]
    if allowed:
        return problems.wrong_method(request, allowed)
    raise NotFound(f"there is nothing at {request.path[:200]!r}; GET /docs tells what there is")


def _matches(pattern: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path) is not None
