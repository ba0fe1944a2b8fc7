# ruff: noqa: E501  # a program is easier to read as it is than broken over lines
"""Attacks on what there is only so much of: processes, memory, kernel objects, descriptors, files, output, time."""

from __future__ import annotations

import pytest

from jobs.limits import MIB
from jobs.result import Result
from jobs.states import Verdict
from tests.hostile.conftest import Attack

ENDED = {Verdict.OK, Verdict.NONZERO_EXIT, Verdict.SIGNALLED}
STOPPED = {Verdict.TIME_LIMIT, Verdict.CPU_LIMIT, Verdict.MEMORY_LIMIT, Verdict.PROCESS_LIMIT, Verdict.OUTPUT_LIMIT}


def test_fork_bomb(attack: Attack) -> None:
    result = attack("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n")
    assert result.verdict in (Verdict.PROCESS_LIMIT, Verdict.TIME_LIMIT)
    assert result.usage.memory_peak_bytes <= 97 * MIB


def test_fork_bomb_in_c(attack: Attack) -> None:
    attack("#include <unistd.h>\nint main() { for (;;) fork(); }", "cpp")


def test_fork_bomb_of_orphans_that_leave_the_session(attack: Attack) -> None:
    attack(
        "import os\nwhile True:\n    try:\n        if os.fork(): os._exit(0)\n        os.setsid()\n    except OSError: pass\n"
    )


def test_fork_bomb_that_refuses_to_be_signalled(attack: Attack) -> None:
    attack(
        "import os, signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True:\n    try: os.fork()\n    except OSError: pass\n"
    )


def test_vfork_and_exec_bomb(attack: Attack) -> None:
    attack("import subprocess\nwhile True:\n    try: subprocess.Popen(['sleep', '9'])\n    except OSError: pass\n")


def test_shell_bomb(attack: Attack) -> None:
    attack("import os\nos.system('b() { b | b & }; b; sleep 5')")


def test_thread_bomb(attack: Attack) -> None:
    code = "import threading, time\nwhile True:\n    try: threading.Thread(target=time.sleep, args=(9,)).start()\n    except RuntimeError: pass\n"
    assert attack(code).verdict in STOPPED


def test_zombie_farm(attack: Attack) -> None:
    code = (
        "import os, time\nmade = 0\ntry:\n    while True:\n        if not os.fork(): os._exit(0)\n        made += 1\n"
        "except OSError: print(made)\n"
    )
    result = attack(code)
    assert 60 <= int(result.stdout) <= 66


def test_memory_bomb_of_files_by_the_smallest_of_processes(attack: Attack) -> None:
    """The program itself holds next to nothing; still it is what the kernel kills, and nobody of ours."""
    code = (
        "#include <fcntl.h>\n#include <unistd.h>\n#include <cstdio>\nstatic char b[1 << 20];\nint main() { for (int n = 0;; n++) {\n"
        '    char p[64]; sprintf(p, "/dev/shm/%d", n); int f = open(p, O_CREAT | O_WRONLY, 0600);\n'
        "    for (int i = 0; i < 8; i++) if (write(f, b, sizeof b) < 0) return 3; close(f); } }"
    )
    assert attack(code, "cpp").verdict is Verdict.MEMORY_LIMIT


@pytest.mark.parametrize(
    "grab",
    [
        pytest.param("held = []\nwhile True: held.append(bytearray(1 << 20))", id="heap"),
        pytest.param("f = open('/workspace/x', 'wb')\nwhile True: f.write(bytes(1 << 20)); f.seek(0, 1)", id="one file"),
        pytest.param("n = 0\nwhile True: open(f'/dev/shm/{n}', 'wb').write(bytes(8 << 20)); n += 1", id="shared memory"),
        pytest.param("n = 0\nwhile True: open(f'/tmp/{n}', 'wb').write(bytes(8 << 20)); n += 1", id="scratch"),
        pytest.param(
            "import mmap\nheld = []\nwhile True:\n    m = mmap.mmap(-1, 8 << 20, flags=mmap.MAP_SHARED)\n"
            "    m.write(bytes(8 << 20)); held.append(m)", id="shared maps"),
        pytest.param(
            "import os\nheld = []\nwhile True:\n    f = os.memfd_create('x'); os.write(f, bytes(8 << 20)); held.append(f)",
            id="memory files"),
        pytest.param(
            "import os, fcntl\nwhile True:\n    r, w = os.pipe(); fcntl.fcntl(w, 1031, 1 << 20)\n"
            "    os.set_blocking(w, False)\n    os.write(w, bytes(1 << 20))", id="pipes"),
        pytest.param(
            "import socket\nheld = []\nwhile True:\n    a, b = socket.socketpair(); a.setblocking(False)\n    held += [a, b]\n"
            "    try:\n        while True: a.send(bytes(100000))\n    except OSError: pass", id="sockets"),
        pytest.param(
            "import socket\nheld = []\ns = socket.create_server(('127.0.0.1', 0))\nwhile True:\n"
            "    a = socket.create_connection(s.getsockname()); b = s.accept()[0]; a.setblocking(False)\n    held += [a, b]\n"
            "    try:\n        while True: a.send(bytes(1000000))\n    except OSError: pass", id="connections"),
        pytest.param("import os\nn = 0\nwhile True: os.mkdir(str(n)); n += 1", id="folders"),
        pytest.param("n = 0\nwhile True: open(str(n), 'w'); n += 1", id="empty files"),
        pytest.param("import os\nn = 0\nwhile True: os.symlink('x' * 4000, str(n)); n += 1", id="links"),
        pytest.param(
            "import os\nn = 0\nopen('f', 'w')\nwhile True: os.setxattr('f', f'user.{n}', bytes(60000)); n += 1",
            id="attributes"),
        pytest.param(
            "import ctypes\nc = ctypes.CDLL(None)\nheld = []\nwhile True:\n    i = c.shmget(0, 8 << 20, 0o1600)\n"
            "    c.shmat.restype = ctypes.c_void_p\n    p = c.shmat(i, None, 0)\n    ctypes.memset(p, 1, 8 << 20)", id="segments"),
        pytest.param(
            "import ctypes\nc = ctypes.CDLL(None)\nwhile True:\n    q = c.msgget(0, 0o1600)\n    b = ctypes.create_string_buffer(8008)\n"
            "    b[0] = 1\n    while c.msgsnd(q, b, 8000, 0o4000) == 0: pass\n    if q < 0: raise OSError", id="messages"),
        pytest.param("import ctypes\nc = ctypes.CDLL(None)\nwhile c.semget(0, 250, 0o1600) >= 0: pass", id="semaphores"),
        pytest.param(
            "import os\nos.makedirs('a'); os.chdir('a')\nwhile True:\n    os.mkdir('a' * 200); os.chdir('a' * 200)",
            id="depth"),
        pytest.param(
            "import ctypes, mmap\nc = ctypes.CDLL(None)\nc.mmap.restype = ctypes.c_void_p\n"
            "for n in range(1 << 20): c.mmap(None, 4096, n % 2 + 1, 0x22, -1, 0)\nprint('mapped')", id="mappings"),
        pytest.param("import os, fcntl\nf = open('x', 'w+')\nf.truncate(1 << 23)\nn = 0\n"
                     "while True:\n    fcntl.lockf(f, fcntl.LOCK_EX, 1, n); n += 2", id="locks"),
    ],
)  # fmt: skip
def test_memory_bomb(attack: Attack, grab: str) -> None:
    """Whatever kind of memory is taken, it is the program's own."""
    result = attack(grab)
    assert result.verdict is not Verdict.OK or b"mapped" in result.stdout
    assert result.usage.memory_peak_bytes <= 97 * MIB


@pytest.mark.parametrize(
    "grab",
    [
        pytest.param("held = []\nwhile True: held.append(open('/dev/null'))", id="files"),
        pytest.param("import os\nwhile True: os.eventfd(0)", id="events"),
        pytest.param("import select\nheld = []\nwhile True: held.append(select.epoll())", id="queues"),
        pytest.param("import ctypes\nc = ctypes.CDLL(None)\nwhile c.inotify_init() >= 0: pass\nraise OSError", id="watches"),
        pytest.param("import ctypes\nc = ctypes.CDLL(None)\nwhile c.timerfd_create(1, 0) >= 0: pass\nraise OSError", id="timers"),
        pytest.param("import os\nwhile True: os.pidfd_open(os.getpid())", id="processes"),
        pytest.param("import socket\nheld = []\nwhile True: held.append(socket.socket())", id="sockets"),
        pytest.param("import ctypes\nc = ctypes.CDLL(None)\nt = ctypes.c_void_p()\n"
                     "while c.timer_create(0, None, ctypes.byref(t)) == 0: pass\nraise OSError", id="clocks"),
        pytest.param("import os\ni = os.memfd_create('x')\nwhile True: os.dup(i)", id="copies"),
    ],
)  # fmt: skip
def test_descriptor_bomb(attack: Attack, grab: str) -> None:
    assert attack(grab).verdict in {Verdict.NONZERO_EXIT, *STOPPED}


def test_descriptors_in_flight(attack: Attack) -> None:
    """Sockets that carry descriptors of sockets that carry descriptors …"""
    attack(
        "import socket, array\nwhile True:\n    a, b = socket.socketpair()\n    x, y = socket.socketpair()\n    try:\n"
        "        while True:\n            x.setblocking(False)\n"
        "            x.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [a.fileno(), y.fileno()]))])\n"
        "    except OSError: pass\n"
    )


def _flood(result: Result, bound: int) -> None:
    assert result.verdict is Verdict.OUTPUT_LIMIT
    assert len(result.stdout) + len(result.stderr) == bound


def test_output_flood_on_both_streams(attack: Attack) -> None:
    code = "import os, threading\ndef f(n):\n    while True: os.write(n, bytes(65536))\nthreading.Thread(target=f, args=(1,)).start()\nf(2)\n"
    _flood(attack(code, output_bytes=100_000), 100_000)


def test_output_flood_by_children(attack: Attack) -> None:
    code = "import os\nfor _ in range(20):\n    if not os.fork(): break\nwhile True: os.write(1, b'\\xff' * 70000)\n"
    _flood(attack(code, output_bytes=3 * MIB), 3 * MIB)


def test_output_flood_after_the_program_has_ended(attack: Attack) -> None:
    code = "import os\nif os.fork(): os._exit(0)\nos.setsid()\nwhile True: os.write(1, b'x' * 4096)\n"
    result = attack(code, output_bytes=MIB)
    assert result.verdict in (Verdict.OK, Verdict.OUTPUT_LIMIT)
    assert len(result.stdout) <= MIB


def test_output_that_trickles_on_after_the_limit(attack: Attack) -> None:
    code = "import os, time, signal\nsignal.signal(15, signal.SIG_IGN)\nos.write(1, b'x' * 2000)\nwhile True:\n    time.sleep(.01)\n    os.write(1, b'y')\n"
    _flood(attack(code, output_bytes=1000), 1000)


def test_output_in_single_bytes(attack: Attack) -> None:
    result = attack('#include <unistd.h>\nint main() { for (;;) write(1, "x", 1); }', "cpp", output_bytes=8 * MIB)
    assert result.verdict in (Verdict.TIME_LIMIT, Verdict.OUTPUT_LIMIT)


def test_output_to_a_pipe_made_small_or_large(attack: Attack) -> None:
    for size in (4096, 1 << 20):
        code = f"import os, fcntl\ntry: fcntl.fcntl(1, 1031, {size})\nexcept OSError: pass\nos.write(1, b'x' * 900000)"
        result = attack(code)
        assert (result.verdict, len(result.stdout)) == (Verdict.OK, 900_000)


def test_input_that_is_never_read(attack: Attack) -> None:
    result = attack("import time\ntime.sleep(.2)\nprint('no thanks')", stdin=b"x" * (6 << 20))
    assert (result.verdict, result.stdout) == (Verdict.OK, b"no thanks\n")


def test_input_that_is_closed_at_once(attack: Attack) -> None:
    assert attack("import os\nos.close(0)\nprint('x')", stdin=b"x" * (6 << 20)).stdout == b"x\n"


def test_busy_loop_in_many_processes_has_one_core(attack: Attack) -> None:
    code = "import os\nfor _ in range(3): os.fork()\nwhile True: pass\n"
    result = attack(code, timeout_s=1.0)
    assert result.verdict is Verdict.TIME_LIMIT
    assert result.usage.cpu_ms < 1500


def test_busy_loop_that_asks_for_more_cores(attack: Attack) -> None:
    code = (
        "import os\ntry: os.sched_setaffinity(0, range(64))\nexcept OSError as e: print(e.errno)\n"
        "print(len(os.sched_getaffinity(0)))\ntry: os.nice(-20)\nexcept OSError as e: print(e.errno)\n"
        "try: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(99))\nexcept OSError as e: print(e.errno)\n"
    )
    assert attack(code).stdout.split() == [b"1", b"1", b"1", b"1"]


def test_limits_that_are_raised_again(attack: Attack) -> None:
    code = (
        "import resource as r\nfor name in ('RLIMIT_FSIZE', 'RLIMIT_NOFILE', 'RLIMIT_STACK', 'RLIMIT_CORE'):\n"
        "    which = getattr(r, name)\n    try:\n        r.setrlimit(which, (r.RLIM_INFINITY, r.RLIM_INFINITY))\n"
        "        print('raised', name)\n    except (ValueError, OSError): pass\n"
        "r.setrlimit(r.RLIMIT_NOFILE, (0, 0)); r.setrlimit(r.RLIMIT_NPROC, (0, 0)); print('lowered')\n"
    )
    assert attack(code, outputs=("*",)).stdout == b"lowered\n"


def test_a_clock_that_is_bent(attack: Attack) -> None:
    code = (
        "import time, os\nfor f in (lambda: time.clock_settime(0, 0), lambda: os.utime('/etc/passwd')):\n"
        "    try: f(); print('bent')\n    except OSError as e: print(e.errno)\n"
    )
    assert attack(code).stdout.split() in ([b"1", b"30"], [b"1", b"13"], [b"1", b"1"])
