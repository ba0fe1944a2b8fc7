"""Consul, as the few verbs that locks, registrations and the atlas need. The one module here that imports consul.

Calls go through py-consul's blocking client in a thread, each with a deadline. Where it needs a hand:

1. The token travels in the ``X-Consul-Token`` header; it is in no URL, no log line and no error. The client would let
   CONSUL_HTTP_TOKEN win over the token it is given, and ``requests`` would carry the header along to wherever an answer
   redirects to: so the token is set again after the client is made, and a redirect is an error.
2. Some of its reads send no token or know no ``stale``: those go to its HTTP client directly.
3. It reads answers whole. Here an answer has a most size, and a deadline as a whole, not only between two bytes.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import consul
import requests
from consul import base
from consul.callback import CB
from urllib3.exceptions import HTTPError

from jobs.errors import ConfigFault, Unavailable

T = TypeVar("T")

TIMEOUT_S = 3.0
ANSWER_BYTES = 1 << 20
PIECE_BYTES = 1 << 16
SAID_LETTERS = 200


class ConsulDoor:
    """A Consul agent, by its address: ``http://127.0.0.1:8500``. Every verb raises ``Unavailable``, in one line."""

    def __init__(self, address: str, *, token: str = "", ca_file: Path | None = None) -> None:
        host, port, scheme = _parts(address)
        self._address, self._token = address, _checked(token)
        self._consul = consul.Consul(
            host=host,
            port=port,
            scheme=scheme,
            verify=_authority(ca_file) if ca_file else True,
            connections_timeout=TIMEOUT_S,
        )
        self._consul.token = self._token or None
        self._consul.http.response = _read
        session = self._consul.http.session
        session.stream = True  # the body is left for _read
        session.trust_env = False  # no proxy stands between a process and its agent
        session.max_redirects = 0
        session.headers["Accept-Encoding"] = "identity"

    # -- locks --------------------------------------------------------------------------------------------------

    async def session(self, name: str, ttl_s: int) -> str:
        """The id of a new session, which ends *ttl_s* after its last renewal at the earliest."""
        create: Callable[..., Any] = self._consul.session.create
        made = await self._lock(lambda: create(name=name, ttl=ttl_s, behavior="delete", lock_delay=1))
        return str(made)

    async def renew(self, session: str) -> bool:
        """False where it has ended."""
        try:
            await self._lock(lambda: self._consul.session.renew(session))
        except _Gone:
            return False
        return True

    async def acquire(self, key: str, value: str, session: str) -> bool:
        """Whether *session* holds *key* now."""
        return bool(await self._lock(lambda: self._consul.kv.put(key, value, acquire=session)))

    async def release(self, key: str, value: str, session: str) -> None:
        await self._lock(lambda: self._consul.kv.put(key, value, release=session))
        await self._lock(lambda: self._consul.session.destroy(session))

    async def _lock(self, call: Callable[[], T]) -> T:
        return await self._call(call, needs="session:write and key:write on yurt/")

    # -- registrations ------------------------------------------------------------------------------------------

    async def register(
        self,
        name: str,
        *,
        service_id: str,
        address: str,
        port: int,
        tags: tuple[str, ...],
        meta: dict[str, str],
        check: dict[str, Any],
    ) -> None:
        """Tell the agent of a service, or of what has changed of it; *check* as Consul's API has it."""
        await self._call(
            lambda: self._consul.agent.service.register(
                name,
                service_id=service_id,
                address=address or None,
                port=port or None,
                tags=list(tags),
                meta=meta,
                check=check,
                replace_existing_checks=True,
            ),
            needs=f"service:write on {name}",
        )

    async def registered(self, service_id: str) -> bool:
        """Whether the agent knows of it: one that was started anew may not."""
        found = await self._call(
            lambda: self._consul.agent.services(filter_expr=f'ID == "{service_id}"'), needs="service:read"
        )
        return isinstance(found, dict) and service_id in found

    async def beat(self, service_id: str, *, healthy: bool) -> None:
        """Start the time to live of the service's check anew, as passing or as failing."""
        check = self._consul.agent.check
        tell = check.ttl_pass if healthy else check.ttl_fail
        await self._call(lambda: tell(f"service:{service_id}"), needs="service:write")

    async def deregister(self, service_id: str) -> None:
        await self._call(lambda: self._consul.agent.service.deregister(service_id), needs="service:write")

    # -- the atlas ----------------------------------------------------------------------------------------------
    # Answers as they came: whoever reads them trusts nothing in them (``jobs.service.consul_answers``).

    async def datacenters(self) -> Any:
        """All that are federated with the agent's own, by name."""
        return await self._get("/v1/catalog/datacenters")

    async def coordinates(self) -> Any:
        """Where the servers of each datacenter are in the space of round trips."""
        return await self._get("/v1/coordinate/datacenters")

    async def instances(self, name: str, datacenter: str) -> Any:
        """The instances of a service in a datacenter, with their checks; perhaps a little old."""
        return await self._get(f"/v1/health/service/{name}", [("dc", datacenter), ("stale", "1")])

    async def _get(self, path: str, params: list[tuple[str, str]] | None = None) -> Any:
        headers = self._consul.prepare_headers()
        get = self._consul.http.get
        return await self._call(
            lambda: get(CB.json(), path, params=params, headers=headers), needs="service:read and node:read"
        )

    # -- calls --------------------------------------------------------------------------------------------------

    async def _call(self, call: Callable[[], T], *, needs: str) -> T:
        try:
            async with asyncio.timeout(2 * TIMEOUT_S):
                return await asyncio.to_thread(call)
        except consul.NotFound as error:
            raise _Gone from error
        except (consul.ACLDisabled, consul.ACLPermissionDenied) as error:
            raise self._fault(f"the token may not do that ({error}); it needs {needs}") from None
        except (OSError, HTTPError) as error:  # of which TimeoutError and those of requests are kinds
            why = "it redirects" if isinstance(error, requests.TooManyRedirects) else "it does not answer"
            raise self._fault(why) from None
        except (consul.ConsulException, ValueError, RecursionError) as error:  # the last: JSON nested without end
            raise self._fault(str(error)) from None

    def _fault(self, said: str) -> Unavailable:
        """One line, whatever was answered. An echo of the token is none of it, nor is the error it came from."""
        said = said.replace(self._token, "…") if self._token else said
        line = "".join(letter if letter.isprintable() else " " for letter in said)
        return Unavailable(f"Consul at {self._address}: {' '.join(line.split())[:SAID_LETTERS]}")


class _Gone(Exception):
    """Consul knows nothing by that id."""


def _parts(address: str) -> tuple[str, int, str]:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigFault(f"consul_address: {address!r} is no address; write http://127.0.0.1:8500")
    if parts.username or parts.password or parts.query:
        raise ConfigFault("consul_address: holds more than http(s)://HOST:PORT; a token belongs into YURT_CONSUL_TOKEN")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return host, port or (443 if parts.scheme == "https" else 80), parts.scheme


def _checked(token: str) -> str:
    """A token that no header can carry is told here, without it: ``requests`` would put it into its complaint."""
    token = token.strip()
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigFault("consul_token: holds letters that no token has; copy it anew")
    return token


def _authority(ca_file: Path) -> str:
    try:
        ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigFault(f"consul_ca_file: {ca_file} cannot be used: {error}") from error
    return str(ca_file)


def _read(response: requests.Response, raw: bool = False) -> Any:
    """The answer, as py-consul wants it; raises ``ValueError`` where it is too large, ``TimeoutError``."""
    until = time.monotonic() + TIMEOUT_S
    body = bytearray()
    with response:
        while piece := response.raw.read1(PIECE_BYTES, decode_content=True):
            body += piece
            if len(body) > ANSWER_BYTES:
                raise ValueError(f"its answer is larger than {ANSWER_BYTES >> 20} MB")
            if time.monotonic() > until:
                raise TimeoutError
    return base.Response(response.status_code, response.headers, bytes(body) if raw else body.decode(errors="replace"))
