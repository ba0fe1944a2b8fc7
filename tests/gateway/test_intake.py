"""From JSON to a submission: defaults, every kind of fault, and no input that breaks it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway import intake
from gateway.intake import Known
from jobs import limits, wire
from jobs.errors import InvalidSubmission, NotJson
from jobs.events import Offer
from jobs.job import Job
from jobs.languages import Language
from jobs.states import Class, Priority
from jobs.submission import Case, Compare, SourceFile, Submission, Terminal

PYTHON = (
    Offer(language="python", version="3.12.1", variants=("data",)),
    Offer(language="python", version="3.11.7"),
)
CPP = (Offer(language="cpp", version="13.2.0", compile_flags=("-O1",), allowed_flags=("-O?", "-std=*")),)
KNOWN = Known(offers={Language.PYTHON: PYTHON, Language.CPP: CPP}, settled=True, regions=("here",))
EMPTY = Known(regions=("here",))


def read(known: Known = KNOWN, **fields: Any) -> Submission:
    return intake.submission({"language": "python", "code": "print(1)", **fields}, known)


def faults(known: Known = KNOWN, **fields: Any) -> list[str]:
    """The fields that are found at fault, sorted."""
    body = {"language": "python", "code": "print(1)", **fields}
    with pytest.raises(InvalidSubmission) as refused:
        intake.submission({name: value for name, value in body.items() if value is not ...}, known)
    assert all(fault.problem and fault.cure for fault in refused.value.faults)
    return sorted(fault.field for fault in refused.value.faults)


def test_what_is_left_out_gets_its_default() -> None:
    """The contract's defaults; CPU time follows the timeout."""
    submission = read(timeout=3)
    assert submission.version == "*"
    assert submission.code == b"print(1)"
    assert (submission.timeout_s, submission.memory_mb) == (3.0, 256)
    assert submission.limits.cpu_seconds == 3.0
    assert submission.limits.output_bytes == 1 << 20
    assert submission.priority is Priority.NORMAL
    assert (submission.cases, submission.compile_flags, submission.tty) == (None, None, None)
    assert read(limits={"processes": 5}).limits.cpu_seconds == 10.0


def test_null_is_the_same_as_leaving_out() -> None:
    """Clients send null for what they have not."""
    nothing = dict.fromkeys(intake._SUBMISSION - {"language", "code"})
    assert read(**nothing) == read()


def test_everything_at_once_is_read() -> None:
    submission = intake.submission(
        {
            "language": "C++",
            "version": "13",
            "files": [
                {"name": "src/main.cpp", "content": "int main() {}"},
                {"name": "data.bin", "content": "AP8=", "encoding": "base64"},
            ],
            "entry": "src/main.cpp",
            "stdin": "aGk=",
            "stdin_encoding": "base64",
            "args": ["a", "ö"],
            "env": {"NAME": "value"},
            "timeout": 2.5,
            "memory_limit": 64,
            "limits": {"cpu_seconds": 1, "output_bytes": 0, "processes": 256, "file_bytes": 5, "compile_seconds": 30},
            "compile_flags": ["-O2", "-std=c++20"],
            "cases": [{"stdin": "1", "expected_output": "2"}, {"args": ["x"]}],
            "compare": "exact",
            "outputs": ["*.png", "**/*.csv"],
            "priority": "high",
            "region": "here",
        },
        KNOWN,
    )
    assert submission.language is Language.CPP
    assert submission.files[1] == SourceFile(name="data.bin", content=b"\x00\xff")
    assert submission.stdin == b"hi"
    assert submission.env == (("NAME", "value"),)
    assert submission.cases == (
        Case(stdin=b"1", expected_output=b"2"),
        Case(stdin=b"hi", args=("x",)),
    ), "a case without stdin gets the submission's"
    assert submission.compare is Compare.EXACT


def test_an_empty_program_is_a_program() -> None:
    assert read(code="").code == b""


def test_a_terminal_goes_with_interactive() -> None:
    assert read(interactive=True, tty={"rows": 30, "cols": 100}).tty == Terminal(rows=30, cols=100)
    assert faults(tty={"rows": 30, "cols": 100}) == ["tty"]
    assert faults(interactive=True, tty={"rows": 0, "cols": 5000, "depth": 1}) == ["tty.cols", "tty.depth", "tty.rows"]
    assert faults(interactive=True, cases=[{}]) == ["interactive"]


def file(name: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "content": "", **more}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"code": ...}, ["code"]),
        ({"code": None}, ["code"]),
        ({"files": [file("a.py")]}, ["code"]),
        ({"code": ..., "files": []}, ["files"]),
        ({"code": ..., "files": {}}, ["files"]),
        ({"code": ..., "files": [file("a")], "entry": "b"}, ["entry"]),
        ({"entry": "main.py"}, ["entry"]),
        ({"code": ..., "files": [file("/a")]}, ["files[0].name"]),
        ({"code": ..., "files": [file("a"), file("a")]}, ["files[1].name"]),
        ({"code": ..., "files": [file("a"), file("a/b")]}, ["files[0].name"]),
        ({"code": ..., "files": [file("")]}, ["files[0].name"]),
        ({"code": ..., "files": [file("a//b")]}, ["files[0].name"]),
        ({"code": ..., "files": [file("a/")]}, ["files[0].name"]),
        ({"code": ..., "files": [file("./a")]}, ["files[0].name"]),
        ({"code": ..., "files": [file("a/../b")]}, ["files[0].name"]),
        ({"code": ..., "files": [file("a\\b")]}, ["files[0].name"]),
        ({"code": ..., "files": [file("a\0b")]}, ["files[0].name"]),
        ({"code": ..., "files": [file("a\nb")]}, ["files[0].name"]),
        ({"code": ..., "files": [file("ä" * 128)]}, ["files[0].name"]),
        ({"code": ..., "files": [file("a/" * 600 + "a")]}, ["files[0].name"]),
        ({"code": ..., "files": [file(7)]}, ["files[0].name"]),
        ({"code": ..., "files": [{"name": "a"}, {"content": ""}, 5]},
         ["files[0].content", "files[1].name", "files[2]"]),
        ({"code": ..., "files": [file("a", encoding="base64", content="%%%")]}, ["files[0].content"]),
        ({"code": ..., "files": [file("a", encoding="latin1", mode=7)]}, ["files[0].encoding", "files[0].mode"]),
        ({"code": ..., "files": [file(f"f{at}") for at in range(257)]}, ["files"]),
        ({"stdin": "a\nb", "stdin_encoding": "base64"}, ["stdin"]),
        ({"stdin": "YQ", "stdin_encoding": "base64"}, ["stdin"]),
        ({"args": ["a\0b"], "env": {"NAME": "x\0y"}}, ["args", "env"]),
        ({"args": [1, None]}, ["args", "args"]),
        ({"args": ["x" * 131072]}, ["args"]),
        ({"args": ["x"] * 257}, ["args"]),
        ({"args": ["x" * 100_000] * 20}, ["args"]),
        ({"env": {"1A": "", "A B": "", "": "", "É": ""}}, ["env"] * 4),
        ({"env": {"A": 1}}, ["env"]),
        ({"env": []}, ["env"]),
        ({"timeout": 60, "memory_limit": 100000}, ["memory_limit", "timeout"]),
        ({"timeout": 0.99}, ["timeout"]),
        ({"timeout": True, "memory_limit": True}, ["memory_limit", "timeout"]),
        ({"timeout": "10", "memory_limit": 64.5}, ["memory_limit", "timeout"]),
        ({"timeout": float("inf")}, ["timeout"]),
        ({"timeout": float("nan")}, ["timeout"]),
        ({"memory_limit": 10**300, "timeout": 10**300}, ["memory_limit", "timeout"]),
        ({"memory_limit": 63}, ["memory_limit"]),
        ({"limits": {"cpu_seconds": 31, "output_bytes": 8388609, "processes": 0, "file_bytes": -1, "x": 1}},
         ["limits.cpu_seconds", "limits.file_bytes", "limits.output_bytes", "limits.processes", "limits.x"]),
        ({"limits": {"compile_seconds": 31}}, ["limits.compile_seconds"]),
        ({"limits": []}, ["limits"]),
        ({"cases": []}, ["cases"]),
        ({"cases": [{}] * 257}, ["cases"]),
        ({"cases": [{"stdin": 5, "expected": ""}]}, ["cases[0].expected", "cases[0].stdin"]),
        ({"cases": [{"encoding": "base64", "expected_output": "?"}]}, ["cases[0].expected_output"]),
        ({"cases": [{}] * 200, "stdin": "x" * 100_000}, ["cases"]),
        ({"compare": "fuzzy"}, ["compare"]),
        ({"outputs": ["/etc/passwd", "../x", "a\0"]}, ["outputs"] * 3),
        ({"priority": "urgent"}, ["priority"]),
        ({"region": "mars"}, ["region"]),
        ({"interactive": "yes"}, ["interactive"]),
        ({"webhook": {"url": "https://a.example/x", "secret_name": "s"}}, ["webhook"]),
        ({"webhook": {"url": "ftp://a"}}, ["webhook", "webhook.secret_name", "webhook.url"]),
        ({"language": ...}, ["language"]),
        ({"language": 3}, ["language"]),
        ({"language": "cobol"}, ["language"]),
        ({"language": "rust"}, ["language"]),
        ({"version": "2"}, ["version"]),
        ({"version": 3.11}, ["version"]),
        ({"version": "3; rm"}, ["version"]),
        ({"variant": "games"}, ["variant"]),
        ({"version": "3.11", "variant": "data"}, ["variant"]),
        ({"compile_flags": ["-O2"]}, ["compile_flags"]),
        ({"language": "cpp", "compile_flags": ["-O2", "-fplugin=x", 5]}, ["compile_flags", "compile_flags"]),
        ({"Code": "x"}, ["Code"]),
        ({"code": "\ud800"}, ["code"]),
        ({"args": ["\ud800"]}, ["args"]),
        ({"env": {"A": "\ud800"}}, ["env"]),
        ({"code": ..., "files": [file("\ud800")]}, ["files[0].name"]),
        ({"outputs": ["\ud800"]}, ["outputs"]),
        ({"language": "\ud800"}, ["language"]),
    ],
)  # fmt: skip
def test_each_fault_is_found_and_named(fields: dict[str, Any], wrong: list[str]) -> None:
    assert faults(**fields) == wrong


def test_while_nothing_is_known_of_the_runners_all_six_languages_wait_in_the_queue() -> None:
    """Also with a version, a variant and flags that nobody can check yet."""
    for language in Language:
        submission = read(EMPTY, language=language.value, version="99.1", variant="x", compile_flags=["-anything"])
        assert submission.language is language


def test_a_typo_in_a_field_is_told_with_the_right_name() -> None:
    with pytest.raises(InvalidSubmission) as refused:
        read(timout=5)
    assert refused.value.faults[0].cure == "did you mean 'timeout'?"


def test_the_faults_of_a_batch_say_which_execution() -> None:
    body = {"executions": [{"language": "python", "code": ""}, {"language": "python", "files": [file("/")]}, 7]}
    with pytest.raises(InvalidSubmission) as refused:
        intake.batch(body, KNOWN)
    assert [fault.field for fault in refused.value.faults] == ["executions[2]", "executions[1].files[0].name"]
    for wrong in ({}, {"executions": []}, {"executions": None}, {"executions": "x"}):
        with pytest.raises(InvalidSubmission):
            intake.batch(wrong, KNOWN)
    with pytest.raises(NotJson):
        intake.batch([], KNOWN)


texts = st.text(max_size=20) | st.text(alphabet=st.characters(), max_size=5)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
fields_of_a_submission = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(sorted(intake._SUBMISSION), json_values)
) | st.fixed_dictionaries(
    {"language": st.sampled_from(["python", "cpp", "py"])},
    optional={
        "code": texts,
        "files": st.lists(st.fixed_dictionaries({"name": texts, "content": texts}, optional={"encoding": texts})),
        "args": st.lists(texts),
        "env": st.dictionaries(texts, texts),
        "timeout": st.floats(),
        "cases": st.lists(st.fixed_dictionaries({}, optional={"stdin": texts, "args": st.lists(texts)})),
        "limits": st.dictionaries(st.sampled_from(sorted(intake._LIMITS)), json_values),
    },
)


@given(json_values | fields_of_a_submission)
@example({"language": "python", "code": "\ud800"})
@example({"\udfff": 1})
def test_any_json_is_a_submission_or_is_refused_and_never_anything_else(body: Any) -> None:
    """And what is accepted can be queued: it has a wire form."""
    for known in (KNOWN, EMPTY):
        try:
            submission = intake.submission(body, known)
        except (InvalidSubmission, NotJson) as refused:
            if isinstance(refused, InvalidSubmission):
                assert refused.faults
                json.dumps([vars(fault) for fault in refused.faults]).encode()
            continue
        job = Job(
            id="x",
            user_id="u",
            submission=submission,
            job_class=Class.STANDARD,
            region="here",
            gateway="here-1",
            created_at_ms=1,
            start_by_ms=2,
            correlation_id="c",
        )
        assert wire.unpack(wire.pack(job)) == job


@given(st.binary(max_size=200))
def test_bytes_come_through_base64_unchanged(data: bytes) -> None:
    assert read(stdin=base64.b64encode(data).decode(), stdin_encoding="base64").stdin == data


@given(st.floats(min_value=limits.TIMEOUT_S[0], max_value=limits.TIMEOUT_S[2]))
def test_every_timeout_within_the_bounds_is_taken_as_it_is(seconds: float) -> None:
    assert read(timeout=seconds).timeout_s == seconds
