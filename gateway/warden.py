"""Every accepted job ends: the warden ends those in its region's queues that nobody else will.

Theory of operation. Runners settle what they take. Two kinds of job are left: one that no runner ever took (there is
none, or none for its language), and one whose runners were lost until the server stopped delivering it. Every few
seconds each queue is looked at from its oldest message on, as far as messages are older than any job may wait. A
message that was never delivered and is past its start-by time (with a grace, for runners settle that themselves)
becomes *expired*. One that was delivered is left alone for as long as its attempts may take at most; past that it
becomes *failed*, cause *lost runner*, as does one that the server says it has given up (its advisory is kept in the
dead stream). The result is stored first, and the first result wins; only then is the message deleted. So it does no
harm when every gateway has a warden, or when a runner comes back in the middle of it. What this gateway has placed in
another region's queue is for the wardens there.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from gateway.admission import Admission
from gateway.archive import Archive
from jobs import wire
from jobs.ends import queued_of, unrun
from jobs.errors import Unavailable, WireFault
from jobs.job import Job
from jobs.region import Region
from jobs.result import Result
from jobs.service.bus import ApiError, Bus
from jobs.service.logs import event
from jobs.states import Cause, Class, State
from jobs.streams import dead_stream, dead_subject, jobs_stream

log = logging.getLogger("warden")

EVERY_S = 5.0
GRACE_S = 90.0
AT_ONCE = 200  #: messages of one queue that one look goes through


class Warden:
    def __init__(
        self, *, bus: Bus, region: Region, admission: Admission, archive: Archive, now_ms: Callable[[], int]
    ) -> None:
        self._bus = bus
        self._region = region
        self._admission = admission
        self._archive = archive
        self._now_ms = now_ms
        self._advisories_read = dict.fromkeys(Class, 0)

    async def look(self) -> int:
        """One look at every queue; how many jobs it ended. A part that is away is looked at the next time."""
        ended = 0
        for job_class in Class:
            try:
                ended += await self._look_at_age(job_class)
                ended += await self._look_at_advisories(job_class)
            except (Unavailable, ApiError) as fault:
                log.debug("action=warden_waits class=%s fault=%s", job_class, fault)
        return ended

    async def _look_at_age(self, job_class: Class) -> int:
        stream = jobs_stream(self._region.name, job_class)
        state = (await self._bus.api(f"STREAM.INFO.{stream}"))["state"]
        if not state["messages"] or self._age_ms(state["first_ts"]) < self._patience_ms:
            return 0
        delivered = await self._delivered(stream)
        seq, ended = int(state["first_seq"]), 0
        for _ in range(AT_ONCE):
            message = await self._message(
                stream, {"seq": seq, "next_by_subj": f"jobs.{self._region.name}.{job_class}.*"}
            )
            if message is None or self._age_ms(message["time"]) < self._patience_ms:
                break
            at = int(message["seq"])
            ended += await self._judge(stream, at, message, was_delivered=at <= delivered)
            seq = at + 1
        return ended

    @property
    def _patience_ms(self) -> float:
        """No message younger than this can be overdue."""
        return (self._region.delivery.start_by_s + GRACE_S) * 1000

    def _age_ms(self, moment: str) -> float:
        # nanoseconds are more than datetime reads
        head, _, fraction = moment.rstrip("Z").partition(".")
        at = datetime.fromisoformat(f"{head}.{fraction[:6] or '0':0<6}+00:00")
        return self._now_ms() - at.timestamp() * 1000

    async def _delivered(self, stream: str) -> int:
        """The newest message of the stream that any of its consumers has delivered."""
        consumers = (await self._bus.api(f"CONSUMER.LIST.{stream}"))["consumers"] or ()
        return max((int(info["delivered"]["stream_seq"]) for info in consumers), default=0)

    async def _message(self, stream: str, which: dict[str, Any]) -> dict[str, Any] | None:
        try:
            return (await self._bus.api(f"STREAM.MSG.GET.{stream}", which))["message"]  # type: ignore[no-any-return]
        except ApiError:
            return None  # there is none, or it was settled in the meantime

    async def _judge(self, stream: str, seq: int, message: dict[str, Any], *, was_delivered: bool) -> bool:
        job = await self._job(stream, seq, message)
        if job is None:
            return False
        deadline_ms = job.start_by_ms + GRACE_S * 1000
        if was_delivered:
            deadline_ms += self._region.delivery.max_attempts * _longest_s(job) * 1000
        if self._now_ms() < deadline_ms:
            return False
        return await self._end(stream, seq, job, given_up=False)

    async def _job(self, stream: str, seq: int, message: dict[str, Any]) -> Job | None:
        """The job in a message. What cannot be read goes to the dead stream, for a person."""
        data = base64.b64decode(message.get("data", ""))
        try:
            return wire.unpack_as(Job, data)
        except WireFault as fault:
            event(log, "job_unreadable", level=logging.ERROR, stream=stream, seq=seq, fault=fault)
            await self._bus.keep(dead_subject(self._region.name, f"{stream}-{seq}"), data)
            await self._delete(stream, seq)
            return None

    async def _end(self, stream: str, seq: int, job: Job, *, given_up: bool) -> bool:
        result = await self._result(job, given_up=given_up)
        stored = await self._admission.settle(result)
        await self._delete(stream, seq)
        if stored:
            event(log, "job_ended_by_warden", execution_id=job.id, state=result.state, cause=result.cause)
        return stored

    async def _result(self, job: Job, *, given_up: bool) -> Result:
        feed = (await self._archive.search(job.id)).feed
        running = feed.running if feed is not None else None
        queued = queued_of(job)
        if running is None and not given_up:
            waited = f"{self._region.delivery.start_by_s:.0f} s"
            message = f"No runner could start it within {waited}."
            return unrun(queued, State.EXPIRED, Cause.PLATFORM, message, job.gateway, self._now_ms())
        return unrun(
            queued,
            State.FAILED,
            Cause.LOST_RUNNER,
            "The runners that had it were lost, each time it was tried.",
            job.gateway,
            self._now_ms(),
            attempt=running.attempt if running is not None else self._region.delivery.max_attempts,
            runner=running.runner if running is not None else None,
            started_at_ms=running.started_at_ms if running is not None else None,
        )

    async def _delete(self, stream: str, seq: int) -> None:
        try:
            await self._bus.api(f"STREAM.MSG.DELETE.{stream}", {"seq": seq, "no_erase": True})
        except ApiError:
            log.debug("action=already_deleted stream=%s seq=%d", stream, seq)

    async def _look_at_advisories(self, job_class: Class) -> int:
        """Jobs that the server delivers no more, by its own word."""
        stream, ended = jobs_stream(self._region.name, job_class), 0
        subject = f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{stream}.>"
        for _ in range(AT_ONCE):
            which = {"seq": self._advisories_read[job_class] + 1, "next_by_subj": subject}
            advisory = await self._message(dead_stream(self._region.name), which)
            if advisory is None:
                break
            seq = int(json.loads(base64.b64decode(advisory["data"]))["stream_seq"])
            message = await self._message(stream, {"seq": seq})
            if message is not None and (job := await self._job(stream, seq, message)) is not None:
                ended += await self._end(stream, seq, job, given_up=True)
            self._advisories_read[job_class] = int(advisory["seq"])
        return ended


def _longest_s(job: Job) -> float:
    """The most that one attempt may take."""
    submission = job.submission
    return submission.limits.compile_seconds + submission.timeout_s * max(1, len(submission.cases or ())) + GRACE_S
