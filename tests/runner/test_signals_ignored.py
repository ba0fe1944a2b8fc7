"""A runner that a shell put behind (``&``), or that nohup started, ignores signals; its programs do not."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import signal
print([signal.getsignal(number).__name__ for number in (signal.SIGINT,)],
      [signal.getsignal(number).name for number in (signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM)])
"""
RUN_IT = """
import sys
from tests.sandboxes import Sandboxes
started = Sandboxes()
try:
    for env in ({}, {"PYTHONHASHSEED": "1"}):  # forked, and started afresh
        print(started.run("python", sys.argv[1], env=env).stdout.decode().strip())
finally:
    started.close()
"""
IGNORED = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM)


def test_what_a_runner_ignores_its_programs_do_not() -> None:
    """An engine of its own process, which inherits ignored signals as a shell's background job does."""

    def ignore() -> None:
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)

    done = subprocess.run(
        [sys.executable, "-c", RUN_IT, PROGRAM],
        cwd=Path(__file__).parents[2],
        preexec_fn=ignore,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == 2 * ["['default_int_handler'] ['SIG_DFL', 'SIG_DFL', 'SIG_DFL']"], done.stderr
