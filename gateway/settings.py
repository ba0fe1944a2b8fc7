"""What one gateway process is told: a frozen record, filled by ``jobs.service.settings.load``."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import ConfigFault
from jobs.region import Region
from jobs.service.connections import Connections


@dataclass(frozen=True, kw_only=True)
class Settings(Connections):
    host: str = "127.0.0.1"
    port: int = 8080
    nats_fallback_urls: tuple[str, ...] = ()  #: other regions' NATS servers, nearest first, while home's are all away
    gateway: str = ""  #: the name output comes back under; empty: the region's first
    public_url: str = ""  #: what callers reach us by, for ``websocket_url``; empty: what the request was sent to
    tls_cert_file: Path | None = None  #: HTTPS: the certificate, then those that vouch for it, in PEM; may be replaced
    tls_key_file: Path | None = None  #: and its private key; both or neither
    allow_plain_http: bool = False  #: plain HTTP beyond loopback: something before us does the TLS
    drain_s: float = 15.0  #: how long a stop waits for requests that wait for their result
    log_level: str = "info"


def gateway_name(settings: Settings, region: Region) -> str:
    """Our own name, which must be one that the region's output stream keeps."""
    name = settings.gateway or region.gateways[0]
    if name not in region.gateways:
        raise ConfigFault(
            f"gateway: {name!r} is not in the region's gateways ({', '.join(region.gateways)}); add it there"
        )
    return name


def check_exposure(settings: Settings, *, tls: bool) -> None:
    """Plain HTTP stays on loopback unless the settings say otherwise."""
    if tls or settings.allow_plain_http or _is_loopback(settings.host):
        return
    raise ConfigFault(
        f"host: {settings.host} is not loopback and there is no TLS; "
        "name tls_cert_file and tls_key_file, or set allow_plain_http = true if something in front of this does it"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
