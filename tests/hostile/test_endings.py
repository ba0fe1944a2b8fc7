# ruff: noqa: E501  # a program is easier to read as it is than broken over lines
"""Attacks on the end of a run: whoever does not want to end, ends; and what ends oddly is told as it was."""

from __future__ import annotations

import threading
import time

import pytest

from jobs.states import State, Verdict
from tests.hostile.conftest import Attack
from tests.sandboxes import Sandboxes


def test_a_daemon_does_not_outlive_its_program(attack: Attack) -> None:
    code = (
        "import os, sys, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        for n in (0, 1, 2): os.close(n)\n"
        "        time.sleep(60)\n    os._exit(0)\nos.wait()\nprint('left a daemon')\n"
    )
    result = attack(code, timeout_s=5.0)
    assert (result.verdict, result.stdout) == (Verdict.OK, b"left a daemon\n")
    assert result.usage.wall_ms < 2000


def test_a_child_that_holds_stdout_open_is_not_waited_for(attack: Attack) -> None:
    code = "import os, time\nif os.fork() == 0:\n    time.sleep(60)\nos.write(1, b'done')\nos._exit(0)\n"
    result = attack(code, timeout_s=5.0)
    assert (result.verdict, result.stdout) == (Verdict.OK, b"done")
    assert result.usage.wall_ms < 2000


def test_a_program_that_stops_itself_is_stopped_by_time(attack: Attack) -> None:
    result = attack("import os, signal\nprint('x', flush=True)\nos.kill(os.getpid(), signal.SIGSTOP)\n", timeout_s=1.0)
    assert (result.verdict, result.stdout) == (Verdict.TIME_LIMIT, b"x\n")


def test_a_program_that_stops_everybody(attack: Attack) -> None:
    code = "import os, signal\nfor _ in range(5):\n    if not os.fork(): signal.pause()\nos.kill(-1, signal.SIGSTOP)\nos.kill(os.getpid(), signal.SIGSTOP)"
    assert attack(code, timeout_s=1.0).verdict is Verdict.TIME_LIMIT


def test_a_program_in_the_background_of_no_terminal(attack: Attack) -> None:
    code = "import os, signal\nos.kill(os.getpid(), signal.SIGTTOU)\n"
    assert attack(code, timeout_s=1.0).verdict in (Verdict.OK, Verdict.TIME_LIMIT)


def test_every_signal_blocked_and_ignored(attack: Attack) -> None:
    code = (
        "import signal, time\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: time.sleep(1)\n"
    )
    assert attack(code, timeout_s=1.0).verdict is Verdict.TIME_LIMIT


@pytest.mark.parametrize("number", [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 24, 26, 27, 29, 30, 31, 34, 64])
def test_every_deadly_signal_is_told_by_its_name(attack: Attack, number: int) -> None:
    code = f"import os, signal\nif {number} not in (9, 19): signal.signal({number}, signal.SIG_DFL)\nos.write(1, b'x')\nos.kill(os.getpid(), {number})\nsignal.pause()"
    result = attack(code)
    assert (result.verdict, result.exit_code, result.stdout) == (Verdict.SIGNALLED, None, b"x")
    assert result.signal is not None and result.signal.startswith("SIG")


@pytest.mark.parametrize("code", [0, 1, 2, 65, 70, 124, 126, 127, 128, 137, 139, 143, 254, 255])
def test_every_exit_code_is_told_as_it_was(attack: Attack, code: int) -> None:
    """Those that tools of ours and shells use for their own purposes too."""
    result = attack(f"import os\nos._exit({code})")
    assert (result.exit_code, result.signal) == (code, None)
    assert result.verdict is (Verdict.NONZERO_EXIT if code else Verdict.OK)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_closed_descriptor(attack: Attack, number: int) -> None:
    result = attack(f"import os\nos.close({number})\nos._exit(3)", stdin=b"x" * 100_000)
    assert (result.verdict, result.exit_code) == (Verdict.NONZERO_EXIT, 3)


def test_all_descriptors_closed_and_the_program_goes_on(attack: Attack) -> None:
    code = "import os, time\nos.closerange(0, 4096)\ntime.sleep(60)"
    assert attack(code, timeout_s=1.0).verdict is Verdict.TIME_LIMIT


def test_descriptors_that_are_not_there(attack: Attack) -> None:
    code = (
        "import os\nfor n in range(3, 2048):\n    try: os.write(n, b'hello runner'); print(n)\n    except OSError: pass\n"
        "for n in range(3, 300):\n    try: os.read(n, 1); print(n)\n    except OSError: pass\n"
    )
    assert attack(code).stdout == b""


def test_descriptors_turned_about(attack: Attack) -> None:
    """Its outputs swapped, its input made an output: what the ends allow."""
    code = (
        "import os\na = os.dup(1)\nos.dup2(2, 1)\nos.dup2(a, 2)\nos.write(1, b'to stderr')\nos.write(2, b'to stdout')\n"
        "try: os.write(0, b'x')\nexcept OSError: pass\ntry: os.read(1, 1)\nexcept OSError: pass\n"
    )
    result = attack(code)
    assert (result.stdout, result.stderr) == (b"to stdout", b"to stderr")


def test_ends_of_pipes_opened_anew(attack: Attack) -> None:
    """/proc/self/fd lets a program open both ends of its own pipes; that is its own loss."""
    code = (
        "import os\nw = os.open('/proc/self/fd/0', os.O_WRONLY | os.O_NONBLOCK)\nr = os.open('/proc/self/fd/1', os.O_RDONLY | os.O_NONBLOCK)\n"
        "os.write(w, b'more')\nprint(os.read(0, 100))\n"
    )
    assert attack(code).verdict in (Verdict.OK, Verdict.NONZERO_EXIT)


def test_its_own_output_read_away(attack: Attack) -> None:
    code = (
        "import os, threading\nr = os.open('/proc/self/fd/1', os.O_RDONLY)\n"
        "def drain():\n    while True: os.read(r, 65536)\nthreading.Thread(target=drain, daemon=True).start()\n"
        "for _ in range(300): os.write(1, b'x' * 1000)\nos._exit(0)\n"
    )
    assert attack(code).verdict in (Verdict.OK, Verdict.TIME_LIMIT)


def test_an_order_that_is_forged(attack: Attack) -> None:
    """What follows the order in the same pipe is the program's input, whatever it looks like."""
    forged = b"\x10\x00\x00\x00" + b"{" * 100
    result = attack("import sys\nprint(len(sys.stdin.buffer.read()))", stdin=forged)
    assert result.stdout == b"104\n"


def test_a_program_that_ends_while_its_output_is_full(attack: Attack) -> None:
    code = "import os\nfor _ in range(4):\n    if not os.fork():\n        for _ in range(40): os.write(2, b'e' * 60000)\n        os._exit(0)\nos._exit(0)"
    assert attack(code, output_bytes=8 << 20).verdict is Verdict.OK


def test_exec_of_nonsense(attack: Attack) -> None:
    code = (
        "import os, subprocess\nfor what in (b'\\x7fELF' + b'\\xff' * 600, b'#!/workspace/self\\n', b'', b'#!' + b'x' * 5000, b'MZ'):\n"
        "    open('self', 'wb').write(what); os.chmod('self', 0o755)\n    try: print(subprocess.run(['./self'], capture_output=True, timeout=1).returncode)\n    except Exception as e: print(type(e).__name__)\n"
    )
    assert attack(code).verdict is Verdict.OK


def test_a_program_that_replaces_its_own_files(attack: Attack) -> None:
    code = "import os, shutil\nfor name in os.listdir('.'): os.remove(name)\nos.chmod('.', 0)\nos.chdir('/')\nshutil.rmtree('/tmp', True)\nprint('bare')"
    assert attack(code).stdout == b"bare\n"


def test_a_run_that_is_cancelled_while_it_resists(sandboxes: Sandboxes) -> None:
    """Signals are ignored, children swarm; cancelling ends it all the same."""
    code = (
        "import os, signal, time\nfor n in (1, 2, 15, 10, 12): signal.signal(n, signal.SIG_IGN)\n"
        "print('up', flush=True)\nfor _ in range(4):\n    os.fork()\nwhile True: time.sleep(.01)\n"
    )
    began = time.monotonic()
    result = sandboxes.watch(lambda execution, stream, data: execution.stop(), "python", code, timeout_s=20.0)
    assert (result.state, result.verdict, result.stdout) == (State.CANCELLED, None, b"up\n")
    assert time.monotonic() - began < 5


def test_many_that_end_at_once(sandboxes: Sandboxes) -> None:
    """Bombs and plain programs side by side: each has its own verdict."""
    bombs = [
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        "x = []\nwhile True: x.append(bytearray(1 << 20))",
        "while True: print('x' * 1000)",
        "while True: pass",
        "import os; os.kill(os.getpid(), 11)",
    ]
    plain = [f"print({n} * {n})" for n in range(10)]
    results = sandboxes.together({"code": code, "timeout_s": 2.0, "memory_mb": 96} for code in (*bombs, *plain))
    verdicts = [result.verdict for result in results]
    assert verdicts[0] in (Verdict.PROCESS_LIMIT, Verdict.TIME_LIMIT)
    assert verdicts[1:5] == [Verdict.MEMORY_LIMIT, Verdict.OUTPUT_LIMIT, Verdict.TIME_LIMIT, Verdict.SIGNALLED]
    assert [result.stdout for result in results[5:]] == [f"{n * n}\n".encode() for n in range(10)]


def test_the_runner_has_no_more_threads_than_before(sandboxes: Sandboxes) -> None:
    sandboxes.run("python", "pass")
    before = threading.active_count()
    for _ in range(5):
        sandboxes.run("python", "import os; os.abort()")
    assert threading.active_count() <= before
