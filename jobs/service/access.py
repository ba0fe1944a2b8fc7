"""How a process proves to NATS who it is, and how it knows that it talks to the right server."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
                raise ConfigFault(f"nats_seed_file: {self.seed_file} is not there; yurt bootstrap makes it")
            options["nkeys_seed"] = str(self.seed_file)
        if self.ca_file is not None:
            try:
                options["tls"] = ssl.create_default_context(cafile=str(self.ca_file))
            except (OSError, ssl.SSLError) as error:
                raise ConfigFault(f"nats_ca_file: {self.ca_file} cannot be used: {error}") from error
        return options
