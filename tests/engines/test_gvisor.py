"""The same containers under gVisor (``docker_runtime`` runsc): programs run, are bounded, and see another kernel."""

from __future__ import annotations

import pytest

from jobs.events import Stream
from jobs.states import Cause, State, Verdict
from runner.execute import Execution
from tests.sandboxes import Sandboxes


def test_a_program_runs_and_its_kernel_is_not_the_machines(guarded: Sandboxes) -> None:
    result = guarded.run("python", "import os, sys\nprint(sys.stdin.read(), os.uname().release)", stdin="in")
    assert result.verdict is Verdict.OK
    assert result.stdout == b"in 4.4.0\n"


def test_what_needs_more_memory_than_it_may_have_is_ended(guarded: Sandboxes) -> None:
    result = guarded.run("python", "x = bytearray(400 << 20)\nprint(len(x))", memory_mb=128)
    assert result.verdict is Verdict.MEMORY_LIMIT


def test_what_does_not_end_is_ended_in_time(guarded: Sandboxes) -> None:
    """By process 1, which keeps the time: before our own second look, and so without the daemon."""
    result = guarded.run("python", "print('on', flush=True)\nwhile True: pass", timeout_s=1.0)
    assert result.verdict is Verdict.TIME_LIMIT
    assert result.stdout == b"on\n"
    assert 1000 <= result.usage.wall_ms < 1900


def test_what_is_cancelled_ends_without_its_container_being_killed(guarded: Sandboxes) -> None:
    """A word to process 1 is enough: what was written is brought back."""

    def stop(execution: Execution, stream: Stream, data: bytes) -> None:
        execution.stop()

    code = "open('a.txt', 'w').write('kept')\nprint('on', flush=True)\nimport time; time.sleep(60)"
    result = guarded.watch(stop, "python", code, outputs=("*.txt",), timeout_s=30.0)
    assert (result.state, result.stdout) == (State.CANCELLED, b"on\n")
    assert [file.content for file in result.files or ()] == [b"kept"]


FORK_BOMB = "import os\nprint('on', flush=True)\nwhile True: os.fork()"
THREADS = """
import threading, time
print("on", flush=True)
for _ in range(60): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()
print("all there")
"""


@pytest.mark.parametrize("code", [FORK_BOMB, THREADS])
def test_processes_and_threads_are_bounded(guarded: Sandboxes, code: str) -> None:
    """gVisor's kernel refuses them; that it did is seen by process 1, or said by the runtime."""
    result = guarded.run("python", code, processes=24, timeout_s=15.0)
    assert (result.verdict, result.cause) == (Verdict.PROCESS_LIMIT, Cause.LIMIT), result.stderr
    assert result.stdout.startswith(b"on\n") and b"all there" not in result.stdout


def test_as_many_processes_as_there_may_be_are_there(guarded: Sandboxes) -> None:
    code = "import os, time\nfor _ in range(20):\n    if not os.fork(): time.sleep(9)\nprint('all there')"
    result = guarded.run("python", code, processes=24)
    assert (result.verdict, result.stdout) == (Verdict.OK, b"all there\n")


def test_files_come_back_and_exit_codes_and_signals_are_the_programs(guarded: Sandboxes) -> None:
    result = guarded.run("python", "open('a.txt', 'w').write('kept')\nexit(7)", outputs=("*.txt",))
    assert (result.verdict, result.exit_code) == (Verdict.NONZERO_EXIT, 7)
    assert result.files is not None and [file.content for file in result.files] == [b"kept"]
    result = guarded.run("python", "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    assert (result.verdict, result.signal) == (Verdict.SIGNALLED, "SIGSEGV")
