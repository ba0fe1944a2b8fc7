"""A gateway process, from settings to its last answer. The only module here that constructs what touches the outside.

``serve`` reads as its life: connect, build the desk, subscribe, listen, wait for the word to stop, leave. Leaving: no
new connections, ``/readyz`` says so, requests that wait for a result get their time (``drain_s``) and then their 202,
listeners are sent away with 1001 (they come back to another gateway with the number they have), and the bus is closed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from aiohttp import WSCloseCode, web

from gateway import routes, tls
from gateway.admission import Admission
from gateway.archive import Archive
from gateway.desk import Desk
from gateway.feed import Feed
from gateway.feeds import Feeds
from gateway.handlers.about import gauges
from gateway.horizon import Horizon
from gateway.listing import Listing
from gateway.metrics import Exposition, Metrics
from gateway.records import Records
from gateway.settings import Settings, gateway_name
from gateway.waiting import tell_waiting
from gateway.warden import EVERY_S, Warden
from jobs import streams
from jobs.errors import ConfigFault, Unavailable, WireFault
from jobs.limits import BODY_BYTES
from jobs.region import Region
from jobs.service import life, logs
from jobs.service.atlas import Atlas, make_atlas
from jobs.service.bus import ApiError, Bus
from jobs.service.certificates import Certificate
from jobs.service.connections import connect
from jobs.service.https import HttpsSite
from jobs.service.registration import gateway_service, make_registration
from jobs.service.settings import load_region
from jobs.service.streams_there import NEED_WAIT_S, need, restore_output
from jobs.states import State

log = logging.getLogger("gateway")

NEED_AFAR_S = 5.0  #: home's streams are waited for so long where neighbours can take jobs meanwhile
SHUTDOWN_S = 3.0  #: for answers that are being written when everything else is over


def run(settings: Settings) -> int:
    """What ``yurt gateway`` does; the exit code."""
    logs.set_up(level=settings.log_level, role="gateway")

    async def main(stop: asyncio.Event) -> None:
        await serve(settings, stop, renewed=tls.on_hang_up(settings))

    return life.run(main)


async def serve(
    settings: Settings,
    stop: asyncio.Event,
    *,
    on_ready: Callable[[str], None] | None = None,
    renewed: asyncio.Event | None = None,
) -> None:
    """Serve until *stop* is set. *on_ready* is called with our URL once requests are answered.

    *renewed*: set when the certificate's files are to be read again now, and not only by and by.
    """
    region = load_region(settings.region_file, settings.region)
    name = gateway_name(settings, region)
    certificate = tls.certificate_of(settings)
    others = settings.nats_fallback_urls
    bus = await connect(settings, role="gateway", name=f"gateway-{name}", no_echo=True, fallback=others)
    async with AsyncExitStack() as cleanup:
        cleanup.push_async_callback(bus.close)
        atlas = make_atlas(settings, region)
        desk = make_desk(settings, bus, region, name, atlas)
        tasks = life.Tasks()
        cleanup.push_async_callback(tasks.cancel)
        await _find_streams(desk)
        await start(desk, tasks)
        tasks.start(atlas.keep_up(), "atlas")
        cleanup.push_async_callback(desk.feeds.close)
        runner = web.AppRunner(
            make_app(desk),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=SHUTDOWN_S,
            keepalive_timeout=75.0,
        )
        await runner.setup()
        cleanup.push_async_callback(runner.cleanup)
        url = await _listen(runner, settings, certificate)
        if certificate is not None:
            tls.keep_up(certificate, tasks, desk.metrics, renewed)
        registration = make_registration(
            settings,
            gateway_service(settings, region=region.name, name=name, listens_at=url, public_url=settings.public_url),
        )
        tasks.start(registration.keep_up(), "consul")
        life.settle_memory()
        logs.event(log, "gateway_ready", url=url, region=region.name, gateway=name)
        if on_ready is not None:
            on_ready(url)
        await life.first(stop.wait(), tasks.failed.wait())
        await registration.leave()
        await _leave(desk, runner)
    logs.event(log, "gateway_stopped", gateway=name)


def make_desk(
    settings: Settings,
    bus: Bus,
    region: Region,
    gateway: str,
    atlas: Atlas,
    *,
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    now_s: Callable[[], float] = time.monotonic,
) -> Desk:
    """All the parts, joined. Nothing is sent yet."""
    metrics, listing = Metrics(), Listing()

    def on_end(feed: Feed) -> None:
        if feed.result is not None:
            metrics.ended(feed.result)
            entry = listing.get(feed.id)
            if entry is not None:
                entry.end(feed.result)

    def on_change(feed: Feed) -> None:
        entry = listing.get(feed.id)
        if entry is not None and feed.running is not None:
            entry.state, entry.version = State.RUNNING, feed.running.version

    feeds = Feeds(bus=bus, region=region.name, gateway=gateway, on_end=on_end, on_change=on_change)
    horizon = Horizon(bus=bus, region=region, atlas=atlas, now_s=now_s)
    admission = Admission(
        bus=bus,
        region=region,
        gateway=gateway,
        feeds=feeds,
        listing=listing,
        horizon=horizon,
        metrics=metrics,
        now_ms=now_ms,
    )
    return Desk(
        settings=settings,
        region=region,
        gateway=gateway,
        bus=bus,
        feeds=feeds,
        archive=Archive(bus=bus, feeds=feeds, horizon=horizon),
        horizon=horizon,
        admission=admission,
        listing=listing,
        records=Records(bus=bus, horizon=horizon),
        metrics=metrics,
        exposition=Exposition(metrics, lambda: gauges(horizon, feeds)),
        now_ms=now_ms,
    )


async def start(desk: Desk, tasks: life.Tasks) -> None:
    """Hear runners and output, and keep up what must be kept up."""
    await desk.feeds.start()
    desk.bus.on_reconnect(desk.lost_streams.set)
    await desk.horizon.start()
    warden = Warden(
        bus=desk.bus, region=desk.region, admission=desk.admission, archive=desk.archive, now_ms=desk.now_ms
    )
    tasks.start(desk.feeds.keep_up(), "feeds")
    tasks.start(desk.horizon.keep_up(), "horizon")
    tasks.start(_watch(warden), "warden")
    tasks.start(_restore_streams(desk), "streams")


async def _find_streams(desk: Desk) -> None:
    """Home's streams are there; or home is away, and there are neighbours to place jobs with until it is back."""
    has_others = bool(desk.horizon.others)
    try:
        await _need(desk, NEED_AFAR_S if has_others else NEED_WAIT_S)
        await restore_output(desk.bus, desk.region)
        await tell_waiting(desk.bus, desk.region)
    except Unavailable as fault:
        if not has_others:
            raise
        log.warning("action=home_is_away fault=%s", fault)
        desk.lost_streams.set()


async def _need(desk: Desk, answer_s: float) -> None:
    """As ``need``; for an answer at all *answer_s* is waited, for streams that are being made longer."""
    plans, name = streams.serving(desk.region, fleet=""), desk.region.name
    try:
        await need(desk.bus, plans, region=name, wait_s=answer_s if desk.bus.at_home else 0.0)
    except ConfigFault:
        await need(desk.bus, plans, region=name)


async def _restore_streams(desk: Desk) -> None:
    """A server that was started anew has lost what it kept in memory: the output stream is made again."""
    while True:
        await desk.lost_streams.wait()
        desk.lost_streams.clear()
        try:
            await restore_output(desk.bus, desk.region)
            await tell_waiting(desk.bus, desk.region)
            desk.feeds.tell_waiting()
        except (Unavailable, ApiError) as fault:
            log.warning("action=streams_not_restored fault=%s", fault)
            desk.lost_streams.set()
            await asyncio.sleep(1)


async def _watch(warden: Warden) -> None:
    while True:
        await asyncio.sleep(EVERY_S)
        try:
            await warden.look()
        except (Unavailable, WireFault) as fault:
            log.warning("action=warden_failed fault=%s", fault)


def make_app(desk: Desk) -> web.Application:
    """The HTTP application over a desk."""
    app = web.Application(client_max_size=BODY_BYTES)
    routes.add(app, desk)
    return app


async def _listen(runner: web.AppRunner, settings: Settings, certificate: Certificate | None) -> str:
    site: web.BaseSite
    if certificate is None:
        site = web.TCPSite(runner, settings.host, settings.port, backlog=1024)
    else:
        site = HttpsSite(runner, settings.host, settings.port, certificate=certificate, backlog=1024)
    try:
        await site.start()
    except OSError as error:
        raise ConfigFault(f"port: {settings.host}:{settings.port} cannot be listened on: {error.strerror}") from error
    port = runner.addresses[0][1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{'http' if certificate is None else 'https'}://{host}:{port}"


async def _leave(desk: Desk, runner: web.AppRunner) -> None:
    desk.leaving.begun = True
    for site in list(runner.sites):
        await site.stop()
    await desk.feeds.drain(desk.settings.drain_s)
    await asyncio.gather(
        *(socket.close(code=WSCloseCode.GOING_AWAY, message=b"this gateway is stopping") for socket in desk.sockets),
        return_exceptions=True,
    )
