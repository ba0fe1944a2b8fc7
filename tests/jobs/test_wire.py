"""The wire format: what is packed comes back, and what cannot be understood is refused with a reason."""

import contextlib
import dataclasses
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import events, wire
from jobs.errors import UnknownVersion, WireFault
from jobs.job import Job
from jobs.languages import Language
from jobs.limits import DEFAULTS, Limits
from jobs.result import CaseResult, CompileReport, OutputFile, Result, Timeline, Usage
from jobs.states import Cause, Class, Priority, State, Verdict
from jobs.submission import Case, Compare, SourceFile, Submission, Terminal

text = st.text(max_size=20)
blob = st.binary(max_size=40)
submissions = st.builds(
    Submission,
    language=st.sampled_from(Language),
    version=text,
    code=st.none() | blob,
    files=st.lists(st.builds(SourceFile, name=text, content=blob), max_size=3).map(tuple),
    entry=st.none() | text,
    stdin=blob,
    args=st.lists(text, max_size=3).map(tuple),
    env=st.lists(st.tuples(text, text), max_size=3).map(tuple),
    timeout_s=st.floats(1, 30),
    memory_mb=st.integers(64, 512),
    limits=st.builds(
        Limits,
        cpu_seconds=st.floats(0.1, 30),
        output_bytes=st.integers(0, 10**7),
        processes=st.integers(1, 256),
        file_bytes=st.integers(0, 10**8),
        compile_seconds=st.floats(1, 30),
    ),
    compile_flags=st.none() | st.lists(text, max_size=2).map(tuple),
    cases=st.none()
    | st.lists(
        st.builds(Case, stdin=blob, expected_output=st.none() | blob, args=st.none() | st.just(("a", "b"))), max_size=3
    ).map(tuple),
    compare=st.sampled_from(Compare),
    priority=st.sampled_from(Priority),
    tty=st.none() | st.builds(Terminal, rows=st.integers(1, 99), cols=st.integers(1, 99)),
)
jobs = st.builds(
    Job,
    id=text,
    user_id=text,
    submission=submissions,
    job_class=st.sampled_from(Class),
    region=text,
    gateway=text,
    created_at_ms=st.integers(0, 2**50),
    start_by_ms=st.integers(0, 2**50),
    correlation_id=text,
)
usages = st.builds(Usage, wall_ms=st.floats(0, 1e6), cpu_ms=st.floats(0, 1e6), memory_peak_bytes=st.integers(0, 2**40))
results = st.builds(
    Result,
    execution_id=text,
    user_id=text,
    gateway=text,
    state=st.sampled_from(State),
    language=text,
    version=text,
    variant=text,
    region=text,
    runner=st.none() | text,
    attempt=st.integers(1, 9),
    verdict=st.none() | st.sampled_from(Verdict),
    cause=st.none() | st.sampled_from(Cause),
    exit_code=st.none() | st.integers(0, 255),
    stdout=blob,
    stderr=blob,
    compile=st.none() | st.builds(CompileReport, exit_code=st.just(0), stdout=blob, stderr=blob, usage=usages),
    usage=usages,
    timeline=st.builds(Timeline, created_at_ms=st.integers(0, 2**50), run_ms=st.none() | st.floats(0, 1e5)),
    cases=st.none()
    | st.lists(
        st.builds(
            CaseResult,
            verdict=st.sampled_from(Verdict),
            exit_code=st.none() | st.integers(0, 255),
            signal=st.none() | text,
            stdout=blob,
            stderr=blob,
            usage=usages,
        ),
        max_size=2,
    ).map(tuple),
    files=st.none() | st.lists(st.builds(OutputFile, name=text, content=blob), max_size=2).map(tuple),
    chunks=st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.integers(0, 99)), max_size=3).map(tuple),
)


@given(jobs | results)
def test_what_is_packed_comes_back_equal(message: Any) -> None:
    """unpack(pack(m)) == m, for the two messages that are stored."""
    assert wire.unpack(wire.pack(message)) == message


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_raise_a_wire_fault(data: bytes) -> None:
    """Whatever a stranger puts on a subject, reading it is safe."""
    with contextlib.suppress(WireFault):
        wire.unpack(data)


def small(**changes: Any) -> dict[str, Any]:
    fields = {"v": wire.VERSION, "t": "Ended", "execution_id": "e", "result": None}
    return {**fields, **changes}


def test_an_unknown_version_is_refused_and_named() -> None:
    """A newer process's message is not half understood."""
    with pytest.raises(UnknownVersion, match="version 99"):
        wire.unpack(msgpack.packb(small(v=99)))


def test_an_unknown_field_is_passed_over() -> None:
    """A newer process of the same version may add fields."""
    assert wire.unpack(msgpack.packb(small(colour="blue"))) == events.Ended(execution_id="e", result=None)


@pytest.mark.parametrize(
    "fields",
    [small(t="Nonsense"), small(execution_id=5), small(result=[1]), {"v": 1, "t": "Ended"}, {"v": 1, "t": ["x"]}],
)
def test_a_malformed_message_is_a_wire_fault(fields: dict[str, Any]) -> None:
    """Wrong types, missing fields and unknown types have a name."""
    with pytest.raises(WireFault):
        wire.unpack(msgpack.packb(fields))


def test_another_message_than_the_expected_one_is_refused() -> None:
    """A chunk is not taken for a job."""
    with pytest.raises(WireFault, match="Ended where a Job belongs"):
        wire.unpack_as(Job, wire.pack(events.Ended(execution_id="e", result=None)))


@pytest.mark.parametrize("cls", wire.MESSAGES)
def test_every_message_is_frozen_and_has_keywords_only(cls: type) -> None:
    """Messages are values."""
    parameters = cls.__dataclass_params__  # type: ignore[attr-defined]
    assert parameters.frozen
    assert all(field.kw_only for field in dataclasses.fields(cls))


def test_the_job_carries_the_original_designs_fields() -> None:
    """id, user, language, version, code, stdin, priority, timeout, memory, creation time and correlation id."""
    submission = Submission(language=Language.PYTHON, code=b"x", timeout_s=10, memory_mb=256, limits=DEFAULTS)
    fields = {field.name for field in dataclasses.fields(Job)} | {
        field.name for field in dataclasses.fields(submission)
    }
    wanted = "id user_id language version code stdin priority timeout_s memory_mb created_at_ms correlation_id"
    assert set(wanted.split()) <= fields


def test_the_retold_output_is_the_output_with_the_numbers_it_had() -> None:
    """A stored result tells the same chunks again."""
    result = Result(
        execution_id="e",
        user_id="u",
        gateway="g",
        state=State.COMPLETED,
        language="cpp",
        version="12",
        variant="",
        region="r",
        runner="n",
        attempt=2,
        stdout=b"onethree",
        stderr=b"two",
        compile=CompileReport(exit_code=0, stdout=b"", stderr=b"warning", usage=Usage()),
        timeline=Timeline(created_at_ms=0),
        chunks=(("compile", 7), ("stdout", 3), ("stderr", 3), ("stdout", 5)),
    )
    told = [(chunk.seq, chunk.stream.value, chunk.data, chunk.attempt) for chunk in events.retell(result)]
    assert told == [
        (1, "compile", b"warning", 2),
        (2, "stdout", b"one", 2),
        (3, "stderr", b"two", 2),
        (4, "stdout", b"three", 2),
    ]
