"""What every process of ours connects to, and how: NATS always, Consul where there is one. The settings they share.

A role's name is the first part of its inbox (``_INBOX.<role>.…``), so that a server's permissions can keep the replies
of one role from the others.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.service.access import Access
from jobs.service.bus import Bus

if TYPE_CHECKING:
    from jobs.service.consul_door import ConsulDoor


@dataclass(frozen=True, kw_only=True)
class Connections:
    """The part of a process's settings that says where it belongs and whom it talks to."""

    nats_urls: tuple[str, ...] = ("nats://127.0.0.1:4222",)
    nats_seed_file: Path | None = None  #: the role's NKey seed (``yurt bootstrap`` makes it); none: an open server
    nats_ca_file: Path | None = None  #: the authority of NATS; none: no TLS
    region: str = "local"  #: the embedded region's name, where there is no region file
    region_file: Path | None = None  #: its queues, fleets and neighbours; without it, the embedded ones
    consul_address: str = ""  #: http(s)://HOST:PORT of the local agent; empty: no Consul
    #: better by YURT_CONSUL_TOKEN than as a flag; Nomad gives its tasks one of their own
    consul_token: str = field(default_factory=lambda: os.environ.get("CONSUL_HTTP_TOKEN", ""), repr=False)
    consul_ca_file: Path | None = None
    #: false where Nomad's service blocks register this process: so in an allocation, unless it is told otherwise
    consul_register: bool = field(default_factory=lambda: "NOMAD_ALLOC_ID" not in os.environ)
    consul_advertise: str = ""  #: the address to register; empty: where it listens, or the agent's own

    def access(self) -> Access:
        return Access(seed_file=self.nats_seed_file, ca_file=self.nats_ca_file)

    def consul(self) -> ConsulDoor | None:
        """The door to the local agent, where there is one; raises ``ConfigFault``. Nothing is sent yet."""
        if not self.consul_address:
            return None
        from jobs.service.consul_door import ConsulDoor  # 6 MB and 80 ms that a process without Consul is spared

        return ConsulDoor(self.consul_address, token=self.consul_token, ca_file=self.consul_ca_file)


async def connect(settings: Connections, *, role: str, name: str, wait_s: float = 30.0, **options: Any) -> Bus:
    """The process's connection to its region's NATS; raises ``Unavailable`` after *wait_s*, ``ConfigFault``."""
    return await Bus.connect(
        settings.nats_urls, role=role, name=name, wait_s=wait_s, **settings.access().options(), **options
    )
