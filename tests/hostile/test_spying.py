# ruff: noqa: E501  # a program is easier to read as it is than broken over lines
"""Attacks on others: what the runner holds, what the runs before left, what the neighbours do."""

from __future__ import annotations

import pytest

from jobs.states import Verdict
from runner.engines.fork.engine import ForkEngine
from tests.hostile.conftest import Attack
from tests.sandboxes import Sandboxes

SECRET = "the-neighbours-secret-7f3a"

HIDE = {
    "files": f"for p in ('/tmp/s', '/workspace/s', '/dev/shm/s', '/var/tmp/s'): open(p, 'w').write('{SECRET}')",
    "shared memory": (
        "import ctypes\nc = ctypes.CDLL(None)\nc.shmat.restype = ctypes.c_void_p\n"
        f"i = c.shmget(4711, 4096, 0o1666)\nctypes.memmove(c.shmat(i, None, 0), b'{SECRET}', {len(SECRET)})"
    ),
    "messages": (
        "import ctypes\nc = ctypes.CDLL(None)\nq = c.msgget(4711, 0o1666)\nb = ctypes.create_string_buffer(100)\nb[0] = 1\n"
        "assert c.msgsnd(q, b, 20, 0) == 0"
    ),
    "queues": "import ctypes\nc = ctypes.CDLL(None)\nc.mq_open(b'/s', 0o102, 0o666, None)",
    "sockets": "import socket\ns = socket.socket(socket.AF_UNIX); s.bind('\\0s'); s.listen()",
    "ports": "import socket\ns = socket.create_server(('0.0.0.0', 4711))",
    "addresses": "import socket\nfor _ in range(50):\n    a = socket.create_server(('127.0.0.1', 0)); b = socket.create_connection(a.getsockname()); b.close()",
    "names": "import socket, ctypes\nctypes.CDLL(None).prctl(15, b'spy')\ntry: socket.sethostname('spy')\nexcept OSError: pass",
    "scheduling": "import os\nos.nice(10)",
    "variables": f"import os\nos.environ['S'] = '{SECRET}'",
    "modules": f"import builtins, sys, json\nbuiltins.S = json.S = sys.S = '{SECRET}'\nsys.path.append('/tmp')",
}

SEEK = """
import builtins, ctypes, glob, os, socket, sys
import json
c = ctypes.CDLL(None)
found = []
for place in ("/tmp", "/dev/shm", "/var/tmp", "/workspace"):
    found += [name for name in os.listdir(place) if name not in ("main.py",)]
for table, skip in (("shm", 1), ("msg", 1), ("sem", 1)):
    found += open("/proc/sysvipc/" + table).read().splitlines()[skip:]
if c.shmget(4711, 0, 0) >= 0 or c.msgget(4711, 0) >= 0 or c.mq_open(b"/s", 0) >= 0: found.append("ipc")
for address, family in (("\\0s", socket.AF_UNIX), (("127.0.0.1", 4711), socket.AF_INET)):
    try: socket.socket(family).connect(address); found.append(address)
    except OSError: pass
for name in ("tcp", "tcp6", "udp", "unix", "raw"):
    found += [line for line in open("/proc/net/" + name).read().splitlines()[1:]]
found += [name for name in os.environ if name not in ("PATH", "HOME", "USER", "LANG", "TMPDIR")]
found += [m for m in (builtins, json, sys) if hasattr(m, "S")]
found += [os.nice(0)] if os.nice(0) else []
found += [p for p in os.listdir("/proc") if p.isdigit() and int(p) not in (1, os.getpid())]
print(found, socket.gethostname())
"""


@pytest.mark.parametrize("what", HIDE)
def test_nothing_is_left_for_the_next(sandboxes: Sandboxes, what: str) -> None:
    """Many times, so that the same slot, user, group and network come round again."""
    for _ in range(6):
        hidden = sandboxes.run("python", HIDE[what])
        assert hidden.verdict is Verdict.OK, hidden.stderr
    results = sandboxes.together({"code": SEEK} for _ in range(6))
    assert {(result.stdout, result.stderr) for result in results} == {(b"[] yurt\n", b"")}


def test_neighbours_do_not_see_each_other(sandboxes: Sandboxes) -> None:
    """All at once: listen, hide, look for the others, for a while."""
    code = (
        "import os, socket, time\ns = socket.socket(socket.AF_UNIX); s.bind('\\0meet'); s.listen()\n"
        "t = socket.create_server(('127.0.0.1', 4711))\nopen('/tmp/here', 'x'); open('/dev/shm/here', 'x')\n"
        "me = {1, os.getpid()}\nseen = set()\nend = time.time() + .5\nwhile time.time() < end:\n"
        "    seen |= {int(p) for p in os.listdir('/proc') if p.isdigit()} - me\n    time.sleep(.02)\n"
        "for n in range(2, 400):\n    if n not in me:\n        try: os.kill(n, 9); seen.add(n)\n        except OSError: pass\nprint(seen)\n"
    )
    results = sandboxes.together({"code": code} for _ in range(8))
    assert {(result.stdout, result.stderr) for result in results} == {(b"set()\n", b"")}


MEMORY = """
import sys
me = open("/proc/self/mem", "rb", 0)
hits = dict.fromkeys(sys.argv[1:], 0)
maps = [line.split()[:2] + [line] for line in open("/proc/self/maps")]
for span, rights, line in maps:
    if rights[0] != "r" or "[v" in line: continue
    start, end = (int(x, 16) for x in span.split("-"))
    try:
        me.seek(start)
        held = me.read(end - start)
    except (OSError, OverflowError, ValueError): continue
    for word in hits:
        at = held.find(word[::-1].encode())
        while at >= 0:
            hits[word] += 1
            at = held.find(word[::-1].encode(), at + 1)
print(*hits.values())
"""


def _found_in_memory(sandboxes: Sandboxes, *words: str) -> list[int]:
    """How much oftener each word lies in a program's memory than one that nobody ever said: the search leaves traces."""
    result = sandboxes.run("python", MEMORY, args=("never-said-by-anybody"[::-1], *(word[::-1] for word in words)))
    never, *counts = map(int, result.stdout.split())
    return [max(0, count - never - 2) for count in counts]


def test_memory_of_a_zygote_holds_nobodys_order(sandboxes: Sandboxes) -> None:
    """A program that searches all of its own memory finds the words of none that ran before or beside it."""
    secret = "xylophone-of-another-person-41"
    code = f"print({secret!r})\nimport time; time.sleep(.1)"
    spied = [{"code": code, "stdin": secret * 100, "args": (secret,), "env": {"S": secret}} for _ in range(4)]
    sandboxes.together(spied)
    assert _found_in_memory(sandboxes, secret) == [0]


def test_nothing_of_the_runner_is_in_its_memory(sandboxes: Sandboxes) -> None:
    """Not the folders of the host, its groups, its servers."""
    words = ["/sys/fs/cgroup", "/tmp/rooms-", "nats://", "YURT_"]
    if isinstance(sandboxes.engine, ForkEngine):
        words.append(sandboxes.engine._folder.name)
    assert _found_in_memory(sandboxes, *words) == [0] * len(words)


def test_the_environment_of_the_host_is_not_seen(attack: Attack) -> None:
    code = (
        "import glob\nfor path in glob.glob('/proc/[0-9]*/environ') + glob.glob('/proc/[0-9]*/cmdline'):\n"
        "    try: print(path.split('/')[2] != '1' or open(path).read())\n    except OSError: pass\n"
        "print(open('/proc/self/environ').read().replace(chr(0), ' ')); print(open('/proc/self/cmdline').read())"
    )
    said = attack(code).stdout.decode()
    for word in ("YURT", "NATS", "VIRTUAL", "ZYGOTE", "pytest", "launcher", "goes_on", "zygote", "SSH", "TOKEN"):
        assert word not in said, said


def test_its_own_frames_and_modules_show_nothing_of_ours(attack: Attack) -> None:
    code = (
        "import sys, gc, types\nframes = sys._current_frames()\nprint(len(frames), [f.f_back for f in frames.values()])\n"
        "print([n for n in sys.modules if n in ('zygote', 'goes_on', 'launcher')])\n"
        "print([o for o in gc.get_objects() if isinstance(o, types.FrameType) and 'goes_on' in o.f_code.co_filename])\n"
    )
    assert attack(code).stdout == b"1 [None]\n[]\n[]\n"


def test_timing_of_neighbours_is_not_in_proc(attack: Attack) -> None:
    """What cannot be kept from being there is empty."""
    code = "import os\nfor p in ('/proc/sched_debug', '/proc/timer_list', '/proc/latency_stats', '/proc/keys'):\n    try: print(p, len(open(p).read()))\n    except OSError: pass"
    assert all(line.endswith(b" 0") for line in attack(code).stdout.splitlines())
