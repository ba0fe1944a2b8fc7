"""HTTPS for an aiohttp application, over a ``Certificate`` that may change.

Rules
1. A handshake has ``HANDSHAKE_S``; one that is slow, or never begins, is cut off and holds up nobody.
2. Whoever cannot be served is told why: in plain HTTP where that is what it speaks, else by TLS's own alert.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from aiohttp import web

from jobs.service.certificates import Certificate, harden

HANDSHAKE_S = 10.0
GOODBYE_S = 2.0  #: for the other side's part of TLS's end
_PLAIN_HTTP = frozenset({"HTTP_REQUEST", "HTTPS_PROXY_REQUEST"})  #: how OpenSSL names what came
_WORDS = b"This port speaks HTTPS: write https:// in place of http://\n"
_SAY_HTTPS = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_WORDS), _WORDS)
)


class HttpsSite(web.BaseSite):
    """As ``web.TCPSite``, which knows no deadline for handshakes."""

    def __init__(
        self,
        runner: web.BaseRunner,
        host: str,
        port: int,
        *,
        certificate: Certificate,
        backlog: int = 128,
        handshake_s: float = HANDSHAKE_S,
    ) -> None:
        super().__init__(runner, ssl_context=_front(certificate), backlog=backlog)
        self._host, self._port, self._handshake_s = host, port, handshake_s

    @property
    def name(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"https://{host}:{self._port}"

    async def start(self) -> None:
        await super().start()
        server = self._runner.server
        assert server is not None  # the base class has looked
        self._server = await asyncio.get_running_loop().create_server(
            server,
            self._host,
            self._port,
            ssl=self._ssl_context,
            backlog=self._backlog,
            ssl_handshake_timeout=self._handshake_s,
            ssl_shutdown_timeout=GOODBYE_S,
        )


def _front(certificate: Certificate) -> ssl.SSLContext:
    """The context of the listening socket, which sends each handshake on to the newest pair."""

    def on_hello(conversation: ssl.SSLObject | ssl.SSLSocket, name: str | None, front: ssl.SSLContext) -> None:
        certificate.show(conversation)

    front = _Front(ssl.PROTOCOL_TLS_SERVER)
    harden(front)
    front.sslobject_class = _Conversation
    front.sni_callback = on_hello
    return front


class _Front(ssl.SSLContext):
    """A context whose conversations can say something of their own."""

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **more: Any) -> ssl.SSLObject:
        conversation = super().wrap_bio(incoming, outgoing, *args, **more)
        assert isinstance(conversation, _Conversation)
        conversation.outgoing = outgoing
        return conversation


class _Conversation(ssl.SSLObject):
    outgoing: ssl.MemoryBIO
    refused: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        """The event loops drop a connection whose handshake fails with what OpenSSL would have said; here it is said.

        They send when more is wanted; what the other side does next, or the deadline, then ends it.
        """
        if self.refused is not None:
            raise self.refused
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            if error.reason in _PLAIN_HTTP:
                self.outgoing.write(_SAY_HTTPS)
            if not self.outgoing.pending:  # noise, to which there is no answer
                raise
            self.refused = error
            raise ssl.SSLWantReadError from None
