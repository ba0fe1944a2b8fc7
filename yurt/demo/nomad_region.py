"""A region on a stage: its streams, and its Nomad jobs one after the other, until it runs programs."""

from __future__ import annotations

from collections.abc import Callable

from yurt.demo.nomad_stage import Stage

JOBS = ("nats", "runner", "gateway", "runner-burst")


def start_region(stage: Stage, told: Callable[[str], None] = lambda _: None) -> None:
    """NATS, its streams, a runner, a gateway, and the burst to be dispatched. *told* hears of each step."""
    stage.register("nats")
    stage.deployed("nats", 0)
    told("NATS is up, its check passes")
    stage.bootstrap()
    told("yurt bootstrap has made the streams and consumers of the region file")
    for job in JOBS[1:]:
        stage.register(job)
    told("registered: a runner, a gateway, and what bursts are dispatched from")
    for job in ("runner", "gateway"):
        stage.deployed(job, 0)
    told("the runner has proved its languages, the gateway takes programs")
