"""Each limit has its own verdict, with what was written before it kept, in every language."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jobs.languages import Language
from jobs.limits import MIB
from jobs.result import Result
from jobs.states import Cause, Verdict
from tests.sandboxes import Sandboxes

Act = Callable[..., Result]
EVERY_LANGUAGE = pytest.mark.parametrize("language", list(Language))


def _met(result: Result, verdict: Verdict, stdout: bytes = b"before\n") -> None:
    assert (result.verdict, result.cause) == (verdict, Cause.LIMIT), (result.exit_code, result.signal, result.stderr)
    assert result.stdout.startswith(stdout)
    assert result.message
    assert (result.exit_code is None) == (result.signal is not None)


@EVERY_LANGUAGE
def test_wall_time(act: Act, language: Language) -> None:
    result = act(language, "doze", timeout_s=1.0)
    _met(result, Verdict.TIME_LIMIT)
    assert 1000 <= result.usage.wall_ms < 2500


@EVERY_LANGUAGE
def test_cpu_time(act: Act, language: Language) -> None:
    result = act(language, "spin", timeout_s=9.0, cpu_seconds=0.3)
    _met(result, Verdict.CPU_LIMIT)
    assert 300 <= result.usage.cpu_ms < 700


@EVERY_LANGUAGE
def test_memory_that_is_used_up(act: Act, language: Language) -> None:
    result = act(language, "eat", memory_mb=96)
    _met(result, Verdict.MEMORY_LIMIT)
    assert result.usage.memory_peak_bytes <= 97 * MIB


@EVERY_LANGUAGE
def test_memory_that_the_runtime_does_not_get(act: Act, language: Language) -> None:
    _met(act(language, "ask", memory_mb=96), Verdict.MEMORY_LIMIT)


@EVERY_LANGUAGE
def test_output_is_kept_to_the_byte(act: Act, language: Language) -> None:
    result = act(language, "flood", output_bytes=1003)
    _met(result, Verdict.OUTPUT_LIMIT, b"tick\n")
    assert result.stdout == (b"tick\n" * 201)[:1003]
    assert result.stdout_truncated and not result.stderr_truncated


@EVERY_LANGUAGE
def test_the_size_of_a_file(act: Act, language: Language) -> None:
    _met(act(language, "fill", file_bytes=3 * MIB), Verdict.FILE_LIMIT)
    assert act(language, "fill", file_bytes=16 * MIB).verdict is Verdict.OK


@EVERY_LANGUAGE
def test_processes_and_threads(act: Act, language: Language) -> None:
    result = act(language, "crowd", processes=24)
    _met(result, Verdict.PROCESS_LIMIT)
    assert b"all there" not in result.stdout


@EVERY_LANGUAGE
def test_the_smallest_memory_starts_every_language(act: Act, language: Language) -> None:
    assert act(language, "report", memory_mb=64).verdict is Verdict.OK


@EVERY_LANGUAGE
def test_an_endless_recursion_ends_by_itself_or_by_memory(act: Act, language: Language) -> None:
    """The stack may grow to the memory limit; which of the two is met first is the runtime's own."""
    result = act(language, "fall", memory_mb=96)
    assert result.verdict in (Verdict.NONZERO_EXIT, Verdict.SIGNALLED, Verdict.MEMORY_LIMIT)


def test_wall_and_cpu_time_together_is_wall_time(act: Act) -> None:
    assert act("cpp", "spin", timeout_s=1.0, cpu_seconds=1.0).verdict is Verdict.TIME_LIMIT


@pytest.mark.parametrize("folder", ["/workspace", "/tmp", "/dev/shm"])
def test_memory_counts_what_is_written_to_files(sandboxes: Sandboxes, folder: str) -> None:
    code = (
        "print('before', flush=True)\nfor n in range(12):\n"
        f"    with open(f'{folder}/{{n}}', 'wb') as f: f.write(bytes(10 << 20))\n"
    )
    _met(sandboxes.run("python", code, memory_mb=64), Verdict.MEMORY_LIMIT)


def test_memory_counts_children(sandboxes: Sandboxes) -> None:
    code = (
        "import os, time\nprint('before', flush=True)\nfor _ in range(4):\n    if not os.fork():\n"
        "        held = b'x' * (30 << 20)\n        time.sleep(9)\n        os._exit(0)\n"
        "for _ in range(4):\n    if os.WIFSIGNALED(os.wait()[1]): raise SystemExit(3)\n"
    )
    _met(sandboxes.run("python", code, memory_mb=64), Verdict.MEMORY_LIMIT)


def test_a_child_that_is_killed_for_memory_is_forgiven_when_the_program_ends_well(sandboxes: Sandboxes) -> None:
    code = (
        "import os\nif not os.fork():\n    held = b'x' * (200 << 20)\n    os._exit(0)\n"
        "print(os.WTERMSIG(os.wait()[1]))\n"
    )
    result = sandboxes.run("python", code, memory_mb=64)
    assert (result.verdict, result.stdout) == (Verdict.OK, b"9\n")


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [("raise SystemExit(137)", 137), ("print('MemoryError'); raise SystemExit(1)", 1), ("raise SystemExit(124)", 124)],
)
def test_a_program_that_only_looks_like_one_that_met_a_limit_did_not(
    sandboxes: Sandboxes, code: str, exit_code: int
) -> None:
    result = sandboxes.run("python", code)
    assert (result.verdict, result.cause, result.exit_code) == (Verdict.NONZERO_EXIT, Cause.PROGRAM, exit_code)


def test_both_streams_share_the_output_bound(sandboxes: Sandboxes) -> None:
    code = "import os\nos.write(2, b'e' * 400)\nimport time; time.sleep(.1)\nos.write(1, b'o' * 900)\ntime.sleep(5)"
    result = sandboxes.run("python", code, output_bytes=1000)
    assert result.verdict is Verdict.OUTPUT_LIMIT
    assert (result.stderr, result.stdout) == (b"e" * 400, b"o" * 600)
    assert result.stdout_truncated and not result.stderr_truncated


def test_output_of_exactly_the_bound_is_no_fault(sandboxes: Sandboxes) -> None:
    result = sandboxes.run("python", "print('x' * 999)", output_bytes=1000)
    assert (result.verdict, len(result.stdout), result.stdout_truncated) == (Verdict.OK, 1000, False)


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("cpp", "template <int N, int M> struct F { static const long v = F<N - 1, M>::v + F<N - 1, M + 1>::v; };\n"
                "template <int M> struct F<0, M> { static const long v = M; };\n"
                "int main() { return F<850, 0>::v & 1; }"),
        ("cpp", "constexpr long f(long n) { long s = 0; for (long i = 0; i < n; ++i) s += i % 7; return s; }\n"
                "constexpr long a[] = {f(900000), f(900001), f(900002), f(900003), f(900004), f(900005), f(900006),"
                " f(900007), f(900008), f(900009), f(900010), f(900011), f(900012), f(900013), f(900014)};\n"
                "int main() { return a[0] & 1; }"),
        ("rust", "#![allow(long_running_const_eval)]\nconst fn f() -> u64 { let mut i = 0; while i < 1 << 40 "
                 "{ i += 1; } i }\nconst X: u64 = f();\nfn main() { println!(\"{X}\"); }"),
    ],
)  # fmt: skip
def test_a_compiler_past_its_time_is_a_compile_error_of_the_limits(
    sandboxes: Sandboxes, language: str, code: str
) -> None:
    result = sandboxes.run(language, code, compile_seconds=1.0)
    assert (result.verdict, result.cause) == (Verdict.COMPILE_ERROR, Cause.LIMIT), result.compile
    assert (result.stdout, result.stderr, result.exit_code) == (b"", b"", None)
    assert result.timeline.compile_ms is not None and result.timeline.compile_ms < 3500


def test_a_file_limit_above_the_usual_holds_in_a_runtime_that_waited(sandboxes: Sandboxes) -> None:
    code = "const fs = require('fs'); fs.writeFileSync('a', Buffer.alloc(20 << 20)); console.log('kept')"
    assert sandboxes.run("javascript", code).verdict is Verdict.FILE_LIMIT
    assert sandboxes.run("javascript", code, file_bytes=32 * MIB).stdout == b"kept\n"


def test_a_limit_of_nothing(sandboxes: Sandboxes) -> None:
    assert sandboxes.run("python", "print(1)", output_bytes=0).verdict is Verdict.OUTPUT_LIMIT
    assert sandboxes.run("python", "pass", output_bytes=0).verdict is Verdict.OK
    assert sandboxes.run("python", "open('a', 'wb', 0).write(b'x')", file_bytes=0).verdict is Verdict.FILE_LIMIT


def test_one_process_is_enough_for_python(sandboxes: Sandboxes) -> None:
    result = sandboxes.run("python", "import os\nprint('on', flush=True)\nos.fork(); os.fork(); os.fork()", processes=1)
    assert (result.verdict, result.stdout) == (Verdict.PROCESS_LIMIT, b"on\n")
