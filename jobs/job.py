"""One accepted submission, as it lies in the queue."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.states import Class
from jobs.submission import Submission


@dataclass(frozen=True, kw_only=True)
class Job:
    """A submission with its identity. Times are milliseconds since the epoch.

    ``gateway`` is the name under which output goes back (``output.<gateway>.<id>``); ``region`` is the region whose
    queue holds the job and whose stream will hold its result; ``placed`` says why that one (``gateway.placement``).
    ``start_by_ms``: not started by then, it is *expired*.
    """

    id: str
    user_id: str
    submission: Submission
    job_class: Class
    region: str
    gateway: str
    created_at_ms: int
    start_by_ms: int
    correlation_id: str
    placed: str = "home"
