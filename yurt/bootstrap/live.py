"""What there is of a region on its NATS now: streams, consumers, and how much lies in each. Read, never changed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jobs.errors import ConfigFault, Unavailable
from jobs.service.bus import ApiError, Bus, NotAllowed
from jobs.service.streams_there import NO_STREAM
from jobs.streams import StreamPlan

READY_S = 60.0  #: a cluster that has just come up chooses its leaders for some seconds
_ANSWER_S = 5.0
_LOOK_S = 0.25
_NO_JETSTREAM = (10039, 10076)  #: not enabled for the account, or on the server


@dataclass(frozen=True, kw_only=True)
class LiveConsumer:
    stream: str
    name: str
    config: Mapping[str, Any] = field(hash=False)
    waiting: int  #: jobs not yet delivered
    running: int  #: delivered, and not yet acknowledged
    pulled: bool  #: somebody asks for jobs now, or has some: a busy runner asks for none

    @property
    def subjects(self) -> tuple[str, ...]:
        return tuple(self.config.get("filter_subjects") or (self.config.get("filter_subject", ""),))


@dataclass(frozen=True, kw_only=True)
class LiveStream:
    name: str
    config: Mapping[str, Any] = field(hash=False)
    cluster: str  #: where it lies; empty on a lone server
    messages: int
    bytes: int
    oldest_s: float  #: age of its oldest message; 0 where there is none
    by_subject: Mapping[str, int] = field(hash=False, default_factory=dict)  #: of those subjects that were asked for
    consumers: tuple[LiveConsumer, ...] = ()


async def until_ready(bus: Bus, *, wait_s: float = READY_S) -> None:
    """JetStream answers when it returns; raises ``Unavailable`` after *wait_s*, ``ConfigFault`` where it is off."""
    deadline = asyncio.get_running_loop().time() + wait_s
    while True:
        try:
            await bus.api("STREAM.NAMES", timeout_s=_ANSWER_S)
            return
        except ApiError as error:
            if error.code in _NO_JETSTREAM:
                raise ConfigFault(
                    f"the NATS server has no JetStream for us: {error}; see its jetstream block"
                ) from error
            last: Exception = error
        except NotAllowed:
            raise
        except Unavailable as away:
            last = away
        if asyncio.get_running_loop().time() > deadline:
            raise Unavailable(f"JetStream is not ready after {wait_s:.0f} s: {last}")
        await asyncio.sleep(_LOOK_S)


async def look(bus: Bus, plans: Iterable[StreamPlan]) -> dict[str, LiveStream]:
    """Those of the planned streams that are there, by name."""
    found = await asyncio.gather(*(_stream(bus, plan) for plan in plans))
    return {stream.name: stream for stream in found if stream is not None}


async def _stream(bus: Bus, plan: StreamPlan) -> LiveStream | None:
    try:
        info = await bus.api(f"STREAM.INFO.{plan.name}", timeout_s=_ANSWER_S)
    except ApiError as error:
        if error.code == NO_STREAM:
            return None
        raise
    config, state = info["config"], info["state"]
    consumers = await _consumers(bus, plan.name) if plan.consumers else ()
    by_subject: dict[str, int] = {}
    for subject in _of_interest(plan, config, consumers):
        by_subject |= await _count(bus, plan.name, subject)
    return LiveStream(
        name=plan.name,
        config=config,
        cluster=(info.get("cluster") or {}).get("name", ""),
        messages=int(state["messages"]),
        bytes=int(state["bytes"]),
        oldest_s=_age_s(info["ts"], state["first_ts"]) if state["messages"] else 0.0,
        by_subject=by_subject,
        consumers=consumers,
    )


def _of_interest(plan: StreamPlan, live: Mapping[str, Any], consumers: Iterable[LiveConsumer]) -> list[str]:
    """The subjects whose messages a change would touch one by one: those that go, or go to another consumer."""
    bound, before = plan.config.get("max_msgs_per_subject", -1), live.get("max_msgs_per_subject", -1)
    if bound > 0 and (before <= 0 or bound < before):
        return [">"]
    gone = [subject for subject in live.get("subjects", ()) if subject not in plan.config["subjects"]]
    owner = {subject: each.name for each in plan.consumers for subject in each.config["filter_subjects"]}
    moving = [subject for each in consumers for subject in each.subjects if owner.get(subject, each.name) != each.name]
    return gone + moving


async def _count(bus: Bus, stream: str, subject: str) -> dict[str, int]:
    info = await bus.api(f"STREAM.INFO.{stream}", {"subjects_filter": subject}, timeout_s=_ANSWER_S)
    return {name: int(count) for name, count in (info["state"].get("subjects") or {}).items()}


async def _consumers(bus: Bus, stream: str) -> tuple[LiveConsumer, ...]:
    found: list[LiveConsumer] = []
    while True:
        page = await bus.api(f"CONSUMER.LIST.{stream}", {"offset": len(found)}, timeout_s=_ANSWER_S)
        consumers = page.get("consumers") or []
        found += [_consumer(stream, info) for info in consumers]
        if not consumers or len(found) >= int(page["total"]):
            return tuple(found)


def _consumer(stream: str, info: dict[str, Any]) -> LiveConsumer:
    return LiveConsumer(
        stream=stream,
        name=info["name"],
        config=info["config"],
        waiting=int(info["num_pending"]),
        running=int(info["num_ack_pending"]),
        pulled=int(info["num_waiting"]) + int(info["num_ack_pending"]) > 0,
    )


def _age_s(now: str, then: str) -> float:
    return max(0.0, (_moment(now) - _moment(then)).total_seconds())


def _moment(text: str) -> datetime:
    """The server writes nanoseconds, which are more than datetime reads."""
    head, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{fraction[:6] or '0':0<6}+00:00")
