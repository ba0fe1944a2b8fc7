"""To which fleet a runner belongs: the one that it says, or for an older runner the one whose languages it offers."""

from __future__ import annotations

from typing import Any

from autoscaler.sensor import SILENCE_S, Sensor
from jobs import streams, wire
from jobs.events import Beat, Offer
from jobs.languages import Language
from jobs.region import Fleet, Region, embedded
from jobs.service.bus import Bus
from tests.conftest import make_streams

FLEETS = (
    Fleet(name="scripts", languages=(Language.PYTHON, Language.JAVASCRIPT)),
    Fleet(name="rest", languages=(Language.JAVA, Language.GO, Language.CPP, Language.RUST)),
)


def beat(region: Region, runner: str, language: str, **more: Any) -> Beat:
    return Beat(
        runner=runner,
        region=region.name,
        pid=1,
        slots=8,
        running=0,
        cpu_percent=10.0,
        memory_percent=10.0,
        **{"draining": False, "offers": (Offer(language=language, version="1"),), **more},
    )


async def test_a_runner_belongs_to_the_fleet_that_it_says(bus: Bus) -> None:
    """Also while its offers are another fleet's, as they are when languages move from one to the other."""
    region, now = embedded("sensor-fleets", fleets=FLEETS), 0.0
    await make_streams(bus, streams.plan(region))
    sensor = Sensor(bus, region, lambda: now)
    await sensor.start()
    now += SILENCE_S
    for said in (
        beat(region, "moved", "python", fleet="rest", burst=True),
        beat(region, "older", "python"),
        beat(region, "new", "java", fleet="rest", offers=()),
        beat(region, "ends", "java", fleet="rest", draining=True),
        beat(region, "gone", "java", fleet="rest", leaving=True, why_leaving="it was idle for 120 s"),
    ):
        bus.publish(streams.runner_subject(region.name, said.runner), wire.pack(said))
    await bus.api("INFO")  # an answer that comes after what was published before
    assert (sensor.heard("scripts"), sensor.heard("rest")) == (1, 3)
    assert (await sensor.sample("scripts")).ready == 1
    assert (await sensor.sample("rest")).ready == 1
    await sensor.close()
