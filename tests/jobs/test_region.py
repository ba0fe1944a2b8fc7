"""A region file: everything has a default, every fault is told at once."""

import pytest

from jobs import region, streams
from jobs.errors import ConfigFault
from jobs.languages import Language
from jobs.states import Class

SPLIT = """
region = "us-east"
gateways = ["us-east-1", "us-east-2"]
replicas = 3
[queues]
standard = 7
[delivery]
ack_wait_s = 2
[[fleets]]
name = "scripts"
languages = ["py", "node"]
[[fleets]]
name = "compiled"
languages = ["java", "go", "c++", "rust"]
"""


def test_a_name_is_enough() -> None:
    """The defaults are the design's numbers."""
    parsed = region.parse('region = "us-east"')
    assert parsed == region.embedded("us-east")
    assert (parsed.queues.priority, parsed.queues.standard, parsed.queues.per_language) == (10_000, 50_000, 20_000)


def test_fleets_partition_the_languages() -> None:
    """Aliases are understood, and each language is found in its fleet."""
    parsed = region.parse(SPLIT)
    assert parsed.fleet_of(Language.JAVASCRIPT).name == "scripts"
    assert parsed.fleet_of(Language.CPP).name == "compiled"


def test_every_fault_is_told_at_once() -> None:
    """Wrong names, numbers, keys and a language in two fleets: one message has them all."""
    text = """
region = "Us East"
replicas = 2
colour = "blue"
[queues]
standard = -1
bluk = 3
[[fleets]]
name = "a"
languages = ["python", "cobol"]
[[fleets]]
name = "b"
languages = ["python"]
"""
    with pytest.raises(ConfigFault) as caught:
        region.parse(text)
    said = str(caught.value)
    for part in (
        "region:",
        "replicas:",
        "colour:",
        "queues.standard",
        "queues.bluk",
        "cobol",
        "in fleet 'a'",
        "no fleet",
    ):
        assert part in said


def test_a_fleet_says_which_engine_its_languages_have() -> None:
    """As a whole, and otherwise for some; one that says nothing leaves it to its runners."""
    text = SPLIT.replace('"rust"]', '"rust"]\nengine = "docker"\nengines = { jdk = "snapshot", go = "fork" }')
    scripts, compiled = region.parse(text).fleets
    assert (scripts.engine, scripts.engines) == (None, ())
    said = {language.value: compiled.choice.of(language) for language in compiled.languages}
    assert said == {"java": "snapshot", "go": "fork", "cpp": "docker", "rust": "docker"}


def test_engines_change_nothing_that_nats_has() -> None:
    """A region that is up is as its file says when only engines are another: its runners are rolled, no more."""
    with_engines = SPLIT.replace('"rust"]', '"rust"]\nengine = "docker"\nengines = { java = "snapshot" }')
    assert streams.plan(region.parse(with_engines)) == streams.plan(region.parse(SPLIT))


def test_every_fault_of_engines_is_told_with_its_cure() -> None:
    """Unknown engines and languages, and one that another fleet serves."""
    faults = (
        'engine = "dokcer"\nengines = { python = "fork", cobol = "docker", java = 3, go = "dock", golang = "fork" }'
    )
    with pytest.raises(ConfigFault) as caught:
        region.parse(SPLIT.replace('"rust"]', '"rust"]\n' + faults))
    assert str(caught.value).splitlines()[1:] == [
        "  fleets[1].engine: 'dokcer' is no engine; the known ones are fork, docker, snapshot",
        "  fleets[1].engines.python: this fleet does not serve python; say it in the fleet that does",
        "  fleets[1].engines.cobol: no such language; the known ones are python, javascript, java, go, cpp, rust",
        "  fleets[1].engines.java: 3 is no engine; the known ones are fork, docker, snapshot",
        "  fleets[1].engines.go: 'dock' is no engine; the known ones are fork, docker, snapshot",
    ]


def test_text_that_is_no_toml_is_refused_with_its_line() -> None:
    """The cure starts with the place."""
    with pytest.raises(ConfigFault, match="line 1"):
        region.parse("region = us-east")


def test_the_plan_has_every_stream_and_one_consumer_a_class_and_fleet() -> None:
    """Streams and consumers follow from the region file alone."""
    plans = {plan.name: plan for plan in streams.plan(region.parse(SPLIT))}
    assert set(plans) == {
        "JOBS_US_EAST_PRIORITY",
        "JOBS_US_EAST_STANDARD",
        "JOBS_US_EAST_BULK",
        "RESULTS_US_EAST",
        "OUTPUT_US_EAST",
        "DEAD_US_EAST",
        "SCALE_US_EAST",
    }
    standard = plans["JOBS_US_EAST_STANDARD"]
    assert standard.config["max_msgs"] == 7
    assert standard.config["discard"] == "new"
    assert standard.config["num_replicas"] == 3
    assert [consumer.name for consumer in standard.consumers] == ["scripts", "compiled"]
    assert plans["OUTPUT_US_EAST"].config["subjects"] == ["output.us-east-1.>", "output.us-east-2.>"]


@pytest.mark.parametrize("job_class", Class)
def test_a_fleets_consumers_take_its_languages_and_no_other(job_class: Class) -> None:
    """Filters of one stream's consumers never overlap, and together they cover its subjects."""
    plans = {plan.name: plan for plan in streams.plan(region.parse(SPLIT))}
    consumers = plans[streams.jobs_stream("us-east", job_class)].consumers
    subjects = [subject for consumer in consumers for subject in consumer.config["filter_subjects"]]
    assert sorted(subjects) == sorted(streams.jobs_subject("us-east", job_class, language) for language in Language)
