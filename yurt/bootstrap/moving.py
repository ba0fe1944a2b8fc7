"""The steps of ``yurt.bootstrap.fleets``, done: consumers paused, placed and given filters, waiting jobs carried.

Rules
1. Every step leaves a state from which the next run goes on, wherever it was cut off.
2. A consumer is paused for seconds at a time and wakes by itself; times are the server's own, not this machine's.
3. Every wait is bounded (``Patience``); past it the change goes on, and what that may cost is said.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from jobs.errors import ConfigFault, Unavailable
from jobs.limits import MIB
from jobs.service.bus import ApiError, Bus, QueueFull
from jobs.streams import ConsumerPlan, StreamPlan

Say = Callable[[str], None]

PAUSE_S = 10.0  #: how long a consumer sleeps at the most when who paused it has died
CARRY_AT_ONCE = 200
CARRY_BYTES = 4 * MIB  #: on their way at once
_LOOK_S = 0.05
_WAKE_S = 0.05
_ANSWER_S = 10.0
_TRIES = 5
_NEVER = "0001-01-01T00:00:00Z"
_LEFT = "left."  #: metadata: up to which message the consumer had delivered a language when it left
_NO_MESSAGE = (10037, 10043)
_IMMUTABLE = 10012
_NO_STREAM = 10059
_NO_CONSUMER = 10014


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a change may wait."""

    settle_s: float = 45.0  #: for jobs in flight that the new fleet would deliver again
    still_s: float = 10.0  #: a receiving fleet takes no new jobs for so long
    remove_s: float = 90.0  #: for the last jobs of a fleet that goes


@dataclass(frozen=True, kw_only=True)
class There:
    """A consumer as the server has it."""

    name: str
    subjects: tuple[str, ...]  #: what it delivers; empty: it filters a subject that nobody uses
    left: Mapping[str, int]  #: by subject: up to which message it had delivered what has left it
    config: Mapping[str, Any]
    delivered: int
    in_flight: int
    sleeps_s: float = 0.0  #: it is paused for so long from now
    server_time: str = ""


async def consumers(bus: Bus, stream: str) -> dict[str, There]:
    """The consumers of a stream by name; none where there is no such stream."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _ANSWER_S
    while True:
        there, leaderless = await _listed(bus, stream)
        if not leaderless:
            return there
        if loop.time() > deadline:  # one that was just made, or deleted, has no leader for a moment
            raise Unavailable(f"the consumers {', '.join(leaderless)} of {stream} have no leader; try again")
        await asyncio.sleep(_LOOK_S)


async def _listed(bus: Bus, stream: str) -> tuple[dict[str, There], list[str]]:
    """Those that answered, and the names of those that did not."""
    there: dict[str, There] = {}
    total = 1
    while len(there) < total:
        try:
            answer = await bus.api(f"CONSUMER.LIST.{stream}", {"offset": len(there)}, timeout_s=_ANSWER_S)
        except ApiError as error:
            if error.code == _NO_STREAM:
                return {}, []
            raise
        page, leaderless = answer.get("consumers") or [], answer.get("missing") or []
        there.update({info["name"]: _there(info) for info in page})
        if leaderless:
            return there, leaderless
        total = int(answer["total"]) if page else 0
    return there, []


def _there(info: dict[str, Any]) -> There:
    config = info["config"]
    subjects = config.get("filter_subjects") or ([config["filter_subject"]] if config.get("filter_subject") else [])
    metadata = config.get("metadata") or {}
    return There(
        name=info["name"],
        subjects=tuple(subject for subject in subjects if not language(subject).startswith("-")),
        left={key[len(_LEFT) :]: int(value) for key, value in metadata.items() if key.startswith(_LEFT)},
        config=config,
        delivered=int(info["delivered"]["stream_seq"]),
        in_flight=int(info["num_ack_pending"]),
        sleeps_s=info.get("pause_remaining", 0) / 1e9 if info.get("paused") else 0.0,
        server_time=info.get("ts", ""),
    )


def filters(plan: ConsumerPlan) -> tuple[str, ...]:
    return tuple(plan.config["filter_subjects"])


def language(subject: str) -> str:
    return subject.rpartition(".")[2]


def languages(subjects: Iterable[str]) -> str:
    return ", ".join(map(language, subjects))


class Mover:
    """Does the steps of one stream."""

    def __init__(self, bus: Bus, plan: StreamPlan, say: Say, patience: Patience) -> None:
        self._bus, self._plan, self._say, self._patience = bus, plan, say, patience
        self._stream = plan.name
        self._wanted = {each.name: each for each in plan.consumers}
        self._now = asyncio.get_running_loop().time

    async def make(self, consumer: str, subjects: Iterable[str]) -> None:
        await self._update(consumer, self._wanted[consumer].config, subjects, {})

    async def adjust(self, now: There) -> None:
        """Everything but its filters as planned."""
        await self._update(now.name, self._wanted[now.name].config, now.subjects, {})

    async def leave(self, consumer: str, leaving: Iterable[str]) -> None:
        """Its filters without what leaves; up to where it had delivered that is noted with it, in the same update."""
        now = await self._pause(consumer)
        left = {**now.left, **dict.fromkeys(leaving, now.delivered)}
        await self._update(consumer, now.config, [each for each in now.subjects if each not in left], left)
        await self.wake(consumer)

    async def take_up(self, consumer: str, taken: Iterable[str], there: Iterable[There]) -> None:
        """*taken* into its filters, and all that waits of it before its position."""
        before = list(there)
        after = {subject: max((each.left.get(subject, 0) for each in before), default=0) for subject in taken}
        now = await self._settled(consumer, after)
        self._say(f"{self._stream}: fleet {consumer} stands still for a moment")
        now = await self._reach(now, after)
        wanted, have = self._wanted[consumer], {*now.subjects, *after}
        left = {subject: seq for subject, seq in now.left.items() if subject not in have}
        await self._update(consumer, wanted.config, [each for each in filters(wanted) if each in have], left)
        await self.wake(consumer)

    async def wake(self, consumer: str) -> None:
        """Awake when this returns."""
        await self._sleep_for(consumer, _WAKE_S)
        await self._until(consumer, lambda now: not now.sleeps_s)

    async def remove(self, gone: There) -> None:
        deadline = self._now() + self._patience.remove_s
        while (now := await self._info(gone.name)).in_flight:
            if self._now() > deadline:
                self._say(f"{self._stream}: {now.in_flight} jobs of fleet {gone.name} go to others, and may run twice")
                await self._carry_left(now)
                break
            await asyncio.sleep(_LOOK_S)
        with _unless(_NO_CONSUMER):
            await self._bus.api(f"CONSUMER.DELETE.{self._stream}.{gone.name}", timeout_s=_ANSWER_S)

    # -- taking up ---------------------------------------------------------------------------------------------------

    async def _settled(self, consumer: str, after: Mapping[str, int]) -> There:
        """*consumer* paused, when no job that is in flight elsewhere lies where it may still deliver it."""
        deadline = self._now() + self._patience.settle_s
        while True:
            running = await self._in_the_way(await self._info(consumer), after)
            if not running or self._now() > deadline:
                now = await self._pause(consumer)
                running = await self._in_the_way(now, after)
                if not running:
                    return now
                if self._now() > deadline:
                    self._say(f"{self._stream}: jobs of {languages(running)} still run, and may run twice")
                    return now
                await self.wake(consumer)
            await asyncio.sleep(_LOOK_S)

    async def _in_the_way(self, now: There, after: Mapping[str, int]) -> list[str]:
        """Languages with jobs in flight elsewhere, up to *after*, beyond the least position that *now* may get."""
        position = await self._place(now, after)
        if now.in_flight:  # its place may not be chosen
            position = min(position, now.delivered)
        return [subject for subject, seq in after.items() if await self._next(subject, position + 1) <= seq]

    async def _place(self, now: There, after: Mapping[str, int]) -> int:
        """The last message that it has no need to deliver: what it is given, and what it has, waits beyond."""
        waiting = [await self._next(subject, now.delivered + 1) for subject in now.subjects]
        return int(min([*after.values(), *(first - 1 for first in waiting)]))

    async def _reach(self, now: There, after: Mapping[str, int]) -> There:
        """The paused consumer so placed that it will deliver all that waits, beyond *after*."""
        deadline, asleep_until, head = self._now() + self._patience.still_s, self._now(), await self._head()
        while now.in_flight and self._now() < deadline:
            lapsed = self._now() > asleep_until  # it may have woken and gone on: what was carried is behind it again
            now = await self._pause(now.name)
            asleep_until = self._now() + PAUSE_S / 2
            head = await self._head() if lapsed else head
            if now.in_flight and not await self._carry_some(after, head):
                return now
        if now.in_flight:
            self._say(f"{self._stream}: {now.in_flight} jobs of fleet {now.name} still run, and may run twice")
        place = await self._place(now, after)
        verb = f"CONSUMER.RESET.{self._stream}.{now.name}"
        await self._bus.api(verb, {"seq": place + 1}, timeout_s=_ANSWER_S)
        return await self._until(now.name, lambda now: now.delivered == place and not now.in_flight)

    async def _carry_some(self, after: Mapping[str, int], head: int) -> bool:
        """Some of what waits beyond *after*, up to *head*, to the end of the queue; False where there is no more."""
        for subject, seq in after.items():
            if (first := await self._next(subject, seq + 1)) <= head:
                try:
                    await self._carry(subject, int(first), head)
                except QueueFull:  # what runs will make room, or end
                    await asyncio.sleep(_LOOK_S)
                return True
        return False

    async def _carry(self, subject: str, first: int, last: int) -> None:
        page = await self._bus.page(self._stream, subject, start=first, most=CARRY_AT_ONCE)
        waiting = [(seq, data) for seq, data in page if seq <= last]
        if not waiting:  # it was read from a replica that is behind
            await asyncio.sleep(_LOOK_S)
        while waiting:
            size, some = 0, 0
            while some < len(waiting) and (some == 0 or size + len(waiting[some][1]) <= CARRY_BYTES):
                size, some = size + len(waiting[some][1]), some + 1
            moves = [self._move(subject, seq, data) for seq, data in waiting[:some]]
            for outcome in await asyncio.gather(*moves, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
            del waiting[:some]

    async def _move(self, subject: str, seq: int, data: bytes) -> None:
        await self._bus.enqueue(subject, data, message_id=f"moved-{seq}", timeout_s=_ANSWER_S)
        with _unless(*_NO_MESSAGE):
            body = {"seq": seq, "no_erase": True}
            await self._bus.api(f"STREAM.MSG.DELETE.{self._stream}", body, timeout_s=_ANSWER_S)

    async def _carry_left(self, now: There) -> None:
        deadline = self._now() + self._patience.remove_s
        for subject, seq in now.left.items():
            while (first := await self._next(subject, 1)) <= seq:
                if self._now() > deadline:
                    raise Unavailable(f"{self._stream} is too full for the jobs of fleet {now.name}; run this again")
                try:
                    await self._carry(subject, int(first), seq)
                except QueueFull:
                    await asyncio.sleep(_LOOK_S)

    # -- the server --------------------------------------------------------------------------------------------------

    async def _info(self, consumer: str) -> There:
        return _there(await self._bus.api(f"CONSUMER.INFO.{self._stream}.{consumer}", timeout_s=_ANSWER_S))

    async def _pause(self, consumer: str) -> There:
        """As it is while it sleeps."""
        return await self._sleep_for(consumer, PAUSE_S)

    async def _sleep_for(self, consumer: str, seconds: float) -> There:
        """Asleep for so long from now, by the server's clock; longer where it takes longer to tell it so."""
        for _ in range(_TRIES):
            at = _moment((await self._info(consumer)).server_time) + timedelta(seconds=seconds)
            body = {"pause_until": at.isoformat()}
            await self._bus.api(f"CONSUMER.PAUSE.{self._stream}.{consumer}", body, timeout_s=_ANSWER_S)
            # in a cluster that is answered before it is so
            now = await self._until(consumer, partial(_sleeps_until, at))
            if now.sleeps_s:
                return now
            seconds *= 3
        raise Unavailable(f"the consumer {consumer} of {self._stream} does not pause; do the servers' clocks agree?")

    async def _until(self, consumer: str, true: Callable[[There], bool]) -> There:
        """The consumer, once its leader says so."""
        deadline = self._now() + _ANSWER_S
        while not true(now := await self._info(consumer)):
            if self._now() > deadline:
                raise Unavailable(f"the consumer {consumer} of {self._stream} does not do what it is told; try again")
            await asyncio.sleep(_WAKE_S / 4)
        return now

    async def _update(
        self, consumer: str, config: Mapping[str, Any], subjects: Iterable[str], left: Mapping[str, int]
    ) -> None:
        # without any filter it would deliver everything
        wanted = list(subjects) or [self._plan.config["subjects"][0].replace("*", f"-{consumer}")]
        body = {key: value for key, value in config.items() if key not in ("pause_until", "filter_subject")}
        body |= {
            "filter_subjects": wanted,
            "metadata": {f"{_LEFT}{subject}": str(seq) for subject, seq in left.items()},
        }
        request = {"stream_name": self._stream, "config": body}
        try:
            await self._bus.api(f"CONSUMER.DURABLE.CREATE.{self._stream}.{consumer}", request, timeout_s=_ANSWER_S)
        except ApiError as error:
            if error.code != _IMMUTABLE:
                raise
            raise ConfigFault(
                f"fleet {consumer}: its consumer of {self._stream} cannot be changed so ({error});"
                " give the fleet a new name, and it gets a new consumer"
            ) from error
        await self._until(consumer, lambda now: now.config["filter_subjects"] == wanted and now.left == left)

    async def _head(self) -> int:
        return int((await self._bus.api(f"STREAM.INFO.{self._stream}", timeout_s=_ANSWER_S))["state"]["last_seq"])

    async def _next(self, subject: str, seq: int) -> float:
        """The first message of *subject* from *seq* on, by the stream's leader; infinity where there is none."""
        which = {"seq": seq, "next_by_subj": subject}
        with _unless(*_NO_MESSAGE):
            answer = await self._bus.api(f"STREAM.MSG.GET.{self._stream}", which, timeout_s=_ANSWER_S)
            return int(answer["message"]["seq"])
        return math.inf


def _sleeps_until(at: datetime, now: There) -> bool:
    return _moment(now.config.get("pause_until", _NEVER)) == at


def _moment(text: str) -> datetime:
    """A time as the server writes it, to the microsecond."""
    head, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{fraction[:6]:0<6}+00:00")


@contextlib.contextmanager
def _unless(*codes: int) -> Iterator[None]:
    """What the server refuses for one of these reasons has no need to be done."""
    try:
        yield
    except ApiError as error:
        if error.code not in codes:
            raise
