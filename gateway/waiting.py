"""Jobs that wait, told again: after NATS has lost what it kept in memory.

The ``OUTPUT`` stream lives in memory, and with it the word that an execution is queued. When NATS comes back without it
and it is made anew, the queues, which are files, still have the jobs: each is read once, and ``Queued`` is said of it
again, so that any gateway can answer for it before it begins.

Whether that has to be done is told by age: a queue that holds a job older than the ``OUTPUT`` stream holds one that
nothing is said of. Whether the stream is empty tells nothing: under load it has something to keep at once.
"""

from __future__ import annotations

import logging
from datetime import datetime

from jobs import streams, wire
from jobs.ends import queued_of
from jobs.errors import WireFault
from jobs.job import Job
from jobs.region import Region
from jobs.service.bus import Bus
from jobs.service.logs import event
from jobs.states import Class

log = logging.getLogger("waiting")

PAGE = 50  #: jobs read at once: each may be as large as a body


async def tell_waiting(bus: Bus, region: Region) -> int:
    """How many were told; none where all are remembered. Raises ``Unavailable`` when NATS is away."""
    kept = await bus.api(f"STREAM.INFO.{streams.output_stream(region.name)}")
    told = 0
    for job_class in Class:
        queue = await bus.api(f"STREAM.INFO.{streams.jobs_stream(region.name, job_class)}")
        if queue["state"]["messages"] and _time(queue["state"]["first_ts"]) < _time(kept["created"]):
            told += await _tell(bus, region, job_class)
    if told:
        event(log, "waiting_told", jobs=told)
    return told


def _time(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp)


async def _tell(bus: Bus, region: Region, job_class: Class) -> int:
    stream = streams.jobs_stream(region.name, job_class)
    start, told = 1, 0
    while page := await bus.page(stream, f"jobs.{region.name}.{job_class}.*", start=start, most=PAGE):
        for _, data in page:
            try:
                job = wire.unpack_as(Job, data)
            except WireFault:
                continue  # a runner will say what is wrong with it
            bus.publish(streams.output_subject(job.gateway, job.id), wire.pack(queued_of(job)))
            told += 1
        start = page[-1][0] + 1
    return told
