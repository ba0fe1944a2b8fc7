"""Run inside a root, where the toolchain is: prepare the language as a runner would, and write down what was found.

``python3 -I bake.py SOURCES LANGUAGE``: *SOURCES* is where our packages lie. What ``prepare`` makes is moved to where a
room has it (the targets of its mounts), and the few small files that plans read are copied. Written down, in
``/baked.json``: the labels of the image. See ``runner.engines.docker.installed``, which reads them.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, sys.argv[1])

from runner.engines.docker import labels
from runner.languages.contract import Installation, Support

CACHE = Path("/var/cache/toolchains")
NEVER_SET_WORDS = 16  #: in a precompiled header; more would mean that something else is different
BLOCK_BYTES = 1 << 16
PLAN_BYTES = 1 << 20  #: what plans read is small; what compilers read is not


def main(language: str) -> None:
    support = support_of(language)
    found = support.discover()
    if not found:
        raise SystemExit(f"no {language} is in this root")
    chosen = next((one for one in found if one.variant), found[0])  # a set of libraries is what an image is there for
    installation = _prepared(support, chosen, CACHE)
    plans_of = _lay_out(installation)
    shutil.rmtree(CACHE, ignore_errors=True)
    Path("/baked.json").write_text(json.dumps(dict(labels.labels(installation, plans_of)), sort_keys=True))


def _prepared(support: Support, found: Installation, cache: Path) -> Installation:
    """As a runner prepares it; the same each time."""

    def report(line: str) -> None:
        print(f"  {line}", file=sys.stderr)

    if found.language == "cpp":  # each precompiled header is 30 to 130 MB: an image has those that help most
        cpp = importlib.import_module("runner.languages.cpp.support")
        vars(cpp).update(_SETS=cpp._SETS[:2], _ASKED_FOR=cpp._ASKED_FOR[:1])
    installation = support.prepare(found, cache, report)
    if found.language == "cpp":  # once more, by the same names: their lengths show in what is made
        made, aside = Path(installation.mounts[-1].source), cache.with_name("aside")
        made.rename(aside)
        support.prepare(found, cache, report)
        blank_what_is_never_set(made, aside)
        shutil.rmtree(aside)
    if found.language == "java" and not installation.details.get("archives"):
        raise SystemExit("no archives of classes could be made: without them each Java program starts slowly")
    if found.language == "go":
        date_all_alike(Path(installation.mounts[-1].source) / "cache")
        details = {**installation.details, "no_index": "yes", labels.NOW: "/opt/go/cache/trim.txt"}
        installation = replace(installation, details=details)
    return installation


def blank_what_is_never_set(made: Path, again: Path) -> None:
    """Zeros for the words in which two precompiled headers of the same flags differ, where these are few.

    At the same addresses, g++ 12 writes the same header each time but for four bytes, which are what a structure on its
    stack held before: the upper half of the stack's guard, which the kernel draws for each process. Nothing reads them.
    """
    for header in sorted(made.rglob("*.gch")):
        one, other = bytearray(header.read_bytes()), (again / header.relative_to(made)).read_bytes()
        words = differing_words(one, other)
        if len(one) == len(other) and len(words) <= NEVER_SET_WORDS:
            for place in words:
                one[place : place + 4] = bytes(4)
            with header.open("r+b") as file:  # not anew: it may be one file by two names
                file.write(one)


def differing_words(one: bytes | bytearray, other: bytes) -> list[int]:
    """Where four bytes are not the same; the search ends where there are more than may be blanked."""
    found: list[int] = []
    for block in range(0, len(one), BLOCK_BYTES):
        if one[block : block + BLOCK_BYTES] != other[block : block + BLOCK_BYTES]:
            places = range(block, min(block + BLOCK_BYTES, len(one)), 4)
            found += [place for place in places if one[place : place + 4] != other[place : place + 4]]
            if len(found) > NEVER_SET_WORDS:
                break
    return found


def date_all_alike(cache: Path) -> None:
    """The time of each entry of go's build cache, which is the last word of its line."""
    born = f"{int(os.environ['SOURCE_DATE_EPOCH']) * 10**9}"
    for entry in cache.rglob("*-a"):
        line = entry.read_text()
        written = line.rstrip("\n").rpartition(" ")[2]
        entry.write_text(f"{line.removesuffix(written + chr(10))}{born:>{len(written)}}\n")


def _lay_out(installation: Installation) -> str:
    """Move what was made to where a room has it; the folder that plans read, if there is one."""
    made = {mount.source: mount.target for mount in installation.mounts if Path(mount.source).is_relative_to(CACHE)}
    plans_of = ""
    plans = Path(labels.PLANS)
    for source, target in made.items():
        if any(value.startswith(source) for value in installation.details.values()):
            plans_of = source
            plans.mkdir(parents=True, exist_ok=True)
            for file in sorted(Path(source).iterdir()):
                if file.is_file() and file.stat().st_size <= PLAN_BYTES:
                    shutil.copyfile(file, plans / file.name)
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
    for mount in installation.mounts:
        if mount.source not in made and mount.source != mount.target and not Path(mount.target).exists():
            Path(mount.target).parent.mkdir(parents=True, exist_ok=True)
            Path(mount.target).symlink_to(mount.source)
    return plans_of


def support_of(language: str) -> Support:
    """From the language's own folder: of the others none is here."""
    there = vars(importlib.import_module(f"runner.languages.{language}")).values()
    kind = next(each for each in there if isinstance(each, type) and getattr(each, "language", None) == language)
    support: Support = kind()
    return support


if __name__ == "__main__":
    os.umask(0o022)
    main(sys.argv[2])
