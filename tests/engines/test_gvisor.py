"""The same containers under gVisor (``docker_runtime`` runsc): programs run, are bounded, and see another kernel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.daemon import Daemon, runsc
from jobs.states import Verdict
from tests.sandboxes import Sandboxes, docker


@pytest.fixture(scope="module")
def guarded(daemon: Daemon) -> Iterator[Sandboxes]:
    if runsc() is None:
        pytest.skip("NO GVISOR HERE: runsc cannot be found; .ci/docker gets it, where apt can")
    started = Sandboxes(lambda: docker(daemon.url, "runsc"))
    yield started
    started.close()


def test_a_program_runs_and_its_kernel_is_not_the_machines(guarded: Sandboxes) -> None:
    result = guarded.run("python", "import os, sys\nprint(sys.stdin.read(), os.uname().release)", stdin="in")
    assert result.verdict is Verdict.OK
    assert result.stdout == b"in 4.4.0\n"


def test_what_needs_more_memory_than_it_may_have_is_ended(guarded: Sandboxes) -> None:
    result = guarded.run("python", "x = bytearray(400 << 20)\nprint(len(x))", memory_mb=128)
    assert result.verdict is Verdict.MEMORY_LIMIT


def test_what_does_not_end_is_ended(guarded: Sandboxes) -> None:
    """To the second, not better: the daemon, then gVisor, carry the word."""
    result = guarded.run("python", "print('on', flush=True)\nwhile True: pass", timeout_s=1.0)
    assert result.verdict is Verdict.TIME_LIMIT
    assert result.stdout == b"on\n"
    assert result.usage.wall_ms < 6000


def test_files_come_back_and_exit_codes_and_signals_are_the_programs(guarded: Sandboxes) -> None:
    result = guarded.run("python", "open('a.txt', 'w').write('kept')\nexit(7)", outputs=("*.txt",))
    assert (result.verdict, result.exit_code) == (Verdict.NONZERO_EXIT, 7)
    assert result.files is not None and [file.content for file in result.files] == [b"kept"]
    result = guarded.run("python", "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    assert (result.verdict, result.signal) == (Verdict.SIGNALLED, "SIGSEGV")
