"""The runner's side of the fork engine: a zygote process an installation, slots, and the events that come back.

Theory of operation. ``add`` starts a launcher for an installation and waits until its zygote is ready. ``pitch`` takes
a free slot (a number that gives the sandbox its uid, its control groups and its core), asks the zygote, and gets the
pipes. A slot is free again when the zygote has reaped the sandbox's processes: then nothing of it is left.

Rules
1. Slots are never shared: no two living sandboxes have a uid or a control group in common.
2. A zygote that dies takes its sandboxes with it; they fail as the platform's fault, and the zygote is started again.
3. ``close`` returns when every process that this engine started has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import marshal
import os
import socket
import subprocess
import sys
import tempfile
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from jobs.errors import SandboxFault
from jobs.limits import COMPILE_FILE_BYTES, DEFAULTS, MIB
from jobs.service.logs import event
from runner.engine import Sandbox
from runner.engines.fork import protocol, seccomp
from runner.engines.fork.cgroups import Cgroups
from runner.engines.fork.sandbox import Ends, ForkSandbox, rlimits
from runner.languages.contract import ENVIRONMENT, Boot, Installation, Room

log = logging.getLogger("fork")

START_S = 60.0  #: a variant imports its libraries in it
PITCH_S = 10.0
REMOVE_S = 5.0
LOOK_S = 0.02
BOOT_S = 0.6  #: how long a runtime that was exec'd ahead may take until it waits
CONFIG_FD = 200
LAUNCHER = str(Path(__file__).with_name("launcher.py"))
UIDS_A_RUNNER = 10_000
FIRST_UID = 1_000_000_000
OPEN_FILES = 4096
BASE_MOUNTS = ("/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64", "/usr/libexec", "/usr/include", "/usr/share")
SHARED_ETC = ("/etc/alternatives", "/etc/ssl/certs")


@dataclass
class _Zygote:
    installation: Installation
    boots: tuple[Boot, ...]
    process: subprocess.Popen[bytes]
    control: socket.socket
    ready: asyncio.Future[None]
    sandboxes: dict[int, ForkSandbox] = field(default_factory=dict)
    pitched: dict[int, asyncio.Future[Ends]] = field(default_factory=dict)
    unwanted: set[int] = field(default_factory=set)  #: pitched for somebody who had gone


class ForkEngine:
    """See ``runner.engine.Engine``. Needs root, and a Linux with namespaces, cgroups and seccomp."""

    def __init__(self, *, slots: int) -> None:
        self._cgroups = Cgroups(str(os.getpid()))
        self._zygotes: dict[str, _Zygote] = {}
        self._free: deque[int] = deque(range(slots))
        self._slots = slots
        self._cpus = sorted(os.sched_getaffinity(0))
        self._seccomp = seccomp.compiled().hex()
        self._folder = _own_folder()
        self._closing = False
        self._restarts: set[asyncio.Task[None]] = set()

    async def add(self, installation: Installation, boots: tuple[Boot, ...]) -> None:
        cold = tuple(Boot(room=room) for room in Room if not _has_cold(boots, room))
        zygote_process = self._launch(installation, boots + cold)
        self._zygotes[installation.name] = zygote_process
        try:
            async with asyncio.timeout(START_S):
                await zygote_process.ready
        except TimeoutError as error:
            raise SandboxFault(f"the zygote of {installation.name} was not ready in {START_S:.0f} s") from error

    async def pitch(self, installation: Installation, room: Room, *, cold: bool = False, tty: bool = False) -> Sandbox:
        home = self._zygotes[installation.name]
        number, boot = _boot(home.boots, room, cold or tty)
        if not self._free:
            raise SandboxFault(f"all {self._slots} slots hold sandboxes")
        slot = self._free.popleft()
        self._cgroups.open(slot)
        # A runtime that starts ahead, and a compiler, may use what the largest run may; ``run`` sets the real bounds.
        self._cgroups.bound(slot, memory_bytes=1024 * MIB, processes=512)
        future: asyncio.Future[Ends] = asyncio.get_running_loop().create_future()
        home.pitched[slot] = future
        self._ask(home, protocol.PITCH, slot, number | protocol.TERMINAL if tty else number)
        try:
            async with asyncio.timeout(PITCH_S):
                ends = await future
        except TimeoutError as error:
            raise SandboxFault(f"the zygote of {installation.name} pitched nothing in {PITCH_S:.0f} s") from error
        ready_at = asyncio.get_running_loop().time() + (BOOT_S if boot.argv and not boot.interpreter else 0.0)
        sandbox = ForkSandbox(
            slot=slot,
            ends=ends,
            cgroups=self._cgroups,
            ask=lambda what, slot, value: self._ask(home, what, slot, value),
            ready_at=ready_at,
        )
        home.sandboxes[slot] = sandbox
        return sandbox

    def abreast(self, installation: Installation) -> int:
        """A zygote makes one after the other."""
        return 1

    async def remove(self, installation: Installation) -> None:
        home = self._zygotes.pop(installation.name, None)
        if home is None:
            return
        for _ in range(int(REMOVE_S / LOOK_S)):
            if not (home.sandboxes or home.pitched or home.unwanted):
                break
            await asyncio.sleep(LOOK_S)  # until nothing is left of those that were struck
        for source in (home.control, home.process.stderr):
            asyncio.get_running_loop().remove_reader(source)  # type: ignore[arg-type]  # stderr is a pipe
        home.control.close()
        await asyncio.to_thread(_join, home)
        self._free.extend({*home.sandboxes, *home.pitched, *home.unwanted})

    async def close(self) -> None:
        self._closing = True
        for task in self._restarts:
            task.cancel()
        for home in self._zygotes.values():
            asyncio.get_running_loop().remove_reader(home.control)
            home.control.close()  # end of file: the zygote ends, and its sandboxes with it
        for home in self._zygotes.values():
            await asyncio.to_thread(_join, home)
        self._cgroups.close()
        self._folder.rmdir()

    # -- zygotes ------------------------------------------------------------------------------------------------

    def _launch(self, installation: Installation, boots: tuple[Boot, ...]) -> _Zygote:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        config = os.memfd_create("config", 0)
        os.write(config, marshal.dumps(self._config(installation, boots), 2))
        os.lseek(config, 0, os.SEEK_SET)

        def place() -> None:
            os.dup2(theirs.fileno(), protocol.CONTROL_FD)

        process = subprocess.Popen(
            [sys.executable, "-I", LAUNCHER, str(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={},
            pass_fds=(protocol.CONTROL_FD, config),
            preexec_fn=place,  # a dup2, in a process of one thread
            start_new_session=True,
        )
        theirs.close()
        os.close(config)
        home = _Zygote(installation, boots, process, ours, asyncio.get_running_loop().create_future())
        loop = asyncio.get_running_loop()
        loop.add_reader(ours, self._on_event, home)
        assert process.stderr is not None
        os.set_blocking(process.stderr.fileno(), False)
        loop.add_reader(process.stderr, self._on_words, home)
        return home

    def _config(self, installation: Installation, boots: tuple[Boot, ...]) -> dict[str, object]:
        env = {**ENVIRONMENT, "PATH": installation.path}
        boot = next((boot for boot in boots if boot.interpreter), None)
        interpreter = boot.argv[0] if boot is not None and boot.argv else ""
        base = [
            (path, path) for path in (*BASE_MOUNTS, *SHARED_ETC) if Path(path).exists() and not Path(path).is_symlink()
        ]
        return {
            "root": str(self._folder),
            "config_fd": CONFIG_FD,
            "mounts": base + [(mount.source, mount.target) for mount in installation.mounts],
            "cgroups": [str(parent) for parent in self._cgroups.parents],
            "seccomp": self._seccomp,
            "uid_base": FIRST_UID + os.getpid() % 100_000 * UIDS_A_RUNNER,
            "interpreter": interpreter,
            "rehearsal": boot.rehearsal if boot is not None else "",
            "shown": Path(interpreter).name,
            "env": env,
            "boots": [_plain(boot, env) for boot in boots],
        }

    def _ask(self, home: _Zygote, what: bytes, slot: int, value: int) -> None:
        cpu = self._cpus[slot % len(self._cpus)]
        with contextlib.suppress(OSError):  # a zygote that is gone is noticed by its end of file
            home.control.send(protocol.REQUEST.pack(what, slot, value, cpu))

    def _on_event(self, home: _Zygote) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(home.control, protocol.EVENT.size, 3)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        if not data:
            self._on_end(home)
            return
        what, slot, status = protocol.EVENT.unpack(data)
        if what == protocol.READY:
            home.ready.set_result(None)
        elif what == protocol.PITCHED:
            self._on_pitched(home, slot, descriptors)
        elif what == protocol.FILES:
            home.sandboxes[slot].on_files(descriptors[0])
        else:
            self._on_exited(home, slot, status, failed=what == protocol.FAILED)

    def _on_exited(self, home: _Zygote, slot: int, status: int, *, failed: bool) -> None:
        """Nothing is left of the sandbox; what its groups counted is read before somebody else has the slot."""
        sandbox = home.sandboxes.pop(slot, None)
        if sandbox is not None and failed:
            sandbox.on_failed(f"the sandbox ended before its program began (wait status {status})")
        elif sandbox is not None:
            sandbox.on_exited(status)
        elif slot in home.pitched and not home.pitched[slot].done():
            home.pitched.pop(slot).set_exception(SandboxFault("the sandbox could not be made"))
        home.unwanted.discard(slot)
        self._free.appendleft(slot)

    def _on_pitched(self, home: _Zygote, slot: int, descriptors: list[int]) -> None:
        future = home.pitched.pop(slot)
        ends = Ends(*descriptors)
        if future.done():  # whoever asked has gone
            ends.close_all()
            home.unwanted.add(slot)
            self._ask(home, protocol.KILL, slot, 0)
        else:
            future.set_result(ends)

    def _on_words(self, home: _Zygote) -> None:
        """What a zygote or a sandbox in the making says on stderr is about us, never about a program."""
        assert home.process.stderr is not None
        words = b""
        with contextlib.suppress(OSError):
            words = os.read(home.process.stderr.fileno(), 4096)
        if not words:
            asyncio.get_running_loop().remove_reader(home.process.stderr)
            return
        text = words.decode(errors="replace").strip()
        event(log, "zygote_said", level=logging.WARNING, installation=home.installation.name, words=text)

    def _on_end(self, home: _Zygote) -> None:
        asyncio.get_running_loop().remove_reader(home.control)
        if not home.ready.done():
            home.ready.set_exception(SandboxFault(f"the zygote of {home.installation.name} ended while it started"))
        for future in home.pitched.values():
            if not future.done():
                future.set_exception(SandboxFault("the zygote ended"))
        for slot, sandbox in home.sandboxes.items():
            sandbox.on_failed("the zygote ended")
            self._free.appendleft(slot)
        home.sandboxes.clear()
        if not self._closing and self._zygotes.get(home.installation.name) is home and home.ready.exception() is None:
            event(log, "zygote_lost", level=logging.WARNING, installation=home.installation.name)
            task = asyncio.create_task(self._restart(home))
            self._restarts.add(task)
            task.add_done_callback(self._restarts.discard)

    async def _restart(self, home: _Zygote) -> None:
        await asyncio.to_thread(home.process.wait)
        with contextlib.suppress(SandboxFault):
            fresh = self._launch(home.installation, home.boots)
            self._zygotes[home.installation.name] = fresh
            await fresh.ready


def _join(home: _Zygote) -> None:
    try:
        home.process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        home.process.kill()
        home.process.wait()
    for pipe in (home.process.stdin, home.process.stdout, home.process.stderr):
        if pipe is not None:
            pipe.close()


def _own_folder() -> Path:
    """An empty folder for launchers to mount roots on, each in its own namespace; those of dead runners are removed."""
    base = Path(tempfile.gettempdir())
    for other in base.glob("rooms-[0-9]*"):
        if not Path(f"/proc/{other.name.removeprefix('rooms-')}").exists():
            with contextlib.suppress(OSError):
                other.rmdir()
    folder = base / f"rooms-{os.getpid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _has_cold(boots: tuple[Boot, ...], room: Room) -> bool:
    return any(boot.room == room and (boot.argv is None or boot.interpreter) for boot in boots)


def _boot(boots: tuple[Boot, ...], room: Room, cold: bool) -> tuple[int, Boot]:
    """The first boot of this room; for a cold one, the first with nothing exec'd ahead."""
    fitting = [(number, boot) for number, boot in enumerate(boots) if boot.room == room]
    if cold:
        return next((number, boot) for number, boot in fitting if boot.argv is None or boot.interpreter)
    return fitting[0]


def _plain(boot: Boot, env: dict[str, str]) -> dict[str, object]:
    ahead = boot.argv is not None and not boot.interpreter
    file_bytes = COMPILE_FILE_BYTES if boot.room == Room.BUILD else DEFAULTS.file_bytes
    limits = {"RLIMIT_CORE": 0, "RLIMIT_NOFILE": OPEN_FILES}
    if ahead:
        limits |= rlimits(file_bytes, boot.memory_mb * MIB)
    return {
        "argv": list(boot.argv or ()) if ahead else [],
        "env": {**env, **boot.env},
        "interpreter": boot.interpreter,
        "disk_bytes": 1024 * MIB,
        "limits": limits,
    }
