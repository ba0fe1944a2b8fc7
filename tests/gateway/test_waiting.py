"""A queued execution stays known, whatever NATS kept in memory."""

from __future__ import annotations

from jobs.region import embedded
from jobs.service.bus import Bus
from jobs.service.streams_there import restore_output
from jobs.streams import output_subject
from tests.conftest import NatsServer
from tests.gateway.conftest import open_door, set_up


async def test_what_is_queued_is_known_after_nats_and_gateway_were_started_anew(own_nats_server: NatsServer) -> None:
    """The queue is a file; the word that an execution is queued is not, and is said again."""
    await set_up(own_nats_server.url, "waiting")
    async with open_door(own_nats_server.url, "waiting") as door:
        ids = [(await door.submit(code=f"print({number})"))[1]["execution_id"] for number in range(120)]
    own_nats_server.stop()
    own_nats_server.start()
    async with open_door(own_nats_server.url, "waiting") as door:
        for execution_id in ids:
            status, execution = await door.call("GET", f"/api/v1/executions/{execution_id}")
            assert (status, execution["status"]) == (200, "queued")
        assert (await door.call("GET", "/api/v1/executions/nobody"))[0] == 404


async def test_what_is_queued_is_known_although_others_said_something_first(
    own_nats_server: NatsServer,
) -> None:
    """Under load the new stream of output keeps something before any gateway has looked whether it is empty."""
    region = embedded("waiting")
    await set_up(own_nats_server.url, region.name)
    async with open_door(own_nats_server.url, region.name) as door:
        execution_id = (await door.submit(code="print(1)"))[1]["execution_id"]
    own_nats_server.stop()
    own_nats_server.start()
    bus = await Bus.connect([own_nats_server.url], name="faster")
    await restore_output(bus, region)
    await bus.keep(output_subject(region.gateways[0], "another"), b"")
    await bus.close()
    async with open_door(own_nats_server.url, region.name) as door:
        status, execution = await door.call("GET", f"/api/v1/executions/{execution_id}")
        assert (status, execution["status"]) == (200, "queued")
