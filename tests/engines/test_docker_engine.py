"""What is the docker engine's own: what its containers are given, that none is left, and what a killed one means."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bench.daemon import Daemon
from jobs.errors import ConfigFault, SandboxFault
from jobs.languages import Language
from jobs.limits import MIB
from runner.engines.docker.engine import OWNER, DockerEngine, started
from runner.engines.docker.kernels import ITS_OWN
from runner.engines.fork.sandbox import INSIST_S
from runner.languages.contract import Installation, Room
from runner.languages.python import Python
from tests.engines.daemon import others, ours
from tests.engines.orders import nothing, order
from yurt import SyncClient

GONE_S = 30.0


@pytest.fixture
async def engine(daemon: Daemon, tmp_path: Path) -> AsyncIterator[DockerEngine]:
    one = await started(url=daemon.url, runtime="runc", cache=tmp_path)
    yield one
    await one.close()


@pytest.fixture
async def python(engine: DockerEngine) -> Installation:
    """Python, as the image holds it, added to the engine."""
    support = engine.support(Python())
    installation = next(one for one in support.discover() if not one.variant)
    await engine.add(installation, tuple(support.boots(installation)))
    return installation


async def test_a_container_is_given_no_network_no_rights_and_bounds(
    daemon: Daemon, engine: DockerEngine, python: Installation
) -> None:
    """Asked of the daemon, while it waits for its order."""
    before = set(ours(daemon))
    sandbox = await engine.pitch(python, Room.RUN)
    (container,) = set(ours(daemon)) - before
    (seen,) = json.loads(daemon.docker("inspect", container))
    host = seen["HostConfig"]
    assert host["NetworkMode"] == "none"
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["Privileged"]
    assert "no-new-privileges" in host["SecurityOpt"]
    assert host["Memory"] == host["MemorySwap"] > 0
    assert host["PidsLimit"] > 0
    assert "," not in host["CpusetCpus"]
    assert seen["Config"]["User"] == "1000:1000"
    assert seen["Config"]["Hostname"] == "yurt"
    sandbox.strike()


WALLS = """
import ctypes, os, socket
c = ctypes.CDLL(None, use_errno=True)
print([name for name in os.listdir("/sys") if os.path.isdir("/sys/" + name) and os.listdir("/sys/" + name)])
print(os.listdir("/sys/devices"), open("/proc/timer_list", "rb").read(1))
for path in ("/etc/passwd", "/usr/bin/python3", "/proc/sys/kernel/hostname", "/box/x", "/sys/fs/cgroup/x"):
    try: open(path, "a")
    except OSError as e: print(type(e).__name__, end=" ")
calls = [lambda: c.mount(b"x", b"/tmp", b"tmpfs", 0, None), lambda: c.unshare(0x10000000), lambda: c.setuid(0)]
calls += [lambda: c.ptrace(16, 1, 0, 0), lambda: c.syscall(321, 0, 0, 0)]
for call in calls:
    print(call(), end=" ")
try: print(open("/proc/1/mem", "rb"))
except OSError as e: print(type(e).__name__)
s = socket.socket()
s.settimeout(2)
try: s.connect(("1.1.1.1", 53))
except OSError as e: print(type(e).__name__, socket.if_nameindex())
"""


async def test_a_program_finds_its_walls(engine: DockerEngine, python: Installation) -> None:
    """What it would read, write, call and reach of the machine, it cannot."""
    sandbox = await engine.pitch(python, Room.RUN)
    outcome = await sandbox.run(order(WALLS), nothing)
    assert outcome.stderr == b""
    sys_folders, devices, refused, reached = outcome.stdout.decode().splitlines()
    assert sys_folders == "['devices']"
    assert "system" in devices and devices.endswith("] b''")
    assert len(refused.split()) == 11  # five paths, five calls and a memory
    assert refused.endswith("-1 -1 -1 -1 -1 PermissionError")
    assert reached == "OSError [(1, 'lo')]"


async def test_a_container_is_removed_when_its_run_has_ended(
    daemon: Daemon, engine: DockerEngine, python: Installation
) -> None:
    """And one that was never used when it is struck."""
    before = set(ours(daemon))
    sandbox = await engine.pitch(python, Room.RUN)
    unused = await engine.pitch(python, Room.RUN)
    assert set(ours(daemon)) - before
    outcome = await sandbox.run(order("print('hello')"), nothing)
    assert (outcome.exit_code, outcome.stdout) == (0, b"hello\n")
    unused.strike()
    async with asyncio.timeout(GONE_S):
        while set(await asyncio.to_thread(ours, daemon)) - before:  # each look takes its time
            pass


async def test_input_has_an_end_that_a_program_can_read_to(engine: DockerEngine, python: Installation) -> None:
    """Also input that is larger than any pipe, and input that comes while the program runs."""
    sandbox = await engine.pitch(python, Room.RUN)
    program = "import sys\nprint(len(sys.stdin.buffer.read()))"
    outcome = await sandbox.run(order(program, stdin=b"x" * (3 * MIB)), nothing)
    assert outcome.stdout == f"{3 * MIB}\n".encode()

    sandbox = await engine.pitch(python, Room.RUN)
    heard = asyncio.Event()
    program = "print(input(), flush=True)\nimport sys\nprint(sys.stdin.read(), 'end')"
    running = asyncio.create_task(sandbox.run(order(program, stdin=None), lambda *_: heard.set()))
    await asyncio.sleep(0)  # it has sent its order
    sandbox.feed(b"one\n")
    await asyncio.wait_for(heard.wait(), 10)
    sandbox.feed(b"two")
    sandbox.feed(None)
    outcome = await running
    assert outcome.stdout == b"one\ntwo end\n"


async def test_a_program_that_writes_our_words_deceives_only_about_itself(
    engine: DockerEngine, python: Installation
) -> None:
    """The mark is drawn by lot for each container; the one before it is only output."""
    told: list[bytes] = []
    sandbox = await engine.pitch(python, Room.RUN)
    mark: bytes = sandbox._mark  # type: ignore[attr-defined]
    other = await engine.pitch(python, Room.RUN)
    program = f"import sys\nsys.stdout.buffer.write({mark + b'x0000'!r} + b'after')"
    outcome = await other.run(order(program), lambda _, data: told.append(data))
    assert outcome.exit_code == 0
    assert b"".join(told) == outcome.stdout == mark + b"x0000after"
    sandbox.strike()


async def test_a_container_that_somebody_kills_is_our_fault_and_not_the_programs(
    daemon: Daemon, engine: DockerEngine, python: Installation
) -> None:
    before = set(ours(daemon))
    sandbox = await engine.pitch(python, Room.RUN)
    (container,) = set(ours(daemon)) - before
    heard = asyncio.Event()
    program = "print('here', flush=True)\nimport time\ntime.sleep(60)"
    running = asyncio.create_task(sandbox.run(order(program), lambda *_: heard.set()))
    await asyncio.wait_for(heard.wait(), 10)
    daemon.docker("kill", container)
    with pytest.raises(SandboxFault, match="without a word"):
        await asyncio.wait_for(running, 30)


async def test_containers_of_a_runner_that_is_gone_are_removed_at_the_next_start(
    daemon: Daemon, engine: DockerEngine, python: Installation, tmp_path: Path
) -> None:
    """Those of one that lives, and those of another host, are left alone."""
    here = socket.gethostname()
    dead = daemon.docker("create", "--label", f"{OWNER}={here} 4194305 1", "yurt/python", "true")
    reused = daemon.docker("create", "--label", f"{OWNER}={here} {os.getpid()} 1", "yurt/python", "true")
    elsewhere = daemon.docker("create", "--label", f"{OWNER}=elsewhere 1 1", "yurt/python", "true")
    living = await engine.pitch(python, Room.RUN)
    try:
        other = await started(url=daemon.url, runtime="runc", cache=tmp_path)
        await other.close()
        left = daemon.docker("ps", "--all", "--quiet", "--no-trunc").split()
        assert dead not in left
        assert reused not in left
        assert elsewhere in left
        assert (await living.run(order("print(1)"), nothing)).stdout == b"1\n"
    finally:
        daemon.docker("rm", "--force", elsewhere)


async def test_what_cannot_serve_says_so(daemon: Daemon, tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match=r"no Docker daemon answers .*start dockerd"):
        await started(url=f"unix://{tmp_path}/nobody.sock", runtime="runc", cache=tmp_path)
    with pytest.raises(ConfigFault, match=r"no runtime 'kata-fc'; it has .*runc"):
        await started(url=daemon.url, runtime="kata-fc", cache=tmp_path)
    with pytest.raises(ConfigFault, match="is no unix socket"):
        await started(url="tcp://127.0.0.1:2375", runtime="runc", cache=tmp_path)


def test_a_whole_network_runs_programs_in_containers(daemon: Daemon, tmp_path: Path) -> None:
    """``yurt up --engine docker``: offered is what images hold; when it ends, no container is left."""
    words = [sys.executable, "-m", "yurt", "up", "--engine", "docker", "--data", str(tmp_path / "data"), "--quiet"]
    env = {**os.environ, "DOCKER_HOST": daemon.url, "YURT_WARM": "2", "YURT_LANGUAGES": "python"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=env, text=True) as network:
        assert network.stdout is not None
        url = network.stdout.readline().split()[1]
        try:
            with SyncClient(url, patience_s=60) as client:
                result = client.execute("python", "print(sum(map(int, input().split())))", stdin="20 22")
                assert (result["verdict"], result["stdout"]) == ("ok", "42\n")
                offered = client.languages()
                assert [entry["language"] for entry in offered] == [Language.PYTHON.value]
        finally:
            network.terminate()
            assert network.wait(120) == 0
    assert others(daemon) == []


AT_PROCESS_1 = """
import ctypes, fcntl, os, resource, signal, socket, time
def refused(call, *args):
    try: call(*args)
    except OSError as error: return error.errno == 1
for number in (signal.SIGALRM, signal.SIGPWR, signal.SIGTERM, signal.SIGSTOP):
    print(refused(os.kill, 1, number), end=" ")
libc = ctypes.CDLL(None, use_errno=True)
for number, *rest in ((200, 14), (234, 1, 14), (129, 14, 0)):  # tkill, tgkill, rt_sigqueueinfo
    print(libc.syscall(number, 1, *rest), ctypes.get_errno(), end=" ")
print(refused(os.pidfd_open, 1), refused(resource.prlimit, 1, resource.RLIMIT_CPU, (0, 0)), end=" ")
print(refused(os.setpriority, os.PRIO_PROCESS, 1, 19), refused(os.sched_setscheduler, 1, 3, os.sched_param(0)))
ours, theirs = socket.socketpair()
fcntl.fcntl(ours, fcntl.F_SETOWN, 1)
fcntl.fcntl(ours, fcntl.F_SETSIG, signal.SIGALRM)
fcntl.fcntl(ours, fcntl.F_SETFL, os.O_ASYNC)
theirs.send(b"a signal by another way")
time.sleep(.2)
print("still here", flush=True)
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of calls are those of x86-64")
async def test_a_program_can_do_nothing_to_process_1(engine: DockerEngine, python: Installation) -> None:
    """It has the same user; but its end, its limits, its rank and its clock are not the program's to change."""
    sandbox = await engine.pitch(python, Room.RUN)
    outcome = await sandbox.run(order(AT_PROCESS_1), nothing)
    assert outcome.stdout.decode().splitlines() == [
        "True True True True -1 1 -1 1 -1 1 True True True True",
        "still here",
    ], outcome.stderr
    assert (outcome.exit_code, outcome.ran_out_of_wall) == (0, False)


async def test_time_that_is_over_is_told_by_process_1(engine: DockerEngine, python: Installation) -> None:
    """Before our own second look: the daemon is not asked to do anything."""
    sandbox = await engine.pitch(python, Room.RUN)
    outcome = await sandbox.run(order("while True: pass", wall_s=0.5), nothing)
    assert (outcome.signal, outcome.ran_out_of_wall) == (9, True)
    assert 500 <= outcome.wall_ms < 500 + 1000 * INSIST_S


async def test_a_container_with_a_kernel_of_its_own_is_bounded_by_the_daemon(
    engine: DockerEngine, python: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Played with runc: nothing is signalled or bounded by us, and verdicts are the same."""
    monkeypatch.setattr(engine, "_kernel", ITS_OWN)
    sandbox = await engine.pitch(python, Room.RUN)
    outcome = await sandbox.run(order("print('hello')"), nothing)
    assert (outcome.exit_code, outcome.stdout) == (0, b"hello\n")
    sandbox = await engine.pitch(python, Room.RUN)
    outcome = await sandbox.run(order("x = [b'x' * (1 << 20) for _ in range(400)]"), nothing)
    assert outcome.exit_code != 0 and outcome.memory_kills
    sandbox = await engine.pitch(python, Room.RUN)
    outcome = await sandbox.run(order("import time; time.sleep(60)", wall_s=0.3), nothing)
    assert outcome.ran_out_of_wall
    sandbox = await engine.pitch(python, Room.RUN)
    heard = asyncio.Event()
    program = "print('here', flush=True)\nimport time\ntime.sleep(60)"
    running = asyncio.create_task(sandbox.run(order(program), lambda *_: heard.set()))
    await asyncio.wait_for(heard.wait(), 10)
    sandbox.stop()
    assert (await asyncio.wait_for(running, 30)).cancelled
