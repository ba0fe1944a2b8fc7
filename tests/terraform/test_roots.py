"""The Terraform roots: written as Terraform writes, valid, and their own tests hold (planned and applied, mocked)."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.terraform.conftest import SOURCES, Terraform
from yurt.bootstrap.nats_config import ServerPlan, render

pytestmark = pytest.mark.network

ROLES = ("server", "broker", "gateway", "runner")


def test_every_file_is_written_as_terraform_fmt_writes(terraform: Terraform) -> None:
    """No difference is left to argue about."""
    assert terraform.run(".", "fmt", "-check", "-recursive", "-diff").stdout == ""


@pytest.mark.parametrize("root", ["region", "global"])
def test_a_root_is_valid(terraform: Terraform, root: str) -> None:
    """References, types and arguments fit the provider's."""
    assert json.loads(terraform.run(root, "validate", "-json").stdout)["valid"]


@pytest.mark.parametrize("root", ["region", "global"])
def test_a_root_s_own_tests_hold(terraform: Terraform, root: str) -> None:
    """``terraform test`` with a mocked provider."""
    assert re.search(r"Success! \d+ passed, 0 failed", terraform.run(root, "test", "-no-color").stdout)


def test_every_region_has_addresses_of_its_own() -> None:
    """Peered networks must not overlap, and a name stands for one region."""
    said = [file.read_text() for file in sorted((SOURCES / "regions").glob("*.tfvars"))]
    for what in ("region", "aws_region", "cidr"):
        values = [re.search(rf'^{what}\s*=\s*"(.+)"', text, re.MULTILINE) for text in said]
        found = [value.group(1) for value in values if value]
        assert len(set(found)) == len(said)


def test_every_variable_and_output_says_what_it_is() -> None:
    """A person who has never met us reads them."""
    for file in SOURCES.rglob("*.tf"):
        for kind, name, body in re.findall(r'^(variable|output) "(\w+)" \{\n(.*?)^\}', file.read_text(), re.S | re.M):
            assert "description" in body, f"{file}: {kind} {name}"


def test_only_the_load_balancer_is_open_to_the_world() -> None:
    """One rule lets anybody in, on 443; no subnet gives public addresses."""
    text = "".join(file.read_text() for file in sorted(SOURCES.rglob("*.tf")))
    rules = re.findall(r'resource "aws_vpc_security_group_ingress_rule" "(\w+)" \{(.*?)^\}', text, re.S | re.M)
    assert [name for name, body in rules if "0.0.0.0/0" in body] == ["https"]
    assert "map_public_ip_on_launch = true" not in text and "associate_public_ip_address" not in text


@pytest.fixture(scope="module")
def first_starts(terraform: Terraform) -> dict[str, str]:
    """The first-start script of each role, as Terraform renders it."""
    return {role: _rendered(terraform, role) for role in ROLES}


def _rendered(terraform: Terraform, role: str) -> str:
    engines = ("runsc", "python", "java") if role == "runner" else ()
    values = {
        "name": "nats-1" if role == "broker" else role,
        "role": role,
        "region": "us-east",
        "aws_region": "us-east-1",
        "pool": role if role in ("gateway", "runner") else "",
        "servers": 3,
        "wan_joins": ["10.21.16.7"],
        "authoritative_region": "us-east",
        "artifacts_bucket": "artifacts",
        "artifacts": {
            name: {"key": f"{name}.zip", "sha256": "0" * 64}
            for name in (("consul", "nats") if role == "broker" else ("consul", "nomad", "yurt", *engines))
        },
        "packages": "python3 libseccomp2",
        "images": [name for name in engines if name != "runsc"],
        "nats_config": 'server_name: "us-east-1"',
        "data_device": "/dev/xvdj",
        "data_volume": "vol0123456789abcdef0",
    }
    file = terraform.folder / "modules/machine/files/boot.sh.tftpl"
    # one line of base64: the console prints texts with quotes and escapes of its own
    expression = f'base64encode(templatefile("{file}", jsondecode({json.dumps(json.dumps(values))})))\n'
    empty = terraform.folder / "console"  # a root of its own, which needs no backend
    empty.mkdir(exist_ok=True)
    argv = ["terraform", f"-chdir={empty}", "console"]
    done = subprocess.run(
        argv, env=terraform.environ, input=expression, capture_output=True, text=True, check=True, timeout=60
    )
    return base64.b64decode(done.stdout.strip().strip('"')).decode()


@pytest.mark.parametrize("role", ROLES)
def test_a_first_start_is_sound_shell(first_starts: dict[str, str], role: str, tmp_path: Path) -> None:
    """bash parses it, and shellcheck finds nothing."""
    script = tmp_path / "boot.sh"
    script.write_text(first_starts[role])
    subprocess.run(["bash", "-n", str(script)], check=True)
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck on PATH: first starts are parsed, and not linted")
    done = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_broker_takes_up_new_secrets_and_reloads_only_for_them(first_starts: dict[str, str], tmp_path: Path) -> None:
    """Its own certificate, the accounts unpacked, whole or not at all; played with programs that stand in for AWS."""
    found = re.search(r"nats-secrets <<'SH'\n(.*?)^SH$", first_starts["broker"], re.S | re.M)
    assert found
    script, programs, etc = tmp_path / "nats-secrets", tmp_path / "bin", tmp_path / "etc"
    script.write_text(found[1].replace("/etc/nats", str(etc)))
    if shutil.which("shellcheck") is not None:
        subprocess.run(["shellcheck", str(script)], check=True)
    etc.mkdir()
    programs.mkdir()
    accounts = base64.b64encode(gzip.compress(b"accounts {}\n")).decode()
    stand_ins = {
        "aws": f'case "${{@: -1}}" in */nats-accounts) echo {accounts};; *) echo "${{@: -1}}";; esac',
        "install": 'cp "${@: -2:1}" "${@: -1}"',
        "systemctl": f'[ "$1" = is-active ] || echo "$*" >>{tmp_path}/reloads',
    }
    for name, body in stand_ins.items():
        (programs / name).write_text(f"#!/bin/bash\n{body}\n")
        (programs / name).chmod(0o755)
    for _ in range(2):
        subprocess.run(["bash", str(script)], check=True, env={"PATH": f"{programs}:/usr/bin:/bin"}, timeout=30)
        assert (tmp_path / "reloads").read_text() == "reload nats\n"
    assert {file.name: file.read_text() for file in etc.iterdir()} == {
        "ca.pem": "/yurt/us-east/nats-ca\n",
        "server.pem": "/yurt/us-east/nats-1-cert\n",
        "server-key.pem": "/yurt/us-east/nats-1-key\n",
        "accounts.conf": "accounts {}\n",
    }


def test_a_runner_machine_is_given_what_its_engines_need(first_starts: dict[str, str], tmp_path: Path) -> None:
    """Docker is told of gVisor; images lie where they are looked for, and are loaded; others have none of it."""
    text = first_starts["runner"]
    found = re.search(r"echo '(.*)' >/etc/docker/daemon.json", text)
    assert found is not None
    assert json.loads(found[1])["runtimes"]["runsc"]["path"] == "/usr/local/bin/runsc"
    for name in ("python", "java"):
        assert f"docker load --quiet --input '/var/lib/yurt/images/{name}.tar'" in text
    assert not any(
        "daemon.json" in text or "docker load" in text for role, text in first_starts.items() if role != "runner"
    )


@pytest.mark.parametrize("role", ROLES)
def test_a_first_start_holds_no_secret_and_checks_what_it_fetches(first_starts: dict[str, str], role: str) -> None:
    """Secrets come from the parameter store at the start; each artifact has its hash; metadata wants a token."""
    text = first_starts[role]
    assert "ssm get-parameter --with-decryption" in text
    assert "sha256sum --check" in text
    assert "X-aws-ec2-metadata-token" in text
    assert not re.search(r"(?i)(password|secret_key|BEGIN [A-Z ]*PRIVATE KEY)", text)


@pytest.mark.parametrize("role", ROLES)
def test_the_configuration_of_consul_is_json(first_starts: dict[str, str], role: str) -> None:
    """What the shell fills in stands within quotes."""
    found = re.search(r"cat >/etc/consul.d/yurt.json <<JSON\n(.*?)\nJSON\n", first_starts[role], re.S)
    assert found is not None
    config = json.loads(found.group(1))
    assert config["datacenter"] == "$region" and config["acl"]["default_policy"] == "deny"
    assert config.get("server", False) is (role == "server")


def test_a_broker_s_nats_takes_messages_as_large_as_every_other_nats_of_ours() -> None:
    """The template cannot call ``yurt.bootstrap.nats_config``, so it is held against it."""
    text = (SOURCES / "modules/broker/files/nats.conf.tftpl").read_text()
    plan = ServerPlan(name="n", cluster="c", port=1, cluster_port=2, store_dir=Path("/s"), sync_always=True)
    rendered = render(plan).splitlines()
    bounds = [line for line in rendered if line.startswith(("max_payload", "max_pending"))]
    assert len(bounds) == 2 and set(bounds) <= set(text.splitlines())
    assert "  sync_interval: always" in rendered and "  sync_interval: always" in text.splitlines()
