"""One region of a network on one machine: its processes, started in order, kept alive, ended in order.

Theory of operation. The link first, if there is one, and the NATS servers; then the runners, which prepare what they
need while the streams are made (a supercluster takes some seconds to choose its leader); then the gateway. Ready is
when the gateway says that jobs can be taken and each runner has offered what it has. Each process that dies is started
again by its ``Child``.

Rules
1. After the first start nothing of other regions is waited for: a region whose processes die comes back by itself,
   whatever else is away.
2. A server on its own has lost its stream in memory when it starts again, and it is made again. In a cluster the
   servers remember what is to be there.
3. Where ``YURT_CONSUL_ADDRESS`` names a Consul, gateways and runners enter themselves there; the NATS servers are
   entered by us, who supervise them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

import aiohttp

from jobs.errors import PlatformFault, Unavailable, YurtError
from jobs.service.access import Access
from jobs.service.bus import ApiError, Bus
from jobs.service.connections import Connections
from jobs.service.registration import Registration, make_registration, nats_service
from jobs.service.settings import load
from jobs.service.streams_there import restore_output
from yurt import trust
from yurt.bootstrap.apply import set_up
from yurt.bootstrap.changes import Allowed
from yurt.stack import parts
from yurt.stack.child import Child, Plan, Say
from yurt.stack.folder import Place, Process
from yurt.stack.layout import Layout
from yurt.stack.ports import ADDRESS
from yurt.stack.progress import Progress

# its connections to NATS live for a moment only: that they end is no news
for _name in ("bus", "asyncio"):
    logging.getLogger(_name).setLevel(logging.ERROR)

NATS_READY_S = 120.0  #: JetStream reads its stores first
READY_S = 900.0  #: a runner's first start prepares every toolchain
_LOOK_S = 0.1
_HOPELESS = 4  #: deaths in a row before ready: it will not come up
#: the order in which nothing is lost: callers are let go, what runs is finished, what is queued is kept
END_ORDER = ("gateway", "runner", "nats", "link")


class Station:
    """*on_change* is called whenever a process or the readiness of this region is another."""

    def __init__(self, layout: Layout, environ: Mapping[str, str], *, say: Say, on_change: Callable[[], None]) -> None:
        self.layout = layout
        self.ready = False
        self._environ = environ
        self._say = say
        self._on_change = on_change
        self._children: list[Child] = []
        self._entries: dict[Registration, asyncio.Task[None]] = {}

    @property
    def place(self) -> Place:
        """Where it is, for ``yurt status`` and ``yurt run``."""
        nats = self.layout.nats
        return Place(region=self.layout.region.name, url=self.layout.url, nats=nats[0], servers=nats, ready=self.ready)

    @property
    def processes(self) -> tuple[Process, ...]:
        """Those that live."""
        return tuple(process for child in self._children if (process := child.process) is not None)

    # -- starting -----------------------------------------------------------------------------------------------

    async def start_servers(self) -> None:
        """The link and the NATS servers; what they find of other regions they find later."""
        if any(server.far_port for server in self.layout.servers):
            await self._add(parts.link(self.layout, self._environ))
        for server in self.layout.servers:
            await self._add(parts.nats(self.layout, server, self._environ), after=self._after_nats)
        for entry in self._entries_of_servers():
            self._entries[entry] = asyncio.create_task(entry.keep_up(), name="consul entry")

    async def start_serving(self) -> None:
        """Ready to take jobs when it returns; raises ``PlatformFault`` when that cannot be."""
        runners = parts.runners(self.layout, self._environ)
        progress = [Progress(runner.log) for runner in runners]
        for runner in runners:
            await self._add(runner)
        await self._make_streams()
        await self._add(parts.gateway(self.layout, self._environ))
        await self._until_ready(progress)
        self.ready = True
        self._on_change()

    def _entries_of_servers(self) -> Iterator[Registration]:
        if not any(server.monitor_port for server in self.layout.servers):
            return
        settings = load(Connections, file=None, environ=self._environ, flags={})
        for server in self.layout.servers:
            assert server.monitor_port is not None
            service = nats_service(
                region=self.layout.region.name,
                server_name=server.name,
                address=ADDRESS,
                port=server.port,
                monitor_port=server.monitor_port,
            )
            yield make_registration(settings, service)

    async def _add(self, what: Plan, *, after: Callable[[], Awaitable[None]] | None = None) -> None:
        async def on_start() -> None:
            self._on_change()
            if after is not None and self.ready:
                await after()

        child = Child(what, say=self._say, on_start=on_start)
        self._children.append(child)
        await child.start()

    async def _after_nats(self) -> None:
        if self.layout.region.cluster:
            return
        try:
            await self._make_streams()
        except YurtError as fault:
            self._say(f"the streams of {self.layout.region.name} were not made again: {fault}")

    async def _make_streams(self) -> None:
        """Wait for the NATS servers that were just started, and give the region its streams."""
        began = [child.process for child in self._servers()]
        deadline = asyncio.get_running_loop().time() + NATS_READY_S
        while True:
            try:
                await self._set_up()
                return
            except (Unavailable, ApiError):  # it starts, or chooses its leaders
                for child, process in zip(self._servers(), began, strict=True):
                    if child.process is None or child.process != process:
                        if self.ready:
                            return  # it died again; its next start comes here too
                        raise PlatformFault(_grave(child)) from None
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(_LOOK_S)

    async def _set_up(self) -> None:
        bus = await self._connect()
        try:
            if self.ready:  # its queues and fleets are on disk, and may be others by now than when we started
                await restore_output(bus, self.layout.region)
            else:
                await set_up(bus, self.layout.region, allowed=Allowed(forget=True, idle=True))
        finally:
            await bus.close()

    async def _connect(self) -> Bus:
        ca_file = None if self.layout.authority is None else self.layout.authority.cert
        return await Bus.connect(self.layout.nats, name="yurt-up", wait_s=2, **Access(ca_file=ca_file).options())

    def _servers(self) -> list[Child]:
        return [child for child in self._children if child.plan.role == "nats"]

    async def _until_ready(self, progress: Iterable[Progress]) -> None:
        deadline = asyncio.get_running_loop().time() + READY_S
        async with session_for(self.layout) as session:
            while True:
                for each in progress:
                    for line in each.news():
                        self._say(f"{self.layout.region.name}: {line}" if self.layout.others else line)
                if all(each.done for each in progress) and await self._answers(session):
                    return
                for child in self._children:
                    if child.deaths >= _HOPELESS:
                        raise PlatformFault(_grave(child))
                if asyncio.get_running_loop().time() > deadline:
                    raise PlatformFault(f"not ready after {READY_S:.0f} s; the logs are in {self.layout.folder}/logs")
                await asyncio.sleep(_LOOK_S)

    async def _answers(self, session: aiohttp.ClientSession) -> bool:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(f"{self.layout.url}/readyz") as answer:
                return answer.status == 200
        return False

    # -- ending -------------------------------------------------------------------------------------------------

    async def end(self, role: str) -> None:
        """All processes of that role ended."""
        if role == "nats":
            for entry, task in self._entries.items():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await entry.leave()
            self._entries.clear()
        await asyncio.gather(*(child.end() for child in self._children if child.plan.role == role))

    def hurry(self) -> None:
        """Kill what has not ended yet."""
        for child in self._children:
            child.kill()


def session_for(layout: Layout, timeout_s: float = 2.0) -> aiohttp.ClientSession:
    """An HTTP session that trusts the network's own authority."""
    context = None if layout.authority is None else trust.context_of(layout.authority.cert)
    connector = aiohttp.TCPConnector(ssl=True if context is None else context)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=timeout_s))


def _grave(child: Child) -> str:
    """Why a process does not come up, by its own last words."""
    last = child.plan.log.read_text(errors="replace").splitlines()[-5:] if child.plan.log.exists() else []
    return f"the {child.plan.title} does not stay up; its log {child.plan.log} ends with:\n  " + "\n  ".join(last)
