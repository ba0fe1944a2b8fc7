"""What is said of a machine: every lack has its cure, and nothing is said to lack that is there."""

from __future__ import annotations

import os

import pytest

from jobs.languages import Language
from yurt import host
from yurt.stack import parts


def test_each_finding_is_good_or_has_a_cure() -> None:
    findings = host.examine()
    assert {language.value for language in Language} <= {finding.what for finding in findings}
    for finding in findings:
        assert finding.good or finding.cure, finding
        assert finding.found


def test_root_is_who_we_are() -> None:
    finding = next(finding for finding in host.examine() if finding.what == "root")
    assert finding.good == (os.geteuid() == 0)


def test_a_missing_nats_server_is_told_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts.sys, "executable", "/nowhere/python")
    monkeypatch.setenv("PATH", "/nowhere")
    finding = next(finding for finding in host.examine() if finding.what == "NATS server")
    assert not finding.good
    assert "make setup" in finding.cure
