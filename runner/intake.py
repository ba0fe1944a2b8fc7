"""How a runner takes jobs: pull requests on three classes, as many as it has room for, best class first, none starved.

Theory of operation. How much room there is is decided elsewhere (``runner.load.Pressure``) and may change at any
moment. With room to spare the runner keeps pull requests lying on all three queues, so that a job of any class is here
the moment it is published. When room is scarce (fewer than ``SCARCE`` jobs) it asks one queue at a
time, with requests that are answered at once: the class to ask is the first, in this order, that may have something:

    1. a lower class that holds fewer slots than its reserved share
    2. priority, standard, bulk

An empty answer means that the class is left alone until a request on it has lain unanswered or a job of it came. When
all are empty, requests lie on all three again.

Other regions' jobs are taken only into room to spare (``runner.overflow``): none while anything here may wait.

What lies when room is lost still comes, once. So no more lies than there is room for, and on a queue that had nothing
more to give only ``IDLE`` requests lie: the first job that leaves others behind it raises that to the class's share.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from jobs.service.bus import Bus
from jobs.service.pull import REST_S, Delivery, Puller
from jobs.states import Class
from jobs.streams import jobs_stream

SCARCE = 4
IDLE = 4
LIE_S = 20.0
LOOK_AGAIN_S = 0.02  #: when there was no room
LAIN_S = 0.1  #: a request that lay so long found nothing there
SHARES = {Class.PRIORITY: 0.25, Class.STANDARD: 0.5, Class.BULK: 0.25}
RESERVED = {Class.STANDARD: 0.125, Class.BULK: 0.0625}

OnJob = Callable[[Class, Delivery], None]
Room = Callable[[int], int]
"""How many more jobs to ask for, when so many run."""


class Intake:
    """Pulls for one runner. ``done`` when a job of a class has left its slot."""

    def __init__(
        self, bus: Bus, *, region: str, fleet: str, steady: int, room: Room, on_job: OnJob, priority: int = 0
    ) -> None:
        self._bus = bus
        self._steady, self._room, self._on_job, self._priority = steady, room, on_job, priority
        self.running = dict.fromkeys(Class, 0)
        self._came = dict.fromkeys(Class, 0)
        self._maybe = dict.fromkeys(Class, False)  #: the class may have something waiting
        self._pullers = {
            job_class: Puller(bus, jobs_stream(region, job_class), fleet, self._receiver(job_class))
            for job_class in Class
        }
        self._moved_at = dict.fromkeys(Class, 0.0)  #: a job of the class came, or was asked for
        self._stopped = False
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Ask, for as long as the runner lives."""
        for puller in self._pullers.values():
            await puller.start()
        while not self._stopped:
            self._wake.clear()
            pause_s = self._ask()
            try:
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def stop(self) -> None:
        """Ask no more; what lies still comes."""
        self._stopped = True
        self._wake.set()

    async def close(self) -> None:
        """Ask no more and take back what lies; when this returns no more comes."""
        self.stop()
        await asyncio.gather(*(puller.close() for puller in self._pullers.values()))

    @property
    def quiet(self) -> bool:
        """Nothing of ours waits, as far as is known: there is time for others."""
        return not self._stopped and not any(self._waits(job_class) for job_class in Class)

    def done(self, job_class: Class) -> None:
        self.running[job_class] -= 1
        self._wake.set()

    def wake(self) -> None:
        """There may be room again."""
        self._wake.set()

    def _ask(self) -> float:
        """For how long that is enough, if nothing happens."""
        if not self._bus.connected:  # what is asked now would pile up
            return REST_S
        free = self._room(sum(self.running.values()))
        if free <= 0 or self._stopped:
            return LOOK_AGAIN_S
        able = [each for each in self._order() if not self._pullers[each].resting]
        lying = {job_class: puller.outstanding for job_class, puller in self._pullers.items()}
        if free >= SCARCE or not any(self._maybe.values()):
            for job_class in Class:
                if job_class in able:
                    self._lie(job_class, free, lying)
        elif sum(lying[each] for each in Class if self._maybe[each]) < free:
            # what lies on the empty queues may never be answered: it must not keep the full one from being asked
            for job_class in [each for each in able if self._maybe[each]][:1]:
                puller = self._pullers[job_class]
                puller.ask(1, expires_s=None, on_end=self._emptied(job_class), priority=self._priority)
        return LIE_S if len(able) == len(Class) else REST_S

    def _lie(self, job_class: Class, free: int, lying: dict[Class, int]) -> None:
        """Requests of the class that lie until a job comes; what they are is added to *lying*."""
        wanted = max(1, int(free * SHARES[job_class]))
        if not self._maybe[job_class]:
            wanted = min(wanted, IDLE)
        missing = wanted - lying[job_class]
        batch = min(missing, max(free - sum(lying.values()), 0 if lying[job_class] else 1))
        if batch > 0 and missing * 2 >= wanted:
            self._moved_at[job_class] = asyncio.get_running_loop().time()
            lying[job_class] += batch
            self._pullers[job_class].ask(batch, expires_s=LIE_S, on_end=self._wake.set, priority=self._priority)

    def _waits(self, job_class: Class) -> bool:
        """Whether a job of the class may be waiting: one did, and no request has lain unanswered since."""
        lain_s = asyncio.get_running_loop().time() - self._moved_at[job_class]
        if self._maybe[job_class] and lain_s > LAIN_S and self._pullers[job_class].outstanding:
            self._maybe[job_class] = False
        return self._maybe[job_class]

    def _order(self) -> list[Class]:
        owed = [each for each, share in RESERVED.items() if self.running[each] < max(1, int(share * self._steady))]
        return owed + [each for each in Class if each not in owed]

    def _receiver(self, job_class: Class) -> Callable[[Delivery], None]:
        def receive(delivery: Delivery) -> None:
            self.running[job_class] += 1
            self._came[job_class] += 1
            self._moved_at[job_class] = asyncio.get_running_loop().time()
            self._maybe[job_class] = delivery.pending > 0
            self._on_job(job_class, delivery)
            self._wake.set()

        return receive

    def _emptied(self, job_class: Class) -> Callable[[], None]:
        came_before = self._came[job_class]

        def ended() -> None:
            if self._came[job_class] == came_before:
                self._maybe[job_class] = False
            self._wake.set()

        return ended
