"""Where a delivery came from: one consumer of jobs, at home or in another region, and how it delivers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobs.languages import Language
from jobs.region import Region
from jobs.states import Class
from jobs.streams import PRIORITY_GROUP, SPARE_DELIVERIES, jobs_stream

_NS = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A consumer: *fleet* is its name."""

    region: str
    job_class: Class
    fleet: str
    languages: frozenset[Language]
    ack_wait_s: float  #: a delivery that is silent for so long goes to another
    max_attempts: int

    @property
    def stream(self) -> str:
        return jobs_stream(self.region, self.job_class)


def at_home(region: Region, fleet: str) -> dict[Class, Origin]:
    """The consumers of one of our own fleets, as the region file has them."""
    languages = frozenset(next(each for each in region.fleets if each.name == fleet).languages)
    return {
        job_class: Origin(
            region=region.name,
            job_class=job_class,
            fleet=fleet,
            languages=languages,
            ack_wait_s=region.delivery.ack_wait_s,
            max_attempts=region.delivery.max_attempts,
        )
        for job_class in Class
    }


def of_consumer(region: str, job_class: Class, config: dict[str, Any]) -> Origin | None:
    """What the JetStream API tells of a consumer; None where it is none that other regions may pull from."""
    if config.get("priority_policy") != "prioritized" or PRIORITY_GROUP not in config.get("priority_groups", ()):
        return None
    subjects = config.get("filter_subjects") or [config.get("filter_subject", "")]
    words = {subject.rpartition(".")[2] for subject in subjects}
    if not words <= set(Language):  # a wildcard, or a language that is newer than we are
        return None
    return Origin(
        region=region,
        job_class=job_class,
        fleet=str(config["durable_name"]),
        languages=frozenset(map(Language, words)),
        ack_wait_s=config["ack_wait"] / _NS,
        max_attempts=max(1, int(config.get("max_deliver", -1)) - SPARE_DELIVERIES),
    )
