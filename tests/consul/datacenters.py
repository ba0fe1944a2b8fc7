"""A real Consul for the tests: two federated datacenters of one server each, with ACLs that deny by default.

Both run on loopback, on ports of their own, with their data in a folder, and start together. Gossip is quicker than it
would be in earnest, so that distances are measured and deaths noticed within a second. ``stop`` is a kill, ``start``
takes up the data; ``forget`` is an agent whose services were not kept.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.conftest import free_port

ROOT = Path(__file__).parents[2]
POLICIES = ROOT / "nomad" / "consul-policies"
HOME, AWAY = "us-east", "eu-west"
MANAGEMENT = "0f6e7f2a-3b5c-4d1e-9a8b-7c6d5e4f3a2b"  #: the token of the tests themselves, which may do all
START_S = 30.0
GOSSIP = {"gossip_interval": "50ms", "probe_interval": "100ms", "probe_timeout": "50ms", "suspicion_mult": 2}


def binary() -> str | None:
    """On PATH, or where ``.ci/consul`` puts it."""
    unpacked = ROOT / ".tools" / "bin" / "consul"
    return shutil.which("consul") or (str(unpacked) if unpacked.exists() else None)


@cache
def version() -> tuple[int, int]:
    """Of the binary: settings have changed their names."""
    consul = binary()
    assert consul is not None
    said = subprocess.run([consul, "version"], capture_output=True, text=True, check=True, timeout=20).stdout
    found = re.search(r"v(\d+)\.(\d+)", said)
    assert found, said
    return int(found[1]), int(found[2])


@dataclass
class Datacenter:
    name: str
    folder: Path
    http: int = field(default_factory=free_port)
    lan: int = field(default_factory=free_port)
    wan: int = field(default_factory=free_port)
    rpc: int = field(default_factory=free_port)
    others: list[Datacenter] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.http}"

    @property
    def log(self) -> str:
        return (self.folder / "consul.log").read_text()

    def start(self) -> None:
        """Begin; ``until_ready`` waits."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "agent.json").write_text(json.dumps(self._config()))
        environ = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "CONSUL_"))}
        consul = binary()
        assert consul is not None
        with (self.folder / "consul.log").open("ab") as log:
            self.process = subprocess.Popen(
                [consul, "agent", "-config-file", str(self.folder / "agent.json")], stdout=log, stderr=log, env=environ
            )

    def until_ready(self) -> None:
        """It has a leader, knows the others and how far they are, and takes the management token."""
        self.until(lambda: bool(self.ask("/v1/status/leader")), "a leader")
        self.until(lambda: bool(self.ask("/v1/acl/token/self")), "its ACLs")
        names = {self.name, *(other.name for other in self.others)}
        self.until(lambda: self._measured() == names, f"the distances between {', '.join(sorted(names))}")

    def _measured(self) -> set[str]:
        return {
            entry["Datacenter"]
            for entry in self.ask("/v1/coordinate/datacenters")
            if entry["Coordinates"] and all(each["Coord"]["Error"] < 1.5 for each in entry["Coordinates"])
        }

    def stop(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def forget(self) -> None:
        """The services and checks that the agent kept on its disk."""
        for kept in ("services", "checks"):
            shutil.rmtree(self.folder / "data" / kept, ignore_errors=True)

    def ask(self, path: str, *, method: str = "GET", body: Any = None, token: str = MANAGEMENT) -> Any:
        """What Consul answers."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.address + path, method=method, data=data, headers={"X-Consul-Token": token}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.loads(answer.read() or b"null")

    def until(self, condition: Callable[[], bool], what: str, deadline_s: float = START_S) -> None:
        """Returns once it is so."""
        deadline = time.monotonic() + deadline_s
        while True:
            try:
                if condition():
                    return
            except OSError:
                pass  # it does not answer, or not yet so
            assert time.monotonic() < deadline, f"{self.name} never had {what}:\n{self.log[-2000:]}"
            assert self.process is None or self.process.poll() is None, self.log[-2000:]
            time.sleep(0.02)

    # -- what tests look at -------------------------------------------------------------------------------------

    def entries(self, name: str, datacenter: str = "") -> list[dict[str, Any]]:
        """The catalog's instances of a service, with their checks."""
        found: list[dict[str, Any]] = self.ask(f"/v1/health/service/{name}?dc={datacenter or self.name}")
        return found

    def health(self, name: str) -> list[str]:
        """The state of each instance's own check."""
        return [check["Status"] for entry in self.entries(name) for check in entry["Checks"] if check["ServiceID"]]

    def token(self, role: str) -> str:
        """A new token, known in both, with the role's policy out of ``nomad/consul-policies`` and nothing else."""
        name = f"yurt-{role}"
        if not any(policy["Name"] == name for policy in self.ask("/v1/acl/policies")):
            rules = (POLICIES / f"{role}.hcl").read_text()
            self.ask("/v1/acl/policy", method="PUT", body={"Name": name, "Rules": rules})
        secret = str(self.ask("/v1/acl/token", method="PUT", body={"Policies": [{"Name": name}]})["SecretID"])
        for other in self.others:
            other.until(lambda: bool(other.ask("/v1/acl/token/self", token=secret)), "the token too")  # noqa: B023
        return secret

    def _config(self) -> dict[str, Any]:
        management = "initial_management" if version() >= (1, 11) else "master"
        return {
            "datacenter": self.name,
            "primary_datacenter": HOME,
            "node_name": f"{self.name}-1",
            "server": True,
            "bootstrap": True,
            "data_dir": str(self.folder / "data"),
            "bind_addr": "127.0.0.1",
            "client_addr": "127.0.0.1",
            "ports": {
                "http": self.http,
                "serf_lan": self.lan,
                "serf_wan": self.wan,
                "server": self.rpc,
                "dns": -1,
                "grpc": -1,
                **({"grpc_tls": -1} if version() >= (1, 14) else {}),
            },
            "retry_join_wan": [f"127.0.0.1:{other.wan}" for other in self.others],
            "retry_interval_wan": "100ms",
            "gossip_lan": GOSSIP,
            "gossip_wan": GOSSIP,
            "performance": {"raft_multiplier": 1},
            "connect": {"enabled": False},
            "disable_update_check": True,
            "check_update_interval": "0s",
            "acl": {
                "enabled": True,
                "default_policy": "deny",
                "enable_token_replication": self.name != HOME,
                "tokens": {management: MANAGEMENT, "agent": MANAGEMENT, "replication": MANAGEMENT},
            },
        }


def federation(folder: Path) -> tuple[Datacenter, Datacenter]:
    """Both, not started yet."""
    home, away = Datacenter(HOME, folder / HOME), Datacenter(AWAY, folder / AWAY)
    home.others, away.others = [away], [home]
    return home, away


def start(*datacenters: Datacenter) -> None:
    """Those that do not run, at the same time; returns when all have joined."""
    for datacenter in datacenters:
        if datacenter.process is None:
            datacenter.start()
    for datacenter in datacenters:
        datacenter.until_ready()


async def comes_true(condition: Callable[[], bool], what: str, deadline_s: float = 15.0) -> None:
    """Returns once it is so; *condition* may ask Consul, which is done in a thread."""
    deadline = time.monotonic() + deadline_s
    while True:
        try:
            if await asyncio.to_thread(condition):
                return
        except OSError:
            pass  # Consul is away, or does not know of it
        assert time.monotonic() < deadline, f"never: {what}"
        await asyncio.sleep(0.02)


@dataclass
class Recorder:
    """Stands between a client and an agent, passes all on, and keeps what the client said."""

    said: bytearray = field(default_factory=bytearray)
    address: str = ""

    async def pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray | None = None
    ) -> None:
        while data := await reader.read(1 << 16):
            if kept is not None:
                kept += data
            writer.write(data)


@asynccontextmanager
async def recorded(port: int) -> AsyncIterator[Recorder]:
    """A recorder before the agent at *port*."""
    recorder, connections, tasks = Recorder(), list[asyncio.StreamWriter](), list[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        agent_reader, agent_writer = await asyncio.open_connection("127.0.0.1", port)
        connections.extend((writer, agent_writer))
        tasks.append(asyncio.create_task(recorder.pass_on(reader, agent_writer, recorder.said)))
        tasks.append(asyncio.create_task(recorder.pass_on(agent_reader, writer)))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        recorder.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield recorder
        finally:
            for task in tasks:
                task.cancel()
            for connection in connections:
                connection.close()
            await asyncio.gather(*tasks, *(each.wait_closed() for each in connections), return_exceptions=True)
