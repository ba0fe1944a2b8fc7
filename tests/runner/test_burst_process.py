"""A real runner process as Nomad starts a dispatched one: it waits for NATS, serves, ends by itself, and says why."""

from __future__ import annotations

import os
import signal

import pytest

from jobs import streams, wire
from jobs.events import Beat
from jobs.region import embedded
from jobs.service.bus import Bus
from jobs.states import Class
from tests.conftest import NatsServer, make_streams
from tests.runner_processes import START_S, result, runner_process, stored, submit

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(os.geteuid() != 0, reason="the fork engine needs root"),
]


async def test_an_idle_burst_runner_ends_well_and_says_why(own_nats_server: NatsServer) -> None:
    region = embedded("burst")
    own_nats_server.stop()
    environ = {
        "YURT_REGION": "burst",
        "YURT_BURST": "true",
        "YURT_IDLE_EXIT_S": "1.5",
        "NOMAD_ALLOC_ID": "0a1b2c3d-0000",
    }
    async with runner_process(own_nats_server.url, **environ) as process:
        assert "nats=" in await process.said("action=connecting")  # there is none yet, nor its streams
        own_nats_server.start()
        bus = await Bus.connect([own_nats_server.url], name="test")
        beats: list[Beat] = []
        await bus.subscribe("runners.burst.*", lambda message: beats.append(wire.unpack_as(Beat, message.data)))
        await make_streams(bus, streams.plan(region))
        await submit(bus, region, "one", "print('hello')")
        assert (await result(bus, region, "one", START_S)).stdout == b"hello\n"
        await process.said("action=ready")
        assert "it was idle for 1.5 s" in await process.said("action=draining")
        assert await process.ended(30) == 0
        last = beats[-1]
        assert (last.leaving, last.fleet, last.burst) == (True, "all", True)
        assert last.why_leaving == "it was idle for 1.5 s"
        assert last.runner.endswith("-0a1b2c3d")
        await bus.close()


async def test_at_the_end_of_its_life_what_runs_ends_and_the_rest_waits_for_others(nats_server: NatsServer) -> None:
    region = embedded("burst-life")
    bus = await Bus.connect([nats_server.url], name="test")
    await make_streams(bus, streams.plan(region))
    environ = {"YURT_REGION": region.name, "YURT_BURST": "1", "YURT_LIFE_S": "26", "YURT_SLOTS": "1"}
    async with runner_process(nats_server.url, **environ) as process:
        await submit(bus, region, "long", "import time; time.sleep(8); print('done')")
        await process.said("action=draining")
        for number in range(5):
            await submit(bus, region, f"late-{number}", "print('late')")
        assert await process.ended(40) == 0
        assert (await result(bus, region, "long")).stdout == b"done\n"
    info = await bus.api(f"CONSUMER.INFO.{streams.jobs_stream(region.name, Class.STANDARD)}.all")
    ran = [name for name in range(5) if await stored(bus, region, f"late-{name}")]
    assert info["num_ack_pending"] == 0
    assert info["num_pending"] == 5 - len(ran)
    await bus.close()


async def test_sigterm_drains(nats_server: NatsServer) -> None:
    region = embedded("burst-term")
    bus = await Bus.connect([nats_server.url], name="test")
    await make_streams(bus, streams.plan(region))
    async with runner_process(nats_server.url, YURT_REGION=region.name) as process:
        await submit(bus, region, "term", "import time; time.sleep(2); print('done')")
        await process.said("action=ready")
        process.send_signal(signal.SIGTERM)
        assert "it was told to stop" in await process.said("action=draining")
        assert await process.ended(30) == 0
    assert (await result(bus, region, "term")).stdout == b"done\n"
    await bus.close()
