"""Several regions: what they cost a local run, what R3 with fsync costs, and how soon the next region answers.

Theory of operation. A network of three regions is started beside the one-region network of this run, and both are
measured in turns, round by round, so that a machine that drifts drifts for both. Then a region is killed: ``yurt up``
is held (SIGSTOP), so that nothing is started again, and every process of the region but its gateway, or every one, gets
SIGKILL. What was accepted before is followed by its id through another region, to its one result.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

from bench.arena import Arena
from bench.caller import Line, WrongAnswer, check, request
from bench.figures import Figure, Outcome, at_most, median
from bench.network import Network, NoNetwork, started
from bench.spawn import HELLO

NEEDS_PROCESSES = True

REGIONS = ("us-east", "eu-west", "ap-south")
ROUNDS = 6
CONNECTIONS = 16
ACCEPTED = 40  #: jobs under way when a region dies
ANSWERED_S = 60.0  #: all of them, at the latest
SLOW = "import time; time.sleep(1); print('done')"
LONG = "import time; time.sleep(3); print('done')"


async def run(arena: Arena) -> Outcome:
    figures: list[Figure] = []
    series: dict[str, list[float]] = {}
    faults: list[str] = []
    async with _network(arena, "--regions", ",".join(REGIONS), regions=len(REGIONS)) as three:
        one_ms, three_ms = await _in_turns(arena, arena.network.url, three.url, "one region, three regions")
        series |= {"hello, one region": one_ms, "hello, three regions": three_ms}
        figures.append(_beside("python hello at home, two more regions", three_ms, one_ms, "one region", 1.1))
        figures.append(await _redelivery(arena, three, faults))
        figures += await _death_of_a_region(arena, three, faults)
    async with _network(arena, "--regions", "solo", "--replicas", "3") as safe:
        one_ms, safe_ms = await _in_turns(arena, arena.network.url, safe.url, "R1, R3 with fsync")
        series["hello, R3 with fsync"] = safe_ms
        figures.append(_beside("python hello, R3 with fsync", safe_ms, one_ms, "R1"))
        rates = [await _rate(arena, network, what) for network, what in ((arena.network, "R1"), (safe, "R3"))]
        figures.append(
            Figure(
                what=f"python hello, R3 with fsync, {CONNECTIONS} connections",
                value=rates[1],
                unit="/s",
                floor=rates[0],
                floor_is="R1",
            )
        )
    return Outcome(figures=tuple(figures), series=series, faults=tuple(faults))


@contextlib.asynccontextmanager
async def _network(arena: Arena, *words: str, regions: int = 1) -> AsyncIterator[Network]:
    with tempfile.TemporaryDirectory(prefix="yurt-bench-") as folder:
        arena.says(f"  starting: yurt up {' '.join(words)}")
        async with started(Path(folder), *words, "--quiet", regions=regions) as network:
            yield network


def _beside(what: str, ours: list[float], floor: list[float], floor_is: str, most: float | None = None) -> Figure:
    targets = () if most is None else (at_most(median(floor) * most),)
    return Figure(
        what=f"{what}, p50", value=median(ours), unit="ms", floor=median(floor), floor_is=floor_is, targets=targets
    )


async def _in_turns(arena: Arena, one: str, other: str, what: str) -> tuple[list[float], list[float]]:
    """Milliseconds of hello at two networks, measured in turns."""
    body, a_turn = request("python", HELLO), arena.runs(100, 10)
    lines = [await Line.open(one), await Line.open(other)]
    samples: tuple[list[float], list[float]] = ([], [])
    try:
        for turn in arena.each(what, range(2 * ROUNDS), 2 * ROUNDS):
            line, mine = lines[turn % 2], samples[turn % 2]
            for at in range(a_turn):
                began = time.perf_counter()
                check(await line.execution(body), "hello\n")
                if at or turn > 1:
                    mine.append((time.perf_counter() - began) * 1000)
    finally:
        for line in lines:
            line.close()
    return samples


async def _rate(arena: Arena, network: Network, what: str) -> float:
    """Hellos a second in a closed loop."""
    body, seconds = request("python", HELLO), arena.runs(8, 2)
    lines = [await Line.open(network.url) for _ in range(CONNECTIONS)]
    until = time.perf_counter() + seconds

    async def loop(line: Line) -> int:
        count = 0
        while time.perf_counter() < until:
            check(await line.execution(body), "hello\n")
            count += 1
        return count

    progress = arena.progress(f"{what}, {CONNECTIONS} connections", seconds)
    try:
        return sum(await asyncio.gather(*map(loop, lines))) / seconds
    finally:
        progress.end()
        for line in lines:
            line.close()


# -- deaths ------------------------------------------------------------------------------------------------------


async def _redelivery(arena: Arena, network: Network, faults: list[str]) -> Figure:
    """From a runner's death until its jobs are answered by others, all of them."""
    home = REGIONS[0]
    lines, ids = await _accept(network.urls[home], LONG)
    await asyncio.sleep(1)  # they run now
    with _held(network):
        died = time.perf_counter()
        _kill(network, home, ("runner",))
        answers = await _answers(arena, network.urls[home], ids, "a runner's death", faults)
        took_s = max((at - died for at in answers.values()), default=float("nan"))
    for line in lines:
        line.close()
    await _whole_again(network)
    return Figure(what="a runner's death to its last job's answer", value=took_s, unit="s", targets=(at_most(20 + 4),))


async def _death_of_a_region(arena: Arena, network: Network, faults: list[str]) -> list[Figure]:
    home, other = REGIONS[0], REGIONS[1]
    figures = []
    for roles, what in (
        (("nats", "runner"), "a region's NATS and runner"),
        (("nats", "runner", "gateway"), "a region's processes"),
    ):
        lines, ids = await _accept(network.urls[home], SLOW)
        with _held(network):
            died = time.perf_counter()
            _kill(network, home, roles)
            asked = other if "gateway" in roles else home
            first_s = await _first_answer(network.urls[asked], faults) - died
        await _whole_again(network)
        back = time.perf_counter()
        answers = await _answers(arena, network.urls[other], ids, f"killed: {', '.join(roles)}", faults)
        for line in lines:
            line.close()
        figures.append(
            Figure(what=f"death of {what} to the next answer", value=first_s, unit="s", targets=(at_most(5),))
        )
        figures.append(
            Figure(what="  jobs it had accepted, lost", value=len(ids) - len(answers), unit="", targets=(at_most(0),))
        )
        late_s = max((at - back for at in answers.values()), default=float("nan"))
        figures.append(Figure(what="  its return to the last of their answers", value=late_s, unit="s"))
    return figures


async def _accept(url: str, code: str) -> tuple[list[Line], list[str]]:
    lines = [await Line.open(url) for _ in range(8)]
    body = request("python", code)
    ids: list[str] = []
    for _ in range(ACCEPTED // len(lines)):
        ids += await asyncio.gather(*(line.submit(body) for line in lines))
    return lines, ids


async def _first_answer(url: str, faults: list[str]) -> float:
    """When a new submission was first answered with a right result."""
    deadline = time.perf_counter() + ANSWERED_S
    body = request("python", HELLO)
    while time.perf_counter() < deadline:
        line = Line(url)
        try:
            async with asyncio.timeout(10):
                check(await line.execution(body), "hello\n")
            return time.perf_counter()
        except (WrongAnswer, OSError, TimeoutError):
            await asyncio.sleep(0.05)
        finally:
            line.close()
    faults.append(f"no answer in {ANSWERED_S:.0f} s after a region's death")
    return float("nan")


async def _answers(arena: Arena, url: str, ids: Iterable[str], what: str, faults: list[str]) -> dict[str, float]:
    """When each of *ids* had its result, as told by the gateway at *url*."""
    missing, answered = set(ids), dict[str, float]()
    progress = arena.progress(what, len(missing))
    total, deadline = len(missing), time.perf_counter() + ANSWERED_S
    line = Line(url)
    while missing and time.perf_counter() < deadline:
        progress.at(total - len(missing))
        for one in sorted(missing):
            try:
                execution = await line.get(f"/api/v1/executions/{one}")
            except (WrongAnswer, OSError):
                continue
            if execution["status"] == "completed":
                check(execution, "done\n")
                answered[one] = time.perf_counter()
                missing.discard(one)
        await asyncio.sleep(0.1)
    progress.end(total - len(missing))
    line.close()
    if missing:
        faults.append(f"{what}: {len(missing)} of {total} have no result after {ANSWERED_S:.0f} s")
    return answered


@contextlib.contextmanager
def _held(network: Network) -> Iterator[None]:
    """Nothing that dies is started again meanwhile."""
    up = network.pids()["up"]
    os.kill(up, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(up, signal.SIGCONT)


def _kill(network: Network, region: str, roles: Iterable[str]) -> None:
    for process in network.processes():
        if process.region == region and process.role in roles:
            os.kill(process.pid, signal.SIGKILL)


async def _whole_again(network: Network) -> None:
    """Wait until every region says that it can take jobs, and its runner is there again."""
    deadline = time.perf_counter() + 120
    for region, url in network.urls.items():
        while time.perf_counter() < deadline:
            line = Line(url)
            try:
                rows = await line.get("/api/v1/regions")
                if any(row["region"] == region and row["healthy"] for row in rows):
                    break
            except (WrongAnswer, OSError):
                pass
            finally:
                line.close()
            await asyncio.sleep(0.2)
        else:
            raise NoNetwork(f"region {region} did not come back in two minutes")
    await network.quiet(within_s=20)
