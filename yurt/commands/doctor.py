"""``yurt doctor``: what this machine can do, and the cure for what it cannot."""

from __future__ import annotations

import argparse
import json

from yurt.commands import exits
from yurt.commands.tables import table
from yurt.host import Finding, examine


def doctor(options: argparse.Namespace) -> int:
    """Exit code 1 where the fork engine cannot run."""
    findings = examine()
    fit = all(finding.good for finding in findings if finding.needed)
    if options.json:
        entries = [
            {"what": f.what, "found": f.found, "good": f.good, "needed": f.needed, "cure": f.cure} for f in findings
        ]
        print(json.dumps({"fit": fit, "findings": entries}, indent=2))
    else:
        print(table(["", "WHAT", "FOUND"], [[_mark(f), f.what, f.found] for f in findings]))
        for finding in findings:
            if not finding.good:
                print(f"\n{finding.what}: {finding.cure}")
        print("\nPrograms can run here." if fit else "\nPrograms cannot run here until what is marked NO is mended.")
    return exits.OK if fit else exits.FAULT


def _mark(finding: Finding) -> str:
    if finding.good:
        return "yes"
    return "NO" if finding.needed else "no"
