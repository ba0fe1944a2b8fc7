"""A region's streams and consumers on a real server: made, left alone, changed, and not changed where it would hurt."""

from __future__ import annotations

import argparse
import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobs import streams
from jobs.errors import ConfigFault, Unavailable
from jobs.languages import Language
from jobs.region import Delivery, Fleet, Queues, Region, Results, embedded
from jobs.service.bus import Bus
from jobs.service.pull import Puller
from jobs.service.streams_there import need
from jobs.states import Class
from tests.conftest import NatsServer, free_port
from tests.gateway.conftest import comes_true
from yurt.bootstrap.apply import set_up, survey
from yurt.bootstrap.changes import Allowed
from yurt.commands import bootstrap

_numbers = itertools.count(1)
PYTHON, *REST = Language
SPLIT = (Fleet(name="py", languages=(PYTHON,)), Fleet(name="rest", languages=tuple(REST)))


@pytest.fixture
def region() -> Region:
    """A region of the test's own."""
    return embedded(f"boot-{next(_numbers)}")


async def config_of(bus: Bus, name: str) -> dict[str, Any]:
    config: dict[str, Any] = (await bus.api(f"STREAM.INFO.{name}"))["config"]
    return config


def standard(region: Region) -> str:
    return streams.jobs_stream(region.name, Class.STANDARD)


async def enqueue(bus: Bus, region: Region, language: Language, count: int) -> None:
    for number in range(count):
        subject = streams.jobs_subject(region.name, Class.STANDARD, language)
        await bus.enqueue(subject, b"a job", message_id=f"{region.name}-{language}-{number}")


# -- making -----------------------------------------------------------------------------------------------------


async def test_a_new_region_gets_every_stream_and_consumer(bus: Bus, region: Region) -> None:
    """All that processes need is there afterwards; a second run has nothing to do."""
    changes = await set_up(bus, region)
    assert len(changes.streams) == 7 and len(changes.consumers) == 3
    await need(bus, streams.plan(region), region=region.name, wait_s=0)
    assert not await survey(bus, region)
    assert not await set_up(bus, region)


async def test_two_that_set_up_at_once_do_no_harm(bus: Bus, region: Region) -> None:
    """Both return, and the region is as it should be."""
    await asyncio.gather(set_up(bus, region), set_up(bus, region))
    assert not await survey(bus, region)


async def test_what_somebody_took_away_is_made_again(bus: Bus, region: Region) -> None:
    """A stream, a consumer: only those."""
    await set_up(bus, region)
    await bus.api(f"STREAM.DELETE.{streams.dead_stream(region.name)}")
    await bus.api(f"CONSUMER.DELETE.{standard(region)}.all")
    changes = await set_up(bus, region)
    assert [change.target for change in (*changes.streams, *changes.consumers)] == [
        streams.dead_stream(region.name),
        f"{standard(region)}/all",
    ]
    assert not await survey(bus, region)


async def test_what_is_not_there_is_named_with_the_cure(bus: Bus, region: Region) -> None:
    """A process that finds its region not set up ends with one line, and makes nothing."""
    with pytest.raises(ConfigFault) as caught:
        await need(bus, streams.serving(region), region=region.name, wait_s=0)
    assert standard(region) in str(caught.value)
    assert f"yurt bootstrap --region {region.name}" in str(caught.value)
    assert len((await survey(bus, region)).streams) == 7


async def test_a_process_waits_for_a_bootstrap_that_is_at_work(bus: Bus, region: Region) -> None:
    """They may be started at the same time."""
    waiting = asyncio.create_task(need(bus, streams.serving(region), region=region.name, wait_s=10))
    await set_up(bus, region)
    await waiting


# -- changing ---------------------------------------------------------------------------------------------------


async def test_a_change_is_shown_field_by_field_and_then_done(bus: Bus, region: Region) -> None:
    """What the survey says is what is done; a live queue keeps its jobs."""
    await set_up(bus, region)
    await enqueue(bus, region, PYTHON, 3)
    wanted = replace(
        region,
        queues=Queues(standard=60_000),
        delivery=Delivery(ack_wait_s=20),
        results=Results(max_age_s=7200),
    )
    lines = list((await survey(bus, wanted)).lines())
    assert f"{standard(region)}: change" in lines
    assert "  max_msgs: 50000 → 60000" in lines
    assert "  max_age: 3600 s → 7200 s" in lines
    assert "  ack_wait: 15 s → 20 s" in lines
    assert (await config_of(bus, standard(region)))["max_msgs"] == 50_000
    await set_up(bus, wanted)
    info = await bus.api(f"STREAM.INFO.{standard(region)}")
    assert (info["config"]["max_msgs"], info["state"]["messages"]) == (60_000, 3)
    assert not await survey(bus, wanted)


async def test_what_somebody_changed_by_hand_is_put_right(bus: Bus, region: Region) -> None:
    """The file is the whole truth, also in what it does not say."""
    await set_up(bus, region)
    config = await config_of(bus, standard(region))
    await bus.api(f"STREAM.UPDATE.{standard(region)}", {**config, "max_msg_size": 1000})
    assert "  max_msg_size: 1000 → no bound" in list((await survey(bus, region)).lines())
    await set_up(bus, region)
    assert (await config_of(bus, standard(region)))["max_msg_size"] == -1


async def test_languages_move_to_new_fleets_with_their_jobs(bus: Bus, region: Region) -> None:
    """Every job that waited is delivered to the fleet that has its language now."""
    await set_up(bus, region)
    await enqueue(bus, region, PYTHON, 5)
    await enqueue(bus, region, Language.GO, 4)
    await set_up(bus, replace(region, fleets=SPLIT), allowed=Allowed(idle=True))
    assert not await survey(bus, replace(region, fleets=SPLIT))
    pending = {
        fleet.name: (await bus.api(f"CONSUMER.INFO.{standard(region)}.{fleet.name}"))["num_pending"] for fleet in SPLIT
    }
    assert pending == {"py": 5, "rest": 4}


# -- refusing ---------------------------------------------------------------------------------------------------


async def refusals(bus: Bus, wanted: Region, allowed: Allowed | None = None) -> str:
    """Why it may not be done, which is also what ``set_up`` raises; nothing is changed by it."""
    before = {plan.name: await config_of(bus, plan.name) for plan in streams.plan(wanted)}
    said = "\n".join((await survey(bus, wanted, allowed=allowed)).refusals)
    if said:
        with pytest.raises(ConfigFault) as caught:
            await set_up(bus, wanted, allowed=allowed)
        assert all(line in str(caught.value) for line in said.splitlines())
        assert {name: await config_of(bus, name) for name in before} == before
    return said


async def test_a_bound_below_what_is_queued_is_refused(bus: Bus, region: Region) -> None:
    """Of the class, and of one language in it."""
    await set_up(bus, region)
    await enqueue(bus, region, PYTHON, 4)
    await enqueue(bus, region, Language.GO, 2)
    said = await refusals(bus, replace(region, queues=Queues(standard=5)))
    assert f"{standard(region)}: max_msgs: 50000 → 5: 6 jobs are queued" in said
    said = await refusals(bus, replace(region, queues=Queues(per_language=3)))
    assert f"4 jobs are on jobs.{region.name}.standard.python" in said and "standard.go" not in said
    assert not await refusals(bus, replace(region, queues=Queues(standard=6, per_language=4)))


async def test_a_language_with_jobs_does_not_go_to_a_fleet_that_nobody_serves(bus: Bus, region: Region) -> None:
    """Unless it is said that its runners come; and it may where they are there already."""
    await set_up(bus, replace(region, fleets=SPLIT))
    await enqueue(bus, region, PYTHON, 2)
    wanted = replace(region, fleets=(Fleet(name="rest", languages=tuple(Language)),))
    said = await refusals(bus, wanted)
    assert f"{standard(region)}/py: 2 jobs on jobs.{region.name}.standard.python" in said
    assert "no runner pulls for fleet rest" in said and "--idle" in said
    assert not (await survey(bus, wanted, allowed=Allowed(idle=True))).refusals
    puller = Puller(bus, standard(region), "rest", lambda delivery: None)
    await puller.start()
    puller.ask(1, expires_s=10, on_end=lambda: None)

    async def may() -> bool:
        return not (await survey(bus, wanted)).refusals

    await comes_true(may)


async def test_results_are_dropped_earlier_only_when_that_is_said(bus: Bus, region: Region) -> None:
    """A result older than the new bound is named; ``--forget`` lets it go."""
    await set_up(bus, region)
    await bus.keep(streams.results_subject(region.name, "old"), b"a result")
    wanted = replace(region, results=Results(max_age_s=0.2))

    async def is_old() -> bool:
        return bool((await survey(bus, wanted)).refusals)

    await comes_true(is_old)
    assert "max_age: 3600 s → 0.2 s" in await refusals(bus, wanted)
    assert not await refusals(bus, replace(region, results=Results(max_age_s=1800)))
    assert not (await survey(bus, wanted, allowed=Allowed(forget=True))).refusals


async def test_a_gateway_whose_output_is_kept_stays_named(bus: Bus, region: Region) -> None:
    """Its listeners would hear no more; once it has none it may go."""
    two = replace(region, gateways=("g-one", "g-two"))
    await set_up(bus, two)
    await bus.keep(streams.output_subject("g-two", "some-id"), b"a line")
    wanted = replace(region, gateways=("g-one",))
    said = await refusals(bus, wanted)
    assert "1 messages of output.g-two.> are kept" in said and "--forget" in said
    assert not await refusals(bus, replace(region, gateways=("g-two",)))
    await set_up(bus, wanted, allowed=Allowed(forget=True))
    assert not await survey(bus, wanted)


async def test_what_no_server_changes_is_refused_with_the_way_round(bus: Bus, region: Region) -> None:
    """Storage and retention of a stream that somebody made otherwise."""
    name = streams.results_stream(region.name)
    plan = next(plan for plan in streams.plan(region) if plan.name == name)
    await bus.api(f"STREAM.CREATE.{name}", {**plan.config, "storage": "memory", "retention": "interest"})
    said = "\n".join((await survey(bus, region)).refusals)
    assert f"{name}: storage: memory → file" in said and f"{name}: retention: interest → limits" in said
    assert "delete it, and run this again" in said


async def test_the_server_s_no_is_told_with_the_cure(bus: Bus, region: Region) -> None:
    """More replicas than servers; a gateway's name that another region has."""
    with pytest.raises(ConfigFault, match="replicas = 3 needs as many servers"):
        await set_up(bus, replace(region, replicas=3))
    await set_up(bus, region)
    other = replace(region, name=f"{region.name}-other")
    with pytest.raises(ConfigFault, match=f"another region has one of the gateways {region.gateways[0]}"):
        await set_up(bus, other)


# -- as it is typed ---------------------------------------------------------------------------------------------


Typed = Callable[..., int]


@pytest.fixture
def typed(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> Typed:
    for name in ("YURT_REGION", "YURT_NATS_URLS"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str, nats: str = nats_server.url) -> int:
        parser = argparse.ArgumentParser()
        bootstrap.add_arguments(parser)
        return bootstrap.bootstrap(parser.parse_args(["--nats", nats, *words]))

    return run


def test_a_dry_run_shows_and_changes_nothing_and_the_real_one_ends_with_nothing_to_do(
    typed: Typed, region: Region, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three runs: what would be, what is, and that it is."""
    file = tmp_path / "region.toml"
    file.write_text(f'region = "{region.name}"\n')
    words = ("--region", region.name, "--region-file", str(file))
    for _ in range(2):
        assert typed(*words, "--dry-run") == 0
        said = capsys.readouterr().out
        assert f"{standard(region)}: create" in said and "nothing was changed" in said
    assert typed(*words) == 0
    assert "as its file says now" in capsys.readouterr().out
    assert typed(*words) == 0
    assert capsys.readouterr().out == f"region {region.name} is as its file says; nothing to do\n"
    file.write_text(f'region = "{region.name}"\n[queues]\nbulk = 7\n')
    assert typed(*words, "--dry-run") == 0
    assert "max_msgs: 50000 → 7" in capsys.readouterr().out


def test_without_its_file_a_region_is_made_and_never_changed(typed: Typed, region: Region, tmp_path: Path) -> None:
    """A forgotten flag must not turn a region back into the defaults."""
    assert typed("--region", region.name) == 0
    assert typed("--region", region.name) == 0
    file = tmp_path / "region.toml"
    file.write_text(f'region = "{region.name}"\n[queues]\nbulk = 7\n')
    assert typed("--region-file", str(file)) == 0
    with pytest.raises(ConfigFault, match=r"give its file with --region-file:\n.*\n  .*max_msgs: 7 → 50000"):
        typed("--region", region.name)
    with pytest.raises(ConfigFault, match="--region: which one"):
        typed()


def test_a_clustered_region_is_not_set_up_on_a_server_of_its_own(typed: Typed, region: Region, tmp_path: Path) -> None:
    """Which would take any cluster's name."""
    file = tmp_path / "region.toml"
    file.write_text(f'region = "{region.name}"\ncluster = "far-away"\n')
    with pytest.raises(ConfigFault, match=r"on its own, .* the cluster 'far-away'"):
        typed("--region-file", str(file))


def test_a_region_file_with_faults_is_told_whole(typed: Typed, tmp_path: Path) -> None:
    """All of them, before any server is asked."""
    file = tmp_path / "region.toml"
    file.write_text('region = "East"\nreplicas = 2\n[queues]\nbluk = 1\n')
    with pytest.raises(ConfigFault) as caught:
        typed("--region-file", str(file))
    assert all(part in str(caught.value) for part in ("region:", "replicas:", "queues.bluk"))


def test_nats_that_is_away_is_one_line(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the address, after a bounded wait."""
    monkeypatch.setattr(bootstrap, "CONNECT_S", 0.3)
    with pytest.raises(Unavailable, match=r"no NATS at nats://127\.0\.0\.1:"):
        typed("--region", "nowhere", nats=f"nats://127.0.0.1:{free_port()}")
