"""What the documents tell a person to type exists: commands of ours with their flags, files, references."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.nomad_files.job_files import JOBS, job_file
from yurt.commands.arguments import _parser

HOME = Path(__file__).parents[2]
DOCUMENTS = ("docs/deploy.md", "README.md", "terraform/README.md")
COMMAND = re.compile(r"(?:^|(?<=[\s/]))yurt ((?:[a-z]+)(?: [^|#\n]*)?)")
#: what a reader has to make, and so is in no repository
MADE = re.compile(r"^(keys|\.images|solutions|src)/|^opt/|us-east\.toml$|common\.tfvars$|REGION\.")
FILE = re.compile(
    r"(?<![\w/.~-])((?:[\w.-]+/)+[\w.-]+\.(?:py|hcl|toml|tftpl|tfvars|md|example|tf)\b|\.ci/\w+|requirements\.lock)"
)


def text_of(document: str) -> str:
    return (HOME / document).read_text()


def code_of(document: str) -> Iterator[str]:
    """Each code block and each piece of code in a line, whole commands on one line."""
    text = text_of(document)
    for block in re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.S | re.M):
        yield re.sub(r" *\\\n\s*", " ", block)
    for piece in re.findall(r"(?<!`)`([^`]+)`(?!`)", re.sub(r"^ *```.*?^ *```", "", text, flags=re.S | re.M)):
        yield " ".join(piece.split())


def commands_of(document: str) -> list[str]:
    """What follows ``yurt`` in each, up to a pipe, a comment or the end."""
    return [found for code in code_of(document) for found in COMMAND.findall(code)]


@cache
def flags_of(words: tuple[str, ...]) -> frozenset[str] | None:
    """Of a command, or of a verb below it; none: there is no such command."""
    parser = _parser(words[0])
    for word in words:
        below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if not below or word not in below[0].choices:
            return None
        parser = below[0].choices[word]
    return frozenset(flag for action in parser._actions for flag in action.option_strings)


def test_the_documents_name_commands_at_all() -> None:
    """Else the tests below would hold for nothing."""
    assert all(len(commands_of(document)) > least for document, least in zip(DOCUMENTS, (8, 8, 1), strict=True))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_and_flag_is_one_that_can_be_typed(document: str) -> None:
    for said in commands_of(document):
        words = shlex.split(re.split(r"[;&<>]|\$\(", said.replace("…", "").replace('"$@"', ""))[0], posix=False)
        command = tuple(words[:2]) if words[0] == "scale" and len(words) > 1 else tuple(words[:1])
        flags = flags_of(command)
        assert flags is not None, f"{document}: yurt {' '.join(command)} is no command"
        typed = words[: words.index("--")] if "--" in words else words
        unknown = [word for word in typed if word.startswith("--") and word.split("=")[0] not in flags]
        assert not unknown, f"{document}: yurt {said}: {unknown}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_is_named_is_there(document: str) -> None:
    """From the top, or somewhere beside the document; but for what its reader makes."""
    beside = (HOME / document).parent
    for name in FILE.findall(text_of(document)):
        there = any(place.exists() for place in (HOME / name, beside / name, *beside.glob(f"modules/*/{name}")))
        assert there or MADE.search(name), f"{document}: {name}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_reference_leads_somewhere(document: str) -> None:
    """To a file, and where it names a heading, to one that is there."""
    for target in re.findall(r"\]\(([^)]+)\)", text_of(document)):
        file, _, heading = target.partition("#")
        to = (HOME / document).parent / file if file else HOME / document
        assert to.exists(), f"{document}: {target}"
        headings = {_anchor(line) for line in re.findall(r"^#+ (.*)$", to.read_text(), re.M)}
        assert not heading or heading in headings, f"{document}: {target}"


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_what_is_set_in_a_vars_file_is_a_variable_of_some_job_or_of_terraform() -> None:
    """And each Nomad job that is run has its file."""
    text = text_of("docs/deploy.md")
    known = {variable for job in JOBS for variable in job_file(job).variables}
    assigned = set(re.findall(r"`((?:driver|registry|release|runner_\w+|burst_\w+|gateway_\w+))(?: = [^`]*)?`", text))
    terraform = (HOME / "terraform/region/variables.tf").read_text()
    assert assigned and assigned <= known | set(re.findall(r'^variable "(\w+)"', terraform, re.MULTILINE))
    for name in re.findall(r"Terraform's `(\w+)` and `(\w+)`", text)[0]:
        assert f'variable "{name}"' in terraform
    (loop,) = re.findall(r"for job in ([a-z -]+); do", text)
    assert set(loop.split()) == set(JOBS) - {"nats"}


def test_parameters_that_are_put_are_those_that_a_broker_reads() -> None:
    """By name: AWS knows no other check before the machine is up."""
    put = set(re.findall(r"put (nats-[\w$-]+)", text_of("docs/deploy.md")))
    boot = (HOME / "terraform/modules/machine/files/boot.sh.tftpl").read_text()
    read = set(re.findall(r"secret '?((?:nats-|\$\{name\}-)\w+)", boot))
    assert {name.replace("nats-$n-", "${name}-") for name in put} == read


def test_blocks_of_shell_are_shell() -> None:
    """Of the document on deployment: bash reads each that has a loop or a function in it."""
    for code in code_of("docs/deploy.md"):
        if "; do" in code:
            subprocess.run(["bash", "-n", "-c", code], check=True, timeout=10)
