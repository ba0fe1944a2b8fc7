"""Subjects, streams and consumers as plain data. Where a message lies is decided here and nowhere else.

jobs.<region>.<class>.<language>     work queue, one stream a class, one consumer a class and fleet
results.<region>.<execution id>      the stored results: one message a subject, the first wins
output.<gateway>.<execution id>      what happens while a job lives (``jobs.events``), kept for a short while
control.<region>.<execution id>      said to the runner that has it; core NATS, answered
runners.<region>.<runner>            beats; core NATS
dead.<region>.<execution id>         jobs that could not even be read, or were given up, for a person to look at
scale.<region>.decision.<fleet>      what the autoscaler decided, JSON
scale.<region>.leader                which autoscaler decides
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from jobs.limits import MIB
from jobs.region import Fleet, Region
from jobs.states import Class

#: every consumer of jobs pulls in this one priority group: local runners at 0, remote ones at their RTT rank
PRIORITY_GROUP = "runners"

ANY = "*"  #: in place of one name of a subject: all of them
ALL_OUTPUT = "output.>"  #: what every gateway's executions tell

OUTPUT_MAX_AGE_S = 900
OUTPUT_MAX_BYTES = 256 * MIB
DEAD_MAX_AGE_S = 7 * 24 * 3600
SCALE_MAX_AGE_S = 24 * 3600
SCALE_MAX_BYTES = 64 * MIB
SCALE_KEPT = 5_000  #: decisions a fleet: nearly three hours, at one each two seconds
DUPLICATE_WINDOW_S = 120
#: sized for a region's most runners: JetStream's defaults (1,000 and 512) would stall them
MAX_ACK_PENDING = 20_000
MAX_WAITING = 4_096
#: a backstop: runners give a job up themselves after ``max_attempts``, and say so in a result
SPARE_DELIVERIES = 2


def jobs_subject(region: str, job_class: str, language: str) -> str:
    return f"jobs.{region}.{job_class}.{language}"


def results_subject(region: str, execution_id: str) -> str:
    return f"results.{region}.{execution_id}"


def output_subject(gateway: str, execution_id: str) -> str:
    return f"output.{gateway}.{execution_id}"


def control_subject(region: str, execution_id: str) -> str:
    return f"control.{region}.{execution_id}"


def runner_subject(region: str, runner: str) -> str:
    return f"runners.{region}.{runner}"


def dead_subject(region: str, execution_id: str) -> str:
    return f"dead.{region}.{execution_id}"


def scale_decision_subject(region: str, fleet: str) -> str:
    return f"scale.{region}.decision.{fleet}"


def scale_leader_subject(region: str) -> str:
    return f"scale.{region}.leader"


def jobs_stream(region: str, job_class: Class) -> str:
    return f"JOBS_{_upper(region)}_{job_class.upper()}"


def results_stream(region: str) -> str:
    return f"RESULTS_{_upper(region)}"


def output_stream(region: str) -> str:
    return f"OUTPUT_{_upper(region)}"


def dead_stream(region: str) -> str:
    return f"DEAD_{_upper(region)}"


def scale_stream(region: str) -> str:
    return f"SCALE_{_upper(region)}"


def _upper(region: str) -> str:
    return region.upper().replace("-", "_")


@dataclass(frozen=True, kw_only=True)
class ConsumerPlan:
    """A durable pull consumer, as the JetStream API's ``config`` (nanoseconds)."""

    stream: str
    name: str
    config: dict[str, Any] = field(hash=False)


@dataclass(frozen=True, kw_only=True)
class StreamPlan:
    """A stream, as the JetStream API's ``config`` (nanoseconds)."""

    name: str
    config: dict[str, Any] = field(hash=False)
    consumers: tuple[ConsumerPlan, ...] = ()


def plan(region: Region) -> tuple[StreamPlan, ...]:
    """Every stream and consumer of a region, in the order in which to create them."""
    return (*serving(region), output_plan(region), scale_plan(region))


def serving(region: Region, *, fleet: str | None = None) -> tuple[StreamPlan, ...]:
    """What gateways and runners need to be there: the queues, the results, the dead letters.

    Of the consumers that of *fleet* alone, where one is given (the empty one: none): the others may go meanwhile.
    """
    queues = [_queue(region, job_class) for job_class in Class]
    if fleet is not None:
        queues = [
            replace(queue, consumers=tuple(each for each in queue.consumers if each.name == fleet)) for queue in queues
        ]
    return (*queues, _results(region), _dead(region))


def _queue(region: Region, job_class: Class) -> StreamPlan:
    name = jobs_stream(region.name, job_class)
    config = _stream(
        region,
        name,
        [jobs_subject(region.name, job_class, ANY)],
        retention="workqueue",
        discard="new",
        max_msgs=region.queues.bound(job_class),
        max_msgs_per_subject=region.queues.per_language,
        discard_new_per_subject=True,
        duplicate_window=_ns(DUPLICATE_WINDOW_S),
        allow_direct=True,
    )
    consumers = tuple(_consumer(region, job_class, name, fleet) for fleet in region.fleets)
    return StreamPlan(name=name, config=config, consumers=consumers)


def _consumer(region: Region, job_class: Class, stream: str, fleet: Fleet) -> ConsumerPlan:
    config = {
        "durable_name": fleet.name,
        "name": fleet.name,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": _ns(region.delivery.ack_wait_s),
        "max_deliver": region.delivery.max_attempts + SPARE_DELIVERIES,
        "max_ack_pending": MAX_ACK_PENDING,
        "max_waiting": MAX_WAITING,
        "filter_subjects": [jobs_subject(region.name, job_class, language) for language in fleet.languages],
        "priority_policy": "prioritized",
        "priority_groups": [PRIORITY_GROUP],
    }
    return ConsumerPlan(stream=stream, name=fleet.name, config=config)


def _results(region: Region) -> StreamPlan:
    name = results_stream(region.name)
    subjects = [results_subject(region.name, ANY)]
    return StreamPlan(
        name=name, config=_stream(region, name, subjects, max_age=_ns(region.results.max_age_s), allow_direct=True)
    )


def output_plan(region: Region) -> StreamPlan:
    """The one stream in memory: on a lone server it goes when the server does, and a gateway makes it anew."""
    name = output_stream(region.name)
    subjects = [f"output.{gateway}.>" for gateway in region.gateways]
    config = _stream(
        region,
        name,
        subjects,
        storage="memory",
        num_replicas=1,
        max_age=_ns(OUTPUT_MAX_AGE_S),
        max_bytes=OUTPUT_MAX_BYTES,
        allow_direct=True,
    )
    return StreamPlan(name=name, config=config)


def _dead(region: Region) -> StreamPlan:
    name = dead_stream(region.name)
    subjects = [f"dead.{region.name}.>"] + [
        f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{jobs_stream(region.name, job_class)}.>" for job_class in Class
    ]
    return StreamPlan(
        name=name, config=_stream(region, name, subjects, max_age=_ns(DEAD_MAX_AGE_S), max_bytes=256 * MIB)
    )


def scale_plan(region: Region) -> StreamPlan:
    """The autoscaler's record, and its lock (whose messages end by their own time to live)."""
    config = _stream(
        region,
        scale_stream(region.name),
        [scale_decision_subject(region.name, ANY), scale_leader_subject(region.name)],
        max_age=_ns(SCALE_MAX_AGE_S),
        max_bytes=SCALE_MAX_BYTES,
        max_msgs_per_subject=SCALE_KEPT,
        allow_direct=True,
        allow_msg_ttl=True,
    )
    return StreamPlan(name=config["name"], config=config)


def _stream(region: Region, name: str, subjects: list[str], **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "subjects": subjects,
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "num_replicas": region.replicas,
        **({"placement": {"cluster": region.cluster}} if region.cluster else {}),
        **more,
    }


def _ns(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
