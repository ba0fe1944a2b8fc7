"""The docker engine: containers started ahead from the images of the languages, each for one run.

Theory of operation. ``started`` asks the daemon what it can do, removes what runners that are gone have left, and looks
which images are there. ``pitch`` creates a container, attaches, starts it, sends process 1 its configuration, and waits
until it says that the program waits for its order. Removing goes on in the background: a result does not wait for it.

What a container is given: no network but its own loopback, a read-only root, tmpfs for what is written (memory counts
it), no capability, no new privileges, the daemon's seccomp profile around process 1 and ours (``fork.seccomp``) around
the program, bounds of memory, processes and files, and one core.

Rules
1. Every container bears ``OWNER``: host, process and start time of its runner. Those whose runner is gone are removed.
2. No call waits without a deadline (``door``); what is in the background is awaited by ``close``, with one too.
3. The control group is read by this process: the daemon must be on this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Coroutine, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from jobs.errors import ConfigFault, SandboxFault
from jobs.languages import Language
from jobs.limits import COMPILE_FILE_BYTES, DEFAULTS, MIB
from jobs.service.logs import event
from runner.engine import Sandbox
from runner.engines.docker import installed, labels
from runner.engines.docker.door import Container, Daemon
from runner.engines.docker.inside import files
from runner.engines.docker.sandbox import READY, DockerSandbox
from runner.engines.fork import protocol, seccomp
from runner.engines.fork.cgroups import Group, group_of
from runner.engines.fork.sandbox import rlimits
from runner.languages.contract import ENVIRONMENT, Boot, Installation, Room, Support

log = logging.getLogger("docker")

OWNER = "yurt.owner"
PYTHON = "/usr/bin/python3.11"  #: of images whose language is another
GVISOR = "runsc"  #: it shows a machine of its own, with the cores that it was given
ONLINE = "/sys/devices/system/cpu/online"
SYSCTLS = {"net.ipv6.conf.all.disable_ipv6": "0", "net.ipv6.conf.lo.disable_ipv6": "0"}  #: loopback has both
#: what the daemon hides by itself, and the machine's devices, drivers and control groups
MASKED = (
    *("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats"),
    *(
        "/proc/sched_debug",
        "/proc/scsi",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/sys/block",
        "/sys/bus",
        "/sys/class",
    ),
    *("/sys/dev", "/sys/firmware", "/sys/fs", "/sys/hypervisor", "/sys/kernel", "/sys/module", "/sys/power"),
    *("/sys/devices/platform", "/sys/devices/pci0000:00", "/sys/devices/virtual"),
)
USER = "1000:1000"
MEMORY_BYTES = 1024 * MIB  #: until the order says how much
PROCESSES = 512
OPEN_FILES = 4096
STACK_ROOM = 512 * MIB
READY_S = 15.0
CLOSE_S = 60.0
FRESH_S = 3600.0
BOOT_S = 0.8  #: how long a runtime that was exec'd ahead may take until it waits
MOST_DELETES = 8  #: at once: the daemon does one after the other anyway


class DockerEngine:
    """See ``runner.engine.Engine``. Made by ``started``."""

    def __init__(
        self, daemon: Daemon, runtime: str, found: Mapping[Language, Sequence[Installation]], one_core: Path
    ) -> None:
        self._daemon, self._runtime, self._found = daemon, runtime, found
        self._binds = [] if runtime == GVISOR else [f"{one_core}:{ONLINE}:ro"]
        self._now = one_core.with_name("now")
        self._boots: dict[str, tuple[Boot, ...]] = {}
        self._cpus = sorted(os.sched_getaffinity(0))
        self._turn = count()
        self._seccomp = seccomp.compiled().hex()
        self._living: set[DockerSandbox] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._deleting = asyncio.Semaphore(MOST_DELETES)
        self._owner = owner()

    def support(self, language: Support) -> Support:
        """That language, as the images hold it."""
        return installed.FromImages(language, self._found.get(language.language, ()))

    async def add(self, installation: Installation, boots: tuple[Boot, ...]) -> None:
        cold = tuple(Boot(room=room) for room in Room if not _has_cold(boots, room))
        self._boots[installation.name] = boots + cold

    async def pitch(self, installation: Installation, room: Room, *, cold: bool = False, tty: bool = False) -> Sandbox:
        boot = _boot(self._boots[installation.name], room, cold or tty)
        mark = secrets.token_bytes(16)
        container = await self._daemon.start(self._config(installation, boot))
        try:
            container.streams.write(protocol.pack_order(self._told(installation, boot, mark, tty=tty)))
            group = await self._ready(container, mark)
        except BaseException:
            self._later(self._delete(container))
            raise
        loop = asyncio.get_running_loop()
        sandbox = DockerSandbox(
            container=container,
            group=group,
            mark=mark,
            ready_at=loop.time() + (BOOT_S if _is_ahead(boot) else 0.0),
            tty=tty,
            remove=self._remove,
            in_background=self._later,
        )
        self._living.add(sandbox)
        return sandbox

    async def remove(self, installation: Installation) -> None:
        self._boots.pop(installation.name, None)

    async def close(self) -> None:
        for sandbox in list(self._living):
            sandbox.strike()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                while self._background:
                    await asyncio.gather(*self._background, return_exceptions=True)
        await self._daemon.close()

    # -- inside -------------------------------------------------------------------------------------------------

    async def _ready(self, container: Container, mark: bytes) -> Group:
        """Process 1 has said that the program waits; whatever else it says is about us."""
        said = {1: b"", 2: b""}
        try:
            async with asyncio.timeout(READY_S):
                while not said[1].endswith(mark + READY):
                    got = await container.streams.read()
                    if got is None or len(said[got[0]]) > 65536:
                        words = (said[2] + said[1]).decode(errors="replace").strip()
                        raise SandboxFault(f"a container ended while it started: {words[-400:]}")
                    said[got[0]] += got[1]
        except TimeoutError as error:
            raise SandboxFault(f"a container was not ready in {READY_S:.0f} s") from error
        try:
            return group_of(container.pid)
        except (OSError, KeyError) as error:
            raise SandboxFault(
                f"the control group of a container cannot be reached ({error}); the daemon must be on this machine"
            ) from error

    def _remove(self, sandbox: DockerSandbox) -> None:
        if sandbox in self._living:
            self._living.discard(sandbox)
            sandbox.group.close()
            self._later(self._delete(sandbox.container))

    async def _delete(self, container: Container) -> None:
        async with self._deleting:
            await container.delete()

    def _later(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _told(self, installation: Installation, boot: Boot, mark: bytes, *, tty: bool) -> dict[str, Any]:
        """What process 1 must know."""
        ahead = _is_ahead(boot)
        file_bytes = COMPILE_FILE_BYTES if boot.room == Room.BUILD else DEFAULTS.file_bytes
        env = {**ENVIRONMENT, "PATH": installation.path}
        return {
            "mark": mark,
            "seccomp": self._seccomp,
            "interpreter": boot.interpreter,
            "shown": Path(boot.argv[0]).name if boot.argv and boot.interpreter else "init",
            "tty": tty,
            "env": env,
            "boot": {
                "argv": list(boot.argv or ()) if ahead else [],
                "env": {**env, **boot.env},
                "limits": rlimits(file_bytes, boot.memory_mb * MIB) if ahead else {},
            },
        }

    def _today(self, installation: Installation) -> list[str]:
        """The file that holds today's time, where this installation asks for one."""
        if labels.NOW not in installation.details:
            return []
        if not self._now.exists() or time.time() - self._now.stat().st_mtime > FRESH_S:
            self._now.write_text(f"{int(time.time())}")
        return [f"{self._now}:{installation.details[labels.NOW]}:ro"]

    def _config(self, installation: Installation, boot: Boot) -> dict[str, Any]:
        own = "rw,exec,nosuid,nodev,size=1g,nr_inodes=65536"
        interpreter = boot.argv[0] if boot.argv and boot.interpreter else PYTHON
        script = "goes_on.py" if boot.interpreter else "zygote.py"
        env = {**ENVIRONMENT, "PATH": installation.path, "ZYGOTE_CONFIG": "0", "LD_BIND_NOW": "1"}
        return {
            "Image": installation.details["image"],
            "Entrypoint": [interpreter, f"{files.FOLDER}/{script}"],
            "Cmd": [],
            "Env": [f"{name}={value}" for name, value in env.items()],
            "User": USER,
            "WorkingDir": "/workspace",
            "Hostname": "yurt",
            "Labels": {OWNER: self._owner},
            "OpenStdin": True,
            "StdinOnce": True,
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "NetworkDisabled": False,  # none, by its mode: a namespace that holds nothing but loopback
            "HostConfig": {
                "Runtime": self._runtime,
                "NetworkMode": "none",
                "ExtraHosts": ["yurt:127.0.0.1"],
                "Sysctls": {} if self._runtime == GVISOR else dict(SYSCTLS),
                "IpcMode": "private",
                "ReadonlyRootfs": True,
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges"],
                "Memory": MEMORY_BYTES,
                "MemorySwap": MEMORY_BYTES,
                "PidsLimit": PROCESSES,
                "Binds": self._binds + self._today(installation),
                "CpusetCpus": str(self._cpus[next(self._turn) % len(self._cpus)]),
                "LogConfig": {"Type": "none"},
                "ShmSize": MEMORY_BYTES,
                "MaskedPaths": list(MASKED),
                "Tmpfs": {
                    "/workspace": f"{own},mode=0755,uid=1000,gid=1000",
                    "/tmp": f"{own},mode=1777",
                    **({} if boot.interpreter else {"/box": f"{own},mode=0755,uid=1000,gid=1000"}),
                },
                "Ulimits": [
                    {"Name": "core", "Soft": 0, "Hard": 0},
                    {"Name": "nofile", "Soft": OPEN_FILES, "Hard": OPEN_FILES},
                    {"Name": "stack", "Soft": STACK_ROOM, "Hard": -1},
                ],
            },
        }


async def started(*, url: str, runtime: str, cache: Path) -> DockerEngine:
    """An engine on that daemon; ``ConfigFault`` where it cannot serve."""
    daemon = Daemon(url)
    try:
        runtimes = await daemon.runtimes()
        if runtime not in runtimes:
            raise ConfigFault(
                f"docker_runtime: the daemon has no runtime {runtime!r}; it has {', '.join(sorted(runtimes))}"
            )
        for container_id, label in (await daemon.labelled(OWNER)).items():
            if gone(label):
                await daemon.delete(container_id)
        found, faults = await installed.look(daemon)
        for fault in faults:
            event(log, "image_not_used", level=logging.WARNING, why=fault)
        if not found:
            raise ConfigFault("engine: the Docker daemon has no image of a language; build and load them: make images")
        ready = {
            language: [await installed.plans(daemon, one, cache) for one in installations]
            for language, installations in found.items()
        }
        return DockerEngine(daemon, runtime, ready, one_core(cache))
    except BaseException:
        await daemon.close()
        raise


def one_core(cache: Path) -> Path:
    """A file that says of a machine that it has one core, for what asks there and not for the affinity (glibc)."""
    cache.mkdir(parents=True, exist_ok=True)
    file = cache / "online"
    if not file.exists():
        file.write_text("0\n")
    return file


def owner() -> str:
    """This process, as no other ever is: host, process id, and when it started."""
    return f"{socket.gethostname()} {os.getpid()} {_start_time(os.getpid())}"


def gone(label: str) -> bool:
    """Whether the process that an ``OWNER`` names was of this host and is no more."""
    host, _, rest = label.partition(" ")
    pid, _, start = rest.partition(" ")
    return host == socket.gethostname() and pid.isdigit() and _start_time(int(pid)) != start


def _start_time(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _is_ahead(boot: Boot) -> bool:
    return boot.argv is not None and not boot.interpreter


def _has_cold(boots: tuple[Boot, ...], room: Room) -> bool:
    return any(boot.room == room and not _is_ahead(boot) for boot in boots)


def _boot(boots: tuple[Boot, ...], room: Room, cold: bool) -> Boot:
    """The first boot of this room; for a cold one, the first with nothing exec'd ahead."""
    fitting = [boot for boot in boots if boot.room == room]
    return next(boot for boot in fitting if not (cold and _is_ahead(boot)))
