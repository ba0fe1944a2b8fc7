"""Consul, as the few verbs of a lock. The one module here that imports consul (py-consul).

Calls go through the blocking client in a thread, each with a deadline. The token travels in the ``X-Consul-Token``
header, which py-consul sees to; it is in no URL, no log line and no error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import consul
import requests

from jobs.errors import ConfigFault, Unavailable

T = TypeVar("T")

TIMEOUT_S = 3.0


class ConsulDoor:
    """A Consul agent, by its address: ``http://127.0.0.1:8500``."""

    def __init__(self, address: str, *, token: str = "", ca_file: Path | None = None) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigFault(f"consul_address: {address!r} is no address; write http://127.0.0.1:8500")
        self._address = address
        self._consul = consul.Consul(
            host=parts.hostname,
            port=parts.port or (443 if parts.scheme == "https" else 80),
            scheme=parts.scheme,
            token=token or None,
            verify=str(ca_file) if ca_file else True,
            connections_timeout=TIMEOUT_S,
        )
        self._consul.http.session.trust_env = False  # no proxy stands between a process and its agent

    async def session(self, name: str, ttl_s: int) -> str:
        """The id of a new session, which ends *ttl_s* after its last renewal at the earliest."""
        create: Callable[..., Any] = self._consul.session.create
        return str(await self._call(lambda: create(name=name, ttl=ttl_s, behavior="delete", lock_delay=1)))

    async def renew(self, session: str) -> bool:
        """False where it has ended."""
        try:
            await self._call(lambda: self._consul.session.renew(session))
        except _Gone:
            return False
        return True

    async def acquire(self, key: str, value: str, session: str) -> bool:
        """Whether *session* holds *key* now."""
        return bool(await self._call(lambda: self._consul.kv.put(key, value, acquire=session)))

    async def release(self, key: str, value: str, session: str) -> None:
        await self._call(lambda: self._consul.kv.put(key, value, release=session))
        await self._call(lambda: self._consul.session.destroy(session))

    async def _call(self, call: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(2 * TIMEOUT_S):
                return await asyncio.to_thread(call)
        except consul.NotFound as error:
            raise _Gone from error
        except (consul.ACLDisabled, consul.ACLPermissionDenied) as error:
            said = "the token may not do that; it needs session:write and key:write on yurt/"
            raise Unavailable(f"Consul at {self._address}: {said}") from error
        except (TimeoutError, requests.RequestException, consul.ConsulException, ValueError) as error:
            said = "it does not answer" if isinstance(error, TimeoutError | requests.RequestException) else str(error)
            raise Unavailable(f"Consul at {self._address}: {said[:200]}") from error


class _Gone(Exception):
    """Consul knows nothing by that id."""
