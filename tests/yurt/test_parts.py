"""What is started with which configuration."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from jobs.errors import ConfigFault
from jobs.limits import MESSAGE_BYTES
from jobs.service.settings import load, load_region
from yurt.stack import parts


@pytest.fixture
def layout(tmp_path: Path) -> parts.Layout:
    (tmp_path / "logs").mkdir()
    region, text = parts.region_of(None, "local")
    return parts.Layout(region=region, region_text=text, folder=tmp_path, port=8080, nats_port=4222, engine="fork")


def test_the_server_takes_the_largest_message_and_listens_to_this_machine_alone(layout: parts.Layout) -> None:
    plan = parts.nats(layout, {})
    config = Path(plan.argv[-1]).read_text()
    assert f"max_payload: {MESSAGE_BYTES}\n" in config
    assert 'listen: "127.0.0.1:4222"' in config


def test_a_gateway_reads_its_file_as_it_was_meant(layout: parts.Layout) -> None:
    from gateway.settings import Settings, gateway_name

    plan = parts.gateway(layout, {})
    settings = load(Settings, file=Path(plan.argv[-1]), environ={}, flags={})
    assert (settings.port, settings.nats_urls) == (8080, ("nats://127.0.0.1:4222",))
    assert gateway_name(settings, load_region(settings.region_file, settings.region)) == "local-1"


def test_what_the_network_decides_no_variable_changes_and_the_rest_is_passed_on(layout: parts.Layout) -> None:
    environ = {"YURT_PORT": "1", "YURT_DATA": "x", "YURT_SLOTS": "2", "YURT_CACHE": "caches", "PATH": "/bin"}
    passed = parts.runner(layout, environ).environ
    assert not {"YURT_DATA"} & passed.keys()
    assert (passed["YURT_SLOTS"], passed["PATH"]) == ("2", "/bin")
    assert Path(passed["YURT_CACHE"]).is_absolute()
    assert "YURT_PORT" not in parts.gateway(layout, environ).environ


def test_a_region_file_is_used_as_it_is(layout: parts.Layout, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('region = "eu-west"\n[delivery]\nack_wait_s = 2\n')
    region, text = parts.region_of(file, "local")
    assert (region.name, region.delivery.ack_wait_s) == ("eu-west", 2.0)
    assert tomllib.loads(text)["region"] == "eu-west"


def test_a_region_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match=r"gone\.toml cannot be read"):
        parts.region_of(tmp_path / "gone.toml", "local")


def test_a_log_that_has_grown_is_set_aside(layout: parts.Layout) -> None:
    log = layout.folder / "logs" / "nats.log"
    with log.open("wb") as file:
        file.truncate(parts.LOG_BYTES + 1)
    parts.nats(layout, {})
    assert not log.exists()
    assert log.with_suffix(".log.1").exists()
