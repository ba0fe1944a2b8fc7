"""Terraform as it is installed, its AWS provider from a folder of this machine, and a copy of our roots to work in.

The folder that holds the provider is found where Terraform looks by itself, or in the usual places below ``/opt``;
``YURT_TERRAFORM_MIRROR`` names another. Without it, or without Terraform, these tests are skipped, and say so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "terraform"
PROVIDER = Path("registry.terraform.io/hashicorp/aws")


@dataclass(frozen=True, kw_only=True)
class Terraform:
    """A copy of ``terraform/`` to run in. ``run`` gives what was printed; a failure shows all of it."""

    folder: Path
    environ: dict[str, str]

    def run(self, root: str, *words: str, allowed: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
        argv = ["terraform", f"-chdir={self.folder / root}", *words]
        done = subprocess.run(argv, env=self.environ, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode in allowed, f"terraform {' '.join(words)}:\n{done.stdout}\n{done.stderr}"
        return done


def mirror() -> Path | None:
    """The folder that has the AWS provider."""
    named = os.environ.get("YURT_TERRAFORM_MIRROR")
    places = [Path(named)] if named else [Path.home() / ".terraform.d/plugins", *sorted(Path("/opt").glob("*"))]
    return next((place for place in places if (place / PROVIDER).is_dir()), None)


@pytest.fixture(scope="session")
def make_terraform(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Terraform]:
    """Copies of the roots, each by a name of its own, with the provider's folder made known."""
    if shutil.which("terraform") is None:
        pytest.skip("no terraform on PATH: the roots are neither validated nor planned nor applied")
    plugins = mirror()
    if plugins is None:
        pytest.skip("no folder with Terraform's AWS provider: name one by YURT_TERRAFORM_MIRROR; nothing is planned")
    base = tmp_path_factory.mktemp("terraform")
    config = base / "terraform.rc"
    config.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{plugins}"\n  }}\n}}\n')
    unwanted = ("AWS_", "TF_", "HTTP_PROXY", "HTTPS_PROXY")
    environ = {name: value for name, value in os.environ.items() if not name.upper().startswith(unwanted)}
    environ |= {
        "TF_CLI_CONFIG_FILE": str(config),
        "TF_IN_AUTOMATION": "1",
        "CHECKPOINT_DISABLE": "1",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    def make(name: str) -> Terraform:
        folder = base / name
        shutil.copytree(SOURCES, folder, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "common.tfvars"))
        return Terraform(folder=folder, environ=environ)

    return make


@pytest.fixture(scope="session")
def terraform(make_terraform: Callable[[str], Terraform]) -> Terraform:
    """A copy with both roots initialised."""
    made = make_terraform("roots")
    for root in ("region", "global"):
        made.run(root, "init", "-backend=false", "-input=false", "-no-color")
    return made
