"""A process's entry in Consul: made when it serves, kept up while it does, taken back before it stops.

Theory of operation. ``keep_up`` asks the local agent, round after round, whether it knows the entry, and makes it where
it does not: that covers the start, an agent that was started anew and forgot, and one that was away. What has a port
that the agent can ask is checked by the agent (``check_url``); the others tell it themselves that they are well, three
times in each time to live. Nothing here holds up serving: a Consul that is away is told in one line, asked again with
growing pauses, and told in one more line when it is back.

Names: one word a thing, so the entry of a role is ``yurt-<role>`` (the catalog is shared with what is not ours):
``yurt-gateway``, ``yurt-runner``, ``yurt-autoscaler``, ``yurt-nats``. Tags are the region and, of a runner, its fleet;
the meta data says ``region``, ``version`` and, of a gateway, ``url``: its region's endpoint, which other regions read.
Under Nomad the service blocks of its jobs make the same entries (``consul_register = false``).
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol
from urllib.parse import urlsplit

from jobs.errors import Unavailable
from jobs.service import logs
from jobs.service.connections import Connections

log = logging.getLogger("consul")

TTL_S = 30.0  #: without a word for so long, a process is not well
ROUND_S = TTL_S / 3
CHECK_EVERY_S = 5.0
CHECK_TIMEOUT_S = 2.0
GONE_AFTER_S = 120.0  #: not well for so long, an entry goes; Consul's least is a minute
FIRST_RETRY_S = 0.5
LEAVE_S = 2.0
ADMIN_HOST = "127.0.0.1"  #: where admin ports are listened on


def service_name(role: str) -> str:
    return f"yurt-{role}"


@dataclass(frozen=True, kw_only=True)
class Service:
    """An entry of Consul's catalog."""

    name: str
    id: str  #: nobody else's, on this agent
    address: str = ""  #: empty: the agent's own
    port: int = 0  #: none
    tags: tuple[str, ...] = ()
    meta: dict[str, str] = field(default_factory=dict)
    check_url: str = ""  #: what the agent asks; empty: the process tells that it is well
    check_every_s: float = CHECK_EVERY_S
    ttl_s: float = TTL_S

    @property
    def check(self) -> dict[str, Any]:
        """As Consul's API has it. Passing at first: who registers serves."""
        check: dict[str, Any] = {"Status": "passing", "DeregisterCriticalServiceAfter": f"{GONE_AFTER_S:g}s"}
        if self.check_url:
            # whether the process answers is asked on its own machine, where its certificate's name is not
            check |= {"HTTP": self.check_url, "TLSSkipVerify": self.check_url.startswith("https:")}
            check |= {"Interval": f"{self.check_every_s:g}s", "Timeout": f"{CHECK_TIMEOUT_S:g}s"}
        else:
            check |= {"TTL": f"{self.ttl_s:g}s"}
        return check


class Agent(Protocol):
    """What of Consul is needed; each raises ``Unavailable``."""

    async def register(
        self,
        name: str,
        *,
        service_id: str,
        address: str,
        port: int,
        tags: tuple[str, ...],
        meta: dict[str, str],
        check: dict[str, Any],
    ) -> None: ...

    async def registered(self, service_id: str) -> bool: ...

    async def beat(self, service_id: str, *, healthy: bool) -> None: ...

    async def deregister(self, service_id: str) -> None: ...


class Registration:
    """One entry. Without an *agent* there is none, and nothing is done."""

    def __init__(
        self,
        agent: Agent | None,
        service: Service,
        *,
        healthy: Callable[[], bool] = lambda: True,
        round_s: float = ROUND_S,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._agent, self._service, self._healthy = agent, service, healthy
        self._round_s, self._jitter = round_s, jitter
        self._turn = asyncio.Lock()
        self._made = self._away = self._left = False

    async def keep_up(self) -> None:
        """See to the entry until cancelled. Raises nothing."""
        if self._agent is None:
            await asyncio.Event().wait()
            return
        pause_s = FIRST_RETRY_S
        while True:
            try:
                await self._round(self._agent)
            except Unavailable as fault:
                self._tell_away(str(fault))
                await asyncio.sleep(min(pause_s, self._round_s) * (0.8 + 0.4 * self._jitter()))
                pause_s *= 2
            else:
                pause_s = FIRST_RETRY_S
                await asyncio.sleep(self._round_s * (0.8 + 0.2 * self._jitter()))

    async def leave(self) -> None:
        """Take the entry back, so that nobody new is sent here. Within ``LEAVE_S``; else Consul will notice."""
        if self._agent is None or self._left:
            return
        self._left = True
        try:
            async with asyncio.timeout(LEAVE_S), self._turn:
                await self._agent.deregister(self._service.id)
        except (TimeoutError, Unavailable) as fault:
            if self._made:
                why = str(fault) or "it does not answer"
                logs.event(log, "not_deregistered", level=logging.WARNING, service=self._service.id, fault=why)
        else:
            logs.event(log, "deregistered", service=self._service.id)

    async def _round(self, agent: Agent) -> None:
        async with self._turn:
            if self._left:
                return
            service = self._service
            if not await agent.registered(service.id):
                await agent.register(
                    service.name,
                    service_id=service.id,
                    address=service.address,
                    port=service.port,
                    tags=service.tags,
                    meta=service.meta,
                    check=service.check,
                )
                logs.event(log, "registered", service=service.id, again=True if self._made else None)
                self._made = True
            if not service.check_url:
                await agent.beat(service.id, healthy=self._healthy())
            if self._away:
                self._away = False
                logs.event(log, "consul_back", service=service.id)

    def _tell_away(self, fault: str) -> None:
        if not self._away:
            self._away = True
            logs.event(log, "consul_away", level=logging.WARNING, service=self._service.id, fault=fault)


def make_registration(
    settings: Connections, service: Service, *, healthy: Callable[[], bool] = lambda: True
) -> Registration:
    """The entry of a process, where it has a Consul and is to register itself."""
    return Registration(settings.consul() if settings.consul_register else None, service, healthy=healthy)


def gateway_service(settings: Connections, *, region: str, name: str, listens_at: str, public_url: str) -> Service:
    """*listens_at*: ``http(s)://HOST:PORT`` of its socket; *public_url*: what callers reach it by, if that is known."""
    parts = urlsplit(listens_at)
    host = parts.hostname or ""
    everywhere = _is_everywhere(host)
    address = settings.consul_advertise or ("" if everywhere else host)
    shown = f"[{address}]" if ":" in address else address
    url = public_url or (f"{parts.scheme}://{shown}:{parts.port}" if address else "")
    beside = "127.0.0.1" if everywhere else f"[{host}]" if ":" in host else host
    return Service(
        name=service_name("gateway"),
        id=_unique("gateway", name),
        address=address,
        port=parts.port or 0,
        tags=(region,),
        meta=_meta(region=region, url=url, scheme=parts.scheme),
        check_url=f"{parts.scheme}://{beside}:{parts.port}/healthz",
    )


def runner_service(*, region: str, name: str, fleet: str, admin_port: int) -> Service:
    """A runner listens to its own machine alone, which need not be the agent's: it tells by itself that it is well."""
    return Service(
        name=service_name("runner"),
        id=_unique("runner", name),
        address=ADMIN_HOST,
        port=admin_port,
        tags=(region, fleet),
        meta=_meta(region=region),
    )


def autoscaler_service(*, region: str, name: str, admin_port: int) -> Service:
    """As a runner."""
    return Service(
        name=service_name("autoscaler"),
        id=_unique("autoscaler", name),
        address=ADMIN_HOST,
        port=admin_port,
        tags=(region,),
        meta=_meta(region=region),
    )


def nats_service(
    *, region: str, server_name: str, address: str, port: int, monitor_port: int, monitor_host: str = "127.0.0.1"
) -> Service:
    """The entry of a NATS server, for whoever supervises it.

    The check asks only for the server's own JetStream: a region that is cut off has no meta leader and serves all the
    same. The server's name is its id, since a server that is started anew is the same one.
    """
    return Service(
        name=service_name("nats"),
        id=f"{service_name('nats')}-{server_name}",
        address=address,
        port=port,
        tags=(region,),
        meta=_meta(region=region, server_name=server_name),
        check_url=f"http://{monitor_host}:{monitor_port}/healthz?js-server-only=true",
    )


def _unique(role: str, name: str) -> str:
    """Of this process alone: a successor may come while its predecessor is leaving."""
    return f"{service_name(role)}-{name}-{secrets.token_hex(3)}"


def _meta(**values: str) -> dict[str, str]:
    return {key: value for key, value in (values | {"version": _version()}).items() if value}


def _version() -> str:
    try:
        return version("yurt")
    except PackageNotFoundError:
        return ""


def _is_everywhere(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return host == ""
