"""What is started with which configuration."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from jobs.languages import Language
from jobs.limits import MESSAGE_BYTES
from jobs.service.settings import load, load_region
from yurt.stack import parts
from yurt.stack.folder import Folder
from yurt.stack.layout import Layout, Wish, lay_out
from yurt.stack.link import LinkSettings

THREE = Wish(regions=("us-east", "eu-west", "ap-south"), rtt=("us-east:eu-west=80ms",))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return lay_out(Wish(), Folder(tmp_path))[0]


@pytest.fixture
def three(tmp_path: Path) -> tuple[Layout, ...]:
    return lay_out(THREE, Folder(tmp_path))


def test_the_server_takes_the_largest_message_and_listens_to_this_machine_alone(layout: Layout) -> None:
    plan = parts.nats(layout, layout.servers[0], {})
    config = Path(plan.argv[-1]).read_text()
    assert f"max_payload: {MESSAGE_BYTES}\n" in config
    assert f'listen: "127.0.0.1:{layout.servers[0].port}"' in config
    assert "cluster" not in config


def test_a_gateway_reads_its_file_as_it_was_meant(layout: Layout) -> None:
    from gateway.settings import Settings, gateway_name

    plan = parts.gateway(layout, {})
    settings = load(Settings, file=Path(plan.argv[-1]), environ={}, flags={})
    assert (settings.port, settings.nats_urls) == (layout.port, layout.nats)
    assert gateway_name(settings, load_region(settings.region_file, settings.region)) == "local-1"


def test_what_the_network_decides_no_variable_changes_and_the_rest_is_passed_on(layout: Layout) -> None:
    environ = {"YURT_PORT": "1", "YURT_DATA": "x", "YURT_SLOTS": "2", "YURT_CACHE": "caches", "PATH": "/bin"}
    [runner] = parts.runners(layout, environ)
    assert not {"YURT_DATA"} & runner.environ.keys()
    assert (runner.environ["YURT_SLOTS"], runner.environ["PATH"]) == ("2", "/bin")
    assert Path(runner.environ["YURT_CACHE"]).is_absolute()
    assert "YURT_PORT" not in parts.gateway(layout, environ).environ


def test_each_fleet_has_a_runner(tmp_path: Path) -> None:
    file = tmp_path / "region.toml"
    file.write_text(
        'region = "local"\n[[fleets]]\nname = "scripts"\nlanguages = ["python", "javascript"]\n'
        '[[fleets]]\nname = "compiled"\nlanguages = ["java", "go", "cpp", "rust"]\n'
    )
    [layout] = lay_out(Wish(files=(file,)), Folder(tmp_path / "data"))
    plans = parts.runners(layout, {})
    assert [plan.title for plan in plans] == ["runner-scripts", "runner-compiled"]
    assert 'fleet = "compiled"' in Path(plans[1].argv[-1]).read_text()


def test_runners_have_the_engine_that_was_asked_for_or_are_left_to_region_file_and_environment(tmp_path: Path) -> None:
    from runner.settings import RunnerSettings

    def engine(wish: Wish, environ: dict[str, str]) -> tuple[str, ...]:
        [plan] = parts.runners(lay_out(wish, Folder(tmp_path))[0], environ)
        return load(RunnerSettings, file=Path(plan.argv[-1]), environ=plan.environ, flags={}).engine

    environ = {"YURT_ENGINE": "docker, java=fork"}
    assert engine(Wish(), {}) == ()
    assert engine(Wish(), environ) == ("docker", "java=fork")
    assert engine(Wish(engine=("go=docker",)), environ) == ("go=docker",)


def test_the_region_file_of_a_network_says_the_engines_of_its_fleets(tmp_path: Path) -> None:
    file = tmp_path / "region.toml"
    names = ", ".join(f'"{language}"' for language in Language)
    file.write_text(
        f'region = "local"\n[[fleets]]\nname = "all"\nlanguages = [{names}]\n'
        'engine = "docker"\nengines = { java = "snapshot", go = "fork" }\n'
    )
    [layout] = lay_out(Wish(files=(file,)), Folder(tmp_path / "data"))
    parts.runners(layout, {})
    assert load_region(layout.folder / "region.toml", "") == layout.region
    assert layout.region.fleets[0].choice.of(Language.JAVA) == "snapshot"


@pytest.mark.parametrize("wish", [Wish(), THREE, Wish(replicas=3), Wish(regions=("a", "b"), replicas=3)])
def test_a_real_server_takes_its_configuration(tmp_path: Path, wish: Wish) -> None:
    for layout in lay_out(wish, Folder(tmp_path)):
        for server in layout.servers:
            argv = parts.nats(layout, server, {}).argv
            subprocess.run([argv[0], "-t", *argv[1:]], check=True, capture_output=True)


def test_whoever_was_set_apart_comes_by_the_link_and_the_others_straight(three: tuple[Layout, ...]) -> None:
    """All servers know one and the same address for a region: they tell each other what they know."""
    us_east, eu_west, ap_south = three
    into_eu = eu_west.servers[0].far_gateway_port
    for layout in (us_east, ap_south):
        config = Path(parts.nats(layout, layout.servers[0], {}).argv[-1]).read_text()
        assert f'{{ name: "eu-west", urls: ["nats://127.0.0.1:{into_eu}"] }}' in config
    config = Path(parts.nats(eu_west, eu_west.servers[0], {}).argv[-1]).read_text()
    assert f'advertise: "127.0.0.1:{into_eu}"' in config
    assert f"nats://127.0.0.1:{ap_south.servers[0].gateway_port}" in config
    assert ap_south.servers[0].far_port is None


def test_a_link_knows_who_comes_by_the_files_they_were_started_with(three: tuple[Layout, ...]) -> None:
    us_east, eu_west, _ = three
    settings = load(LinkSettings, file=Path(parts.link(eu_west, {}).argv[-1]), environ={}, flags={})
    files = [distance.rpartition("=")[0] for distance in settings.distances]
    assert parts.nats(us_east, us_east.servers[0], {}).argv[-1] in files
    assert parts.gateway(us_east, {}).argv[-1] in files
    assert all(distance.endswith("=80") for distance in settings.distances)


def test_a_gateway_falls_back_to_its_neighbours_servers_nearest_first(three: tuple[Layout, ...]) -> None:
    from gateway.settings import Settings

    us_east, eu_west, ap_south = three
    settings = load(Settings, file=Path(parts.gateway(us_east, {}).argv[-1]), environ={}, flags={})
    far = (f"nats://127.0.0.1:{ap_south.servers[0].port}", f"nats://127.0.0.1:{eu_west.servers[0].far_port}")
    assert settings.nats_fallback_urls == far


def test_with_tls_every_part_has_a_certificate_and_knows_the_authority(tmp_path: Path) -> None:
    from gateway.settings import Settings
    from runner.settings import RunnerSettings
    from yurt.bootstrap.authority import authority

    ours = authority(tmp_path / "authority")
    [layout] = lay_out(Wish(tls=True), Folder(tmp_path), ours)
    gateway = load(Settings, file=Path(parts.gateway(layout, {}).argv[-1]), environ={}, flags={})
    runner = load(RunnerSettings, file=Path(parts.runners(layout, {})[0].argv[-1]), environ={}, flags={})
    assert layout.url.startswith("https://")
    assert gateway.nats_ca_file == runner.nats_ca_file == ours.cert
    for file in (gateway.tls_cert_file, gateway.tls_key_file, runner.admin_tls_cert_file, runner.admin_tls_key_file):
        assert file is not None
        assert file.is_file()
    assert "nats-key.pem" in Path(parts.nats(layout, layout.servers[0], {}).argv[-1]).read_text()


def test_a_log_that_has_grown_is_set_aside(layout: Layout) -> None:
    log = layout.folder / "logs" / "nats.log"
    with log.open("wb") as file:
        file.truncate(parts.LOG_BYTES + 1)
    parts.nats(layout, layout.servers[0], {})
    assert not log.exists()
    assert log.with_suffix(".log.1").exists()


def test_ports_are_free_and_each_is_given_once(three: tuple[Layout, ...]) -> None:
    given = [
        port
        for layout in three
        for server in layout.servers
        for port in (server.port, server.cluster_port, server.gateway_port, server.far_port, server.far_gateway_port)
        if port is not None
    ]
    assert len(given) == len(set(given))
    for port in given:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
