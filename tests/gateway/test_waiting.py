"""A queued execution stays known, whatever NATS kept in memory."""

from __future__ import annotations

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
