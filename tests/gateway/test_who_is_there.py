"""Runners by their beats: languages, readiness, regions, the estimate; and what a scrape sees."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.app import make_desk
from gateway.roster import DEAD_AFTER_S, SETTLED_AFTER_S, Roster
from gateway.settings import Settings
from jobs.events import Beat, Offer
from jobs.languages import Language
from jobs.region import embedded
from jobs.service.atlas import StaticAtlas
from jobs.service.bus import Bus
from jobs.states import Class
from tests.gateway.conftest import Door, Hire
from tests.gateway.scripted import OFFERS

BEAT = Beat(
    runner="a", region="here", pid=1, slots=4, running=1, draining=False, cpu_percent=1, memory_percent=1,
    offers=OFFERS, mean_run_ms=100.0,
)  # fmt: skip


class Clock:
    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def roster(clock: Clock) -> Roster:
    return Roster(region="here", now_s=clock)


def test_three_missed_beats_are_death_and_leaving_is_at_once(roster: Roster, clock: Clock) -> None:
    roster.hear(BEAT)
    roster.hear(replace(BEAT, runner="b"))
    assert len(roster.living()) == 2
    roster.hear(replace(BEAT, runner="b", leaving=True))
    assert [beat.runner for beat in roster.living()] == ["a"]
    clock.s += DEAD_AFTER_S - 0.1
    assert roster.can_run()
    clock.s += 0.2
    assert not roster.can_run()
    assert roster.languages() == []


def test_languages_are_a_row_a_version_newest_first(roster: Roster) -> None:
    """Exactly the contract's fields; what two runners have of a version is put together."""
    roster.hear(replace(BEAT, offers=(replace(OFFERS[0], engine="fork"), *OFFERS[1:])))
    other = Offer(language="python", version="3.11.7", variants=("ml",), engine="docker-runc")
    roster.hear(replace(BEAT, runner="b", offers=(other,)))
    rows = roster.languages()
    assert [(row["language"], row["version"]) for row in rows][:2] == [("python", "3.12.1"), ("python", "3.11.7")]
    assert rows[1]["variants"] == ["data", "ml"]
    assert [row["engines"] for row in rows][:2] == [[], ["docker-runc", "fork"]]
    fields = ["language", "version", "aliases", "variants", "compiled", "compile_flags", "extensions", "engines"]
    assert all(list(row) == fields for row in rows)
    assert {row["language"] for row in rows} == set(Language)


def test_what_nobody_offers_is_refused_only_once_the_region_is_settled(roster: Roster, clock: Clock) -> None:
    """Runners that start prove their languages one by one; a runner's death takes no offer away."""
    assert not roster.known.settled
    roster.hear(replace(BEAT, offers=OFFERS[:1]))
    clock.s += SETTLED_AFTER_S - 1
    roster.hear(replace(BEAT, offers=OFFERS[:3]))
    clock.s += SETTLED_AFTER_S - 1
    assert not roster.known.settled
    clock.s += 2
    assert roster.known.settled
    assert set(roster.known.offers) == {Language.PYTHON, Language.JAVASCRIPT}
    assert [offer.version for offer in roster.known.offers[Language.PYTHON]] == ["3.12.1", "3.11.7"]


async def test_the_estimate_is_computed_from_what_is_ahead_and_who_serves_it(bus: Bus, clock: Clock) -> None:
    """Nothing ahead: 0. Each better class stands before. Nobody there: as long as a job may wait."""
    region = embedded("here")
    desk = make_desk(Settings(), bus, region, "here-1", StaticAtlas(region), now_s=clock)
    home = desk.horizon.home
    assert home.backlog.wait_ms(Class.STANDARD) == 600_000
    home.roster.hear(BEAT)
    assert home.backlog.wait_ms(Class.STANDARD) == 0
    for _ in range(11):
        home.backlog.count(Class.STANDARD)
    assert home.backlog.wait_ms(Class.STANDARD) == 200, "eight have to go before, four at a time, each 100 ms"
    assert home.backlog.wait_ms(Class.PRIORITY) == 0
    assert home.backlog.wait_ms(Class.BULK) == 200
    assert home.backlog.retry_after_s(Class.STANDARD) == 1
    for _ in range(10_000):
        home.backlog.count(Class.STANDARD)
    assert 2 <= home.backlog.retry_after_s(Class.STANDARD) <= 60


async def test_it_is_ready_once_a_runner_offers_something_and_says_why_not(door: Door, hire: Hire) -> None:
    status, body = await door.call("GET", "/readyz")
    assert (status, body["faults"]) == (503, ["no living runner offers a language"])
    assert (await door.call("GET", "/healthz"))[0] == 200
    runner = await hire()
    assert (await door.call("GET", "/readyz"))[0] == 200
    _, rows = await door.call("GET", "/api/v1/languages")
    assert len(rows) == len(OFFERS)
    await runner.beat(leaving=True)
    while (await door.call("GET", "/readyz"))[0] == 200:
        pass


async def test_regions_tell_how_it_stands_there(door: Door, hire: Hire) -> None:
    await door.submit()
    await hire(pulls=False)
    status, rows = await door.call("GET", "/api/v1/regions")
    assert status == 200
    assert rows[0].keys() >= {"region", "healthy", "rtt_ms", "queue_depth", "running", "runners"}
    assert (rows[0]["region"], rows[0]["healthy"], rows[0]["runners"]) == (door.region.name, True, 1)
    assert rows[0]["rtt_ms"] > 0


async def test_a_scrape_sees_the_network_s_metrics_and_the_gateway_s(door: Door, hire: Hire) -> None:
    """By the names that dashboards and scaling go by."""
    await hire()
    await door.submit("?wait=true")
    await door.submit("?wait=true", language="nothing")
    async with door.client.get(f"{door.url}/metrics") as answer:
        assert answer.status == 200
        families = {family.name: family for family in text_string_to_metric_families(await answer.text())}
    duration = families["code_runner_execution_duration_seconds"]
    edges = [sample.labels["le"] for sample in duration.samples if sample.name.endswith("_bucket")]
    assert edges == ["0.1", "0.5", "1.0", "2.0", "5.0", "10.0", "30.0", "+Inf"]
    counts = [sample.value for sample in duration.samples if sample.name.endswith("_count")]
    assert counts == [1.0]
    assert {"queue", "language"} <= families["code_runner_queue_depth"].samples[0].labels.keys()
    warm = {sample.labels["language"]: sample.value for sample in families["code_runner_warm_containers"].samples}
    assert (warm["python"], warm["rust"]) == (6.0, 0.0)
    assert families["code_runner_cold_start_rate"].samples[0].labels == {"language": "python"}
    requests = {
        (sample.labels["route"], sample.labels["status"]): sample.value
        for sample in families["yurt_gateway_requests"].samples
    }
    assert requests["/api/v1/execute", "200"] == 1.0
    assert requests["/api/v1/execute", "422"] == 1.0
    assert families["yurt_gateway_accepted"].samples[0].value == 1.0
    assert {"yurt_gateway_listeners", "yurt_gateway_feed_bytes", "yurt_gateway_refused"} <= families.keys()
