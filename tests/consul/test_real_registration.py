"""Entries in a real Consul, under ACLs that deny by default: made, kept up, checked, taken back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import Unavailable
from jobs.region import embedded
from jobs.service.bus import Bus
from jobs.service.connections import Connections
from jobs.service.consul_door import ConsulDoor
from jobs.service.registration import (
    Registration,
    Service,
    autoscaler_service,
    make_registration,
    nats_service,
    runner_service,
    service_name,
)
from jobs.streams import plan
from tests.conftest import NatsServer, binary, free_port, make_streams, until_it_answers
from tests.consul.datacenters import Datacenter, comes_true, recorded
from tests.sandboxes import CACHE, missing
from tests.stopping import hold

pytestmark = pytest.mark.network

ROUND_S = 0.1


@asynccontextmanager
async def kept_up(registration: Registration) -> AsyncIterator[Registration]:
    keeping = asyncio.create_task(registration.keep_up())
    try:
        yield registration
    finally:
        await registration.leave()
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


def runner(name: str) -> Service:
    return runner_service(region="us-east", name=name, fleet="all", admin_port=9000)


def register(home: Datacenter, service: Service, healthy: Callable[[], bool] = lambda: True) -> Registration:
    role = service.name.removeprefix("yurt-")
    return Registration(ConsulDoor(home.address, token=home.token(role)), service, healthy=healthy, round_s=ROUND_S)


@contextmanager
def process(
    role: str, settings: dict[str, str], nats: NatsServer, home: Datacenter, token: str, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """``yurt <role>``, in the region ``us-east``."""
    settings |= {"NATS_URLS": nats.url, "REGION": "us-east", "CONSUL_ADDRESS": home.address, "CONSUL_TOKEN": token}
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("YURT_", "NOMAD_", "CONSUL_"))}
    environ |= {f"YURT_{name}": value for name, value in settings.items()}
    with log.open("wb") as errors:
        started = subprocess.Popen([sys.executable, "-m", "yurt", role], env=environ, stderr=errors)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


async def test_a_runner_is_in_the_catalog_while_it_serves(home: Datacenter) -> None:
    """With its region, its fleet and its version; passing while it says so, critical when it is not well; then gone."""
    well = True
    service = runner("r1")
    async with kept_up(register(home, service, lambda: well)):
        await comes_true(lambda: home.health("yurt-runner") == ["passing"], "a passing runner")
        entry = home.entries("yurt-runner")[0]["Service"]
        assert (entry["ID"], entry["Tags"], entry["Port"]) == (service.id, ["us-east", "all"], 9000)
        assert entry["Meta"]["region"] == "us-east" and entry["Meta"]["version"]
        well = False
        await comes_true(lambda: home.health("yurt-runner") == ["critical"], "a runner that is not well")
        well = True
        await comes_true(lambda: home.health("yurt-runner") == ["passing"], "a runner that is well again")
    await comes_true(lambda: home.entries("yurt-runner") == [], "an empty catalog")


async def test_an_agent_that_was_started_anew_and_forgot_is_told_again(
    home: Datacenter, caplog: pytest.LogCaptureFixture
) -> None:
    """While the agent is away nothing is raised, and the outage is two lines: away, back."""
    caplog.set_level("INFO")
    async with kept_up(register(home, runner("r2"))):
        await comes_true(lambda: home.health("yurt-runner") == ["passing"], "a passing runner")
        home.stop()
        await comes_true(lambda: "consul_away" in caplog.text, "the word that Consul is away")
        home.forget()
        home.start()
        await asyncio.to_thread(home.until_ready)
        await comes_true(lambda: home.health("yurt-runner") == ["passing"], "the runner in the catalog again")
        await comes_true(lambda: "consul_back" in caplog.text, "the word that Consul is back")
        assert "again=True" in caplog.text
        assert caplog.text.count("consul_away") == caplog.text.count("consul_back") == 1
    await comes_true(lambda: home.entries("yurt-runner") == [], "an empty catalog")


async def test_what_consul_dropped_by_itself_is_entered_again(home: Datacenter) -> None:
    """As it does with an entry that was critical for two minutes."""
    service = runner("r3")
    async with kept_up(register(home, service)):
        await comes_true(lambda: home.health("yurt-runner") == ["passing"], "a passing runner")
        home.ask(f"/v1/agent/service/deregister/{service.id}", method="PUT")
        await comes_true(lambda: home.health("yurt-runner") == ["passing"], "the runner in the catalog again")


async def test_leaving_does_not_wait_for_a_consul_that_hangs(
    home: Datacenter, caplog: pytest.LogCaptureFixture
) -> None:
    """An agent that takes connections and says nothing holds a stop up for two seconds at most."""
    service = runner("r4")
    assert home.process is not None
    async with kept_up(register(home, service)) as registration:
        await comes_true(lambda: home.health("yurt-runner") == ["passing"], "a passing runner")
        hold(home.process.pid)
        try:
            async with asyncio.timeout(4):
                await registration.leave()
        finally:
            home.process.send_signal(signal.SIGCONT)
    assert "action=not_deregistered" in caplog.text
    with contextlib.suppress(OSError):  # where the agent came to the word that it was sent, it is gone already
        home.ask(f"/v1/agent/service/deregister/{service.id}", method="PUT")


async def test_a_nats_server_is_checked_by_what_it_can_do_itself(home: Datacenter, tmp_path: Path) -> None:
    """``js-server-only``: passing without a meta leader too, as in a region that is cut off; its death is seen."""
    port, monitor = free_port(), free_port()
    config = tmp_path / "nats.conf"
    # one of a cluster whose others never come: its JetStream has no meta leader
    config.write_text(
        f'server_name: n1\nlisten: "127.0.0.1:{port}"\nhttp: "127.0.0.1:{monitor}"\n'
        f'jetstream {{ store_dir: "{tmp_path / "data"}" }}\n'
        f'cluster {{ name: c, listen: "127.0.0.1:{free_port()}", routes: ["nats://127.0.0.1:{free_port()}"] }}\n'
    )
    with (tmp_path / "nats.log").open("ab") as log:
        server = subprocess.Popen([binary(), "-c", str(config)], stdout=log, stderr=log)
    try:
        until_it_answers(port, server, tmp_path / "nats.log")
        described = nats_service(
            region="us-east", server_name="n1", address="127.0.0.1", port=port, monitor_port=monitor
        )
        service = Service(**{**vars(described), "check_every_s": 0.1})
        assert service.id == "yurt-nats-n1" and service.check["HTTP"].endswith("/healthz?js-server-only=true")
        async with kept_up(register(home, service)):
            answered = "HTTP GET http://127.0.0.1"

            def checked(status: str) -> bool:
                checks = [check for entry in home.entries("yurt-nats") for check in entry["Checks"]]
                return any(check["Status"] == status and check["ServiceID"] for check in checks) and (
                    status != "passing" or any(check["Output"].startswith(answered) for check in checks)
                )

            await comes_true(lambda: checked("passing"), "a NATS server that Consul has asked")
            server.kill()
            await comes_true(lambda: checked("critical"), "its death")
    finally:
        server.kill()
        server.wait()


async def test_a_gateways_process_enters_itself_and_leaves_consul_first(
    home: Datacenter, nats_server: NatsServer, bus: Bus, tmp_path: Path
) -> None:
    """Its entry says where its region's endpoint is; Consul asks it; SIGTERM takes it back before all else."""
    await make_streams(bus, plan(embedded("us-east")))
    token = home.token("gateway")
    settings = {"PORT": "0", "PUBLIC_URL": "https://us-east.example.org"}
    with process("gateway", settings, nats_server, home, token, tmp_path / "log") as gateway:
        await comes_true(lambda: home.health("yurt-gateway") == ["passing"], "a passing gateway")
        service = home.entries("yurt-gateway")[0]["Service"]
        assert service["Meta"]["url"] == "https://us-east.example.org"
        assert service["Address"] == "127.0.0.1" and service["Port"] > 0

        def asked() -> bool:
            return any("HTTP GET" in each["Output"] for each in home.entries("yurt-gateway")[0]["Checks"])

        await comes_true(asked, "a gateway that Consul has asked")
        gateway.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(gateway.wait, 20) == 0
        said = (tmp_path / "log").read_text()
        assert home.entries("yurt-gateway") == []
        assert 0 < said.index("action=deregistered") < said.index("action=gateway_stopped")
        assert token not in said


async def test_an_autoscalers_process_enters_itself_and_takes_its_lock_there(
    home: Datacenter, nats_server: NatsServer, bus: Bus, tmp_path: Path
) -> None:
    """SIGTERM gives both back."""
    await make_streams(bus, plan(embedded("us-east")))
    token = home.token("autoscaler")
    leader = "/v1/kv/yurt/us-east/autoscaler/leader"
    with process("autoscaler", {"INTERVAL_S": "0.2"}, nats_server, home, token, tmp_path / "log") as autoscaler:
        await comes_true(lambda: home.health("yurt-autoscaler") == ["passing"], "a passing autoscaler")
        await comes_true(lambda: "Session" in home.ask(leader)[0], "its lock")
        autoscaler.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(autoscaler.wait, 20) == 0
        assert home.entries("yurt-autoscaler") == []
        assert "Session" not in home.ask(leader)[0]
        assert token not in (tmp_path / "log").read_text()


async def test_a_runners_process_is_entered_once_it_takes_jobs(
    home: Datacenter, nats_server: NatsServer, bus: Bus, tmp_path: Path
) -> None:
    """And is gone before it lets go of NATS; its token is not in its log."""
    if lack := missing():
        pytest.skip(lack)
    await make_streams(bus, plan(embedded("us-east")))
    token = home.token("runner")
    settings = {"LANGUAGES": "python", "WARM": "1", "CACHE": str(CACHE)}
    with process("runner", settings, nats_server, home, token, tmp_path / "log") as runner:
        await comes_true(lambda: home.health("yurt-runner") == ["passing"], "a passing runner", 120)
        assert "action=ready" in (tmp_path / "log").read_text()
        runner.send_signal(signal.SIGTERM)
        await comes_true(lambda: home.entries("yurt-runner") == [], "an empty catalog")
        assert await asyncio.to_thread(runner.wait, 60) == 0
        said = (tmp_path / "log").read_text()
        assert 0 < said.index("action=draining") < said.index("action=deregistered")
        assert token not in said


# -- ACLs ---------------------------------------------------------------------------------------------------------


async def enter(door: ConsulDoor, role: str) -> None:
    check = Service(name="", id="").check
    await door.register(service_name(role), service_id="of-acls", address="", port=0, tags=(), meta={}, check=check)


async def test_a_roles_token_opens_what_the_role_needs_and_nothing_else(home: Datacenter) -> None:
    """Each role enters itself; nobody enters another; whoever has no business with locks gets none."""
    tokens = {role: home.token(role) for role in ("gateway", "runner", "autoscaler", "nats")}
    for role, token in tokens.items():
        door = ConsulDoor(home.address, token=token)
        for other in tokens:
            if other == role:
                await enter(door, other)
                await door.deregister("of-acls")
            else:
                with pytest.raises(Unavailable, match=f"it needs service:write on yurt-{other}"):
                    await enter(door, other)
        if role != "autoscaler":
            with pytest.raises(Unavailable, match="needs session:write"):
                await door.session("mine", 15)
    scaler = ConsulDoor(home.address, token=tokens["autoscaler"])
    session = await scaler.session("mine", 15)
    with pytest.raises(Unavailable, match="needs session:write and key:write on yurt/"):
        await scaler.acquire("others/leader", "me", session)
    assert await scaler.acquire("yurt/us-east/autoscaler/leader", "me", session)
    await scaler.release("yurt/us-east/autoscaler/leader", "me", session)


async def test_a_token_travels_in_its_header_and_nowhere_else(
    home: Datacenter, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in a request line, not in a log, not in an error; nor does the environment's take its place."""
    caplog.set_level("DEBUG")
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "1111-of-the-environment")
    token = home.token("autoscaler")
    async with recorded(home.http) as recorder:
        door = ConsulDoor(recorder.address, token=token)
        service = autoscaler_service(region="us-east", name="a1", admin_port=1)
        async with kept_up(Registration(door, service, round_s=ROUND_S)):
            await comes_true(lambda: home.health("yurt-autoscaler") == ["passing"], "a passing autoscaler")
        session = await door.session("mine", 15)
        await door.renew(session)
        await door.acquire("yurt/us-east/autoscaler/leader", "me", session)
        await door.release("yurt/us-east/autoscaler/leader", "me", session)
        for answer in (door.datacenters(), door.coordinates(), door.instances("yurt-gateway", "eu-west")):
            await answer
        with pytest.raises(Unavailable) as denied:
            await door.acquire("others/leader", "me", session)
        assert token not in str(denied.value)
    lines = recorder.said.decode().splitlines()
    requests = [line for line in lines if line.endswith(" HTTP/1.1")]
    carriers = [line for line in lines if token in line]
    assert len(requests) > 10 and len(carriers) == len(requests)
    assert set(carriers) == {f"X-Consul-Token: {token}"}
    assert token not in caplog.text and "1111" not in caplog.text + recorder.said.decode()


async def test_a_wrong_token_is_one_line_and_no_end(home: Datacenter, caplog: pytest.LogCaptureFixture) -> None:
    """Serving goes on; the line says what the token needs, and not the token."""
    wrong = "deadbeef-0000-0000-0000-000000000000"
    settings = Connections(consul_address=home.address, consul_token=wrong, consul_register=True)
    async with kept_up(make_registration(settings, runner("r5"))):
        await comes_true(lambda: "consul_away" in caplog.text, "the line")
    lines: list[Any] = [line for line in caplog.messages if "consul_away" in line]
    assert len(lines) == 1 and "the token may not do that" in lines[0] and wrong not in caplog.text
