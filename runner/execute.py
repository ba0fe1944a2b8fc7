"""One job from sandbox to result: prepare, build, run each case, judge. The flat list of phases is ``Execution.run``.

Rules
1. Compilers and programs run in sandboxes of their own, each once. A sandbox that fails apart from the program is
   replaced once; failing twice is the platform's fault, and the job goes back to the queue.
2. The time of each phase is told apart: waiting for a sandbox, compiling, running.
3. ``stop`` may come at any time; the result is then *cancelled*, with the output so far.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace

from jobs.errors import SandboxFault
from jobs.events import Stream
from jobs.job import Job
from jobs.limits import (
    COMPILE_FILE_BYTES,
    COMPILE_MEMORY_MB,
    COMPILE_OUTPUT_BYTES,
    COMPILE_PROCESSES,
    DEFAULTS,
    MIB,
    OUTPUT_FILES,
    OUTPUT_FILES_BYTES,
    RESULT_OUTPUT_BYTES,
    Limits,
)
from jobs.result import CaseResult, CompileReport, OutputFile, Result, Timeline, Usage
from jobs.states import State, Verdict
from jobs.submission import Case, SourceFile, Submission
from runner import verdict as verdicts
from runner.builds import Builds, Built, Turns, key_of
from runner.engine import OnOutput, Order, Outcome, PlacedFile, Sandbox
from runner.languages.contract import ENVIRONMENT, Artifact, Boot, Build, Installation, Room, Run, Sources, Support
from runner.pool import Pool
from runner.tape import Tape

ARTIFACT_FILES = 2000
ARTIFACT_BYTES = 128 * MIB
BUILD_OUTPUT_BYTES = MIB


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """What the runner has of one installation: its language's plans, and its warm sandboxes."""

    support: Support
    installation: Installation
    boots: dict[Room, Boot]
    pools: dict[Room, Pool]
    engine: str = ""  #: what pitches for it, as people call it


@dataclass
class Clocked:
    """Where the time goes, in milliseconds."""

    sandbox_wait: float = 0.0
    compile: float | None = None
    run: float | None = None


@dataclass
class Execution:
    """One attempt at one job. ``await run()``; meanwhile ``stop``, ``feed`` and ``interrupt`` may be called."""

    job: Job
    shelf: Shelf
    builds: Builds
    building: Turns
    tape: Tape
    runner: str
    region: str
    attempt: int
    started_at_ms: int
    clocked: Clocked = field(default_factory=Clocked)
    sandbox: Sandbox | None = None
    stopped: bool = False
    warm: bool = True
    _early_input: list[bytes | None] = field(default_factory=list)

    async def run(self) -> Result:
        """Every phase in order; raises ``SandboxFault`` when sandboxes fail twice."""
        submission, support = self.job.submission, self.shelf.support
        sources = support.sources(submission)
        built = await self._build(sources, submission)
        if built is not None and (built.artifact is None or self.stopped):
            self.tape.end()
            return self._refused(built)
        artifact = built.artifact if built is not None and built.artifact is not None else ()
        report = built.report if built is not None else None
        if submission.cases is not None:
            return await self._judged(sources, artifact, report, submission.cases)
        outcome = await self._once(sources, artifact, submission.args, submission.stdin, self.tape.write)
        self.tape.end()
        return self._result(outcome, self._verdict(outcome), report)

    # -- what others do to it while it runs ---------------------------------------------------------------------

    def stop(self) -> None:
        self.stopped = True
        if self.sandbox is not None:
            self.sandbox.stop()

    def feed(self, data: bytes | None) -> None:
        if self.sandbox is None:
            self._early_input.append(data)
        else:
            self.sandbox.feed(data)

    def interrupt(self, number: int) -> None:
        if self.sandbox is not None:
            self.sandbox.interrupt(number)

    def resize(self, rows: int, cols: int) -> None:
        if self.sandbox is not None:
            self.sandbox.resize(rows, cols)

    # -- building -----------------------------------------------------------------------------------------------

    async def _build(self, sources: Sources, submission: Submission) -> Built | None:
        """None where the language has nothing to compile."""
        flags = submission.compile_flags
        plan = self.shelf.support.build(self.shelf.installation, sources, flags)
        if plan is None:
            return None
        began = time.perf_counter()
        key = key_of(self.shelf.installation, sources, flags)
        built = self.builds.get(key)
        if built is not None:
            built = replace(built, report=replace(built.report, cached=True))
        else:
            waited = self.clocked.sandbox_wait
            async with self.building:
                self.clocked.sandbox_wait += (time.perf_counter() - began) * 1000
                outcome = await self._in_sandbox(Room.BUILD, self._build_order(plan, sources, submission), _ignore)
            built = self._built(outcome)
            if not (outcome.ran_out_of_wall or outcome.memory_kills or outcome.cancelled):
                self.builds.put(key, built)
            began += (self.clocked.sandbox_wait - waited) / 1000
        self.clocked.compile = (time.perf_counter() - began) * 1000
        self.tape.write(Stream.COMPILE, built.report.stdout + built.report.stderr)
        return built

    def _build_order(self, plan: Build, sources: Sources, submission: Submission) -> Order:
        boot = self.shelf.boots[Room.BUILD]
        ahead = plan.go is not None and boot.argv is not None
        files = [PlacedFile(path=f"/workspace/{file.name}", content=file.content) for file in sources.files]
        files += [PlacedFile(path=box.path, content=box.content, mode=_mode(box.executable)) for box in plan.box]
        seconds = submission.limits.compile_seconds
        return Order(
            files=tuple(files),
            go=plan.go if ahead else None,
            commands=() if ahead else plan.commands,
            env={**ENVIRONMENT, "PATH": self.shelf.installation.path, **plan.env},
            wall_s=seconds,
            memory_bytes=COMPILE_MEMORY_MB * MIB,
            limits=Limits(
                cpu_seconds=seconds,
                output_bytes=BUILD_OUTPUT_BYTES,
                processes=COMPILE_PROCESSES,
                file_bytes=COMPILE_FILE_BYTES,
                compile_seconds=seconds,
            ),
            output_bytes=BUILD_OUTPUT_BYTES,
            globs=plan.artifact,
            collect_files=ARTIFACT_FILES,
            collect_bytes=ARTIFACT_BYTES,
        )

    def _built(self, outcome: Outcome) -> Built:
        report = CompileReport(
            exit_code=outcome.exit_code,
            stdout=outcome.stdout[:COMPILE_OUTPUT_BYTES],
            stderr=outcome.stderr[:COMPILE_OUTPUT_BYTES],
            usage=_usage(outcome),
        )
        if outcome.exit_code != 0 or outcome.ran_out_of_output:
            return Built(artifact=None, report=report, outcome=replace(outcome, stdout=b"", stderr=b"", files=()))
        if not outcome.files:
            raise SandboxFault("the compiler ended well but left nothing")
        artifact = tuple(_source(file) for file in outcome.files)
        return Built(artifact=artifact, report=report, outcome=replace(outcome, stdout=b"", stderr=b"", files=()))

    def _refused(self, built: Built) -> Result:
        """The result of a program that was not run: the compiler refused it, or somebody cancelled it."""
        result = self._result(built.outcome, Verdict.COMPILE_ERROR, built.report)
        return replace(result, usage=Usage(), files=None)

    # -- running ------------------------------------------------------------------------------------------------

    async def _once(
        self, sources: Sources, artifact: Artifact, args: tuple[str, ...], stdin: bytes, on_output: OnOutput
    ) -> Outcome:
        submission = self.job.submission
        plan = self.shelf.support.run(self.shelf.installation, sources, artifact, args, submission)
        boot = self.shelf.boots[Room.RUN]
        cold = submission.tty is not None or (
            boot.argv is not None and not boot.interpreter and not _fits(plan, submission)
        )
        order = self._run_order(plan, sources, args, stdin, cold)
        began = time.perf_counter()
        waited = self.clocked.sandbox_wait
        outcome = await self._in_sandbox(Room.RUN, order, on_output, cold=cold)
        took = (time.perf_counter() - began) * 1000 - (self.clocked.sandbox_wait - waited)
        self.clocked.run = (self.clocked.run or 0.0) + took
        self.warm = self.warm and not (cold or (boot.interpreter and not order.goes_on))
        return outcome

    def _run_order(self, plan: Run, sources: Sources, args: tuple[str, ...], stdin: bytes, cold: bool) -> Order:
        submission, boot = self.job.submission, self.shelf.boots[Room.RUN]
        placed = (*sources.files, *plan.workspace)
        files = [PlacedFile(path=f"/workspace/{file.name}", content=file.content) for file in placed]
        files += [PlacedFile(path=box.path, content=box.content, mode=_mode(box.executable)) for box in plan.box]
        ahead = boot.argv is not None and not boot.interpreter and not cold
        return Order(
            files=tuple(files),
            argv=plan.argv,
            go=plan.go if ahead else None,
            goes_on=boot.interpreter and plan.go is not None and not cold,
            tty=submission.tty,
            args=args,
            env={**ENVIRONMENT, "PATH": self.shelf.installation.path, **plan.env, **dict(submission.env)},
            stdin=stdin if not submission.interactive else None,
            wall_s=submission.timeout_s,
            memory_bytes=submission.memory_mb * MIB,
            limits=submission.limits,
            output_bytes=submission.limits.output_bytes,
            globs=submission.outputs,
            collect_files=OUTPUT_FILES,
            collect_bytes=OUTPUT_FILES_BYTES,
        )

    async def _in_sandbox(self, room: Room, order: Order, on_output: OnOutput, *, cold: bool = False) -> Outcome:
        """The order carried out, in a second sandbox if the first fails apart from the program."""
        for final in (False, True):
            began = time.perf_counter()
            pool = self.shelf.pools[room]
            sandbox, warm = (await pool.cold(tty=order.tty is not None), True) if cold else await pool.claim()
            self.clocked.sandbox_wait += (time.perf_counter() - began) * 1000
            self.warm = self.warm and warm
            self.sandbox = sandbox
            if self.job.submission.interactive and room is Room.RUN:
                asyncio.get_running_loop().call_soon(self._feed_early, self.job.submission.stdin)
            if self.stopped:
                asyncio.get_running_loop().call_soon(sandbox.stop)
            try:
                return await sandbox.run(order, on_output)
            except SandboxFault:
                if final or self.stopped:
                    raise
            finally:
                self.sandbox = None
        raise AssertionError("the loop returns or raises")

    def _feed_early(self, stdin: bytes) -> None:
        for data in (stdin, *self._early_input):
            self.feed(data)
        self._early_input.clear()

    # -- judging ------------------------------------------------------------------------------------------------

    async def _judged(
        self, sources: Sources, artifact: Artifact, report: CompileReport | None, cases: tuple[Case, ...]
    ) -> Result:
        """Each case in a sandbox of its own; the execution shows the first that is not ok, else the last."""
        submission = self.job.submission
        results: list[CaseResult] = []
        shown: tuple[Outcome, Verdict] | None = None
        room_left = RESULT_OUTPUT_BYTES
        for case in cases:
            args = submission.args if case.args is None else case.args
            outcome = await self._once(sources, artifact, args, case.stdin, _ignore)
            verdict = self._verdict(outcome)
            if verdict is Verdict.OK and case.expected_output is not None:
                right = verdicts.same(case.expected_output, outcome.stdout, submission.compare)
                verdict = Verdict.OK if right else Verdict.WRONG_ANSWER
            if shown is None or shown[1] is Verdict.OK:
                shown = outcome, verdict
            results.append(_case_result(outcome, verdict, room_left))
            room_left -= len(results[-1].stdout) + len(results[-1].stderr)
            if self.stopped:
                break
        assert shown is not None, "the door lets no empty list in"
        outcome, verdict = shown
        self.tape.write(Stream.STDOUT, outcome.stdout)
        self.tape.write(Stream.STDERR, outcome.stderr)
        self.tape.end()
        largest = Usage(
            wall_ms=max(case.usage.wall_ms for case in results),
            cpu_ms=max(case.usage.cpu_ms for case in results),
            memory_peak_bytes=max(case.usage.memory_peak_bytes for case in results),
        )
        return replace(self._result(outcome, verdict, report), usage=largest, cases=tuple(results))

    def _verdict(self, outcome: Outcome) -> Verdict:
        return verdicts.judge(outcome, self.shelf.support.gave_up_for_memory)

    def _message(self, verdict: Verdict, outcome: Outcome) -> str | None:
        if verdict is Verdict.OK:
            return None
        return verdicts.message(verdict, outcome, limits=_words(self.job.submission))

    def _result(self, outcome: Outcome, verdict: Verdict, report: CompileReport | None) -> Result:
        job, submission = self.job, self.job.submission
        cancelled = self.stopped or outcome.cancelled
        finished = time.time() * 1000
        compiled = verdict is Verdict.COMPILE_ERROR
        return Result(
            execution_id=job.id,
            user_id=job.user_id,
            gateway=job.gateway,
            state=State.CANCELLED if cancelled else State.COMPLETED,
            language=submission.language.value,
            version=self.shelf.installation.version,
            variant=self.shelf.installation.variant,
            region=self.region,
            runner=self.runner,
            attempt=self.attempt,
            verdict=None if cancelled else verdict,
            cause=None if cancelled else verdicts.cause(verdict, outcome),
            exit_code=None if compiled or cancelled else outcome.exit_code,
            signal=None if compiled or cancelled else verdicts.signal_name(outcome.signal),
            message="It was cancelled." if cancelled else self._message(verdict, outcome),
            stdout=outcome.stdout,
            stderr=outcome.stderr,
            stdout_truncated=outcome.stdout_truncated,
            stderr_truncated=outcome.stderr_truncated,
            compile=report,
            usage=_usage(outcome),
            timeline=Timeline(
                created_at_ms=job.created_at_ms,
                started_at_ms=self.started_at_ms,
                finished_at_ms=int(finished),
                queued_ms=max(0.0, float(self.started_at_ms - job.created_at_ms)),
                sandbox_wait_ms=round(self.clocked.sandbox_wait, 3),
                compile_ms=_rounded(self.clocked.compile),
                run_ms=_rounded(self.clocked.run),
                total_ms=round(max(0.0, finished - job.created_at_ms), 3),
            ),
            warm=self.warm,
            files=tuple(_relative(file) for file in outcome.files) if submission.outputs else None,
            chunks=tuple(self.tape.lengths),
            queue=job.region if job.region != self.region else "",
            placed=job.placed,
            engine=self.shelf.engine,
        )


def _fits(plan: Run, submission: Submission) -> bool:
    """Whether a runtime that waits ahead can honour the submission: it has its resource limits already."""
    return plan.go is not None and submission.limits.file_bytes == DEFAULTS.file_bytes


def _case_result(outcome: Outcome, verdict: Verdict, room_left: int) -> CaseResult:
    stdout = outcome.stdout[: max(0, room_left)]
    stderr = outcome.stderr[: max(0, room_left - len(stdout))]
    return CaseResult(
        verdict=verdict,
        exit_code=outcome.exit_code,
        signal=verdicts.signal_name(outcome.signal),
        stdout=stdout,
        stderr=stderr,
        usage=_usage(outcome),
        stdout_truncated=outcome.stdout_truncated or len(stdout) < len(outcome.stdout),
        stderr_truncated=outcome.stderr_truncated or len(stderr) < len(outcome.stderr),
    )


def _usage(outcome: Outcome) -> Usage:
    return Usage(
        wall_ms=round(outcome.wall_ms, 3),
        cpu_ms=round(outcome.cpu_ms, 3),
        memory_peak_bytes=outcome.memory_peak_bytes,
    )


def _words(submission: Submission) -> dict[str, str]:
    limits = submission.limits
    return {
        "timeout": f"{submission.timeout_s:g} s",
        "cpu_seconds": f"{limits.cpu_seconds:g} s",
        "memory_limit": f"{submission.memory_mb} MB",
        "output_bytes": f"{limits.output_bytes} bytes",
        "processes": str(limits.processes),
        "file_bytes": f"{limits.file_bytes} bytes",
        "compile_seconds": f"{limits.compile_seconds:g} s",
    }


def _relative(file: OutputFile) -> OutputFile:
    return OutputFile(name=file.name.removeprefix("/workspace/"), content=file.content)


def _source(file: OutputFile) -> SourceFile:
    return SourceFile(name=file.name, content=file.content)


def _mode(executable: bool) -> int:
    return 0o755 if executable else 0o644


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _ignore(stream: Stream, data: bytes) -> None:
    """Output of a build, and of cases, is told when it is complete."""
