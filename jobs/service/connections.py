"""What every process of ours connects to, and how: NATS always, Consul where there is one. The settings they share.

A role's name is the first part of its inbox (``_INBOX.<role>.…``), so that a server's permissions can keep the replies
of one role from the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.service.access import Access
from jobs.service.bus import Bus


@dataclass(frozen=True, kw_only=True)
class Connections:
    """The part of a process's settings that says where it belongs and whom it talks to."""

    nats_urls: tuple[str, ...] = ("nats://127.0.0.1:4222",)
    nats_seed_file: Path | None = None  #: the role's NKey seed (``yurt bootstrap`` makes it); none: an open server
    nats_ca_file: Path | None = None  #: the authority of NATS; none: no TLS
    region: str = "local"  #: the embedded region's name, where there is no region file
    region_file: Path | None = None  #: its queues, fleets and neighbours; without it, the embedded ones
    consul_address: str = ""  #: http(s)://HOST:PORT of the local agent; empty: no Consul
    consul_token: str = field(default="", repr=False)  #: better by YURT_CONSUL_TOKEN than as a flag
    consul_ca_file: Path | None = None
    consul_register: bool = True  #: false where Nomad's service blocks register this process

    def access(self) -> Access:
        return Access(seed_file=self.nats_seed_file, ca_file=self.nats_ca_file)


async def connect(settings: Connections, *, role: str, name: str, wait_s: float = 30.0, **options: Any) -> Bus:
    """The process's connection to its region's NATS; raises ``Unavailable`` after *wait_s*, ``ConfigFault``."""
    return await Bus.connect(
        settings.nats_urls, role=role, name=name, wait_s=wait_s, **settings.access().options(), **options
    )
