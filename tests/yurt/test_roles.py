"""Each role on a real server, with the accounts that bootstrap makes: it can do what it needs, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from autoscaler.lock import NatsLock
from autoscaler.policy import Count, Decision
from autoscaler.record import Record
from jobs import streams
from jobs.errors import Unavailable
from jobs.languages import Language
from jobs.region import Fleet, Region, parse
from jobs.roles import Role, permissions
from jobs.service.access import Access
from jobs.service.bus import Bus, Message, NotAllowed, header
from jobs.service.connections import Connections, connect
from jobs.service.streams_there import need, restore_output
from jobs.states import Class, State
from tests.conftest import free_port
from tests.gateway.conftest import comes_true, open_door
from tests.gateway.scripted import ScriptedRunner, Told, hello
from tests.yurt.servers import Server, connected, running
from yurt.bootstrap import keys
from yurt.bootstrap.apply import set_up
from yurt.bootstrap.changes import Allowed
from yurt.bootstrap.keys import Material, Ports, Servers
from yurt.bootstrap.nats_config import ServerPlan, render

HOME = parse('region = "us-east"\n[[neighbours]]\nregion = "eu-west"\n')
NEXT = parse('region = "eu-west"\n[[neighbours]]\nregion = "us-east"\n')
QUEUE = "JOBS_US_EAST_STANDARD"
ANSWER_S = 5.0


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("keys")
    servers = Servers(hosts={"one": "127.0.0.1"})
    keys.make(folder, NEXT, servers)
    return keys.make(folder, HOME, servers)


@pytest.fixture(scope="module")
def server(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server alone with the accounts of us-east; both regions' streams lie on it."""
    folder, port = tmp_path_factory.mktemp("nats"), free_port()
    plan = ServerPlan(
        name="one",
        port=port,
        store_dir=folder / "data",
        max_memory_bytes=1 << 34,
        max_file_bytes=1 << 36,
        accounts=material.accounts.read_text(),
    )
    config = folder / "nats.conf"
    config.write_text(render(plan))
    server = Server(config=config, port=port)
    with running(server):
        asyncio.run(_set_up(server, material))
        yield server


async def _set_up(server: Server, material: Material) -> None:
    """The home region by its admin; the neighbour's streams as somebody else has made them."""
    bus = await connected(server, role="admin", **Access(seed_file=material.seeds["admin"]).options())
    await set_up(bus, HOME)
    await bus.close()


As = Callable[..., Awaitable[Bus]]


@pytest.fixture
async def as_role(server: Server, material: Material) -> AsyncIterator[As]:
    """A connection by the key of a role, of the home region or of a guest's."""
    opened: list[Bus] = []

    async def connect_as(role: Role, of: Region = HOME, wait_s: float = ANSWER_S) -> Bus:
        seed = material.folder.parent / of.name / f"{role}.nk"
        settings = Connections(nats_urls=(server.url,), nats_seed_file=seed)
        opened.append(await connect(settings, role=role, name=f"test-{role}", wait_s=wait_s))
        return opened[-1]

    yield connect_as
    for bus in opened:
        await bus.close()


async def is_refused(bus: Bus, verb: str, subject: str) -> bool:
    """Whether the server lets us; asked by doing it, and a round trip after it."""
    if verb == "publish":
        bus.publish(subject, b"{}", headers=header("Nats-Expected-Stream", "NONE"))  # no stream keeps it
    else:
        await bus.subscribe(subject, lambda message: None)
    await round_trip(bus)
    return subject.lower() in bus.refused


async def round_trip(bus: Bus) -> None:
    """What the server has to say to what was sent before has come when it returns."""
    await bus._client.flush(timeout=ANSWER_S)  # its ping may overtake what is buffered
    await bus._client.flush(timeout=ANSWER_S)


API = "$JS.API"
NEEDS = [
    (Role.GATEWAY, "publish", "jobs.us-east.bulk.rust"),
    (Role.GATEWAY, "publish", "jobs.eu-west.priority.python"),
    (Role.GATEWAY, "publish", "control.eu-west.some-id"),
    (Role.GATEWAY, "publish", "results.eu-west.some-id"),
    (Role.GATEWAY, "publish", "output.eu-west-1.some-id"),
    (Role.GATEWAY, "publish", "dead.us-east.some-id"),
    (Role.GATEWAY, "publish", f"{API}.DIRECT.GET.RESULTS_EU_WEST"),
    (Role.GATEWAY, "publish", f"{API}.DIRECT.GET.OUTPUT_EU_WEST"),
    (Role.GATEWAY, "publish", f"{API}.STREAM.MSG.DELETE.{QUEUE}"),
    (Role.GATEWAY, "publish", f"{API}.STREAM.MSG.GET.DEAD_US_EAST"),
    (Role.GATEWAY, "publish", f"{API}.CONSUMER.LIST.{QUEUE}"),
    (Role.GATEWAY, "publish", f"{API}.STREAM.INFO.JOBS_EU_WEST_STANDARD"),
    (Role.GATEWAY, "subscribe", "output.us-east-1.>"),
    (Role.GATEWAY, "subscribe", "output.*.some-id"),
    (Role.GATEWAY, "subscribe", "runners.eu-west.*"),
    (Role.RUNNER, "publish", f"{API}.CONSUMER.MSG.NEXT.JOBS_EU_WEST_BULK.any"),
    (Role.RUNNER, "publish", f"{API}.CONSUMER.NAMES.JOBS_EU_WEST_BULK"),
    (Role.RUNNER, "publish", f"{API}.CONSUMER.INFO.JOBS_EU_WEST_BULK.any"),
    (Role.RUNNER, "publish", f"$JS.ACK.{QUEUE}.all.1.1.1.1.0"),
    (Role.RUNNER, "publish", f"$JS.ACK.domain.hash.{QUEUE}.all.1.1.1.1.0"),
    (Role.RUNNER, "publish", "results.eu-west.some-id"),
    (Role.RUNNER, "publish", "dead.eu-west.unreadable"),
    (Role.RUNNER, "publish", "output.eu-west-1.some-id"),
    (Role.RUNNER, "publish", "runners.us-east.me"),
    (Role.RUNNER, "subscribe", "control.us-east.*"),
    (Role.RUNNER, "subscribe", "control.eu-west.*"),
    (Role.AUTOSCALER, "publish", f"{API}.CONSUMER.INFO.{QUEUE}.all"),
    (Role.AUTOSCALER, "subscribe", "runners.us-east.*"),
    (Role.SUBSCRIBER, "publish", f"{API}.DIRECT.GET.OUTPUT_EU_WEST"),
    (Role.SUBSCRIBER, "subscribe", "output.>"),
    (Role.SUBSCRIBER, "subscribe", "output.*.*"),
    (Role.ADMIN, "publish", f"{API}.CONSUMER.PAUSE.{QUEUE}.all"),
    (Role.ADMIN, "publish", f"{API}.CONSUMER.RESET.{QUEUE}.none"),
    (Role.ADMIN, "publish", f"{API}.STREAM.MSG.GET.{QUEUE}"),
    (Role.ADMIN, "publish", f"{API}.STREAM.MSG.DELETE.{QUEUE}"),
    (Role.ADMIN, "publish", f"{API}.DIRECT.GET.{QUEUE}"),
    (Role.ADMIN, "publish", "jobs.us-east.standard.python"),
    (Role.ADMIN, "publish", f"{API}.STREAM.INFO.SCALE_US_EAST"),
]
MUST_NOT = [
    # what every role but the one it is for must leave alone
    *((role, "subscribe", "jobs.>") for role in Role),
    *((role, "subscribe", "results.>") for role in Role),
    *((role, "subscribe", ">") for role in Role),
    *((role, "subscribe", "_INBOX.>") for role in Role),
    *((role, "subscribe", "$JS.API.>") for role in Role),
    *((role, "subscribe", f"_INBOX.{other}.>") for role in Role for other in Role if role is not other),
    *((role, "publish", f"{API}.STREAM.DELETE.{QUEUE}") for role in Role if role is not Role.ADMIN),
    *((role, "publish", f"{API}.STREAM.UPDATE.{QUEUE}") for role in Role if role is not Role.ADMIN),
    *((role, "publish", f"{API}.STREAM.PURGE.{QUEUE}") for role in Role if role is not Role.ADMIN),
    *((role, "publish", f"{API}.CONSUMER.DELETE.{QUEUE}.all") for role in Role if role is not Role.ADMIN),
    *((role, "publish", f"{API}.STREAM.CREATE.MINE") for role in Role),
    *((role, "publish", f"{API}.STREAM.DELETE.JOBS_EU_WEST_BULK") for role in Role),
    *((role, "publish", "$SYS.REQ.SERVER.PING") for role in Role),
    *((role, "publish", "_INBOX.gateway.x.r.1") for role in Role),
    *((role, "publish", f"$JS.ACK.{QUEUE}.all.1.1.1.1.0") for role in Role if role is not Role.RUNNER),
    *((role, "publish", f"{API}.CONSUMER.MSG.NEXT.{QUEUE}.all") for role in Role if role is not Role.RUNNER),
    (Role.GATEWAY, "publish", f"{API}.STREAM.MSG.DELETE.JOBS_EU_WEST_STANDARD"),
    (Role.GATEWAY, "publish", f"{API}.STREAM.CREATE.OUTPUT_EU_WEST"),
    (Role.GATEWAY, "publish", f"{API}.STREAM.CREATE.RESULTS_US_EAST"),
    (Role.GATEWAY, "publish", f"{API}.STREAM.MSG.DELETE.RESULTS_US_EAST"),
    (Role.GATEWAY, "publish", "jobs.ap-south.standard.python"),
    (Role.GATEWAY, "publish", "runners.us-east.me"),
    (Role.GATEWAY, "publish", "scale.us-east.leader"),
    (Role.RUNNER, "publish", "jobs.us-east.standard.python"),
    (Role.RUNNER, "publish", "control.us-east.some-id"),
    (Role.RUNNER, "publish", "runners.eu-west.me"),
    (Role.RUNNER, "publish", f"{API}.STREAM.MSG.GET.{QUEUE}"),
    (Role.RUNNER, "publish", f"{API}.DIRECT.GET.OUTPUT_US_EAST"),
    (Role.RUNNER, "subscribe", "output.>"),
    (Role.RUNNER, "subscribe", "runners.us-east.*"),
    (Role.AUTOSCALER, "publish", "jobs.us-east.standard.python"),
    (Role.AUTOSCALER, "publish", f"{API}.DIRECT.GET.{QUEUE}"),
    (Role.AUTOSCALER, "publish", "results.us-east.some-id"),
    (Role.AUTOSCALER, "publish", "scale.eu-west.leader"),
    (Role.AUTOSCALER, "publish", "runners.us-east.me"),
    (Role.AUTOSCALER, "subscribe", "output.>"),
    (Role.SUBSCRIBER, "publish", "output.us-east-1.some-id"),
    (Role.SUBSCRIBER, "publish", "jobs.us-east.standard.python"),
    (Role.SUBSCRIBER, "publish", "control.us-east.some-id"),
    (Role.SUBSCRIBER, "publish", f"{API}.DIRECT.GET.{QUEUE}"),
    (Role.SUBSCRIBER, "publish", f"{API}.DIRECT.GET.RESULTS_US_EAST"),
    (Role.SUBSCRIBER, "publish", f"{API}.STREAM.INFO.OUTPUT_US_EAST"),
    (Role.SUBSCRIBER, "subscribe", "runners.us-east.*"),
    (Role.ADMIN, "publish", "results.us-east.some-id"),
    (Role.ADMIN, "publish", "output.us-east-1.some-id"),
    (Role.ADMIN, "publish", f"{API}.STREAM.UPDATE.JOBS_EU_WEST_BULK"),
    (Role.ADMIN, "subscribe", "output.>"),
]


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_can_do_what_it_needs(as_role: As, role: Role) -> None:
    """Every subject that its part of the code uses, one by one."""
    bus = await as_role(role)
    needs = [(verb, subject) for of, verb, subject in NEEDS if of is role]
    assert needs
    assert [need for need in needs if await is_refused(bus, *need)] == []


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_can_do_nothing_else(as_role: As, role: Role) -> None:
    """Each thing that it must not do is tried, and refused."""
    bus = await as_role(role)
    forbidden = [(verb, subject) for of, verb, subject in MUST_NOT if of is role]
    assert len(forbidden) > 15
    assert [each for each in forbidden if not await is_refused(bus, *each)] == []


@pytest.mark.parametrize("role", list(Role))
def test_no_role_may_more_than_the_table_of_its_region_says(role: Role) -> None:
    """No right names a region that its home does not know, and none is a bare wildcard."""
    may = permissions(role, "us-east", ["eu-west"])
    said = " ".join((*may.publish, *may.subscribe))
    assert "ap-south" not in said and "AP_SOUTH" not in said
    assert not {">", "*", "_INBOX.>", "$JS.>", "$JS.API.>", "jobs.>"} & {*may.publish, *may.subscribe}
    assert may.subscribe[0] == f"_INBOX.{role}.>"
    alone = permissions(role, "us-east")
    assert set(alone.publish) <= set(may.publish) and set(alone.subscribe) <= set(may.subscribe)


async def test_a_refused_request_is_told_at_once(as_role: As) -> None:
    """Nobody waits out a deadline for what the server has refused; the fault names the subject."""
    bus = await as_role(Role.SUBSCRIBER)
    async with asyncio.timeout(2):
        with pytest.raises(NotAllowed, match=r"STREAM\.DELETE\.OUTPUT_US_EAST"):
            await bus.api("STREAM.DELETE.OUTPUT_US_EAST", timeout_s=30)


async def test_a_gateway_and_a_runner_do_a_whole_job_by_their_keys(
    server: Server, material: Material, as_role: As, tmp_path: Path
) -> None:
    """Accepted, pulled, told, stored, read back, listed and cancelled, and neither was ever refused."""
    (tmp_path / "region.toml").write_text('region = "us-east"\n[[neighbours]]\nregion = "eu-west"\n')
    at_runner = await as_role(Role.RUNNER)
    seed = material.seeds["gateway"]
    async with open_door(server.url, "us-east", nats_seed_file=seed, region_file=tmp_path / "region.toml") as door:
        runner = ScriptedRunner(at_runner, HOME, tells=hello)
        await runner.start()
        status, execution = await door.submit("?wait=20")
        assert (status, execution["status"], execution["stdout"]) == (200, "completed", "hello\n")
        status, again = await door.call("GET", f"/api/v1/executions/{execution['execution_id']}")
        assert again["stdout"] == "hello\n"
        runner.tells = until_cancelled
        status, accepted = await door.submit()
        assert status == 202
        status, _ = await door.call("DELETE", f"/api/v1/executions/{accepted['execution_id']}")
        assert status == 202

        async def is_cancelled() -> bool:
            _, seen = await door.call("GET", f"/api/v1/executions/{accepted['execution_id']}")
            return bool(seen["status"] == "cancelled")

        await comes_true(is_cancelled)
        await runner.stop()
    assert not at_runner.refused
    assert " Violation" not in lines_of(server, "gateway-us-east-1")


async def until_cancelled(told: Told) -> None:
    await told.running()
    await told.cancelled.wait()
    await told.ends(state=State.CANCELLED, verdict=None, exit_code=None)


def lines_of(server: Server, name: str) -> str:
    """What the server logged of a connection."""
    return "\n".join(line for line in server.log.splitlines() if name in line)


async def test_a_runner_answers_what_it_is_asked_without_a_right_to_inboxes(as_role: As) -> None:
    """Once for each request."""
    gateway, runner = await as_role(Role.GATEWAY), await as_role(Role.RUNNER)

    def answer(message: Message) -> None:
        runner.publish(message.reply, b"yes")

    await runner.subscribe("control.us-east.*", answer)
    await round_trip(runner)
    reply = await gateway.request("control.us-east.some-id", b"?", timeout_s=ANSWER_S)
    assert reply.data == b"yes"
    assert not runner.refused


async def test_an_autoscaler_keeps_lock_and_record(as_role: As) -> None:
    """Taken, renewed, left; a decision stored and read; its streams found; queues looked at."""
    bus = await as_role(Role.AUTOSCALER)
    await need(bus, [streams.scale_plan(HOME)], region="us-east", wait_s=ANSWER_S)
    lock = NatsLock(bus, region="us-east", owner="me", clock=asyncio.get_running_loop().time)
    assert await lock.take() and await lock.take()
    await lock.leave()
    record = Record(bus, "us-east")
    assert await record.read("all") == []
    await record.add(
        Decision(
            fleet="all",
            at=1.0,
            count=Count(baseline=1, burst=0),
            wanted=2,
            total=2,
            baseline=2,
            limits=(),
            reasons=("because",),
        )
    )
    assert len(await record.read("all")) == 1
    assert (await bus.api(f"CONSUMER.INFO.{QUEUE}.all"))["name"] == "all"
    assert not bus.refused


async def test_a_gateway_makes_the_lost_stream_of_output_again_and_no_other(as_role: As) -> None:
    """What a lone server forgets at its restart; anything else that is missing is bootstrap's."""
    admin, gateway = await as_role(Role.ADMIN), await as_role(Role.GATEWAY)
    await admin.api("STREAM.DELETE.OUTPUT_US_EAST")
    await need(gateway, streams.serving(HOME), region="us-east", wait_s=ANSWER_S)
    assert await restore_output(gateway, HOME)
    assert not await restore_output(gateway, HOME)
    assert not gateway.refused


async def test_an_admin_moves_languages_with_their_jobs(as_role: As) -> None:
    """To fleets of their own and back, on the live queue, by its key alone."""
    admin, gateway = await as_role(Role.ADMIN), await as_role(Role.GATEWAY)
    subject = streams.jobs_subject("us-east", Class.BULK, Language.GO)
    await gateway.enqueue(subject, b"a job", message_id="moves")
    others = tuple(language for language in Language if language is not Language.GO)
    fleets = (Fleet(name="only-go", languages=(Language.GO,)), Fleet(name="others", languages=others))
    split, bulk = replace(HOME, fleets=fleets), streams.jobs_stream("us-east", Class.BULK)
    for region, fleet in ((split, "only-go"), (HOME, "all")):
        await set_up(admin, region, allowed=Allowed(idle=True))
        info = await admin.api(f"CONSUMER.INFO.{bulk}.{fleet}")
        assert info["num_pending"] == 1
    await admin.api(f"STREAM.PURGE.{bulk}")
    assert not admin.refused


async def test_a_subscriber_reads_live_and_past_output(as_role: As) -> None:
    """As README tells it: the subject, and the stream for what was before."""
    runner, subscriber = await as_role(Role.RUNNER), await as_role(Role.SUBSCRIBER)
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    await subscriber.subscribe("output.us-east-1.read-me", lambda message: heard.set_result(message.data))
    await round_trip(subscriber)
    runner.publish("output.us-east-1.read-me", b"a line")
    async with asyncio.timeout(ANSWER_S):
        assert await heard == b"a line"
        assert await subscriber.all("OUTPUT_US_EAST", "output.*.read-me") == [b"a line"]


async def test_a_guest_has_the_rights_it_has_at_home(as_role: As) -> None:
    """A gateway and a runner of the next region, on our server: their own region's work, and nothing of our admin's."""
    gateway, runner = await as_role(Role.GATEWAY, NEXT), await as_role(Role.RUNNER, NEXT)
    assert not await is_refused(gateway, "publish", "jobs.eu-west.standard.python")
    assert not await is_refused(gateway, "publish", "jobs.us-east.standard.python")
    assert not await is_refused(gateway, "publish", f"{API}.STREAM.MSG.DELETE.JOBS_EU_WEST_STANDARD")
    assert await is_refused(gateway, "publish", f"{API}.STREAM.MSG.DELETE.{QUEUE}")
    assert await is_refused(gateway, "publish", f"{API}.STREAM.CREATE.OUTPUT_US_EAST")
    assert not await is_refused(runner, "publish", "runners.eu-west.theirs")
    assert await is_refused(runner, "publish", "runners.us-east.theirs")


async def test_a_guest_changes_no_streams_here(as_role: As) -> None:
    """The admin of another region is nobody here; so is a key that no region knows."""
    with pytest.raises(Unavailable, match="does not take our key"):
        await as_role(Role.ADMIN, NEXT, wait_s=0.5)


async def test_beats_of_another_region_are_heard(as_role: As) -> None:
    """By a gateway, which tells of all regions."""
    here, there = await as_role(Role.GATEWAY), await as_role(Role.RUNNER, NEXT)
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    await here.subscribe(streams.runner_subject("eu-west", "*"), lambda message: heard.set_result(message.data))
    await round_trip(here)
    there.publish("runners.eu-west.one", b"I am here")
    async with asyncio.timeout(ANSWER_S):
        assert await heard == b"I am here"


async def test_by_tls_and_key_a_process_gets_in_and_without_either_it_does_not(tmp_path: Path) -> None:
    """The whole configuration as it is made: the server's certificate is checked, the role's key is asked for."""
    port = free_port()
    servers = Servers(
        hosts={"one": "127.0.0.1"}, ports=Ports(client=port, monitor=free_port()), store_dir=tmp_path / "data"
    )
    made = keys.make(tmp_path / "keys", HOME, servers)
    with running(Server(config=made.configs["one"], port=port)):
        url = (f"tls://127.0.0.1:{port}",)
        settings = Connections(nats_urls=url, nats_seed_file=made.seeds["admin"], nats_ca_file=made.ca)
        bus = await connect(settings, role="admin", name="test", wait_s=ANSWER_S)
        await set_up(bus, HOME)
        await bus.close()
        for less in (
            Connections(nats_urls=url, nats_seed_file=made.seeds["admin"]),
            Connections(nats_urls=url, nats_ca_file=made.ca),
        ):
            with pytest.raises(Unavailable, match=r"CERTIFICATE_VERIFY_FAILED|does not take our key"):
                await connect(less, role="admin", name="test", wait_s=0.7)
