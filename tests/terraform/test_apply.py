"""Two regions applied to an AWS on loopback (moto), planned again without a change that is not explained, destroyed.

What is not explained fails: each difference of the second plan must be one that moto is known to make up.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import free_port
from tests.terraform.conftest import Terraform

pytestmark = pytest.mark.network

TOOLS = Path(__file__).parents[2] / ".tools/infrastructure/bin"
START_S = 60.0
SERVICES = ("acm", "autoscaling", "cloudwatchlogs", "ec2", "elbv2", "iam", "kms", "route53", "s3", "sts")
REGIONS = ("us-east", "eu-west")

#: what moto makes up, by the address it shows at, and the one attribute that may differ there
EXPLAINED = (
    # it puts the account before the name of a group, and forgets the description of such a rule
    (r"aws_vpc_security_group_\w+_rule", {"referenced_security_group_id", "description"}),
    # it lists the tags of the template among those of what the template starts
    (r"aws_launch_template", {"tag_specifications", "default_version", "latest_version"}),
    # … and whoever follows the template's version follows that
    (r"aws_autoscaling_group", {"launch_template", "mixed_instances_policy", "capacity_reservation_specification"}),
    (r"aws_instance", {"launch_template"}),
    # it sends the hook's news to a queue of its own
    (r"aws_autoscaling_lifecycle_hook", {"notification_target_arn", "role_arn"}),
)


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """moto's address."""
    server = TOOLS / "moto_server"
    if not server.exists():
        pytest.skip("moto is not installed: nothing is applied; make test installs it where Terraform is")
    port = free_port()
    with (tmp_path_factory.mktemp("moto") / "log").open("wb") as log:
        process = subprocess.Popen([str(server), "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_S
        while not _listens(port):
            assert process.poll() is None and time.monotonic() < deadline, "moto did not start"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _prepare(terraform: Terraform, root: str, aws: str, values: dict[str, Any]) -> None:
    """The provider and the state led here; the values of a *.auto.tfvars.json."""
    endpoints = "\n".join(f'    {service} = "{aws}"' for service in SERVICES)
    (terraform.folder / root / "override.tf").write_text(
        'terraform {\n  backend "local" {}\n}\n'
        'provider "aws" {\n  skip_credentials_validation = true\n  skip_metadata_api_check = true\n'
        f"  skip_requesting_account_id = true\n  endpoints {{\n{endpoints}\n  }}\n}}\n"
    )
    (terraform.folder / root / "test.auto.tfvars.json").write_text(json.dumps(values))
    terraform.run(root, "init", "-input=false", "-no-color")


def _common(zone_id: str) -> dict[str, Any]:
    return {
        "domain": "run.example.org",
        "zone_id": zone_id,
        "ami_id": "ami-0123456789abcdef0",
        "artifacts_bucket": "artifacts",
        "logs_bucket": "logs",
        "authoritative_region": "us-east",
        "protected": False,
        "artifacts": {name: {"key": f"{name}.zip", "sha256": "0" * 64} for name in ("consul", "nomad", "nats", "yurt")},
    }


@pytest.fixture(scope="module")
def applied(make_terraform: Callable[[str], Terraform], aws: str) -> Iterator[dict[str, Terraform]]:
    """The zone, two regions side by side, and the zone again, which then knows them: as terraform/README.md says."""
    zone = make_terraform("zone")
    _prepare(zone, "global", aws, {"domain": "run.example.org"})
    zone.run("global", "apply", "-auto-approve", "-input=false", "-no-color")
    zone_id = _output(zone, "global", "zone_id")
    places = {name: make_terraform(name) for name in REGIONS}
    for place in places.values():
        _prepare(place, "region", aws, _common(zone_id))
    _each(places, "apply", "-auto-approve", "-input=false", "-no-color")
    for name, place in places.items():
        edge = _output(place, "region", "edge")
        (zone.folder / "global/regions" / f"{name}.json").write_text(json.dumps(edge))
    zone.run("global", "apply", "-auto-approve", "-input=false", "-no-color")
    yield {**places, "zone": zone}


def _each(places: dict[str, Terraform], *words: str, allowed: tuple[int, ...] = (0,)) -> None:
    def one(name: str) -> None:
        places[name].run("region", *words, f"-var-file=../regions/{name}.tfvars", allowed=allowed)

    with ThreadPoolExecutor() as pool:
        list(pool.map(one, REGIONS))


def _output(terraform: Terraform, root: str, name: str) -> Any:
    return json.loads(terraform.run(root, "output", "-json", name).stdout)


def _changes(terraform: Terraform, root: str) -> list[dict[str, Any]]:
    shown = terraform.run(root, "show", "-json", "again.plan").stdout
    return [change for change in json.loads(shown)["resource_changes"] if change["change"]["actions"] != ["no-op"]]


def _differing(change: dict[str, Any]) -> set[str]:
    before, after = change["change"]["before"] or {}, change["change"]["after"] or {}
    unknown = {name for name, is_unknown in (change["change"]["after_unknown"] or {}).items() if is_unknown is True}
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} | unknown


def test_a_second_plan_shows_no_change_that_is_not_explained(applied: dict[str, Terraform]) -> None:
    """What was applied is what was planned."""
    _each(applied, "plan", "-input=false", "-no-color", "-out=again.plan")
    applied["zone"].run("global", "plan", "-input=false", "-no-color", "-out=again.plan")
    unexplained = []
    for name, terraform in applied.items():
        for change in _changes(terraform, "global" if name == "zone" else "region"):
            allowed = next((names for kind, names in EXPLAINED if re.fullmatch(kind, change["type"])), set())
            if change["change"]["actions"] != ["update"] or not _differing(change) <= allowed:
                unexplained.append((name, change["address"], change["change"]["actions"], _differing(change)))
    assert not unexplained, "\n".join(str(one) for one in unexplained)


def test_the_regions_are_there_and_the_zone_leads_to_them(applied: dict[str, Terraform], aws: str) -> None:
    """Each has its machines; each has its own name, and a place in the shared one."""
    assert sorted(_output(applied["zone"], "global", "regions")) == sorted(REGIONS)
    for name in REGIONS:
        state = json.loads(applied[name].run("region", "show", "-json").stdout)["values"]["root_module"]
        kinds = [resource["type"] for module in _modules(state) for resource in module.get("resources", [])]
        assert kinds.count("aws_instance") == 3 and kinds.count("aws_autoscaling_group") == 4
    with urllib.request.urlopen(f"{aws}/moto-api/data.json", timeout=10) as answer:
        data = json.load(answer)["route53"]
    records = json.dumps(data)
    assert all(f"{name}.run.example.org" in records for name in REGIONS)


def _modules(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield module
    for child in module.get("child_modules", []):
        yield from _modules(child)


def test_destroy_leaves_nothing(applied: dict[str, Terraform]) -> None:
    """Last here: regions first, then what they share."""
    _each(applied, "destroy", "-auto-approve", "-input=false", "-no-color")
    applied["zone"].run("global", "destroy", "-auto-approve", "-input=false", "-no-color")
    for name, terraform in applied.items():
        root = "global" if name == "zone" else "region"
        assert terraform.run(root, "state", "list").stdout.strip() == ""


def test_the_policies_of_a_well_kept_tool_hold(make_terraform: Callable[[str], Terraform]) -> None:
    """Nothing open, everything encrypted, least rights: all that checkov knows, but for what has a reason beside it."""
    checkov = TOOLS / "checkov"
    if not checkov.exists():
        pytest.skip("checkov is not installed: policies are not checked; make test installs it where Terraform is")
    terraform = make_terraform("policies")
    done = subprocess.run(
        [
            str(checkov),
            "-d",
            str(terraform.folder),
            "--framework",
            "terraform",
            "--compact",
            "--quiet",
            "--skip-download",
        ],
        env=terraform.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
