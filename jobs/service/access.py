"""How a process proves to NATS who it is, and how it knows that it talks to the right server."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nkeys

from jobs.errors import ConfigFault


@dataclass(frozen=True, kw_only=True)
class Access:
    """*seed_file*: an NKey seed; *ca_file*: the certificate of the authority that signed the servers'."""

    seed_file: Path | None = None
    ca_file: Path | None = None

    def options(self) -> dict[str, Any]:
        """The options of the NATS client; raises ``ConfigFault`` naming the file that cannot be used."""
        options: dict[str, Any] = {}
        if self.seed_file is not None:
            if not self.seed_file.is_file():
                raise ConfigFault(f"nats_seed_file: {self.seed_file} is not there; yurt bootstrap --keys makes it")
            try:
                public_key(self.seed_file)
            except ValueError as error:
                raise ConfigFault(f"nats_seed_file: {error}; yurt bootstrap --keys makes one") from error
            options["nkeys_seed"] = str(self.seed_file)
        if self.ca_file is not None:
            try:
                options["tls"] = ssl.create_default_context(cafile=str(self.ca_file))
            except (OSError, ssl.SSLError) as error:
                raise ConfigFault(f"nats_ca_file: {self.ca_file} cannot be used: {error}") from error
        return options


def public_key(seed_file: Path) -> str:
    """The public half of an NKey seed; raises ``ValueError`` naming the file that cannot be read or holds none."""
    try:
        pair = nkeys.from_seed(bytearray(seed_file.read_bytes().strip()))
    except OSError as error:
        raise ValueError(f"{seed_file} cannot be read: {error.strerror}") from error
    except (nkeys.NkeysError, ValueError) as error:
        raise ValueError(f"{seed_file} is no NKey seed") from error
    key: str = pair.public_key.decode()
    pair.wipe()
    return key
