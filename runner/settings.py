"""Settings of a runner, by file, ``YURT_*`` or flag (``jobs.service.settings``)."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

SLOTS_A_CORE = 8


def default_slots() -> int:
    """Programs wait more than they compute; a core's worth each is what keeps a time limit honest under load."""
    return SLOTS_A_CORE * len(os.sched_getaffinity(0))


def default_name() -> str:
    return f"{socket.gethostname().split('.')[0].lower()}-{os.getpid()}"


def default_cache() -> Path:
    """Where prepared toolchains are kept between starts; its path can be seen from a room, so it says nothing."""
    if os.geteuid() == 0:
        return Path("/var/cache/toolchains")
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "toolchains"


@dataclass(frozen=True, kw_only=True)
class RunnerSettings:
    nats_urls: tuple[str, ...] = ("nats://127.0.0.1:4222",)
    region: str = "local"
    region_file: Path | None = None  #: its queues and fleets; without it, the embedded ones
    fleet: str = "all"
    name: str = field(default_factory=default_name)
    engine: str = "fork"
    slots: int = field(default_factory=default_slots)  #: jobs at once
    warm: int = 8  #: least warm sandboxes of the newest Python; other runtimes have a share of it
    languages: tuple[str, ...] = ()  #: offer only these; empty: all of the fleet's
    cache: Path = field(default_factory=default_cache)
    drain_s: float = 75.0  #: how long running jobs may take to end after SIGTERM
    admin_port: int = 0  #: /healthz and /metrics on loopback; 0: a free one
    log_level: str = "INFO"
