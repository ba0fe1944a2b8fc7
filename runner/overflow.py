"""Jobs of other regions, taken while this runner is idle: nearest region first, and only what nobody there takes.

Theory of operation. Each consumer of jobs serves pull requests by their priority: a region's own runners ask at 0,
those of other regions at their rank of distance, 1 to 9. So a request of ours that lies on a neighbour's queue gets a
job at once when no runner there has room, and never before a nearer runner that asks too. We ask for one job at a time,
for ``EXPIRES_S``, and only into room to spare (``Pressure.spare``). What a neighbour's consumers are is looked up every
``LOOK_S``: we ask only those all of whose languages we offer.

Rules
1. Nothing of our own may wait while we ask elsewhere, and a reserve stays free for it.
2. Of one region a lower class is asked while a better one has more waiting only up to its reserved share.
3. A region that does not answer is absent: it is looked for again, sooner than others, and nothing else waits for it.
   What was asked of it expires; the jobs of it that run here are settled when it is back (``runner.work``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from jobs.errors import Unavailable
from jobs.languages import Language
from jobs.service.atlas import Atlas
from jobs.service.bus import ApiError, Bus, OnMessage
from jobs.service.logs import event
from jobs.service.pull import Delivery, Puller
from jobs.states import Class
from jobs.streams import control_subject, jobs_stream
from runner.intake import RESERVED
from runner.origin import Origin, of_consumer

log = logging.getLogger("overflow")

EXPIRES_S = 2.0
LOOK_S = 15.0
LOOK_SOONER_S = 3.0  #: while a region does not answer
ANSWER_S = 2.0
PAUSE_S = 0.1  #: when there is nothing to spare
AVOID_S = 60.0
FARTHEST = 9  #: the last rank that a pull request can have

OnJob = Callable[[Origin, Delivery], None]


@dataclass(slots=True)
class _Queue:
    """One consumer of another region, and what we have of it."""

    origin: Origin
    rank: int
    puller: Puller
    running: int = 0
    came: int = 0
    maybe: bool = False  #: it may have something waiting
    avoided_until: float = 0.0


class Overflow:
    """Pulls from the neighbours for one runner. ``done`` when a job of theirs has left its slot.

    *languages*: what this runner offers; *spare*: how many more jobs there is room for, these here counted; *steady*:
    as the intake has it; *on_control*: what is said to runners of the regions that jobs may come from.
    """

    def __init__(
        self,
        bus: Bus,
        atlas: Atlas,
        *,
        languages: Callable[[], Iterable[Language]],
        spare: Callable[[], int],
        steady: int,
        on_job: OnJob,
        on_control: OnMessage,
        look_s: float = LOOK_S,
        expires_s: float = EXPIRES_S,
    ) -> None:
        self._bus, self._atlas = bus, atlas
        self._languages, self._spare, self._steady = languages, spare, steady
        self._on_job, self._on_control = on_job, on_control
        self._look_s, self._expires_s = look_s, expires_s
        self._queues: dict[tuple[str, str], _Queue] = {}  #: by stream and consumer; all that we ever asked
        self._open: tuple[_Queue, ...] = ()  #: those to ask now, the nearest first
        self._names: dict[str, tuple[str, ...]] = {}
        self._heard: set[str] = set()
        self._stopped = asyncio.Event()
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Look round and ask, until ``close``."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_round())
            group.create_task(self._take())

    def stop(self) -> None:
        """Ask no more; what lies still comes."""
        self._stopped.set()
        self._wake.set()

    async def close(self) -> None:
        """Ask no more and take back what lies; when this returns no more comes."""
        self.stop()
        await asyncio.gather(*(queue.puller.close() for queue in self._queues.values()))

    @property
    def running(self) -> int:
        return sum(queue.running for queue in self._queues.values())

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions that are asked now, nearest first."""
        return tuple(dict.fromkeys(queue.origin.region for queue in self._open))

    def done(self, origin: Origin) -> None:
        self._queues[origin.stream, origin.fleet].running -= 1
        self._wake.set()

    def avoid(self, origin: Origin) -> None:
        """It has jobs that this runner cannot do; each that comes here costs it an attempt."""
        self._queues[origin.stream, origin.fleet].avoided_until = asyncio.get_running_loop().time() + AVOID_S

    def wake(self) -> None:
        """There may be room again."""
        self._wake.set()

    # -- asking -------------------------------------------------------------------------------------------------

    async def _take(self) -> None:
        while not self._stopped.is_set():
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_S if self._ask() else self._expires_s):
                    await self._wake.wait()

    def _ask(self) -> bool:
        """Whether something is left that could not be asked now."""
        if not self._bus.connected:  # what is asked now would pile up
            return True
        left, now = False, asyncio.get_running_loop().time()
        free = self._spare() - self._lying()
        for queue in self._open:
            if queue.puller.outstanding or queue.avoided_until > now:
                continue
            if free <= 0 or queue.puller.resting or self._stays_behind(queue):
                left = True
                continue
            queue.puller.ask(1, expires_s=self._expires_s, on_end=self._ended(queue), priority=queue.rank)
            free -= 1
        return left

    def _lying(self) -> int:
        return sum(queue.puller.outstanding for queue in self._queues.values())

    def _stays_behind(self, queue: _Queue) -> bool:
        share = RESERVED.get(queue.origin.job_class)
        if share is None or queue.running < max(1, int(share * self._steady)):
            return False
        classes = list(Class)
        better = classes[: classes.index(queue.origin.job_class)]
        return any(
            other.maybe
            for other in self._open
            if other.origin.region == queue.origin.region and other.origin.job_class in better
        )

    def _ended(self, queue: _Queue) -> Callable[[], None]:
        came_before = queue.came

        def ended() -> None:
            if queue.came == came_before:
                queue.maybe = False
            self._wake.set()

        return ended

    def _receive(self, key: tuple[str, str], delivery: Delivery) -> None:
        queue = self._queues[key]
        queue.running += 1
        queue.came += 1
        queue.maybe = delivery.pending > 0
        self._on_job(queue.origin, delivery)
        self._wake.set()

    # -- looking round ------------------------------------------------------------------------------------------

    async def _look_round(self) -> None:
        while not self._stopped.is_set():
            complete = await self._look()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_s if complete else min(self._look_s, LOOK_SOONER_S)):
                    await self._stopped.wait()

    async def _look(self) -> bool:
        """Whether every neighbour answered."""
        regions = [neighbour.region for neighbour in self._atlas.neighbours]
        for region in regions:
            await self._listen(region)
        found = await asyncio.gather(*(self._consumers(region) for region in regions))
        offered = frozenset(self._languages())
        fit = [
            await self._queue(origin, min(rank, FARTHEST))
            for rank, origins in enumerate(found, start=1)
            for origin in origins
            if origin.languages <= offered
        ]
        before, self._open = self.regions, tuple(fit)
        if self.regions != before:
            event(log, "neighbours", regions=",".join(self.regions) or "none")
        self._wake.set()
        return all(found)

    async def _listen(self, region: str) -> None:
        """Before the first job of a region can come: who waits for it must reach us."""
        if region not in self._heard:
            self._heard.add(region)
            await self._bus.subscribe(control_subject(region, "*"), self._on_control)

    async def _consumers(self, region: str) -> list[Origin]:
        """A region's consumers that answer, best class first."""
        classes = await asyncio.gather(*(self._consumers_of(region, job_class) for job_class in Class))
        return [origin for origins in classes for origin in origins]

    async def _consumers_of(self, region: str, job_class: Class) -> list[Origin]:
        stream = jobs_stream(region, job_class)
        try:
            answer = await self._bus.api(f"CONSUMER.NAMES.{stream}", timeout_s=ANSWER_S)
            self._names[stream] = tuple(answer.get("consumers") or ())
        except ApiError:
            self._names[stream] = ()
        except (Unavailable, ValueError):
            pass  # names are told by the one leader of all regions; those we know can be asked without it
        names = self._names.get(stream, ())
        found = await asyncio.gather(*(self._consumer(region, job_class, name) for name in names))
        return [origin for origin in found if origin is not None]

    async def _consumer(self, region: str, job_class: Class, name: str) -> Origin | None:
        try:
            info = await self._bus.api(f"CONSUMER.INFO.{jobs_stream(region, job_class)}.{name}", timeout_s=ANSWER_S)
            return of_consumer(region, job_class, info["config"])
        except (Unavailable, ApiError, ValueError, KeyError, TypeError) as error:
            log.debug("no word of %s in %s: %s", name, region, error)
            return None

    async def _queue(self, origin: Origin, rank: int) -> _Queue:
        """The one of that consumer, with what is new of it."""
        key = (origin.stream, origin.fleet)
        queue = self._queues.get(key)
        if queue is None:
            puller = Puller(self._bus, *key, self._receiver(key))
            await puller.start()
            queue = self._queues[key] = _Queue(origin=origin, rank=rank, puller=puller)
        queue.origin, queue.rank = origin, rank
        return queue

    def _receiver(self, key: tuple[str, str]) -> Callable[[Delivery], None]:
        return lambda delivery: self._receive(key, delivery)
