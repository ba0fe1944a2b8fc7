"""A development agent of Nomad with Yurt's own job files on it: for ``make demo-nomad``, and for the tests.

Theory of operation. The agent is server and client in one, on ports and in a folder of its own. Jobs are registered as
a person would (``nomad job run`` with ``dev.vars.hcl``, and a vars file with what depends on this place). What Nomad
thinks is read from its HTTP API by blocking queries, which answer when something has changed: nothing here looks again
and again. An agent that is told to stop leaves its raw_exec tasks running, so jobs are stopped first.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.errors import ConfigFault, PlatformFault
from jobs.region import Region, parse
from yurt.stack.parts import nats_server
from yurt.stack.ports import ADDRESS

HOME = Path(__file__).resolve().parents[2]
FILES = HOME / "nomad"
START_S = 60.0
COMMAND_S = 240.0  #: a runner that starts on a busy machine takes its time
STOP_S = 150.0  #: more than any kill_timeout of the jobs
ENDED = frozenset({"complete", "failed", "lost"})

_ALLOCATIONS = "/v1/allocations?task_states=true"


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """One allocation, as Nomad lists it."""

    id: str
    job: str  #: of a dispatched one ``runner-burst/dispatch-…``
    version: int
    status: str  #: pending, running, complete, failed, lost, unknown
    wanted: str  #: run or stop
    node: str
    healthy: bool | None  #: by its deployment
    restarts: int
    said: str  #: the last event of its task
    index: int  #: when it was made

    @property
    def lives(self) -> bool:
        return self.status not in ENDED

    @property
    def runs(self) -> bool:
        return self.status == "running" and self.wanted == "run"


class Stage:
    """Make it, ``start`` it, ``stop`` it; or use ``staged``, which does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._agents: dict[str, subprocess.Popen[bytes]] = {}
        self._token = ""
        self._ports = free_ports(9)
        http, self._rpc, _, nats, cluster, gateway, monitor, self._port, _ = self._ports
        self.address = f"http://{ADDRESS}:{http}"
        self.url = f"http://{ADDRESS}:{self._port}"
        self.nats_url = f"nats://{ADDRESS}:{nats}"
        self._nats_ports = {"client": nats, "cluster": cluster, "gateway": gateway, "monitor": monitor}

    # -- life -----------------------------------------------------------------------------------------------------

    def start(self, *, secured: bool = False) -> None:
        """The agent, up and ready to place; raises ``ConfigFault`` where there is none to start.

        *secured*: it asks for tokens, so that a task reads what its Nomad job may read and nothing else.
        """
        http, rpc, serf = self._ports[:3]
        self._write_place()
        self._start_agent(
            "agent",
            ["-dev", "-data-dir", str(self._folder / "first")],
            f"ports {{\n  http = {http}\n  rpc  = {rpc}\n  serf = {serf}\n}}\n"
            f"acl {{\n  enabled = {json.dumps(secured)}\n}}\n",
        )
        if secured:
            self._wait("/v1/status/leader", bool, "there is a leader", START_S)
            self._token = str(self.call("POST", "/v1/acl/bootstrap", {})["SecretID"])
        self.nodes(lambda nodes: any(node["Status"] == "ready" for node in nodes), "the agent's node is ready")

    def add_node(self) -> str:
        """A second client on this machine, and its node's id."""
        http, rpc, serf = free_ports(3)
        known = {node["ID"] for node in self.get("/v1/nodes")}
        self._start_agent(
            "second",
            ["-data-dir", str(self._folder / "second")],
            f"ports {{\n  http = {http}\n  rpc  = {rpc}\n  serf = {serf}\n}}\n"
            f'advertise {{\n  http = "{ADDRESS}"\n  rpc  = "{ADDRESS}"\n  serf = "{ADDRESS}"\n}}\n'
            f'name = "second"\nclient {{\n  enabled = true\n  servers = ["{ADDRESS}:{self._rpc}"]\n'
            f'  network_interface = "lo"\n}}\n',
        )

        def joined(nodes: list[dict[str, Any]]) -> bool:
            return any(node["Status"] == "ready" and node["ID"] not in known for node in nodes)

        nodes = self.nodes(joined, "the second node is ready")
        return str(next(node["ID"] for node in nodes if node["ID"] not in known))

    def stop(self) -> None:
        """Every job ended, then the agents; whatever of it goes wrong, nothing stays."""
        try:
            if "agent" in self._agents and self._agents["agent"].poll() is None:
                for job in self.get("/v1/jobs"):
                    self.end(job["ID"])
                self.until(lambda each: not any(one.lives for one in each), "every allocation has ended", STOP_S)
        finally:
            for agent in self._agents.values():
                _end(agent)
            self._end_orphans()
            self._unmount()

    def _start_agent(self, name: str, words: list[str], config: str) -> None:
        file = self._folder / f"{name}.hcl"
        file.write_text(config)
        environ = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "NOMAD_"))}
        argv = [nomad(), "agent", *words, "-config", str(FILES / "agent.dev.hcl"), "-config", str(file)]
        with self.log(name).open("ab") as log:  # a session of its own: Ctrl-C is ours to handle, in order
            self._agents[name] = subprocess.Popen(
                argv, stdout=log, stderr=log, env=environ, start_new_session=True, cwd=self._folder
            )

    def _end_orphans(self) -> None:
        """Supervisors of tasks that outlived their agent, known by our folder in what they were started with."""
        mark = str(self._folder).encode()
        for each in Path("/proc").glob("[0-9]*"):
            try:
                words = (each / "environ").read_bytes() + (each / "cmdline").read_bytes()
            except OSError:
                continue
            if mark in words and b"NOMAD_ALLOC_ID" in words and int(each.name) != os.getpid():
                os.kill(int(each.name), signal.SIGKILL)

    def _unmount(self) -> None:
        """The small file systems that hold secrets: a client that is meant to come back leaves them mounted."""
        mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for place in sorted((each for each in mounted if Path(each).is_relative_to(self._folder)), reverse=True):
            subprocess.run(["umount", place], check=False, capture_output=True, timeout=10)

    def log(self, name: str = "agent") -> Path:
        return self._folder / f"{name}.log"

    # -- jobs -----------------------------------------------------------------------------------------------------

    def register(self, job: str, **variables: Any) -> None:
        """``nomad job run`` of a file, as it is, with *variables* over those of the place."""
        file = self._folder / f"{job}.vars.hcl"
        file.write_text(_hcl(variables))
        place = self._folder / "place.vars.hcl"
        vars_files = [word for each in (FILES / "dev.vars.hcl", place, file) for word in ("-var-file", str(each))]
        counts = ["-preserve-counts"] if job == "runner" else []
        self.nomad("job", "run", "-detach", "-hcl2-strict=false", *counts, *vars_files, str(FILES / f"{job}.nomad.hcl"))

    def region(self) -> Region:
        """The one that ``dev.vars.hcl`` describes."""
        return parse(_region_text())

    def bootstrap(self, *words: str, nats: bool = True) -> str:
        """``yurt bootstrap`` for the region, with more *words*; what it said. *nats*: its streams too."""
        file = self._folder / "region.toml"
        file.write_text(_region_text())
        whom = ["--nats", self.nats_url] if nats else []
        return _run([str(self._folder / "yurt"), "bootstrap", "--region-file", str(file), *whom, *words], {})

    def dispatch(self) -> str:
        """A burst runner, and the id of its job."""
        answer = self.call("POST", "/v1/job/runner-burst/dispatch", {"Meta": {"reason": "asked for"}})
        return str(answer["DispatchedJobID"])

    def end(self, job: str) -> None:
        """Stop a Nomad job; its allocations end in their own time."""
        self.call("DELETE", f"/v1/job/{_escaped(job)}")

    def deployed(self, job: str, version: int, within_s: float = COMMAND_S) -> None:
        """Wait until *version* of *job* is deployed; raises ``PlatformFault`` with what Nomad says if it is not."""

        def over(found: list[dict[str, Any]]) -> bool:
            return any(one["JobVersion"] == version and one["Status"] in ("successful", "failed") for one in found)

        try:
            found = self._wait(f"/v1/job/{job}/deployments", over, f"{job} version {version} is deployed", within_s)
        except PlatformFault as fault:
            raise PlatformFault(f"{fault}; {self._how_it_is(job)}") from fault
        one = next(one for one in found if one["JobVersion"] == version)
        if one["Status"] != "successful":
            said = f"{job} version {version} was not deployed: {one['StatusDescription']}"
            raise PlatformFault(f"{said}; {self._how_it_is(job)}")

    def deploying(self, job: str, version: int, within_s: float = COMMAND_S) -> None:
        """Wait until there is a deployment of *version* of *job* under way."""

        def begun(found: list[dict[str, Any]]) -> bool:
            return any(one["JobVersion"] == version and one["Status"] == "running" for one in found)

        self._wait(f"/v1/job/{job}/deployments", begun, f"{job} version {version} is being deployed", within_s)

    def _how_it_is(self, job: str) -> str:
        """The allocations of *job*, and the last that each said."""
        words = []
        for each in (one for one in self.allocations() if one.job == job and one.lives):
            try:
                last = self.logs(each).rstrip().rpartition("\n")[2]
            except OSError as error:
                last = str(error)
            words.append(f"{each.id[:8]} of version {each.version} is {each.status} ({each.said}): {last[:300]}")
        return "; ".join(words) or "no allocation of it lives"

    def version(self, job: str) -> int:
        return int(self.get(f"/v1/job/{job}")["Version"])

    # -- what there is --------------------------------------------------------------------------------------------

    def allocations(self) -> list[Allocation]:
        """All of them, oldest first."""
        return _allocations(self.get(_ALLOCATIONS))

    def until(self, true: Callable[[list[Allocation]], bool], what: str, within_s: float = COMMAND_S) -> float:
        """Seconds until *true* of the allocations; raises ``PlatformFault`` naming *what* did not come."""
        began = time.monotonic()
        self._wait(_ALLOCATIONS, lambda rows: true(_allocations(rows)), what, within_s)
        return time.monotonic() - began

    def running(self, job: str) -> list[Allocation]:
        return [each for each in self.allocations() if each.job == job and each.runs]

    def nodes(self, true: Callable[[list[dict[str, Any]]], bool], what: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._wait("/v1/nodes", true, what, START_S)
        return found

    def logs(self, allocation: Allocation) -> str:
        """What its task said, newest last."""
        task = allocation.job.partition("/")[0].replace("runner-burst", "runner")
        query = f"task={task}&type=stderr&plain=true&origin=end&offset=4000"
        url = f"{self.address}/v1/client/fs/logs/{allocation.id}?{query}"
        request = urllib.request.Request(url, headers={"X-Nomad-Token": self._token})  # noqa: S310  # loopback
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            text: bytes = answer.read()
        return text.decode(errors="replace")

    # -- Nomad itself ---------------------------------------------------------------------------------------------

    def nomad(self, *words: str) -> str:
        """The ``nomad`` command against this agent; raises ``PlatformFault`` with what it said."""
        return _run([nomad(), *words], {"NOMAD_ADDR": self.address, "NOMAD_TOKEN": self._token})

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def call(self, method: str, path: str, body: Any = None, timeout_s: float = 10.0) -> Any:
        return self._ask(method, path, body, timeout_s)[0]

    def _ask(self, method: str, path: str, body: Any, timeout_s: float) -> tuple[Any, int]:
        """The answer and its index."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}{path}", data=data, method=method)  # noqa: S310  # loopback
        if self._token:
            request.add_header("X-Nomad-Token", self._token)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
                return json.load(answer), int(answer.headers.get("X-Nomad-Index", 0))
        except urllib.error.HTTPError as error:
            raise PlatformFault(f"Nomad: {method} {path}: {error.read().decode(errors='replace')[:300]}") from error

    def _wait(self, path: str, true: Callable[[Any], bool], what: str, within_s: float) -> Any:
        deadline = time.monotonic() + within_s
        index = 0
        while (left := deadline - time.monotonic()) > 0:
            query = f"{'&' if '?' in path else '?'}index={index}&wait={min(left, 5.0):.2f}s"
            try:
                rows, index = self._ask("GET", path + query, None, min(left, 5.0) + 10)
            except (OSError, PlatformFault):
                if any(agent.poll() is not None for agent in self._agents.values()):
                    raise PlatformFault(f"a Nomad agent has ended; its log is {self.log()}") from None
                time.sleep(0.1)  # it has just been started, and does not listen yet
                continue
            if true(rows):
                return rows
        raise PlatformFault(f"not within {within_s:g} s: {what}")

    # -- this place -----------------------------------------------------------------------------------------------

    def _write_place(self) -> None:
        """The vars file of what depends on this machine, and the command that runs this very tree."""
        command = self._folder / "yurt"
        command.write_text(f'#!/bin/sh\nPYTHONPATH="{HOME}" exec "{sys.executable}" -P -m yurt "$@"\n')
        command.chmod(0o755)
        variables = {
            "yurt_command": str(command),
            "nats_command": nats_server(),
            "nats_data": str(self._folder / "jetstream"),
            "nats_ports": self._nats_ports,
            "nats_urls": [self.nats_url],
            "nomad_address": self.address,
            "gateway_port": self._port,
        }
        (self._folder / "place.vars.hcl").write_text(_hcl(variables))


@contextmanager
def staged(folder: Path, *, secured: bool = False) -> Iterator[Stage]:
    """A stage that lives while inside."""
    stage = Stage(folder)
    try:
        stage.start(secured=secured)
        yield stage
    finally:
        stage.stop()


def nomad() -> str:
    """The ``nomad`` on the path; raises ``ConfigFault`` with the cure."""
    found = shutil.which("nomad")
    if found is None:
        raise ConfigFault("there is no nomad on PATH; install Nomad 2.0.4 or newer, and try again")
    if os.geteuid() != 0:
        raise ConfigFault("runners under Nomad's raw_exec need root, to make sandboxes; try again with sudo")
    return found


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((ADDRESS, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _allocations(rows: list[dict[str, Any]]) -> list[Allocation]:
    found = [
        Allocation(
            id=row["ID"],
            job=row["JobID"],
            version=row["JobVersion"],
            status=row["ClientStatus"],
            wanted=row["DesiredStatus"],
            node=row["NodeName"],
            healthy=(row.get("DeploymentStatus") or {}).get("Healthy"),
            restarts=sum(state.get("Restarts", 0) for state in (row.get("TaskStates") or {}).values()),
            said=_said(row.get("TaskStates") or {}),
            index=row["CreateIndex"],
        )
        for row in rows
    ]
    return sorted(found, key=lambda each: each.index)


def _escaped(job: str) -> str:
    return urllib.parse.quote(job, safe="")


def _said(states: dict[str, Any]) -> str:
    events = [event for state in states.values() for event in state.get("Events") or []]
    return str(events[-1].get("DisplayMessage") or events[-1]["Type"]) if events else ""


def _hcl(variables: dict[str, Any]) -> str:
    """A vars file; JSON's values are HCL's, once nothing in them looks like an interpolation."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in variables.items()]
    return "".join(f"{line}\n".replace("${", "$${") for line in lines)


def _region_text() -> str:
    """The region file in ``dev.vars.hcl``."""
    return (FILES / "dev.vars.hcl").read_text().partition("region_file = <<-TOML\n")[2].partition("\nTOML")[0]


def _run(words: list[str], environ: dict[str, str]) -> str:
    ours = {key: value for key, value in os.environ.items() if not key.startswith(("NOMAD_", "YURT_"))}
    done = subprocess.run(
        words, capture_output=True, text=True, env={**ours, **environ}, timeout=COMMAND_S, check=False
    )
    if done.returncode:
        said = " ".join((done.stderr + done.stdout).split())
        raise PlatformFault(f"{Path(words[0]).name} {' '.join(words[1:3])}: {said[:600]}")
    return done.stdout


def _end(agent: subprocess.Popen[bytes]) -> None:
    agent.send_signal(signal.SIGINT)
    try:
        agent.wait(20)
    except subprocess.TimeoutExpired:
        agent.kill()
        agent.wait()
