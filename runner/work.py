"""One delivery from taken to settled: the life of a job on a runner, and what is said of it on the way.

    taken ──▶ readable? not ended yet? in time? attempts left? ──▶ Running is told ──▶ executed ──▶ result stored (the
    first wins) ──▶ Ended is told ──▶ acknowledged ──▶ slot free

Rules
1. The job leaves the queue only after its result is stored; a second result is refused by the stream itself.
2. A fault of ours hands the job back for another attempt; the last attempt's fault becomes a result *failed*.
3. While a job runs its delivery is kept alive by beats; a runner that dies stops beating, and the job is redelivered.
4. Everything goes by the job's own region, wherever it runs: its result, what is said to it, how its queue delivers.
5. What other regions have and we have not (a newer version, say) is theirs to run: it goes back at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from jobs import ends, streams, wire
from jobs.errors import PlatformFault, Unavailable, WireFault
from jobs.events import INLINE_BYTES, Chunk, Control, ControlKind, ControlReply, Ended, Running, Stream
from jobs.job import Job
from jobs.languages import Language
from jobs.result import Result
from jobs.service.bus import Bus, Message
from jobs.service.logs import event
from jobs.service.pull import Delivery
from jobs.states import Cause, State
from jobs.submission import Submission
from runner.execute import Execution
from runner.origin import Origin
from runner.shelves import Shelves
from runner.tape import Tape

log = logging.getLogger("work")

STORE_FOR_S = 60.0
HAND_BACK_S = 0.5
ANNOUNCE_S = 0.004
CANCELLED_KEPT = 10_000
SIGNALS = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM}


class Work:
    """Every job that this runner has."""

    def __init__(
        self,
        bus: Bus,
        shelves: Shelves,
        *,
        region: str,
        runner: str,
        on_done: Callable[[Origin, Result | None], None],
        stocked: Callable[[Submission], Awaitable[None]],
        on_unfit: Callable[[Origin], None],
    ) -> None:
        self._bus, self._shelves, self._region = bus, shelves, region
        self._runner, self._on_done, self._stocked, self._on_unfit = runner, on_done, stocked, on_unfit
        self._tasks: set[asyncio.Task[None]] = set()
        self._beats: dict[str, asyncio.TimerHandle] = {}  #: by the deliveries' reply subjects
        self._executions: dict[str, Execution] = {}
        self._cancelled: OrderedDict[str, None] = OrderedDict()
        self._draining = False

    # -- life ---------------------------------------------------------------------------------------------------

    def take(self, origin: Origin, delivery: Delivery) -> None:
        task = asyncio.create_task(self._settle(origin, delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, deadline_s: float) -> None:
        """What was taken ends; past the deadline the rest goes back, and whatever else may come. Ask no more before."""
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=deadline_s)
        self._draining = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def has_jobs(self) -> bool:
        return bool(self._tasks)

    @property
    def running(self) -> int:
        return len(self._executions)

    @property
    def languages(self) -> set[Language]:
        """Those of the jobs that run."""
        return {execution.job.submission.language for execution in self._executions.values()}

    # -- control ------------------------------------------------------------------------------------------------

    def on_control(self, message: Message) -> None:
        try:
            control = wire.unpack_as(Control, message.data)
        except WireFault as fault:
            event(log, "control_unreadable", level=logging.WARNING, why=str(fault))
            return
        execution = self._executions.get(control.execution_id)
        if execution is None:
            if control.kind is ControlKind.CANCEL:  # it may be on its way to us
                self._cancelled[control.execution_id] = None
                while len(self._cancelled) > CANCELLED_KEPT:
                    self._cancelled.popitem(last=False)
            return
        problem = _obey(execution, control)
        if message.reply:
            reply = wire.pack(ControlReply(accepted=not problem, problem=problem))
            self._say(message.reply, reply)

    # -- one job ------------------------------------------------------------------------------------------------

    async def _settle(self, origin: Origin, delivery: Delivery) -> None:
        result: Result | None = None
        self._beat_later(origin, delivery)
        try:
            if self._draining:
                delivery.hand_back()
                return
            job = await self._readable(origin, delivery)
            if job is not None:
                result = await self._answer(job, origin, delivery)
        except Unavailable as fault:  # NATS is away: the job is redelivered, here or elsewhere
            event(log, "job_left", level=logging.WARNING, why=str(fault))
        except asyncio.CancelledError:
            delivery.hand_back()
            raise
        finally:
            self._beats.pop(delivery.reply).cancel()
            self._on_done(origin, result)

    def _beat_later(self, origin: Origin, delivery: Delivery) -> None:
        """Keep the delivery alive for as long as we have it."""

        def beat() -> None:
            with contextlib.suppress(Unavailable):
                delivery.in_progress()
            self._beat_later(origin, delivery)

        later = asyncio.get_running_loop().call_later(origin.ack_wait_s / 3, beat)
        self._beats[delivery.reply] = later

    async def _readable(self, origin: Origin, delivery: Delivery) -> Job | None:
        try:
            return wire.unpack_as(Job, delivery.data)
        except WireFault as fault:
            event(log, "job_unreadable", level=logging.ERROR, why=str(fault))
            await self._bus.keep(streams.dead_subject(origin.region, "unreadable"), delivery.data)
            delivery.give_up()
            return None

    async def _answer(self, job: Job, origin: Origin, delivery: Delivery) -> Result | None:
        if not await self._is_on_the_shelves(job.submission) and job.region != self._region:
            event(log, "guest_unfit", execution_id=job.id, region=job.region, language=job.submission.language)
            self._on_unfit(origin)
            delivery.hand_back()
            return None
        attempt = delivery.attempt
        again = attempt > 1 or job.id in self._cancelled
        if again and await self._is_answered(job):
            await delivery.acknowledge()
            return None
        result = await self._attempt(job, origin, attempt)
        if result is None:
            delivery.hand_back(HAND_BACK_S)
            return None
        await self._store(job, result)
        await delivery.acknowledge()
        _log_done(job, result)
        return result

    async def _is_on_the_shelves(self, submission: Submission) -> bool:
        """A job that comes before its language does waits for it, kept alive by beats, and has lost no attempt."""
        wanted = (submission.language, submission.version, submission.variant)
        if self._shelves.find(*wanted) is not None:
            return True
        await self._stocked(submission)
        return self._shelves.find(*wanted) is not None

    async def _is_answered(self, job: Job) -> bool:
        subject = streams.results_subject(job.region, job.id)
        return await self._bus.last(streams.results_stream(job.region), subject) is not None

    async def _attempt(self, job: Job, origin: Origin, attempt: int) -> Result | None:
        """A result, or None when it should be tried again."""
        most = origin.max_attempts
        if attempt > most:
            words = f"The runner that had it was lost, {most} times."
            return self._unrun(job, attempt, State.FAILED, Cause.LOST_RUNNER, words)
        if time.time() * 1000 > job.start_by_ms and attempt == 1:
            words = "No runner could start it before its deadline."
            return self._unrun(job, attempt, State.EXPIRED, Cause.PLATFORM, words)
        try:
            return await self._execute(job, attempt)
        except PlatformFault as fault:
            event(log, "attempt_failed", level=logging.WARNING, execution_id=job.id, attempt=attempt, why=str(fault))
            if attempt < most:
                return None
            words = f"The platform could not run it: {fault}."
            return self._unrun(job, attempt, State.FAILED, Cause.PLATFORM, words)

    def _unrun(self, job: Job, attempt: int, state: State, cause: Cause | None, message: str) -> Result:
        now_ms = int(time.time() * 1000)
        queued = ends.queued_of(job)
        return ends.unrun(queued, state, cause, message, job.gateway, now_ms, attempt=attempt, runner=self._runner)

    async def _execute(self, job: Job, attempt: int) -> Result:
        submission = job.submission
        shelf = self._shelves.find(submission.language, submission.version, submission.variant)
        if shelf is None:
            raise PlatformFault(f"this runner has no {submission.language} {submission.version} {submission.variant}")
        subject = streams.output_subject(job.gateway, job.id)
        now = int(time.time() * 1000)

        def tell(seq: int, stream: Stream, data: bytes) -> None:
            announce()
            chunk = Chunk(execution_id=job.id, attempt=attempt, seq=seq, stream=stream, data=data)
            self._say(subject, wire.pack(chunk))

        running = Running(
            execution_id=job.id,
            runner=self._runner,
            region=self._region,
            attempt=attempt,
            started_at_ms=now,
            version=shelf.installation.version,
        )
        announced = False

        def announce() -> None:
            nonlocal announced
            if not announced:
                announced = True
                self._say(subject, wire.pack(running))

        # A run that is over by then is told in one write with its output and its result.
        announcing = asyncio.get_running_loop().call_later(ANNOUNCE_S, announce)
        execution = Execution(
            job=job,
            shelf=shelf,
            builds=self._shelves.builds,
            building=self._shelves.building,
            tape=Tape(tell),
            runner=self._runner,
            region=self._region,
            attempt=attempt,
            started_at_ms=now,
        )
        self._executions[job.id] = execution
        try:
            return await execution.run()
        except PlatformFault:
            if not execution.stopped:
                raise
            # struck before the program began, it says nothing of an end: that it was stopped is the end
            return self._unrun(job, attempt, State.CANCELLED, None, "It was cancelled.")
        finally:
            announcing.cancel()
            announce()
            del self._executions[job.id]

    async def _store(self, job: Job, result: Result) -> None:
        """The result where it belongs, however often NATS goes away meanwhile; then everybody is told."""
        packed = wire.pack(result)
        subject = streams.results_subject(job.region, job.id)
        deadline = time.monotonic() + STORE_FOR_S
        unsure = False  #: an earlier try may have stored it
        while True:
            try:
                first = await self._bus.store_first(subject, packed)
                break
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                unsure = True
                await asyncio.sleep(HAND_BACK_S)
        if not first and unsure:
            first = await self._bus.last(streams.results_stream(job.region), subject) == packed
        if not first:
            event(log, "result_refused", level=logging.WARNING, execution_id=job.id, attempt=result.attempt)
            return
        inline = result if len(packed) <= INLINE_BYTES else None
        ended = wire.pack(Ended(execution_id=job.id, result=inline))
        self._bus.publish(streams.output_subject(job.gateway, job.id), ended)

    def _say(self, subject: str, data: bytes) -> None:
        """At most once; what cannot be told now is in the stored result."""
        with contextlib.suppress(Unavailable):
            self._bus.publish(subject, data)


def _obey(execution: Execution, control: Control) -> str:
    """What is wrong with it, or the empty string."""
    interactive = execution.job.submission.interactive
    if control.kind is ControlKind.CANCEL:
        execution.stop()
    elif control.kind in (ControlKind.STDIN, ControlKind.STDIN_EOF) and not interactive:
        return "the execution is not interactive: submit it with interactive true"
    elif control.kind is ControlKind.STDIN:
        execution.feed(control.data)
    elif control.kind is ControlKind.STDIN_EOF:
        execution.feed(None)
    elif control.kind is ControlKind.SIGNAL:
        if control.signal == "SIGKILL":
            execution.stop()
        elif control.signal in SIGNALS:
            execution.interrupt(SIGNALS[control.signal])
        else:
            return f"{control.signal} cannot be sent; SIGINT, SIGTERM and SIGKILL can"
    elif execution.job.submission.tty is None:
        return "the execution has no terminal: submit it with tty {rows, cols}"
    else:
        execution.resize(control.rows, control.cols)
    return ""


def _log_done(job: Job, result: Result) -> None:
    times = result.timeline
    event(
        log,
        "job_done",
        execution_id=job.id,
        language=job.submission.language,
        version=result.version,
        engine=result.engine or None,
        state=result.state,
        verdict=result.verdict,
        attempt=result.attempt,
        queued_ms=times.queued_ms,
        wait_ms=times.sandbox_wait_ms,
        compile_ms=times.compile_ms,
        run_ms=times.run_ms,
        total_ms=times.total_ms,
    )
