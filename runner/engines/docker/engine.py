"""The docker engine: containers started ahead from the images of the languages, each for one run.

Theory of operation. ``started`` asks the daemon what it can do, removes what runners that are gone have left, and looks
which images are there. ``pitch`` creates a container, attaches, starts it, sends process 1 its configuration, and waits
until it says that the program waits for its order. Removing goes on in the background: a result does not wait for it.

What a container is given: no network but its own loopback, a read-only root, tmpfs for what is written (memory counts
it), no capability, no new privileges, the daemon's seccomp profile around process 1 and ours (``fork.seccomp``) around
the program, bounds of memory, processes and files, and one core. Whose kernel it has, and what that means here, is said
by its runtime (``kernels``).

What a container costs is mostly the daemon's: processes that it starts to make one and to remove one. So its network is
*disabled*, not *none*: the namespace is as empty, and the daemon starts no process to furnish it, which is half of it
all. Its process is killed by us, for the daemon would start another to do so. And several are made at once, as many as
keep the cores busy.

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
from collections.abc import Coroutine, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from jobs.errors import ConfigFault, SandboxFault
from jobs.languages import Language
from jobs.limits import MIB
from jobs.service.logs import event
from runner.engine import Sandbox
from runner.engines.docker import beginning, installed
from runner.engines.docker.door import Container, Daemon
from runner.engines.docker.inside import files
from runner.engines.docker.kernels import GVISORS, MACHINES, MOST_THREADS, Kernel, kernel_of
from runner.engines.docker.sandbox import DockerSandbox
from runner.engines.fork import protocol, seccomp
from runner.engines.fork.cgroups import Group, group_of
from runner.languages.contract import ENVIRONMENT, Boot, Installation, Room, Support

log = logging.getLogger("docker")

OWNER = "yurt.owner"
PYTHON = "/usr/bin/python3.11"  #: of images whose language is another
HOSTS, ONLINE = "etc/hosts", "sys/devices/system/cpu/online"
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
CLOSE_S = 60.0
MOST_DELETES = 8  #: at once
STARTS_A_CORE = 2  #: at once: the daemon waits for the kernel and for processes of its own while it makes one


class DockerEngine:
    """See ``runner.engine.Engine``. Made by ``started``."""

    def __init__(
        self,
        daemon: Daemon,
        runtime: str,
        kernel: Kernel,
        found: Mapping[Language, Sequence[Installation]],
        folder: Path,
    ) -> None:
        self._daemon, self._runtime, self._kernel, self._found = daemon, runtime, kernel, found
        self._binds = _binds(folder, kernel)
        self._folder = folder
        self._boots: dict[str, tuple[Boot, ...]] = {}
        self._cpus = sorted(os.sched_getaffinity(0))
        self._turn = count()
        self._seccomp = seccomp.compiled(spared=beginning.PROCESS_1).hex()
        self._living: set[DockerSandbox[Container]] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._deleting = asyncio.Semaphore(MOST_DELETES)
        self._most_starts = STARTS_A_CORE * len(self._cpus)
        self._starting = asyncio.Semaphore(self._most_starts)
        self._owner = owner()

    def support(self, language: Support) -> Support:
        """That language, as the images hold it."""
        return installed.FromImages(language, self._found.get(language.language, ()))

    async def add(self, installation: Installation, boots: tuple[Boot, ...]) -> None:
        self._boots[installation.name] = beginning.with_cold(boots)

    async def pitch(self, installation: Installation, room: Room, *, cold: bool = False, tty: bool = False) -> Sandbox:
        boot = beginning.chosen(self._boots[installation.name], room, cold=cold or tty)
        mark = secrets.token_bytes(16)
        async with self._starting:
            container = await self._daemon.start(self._config(installation, boot))
        try:
            told = beginning.told(installation, boot, mark, seccomp=self._seccomp, tty=tty)
            container.streams.write(protocol.pack_order(told))
            await beginning.ready(container.streams, mark)
            group = _group(container)
            if boot.rehearsal:  # libraries that were loaded ahead are no program's memory
                group.ground_bytes = group.held_bytes()
        except BaseException:
            self._later(self._delete(container))
            raise
        loop = asyncio.get_running_loop()
        sandbox = DockerSandbox(
            container=container,
            group=group,
            kernel=self._kernel,
            mark=mark,
            ready_at=loop.time() + (beginning.BOOT_S if beginning.is_ahead(boot) else 0.0),
            tty=tty,
            remove=self._remove,
            in_background=self._later,
            bound_by=None if self._kernel.bounds_memory else container.bound,
        )
        self._living.add(sandbox)
        return sandbox

    def abreast(self, installation: Installation) -> int:
        return self._most_starts

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

    def _remove(self, sandbox: DockerSandbox[Container]) -> None:
        if sandbox in self._living:
            self._living.discard(sandbox)
            sandbox.group.close()
            self._later(self._delete(sandbox.container))

    async def _delete(self, container: Container) -> None:
        async with self._deleting:
            await container.delete(ours=self._kernel.ends_with_process)

    def _later(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _config(self, installation: Installation, boot: Boot) -> dict[str, Any]:
        own = "rw,exec,nosuid,nodev,size=1g,nr_inodes=65536"
        interpreter = boot.argv[0] if boot.argv and boot.interpreter else PYTHON
        script = "goes_on.py" if boot.interpreter else "zygote.py"
        env = {**ENVIRONMENT, "PATH": installation.path, "ZYGOTE_CONFIG": "0", "LD_BIND_NOW": "1"}
        env |= {"ZYGOTE_REHEARSAL": boot.rehearsal} if boot.rehearsal else {}
        today = [f"{file}:{target}:ro" for target, file in beginning.today(self._folder, installation).items()]
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
            "NetworkDisabled": True,  # a namespace that holds nothing but loopback
            "HostConfig": {
                "Runtime": self._runtime,
                "NetworkMode": "none",
                "Sysctls": dict(SYSCTLS) if self._kernel is MACHINES else {},
                "IpcMode": "private",
                "ReadonlyRootfs": True,
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges"],
                "Memory": MEMORY_BYTES,
                "MemorySwap": MEMORY_BYTES,
                "PidsLimit": MOST_THREADS if self._kernel is GVISORS else PROCESSES,
                "Binds": self._binds + today,
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
        return DockerEngine(daemon, runtime, kernel_of(runtime, runtimes[runtime]), ready, cache)
    except BaseException:
        await daemon.close()
        raise


def _binds(folder: Path, kernel: Kernel) -> list[str]:
    """Files of the room that are not the image's: the daemon lays an empty one over its hosts, and the machine's kernel
    says how many cores there are to what does not ask for the affinity (glibc); others show those that they were given.
    """
    wanted = {HOSTS: "127.0.0.1 localhost yurt\n::1 localhost\n"} | ({ONLINE: "0\n"} if kernel is MACHINES else {})
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in wanted.items():
        file = folder / Path(name).name
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
    return [f"{folder / Path(name).name}:/{name}:ro" for name in wanted]


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


def _group(container: Container) -> Group:
    try:
        return group_of(container.pid)
    except (OSError, KeyError) as error:
        raise SandboxFault(
            f"the control group of a container cannot be reached ({error}); the daemon must be on this machine"
        ) from error
