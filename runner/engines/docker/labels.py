"""What an image's labels say: the installation of a language that it holds. ``images/`` writes, ``installed`` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.engines.docker.inside import files
from runner.languages.contract import Installation

LABEL = "yurt.installation"
INSIDE = "yurt.inside"  #: the digest of process 1's files
PLANS = f"{files.FOLDER}/plans"  #: small files of what was prepared, which plans read on the runner's side
NOW = "now"  #: in details: a file of the room that must hold the time, in seconds, of today (go's word to its cache)
HERE = "{plans}"  #: in details: the folder of the plans' files


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image that is there, as far as we look at one."""

    id: str  #: its digest
    name: str
    labels: Mapping[str, str]


def labels(installation: Installation, plans_folder: str) -> Mapping[str, str]:
    """The labels of an image that holds this installation."""
    return {
        "yurt.image": "-".join(filter(None, (installation.language.value, installation.variant))),
        "yurt.language": installation.language.value,
        "yurt.version": installation.version,
        INSIDE: files.digest(),
        LABEL: to_label(installation, plans_folder),
    }


def to_label(installation: Installation, plans: str) -> str:
    """*plans*: the folder whose files plans read; it is named ``HERE`` in the details."""
    details = {name: value.replace(plans, HERE) if plans else value for name, value in installation.details.items()}
    plain: dict[str, Any] = {
        "language": installation.language.value,
        "version": installation.version,
        "variant": installation.variant,
        "path": installation.path,
        "compile_flags": list(installation.compile_flags),
        "allowed_flags": list(installation.allowed_flags),
        "details": details,
    }
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))
