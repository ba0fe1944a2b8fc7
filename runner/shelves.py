"""What this runner offers: installations found, prepared, proved, and kept warm.

Theory of operation. For each language: discover, and for each installation prepare (slow the first time), add to the
engine, start its pools, and run its probes through the very path that jobs take. What fails is logged with its reason
and not offered; the rest goes on. The newest version of each language comes first; a runner takes jobs once those are
ready, while variants and older versions are being proved. Languages come and go while it lives (``runner.fleet``).
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from jobs.errors import SandboxFault, YurtError
from jobs.events import Offer
from jobs.job import Job
from jobs.languages import Language, satisfies, version_key
from jobs.service.logs import event
from jobs.states import Class, Verdict
from runner.builds import Builds, Turns
from runner.engine import Engine
from runner.execute import Execution, Shelf
from runner.languages.contract import Boot, Installation, Probe, Room, Support
from runner.pool import Pool
from runner.preparing import prepared
from runner.tape import Tape

log = logging.getLogger("shelves")


class Shelves:
    """Every installation that this runner has proved."""

    def __init__(
        self,
        engine: Engine,
        *,
        cache: Path,
        warm: int,
        slots: int,
        called: Callable[[Language], str] = lambda language: "",
    ) -> None:
        self._engine, self._cache, self._warm, self._slots = engine, cache, warm, slots
        self._called = called  #: the engine of a language, for people
        self._shelves: dict[Language, list[Shelf]] = {}
        self._gone = (0, 0)  #: warm and cold starts from shelves that are no more
        self.news = asyncio.Event()  #: set, and replaced by another, when something more is offered
        self.builds = Builds()
        self.building = Turns(max(1, len(os.sched_getaffinity(0))))

    async def stock(self, supports: Iterable[Support]) -> list[tuple[Support, Installation]]:
        """Offer the newest version of each language that works here; returns the others, for ``stock_older``: its
        variants, then older versions."""
        older: list[tuple[Support, Installation]] = []
        for support in supports:
            found = sorted(await asyncio.to_thread(support.discover), key=_newest_first)
            plain = [one for one in found if not one.variant]
            while plain and not self._shelves.get(support.language):
                await self._offer(support, plain.pop(0))
            if not self._shelves.get(support.language):
                event(log, "not_offered", level=logging.WARNING, language=support.language, why="none works here")
            variants = [one for one in found if one.variant]
            older += [(support, installation) for installation in (*variants, *plain)]
        return older

    async def stock_older(self, older: Iterable[tuple[Support, Installation]]) -> None:
        """Offer these too, one after the other."""
        for support, installation in older:
            await self._offer(support, installation)

    def find(self, language: Language, version: str, variant: str) -> Shelf | None:
        """The newest that satisfies, or None."""
        return next(
            (
                shelf
                for shelf in self._shelves.get(language, ())
                if shelf.installation.variant == variant and satisfies(version, shelf.installation.version)
            ),
            None,
        )

    def has(self, language: Language) -> bool:
        return bool(self._shelves.get(language))

    async def drop(self, language: Language) -> None:
        """Offer it no more, and let go of what it takes; none of its jobs may be running."""
        shelves = self._shelves.pop(language, [])
        self._gone = tuple(map(sum, zip(self._gone, _counts(shelves), strict=True)))  # type: ignore[assignment]
        for shelf in shelves:
            for pool in shelf.pools.values():
                await pool.close()
            await self._engine.remove(shelf.installation)

    def offers(self) -> tuple[Offer, ...]:
        """One a version of each language, its variants by name."""
        offers: dict[tuple[Language, str], Offer] = {}
        for language, shelves in self._shelves.items():
            for shelf in shelves:
                one = shelf.installation
                known = offers.get((language, one.version))
                variants = (known.variants if known else ()) + ((one.variant,) if one.variant else ())
                warm = sum(pool.ready for pool in shelf.pools.values()) + (known.warm if known else 0)
                offers[language, one.version] = Offer(
                    language=language.value,
                    version=one.version,
                    variants=variants,
                    compile_flags=one.compile_flags,
                    allowed_flags=one.allowed_flags,
                    warm=warm,
                    engine=shelf.engine,
                )
        return tuple(offers.values())

    def counts(self) -> tuple[int, int]:
        """Warm and cold starts so far."""
        warm, cold = _counts(shelf for shelves in self._shelves.values() for shelf in shelves)
        return self._gone[0] + warm, self._gone[1] + cold

    async def close(self) -> None:
        for shelves in self._shelves.values():
            for shelf in shelves:
                for pool in shelf.pools.values():
                    await pool.close()

    async def _offer(self, support: Support, installation: Installation) -> None:
        began = time.monotonic()
        version = "-".join(filter(None, (installation.version, installation.variant)))
        newest = self.find(installation.language, "*", installation.variant) is None
        event(log, "preparing", language=installation.language, version=version)

        def report(line: str) -> None:
            event(log, "preparing", language=installation.language, version=version, step=line)

        pools: dict[Room, Pool] = {}
        try:
            installation = await prepared(support, installation, self._cache, report)
            boots = tuple(support.boots(installation))
            await self._engine.add(installation, boots)
            pools = {boot.room: self._pool(installation, boot, newest) for boot in boots}
            shelf = Shelf(
                support=support,
                installation=installation,
                boots={boot.room: boot for boot in boots},
                pools=pools,
                engine=self._called(installation.language),
            )
            for pool in pools.values():
                pool.start()
            for probe in support.probes(installation):
                await self._prove(shelf, probe)
        except (YurtError, OSError, ValueError) as error:
            for pool in pools.values():
                await pool.close()
            event(log, "not_offered", level=logging.WARNING, installation=installation.name, why=str(error))
            return
        shelves = self._shelves.setdefault(installation.language, [])
        shelves.append(shelf)
        shelves.sort(key=lambda one: _newest_first(one.installation))
        self.news.set()
        self.news = asyncio.Event()
        took = time.monotonic() - began
        event(
            log,
            "offered",
            language=installation.language,
            version=version,
            engine=shelf.engine or None,
            seconds=took,
        )

    def _pool(self, installation: Installation, boot: Boot, newest: bool) -> Pool:
        """How many wait: forks are cheap and kept in numbers, a runtime started ahead costs memory and its start."""
        ahead = boot.argv is not None and not boot.interpreter
        if not newest:
            least, most = (0, 0) if ahead else (1, 4)
        elif boot.interpreter:
            least, most = self._warm, max(self._warm, self._slots)
        else:
            least, most = max(1, self._warm // 4), max(1, self._warm // 2 if ahead else self._warm)
        return Pool(self._engine, installation, boot.room, least=least, most=most)

    async def _prove(self, shelf: Shelf, probe: Probe) -> None:
        """Raise ``SandboxFault`` unless the program ends well and prints what it must."""
        job = Job(
            id=f"probe-{shelf.installation.name}",
            user_id="probe",
            submission=probe.submission,
            job_class=Class.STANDARD,
            region="",
            gateway="",
            created_at_ms=int(time.time() * 1000),
            start_by_ms=0,
            correlation_id="",
        )
        execution = Execution(
            job=job,
            shelf=shelf,
            builds=Builds(),
            building=self.building,
            tape=Tape(lambda seq, stream, data: None),
            runner="",
            region="",
            attempt=1,
            started_at_ms=job.created_at_ms,
        )
        result = await execution.run()
        if result.verdict is not Verdict.OK or result.stdout != probe.stdout:
            said = (result.compile.stderr + result.compile.stdout if result.compile else b"") + result.stderr
            raise SandboxFault(
                f"its self-test ended {result.verdict} and printed {result.stdout[:200]!r}; it said {said[-400:]!r}"
            )


def _counts(shelves: Iterable[Shelf]) -> tuple[int, int]:
    pools = [pool for shelf in shelves for pool in shelf.pools.values()]
    return sum(pool.counts.warm for pool in pools), sum(pool.counts.cold for pool in pools)


def _newest_first(installation: Installation) -> tuple[int, ...]:
    return tuple(-part for part in version_key(installation.version))
