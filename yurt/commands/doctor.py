"""``yurt doctor``: what this machine can do, and the cure for what it cannot."""

from __future__ import annotations

import argparse
import dataclasses
import json

from yurt import host, host_engines
from yurt.commands import exits
from yurt.commands.tables import table
from yurt.host import Finding


def doctor(options: argparse.Namespace) -> int:
    """Exit code 1 where the fork engine, which all else stands on, cannot run."""
    engines = host_engines.examine()
    findings = [*host.examine(), *(engine.finding for engine in engines)]
    fit = all(finding.good for finding in findings if finding.needed)
    if options.json:
        entries = [dataclasses.asdict(finding) for finding in findings]
        of_engines = [{"name": engine.name, **dataclasses.asdict(engine)} for engine in engines]
        print(json.dumps({"fit": fit, "findings": entries, "engines": of_engines}, indent=2))
    else:
        print(table(["", "WHAT", "FOUND"], [[_mark(f), f.what, f.found] for f in findings]))
        for finding in findings:
            if finding.cure:
                print(f"\n{finding.what}: {finding.cure}")
        print("\nPrograms can run here." if fit else "\nPrograms cannot run here until what is marked NO is mended.")
    return exits.OK if fit else exits.FAULT


def _mark(finding: Finding) -> str:
    if finding.good:
        return "yes"
    return "NO" if finding.needed else "no"
