"""A runner that runs nothing: it pulls jobs from the real queues and tells the story that the test wrote for each.

It speaks the runner's side of every protocol (pull, events, stored result, beats, control), so that the gateway is
tested through real NATS without a sandbox.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from jobs import wire
from jobs.errors import Unavailable
from jobs.events import Beat, Chunk, Control, ControlKind, ControlReply, Ended, Offer, Running, Stream
from jobs.job import Job
from jobs.languages import Language
from jobs.region import Region
from jobs.result import Result, Timeline, Usage
from jobs.service.bus import Bus, Message
from jobs.service.pull import Delivery, Puller
from jobs.states import Class, State, Verdict
from jobs.streams import jobs_stream, output_subject, results_subject, runner_subject

OFFERS = (
    Offer(language="python", version="3.11.7", variants=("data",), warm=4),
    Offer(language="python", version="3.12.1", warm=2),
    Offer(language="javascript", version="22.1.0", warm=2),
    Offer(language="java", version="21.0.2"),
    Offer(language="go", version="1.22.1"),
    Offer(language="cpp", version="13.2.0", compile_flags=("-O1",), allowed_flags=("-O?", "-std=*")),
    Offer(language="rust", version="1.80.0"),
)


class Told:
    """One job being told: what a story can say."""

    def __init__(self, runner: ScriptedRunner, job: Job, attempt: int) -> None:
        self.runner = runner
        self.job = job
        self.attempt = attempt
        self.started_at_ms = 0
        self.chunks: list[tuple[Stream, bytes]] = []
        self.cancelled = asyncio.Event()
        self.heard: asyncio.Queue[Control] = asyncio.Queue()

    async def say(self, event: object) -> None:
        self.runner.bus.publish(output_subject(self.job.gateway, self.job.id), wire.pack(event))

    async def running(self) -> None:
        self.started_at_ms = time.time_ns() // 1_000_000
        await self.say(
            Running(
                execution_id=self.job.id,
                runner=self.runner.name,
                region=self.runner.of,
                attempt=self.attempt,
                started_at_ms=self.started_at_ms,
                version="3.12.1",
            )
        )

    async def prints(self, data: bytes, stream: Stream = Stream.STDOUT, *, lost: bool = False) -> None:
        """*lost*: it is in the result, but the live word of it never arrives."""
        self.chunks.append((stream, data))
        if not lost:
            seq = len(self.chunks)
            await self.say(Chunk(execution_id=self.job.id, attempt=self.attempt, seq=seq, stream=stream, data=data))

    def result(self, **changes: object) -> Result:
        now_ms = time.time_ns() // 1_000_000
        whole = Result(
            execution_id=self.job.id,
            user_id=self.job.user_id,
            gateway=self.job.gateway,
            state=State.COMPLETED,
            language=self.job.submission.language.value,
            version="3.12.1",
            variant=self.job.submission.variant,
            region=self.runner.of,
            queue=self.job.region if self.job.region != self.runner.of else "",
            placed=self.job.placed,
            runner=self.runner.name,
            attempt=self.attempt,
            verdict=Verdict.OK,
            exit_code=0,
            stdout=b"".join(data for stream, data in self.chunks if stream is Stream.STDOUT),
            stderr=b"".join(data for stream, data in self.chunks if stream is Stream.STDERR),
            usage=Usage(wall_ms=1.5, cpu_ms=1.25, memory_peak_bytes=4096),
            timeline=Timeline(
                created_at_ms=self.job.created_at_ms,
                started_at_ms=self.started_at_ms or now_ms,
                finished_at_ms=now_ms,
                queued_ms=1.0,
                sandbox_wait_ms=0.1,
                run_ms=1.5,
                total_ms=2.6,
            ),
            warm=True,
            chunks=tuple((stream.value, len(data)) for stream, data in self.chunks),
        )
        return replace(whole, **changes)  # type: ignore[arg-type]

    async def ends(self, *, inline: bool = True, silent: bool = False, **changes: object) -> Result:
        """Store the result, then say so; *silent*: the word is lost."""
        result = self.result(**changes)
        await self.runner.bus.store_first(results_subject(self.job.region, self.job.id), wire.pack(result))
        if not silent:
            await self.say(Ended(execution_id=self.job.id, result=result if inline else None))
        return result


Story = Callable[[Told], Awaitable[None]]


async def hello(told: Told) -> None:
    await told.running()
    await told.prints(b"hello\n")
    await told.ends()


class ScriptedRunner:
    """Start it with a story; ``tells`` may be changed while it runs.

    It takes the jobs of *region*; *of* is the region that it belongs to, where that is another one.
    """

    def __init__(
        self, bus: Bus, region: Region, *, tells: Story = hello, name: str = "scripted-1", of: str = ""
    ) -> None:
        self.bus = bus
        self.region = region
        self.tells = tells
        self.name = name
        self.of = of or region.name
        self.offers: tuple[Offer, ...] = OFFERS
        self.jobs: list[Job] = []
        self.told: dict[str, Told] = {}
        self.has_a_job = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: list[Callable[[], Awaitable[None]]] = []

    async def start(self, *, pulls: bool = True) -> None:
        self._ends.append(await self.bus.subscribe(f"control.{self.region.name}.*", self._on_control))
        await self.beat()
        if pulls:
            for job_class in Class:
                await self.pull(job_class)

    async def pull(self, job_class: Class) -> None:
        stream = jobs_stream(self.region.name, job_class)
        puller = Puller(self.bus, stream, "all", self._on_delivery)
        await puller.start()
        puller.ask(10_000, expires_s=120, on_end=lambda: None)

    async def beat(self, **changes: object) -> None:
        whole = Beat(
            runner=self.name,
            region=self.of,
            pid=1,
            slots=4,
            running=0,
            draining=False,
            cpu_percent=1.0,
            memory_percent=1.0,
            offers=self.offers,
            mean_run_ms=20.0,
        )
        beat = replace(whole, **changes)  # type: ignore[arg-type]
        self.bus.publish(runner_subject(self.of, self.name), wire.pack(beat))

    def _on_delivery(self, delivery: Delivery) -> None:
        self._start(self._tell(delivery))

    async def _tell(self, delivery: Delivery) -> None:
        job = wire.unpack_as(Job, delivery.data)
        self.jobs.append(job)
        self.has_a_job.set()
        told = self.told[job.id] = Told(self, job, delivery.attempt)
        await self.tells(told)
        with suppress(Unavailable):
            await delivery.acknowledge()

    def _on_control(self, message: Message) -> None:
        control = wire.unpack_as(Control, message.data)
        told = self.told.get(control.execution_id)
        if told is None:
            return
        told.heard.put_nowait(control)
        if control.kind is ControlKind.CANCEL:
            told.cancelled.set()
        reply = ControlReply(accepted=True)
        if control.kind is ControlKind.RESIZE and told.job.submission.tty is None:
            reply = ControlReply(accepted=False, problem="it has no terminal")
        self.bus.publish(message.reply, wire.pack(reply))

    def _start(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for end in self._ends:
            await end()


LANGUAGES = tuple(Language)
