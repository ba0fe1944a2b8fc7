"""Settings of a runner, by file, ``YURT_*`` or flag (``jobs.service.settings``)."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

from jobs.service.connections import Connections
from runner.languages.python import variants

MEMORY_A_SLOT = 16 << 20
MOST_SLOTS = 1024


def default_slots() -> int:
    """As many waiting programs as there is memory for; how many compute at once is decided by ``runner.load``."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(8, min(MOST_SLOTS, memory // MEMORY_A_SLOT))


def default_name() -> str:
    """The host, and under Nomad the allocation as Nomad shortens it, else the process."""
    allocation = os.environ.get("NOMAD_ALLOC_ID", "")
    return f"{socket.gethostname().split('.')[0].lower()}-{allocation[:8] or os.getpid()}"


def default_docker() -> str:
    return os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


def default_images() -> Path:
    """Where ``make images`` puts them, in a folder of sources; elsewhere the system's."""
    made = Path(__file__).resolve().parents[1] / ".images"
    return made if made.is_dir() else Path("/var/lib/yurt/images")


def default_cache() -> Path:
    """Where prepared toolchains are kept between starts; its path can be seen from a room, so it says nothing."""
    if os.geteuid() == 0:
        return Path("/var/cache/toolchains")
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "toolchains"


@dataclass(frozen=True, kw_only=True)
class RunnerSettings(Connections):
    fleet: str = "all"
    name: str = field(default_factory=default_name)
    engine: tuple[str, ...] = ()  #: docker, or java=snapshot,go=docker; goes before what the fleet's region file says
    docker_url: str = field(default_factory=default_docker)  #: the daemon's unix socket, on this machine
    docker_runtime: str = "runc"  #: what the daemon runs containers with: runc, runsc (gVisor), kata-fc (Firecracker)
    images: Path = field(default_factory=default_images)  #: of the snapshot engine: archives that make images writes
    runsc: str = "runsc"  #: of the snapshot engine: gVisor's program, by its path or as PATH has it
    slots: int = field(default_factory=default_slots)  #: the most jobs at once
    warm: int = 8  #: least warm sandboxes of the newest Python; other runtimes have a share of it
    languages: tuple[str, ...] = ()  #: offer only these; empty: all of the fleet's
    cache: Path = field(default_factory=default_cache)
    python_variants: Path = variants.FOLDER  #: virtual environments, each a variant of Python
    drain_s: float = 75.0  #: how long running jobs may take to end after SIGTERM
    burst: bool = False  #: dispatched for a peak: it ends by itself, as the next two say
    idle_exit_s: float | None = None  #: without a job for so long: leave; none: never, a burst runner after 120
    life_s: float | None = None  #: gone after so long, its drain included; none: never, a burst runner after 3600
    notice_url: str = ""  #: the machine's metadata, http://169.254.169.254 on AWS, where it hears that it is taken away
    admin_port: int = 0  #: /healthz and /metrics on loopback; 0: a free one. Under Nomad YURT_ADMIN_PORT says it
    admin_tls_cert_file: Path | None = None  #: for HTTPS there: a certificate in PEM, which may be replaced
    admin_tls_key_file: Path | None = None  #: and its private key; both or neither
    log_level: str = "INFO"
