"""What a region's streams and consumers must become, field by field; and what is refused, for it would lose something.

Pure: a comparison of what is planned (``jobs.streams.plan``) with what there is (``yurt.bootstrap.live``).

Rules
1. Whatever the region file does not say is at the server's default afterwards: the file is the whole truth.
2. Queued jobs are never given up: bounds stay above what lies in a queue, and a language with jobs goes only to a fleet
   that runners pull for, unless told otherwise (``idle``). How consumers change is ``yurt.bootstrap.fleets``.
3. Stored results, output and decisions may be let go earlier only when told so (``forget``).
4. What the server cannot change in a living stream is refused here, with the way round it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from jobs.streams import ConsumerPlan, StreamPlan
from yurt.bootstrap.live import LiveConsumer, LiveStream

#: what the server takes where a stream's plan says nothing; other fields of it are compared only where planned
_STREAM_DEFAULTS: Mapping[str, Any] = {
    "max_msgs": -1,
    "max_bytes": -1,
    "max_age": 0,
    "max_msgs_per_subject": -1,
    "max_msg_size": -1,
    "discard_new_per_subject": False,
    "allow_direct": False,
    "allow_msg_ttl": False,
    "placement": None,
}
_CONSUMER_DEFAULTS: Mapping[str, Any] = {"max_deliver": -1, "filter_subject": "", "filter_subjects": []}
_FIXED_IN_STREAMS = ("storage", "retention")
_FIXED_IN_CONSUMERS = ("ack_policy", "deliver_policy", "priority_policy")
_DURATIONS = ("max_age", "ack_wait", "duplicate_window")
_SETS = ("subjects", "filter_subjects", "priority_groups")


class What(StrEnum):
    #: it is not there
    CREATE = "create"
    #: it differs
    CHANGE = "change"
    #: it is not planned any more
    DELETE = "delete"


@dataclass(frozen=True, kw_only=True)
class Difference:
    name: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.name}: {_told(self.name, self.old)} → {_told(self.name, self.new)}"


@dataclass(frozen=True, kw_only=True)
class Change:
    """*target*: a stream's name, or ``stream/consumer``."""

    target: str
    what: What
    differences: tuple[Difference, ...] = ()
    stream: StreamPlan | None = None
    consumer: ConsumerPlan | None = None

    def lines(self) -> Iterator[str]:
        yield f"{self.target}: {self.what}"
        yield from (f"  {difference}" for difference in self.differences)


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """What a person has said yes to."""

    forget: bool = False  #: stored results, output and decisions may go earlier
    idle: bool = False  #: queued jobs may go to a fleet that no runner pulls for yet


@dataclass(frozen=True, kw_only=True)
class Changes:
    streams: tuple[Change, ...] = ()
    consumers: tuple[Change, ...] = ()
    steps: tuple[str, ...] = ()  #: how the consumers change, in words and in order
    refusals: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.streams or self.consumers or self.steps or self.refusals)

    @property
    def alters(self) -> bool:
        """Whether something that is there becomes something else."""
        return any(change.what is not What.CREATE for change in (*self.streams, *self.consumers))

    def lines(self) -> Iterator[str]:
        for change in (*self.streams, *self.consumers):
            yield from change.lines()
        if any(change.what is not What.CREATE for change in self.consumers) or not self.consumers:
            yield from self.steps


def compare(plans: Sequence[StreamPlan], live: Mapping[str, LiveStream], allowed: Allowed | None = None) -> Changes:
    """What would turn *live* into *plans*, and why some of it may not be done."""
    allowed = allowed or Allowed()
    streams: list[Change] = []
    consumers: list[Change] = []
    refusals: list[str] = []
    for plan in plans:
        there = live.get(plan.name)
        if there is None:
            streams.append(Change(target=plan.name, what=What.CREATE, stream=plan))
        elif differences := _differences(plan.config, there.config, _STREAM_DEFAULTS):
            refusals += _stream_refusals(there, differences, allowed)
            streams.append(Change(target=plan.name, what=What.CHANGE, differences=differences, stream=plan))
        changes = tuple(_consumer_changes(plan, there.consumers if there is not None else ()))
        consumers += changes
        if there is not None:
            refusals += _consumer_refusals(plan, there, changes, allowed)
    return Changes(streams=tuple(streams), consumers=tuple(consumers), refusals=tuple(refusals))


def _differences(
    wanted: Mapping[str, Any], live: Mapping[str, Any], defaults: Mapping[str, Any]
) -> tuple[Difference, ...]:
    names = [*wanted, *(name for name in defaults if name not in wanted)]
    found = []
    for name in names:
        new, old = wanted.get(name, defaults.get(name)), live.get(name, defaults.get(name))
        if name in _SETS:
            new, old = sorted(new or ()), sorted(old or ())
        if name == "placement":
            new, old = _place(new), _place(old)
        if new != old:
            found.append(Difference(name=name, old=old, new=new))
    return tuple(found)


def _place(placement: Mapping[str, Any] | None) -> str:
    return str((placement or {}).get("cluster", ""))


def _consumer_changes(plan: StreamPlan, there: Iterable[LiveConsumer]) -> Iterator[Change]:
    left = {consumer.name: consumer for consumer in there}
    for consumer in plan.consumers:
        live = left.pop(consumer.name, None)
        target = f"{plan.name}/{consumer.name}"
        if live is None:
            yield Change(target=target, what=What.CREATE, consumer=consumer)
        elif differences := _differences(consumer.config, live.config, _CONSUMER_DEFAULTS):
            yield Change(target=target, what=What.CHANGE, differences=differences, consumer=consumer)
    for name in left:
        yield Change(target=f"{plan.name}/{name}", what=What.DELETE)


# -- what would lose something ----------------------------------------------------------------------------------


def _stream_refusals(there: LiveStream, differences: Iterable[Difference], allowed: Allowed) -> Iterator[str]:
    is_queue = there.config.get("retention") == "workqueue"
    for difference in differences:
        said = f"{there.name}: {difference}"
        if difference.name in _FIXED_IN_STREAMS:
            yield f"{said}: no server changes that in a living stream; let it run empty, delete it, and run this again"
        elif difference.name == "placement" and difference.new not in ("", there.cluster):
            yield (
                f"{said}: it lies in {there.cluster or 'a server on its own'}; set up the region anew in"
                f" {difference.new}, and end this one when it has run empty"
            )
        elif is_queue:
            yield from _queue_refusals(there, difference, said)
        elif not allowed.forget:
            yield from _memory_refusals(there, difference, said)


def _queue_refusals(there: LiveStream, difference: Difference, said: str) -> Iterator[str]:
    if difference.name == "max_msgs" and 0 < difference.new < there.messages:
        yield f"{said}: {there.messages} jobs are queued or running there; wait until they are fewer, or keep more room"
    if difference.name == "max_msgs_per_subject" and difference.new > 0:
        for subject, count in sorted(there.by_subject.items()):
            if count > difference.new:
                yield f"{said}: {count} jobs are on {subject}; wait until they are fewer, or keep more room"
    if difference.name == "max_age" and difference.new > 0 and there.messages:
        yield f"{said}: queued jobs would be dropped by age; wait until the queue is empty"
    if difference.name == "subjects" and any(there.by_subject.values()):
        yield f"{said}: {sum(there.by_subject.values())} jobs are queued under the old ones; wait until they have run"


def _memory_refusals(there: LiveStream, difference: Difference, said: str) -> Iterator[str]:
    cure = "wait until it is older than that, or let it go with --forget"
    if difference.name == "max_age" and 0 < difference.new < there.oldest_s * 1e9:
        yield f"{said}: there are messages {there.oldest_s:.0f} s old, which would be dropped; {cure}"
    if difference.name == "max_bytes" and 0 < difference.new < there.bytes:
        yield f"{said}: {there.bytes} bytes are stored, and what is over would be dropped; {cure}"
    if difference.name == "max_msgs" and 0 < difference.new < there.messages:
        yield f"{said}: {there.messages} messages are stored, and what is over would be dropped; {cure}"
    if difference.name == "max_msgs_per_subject" and difference.new > 0:
        most = max(there.by_subject.values(), default=0)
        if most > difference.new:
            yield f"{said}: {most} messages are on one subject, and what is over would be dropped; {cure}"
    if difference.name == "subjects":
        gone = [subject for subject in difference.old if subject not in difference.new]
        for subject in gone:
            kept = sum(count for name, count in there.by_subject.items() if name.startswith(subject.rstrip(">*")))
            if kept:
                yield (
                    f"{said}: {kept} messages of {subject} are kept, whose listeners would lose what comes after them;"
                    f" stop that gateway and {cure}"
                )


def _consumer_refusals(
    plan: StreamPlan, there: LiveStream, changes: Iterable[Change], allowed: Allowed
) -> Iterator[str]:
    for change in changes:
        for difference in change.differences:
            if difference.name in _FIXED_IN_CONSUMERS:
                yield (
                    f"{change.target}: {difference}: no server changes that in a living consumer; let it run empty,"
                    " delete it, and run this again"
                )
    if not allowed.idle:
        yield from _left_alone(plan, there)


def _left_alone(plan: StreamPlan, there: LiveStream) -> Iterator[str]:
    """Languages that change their fleet while jobs of theirs are queued, and nobody asks for the new fleet's jobs."""
    pulled = {consumer.name for consumer in there.consumers if consumer.pulled}
    heir = {subject: consumer.name for consumer in plan.consumers for subject in consumer.config["filter_subjects"]}
    for consumer in there.consumers:
        for subject in consumer.subjects:
            queued, to = there.by_subject.get(subject, 0), heir.get(subject, consumer.name)
            if queued and to != consumer.name and to not in pulled:
                yield (
                    f"{plan.name}/{consumer.name}: {queued} jobs on {subject} are queued or running, and no runner"
                    f" pulls for fleet {to}, which would have them; let them run first, or say --idle and start runners"
                    f" of {to} before the jobs expire"
                )


def _told(name: str, value: Any) -> str:
    if name in _DURATIONS and isinstance(value, int):
        return f"{value / 1e9:g} s" if value else "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if value in ("", None):
        return "none"
    return "no bound" if value == -1 else str(value)
