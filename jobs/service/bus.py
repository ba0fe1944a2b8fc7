"""The NATS connection of a process, as the few verbs that Yurt needs. The one module that imports nats.

Theory of operation. One connection, one inbox (``_INBOX.<role>.<token>.>``). A request is a publish whose reply
subject ends in a number; a table turns the number back into the waiting future. Messages go from the parser straight
into a plain function (``on_message``): no queue, no task, which on the hot path is half of what a message costs.
JetStream is used by its wire API: acknowledged publishes, direct reads, and (in ``jobs.service.pull``) pull requests.

Rules
1. An ``on_message`` function returns at once and does not raise; slow work goes to a task of its owner.
2. Every wait has a deadline; a part that is away is ``Unavailable``, a full queue is ``QueueFull``.
3. nats-py 2.16 lets a late PONG kill its read loop unseen: ``_Client`` mends that, and a watchdog reconnects when the
   loop has ended for any other reason.
4. Nothing is created on the serving path: streams and consumers are there before (``jobs.service.streams_there``).
5. Of a write that failed it is told whether it may be stored all the same: after ``NotTaken`` it surely is not.
6. With fallback servers (another region's) the connection begins at home and comes back to it: ``jobs.service.homing``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import nats.errors
from nats.aio.client import Client, Server

from jobs.errors import Unavailable, WireFault, YurtError
from jobs.limits import MESSAGE_BYTES
from jobs.service.homing import Homing, place_of

log = logging.getLogger("bus")

RECONNECT_WAIT_S = 0.25
PING_S = 5
BUFFER_BYTES = 2 * MESSAGE_BYTES  #: what waits for NATS to come back, or for it to read
STORE_TIMEOUT_S = 5.0
FLUSH_S = 2
CONNECT_S = 1  #: for one server, where there is another to try
HOME_LOOKS = 2  #: so often in a row home must greet before we go back there
HOME_ANYWAY_S = 60.0  #: after so long of greeting we go there, whatever else is said of it

_FULL = 10077  #: maximum messages (of the stream, or per subject) exceeded
_WRONG_LAST_SEQUENCE = 10071
_NO_MESSAGE = "404"
_NOBODY = "503"
_UNKNOWN = "authorization violation"
_REFUSED = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"')  # nats-py lowers the letters


# nats-py's connection over TLS makes asyncio say this at each end of one; it means nothing
logging.getLogger("asyncio").addFilter(lambda record: "returning true from eof_received" not in str(record.msg))


class QueueFull(YurtError):
    """The stream takes no more of these."""


class NotTaken(Unavailable):
    """Certain: it was not sent, nobody was there to take it, or it was refused. Nothing is stored."""


class NotAllowed(NotTaken):
    """Our role has no right to that, here."""


class Cut(Unavailable):
    """The connection was lost while an answer was due: it may be stored, or not."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it came. ``headers`` is the raw block, empty where there is none."""

    subject: str
    reply: str
    data: bytes
    headers: bytes

    @property
    def status(self) -> str:
        """The status code of a header-only reply (``404`` …), or the empty string."""
        return self.headers[9:12].decode() if self.headers[8:9] == b" " else ""

    def header(self, name: str) -> str:
        """The value of a header, or the empty string."""
        wanted = name.lower().encode() + b":"
        for line in self.headers.split(b"\r\n"):
            if line[: len(wanted)].lower() == wanted:
                return line[len(wanted) :].strip().decode(errors="replace")
        return ""


OnMessage = Callable[[Message], None]


class _Client(Client):
    """nats-py's client, with messages handed straight to functions, and without its late-PONG trap."""

    def __init__(self) -> None:
        super().__init__()
        self.direct: dict[int, OnMessage] = {}

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        on_message = self.direct.get(sid)
        if on_message is None:
            return
        try:
            on_message(
                Message(bytes(subject).decode(), bytes(reply or b"").decode(), bytes(data), bytes(headers or b""))
            )
        except Exception:
            log.exception("a message handler raised")

    async def _process_pong(self) -> None:
        if self._pongs:
            future = self._pongs.pop(0)
            self._pongs_received += 1
            self._pings_outstanding = 0
            if not future.done():
                future.set_result(True)

    def send(self, subject: str, reply: str, headers: bytes, data: bytes) -> None:
        """Into the buffer, and the flusher told, without the coroutines that ``publish`` of the library is made of."""
        if headers:
            total = len(headers) + len(data)
            command = f"HPUB {subject} {reply} {len(headers)} {total}\r\n".encode() + headers + data + b"\r\n"
        else:
            command = f"PUB {subject} {reply} {len(data)}\r\n".encode() + data + b"\r\n"
        self._pending.append(command)
        self._pending_data_size += len(command)
        if self._flush_queue is not None and self._flush_queue.empty() and self.is_connected:
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())


def header(name: str, value: str) -> bytes:
    """A header block of one header; *value* is ours, or was checked to hold no line ends."""
    return f"NATS/1.0\r\n{name}: {value}\r\n\r\n".encode()


_FIRST = header("Nats-Expected-Last-Subject-Sequence", "0")


class Bus:
    """A connection to one region's NATS. Make it with ``Bus.connect``; end it with ``close``."""

    def __init__(self, client: _Client, role: str) -> None:
        self._client = client
        self._inbox = f"_INBOX.{role}.{secrets.token_hex(8)}"
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        self._asked: dict[str, str] = {}  #: on which subject, by the same tokens
        self._refused: set[str] = set()
        self._said = ""  #: the client's last error
        self._next = 0
        self._on_reconnect: list[Callable[[], None]] = []
        self._watchdog: asyncio.Task[None] | None = None
        self._closing = False
        self._homing: Homing | None = None
        self._returns: list[asyncio.Future[None]] = []
        self._greets_since: float | None = None
        self.home_is_well: Callable[[], bool] = lambda: True  #: whoever knows better than by a greeting may say so here

    # -- life ---------------------------------------------------------------------------------------------------

    @classmethod
    async def connect(
        cls,
        urls: Iterable[str],
        *,
        name: str,
        role: str = "admin",
        wait_s: float = 10.0,
        fallback: Iterable[str] = (),
        **options: Any,
    ) -> Bus:
        """Connected, or ``Unavailable`` after *wait_s*. *options* are nats-py's (credentials, TLS).

        *fallback*: servers of other regions, nearest first, for as long as none of *urls* answers.
        """
        client = _Client()
        bus = cls(client, role)
        servers = list(urls)
        if others := list(fallback):
            bus._homing = Homing(servers, others, wait_s=RECONNECT_WAIT_S)
            servers += others
            options |= {
                "dont_randomize": True,
                "connect_timeout": CONNECT_S,
                "reconnect_to_server_handler": bus._choose,
            }
        try:
            async with asyncio.timeout(wait_s):
                await client.connect(
                    servers=servers,
                    name=name,
                    allow_reconnect=True,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type]  # a float works, and a second is long
                    ping_interval=PING_S,
                    max_outstanding_pings=2,
                    pending_size=2 * BUFFER_BYTES,
                    error_cb=bus._on_error,
                    disconnected_cb=bus._on_disconnected,
                    reconnected_cb=bus._on_reconnected,
                    **options,
                )
        except (TimeoutError, OSError, nats.errors.Error) as error:
            await client.close()
            why = str(error) or bus._said or "it does not answer"
            if _UNKNOWN in why.lower():
                why = "it does not take our key; see nats_seed_file, and its accounts"
            raise Unavailable(f"no NATS at {', '.join(servers)}: {why}") from error
        bus._note_server()
        await bus.subscribe(f"{bus._inbox}.r.*", bus._on_reply)
        bus._watchdog = asyncio.create_task(bus._watch(), name="bus-watchdog")
        return bus

    async def close(self) -> None:
        """Flush what was published and end; waiting requests fail."""
        self._closing = True
        if self._watchdog is not None:
            self._watchdog.cancel()
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(Unavailable("the connection to NATS is closing"))
        try:
            async with asyncio.timeout(FLUSH_S):
                await self._client.flush()
                await self._client.close()
        except (TimeoutError, OSError, nats.errors.Error):
            log.debug("NATS was away at the close")

    @property
    def connected(self) -> bool:
        return bool(self._client.is_connected)

    @property
    def at_home(self) -> bool:
        """Whether the server that we are connected to, or were last, is one of our own region's."""
        return self._homing is None or self._homing.at_home

    async def until_connected(self, seconds: float) -> bool:
        """Whether there is a connection, after waiting at most *seconds* for it. Without fallback there is no wait."""
        if self.connected or self._homing is None:
            return self.connected
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._returns.append(future)
        await asyncio.wait([future], timeout=seconds)
        if future in self._returns:
            self._returns.remove(future)
        return self.connected

    async def start_over(self) -> None:
        """Leave a connection on which nothing is answered; only where there is another server to try."""
        if self._homing is not None:
            await self._client.force_reconnect()

    @property
    def cluster(self) -> str:
        """The cluster of the server that we are connected to; empty: it is on its own."""
        return str(self._client._server_info.get("cluster") or "")

    @property
    def refused(self) -> frozenset[str]:
        """The subjects, in lower case, that the server has refused us so far."""
        return frozenset(self._refused)

    @property
    def inbox(self) -> str:
        """A subject prefix that only this connection listens on; append a word of your own."""
        return self._inbox

    def on_reconnect(self, call: Callable[[], None]) -> None:
        """*call* after each reconnect: what was asked of the server before is forgotten there."""
        self._on_reconnect.append(call)

    # -- core NATS ----------------------------------------------------------------------------------------------

    async def subscribe(self, subject: str, on_message: OnMessage) -> Callable[..., Any]:
        """*on_message* for each message on *subject*; returns a coroutine function that ends it.

        With ``hear_out=True`` it still hands over what the server had sent before it knew of the end.
        """
        subscription = await self._client.subscribe(subject, cb=_never)
        self._client.direct[subscription._id] = on_message

        async def end(*, hear_out: bool = False) -> None:
            if not hear_out:
                self._client.direct.pop(subscription._id, None)
            if self._client.is_connected:
                await subscription.unsubscribe()
                if hear_out:
                    await self._flushed()
            self._client.direct.pop(subscription._id, None)

        return end

    def publish(self, subject: str, data: bytes, *, reply: str = "", headers: bytes = b"") -> None:
        """At most once, in order, without waiting; buffered while NATS is away, as far as the buffer goes.

        ``Unavailable`` where the buffer is full or the connection closed. *headers* is the raw block (``header``).
        """
        if self._client.is_closed or self._client._pending_data_size > BUFFER_BYTES:
            raise NotTaken("NATS takes no messages")
        if len(data) > MESSAGE_BYTES:
            raise WireFault(f"a message of {len(data)} bytes; the most is {MESSAGE_BYTES}")
        self._client.send(subject, reply, headers, data)

    async def request(self, subject: str, data: bytes = b"", *, timeout_s: float, headers: bytes = b"") -> Message:
        """The one reply; ``NotTaken`` when nobody listens or NATS is away, ``Unavailable`` when no answer comes."""
        if not self.connected:
            raise NotTaken("NATS is away")
        self._next += 1
        token = str(self._next)
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[token], self._asked[token] = future, subject
        timer = asyncio.get_running_loop().call_later(timeout_s, _time_out, future, subject)
        try:
            self.publish(subject, data, reply=f"{self._inbox}.r.{token}", headers=headers)
            answer = await future
        finally:
            timer.cancel()
            self._waiting.pop(token, None)
            self._asked.pop(token, None)
        if answer.status == _NOBODY and not answer.data:
            raise NotTaken(f"nobody listens on {subject}")
        return answer

    # -- JetStream ----------------------------------------------------------------------------------------------

    async def enqueue(self, subject: str, data: bytes, *, message_id: str, timeout_s: float = STORE_TIMEOUT_S) -> None:
        """Durable when it returns. ``QueueFull`` where the stream's bounds say no; the same id again is no second."""
        await self._acknowledged(subject, data, header("Nats-Msg-Id", message_id), timeout_s)

    async def store_first(self, subject: str, data: bytes, *, timeout_s: float = STORE_TIMEOUT_S) -> bool:
        """Durable as the subject's only message; False where there is one already: the first wins."""
        try:
            await self._acknowledged(subject, data, _FIRST, timeout_s)
        except _Taken:
            return False
        return True

    async def keep(self, subject: str, data: bytes, *, timeout_s: float = STORE_TIMEOUT_S) -> None:
        """Durable, beside whatever lies on the subject."""
        await self._acknowledged(subject, data, b"", timeout_s)

    async def last(self, stream: str, subject: str, *, timeout_s: float = 2.0) -> bytes | None:
        """The newest message of a subject, read from the stream itself; None where there is none."""
        message = await self.newest(stream, subject, timeout_s=timeout_s)
        return None if message is None else message.data

    async def newest(self, stream: str, subject: str, *, timeout_s: float = 2.0) -> Message | None:
        """As ``last``, with the headers: ``Nats-Time-Stamp`` is when it was stored."""
        request = json.dumps({"last_by_subj": subject}).encode()
        answer = await self.request(f"$JS.API.DIRECT.GET.{stream}", request, timeout_s=timeout_s)
        return None if answer.status == _NO_MESSAGE else answer

    async def all(self, stream: str, subject: str, *, most: int = 20_000, timeout_s: float = 5.0) -> list[bytes]:
        """The messages of a subject, oldest first, at most *most*, read without a consumer."""
        return [data for _, data in await self.page(stream, subject, most=most, timeout_s=timeout_s)]

    async def page(
        self, stream: str, subject: str, *, start: int = 1, most: int, timeout_s: float = 5.0
    ) -> list[tuple[int, bytes]]:
        """Sequence number and data of the messages on a subject (wildcards allowed) from *start* on, at most *most*."""
        messages: list[tuple[int, bytes]] = []
        done = asyncio.get_running_loop().create_future()
        self._next += 1
        inbox = f"{self._inbox}.b.{self._next}"

        def on_message(message: Message) -> None:
            if message.status:
                if not done.done():
                    done.set_result(message.status)
            else:
                messages.append((int(message.header("Nats-Sequence")), message.data))

        end = await self.subscribe(inbox, on_message)
        timer = asyncio.get_running_loop().call_later(timeout_s, _time_out, done, stream)
        try:
            request = json.dumps({"seq": start, "next_by_subj": subject, "batch": most}).encode()
            self.publish(f"$JS.API.DIRECT.GET.{stream}", request, reply=inbox)
            if await done == _NOBODY:
                raise NotTaken(f"nobody answers for {stream}")
        finally:
            timer.cancel()
            await end()
        return messages

    async def api(self, verb: str, body: dict[str, Any] | None = None, *, timeout_s: float = 5.0) -> dict[str, Any]:
        """A call of the JetStream API (``STREAM.INFO.<name>`` …); the answer, or ``ApiError``."""
        data = b"" if body is None else json.dumps(body).encode()
        answer = json.loads((await self.request(f"$JS.API.{verb}", data, timeout_s=timeout_s)).data)
        if "error" in answer:
            raise ApiError(answer["error"])
        return answer  # type: ignore[no-any-return]

    async def _acknowledged(self, subject: str, data: bytes, headers: bytes, timeout_s: float) -> None:
        answer = json.loads((await self.request(subject, data, timeout_s=timeout_s, headers=headers)).data)
        error = answer.get("error")
        if error is None:
            return
        if error.get("err_code") == _FULL:
            raise QueueFull(error.get("description", ""))
        if error.get("err_code") == _WRONG_LAST_SEQUENCE:
            raise _Taken
        raise NotTaken(f"JetStream refused {subject}: {error.get('description')}")

    # -- inside -------------------------------------------------------------------------------------------------

    async def _flushed(self) -> None:
        """What we wrote has reached the server, and what it wrote before has reached us; or NATS is away."""
        with contextlib.suppress(TimeoutError, OSError, nats.errors.Error):
            await self._client.flush(FLUSH_S)

    def _on_reply(self, message: Message) -> None:
        future = self._waiting.get(message.subject.rpartition(".")[2])
        if future is not None and not future.done():
            future.set_result(message)

    async def _on_error(self, error: Exception) -> None:
        log.debug("NATS: %s", error)
        if not isinstance(error, BrokenPipeError | ConnectionResetError):  # the server hung up, and may have said why
            self._said = str(error)
        if refused := _REFUSED.search(self._said):
            self._refuse(refused[1], refused[2])

    def _refuse(self, verb: str, subject: str) -> None:
        """The server does not let us: whoever waits for an answer is told at once, and the log, once a subject."""
        if subject not in self._refused:
            self._refused.add(subject)
            log.error("action=nats_refuses %s=%s", verb, subject)
        for token, asked in self._asked.items():
            if asked.lower() == subject and not self._waiting[token].done():
                said = f"NATS does not let this role publish to {asked}; see the rights that yurt bootstrap gives it"
                self._waiting[token].set_exception(NotAllowed(said))

    async def _on_disconnected(self) -> None:
        if not self._closing:
            log.warning("action=nats_away")
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(Cut("NATS went away"))

    async def _on_reconnected(self) -> None:
        self._note_server()
        log.warning("action=nats_back at_home=%s", self.at_home)
        returns, self._returns = self._returns, []
        for future in returns:
            if not future.done():
                future.set_result(None)
        for call in self._on_reconnect:
            call()

    def _choose(self, servers: list[Server], _info: dict[str, Any]) -> tuple[Server | None, float]:
        """nats-py asks: which server to try now, and how long to wait before."""
        assert self._homing is not None
        if self._client._transport is not None:
            # of a server that took the connection and said nothing
            self._client._transport.close()  # type: ignore[no-untyped-call]
        places = {place_of(server.uri.geturl()): server for server in servers}
        place, wait_s = self._homing.choose(list(places))
        return places.get(place), wait_s

    def _note_server(self) -> None:
        url = self._client.connected_url
        if self._homing is not None and url is not None:
            self._homing.connected(place_of(url.geturl()))

    async def _go_home(self) -> None:
        """Back to our own region's servers, once they are surely there again."""
        assert self._homing is not None
        now_s = asyncio.get_running_loop().time()
        for _ in range(HOME_LOOKS):
            if self.at_home or not self.connected or not await self._homing.home_answers():
                self._greets_since = None
                return
            await asyncio.sleep(RECONNECT_WAIT_S)
        self._greets_since = self._greets_since or now_s
        if not self.home_is_well() and now_s - self._greets_since < HOME_ANYWAY_S:
            return
        self._greets_since = None
        log.warning("action=nats_home_again")
        await self._client.force_reconnect()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(1)
            if not self.at_home:
                await self._go_home()
            reading = self._client._reading_task
            if self._client.is_connected and reading is not None and reading.done():
                log.warning("action=nats_read_loop_ended")
                await self._client.force_reconnect()


class ApiError(YurtError):
    """The JetStream API said no."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(str(error.get("description", error)))
        self.code = int(error.get("err_code", 0))


class _Taken(Exception):
    """The subject has a message already."""


async def _never(_: object) -> None:
    """nats-py wants a callback; ours gets the messages before it."""


def _time_out(future: asyncio.Future[Any], what: str) -> None:
    if not future.done():
        future.set_exception(Unavailable(f"no answer in time on {what}"))
