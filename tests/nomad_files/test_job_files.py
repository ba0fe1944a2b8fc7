"""The Nomad job files, as they are written: what must be in each is there, and nothing that must not be."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from autoscaler import scaling
from autoscaler.settings import AutoscalerSettings
from gateway.settings import Settings
from jobs import engines
from jobs import region as regions
from jobs.limits import MESSAGE_BYTES
from jobs.service.registration import service_name
from jobs.service.settings import load
from runner.settings import RunnerSettings
from tests.nomad_files.job_files import FOLDER, JOBS, NOMAD, REGIONS, VARS, JobFile, code_of, job_file, vars_file
from yurt.stack.parts import nats_server

SETTINGS: dict[str, Any] = {
    "gateway": Settings,
    "runner": RunnerSettings,
    "runner-burst": RunnerSettings,
    "autoscaler": AutoscalerSettings,
}
#: what the order of importance, and the ways of stopping, must be
PROPERTIES = {
    "nats": {
        "type": "service",
        "priority": 90,
        "kill_timeout": "90s",
        "service": "yurt-nats",
        "driver": "${var.driver}",
    },
    "gateway": {
        "type": "service",
        "priority": 90,
        "kill_timeout": "30s",
        "service": "yurt-gateway",
        "driver": "${var.driver}",
    },
    "runner": {
        "type": "service",
        "priority": 60,
        "kill_timeout": "${var.runner_drain_s + 15}s",
        "service": "yurt-runner",
        "driver": "raw_exec",
    },
    "runner-burst": {
        "type": "batch",
        "priority": 30,
        "kill_timeout": "${var.runner_drain_s + 15}s",
        "service": "yurt-runner",
        "driver": "raw_exec",
    },
    "autoscaler": {
        "type": "service",
        "priority": 70,
        "kill_timeout": "20s",
        "service": "yurt-autoscaler",
        "driver": "${var.driver}",
    },
}
CHECKS = {
    "nats": {"/healthz?js-server-only=true"},
    "gateway": {"/healthz", "/readyz"},
    "runner": {"/healthz"},
    "runner-burst": {"/healthz"},
    "autoscaler": {"/healthz"},
}
SERVICES = ("nats", "gateway", "runner", "autoscaler")


@pytest.fixture(params=JOBS)
def file(request: pytest.FixtureRequest) -> JobFile:
    return job_file(request.param)


def test_the_folder_holds_what_it_should_and_never_a_python_file() -> None:
    """A ``.py`` in there would hide the library of that name from every import."""
    assert {each.name.removesuffix(".nomad.hcl") for each in FOLDER.glob("*.nomad.hcl")} == set(JOBS)
    assert {each.name.removesuffix(".vars.hcl") for each in FOLDER.glob("*.vars.hcl")} == set(VARS)
    assert not list(FOLDER.rglob("*.py")) and not list(FOLDER.rglob("*.tpl"))


def test_each_job_is_what_it_is_meant_to_be(file: JobFile) -> None:
    """Type, priority, driver, the time to stop, and the name it is found by."""
    job, task, wanted = file.job, file.task, PROPERTIES[file.name]
    found = {
        "type": job["type"],
        "priority": job["priority"],
        "kill_timeout": task["kill_timeout"],
        "service": file.service["name"],
        "driver": task["driver"],
    }
    assert found == wanted
    assert wanted["service"] == service_name(file.name.removesuffix("-burst"))
    assert "kill_signal" in task and "shutdown_delay" in file.group


def test_each_job_is_checked_by_what_it_answers(file: JobFile) -> None:
    """NATS by its own JetStream alone: a region that is cut off serves on, and must not be restarted for it."""
    checks = file.service["check"]
    assert {check["path"] for check in checks} == CHECKS[file.name]
    assert all(check["type"] == "http" and {"interval", "timeout"} <= check.keys() for check in checks)
    assert file.service["provider"] == "${var.provider}"
    assert "region-${var.region}" in file.service["tags"]


@pytest.mark.parametrize("name", SERVICES)
def test_an_update_is_rolled_with_its_checks_and_taken_back_when_they_fail(name: str) -> None:
    """One or two at a time; and what is drained is moved as carefully, where it is moved at all."""
    (update,) = job_file(name).job["update"]
    assert (update["health_check"], update["auto_revert"]) == ("checks", True)
    assert update["max_parallel"] in (1, 2)
    assert {"min_healthy_time", "healthy_deadline", "progress_deadline"} <= update.keys()
    assert ("canary" in update) == (name in ("gateway", "runner"))
    if name != "autoscaler":
        (migrate,) = job_file(name).group["migrate"]
        assert migrate["health_check"] == "checks"


def test_what_dies_comes_back_by_rules_that_are_written_down(file: JobFile) -> None:
    """On its node, on another, and when its node is lost from sight. A burst runner and NATS are not moved by Nomad."""
    (restart,), (reschedule,), (disconnect,) = (file.group[each] for each in ("restart", "reschedule", "disconnect"))
    assert {"attempts", "interval", "delay", "mode"} <= restart.keys()
    stays = file.name in ("nats", "runner-burst")
    assert reschedule["unlimited"] is not stays
    assert disconnect["replace"] is not stays and "lost_after" in disconnect


def test_allocations_are_spread_over_zones(file: JobFile) -> None:
    """And servers of NATS, and autoscalers, never share a node."""
    assert file.job["spread"][0]["attribute"] == "${var.zone}"
    operators = {constraint.get("operator") for constraint in file.job.get("constraint", [])}
    assert ("distinct_hosts" in operators) == (file.name in ("nats", "autoscaler"))


def test_the_baseline_is_on_demand_and_the_burst_is_spot() -> None:
    """By what the nodes say of themselves, and each in a pool of its own."""
    for name, cycle, pool in (("runner", "on-demand", "baseline"), ("runner-burst", "spot", "burst")):
        file = job_file(name)
        prefix = name.rpartition("-")[2]
        assert file.variables[f"{prefix}_life_cycle"]["default"] == cycle
        assert file.variables[f"{prefix}_pool"]["default"] == pool
        assert file.dynamic(file.job, "constraint")[0]["content"][0]["attribute"] == "${var.life_cycle}"


def test_the_burst_is_dispatched_and_ends_by_itself() -> None:
    """It is a runner that is told so, with a bound on its idleness and on its life."""
    file = job_file("runner-burst")
    assert file.job["parameterized"] == [{"payload": "forbidden", "meta_optional": ["reason"]}]
    (env,) = file.task["env"]
    assert env["YURT_BURST"] == "true"
    assert {"YURT_IDLE_EXIT_S", "YURT_LIFE_S"} <= env.keys()
    assert file.group["count"] == 1 and "update" not in file.job


def test_the_burst_hears_that_its_node_will_be_taken() -> None:
    """From the node's metadata where that is a cloud's; a development node has none to ask."""
    file = job_file("runner-burst")
    (env,) = file.task["env"]
    assert env["YURT_NOTICE_URL"] == "${var.burst_notice_url}"
    assert file.variables["burst_notice_url"]["default"] == "http://169.254.169.254"
    assert vars_file("dev")["burst_notice_url"] == ""
    assert "YURT_NOTICE_URL" not in job_file("runner").text


@pytest.mark.parametrize("name", ["runner", "runner-burst"])
def test_one_file_serves_every_fleet(name: str) -> None:
    """The Nomad job, its secrets and its runner bear the fleet's name, as the autoscaler expects them to."""
    file = job_file(name)
    (env,) = file.task["env"]
    assert env["YURT_FLEET"] == "${var.fleet}"
    assert file.job["id"] == file.job["name"] == "${local.job}"
    assert f'var.fleet == "all" ? "{name}" : "{name}-${{var.fleet}}"' in file.text
    split = regions.parse(vars_file("us-east")["region_file"])
    for fleet in scaling.default(split).fleets:
        assert (fleet.job, fleet.burst_job) == (f"runner-{fleet.name}", f"runner-burst-{fleet.name}")
        assert fleet.group in job_file("runner").job["group"][0]


@pytest.mark.parametrize("name", ["runner", "runner-burst"])
def test_the_time_to_stop_is_longer_than_what_runs_may_take(name: str) -> None:
    """A build and a run are 30 s each; the process gives them drain_s, and Nomad gives the process more."""
    file = job_file(name)
    (env,) = file.task["env"]
    assert env["YURT_DRAIN_S"] == "${var.runner_drain_s}"
    assert file.variables["runner_drain_s"]["default"] > 60
    assert "max_kill_timeout" in file.text


def test_no_user_but_the_runners_is_root() -> None:
    """And why it must be is told where it is."""
    for name in JOBS:
        assert (job_file(name).task.get("user") == "root") == name.startswith("runner")
    for name in ("nats", "gateway", "autoscaler"):
        (docker, raw) = job_file(name).dynamic(job_file(name).task, "config")
        (content,) = docker["content"]
        assert content["cap_drop"] == ["all"] and content["readonly_rootfs"] is True
        assert content["security_opt"] == ["no-new-privileges"]
        assert "command" in raw["content"][0]
    for word in ("docker", "exec2", "SYS_ADMIN"):
        assert word in job_file("runner").text


def test_every_variable_is_typed_described_and_used(file: JobFile) -> None:
    """A variable that nothing reads is a mistake; so is a name that is no variable."""
    body = code_of(file.text)
    used = set(re.findall(r"\bvar\.([a-z_]+)", body))
    assert used == set(file.variables)
    for name, variable in file.variables.items():
        assert {"type", "description"} <= variable.keys(), name
        assert variable["description"].endswith((".", "…:4222. One that answers tells of the others.", '" }.')), name
        outside = body.replace(_block(body, name), "")
        assert f"var.{name}" in outside, f"{name} is only validated"


def _block(body: str, name: str) -> str:
    found = re.search(rf'^variable "{name}" \{{\n.*?^\}}\n', body, re.DOTALL | re.MULTILINE)
    assert found, name
    return found[0]


def test_a_variable_of_several_files_is_the_same_in_each() -> None:
    """One vars file serves them all, so one name is one thing. What a driver means is told by each."""
    seen: dict[str, Any] = {}
    for name in JOBS:
        for variable, body in job_file(name).variables.items():
            kind = {key: body[key] for key in ("type", "default") if key in body}
            assert seen.setdefault(variable, kind) == kind, f"{name}: {variable}"


@pytest.mark.parametrize("name", VARS)
def test_a_vars_file_sets_what_there_is(name: str) -> None:
    """Nomad is told to pass over names that a job does not have; so a misspelt one is caught here."""
    known = {variable for job in JOBS for variable in job_file(job).variables}
    assert set(vars_file(name)) <= known
    for job in JOBS:
        for variable, body in job_file(job).variables.items():
            here = {"yurt_command", "nats_command"}  # what depends on the machine
            assert "default" in body or variable in vars_file(name) or variable in here, f"{job}: {variable}"


@pytest.mark.parametrize("name", VARS)
def test_a_vars_file_holds_a_region_that_can_be_served(name: str) -> None:
    """Region and scaling files are read as the processes read them, and agree with the rest of the file."""
    values = vars_file(name)
    region = regions.parse(values["region_file"])
    scaling.parse(values.get("scaling_file", ""), region)
    assert region.name == values["region"]
    assert region.replicas == max(1, len(values.get("peers", [])))
    count = values.get("gateway_count", job_file("gateway").variables["gateway_count"]["default"])
    assert region.gateways == tuple(f"{region.name}-{number}" for number in range(1, count + 1))
    assert set(values.get("runner_counts", {})) <= {fleet.name for fleet in region.fleets}
    assert {each.region for each in region.neighbours} == {each["name"] for each in values.get("neighbours", [])}


@pytest.mark.parametrize("name", ["runner", "runner-burst"])
def test_what_sandboxes_are_flows_from_the_vars_file(name: str) -> None:
    """By the region file for a fleet and its languages; before it by a variable; the wall of containers by fleet."""
    file = job_file(name)
    (env,) = file.task["env"]
    assert env["YURT_ENGINE"] == "${var.runner_engine}" and file.variables["runner_engine"]["default"] == ""
    assert env["YURT_DOCKER_RUNTIME"] == '${lookup(var.runner_docker_runtimes, var.fleet, "runc")}'
    settings = load(RunnerSettings, file=None, environ={"YURT_ENGINE": "", "YURT_NATS_URLS": "nats://n"}, flags={})
    assert settings.engine == ()


@pytest.mark.parametrize("name", VARS)
def test_a_vars_file_names_engines_and_fleets_that_there_are(name: str) -> None:
    values = vars_file(name)
    faults: list[str] = []
    engines.read(filter(None, values.get("runner_engine", "").split(",")), "runner_engine", faults)
    assert faults == []
    fleets = {fleet.name for fleet in regions.parse(values["region_file"]).fleets}
    assert set(values.get("runner_docker_runtimes", {})) <= fleets


def test_secrets_are_nomad_variables_of_the_job_alone(file: JobFile) -> None:
    """In no default, in no vars file, in no argument; on disk only in ``secrets/``, for the task's eyes alone."""
    for template in file.templates:
        if "nomadVar" in template["data"]:
            assert template["perms"] == "0600" and template["destination"].startswith("secrets/")
            assert re.search(rf"nomad/jobs/(\$\{{local\.job\}}|{file.name})", template["data"])
        else:
            assert template["destination"].startswith("local/")
    secret = re.compile(r"(seed|token|password|private|secret|_key)(?!_file)")
    for name, variable in file.variables.items():
        assert not secret.search(name) or variable.get("type") == "bool", name
    for name in VARS:
        assert not any(secret.search(variable) for variable in vars_file(name))
    assert "TOKEN" not in str(file.task.get("env", ""))


@pytest.mark.parametrize("name", list(SETTINGS))
def test_every_setting_that_a_job_gives_is_one_that_the_process_knows(name: str) -> None:
    """``YURT_…`` in the environment is read by name; one that nobody knows would be silently without effect."""
    file = job_file(name)
    (env,) = file.task["env"]
    given = {each for each in env if each.startswith("YURT_")} | set(re.findall(r"\bYURT_[A-Z_]+(?==)", file.text))
    known = {f"YURT_{field.name.upper()}" for field in dataclasses.fields(SETTINGS[name])}
    assert given <= known
    assert {"YURT_REGION", "YURT_REGION_FILE", "YURT_NATS_URLS", "YURT_NATS_SEED_FILE", "YURT_NATS_CA_FILE"} <= given
    assert env["YURT_CONSUL_REGISTER"] == "false"


def test_nats_takes_what_the_processes_send() -> None:
    """Messages as large as may be; acknowledged is on disks where there are replicas; clusters have regions' names."""
    (config,) = (each["data"] for each in job_file("nats").templates if each["destination"] == "local/nats.conf")
    assert f"max_payload: {MESSAGE_BYTES}\n" in config
    assert f"max_pending: {4 * MESSAGE_BYTES}\n" in config
    assert "sync_interval: always" in config
    assert config.count('name: "${var.region}"') == 2
    assert config.count("verify: true") == 2  # routes and gateways show certificates, clients show NKeys


# -- where there is a Nomad ------------------------------------------------------------------------------------------

with_nomad = pytest.mark.skipif(NOMAD is None, reason="no nomad on PATH: the job files are parsed alone")


@with_nomad
@pytest.mark.parametrize("vars_name", VARS)
def test_nomad_finds_each_job_valid(file: JobFile, vars_name: str) -> None:
    """Without an agent: what is in the files, not what a cluster has."""
    words = ["job", "validate", "-hcl2-strict=false", f"-var-file={FOLDER / vars_name}.vars.hcl"]
    said = _nomad(*words, str(FOLDER / f"{file.name}.nomad.hcl"))
    assert "Job validation successful" in said and "Job Warnings" not in said, said


@with_nomad
def test_nomad_finds_each_file_well_formed() -> None:
    """``nomad fmt`` would change nothing."""
    assert _nomad("fmt", "-check", str(FOLDER)) == ""


@with_nomad
@pytest.mark.parametrize(
    ("job", "variable", "value", "cure"),
    [
        ("nats", "region", '"US East"', "lower-case letters"),
        ("nats", "peers", '["a", "b"]', "1, 3 or 5 servers"),
        ("nats", "lame_duck_s", "5", "From 30"),
        ("gateway", "provider", '"etcd"', "consul or nomad"),
        ("gateway", "nats_urls", "[]", "at least one address"),
        ("gateway", "driver", '"exec"', "docker or raw_exec"),
        ("runner", "runner_slots", "0", "From 1 to 1024"),
        ("runner-burst", "burst_life_s", "60", "Above 75"),
        ("autoscaler", "nomad_address", '"localhost"', "https://HOST:PORT"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_the_cure(
    tmp_path: Path, job: str, variable: str, value: str, cure: str
) -> None:
    """Before anything is registered."""
    wrong = tmp_path / "wrong.vars.hcl"
    wrong.write_text(f"{variable} = {value}\n")
    words = ["job", "validate", "-hcl2-strict=false", f"-var-file={FOLDER / 'dev.vars.hcl'}", f"-var-file={wrong}"]
    assert cure in _nomad(*words, str(FOLDER / f"{job}.nomad.hcl"), code=1)


def _nomad(*words: str, code: int = 0) -> str:
    assert NOMAD is not None
    nobody = {"PATH": "/usr/bin:/bin", "NOMAD_ADDR": "http://127.0.0.1:1"}
    done = subprocess.run([NOMAD, *words], capture_output=True, text=True, env=nobody, timeout=60, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_each_region_reaches_the_others() -> None:
    """The gateways of NATS are told of each other from both sides."""
    for name in REGIONS:
        values = vars_file(name)
        for neighbour in values["neighbours"]:
            other = vars_file(neighbour["name"])
            assert any(peer in url for peer in other["peers"] for url in neighbour["urls"])
            assert any(each["name"] == name for each in other["neighbours"])


@with_nomad
@pytest.mark.parametrize("vars_name", REGIONS)
def test_the_servers_of_a_cluster_take_their_configuration(tmp_path: Path, vars_name: str) -> None:
    """As Nomad would render it on a node: routes, gateways and all; keys and certificates are tried on a real Nomad."""
    open_vars = tmp_path / "open.vars.hcl"
    open_vars.write_text("secured = false\n")
    words = ["-output", "-hcl2-strict=false", f"-var-file={FOLDER / vars_name}.vars.hcl", f"-var-file={open_vars}"]
    job = json.loads(_nomad("job", "run", *words, str(FOLDER / "nats.nomad.hcl")))["Job"]
    (template,) = (each for each in job["TaskGroups"][0]["Tasks"][0]["Templates"])
    config = tmp_path / "nats.conf"
    on_a_node = {"node.unique.name": "nats-1", "meta.zone": "a", "NOMAD_ADDR_client": "127.0.0.1:4222"}
    config.write_text(
        re.sub(
            r'\{\{ env "([^"]+)" \}\}', lambda name: on_a_node.get(name[1], "127.0.0.1:6222"), template["EmbeddedTmpl"]
        )
    )
    done = subprocess.run([nats_server(), "-t", "-c", str(config)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
