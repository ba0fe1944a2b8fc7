"""Two regions and real runners: a job runs where there is room, and its result is where it belongs, exactly once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from jobs import streams, wire
from jobs.events import Control, ControlKind, ControlReply, Running
from jobs.languages import Language
from jobs.region import Delivery, Fleet, Region
from jobs.service.bus import Bus
from jobs.states import Class, State, Verdict
from tests.runner_processes import RunnerProcess, result, runner_process, submit
from tests.superclusters import Supercluster, eventually, region_in

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(os.geteuid() != 0, reason="the fork engine needs root"),
]
QUICK = Delivery(ack_wait_s=2.0)
FLEETS = (
    Fleet(name="python", languages=(Language.PYTHON,)),
    Fleet(name="rest", languages=tuple(each for each in Language if each is not Language.PYTHON)),
)
NORTH = region_in("north", "north", "east", delivery=QUICK, fleets=FLEETS)
EAST = region_in("east", "east", "north", delivery=QUICK, fleets=FLEETS)
SLOW = "import time; print('begun', flush=True); time.sleep({seconds}); print('done')"


@asynccontextmanager
async def runner_in(supercluster: Supercluster, folder: Path, name: str) -> AsyncIterator[RunnerProcess]:
    """A runner process of that region, ready, that has found the other."""
    other = {"north": "east", "east": "north"}[name]
    file = folder / f"{name}.toml"
    file.write_text(
        f'region = "{name}"\ncluster = "{name}"\n[delivery]\nack_wait_s = 2\n'
        f'[[neighbours]]\nregion = "{other}"\nrtt_ms = 10\n'
        + "".join(
            f'[[fleets]]\nname = "{fleet.name}"\nlanguages = {[str(each) for each in fleet.languages]}\n'
            for fleet in FLEETS
        )
    )
    environ = {
        "YURT_REGION_FILE": str(file),
        "YURT_FLEET": "python",
        "YURT_NAME": f"runner-{name}",
        "YURT_SLOTS": "16",
    }
    async with runner_process(supercluster.url(name), **environ) as process:
        await process.said(f"action=neighbours regions={other}")
        yield process


async def is_settled(bus: Bus, region: Region) -> bool:
    """Nothing is queued, nothing runs."""
    infos = [await bus.api(f"STREAM.INFO.{streams.jobs_stream(region.name, each)}") for each in Class]
    return not any(info["state"]["messages"] for info in infos)


async def results_of(bus: Bus, region: Region, name: str) -> int:
    subject = streams.results_subject(region.name, name)
    info = await bus.api(f"STREAM.INFO.{streams.results_stream(region.name)}", {"subjects_filter": subject})
    return int((info["state"].get("subjects") or {}).get(subject, 0))


async def begun(bus: Bus, region: Region) -> asyncio.Queue[Running]:
    """Those that begin to run, of the region's own gateway."""
    running: asyncio.Queue[Running] = asyncio.Queue()

    def on_output(message: object) -> None:
        word = wire.unpack(message.data)  # type: ignore[attr-defined]
        if isinstance(word, Running):
            running.put_nowait(word)

    await bus.subscribe(streams.output_subject(region.gateways[0], "*"), on_output)
    return running


async def test_a_region_without_runners_is_served_next_door(own_supercluster: Supercluster, tmp_path: Path) -> None:
    """Output, result and control are those of the job's region; where it ran is told."""
    await own_supercluster.found(NORTH, EAST)
    home = await own_supercluster.connect("north")
    running = await begun(home, NORTH)
    async with asyncio.timeout(120), runner_in(own_supercluster, tmp_path, "east"):
        await submit(home, NORTH, "one", "print('hello')")
        ran = await result(home, NORTH, "one")
        assert (ran.stdout, ran.region, ran.runner) == (b"hello\n", "east", "runner-east")
        assert (await running.get()).region == "east"

        await submit(home, NORTH, "long", SLOW.format(seconds=20))
        assert (await running.get()).execution_id == "long"
        stop = wire.pack(Control(execution_id="long", kind=ControlKind.CANCEL))
        answer = await home.request(streams.control_subject("north", "long"), stop, timeout_s=5)
        assert wire.unpack_as(ControlReply, answer.data).accepted
        assert (await result(home, NORTH, "long")).state is State.CANCELLED
        await eventually(lambda: is_settled(home, NORTH))
    await home.close()


async def test_what_only_the_jobs_own_region_has_goes_back_to_it(
    own_supercluster: Supercluster, tmp_path: Path
) -> None:
    """A newer version, say: the helper hands it back at once and then leaves that queue alone."""
    await own_supercluster.found(NORTH, EAST)
    home = await own_supercluster.connect("north")
    async with asyncio.timeout(120), runner_in(own_supercluster, tmp_path, "east") as helper:
        await submit(home, NORTH, "newer", "print('hello')", version="3.99")
        await helper.said("action=guest_unfit")
        verb = f"CONSUMER.INFO.{streams.jobs_stream('north', Class.STANDARD)}.python"
        await eventually(lambda: is_waiting(home, verb))
        assert await results_of(home, NORTH, "newer") == 0
    await home.close()


async def is_waiting(bus: Bus, verb: str) -> bool:
    info = await bus.api(verb)
    return bool(info["num_ack_pending"] == 1 or info["num_pending"] == 1) and not info["num_waiting"]


async def test_a_job_whose_region_dies_meanwhile_has_one_result_once_it_is_back(
    own_supercluster: Supercluster, tmp_path: Path
) -> None:
    """It ends while its region is away: the result is kept, and stored when the region's NATS is there again."""
    await own_supercluster.found(NORTH, EAST)
    home = await own_supercluster.connect("north")
    running = await begun(home, NORTH)
    async with asyncio.timeout(150), runner_in(own_supercluster, tmp_path, "east"):
        await submit(home, NORTH, "away", SLOW.format(seconds=2))
        assert (await running.get()).region == "east"
        await home.close()
        own_supercluster.stop("north")
        there = await own_supercluster.connect("east")
        await submit(there, EAST, "meanwhile", "import time; time.sleep(3); print('well')")
        assert (await result(there, EAST, "meanwhile")).stdout == b"well\n"  # so the other has ended, too
        own_supercluster.start("north")
        home = await own_supercluster.connect("north")
        stored = await result(home, NORTH, "away")
        assert (stored.verdict, stored.stdout, stored.region) == (Verdict.OK, b"begun\ndone\n", "east")
        await eventually(lambda: is_settled(home, NORTH))
        assert await results_of(home, NORTH, "away") == 1
        await there.close()
    await home.close()


async def test_a_burst_spills_over_and_every_job_has_one_result(own_supercluster: Supercluster, tmp_path: Path) -> None:
    """More than the region's own runner has room for; nobody's job is lost when the helper is killed amid it."""
    await own_supercluster.found(NORTH, EAST)
    home = await own_supercluster.connect("north")
    running = await begun(home, NORTH)
    names = [f"spill-{number}" for number in range(40)]
    async with asyncio.timeout(200), AsyncExitStack() as stack:
        await stack.enter_async_context(runner_in(own_supercluster, tmp_path, "north"))
        helper = await stack.enter_async_context(runner_in(own_supercluster, tmp_path, "east"))
        for name in names:
            await submit(home, NORTH, name, "import time; time.sleep(1); print('done')")
        while (await running.get()).region != "east":
            pass
        helper.send_signal(signal.SIGKILL)
        ends = [await result(home, NORTH, name) for name in names]
        assert all(end.verdict is Verdict.OK and end.stdout == b"done\n" for end in ends)
        await eventually(lambda: is_settled(home, NORTH))
        assert [await results_of(home, NORTH, name) for name in names] == [1] * len(names)
    await home.close()
