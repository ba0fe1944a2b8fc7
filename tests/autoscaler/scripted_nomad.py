"""A Nomad that answers by script over real HTTP: one service job, one parameterised one, and its moods."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

ACTIVE = "job scaling blocked due to active deployment"


@dataclass
class ScriptedNomad:
    """What it is asked is kept in ``asked``; ``moods`` are answers that come first: (status, text)."""

    count: int = 10
    index: int = 100
    deploying: bool = False
    stopped: bool = False
    moved: int = 0  #: registers that find the index gone on
    children: dict[str, str] = field(default_factory=dict)  #: token to id
    statuses: dict[str, str] = field(default_factory=dict)  #: of children, where not running
    moods: list[tuple[int, str]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)  #: of scaling, each once
    lost_answers: int = 0  #: dispatches that are done, and whose answer is lost
    asked: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    address: str = ""

    def asked_for(self, method: str, path: str) -> list[tuple[dict[str, str], Any]]:
        return [(query, body) for verb, where, query, body in self.asked if (verb, where) == (method, path)]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        self.asked.append((request.method, request.path, dict(request.query), body))
        self.headers.append(dict(request.headers))
        if self.moods:
            status, text = self.moods.pop(0)
            return web.Response(status=status, text=text)
        match request.method, request.path:
            case "GET", "/v1/job/runner/scale":
                groups = {"runner": {"Desired": self.count, "Running": self.count}}
                return web.json_response({"JobStopped": self.stopped, "TaskGroups": groups})
            case "POST", "/v1/job/runner/scale":
                if self.refusals:
                    return web.Response(status=400, text=self.refusals.pop())
                if self.deploying:
                    return web.Response(status=400, text=ACTIVE)
                return self._counted(body["Count"])
            case "GET", "/v1/job/runner":
                groups_as_list = [{"Name": "other", "Count": 1}, {"Name": "runner", "Count": self.count}]
                return web.json_response(
                    {"ID": "runner", "JobModifyIndex": self.index, "TaskGroups": groups_as_list, "Meta": {"v": "7"}}
                )
            case "POST", "/v1/job/runner":
                return self._register(body)
            case "GET", "/v1/jobs":
                living = [{"ID": each, "Status": self.statuses.get(each, "running")} for each in self.children.values()]
                return web.json_response(living)
            case "POST", "/v1/job/runner-burst/dispatch":
                return self._dispatch(request)
        return web.Response(status=404, text="job not found")

    def _counted(self, count: int) -> web.Response:
        self.count, self.index = count, self.index + 1
        return web.json_response({"JobModifyIndex": self.index})

    def _register(self, body: Any) -> web.Response:
        if self.moved:
            self.moved, self.index = self.moved - 1, self.index + 1
        if not body["EnforceIndex"] or body["JobModifyIndex"] != self.index:
            said = "Enforcing job modify index 1: job exists with conflicting job modify index: 2"
            return web.Response(status=500, text=said)
        assert body["Job"]["Meta"] == {"v": "7"}
        return self._counted(body["Job"]["TaskGroups"][1]["Count"])

    def _dispatch(self, request: web.Request) -> web.Response:
        token = request.query.get("idempotency_token", f"none-{len(self.children)}")
        child = self.children.setdefault(token, f"runner-burst/dispatch-{len(self.children)}")
        if self.lost_answers:
            self.lost_answers -= 1
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"DispatchedJobID": child})


@asynccontextmanager
async def scripted_nomad(tls: ssl.SSLContext | None = None, **state: Any) -> AsyncIterator[ScriptedNomad]:
    nomad = ScriptedNomad(**state)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", nomad.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    nomad.address = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    yield nomad
    await runner.cleanup()
