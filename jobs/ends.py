"""Results of executions that no sandbox ran to their end: expired, cancelled while they waited, given up. Pure."""

from __future__ import annotations

from jobs.events import Queued
from jobs.job import Job
from jobs.result import Result, Timeline
from jobs.states import Cause, State


def queued_of(job: Job) -> Queued:
    submission = job.submission
    return Queued(
        execution_id=job.id,
        user_id=job.user_id,
        language=submission.language.value,
        version=submission.version,
        variant=submission.variant,
        region=job.region,
        job_class=job.job_class,
        created_at_ms=job.created_at_ms,
        start_by_ms=job.start_by_ms,
        gateway=job.gateway,
        placed=job.placed,
    )


def unrun(
    queued: Queued,
    state: State,
    cause: Cause | None,
    message: str,
    gateway: str,
    now_ms: int,
    *,
    attempt: int = 0,
    runner: str | None = None,
    started_at_ms: int | None = None,
) -> Result:
    """The result of an execution that ended without a runner's word."""
    return Result(
        execution_id=queued.execution_id,
        user_id=queued.user_id,
        gateway=gateway,
        state=state,
        language=queued.language,
        version=queued.version,
        variant=queued.variant,
        region=queued.region,
        runner=runner,
        attempt=attempt,
        cause=cause,
        message=message,
        timeline=Timeline(
            created_at_ms=queued.created_at_ms,
            started_at_ms=started_at_ms,
            finished_at_ms=now_ms,
            queued_ms=float((started_at_ms or now_ms) - queued.created_at_ms),
            total_ms=float(now_ms - queued.created_at_ms),
        ),
        placed=queued.placed,
    )
