"""What a runner measures of itself, for Prometheus. Names as the original design has them, then our own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from jobs.events import Offer
from jobs.result import Result

BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._duration = Histogram(
            "code_runner_execution_duration_seconds",
            "From accepted to ended",
            ["language", "status"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._warm = Gauge(
            "code_runner_warm_containers", "Sandboxes that wait warm", ["language"], registry=self.registry
        )
        self._cold = Gauge(
            "code_runner_cold_start_rate", "Per cent of sandboxes that were not warm", registry=self.registry
        )
        self._running = Gauge("yurt_runner_running", "Jobs that run now", registry=self.registry)
        self._verdicts = Counter(
            "yurt_runner_results", "Results by verdict", ["language", "verdict", "engine"], registry=self.registry
        )

    def ended(self, result: Result) -> None:
        total = result.timeline.total_ms
        if total is not None:
            self._duration.labels(result.language, result.state.value).observe(total / 1000)
        self._verdicts.labels(result.language, (result.verdict or result.state).value, result.engine).inc()

    def now(self, *, running: int, offers: tuple[Offer, ...], warm: int, cold: int) -> None:
        self._running.set(running)
        waiting: dict[str, int] = {}
        for offer in offers:
            waiting[offer.language] = waiting.get(offer.language, 0) + offer.warm
        for language, count in waiting.items():
            self._warm.labels(language).set(count)
        self._cold.set(100.0 * cold / (warm + cold) if warm + cold else 0.0)
