"""How a submission becomes a job: a class, an id, a place in a queue. When ``accept`` returns, the job is durable.

Order matters. The feed is there before the job is queued, so that no event is missed; ``Queued`` is said after the
queue has the job, so that nobody hears of a job that was refused. A runner may be quicker than that word: whoever
reads the events takes them in any order. Where the caller waits for the result, the word waits a little too: a quick
execution is over before anybody else could ask for it, and its result says all.

When a region's queue does not take a job, the next one is asked (``gateway.placement`` says which). No id may lie in
two queues: where it is not certain that the first one has stored nothing, the job goes on under a new id, which costs
nothing, as the caller was told none. Where the id is *fixed* (it is made of an idempotency key, or written down in a
batch) the caller gets ``Unavailable`` and may repeat the call. The same id to the same queue again is always safe, and
that is what is done first when it was only the connection that broke.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.feed import Feed
from gateway.feeds import Feeds
from gateway.horizon import Horizon
from gateway.listing import Listing
from gateway.metrics import Metrics
from gateway.placement import Placed, Why
from jobs import wire
from jobs.ends import queued_of, unrun
from jobs.errors import Reason, Refused, Unavailable
from jobs.job import Job
from jobs.limits import Tier
from jobs.region import Region
from jobs.result import Result
from jobs.service.bus import Bus, Cut, NotTaken, QueueFull
from jobs.states import CLASS_OF, Cause, Class, Priority, State
from jobs.streams import jobs_subject, output_subject, results_subject
from jobs.submission import Submission

ACCEPT_S = 2.0  #: the queue says yes or no within this, or another one is asked
RECONNECT_S = 2.0  #: so long a submission waits for another region's NATS server, where there is one to go to
MOST_UNSURE = 10_000
TRIES = 4  #: queues asked for one submission, one after the other
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
        horizon: Horizon,
        metrics: Metrics,
        now_ms: Callable[[], int],
    ) -> None:
        self._bus = bus
        self._region = region
        self._gateway = gateway
        self._feeds = feeds
        self._listing = listing
        self._horizon = horizon
        self._metrics = metrics
        self._now_ms = now_ms
        self.unsure: OrderedDict[str, str] = OrderedDict()  #: fixed ids that a region's queue may have, unconfirmed

    async def accept(
        self,
        submission: Submission,
        *,
        who: Caller,
        execution_id: str,
        correlation_id: str = "",
        quiet_s: float = 0.0,
        fixed: bool = False,
        queue: Placed | None = None,
    ) -> Feed:
        """Queue it, in *queue* or where it is placed. Raises ``Refused`` (the queue is full) or ``Unavailable`` (then
        nothing was accepted: ``NotTaken`` where that is certain).

        The feed has another id than *execution_id* where that may lie in another region's queue, unless it is *fixed*.
        ``Queued`` is said after *quiet_s*, unless it has ended by then; whoever tells its id before calls ``say``.
        """
        tried: set[str] = set()
        maybe_in = ""  #: the region whose queue may have this id already
        fault = Unavailable("the queue is away; nothing was accepted")
        if fixed and execution_id in self.unsure:
            queue = Placed(region=self.unsure[execution_id], why=Why.SAME_KEY)
        for _ in range(TRIES):
            if not await self._bus.until_connected(RECONNECT_S):
                break
            try:
                placed = queue or self._horizon.place(submission.region, submission.language, without=tried)
            except Unavailable as nowhere:
                fault = fault if tried else nowhere
                break
            if maybe_in and placed.region != maybe_in:
                if fixed:
                    break
                execution_id, maybe_in = new_id(self._now_ms()), ""
            try:
                return await self._accept(
                    self._job(submission, who, execution_id, correlation_id, placed), quiet_s, again=bool(maybe_in)
                )
            except Unavailable as missed:
                fault = missed
            if not isinstance(fault, NotTaken):
                maybe_in = placed.region
            if self._bus.connected and not isinstance(fault, Cut):
                tried.add(placed.region)
                if queue is not None:
                    break
        self._metrics.refused["unavailable"] += 1
        if maybe_in:
            if fixed:
                self._note_unsure(execution_id, maybe_in)
            raise Unavailable(f"the queue of {maybe_in} did not confirm; nothing was accepted") from fault
        raise fault

    def _note_unsure(self, execution_id: str, region: str) -> None:
        self.unsure[execution_id] = region
        while len(self.unsure) > MOST_UNSURE:
            self.unsure.popitem(last=False)

    async def _accept(self, job: Job, quiet_s: float, *, again: bool) -> Feed:
        feed = self._feeds.open(queued_of(job))
        try:
            await self._enqueue(job)
        except BaseException:
            if not feed.durable:
                self._feeds.forget(job.id)
            raise
        self._feeds.keep(feed)
        self.unsure.pop(job.id, None)
        if again:  # it may have been queued the first time already, and have ended since
            await self._feeds.check(feed)
            feed.shed = feed.result is None
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

    def _job(self, submission: Submission, who: Caller, execution_id: str, correlation_id: str, placed: Placed) -> Job:
        now_ms = self._now_ms()
        return Job(
            id=execution_id,
            user_id=who.user_id,
            submission=submission,
            job_class=class_of(submission.priority, who.tier),
            region=placed.region,
            gateway=self._gateway,
            created_at_ms=now_ms,
            start_by_ms=now_ms + int(self._region.delivery.start_by_s * 1000),
            correlation_id=correlation_id or execution_id,
            placed=placed.why.value,
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
                retry_after_s=self._horizon.sight(job.region).backlog.retry_after_s(job.job_class),
            ) from error
        except Unavailable as fault:
            self._horizon.missed(job.region, fault)
            raise type(fault)(f"the queue of {job.region} did not confirm; nothing was accepted") from fault
        self._horizon.took(job.region)

    def _note(self, job: Job) -> None:
        submission = job.submission
        language = submission.language.value
        self._horizon.sight(job.region).backlog.count(job.job_class)
        self._metrics.accepted[job.job_class.value, language] += 1
        self._metrics.placed[job.region, job.placed] += 1
        self._listing.add(job.id, job.user_id, language, submission.variant, job.region, job.created_at_ms)

    async def check_room(self, submissions: Sequence[Submission], who: Caller, queue: Placed | None) -> None:
        """Before a batch: whether the queues have room for all of it. Raises ``Refused`` or ``Unavailable``."""
        if self._horizon.home.answers:
            await self._horizon.home.backlog.refresh(fresh_s=0.0)
        wanted = Counter(
            (self._placed(submission, queue).region, class_of(submission.priority, who.tier))
            for submission in submissions
        )
        for (region, job_class), count in wanted.items():
            backlog = self._horizon.sight(region).backlog
            if count > backlog.room(job_class):
                self._metrics.refused[Reason.QUEUE_FULL.value] += 1
                raise Refused(
                    f"the {job_class} queue of {region} has no room for {count} more",
                    reason=Reason.QUEUE_FULL,
                    retry_after_s=backlog.retry_after_s(job_class),
                )

    def _placed(self, submission: Submission, queue: Placed | None) -> Placed:
        return queue or self._horizon.place(submission.region, submission.language)

    async def give_up(self, submission: Submission, *, who: Caller, execution_id: str, message: str) -> None:
        """One of a batch that found no room after all: its end is stored, so that the batch tells of it."""
        job = self._job(submission, who, execution_id, "", self._horizon.place_record())
        await self.settle(unrun(queued_of(job), State.FAILED, Cause.PLATFORM, message, self._gateway, self._now_ms()))

    async def settle(self, result: Result) -> bool:
        """Store an end that no runner brings; False when there is one already. Whoever waits is told.

        Its region is that of the queue. Without a gateway in it, it is not known which one accepted it, so all of ours
        are told.
        """
        subject = results_subject(result.region, result.execution_id)
        if not await self._bus.store_first(subject, wire.pack(result)):
            return False
        await self._feeds.end(result, (result.gateway,) if result.gateway else self._region.gateways)
        return True
