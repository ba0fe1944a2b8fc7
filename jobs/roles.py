"""Who may say and hear what on a region's NATS: a table of roles, as plain data. ``yurt bootstrap`` makes users of it.

A role belongs to a region, its *home*, and works across the regions that its home knows. Rights name streams one by
one, because a server's wildcards stand for whole words: one for "any queue" would be one for any stream.

Rules
1. A role hears replies on ``_INBOX.<role>.>`` alone, so that none reads what is answered to another.
2. Whoever answers requests may do so once for each (``answers``), and needs no right to publish to inboxes.
3. Only the admin changes streams and consumers, and only its home's. A gateway makes the lost stream of output again.
4. Acknowledgements are ``$JS.ACK.>`` as a whole: the server's newer form names an account before the stream, and none
   but queues have consumers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from jobs.states import Class
from jobs.streams import (
    ALL_OUTPUT,
    ANY,
    control_subject,
    dead_stream,
    dead_subject,
    jobs_stream,
    jobs_subject,
    output_stream,
    output_subject,
    results_stream,
    results_subject,
    runner_subject,
    scale_decision_subject,
    scale_leader_subject,
    scale_stream,
)

_API = "$JS.API"


class Role(StrEnum):
    #: takes submissions, tells what becomes of them, ends jobs that nobody else ends
    GATEWAY = "gateway"
    #: takes jobs, from its own region and from others, and stores their results
    RUNNER = "runner"
    #: looks at queues and beats, keeps its record
    AUTOSCALER = "autoscaler"
    #: somebody outside who reads output, and nothing else
    SUBSCRIBER = "subscriber"
    #: ``yurt bootstrap``: the streams and consumers of its region
    ADMIN = "admin"


@dataclass(frozen=True, kw_only=True)
class Permissions:
    """Subjects, with NATS's wildcards; what is not allowed is refused."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    answers: bool = False  #: may answer each request that it hears, once


def permissions(role: Role, home: str, others: Iterable[str] = ()) -> Permissions:
    """What *role* of region *home* may do; *others* are the further regions that home knows."""
    regions = (home, *(other for other in others if other != home))
    table = {
        Role.GATEWAY: _gateway,
        Role.RUNNER: _runner,
        Role.AUTOSCALER: _autoscaler,
        Role.SUBSCRIBER: _subscriber,
        Role.ADMIN: _admin,
    }
    return table[role](home, regions)


def _gateway(home: str, regions: tuple[str, ...]) -> Permissions:
    own_queues = queues([home])
    return Permissions(
        publish=(
            *(jobs_subject(region, ANY, ANY) for region in regions),
            *(results_subject(region, ANY) for region in regions),  # what is cancelled or given up, and its records
            *(control_subject(region, ANY) for region in regions),
            output_subject(ANY, ANY),
            dead_subject(home, ANY),
            *_looks_at_queues(regions),
            *(f"{_API}.DIRECT.GET.{results_stream(region)}" for region in regions),
            *(f"{_API}.DIRECT.GET.{output_stream(region)}" for region in regions),
            # the warden, and what waits told again
            *(f"{_API}.STREAM.INFO.{stream}" for stream in (results_stream(home), dead_stream(home))),
            *(f"{_API}.DIRECT.GET.{stream}" for stream in own_queues),
            *(f"{_API}.STREAM.MSG.GET.{stream}" for stream in (*own_queues, dead_stream(home))),
            *(f"{_API}.STREAM.MSG.DELETE.{stream}" for stream in own_queues),
            *(f"{_API}.STREAM.{verb}.{output_stream(home)}" for verb in ("INFO", "CREATE")),
        ),
        subscribe=(
            _inbox(Role.GATEWAY),
            ALL_OUTPUT,
            *(runner_subject(region, ANY) for region in regions),
        ),
    )


def _runner(home: str, regions: tuple[str, ...]) -> Permissions:
    return Permissions(
        publish=(
            "$JS.ACK.>",
            *(f"{_API}.CONSUMER.MSG.NEXT.{stream}.{ANY}" for stream in queues(regions)),
            *_looks_at_queues(regions),
            *(f"{_API}.STREAM.INFO.{stream}" for stream in (results_stream(home), dead_stream(home))),
            *(f"{_API}.DIRECT.GET.{results_stream(region)}" for region in regions),
            *(results_subject(region, ANY) for region in regions),
            *(dead_subject(region, ANY) for region in regions),
            output_subject(ANY, ANY),
            runner_subject(home, ANY),
        ),
        subscribe=(_inbox(Role.RUNNER), *(control_subject(region, ANY) for region in regions)),
        answers=True,
    )


def _autoscaler(home: str, regions: tuple[str, ...]) -> Permissions:
    return Permissions(
        publish=(
            *_looks_at_queues([home]),
            scale_decision_subject(home, ANY),
            scale_leader_subject(home),
            *(f"{_API}.{verb}.{scale_stream(home)}" for verb in ("STREAM.INFO", "STREAM.PURGE", "DIRECT.GET")),
        ),
        subscribe=(_inbox(Role.AUTOSCALER), runner_subject(home, ANY)),
    )


def _subscriber(home: str, regions: tuple[str, ...]) -> Permissions:
    return Permissions(
        publish=tuple(f"{_API}.DIRECT.GET.{output_stream(region)}" for region in regions),
        subscribe=(_inbox(Role.SUBSCRIBER), ALL_OUTPUT),
    )


def _admin(home: str, regions: tuple[str, ...]) -> Permissions:
    streams = (*queues([home]), results_stream(home), output_stream(home), dead_stream(home), scale_stream(home))
    return Permissions(
        publish=(
            f"{_API}.INFO",
            f"{_API}.STREAM.NAMES",
            f"{_API}.STREAM.LIST",
            jobs_subject(home, ANY, ANY),  # a job that changes its fleet may have to be queued again
            *(f"{_API}.{verb}.{stream}" for stream in streams for verb in ("STREAM.*", "STREAM.MSG.*", "DIRECT.GET")),
            *(f"{_API}.CONSUMER.*.{stream}" for stream in queues([home])),
            *(f"{_API}.CONSUMER.*.{stream}.>" for stream in queues([home])),
            *(f"{_API}.CONSUMER.DURABLE.CREATE.{stream}.{ANY}" for stream in queues([home])),
        ),
        subscribe=(_inbox(Role.ADMIN),),
    )


def queues(regions: Iterable[str]) -> tuple[str, ...]:
    """The names of the streams in which jobs of *regions* wait."""
    return tuple(jobs_stream(region, job_class) for region in regions for job_class in Class)


def _looks_at_queues(regions: Iterable[str]) -> tuple[str, ...]:
    """Depth, consumers and what they have delivered; changes nothing."""
    names = queues(regions)
    return (
        *(f"{_API}.STREAM.INFO.{stream}" for stream in names),
        *(f"{_API}.CONSUMER.{verb}.{stream}" for stream in names for verb in ("LIST", "NAMES")),
        *(f"{_API}.CONSUMER.INFO.{stream}.{ANY}" for stream in names),
    )


def _inbox(role: Role) -> str:
    return f"_INBOX.{role}.>"
