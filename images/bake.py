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
from runner.languages.contract import Support

CACHE = Path("/var/cache/toolchains")
PLAN_BYTES = 1 << 20  #: what plans read is small; what compilers read is not


def main(language: str) -> None:
    if (
        language == "cpp"
    ):  # each precompiled header is 22 to 96 MB: an image has those that help most, a host has them all
        cpp = importlib.import_module("runner.languages.cpp.support")
        vars(cpp).update(_SETS=cpp._SETS[:2], _ASKED_FOR=cpp._ASKED_FOR[:1])
    support = support_of(language)
    found = support.discover()
    if not found:
        raise SystemExit(f"no {language} is in this root")
    chosen = next((one for one in found if one.variant), found[0])  # a set of libraries is what an image is there for
    installation = support.prepare(chosen, CACHE, lambda line: print(f"  {line}", file=sys.stderr))
    if language == "go":
        installation = replace(
            installation, details={**installation.details, "no_index": "yes", labels.NOW: "/opt/go/cache/trim.txt"}
        )
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
    shutil.rmtree(CACHE, ignore_errors=True)
    Path("/baked.json").write_text(json.dumps(dict(labels.labels(installation, plans_of)), sort_keys=True))


def support_of(language: str) -> Support:
    """From the language's own folder: of the others none is here."""
    there = vars(importlib.import_module(f"runner.languages.{language}")).values()
    kind = next(each for each in there if isinstance(each, type) and getattr(each, "language", None) == language)
    support: Support = kind()
    return support


if __name__ == "__main__":
    os.umask(0o022)
    main(sys.argv[2])
