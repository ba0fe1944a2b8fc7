"""The files of ``nomad/``, parsed by python-hcl2 and made plain: text without its quotes, labels as keys, no comments.

An expression stays as it is written (``${…}``), for tests ask what is there, not what it comes to: Nomad itself does
that where it is installed.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hcl2

HOME = Path(__file__).parents[2]
FOLDER = HOME / "nomad"
JOBS = ("nats", "gateway", "runner", "runner-burst", "autoscaler")
REGIONS = ("us-east", "eu-west")
VARS = (*REGIONS, "dev")
NOMAD = shutil.which("nomad")

_MARKS = ("__comments__", "__inline_comments__", "__is_block__")
_HEREDOC = re.compile(r"<<-?([A-Z]+)\n(.*?)\n?\s*\1", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class JobFile:
    name: str
    text: str
    variables: dict[str, Any]
    job: dict[str, Any]

    @property
    def group(self) -> dict[str, Any]:
        (group,) = self.job["group"][0].values()
        return dict(group)

    @property
    def task(self) -> dict[str, Any]:
        (task,) = self.group["task"][0].values()
        return dict(task)

    @property
    def service(self) -> dict[str, Any]:
        (service,) = self.group["service"]
        return dict(service)

    @property
    def templates(self) -> list[dict[str, Any]]:
        """The written ones, and the contents of the dynamic ones."""
        return [*self.task.get("template", []), *(each["content"][0] for each in self.dynamic(self.task, "template"))]

    def dynamic(self, block: dict[str, Any], kind: str) -> list[dict[str, Any]]:
        return [each[kind] for each in block.get("dynamic", []) if kind in each]


@cache
def job_file(name: str) -> JobFile:
    text = (FOLDER / f"{name}.nomad.hcl").read_text()
    parsed = _plain(hcl2.loads(text))
    variables = {label: body for each in parsed["variable"] for label, body in each.items()}
    (labelled,) = parsed["job"]
    return JobFile(name=name, text=text, variables=variables, job=labelled[name])


@cache
def vars_file(name: str) -> dict[str, Any]:
    return dict(_plain(hcl2.loads((FOLDER / f"{name}.vars.hcl").read_text())))


def code_of(text: str) -> str:
    """Without its comments."""
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {_word(key): _plain(each) for key, each in value.items() if key not in _MARKS}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return _word(value) if isinstance(value, str) else value


def _word(text: str) -> str:
    bare = text[1:-1] if text[:1] == text[-1:] == '"' and len(text) > 1 else text
    heredoc = _HEREDOC.fullmatch(bare)
    return heredoc[2] if heredoc else bare
