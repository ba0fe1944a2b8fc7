"""The notice that a machine on spot capacity will be taken away: heard from its metadata endpoint, told to the runner.

Theory of operation. The endpoint (AWS's instance metadata, version 2) is asked every ``EVERY_S``: a token first, by
PUT, which is kept until it is refused or old; then ``spot/instance-action``, which is 404 until the machine is marked
and then says what becomes of it and when, two minutes ahead. From that moment ``given`` is set and ``left_s`` counts
down, ``MARGIN_S`` short of the end: the rest is for handing back and leaving. A recommendation to rebalance, which may
come earlier or be all that comes, is written to the log and changes nothing: the machine may stay for hours.

Rules
1. Nothing here fails or delays the runner. An endpoint that is away, slow or says what makes no sense means that there
   is no notice; that is told once, and once more when it answers.
2. A notice stands: nothing that is heard later takes it back. Of two times the earlier counts.
3. A notice whose time cannot be read counts as one of the shortest: it came ``EVERY_S`` ago.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

import aiohttp

from jobs.errors import ConfigFault
from jobs.service.logs import event

log = logging.getLogger("notice")

EVERY_S = 5.0
ANSWER_S = 2.0
ANSWER_BYTES = 4096
NOTICE_S = 120.0  #: how long before the end AWS tells
MARGIN_S = 10.0
TOKEN_S = 21_600  #: the most that AWS gives a token for
SESSION = "/latest/api/token"
ACTION = "/latest/meta-data/spot/instance-action"
REBALANCE = "/latest/meta-data/events/recommendations/rebalance"


class Notice:
    """What this machine was told about its end. *wall* is the time of day, *clock* any that only goes forward."""

    def __init__(
        self,
        url: str,
        *,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        every_s: float = EVERY_S,
        margin_s: float = MARGIN_S,
    ) -> None:
        self._url = _checked(url)
        self._wall, self._clock, self._every_s, self._margin_s = wall, clock, every_s, margin_s
        self._ends_at = math.inf
        self._token, self._token_until = "", -math.inf
        self._rebalance = ""
        self._away = False
        self.given = asyncio.Event()
        self.why = ""

    def left_s(self) -> float:
        """How long what runs may still take; infinite without a notice."""
        return max(0.0, self._ends_at - self._clock() - self._margin_s)

    async def listen(self) -> None:
        """Ask, for as long as the runner lives."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                await self._look(session)
                await asyncio.sleep(self._every_s)

    async def _look(self, session: aiohttp.ClientSession) -> None:
        try:
            action = await self._ask(session, ACTION)
            if action:
                self._hear(action)
            elif advice := await self._ask(session, REBALANCE):
                self._advised(advice)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            if not self._away:
                why = str(error) or type(error).__name__
                event(log, "notices_unknown", level=logging.WARNING, url=self._url, why=why)
            self._away = True
            return
        if self._away:
            self._away = False
            event(log, "notices_known", url=self._url)

    def _hear(self, text: str) -> None:
        action, at = _read(text)
        left_s = NOTICE_S - EVERY_S if at is None else at - self._wall()
        self._ends_at = min(self._ends_at, self._clock() + left_s)
        if not self.given.is_set():
            self.why = f"its machine will be taken away ({action}) in {max(0.0, left_s):.0f} s"
            event(log, "interruption", level=logging.WARNING, what=action, left_s=left_s)
            self.given.set()

    def _advised(self, text: str) -> None:
        if text != self._rebalance:
            self._rebalance = text
            event(log, "rebalance_advised", level=logging.WARNING, said=text[:200])

    # -- the endpoint -------------------------------------------------------------------------------------------

    async def _ask(self, session: aiohttp.ClientSession, path: str) -> str:
        """What it says there; empty where it has nothing to say (404)."""
        for _ in range(2):  # a token may have been forgotten, once
            headers = {"X-aws-ec2-metadata-token": await self._fresh_token(session)}
            async with session.get(self._url + path, headers=headers, allow_redirects=False) as answer:
                if answer.status == 401:
                    self._token = ""
                    continue
                return "" if answer.status == 404 else await _text(answer)
        raise ValueError(f"{path}: its own tokens are refused")

    async def _fresh_token(self, session: aiohttp.ClientSession) -> str:
        if not self._token or self._clock() >= self._token_until:
            headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_S)}
            async with session.put(self._url + SESSION, headers=headers, allow_redirects=False) as answer:
                self._token = await _text(answer)
            self._token_until = self._clock() + TOKEN_S / 2
        return self._token


async def _text(answer: aiohttp.ClientResponse) -> str:
    if answer.status != 200:
        raise ValueError(f"{answer.url.path}: it answered {answer.status}")
    body = bytearray()
    async for piece in answer.content.iter_chunked(ANSWER_BYTES):
        body += piece
        if len(body) > ANSWER_BYTES:
            raise ValueError(f"{answer.url.path}: its answer is too long")
    return body.decode().strip()


def _read(text: str) -> tuple[str, float | None]:
    """What becomes of the machine, and when (seconds since 1970), where that can be read. ``ValueError``: no notice."""
    told = json.loads(text)
    if not isinstance(told, dict) or not isinstance(told.get("action"), str):
        raise ValueError(f"{ACTION}: its answer is no notice")
    try:
        at = datetime.fromisoformat(told["time"])
        return told["action"], at.replace(tzinfo=at.tzinfo or UTC).timestamp()
    except (ValueError, KeyError, TypeError, OverflowError):
        return told["action"], None


def _checked(url: str) -> str:
    """Without a slash at its end."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        fits = fits and not (parts.path.strip("/") or parts.query or parts.fragment)
    except ValueError:
        fits = False
    if url and not fits:
        raise ConfigFault(f"notice_url: {url!r} is no address; use http://HOST[:PORT], on AWS http://169.254.169.254")
    return url.rstrip("/")
