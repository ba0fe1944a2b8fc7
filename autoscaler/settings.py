"""Settings of an autoscaler, by file, ``YURT_*`` or flag (``jobs.service.settings``)."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path

from jobs.service.connections import Connections


def default_name() -> str:
    """Unique to the process, also where a host name and a process id come again."""
    return f"{socket.gethostname().split('.')[0].lower()}-{os.getpid()}-{secrets.token_hex(3)}"


@dataclass(frozen=True, kw_only=True)
class AutoscalerSettings(Connections):
    scaling_file: Path | None = None  #: rules, schedule, bounds (``autoscaler.scaling``); without it, the defaults
    name: str = field(default_factory=default_name)
    nomad_address: str = ""  #: http(s)://HOST:PORT; empty: decisions are told and not carried out
    nomad_token: str = field(default="", repr=False)  #: better by YURT_NOMAD_TOKEN than as a flag
    nomad_ca_file: Path | None = None
    nomad_namespace: str = "default"
    nomad_region: str = ""  #: empty: the agent's own
    interval_s: float = 2.0  #: between decisions; what it is comes on top of the rules' own waits
    dry_run: bool = False  #: decide and tell, change nothing
    admin_port: int = 0  #: /healthz and /metrics on loopback; 0: a free one
    admin_tls_cert_file: Path | None = None  #: for HTTPS there: a certificate in PEM, which may be replaced
    admin_tls_key_file: Path | None = None  #: and its private key; both or neither
    log_level: str = "INFO"
