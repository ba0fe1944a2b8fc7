"""What the autoscaler tells Prometheus. ``code_runner_queue_depth`` is the original design's name."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from autoscaler.policy import Decision, Sample


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._depth = self._gauge("code_runner_queue_depth", "Jobs that wait or run", "queue", "fleet")
        self._runners = self._gauge("yurt_autoscaler_runners", "Runners, by what was last decided", "fleet", "part")
        self._wanted = self._gauge("yurt_autoscaler_wanted", "What the metrics ask for, before any limit", "fleet")
        self._ready = self._gauge("yurt_autoscaler_ready_runners", "Runners that take jobs", "fleet")
        self._used = self._gauge("yurt_autoscaler_used_percent", "Mean of the ready runners", "fleet", "of")
        self._leader = self._gauge("yurt_autoscaler_leader", "1 where this controller decides")
        self._still = self._gauge("yurt_autoscaler_holding_still", "1 while something it needs is away", "fleet")
        self._decisions = Counter(
            "yurt_autoscaler_decisions", "Decisions made", ["fleet", "direction"], registry=self.registry
        )
        self._faults = Counter(
            "yurt_autoscaler_faults", "Decisions not made or not carried out", ["fleet", "why"], registry=self.registry
        )

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(name, about, labels, registry=self.registry)

    def leads(self, leads: bool) -> None:
        self._leader.set(leads)

    def held_still(self, fleet: str, why: str) -> None:
        self._still.labels(fleet).set(1)
        self._faults.labels(fleet, why).inc()

    def decided(self, decision: Decision, sample: Sample) -> None:
        fleet = decision.fleet
        self._still.labels(fleet).set(0)
        self._decisions.labels(fleet, decision.direction).inc()
        self._wanted.labels(fleet).set(decision.wanted)
        for part, count in (
            ("baseline", decision.baseline),
            ("burst", decision.burst),
            ("before", decision.count.total),
        ):
            self._runners.labels(fleet, part).set(count)
        for job_class, depth in sample.queue.items():
            _set(self._depth.labels(job_class.value, fleet), depth)
        _set(self._ready.labels(fleet), sample.ready)
        _set(self._used.labels(fleet, "cpu"), sample.cpu_percent)
        _set(self._used.labels(fleet, "memory"), sample.memory_percent)


def _set(gauge: Gauge, value: float | None) -> None:
    gauge.set(float("nan") if value is None else value)  # NaN is Prometheus' word for not known
