"""How a submission becomes a job: a class, an id, a place in the queue. When ``accept`` returns, the job is durable.

Order matters. The feed is there before the job is queued, so that no event is missed; ``Queued`` is said after the
queue has the job, so that nobody hears of a job that was refused. A runner may be quicker than that word: whoever
reads the events takes them in any order. Where the caller waits for the result, the word waits a little too: a quick
execution is over before anybody else could ask for it, and its result says all.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.backlog import Backlog
from gateway.feed import Feed
from gateway.feeds import Feeds
from gateway.listing import Listing
from gateway.metrics import Metrics
from jobs import wire
from jobs.ends import queued_of, unrun
from jobs.errors import Reason, Refused, Unavailable
from jobs.job import Job
from jobs.limits import Tier
from jobs.region import Region
from jobs.result import Result
from jobs.service.bus import Bus, QueueFull
from jobs.states import CLASS_OF, Cause, Class, Priority, State
from jobs.streams import jobs_subject, output_subject, results_subject
from jobs.submission import Submission

ACCEPT_S = 2.0  #: the queue says yes or no within this, or nothing was accepted
ANONYMOUS = "anonymous"


@dataclass(frozen=True, kw_only=True)
class Caller:
    user_id: str
    tier: Tier


def caller() -> Caller:
    """Who asks. There are no keys yet: everyone is the same user, of the widest tier."""
    return Caller(user_id=ANONYMOUS, tier=Tier.PREMIUM)


def class_of(priority: Priority, tier: Tier) -> Class:
    """The queue for a priority, as far as the tier reaches."""
    job_class = CLASS_OF[priority]
    return job_class if job_class is not Class.PRIORITY or tier is Tier.PREMIUM else Class.STANDARD


def new_id(now_ms: int | None = None, randomness: bytes | None = None) -> str:
    """A UUID of version 7: in order of time, random beyond that."""
    ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    rest = int.from_bytes(os.urandom(10) if randomness is None else randomness)
    value = (ms & (1 << 48) - 1) << 80 | 0x7 << 76 | (rest >> 64 & 0xFFF) << 64 | 0x2 << 62 | rest & (1 << 62) - 1
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Admission:
    def __init__(
        self,
        *,
        bus: Bus,
        region: Region,
        gateway: str,
        feeds: Feeds,
        listing: Listing,
        backlog: Backlog,
        metrics: Metrics,
        now_ms: Callable[[], int],
    ) -> None:
        self._bus = bus
        self._region = region
        self._gateway = gateway
        self._feeds = feeds
        self._listing = listing
        self._backlog = backlog
        self._metrics = metrics
        self._now_ms = now_ms

    async def accept(
        self, submission: Submission, *, who: Caller, execution_id: str, correlation_id: str = "", quiet_s: float = 0.0
    ) -> Feed:
        """Queue it. Raises ``Refused`` (the queue is full) or ``Unavailable`` (then nothing was accepted).

        ``Queued`` is said after *quiet_s*, unless it has ended by then; whoever tells its id before calls ``say``.
        """
        if not self._bus.connected:
            self._metrics.refused["unavailable"] += 1
            raise Unavailable("the queue is away; nothing was accepted")
        job = self._job(submission, who, execution_id, correlation_id)
        feed = self._feeds.open(queued_of(job))
        try:
            await self._enqueue(job)
        except BaseException:
            if not feed.durable:
                self._feeds.forget(execution_id)
            raise
        self._feeds.keep(feed)
        self._note(job)
        feed.said = False
        if quiet_s:
            asyncio.get_running_loop().call_later(quiet_s, self.say, feed)
        else:
            self.say(feed)
        return feed

    def say(self, feed: Feed) -> None:
        """Let others know of an execution that was accepted here, once. A result needs no such word."""
        if feed.said or feed.result is not None:
            return
        feed.said = True
        with contextlib.suppress(Unavailable):  # the job is queued all the same
            self._bus.publish(output_subject(self._gateway, feed.id), wire.pack(feed.queued))

    def _job(self, submission: Submission, who: Caller, execution_id: str, correlation_id: str) -> Job:
        now_ms = self._now_ms()
        return Job(
            id=execution_id,
            user_id=who.user_id,
            submission=submission,
            job_class=class_of(submission.priority, who.tier),
            region=self._region.name,
            gateway=self._gateway,
            created_at_ms=now_ms,
            start_by_ms=now_ms + int(self._region.delivery.start_by_s * 1000),
            correlation_id=correlation_id or execution_id,
        )

    async def _enqueue(self, job: Job) -> None:
        subject = jobs_subject(job.region, job.job_class, job.submission.language)
        try:
            await self._bus.enqueue(subject, wire.pack(job), message_id=job.id, timeout_s=ACCEPT_S)
        except QueueFull as error:
            self._metrics.refused[Reason.QUEUE_FULL.value] += 1
            raise Refused(
                f"the {job.job_class} queue of {job.region} takes no more {job.submission.language} jobs now",
                reason=Reason.QUEUE_FULL,
                retry_after_s=self._backlog.retry_after_s(job.job_class),
            ) from error
        except Unavailable as error:
            self._metrics.refused["unavailable"] += 1
            raise Unavailable("the queue did not confirm; nothing was accepted") from error

    def _note(self, job: Job) -> None:
        submission = job.submission
        language = submission.language.value
        self._backlog.count(job.job_class)
        self._metrics.accepted[job.job_class.value, language] += 1
        self._listing.add(job.id, job.user_id, language, submission.variant, job.region, job.created_at_ms)

    async def check_room(self, submissions: Sequence[Submission], who: Caller) -> None:
        """Before a batch: whether its classes have room for all of it. Raises ``Refused``."""
        await self._backlog.refresh(fresh_s=0.0)
        for job_class in Class:
            count = sum(class_of(submission.priority, who.tier) is job_class for submission in submissions)
            if count > self._backlog.room(job_class):
                self._metrics.refused[Reason.QUEUE_FULL.value] += 1
                raise Refused(
                    f"the {job_class} queue has no room for {count} more",
                    reason=Reason.QUEUE_FULL,
                    retry_after_s=self._backlog.retry_after_s(job_class),
                )

    async def give_up(self, submission: Submission, *, who: Caller, execution_id: str, message: str) -> None:
        """One of a batch that found no room after all: its end is stored, so that the batch tells of it."""
        job = self._job(submission, who, execution_id, "")
        await self.settle(unrun(queued_of(job), State.FAILED, Cause.PLATFORM, message, self._gateway, self._now_ms()))

    async def settle(self, result: Result, *, everywhere: bool = False) -> bool:
        """Store an end that no runner brings; False when there is one already. Whoever waits is told.

        *everywhere*: it is not known which gateway accepted it, so all of the region's are told.
        """
        subject = results_subject(self._region.name, result.execution_id)
        if not await self._bus.store_first(subject, wire.pack(result)):
            return False
        await self._feeds.end(result, self._region.gateways if everywhere else (result.gateway,))
        return True
