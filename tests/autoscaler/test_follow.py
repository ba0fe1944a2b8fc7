"""An autoscaler follows its files while it lives: other fleets and bounds are taken up, faults are only said."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from autoscaler import app, follow
from autoscaler.settings import AutoscalerSettings
from jobs.region import Region, parse
from jobs.service.bus import Bus
from jobs.streams import plan, scale_plan
from tests.conftest import NatsServer, make_streams
from tests.waiting import eventually

WHOLE = 'region = "follow"\n'
SPLIT = (
    WHOLE
    + '[[fleets]]\nname = "py"\nlanguages = ["python"]\nmaximum = 7\n'
    + '[[fleets]]\nname = "rest"\nlanguages = ["javascript", "java", "go", "cpp", "rust"]\n'
)


@pytest.fixture
def settings(tmp_path: Path, nats_server: NatsServer) -> AutoscalerSettings:
    file = tmp_path / "region.toml"
    file.write_text(WHOLE)
    return AutoscalerSettings(region_file=file, nats_urls=(nats_server.url,), interval_s=0.05, name="one")


async def open_region(bus: Bus, region: Region) -> None:
    await make_streams(bus, [*plan(region)[:3], scale_plan(region)])


async def test_another_split_is_taken_up_and_a_fault_is_not(
    bus: Bus, settings: AutoscalerSettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Decisions are made for the fleets that there are; a file that is wrong is said once and changes nothing."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(follow, "LOOK_S", 0.02)
    assert settings.region_file is not None
    await open_region(bus, parse(WHOLE))
    stop = asyncio.Event()
    serving = asyncio.create_task(app.serve(settings, stop))
    await eventually(lambda: "fleet=all" in caplog.text)
    settings.region_file.write_text('region = "follow"\n[[fleets]]\n')
    await eventually(lambda: "files_refused" in caplog.text)
    settings.region_file.write_text(WHOLE.replace("follow", "other"))
    await eventually(lambda: "it is of other now" in caplog.text)
    settings.region_file.write_text(SPLIT)
    await eventually(lambda: "fleet=py" in caplog.text and "fleet=rest" in caplog.text)
    assert caplog.text.count("action=files_refused") == 2
    stop.set()
    await asyncio.wait_for(serving, 10)


async def test_other_bounds_alone_are_a_change_too(settings: AutoscalerSettings) -> None:
    """From either file."""
    assert settings.region_file is not None
    settings.region_file.write_text(SPLIT)
    before = follow.read(settings)
    settings.region_file.write_text(SPLIT.replace("7", "9"))
    region, scaling = await asyncio.wait_for(follow.until_changed(settings, before, look_s=0), 5)
    assert (scaling.bounds["py"].maximum, region.fleets[0].maximum) == (9, 9)
    own = settings.region_file.with_name("scaling.toml")
    own.write_text("[fleets.py]\nmaximum = 11\nminimum = 1\n")
    settings = replace(settings, scaling_file=own)
    _, scaling = await asyncio.wait_for(follow.until_changed(settings, (region, scaling), look_s=0), 5)
    assert scaling.bounds["py"].maximum == 11
