"""Builds that are remembered: the key holds all that a build depends on, and memory is bounded."""

from __future__ import annotations

from dataclasses import replace

from jobs.languages import Language
from jobs.result import CompileReport, Usage
from jobs.states import Verdict
from jobs.submission import SourceFile
from runner.builds import Builds, Built, key_of
from runner.engine import Outcome
from runner.languages.contract import Installation, Sources
from tests.sandboxes import Sandboxes, sandboxes

__all__ = ["sandboxes"]

GXX = Installation(language=Language.CPP, version="12.2.0")


def _sources(*files: tuple[str, bytes], entry: str = "a") -> Sources:
    return Sources(files=tuple(SourceFile(name=name, content=content) for name, content in files), entry=entry)


def _built(size: int) -> Built:
    report = CompileReport(exit_code=0, stdout=b"", stderr=b"", usage=Usage())
    outcome = Outcome(
        exit_code=0, signal=None, stdout=b"", stderr=b"", stdout_truncated=False, stderr_truncated=False,
        wall_ms=1, cpu_ms=1, memory_peak_bytes=1,
    )  # fmt: skip
    return Built(artifact=(SourceFile(name="/tmp/program", content=bytes(size)),), report=report, outcome=outcome)


def test_a_key_is_of_everything() -> None:
    one = _sources(("a", b"x"), ("b", b"y"))
    keys = [
        key_of(GXX, one, None),
        key_of(GXX, one, ()),
        key_of(GXX, one, ("-O2",)),
        key_of(GXX, one, ("-O", "2")),
        key_of(replace(GXX, version="13"), one, None),
        key_of(replace(GXX, variant="data"), one, None),
        key_of(GXX, _sources(("a", b"x"), ("b", b"y"), entry="b"), None),
        key_of(GXX, _sources(("a", b"xb"), ("", b"y")), None),
        key_of(GXX, _sources(("ab", b"x"), ("", b"y")), None),
        key_of(GXX, _sources(("a", b"y"), ("b", b"x")), None),
        key_of(GXX, _sources(("a", b"x")), None),
    ]
    assert len(set(keys)) == len(keys)
    assert key_of(GXX, _sources(("b", b"y"), ("a", b"x")), None) == keys[0]


def test_the_least_recently_used_goes_first() -> None:
    builds = Builds(budget_bytes=10_000)
    for name in (b"1", b"2", b"3", b"4"):
        builds.put(name, _built(1000))
    assert builds.get(b"1") is not None
    builds.put(b"5", _built(1400))
    assert builds.get(b"2") is None
    assert builds.get(b"1") is not None and builds.get(b"5") is not None


def test_one_that_is_too_large_drives_nobody_out() -> None:
    builds = Builds(budget_bytes=10_000)
    builds.put(b"1", _built(100))
    builds.put(b"2", _built(9_000))
    assert builds.get(b"1") is not None and builds.get(b"2") is None


def test_the_second_time_is_from_memory(sandboxes: Sandboxes) -> None:
    code = '#include <cstdio>\nint main() { puts("remembered 1"); }'
    first, second = (sandboxes.run("cpp", code) for _ in range(2))
    assert first.compile is not None and second.compile is not None
    assert (first.compile.cached, second.compile.cached) == (False, True)
    assert first.stdout == second.stdout == b"remembered 1\n"


def test_a_refusal_is_remembered_and_a_lack_of_time_is_not(sandboxes: Sandboxes) -> None:
    refused = [sandboxes.run("cpp", "int main() { refused_2 }").compile for _ in range(2)]
    assert [report is not None and report.cached for report in refused] == [False, True]
    slow = (
        "template <int N, int M> struct F { static const long v = F<N - 1, M>::v + F<N - 1, M + 1>::v; };\n"
        "template <int M> struct F<0, M> { static const long v = M; };\nint main() { return F<840, 3>::v & 1; }"
    )
    late = [sandboxes.run("cpp", slow, compile_seconds=1.0) for _ in range(2)]
    assert [one.verdict for one in late] == [Verdict.COMPILE_ERROR] * 2
    assert [one.compile is not None and one.compile.cached for one in late] == [False, False]


def test_different_flags_are_different_builds(sandboxes: Sandboxes) -> None:
    code = '#include <cstdio>\nint main() { printf("%ld\\n", __cplusplus / 100); }'
    said = [sandboxes.run("cpp", code, compile_flags=(flag,)).stdout for flag in ("-std=c++14", "-std=c++17")]
    assert said == [b"2014\n", b"2017\n"]
