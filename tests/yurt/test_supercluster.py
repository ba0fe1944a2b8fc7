"""NATS clusters as this project configures them: streams in their region, used from anywhere, outliving servers."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from jobs import streams
from jobs.errors import Unavailable
from jobs.languages import Language
from jobs.region import Region, parse
from jobs.roles import Role
from jobs.service.bus import Bus
from jobs.service.connections import Connections, connect
from jobs.service.pull import Delivery, Puller
from jobs.states import Class
from tests.conftest import free_port
from tests.gateway.conftest import comes_true, is_ready, open_door
from tests.runner_processes import runner_process
from tests.sandboxes import missing
from tests.waiting import eventually
from tests.yurt.servers import Server, cluster, connected, running
from yurt.bootstrap import keys
from yurt.bootstrap.apply import set_up, survey
from yurt.bootstrap.keys import Ports, Servers

pytestmark = pytest.mark.network

NAMES = ("us-east", "eu-west", "ap-south")
ANSWER_S = 20.0
JOBS = 40
FLEETS = """
[[fleets]]
name = "py"
languages = ["python"]
[[fleets]]
name = "rest"
languages = ["javascript", "java", "go", "cpp", "rust"]
"""


def text_of(name: str, replicas: int = 1) -> str:
    neighbours = "".join(f'[[neighbours]]\nregion = "{other}"\n' for other in NAMES if other != name)
    return f'region = "{name}"\ncluster = "{name}"\nreplicas = {replicas}\n{neighbours}{FLEETS}'


def region_of(name: str, *, replicas: int = 1) -> Region:
    return parse(text_of(name, replicas))


def standard(region: str) -> str:
    return streams.jobs_stream(region, Class.STANDARD)


def subject(region: str) -> str:
    return streams.jobs_subject(region, Class.STANDARD, Language.PYTHON)


async def pull_one(bus: Bus, region: str) -> Delivery:
    """One job of a region's queue, pulled from wherever *bus* is connected."""
    came: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()
    puller = Puller(bus, standard(region), "py", came.set_result)
    await puller.start()
    puller.ask(1, expires_s=ANSWER_S, on_end=lambda: None, priority=1)
    async with asyncio.timeout(ANSWER_S):
        delivery = await came
    await puller.close()
    return delivery


# -- three regions, each a cluster of one, with keys and certificates ------------------------------------------------


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Connections]]:
    """Three servers, configured by ``keys.make`` alone; how an admin connects to each."""
    folder = tmp_path_factory.mktemp("three")
    ports = {
        name: Ports(client=free_port(), cluster=free_port(), gateway=free_port(), monitor=free_port()) for name in NAMES
    }
    servers = {
        name: Servers(
            hosts={f"{name}-1": "127.0.0.1"},
            remote={other: (f"127.0.0.1:{ports[other].gateway}",) for other in NAMES if other != name},
            ports=ports[name],
            store_dir=folder / f"store-{name}",
        )
        for name in NAMES
    }
    for name in NAMES:  # once for the public keys, and again with all of them as guests
        keys.make(folder, region_of(name), servers[name])
    made = {name: keys.make(folder, region_of(name), servers[name]) for name in NAMES}
    with running(*(Server(config=made[name].configs[f"{name}-1"], port=ports[name].client) for name in NAMES)):
        yield {
            name: Connections(
                nats_urls=(f"tls://127.0.0.1:{ports[name].client}",),
                nats_seed_file=made[name].seeds["admin"],
                nats_ca_file=made[name].ca,
            )
            for name in NAMES
        }


class People:
    """Connections by role and region, closed at the end."""

    def __init__(self, three: dict[str, Connections]) -> None:
        self._three = three
        self._cleanup = AsyncExitStack()

    async def __call__(self, role: Role, of: str, *, at: str = "") -> Bus:
        place = self._three[at or of]
        assert place.nats_seed_file is not None
        seed = place.nats_seed_file.parent.parent / of / f"{role}.nk"
        settings = Connections(nats_urls=place.nats_urls, nats_seed_file=seed, nats_ca_file=place.nats_ca_file)
        bus = await connect(settings, role=role, name=f"test-{role}", wait_s=ANSWER_S)
        self._cleanup.push_async_callback(bus.close)
        return bus

    async def close(self) -> None:
        await self._cleanup.aclose()


@pytest.fixture
async def people(three: dict[str, Connections]) -> AsyncIterator[People]:
    """The regions are set up, each by its own admin."""
    people = People(three)
    for name in NAMES:
        admin = await people(Role.ADMIN, name)
        await set_up(admin, region_of(name))
        assert not await survey(admin, region_of(name))
    yield people
    await people.close()


async def test_each_stream_lies_in_its_own_region(people: People) -> None:
    """With its leader; as the other regions' gateways see it too."""
    for name in NAMES:
        for other in NAMES:
            gateway = await people(Role.GATEWAY, name)
            info = await gateway.api(f"STREAM.INFO.{standard(other)}", timeout_s=ANSWER_S)
            assert info["cluster"]["name"] == other
            assert info["cluster"]["leader"] == f"{other}-1"


async def test_a_job_crosses_regions_whole(people: People) -> None:
    """Published from one region into another's queue, run in a third, and its result read in the first."""
    gateway = await people(Role.GATEWAY, "us-east")
    runner = await people(Role.RUNNER, "ap-south")
    await gateway.enqueue(subject("eu-west"), b"a job", message_id="crosses", timeout_s=ANSWER_S)
    delivery = await pull_one(runner, "eu-west")
    assert delivery.data == b"a job"
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    await gateway.subscribe("output.us-east-1.>", lambda message: heard.set_result(message.data))
    await gateway.request("$JS.API.STREAM.INFO.OUTPUT_US_EAST", timeout_s=ANSWER_S)  # the word of it is out by then
    assert await runner.store_first(streams.results_subject("eu-west", "crosses"), b"a result")
    assert not await runner.store_first(streams.results_subject("eu-west", "crosses"), b"another")
    runner.publish(streams.output_subject("us-east-1", "crosses"), b"a line")
    await delivery.acknowledge()
    async with asyncio.timeout(ANSWER_S):
        assert await heard == b"a line"
    stored = await gateway.last(streams.results_stream("eu-west"), streams.results_subject("eu-west", "crosses"))
    assert stored == b"a result"
    state = (await gateway.api(f"STREAM.INFO.{standard('eu-west')}", timeout_s=ANSWER_S))["state"]
    assert state["messages"] == 0
    assert not gateway.refused and not runner.refused


async def test_a_runner_answers_a_gateway_of_another_region(people: People) -> None:
    """By its right to answer, and no other: the request came through a gateway of NATS's."""
    gateway, runner = await people(Role.GATEWAY, "us-east"), await people(Role.RUNNER, "ap-south")
    await runner.subscribe("control.ap-south.*", lambda message: runner.publish(message.reply, b"yes"))
    async with asyncio.timeout(ANSWER_S):
        while True:
            try:
                answer = await gateway.request("control.ap-south.some-id", b"?", timeout_s=1)
                break
            except Unavailable:  # its interest is not known everywhere yet
                await asyncio.sleep(0.05)
    assert answer.data == b"yes"
    assert not runner.refused


async def test_a_gateway_goes_on_at_a_neighbour_s_servers(people: People) -> None:
    """As a guest, with its own region's rights: its own servers may be away."""
    guest = await people(Role.GATEWAY, "us-east", at="ap-south")
    await guest.enqueue(subject("us-east"), b"by a guest", message_id="guest", timeout_s=ANSWER_S)
    delivery = await pull_one(await people(Role.RUNNER, "us-east"), "us-east")
    await delivery.acknowledge()
    assert delivery.data == b"by a guest"
    with pytest.raises(Unavailable):
        await guest.api("STREAM.DELETE.OUTPUT_AP_SOUTH")


@pytest.mark.skipif(bool(missing()), reason=missing() or "sandboxes can be pitched here")
async def test_a_program_runs_in_the_next_region_by_keys_and_certificates(
    people: People, three: dict[str, Connections], tmp_path: Path
) -> None:
    """A real runner of ap-south does what a gateway of a region without runners accepts; result and cancel cross."""
    files = {name: tmp_path / f"{name}.toml" for name in NAMES}
    for name, file in files.items():
        file.write_text(text_of(name))
    here, there = three["us-east"], three["ap-south"]
    assert here.nats_seed_file is not None and there.nats_seed_file is not None
    environ = {
        "YURT_REGION_FILE": str(files["ap-south"]),
        "YURT_NATS_SEED_FILE": str(there.nats_seed_file.with_name("runner.nk")),
        "YURT_NATS_CA_FILE": str(there.nats_ca_file),
        "YURT_NAME": "far-runner",
        "YURT_FLEET": "py",
    }
    settings = {
        "region_file": files["us-east"],
        "nats_seed_file": here.nats_seed_file.with_name("gateway.nk"),
        "nats_ca_file": here.nats_ca_file,
    }
    async with runner_process(there.nats_urls[0], **environ) as process:
        await process.said("action=ready")
        async with open_door(here.nats_urls[0], "us-east", **settings) as door:
            await comes_true(lambda: is_ready(door))
            status, done = await door.submit("?wait=9", code="print('sent afar')")
            assert (status, done["stdout"], done["runner"]) == (200, "sent afar\n", "far-runner")
            _, accepted = await door.submit(code="while True: pass", timeout=30)
            path = f"/api/v1/executions/{accepted['execution_id']}"

            async def is_running() -> bool:
                return bool((await door.call("GET", path))[1]["status"] == "running")

            async def is_cancelled() -> bool:
                return bool((await door.call("GET", path))[1]["status"] == "cancelled")

            await comes_true(is_running)
            assert (await door.call("DELETE", path))[0] == 202
            await comes_true(is_cancelled)
        process.send_signal(signal.SIGTERM)
        assert await process.ended(ANSWER_S) == 0


# -- one region of three servers -------------------------------------------------------------------------------------


async def test_what_is_acknowledged_outlives_the_death_of_a_server(tmp_path: Path) -> None:
    """A live region gets three replicas that sync; a server is killed while jobs come in; none accepted is lost."""
    servers = cluster(tmp_path, "us-east", 3)
    assert all("sync_interval: always" in server.config.read_text() for server in servers)
    with running(*servers):
        bus = await connected(servers[0])
        await set_up(bus, region_of("us-east"))
        await bus.enqueue(subject("us-east"), b"earlier", message_id="earlier", timeout_s=ANSWER_S)
        region = region_of("us-east", replicas=3)
        await set_up(bus, region)  # a live region gets its replicas, and what it had is on all of them
        info = await bus.api(f"STREAM.INFO.{standard('us-east')}")
        assert len(info["cluster"]["replicas"]) == 2
        leader = next(server for server in servers if server.config.parent.name == info["cluster"]["leader"])
        accepted = await publish_through(servers, leader)
        survivor = await connected(next(server for server in servers if server is not leader))
        found = await read_all(survivor)
        assert {"earlier", *accepted} <= found and len(accepted) > JOBS // 2
        leader.start()
        back = await connected(leader)

        async def knows_all() -> bool:
            return not await survey(back, region)

        await eventually(knows_all, within_s=ANSWER_S)  # it hears from the others what it has missed
        for each in (bus, survivor, back):
            await each.close()


async def publish_through(servers: list[Server], leader: Server) -> list[str]:
    """Jobs one after another, from a server that lives; the stream's leader is killed half-way. Those accepted."""
    living = next(server for server in servers if server is not leader)
    bus = await connected(living)
    accepted = []
    for number in range(JOBS):
        if number == JOBS // 2:
            leader.kill()
        async with asyncio.timeout(ANSWER_S):
            while True:
                try:
                    await bus.enqueue(subject("us-east"), str(number).encode(), message_id=f"job-{number}", timeout_s=1)
                    accepted.append(str(number))
                    break
                except Unavailable:  # the next leader is being chosen; the id makes the repeat harmless
                    await asyncio.sleep(0.05)
    await bus.close()
    return accepted


async def read_all(bus: Bus) -> set[str]:
    messages = await bus.all(standard("us-east"), subject("us-east"), timeout_s=ANSWER_S)
    assert len(messages) == JOBS + 1  # none twice
    return {data.decode() for data in messages}
