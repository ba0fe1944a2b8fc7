"""``make demo-nomad``: Yurt on a real Nomad, step by step, with the table of allocations after each.

A development agent in a folder of its own, the job files of ``nomad/`` as they are. While the demo kills an allocation
and rolls a new version, programs go on being submitted; at the end each of them is accounted for.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jobs.errors import YurtError
from jobs.languages import of_suffix
from yurt.client import Client
from yurt.commands import exits
from yurt.commands.executions import results_table
from yurt.commands.tables import table
from yurt.demo.catalogue import PIECES
from yurt.demo.nomad_region import start_region
from yurt.demo.nomad_stage import Allocation, Stage, nomad, staged

PER_S = 10.0
MORE_S = 120.0  #: the longest wait for submissions to be accepted
IDLE_S = 4
SLOW = "import time; time.sleep(0.3); print('done')"


class Account:
    """The programs that were submitted on the side, and what became of them."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ids: list[str] = []
        self._one_more = asyncio.Condition()

    @asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """So many submissions a second while inside."""
        over = asyncio.Event()
        submitting = asyncio.create_task(self._submit_until(over))
        try:
            yield
        finally:
            over.set()
            await submitting

    async def more(self, count: int) -> None:
        """Until so many more were accepted."""
        goal = len(self._ids) + count
        async with asyncio.timeout(MORE_S), self._one_more:
            await self._one_more.wait_for(lambda: len(self._ids) >= goal)

    async def told(self) -> tuple[str, bool]:
        """How they ended, in a sentence, and whether all of them ended well."""
        ended = [await self._client.wait(each) for each in self._ids]
        verdicts = Counter(each["verdict"] or each["status"] for each in ended)
        again = sum(each["attempt"] > 1 for each in ended)
        runners = Counter(each["runner"] for each in ended)
        words = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
        where = ", ".join(f"{count} by {runner}" for runner, count in runners.most_common())
        sentence = f"{len(ended)} accepted: {words}; {again} of them at a second attempt ({where})"
        return sentence, verdicts == {"ok": len(ended)}

    async def _submit_until(self, over: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            while not over.is_set():
                group.create_task(self._submit())
                try:
                    async with asyncio.timeout(1 / PER_S):
                        await over.wait()
                except TimeoutError:
                    continue

    async def _submit(self) -> None:
        answer = await self._client.submit("python", SLOW)
        self._ids.append(answer["execution_id"])
        async with self._one_more:
            self._one_more.notify_all()


def main() -> int:
    try:
        nomad()
        with tempfile.TemporaryDirectory(prefix="yurt-nomad-") as folder, staged(Path(folder)) as stage:
            say("a development agent of Nomad is up", stage)
            start_region(stage, lambda words: say(words, stage))
            good = asyncio.run(show(stage))
            step("stopping every job, and the agent after them")
    except YurtError as error:
        print(f"demo-nomad: {error}", file=sys.stderr)
        return exits.FAULT
    print("\nnothing of it is left" if good else "\nnothing of it is left, but not all was as it should be")
    return exits.OK if good else exits.FAULT


async def show(stage: Stage) -> bool:
    """The steps; whether all was as it should be."""
    async with Client(stage.url, patience_s=60) as client:
        account = Account(client)
        programs = await run_programs(client)
        async with account.load():
            await burst(stage, account)
            await kill(stage, account)
            await roll(stage, account)
        await ends_by_itself(stage)
        step("the account of what was submitted meanwhile")
        sentence, good = await account.told()
        print(sentence)
    return good and programs


async def run_programs(client: Client) -> bool:
    step("programs in six languages, by HTTP, through these allocations")
    ended = []
    for piece in PIECES[:6]:
        language = of_suffix(Path(piece.file).suffix)
        assert language is not None
        files = [{"name": piece.file, "content": piece.code}]
        ended.append((piece, await client.execute(language.value, files=files, stdin=piece.input)))
    print(results_table([(piece.file, execution) for piece, execution in ended]))
    return all(execution["verdict"] == piece.verdict for piece, execution in ended)


async def burst(stage: Stage, account: Account) -> None:
    step("a burst: one runner more, dispatched")
    await asyncio.to_thread(stage.register, "runner-burst", burst_idle_s=IDLE_S)
    began = time.monotonic()
    child = await asyncio.to_thread(stage.dispatch)
    await until(stage, lambda found: any(each.job == child and each.runs for each in found), f"{child} runs")
    print(f"{child} runs {time.monotonic() - began:.1f} s after it was asked for, and proves its languages")
    await account.more(150)
    show_allocations(stage)


async def kill(stage: Stage, account: Account) -> None:
    (victim,) = stage.running("runner")
    step(f"SIGKILL for the baseline runner, {victim.id[:8]}, while programs go on coming")
    await asyncio.to_thread(stage.nomad, "alloc", "signal", "-s", "SIGKILL", victim.id)
    await until(
        stage,
        lambda found: any(each.id == victim.id and each.restarts > victim.restarts and each.runs for each in found),
        "the killed allocation runs again",
    )
    await account.more(60)
    show_allocations(stage)


async def roll(stage: Stage, account: Account) -> None:
    version = stage.version("runner") + 1
    step(f"a new version of the runner, {version}, while programs go on coming: a canary first")
    await asyncio.to_thread(stage.register, "runner", release="0.2.0")
    await asyncio.to_thread(stage.deployed, "runner", version)
    await account.more(20)
    show_allocations(stage)


async def ends_by_itself(stage: Stage) -> None:
    step(f"no load any more: the burst ends by itself after {IDLE_S} s of idleness")
    await until(
        stage,
        lambda found: not any(each.lives for each in found if each.job.startswith("runner-burst/")),
        "the burst has ended",
    )
    show_allocations(stage)


async def until(stage: Stage, true: Callable[[list[Allocation]], bool], what: str) -> Any:
    return await asyncio.to_thread(stage.until, true, what)


def step(words: str) -> None:
    print(f"\n── {words}", flush=True)


def say(words: str, stage: Stage) -> None:
    step(words)
    show_allocations(stage)


def show_allocations(stage: Stage) -> None:
    """What Nomad says there is."""
    rows = [
        [
            each.id[:8],
            f"runner-burst/…{each.job[-4:]}" if "/" in each.job else each.job,
            str(each.version),
            "stopping" if each.lives and each.wanted == "stop" else each.status,
            str(each.restarts),
            {True: "healthy", False: "unhealthy", None: ""}[each.healthy],
            each.said.removeprefix("Task "),
        ]
        for each in stage.allocations()
    ]
    if rows:
        headings = ["ALLOCATION", "NOMAD JOB", "VERSION", "STATE", "RESTARTS", "", "LAST EVENT"]
        print(table(headings, rows, right=[2, 4]))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(exits.INTERRUPTED)
