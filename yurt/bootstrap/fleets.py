"""The consumers of a live queue, from what the server has to what a region file plans: nothing lost, nothing run twice.

Theory of operation. A queue is one work-queue stream; each fleet has one durable consumer on it whose filters are its
languages' subjects. What nats-server 2.15.1 does when a filter changes was found by trying, on one server and on three:

 1. No two consumers may filter one subject (10100): a language leaves one consumer before it enters the other, and in
    between nobody delivers it; its jobs wait in the stream.
 2. Jobs in flight when their language leaves stay with the consumer that delivered them, through restarts and changes
    of leader: beats and acknowledgements are taken, the silent ones are redelivered by it, to its own runners.
 3. A consumer only ever goes forward. What a language has waiting before the position of the consumer that it enters is
    delivered by nobody, ever. And the position is not told: ``delivered`` is the last message that matched, while the
    consumer has silently gone past all that did not.
 4. CONSUMER.RESET sets the position, and forgets all that is in flight: later acknowledgements are not taken, and every
    such job is run a second time. It is harmless only where nothing is in flight.
 5. A job in flight with one consumer and delivered by another too is not removed by one acknowledgement: it runs twice.
 6. A paused consumer delivers nothing and goes past nothing, takes acknowledgements, and wakes by itself when its time
    is over, whatever became of who paused it. Ended by hand, it sleeps on until the next message or pull request comes:
    so a pause is ended by setting its end to a moment from now. A cluster answers before the consumer's leader knows
    of it: only what CONSUMER.INFO says afterwards is so.
 7. A consumer that is deleted takes its jobs in flight with it: their acknowledgements fail, and its successor of the
    same name starts at the stream's first message.
 8. No filters at all means every subject.

So a language moves like this, and every step leaves a state from which the next run goes on:

    leave      The donor is paused for a moment, so that its ``delivered`` is exact: what lies up to there is in flight,
               what lies beyond waits. In one update the language leaves its filters and that number enters its
               metadata. A consumer that has nothing left filters a subject that nobody uses.
    settle     Until no job in flight lies where the receiver may still deliver it (4, 5), for a bounded time. Under
               load the receiver is past them at once, and nothing waits.
    take up    The receiver is paused. If nothing of its own is in flight, or as soon as that is so, its position is set
               to where the language was left. Until then the waiting jobs are *carried*: published again behind the
               receiver's position, then deleted where they were (in this order: a crash in between makes a copy, which
               the stream's window of duplicates refuses). Past the time that it may stand still the position is set
               all the same; its few jobs in flight may then run twice, and the first result wins.
               In one update the languages enter its filters; then it goes on.
    remove     A consumer that is planned no more stays until nothing is in flight with it, for a bounded time; what is
               left then is carried.

``steps`` is pure: the next steps from what there is. ``change`` does the first of them until there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jobs.errors import ConfigFault, PlatformFault
from jobs.service.bus import Bus
from jobs.streams import ConsumerPlan, StreamPlan
from yurt.bootstrap.moving import PAUSE_S, Mover, Patience, Say, There, consumers, filters, language, languages

MOST_STEPS = 100


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step, in words, and what it is done to."""

    kind: str  #: make, leave, take_up, adjust, wake, remove
    consumer: str
    words: str
    subjects: tuple[str, ...] = field(default=())


async def look(bus: Bus, plan: StreamPlan) -> list[str]:
    """What ``change`` would do now, in words; nothing is changed. Raises what ``change`` raises."""
    return [step.words for step in steps(await consumers(bus, plan.name), plan)]


async def change(
    bus: Bus, plan: StreamPlan, *, say: Say = lambda words: None, patience: Patience | None = None
) -> list[str]:
    """The consumers of the stream *plan* as planned, when it returns; what was done, in words.

    *say* hears of each step before it is done. Raises ``ConfigFault`` where the plan would leave a language to nobody,
    ``Unavailable`` where NATS is away: then run it again, it goes on where it was. One at a time a region.
    """
    mover = Mover(bus, plan, say, patience or Patience())
    done: list[str] = []
    for _ in range(MOST_STEPS):
        there = await consumers(bus, plan.name)
        todo = steps(there, plan)
        if not todo:
            return done
        say(todo[0].words)
        await _do(mover, todo[0], there)
        done.append(todo[0].words)
    raise PlatformFault(f"the consumers of {plan.name} do not become what is planned; is somebody else changing them?")


# -- what is to be done -----------------------------------------------------------------------------


async def _do(mover: Mover, step: Step, there: Mapping[str, There]) -> None:
    if step.kind == "make":
        await mover.make(step.consumer, step.subjects)
    elif step.kind == "leave":
        await mover.leave(step.consumer, step.subjects)
    elif step.kind == "take_up":
        await mover.take_up(step.consumer, step.subjects, there.values())
    elif step.kind == "adjust":
        await mover.adjust(there[step.consumer])
    elif step.kind == "wake":
        await mover.wake(step.consumer)
    else:
        await mover.remove(there[step.consumer])


def steps(there: Mapping[str, There], plan: StreamPlan) -> list[Step]:
    """What is to be done, in order; raises ``ConfigFault`` where a language would be left to nobody."""
    wanted = {each.name: each for each in plan.consumers}
    _refuse(there, plan)
    if not there:
        return [
            Step(
                kind="make",
                consumer=each.name,
                words=_words(plan, each.name, "gets its consumer"),
                subjects=filters(each),
            )
            for each in plan.consumers
        ]
    todo = [_leave(plan, each, wanted.get(each.name)) for each in there.values()]
    todo += [_make(plan, name) for name in wanted if name not in there]
    todo += [_take_up(plan, each, there.get(each.name)) for each in plan.consumers]
    claimed = {subject for each in plan.consumers for subject in filters(each)}
    todo += [_adjust(plan, wanted[name], each, claimed) for name, each in there.items() if name in wanted]
    todo += [_wake(plan, each) for each in there.values() if 0 < each.sleeps_s <= PAUSE_S]
    todo += [_remove(plan, each) for each in there.values() if each.name not in wanted]
    return [step for step in todo if step is not None]


def _refuse(there: Mapping[str, There], plan: StreamPlan) -> None:
    owner: dict[str, str] = {}
    for each in plan.consumers:
        if not filters(each):
            raise ConfigFault(f"fleet {each.name} has no languages; give it one, or leave it out")
        for subject in filters(each):
            if subject in owner:
                raise ConfigFault(f"{language(subject)} is in fleets {owner[subject]} and {each.name}; keep one")
            owner[subject] = each.name
    lost = {subject: each.name for each in there.values() for subject in (*each.subjects, *each.left)}
    for subject, name in lost.items():
        if subject not in owner:
            raise ConfigFault(
                f"fleet {name} serves {language(subject)}, and in the new plan no fleet does: its jobs would wait for"
                f" nobody; put {language(subject)} into a fleet"
            )


def _leave(plan: StreamPlan, there: There, wanted: ConsumerPlan | None) -> Step | None:
    kept = filters(wanted) if wanted is not None else ()
    leaving = tuple(subject for subject in there.subjects if subject not in kept)
    if not leaving:
        return None
    words = _words(plan, there.name, f"gives up {languages(leaving)}; what it runs it ends")
    return Step(kind="leave", consumer=there.name, words=words, subjects=leaving)


def _make(plan: StreamPlan, name: str) -> Step:
    return Step(kind="make", consumer=name, words=_words(plan, name, "gets its consumer"))


def _take_up(plan: StreamPlan, wanted: ConsumerPlan, there: There | None) -> Step | None:
    missing = tuple(subject for subject in filters(wanted) if there is None or subject not in there.subjects)
    if not missing:
        return None
    words = _words(plan, wanted.name, f"takes up {languages(missing)}, and what of it waits")
    return Step(kind="take_up", consumer=wanted.name, words=words, subjects=missing)


def _adjust(plan: StreamPlan, wanted: ConsumerPlan, there: There, claimed: set[str]) -> Step | None:
    changed = [
        f"{key} from {there.config.get(key)} to {value}"
        for key, value in wanted.config.items()
        if key not in ("filter_subjects", "metadata") and there.config.get(key) != value
    ]
    if not changed and not claimed & there.left.keys():
        return None
    words = f"sets {', '.join(changed)}" if changed else "forgets what it had before"
    return Step(kind="adjust", consumer=there.name, words=_words(plan, there.name, words))


def _wake(plan: StreamPlan, there: There) -> Step:
    """Who changed it before us was cut off. A longer sleep is a person's will."""
    return Step(kind="wake", consumer=there.name, words=_words(plan, there.name, "takes jobs again"))


def _remove(plan: StreamPlan, there: There) -> Step:
    words = _words(plan, there.name, "goes, once what it runs has ended")
    return Step(kind="remove", consumer=there.name, words=words)


def _words(plan: StreamPlan, consumer: str, what: str) -> str:
    return f"{plan.name}: fleet {consumer} {what}"
