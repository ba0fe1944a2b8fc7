"""What a gateway counts, and how Prometheus reads it: plain numbers on the serving path, made into metrics on a scrape.

``code_runner_*`` are the names that the network's dashboards and scaling policies go by; ``yurt_gateway_*`` are this
process's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from jobs.result import Result

DURATION_BUCKETS_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_COLD_WEIGHT = 0.05  #: of the newest execution in the moving share of cold starts


@dataclass(slots=True)
class _Durations:
    counts: list[int] = field(default_factory=lambda: [0] * (len(DURATION_BUCKETS_S) + 1))
    sum_s: float = 0.0

    def add(self, seconds: float) -> None:
        self.sum_s += seconds
        for at, edge in enumerate(DURATION_BUCKETS_S):
            if seconds <= edge:
                self.counts[at] += 1
                return
        self.counts[-1] += 1


class Metrics:
    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()  #: by route and status
        self.accepted: Counter[tuple[str, str]] = Counter()  #: by class and language
        self.placed: Counter[tuple[str, str]] = Counter()  #: by the queue's region and why that one
        self.refused: Counter[str] = Counter()  #: by reason
        self.listeners = 0  #: WebSockets and event streams
        self.certificate_left_s: Callable[[], float] | None = None  #: None: plain HTTP
        self._durations: dict[tuple[str, str], _Durations] = {}
        self._cold: dict[str, float] = {}

    def ended(self, result: Result) -> None:
        key = (result.language, result.state.value)
        durations = self._durations.get(key)
        if durations is None:
            durations = self._durations[key] = _Durations()
        durations.add((result.timeline.total_ms or 0.0) / 1000)
        if result.runner is not None:
            cold = 0.0 if result.warm else 1.0
            before = self._cold.get(result.language, cold)
            self._cold[result.language] = before + _COLD_WEIGHT * (cold - before)

    def families(self) -> Iterator[Metric]:
        yield self._duration_family()
        cold = GaugeMetricFamily(
            "code_runner_cold_start_rate", "Share of executions that found no warm sandbox", labels=["language"]
        )
        for language, share in self._cold.items():
            cold.add_metric([language], share)
        yield cold
        requests = CounterMetricFamily("yurt_gateway_requests", "Answered requests", labels=["route", "status"])
        for (route, status), count in self.requests.items():
            requests.add_metric([route, str(status)], count)
        yield requests
        accepted = CounterMetricFamily("yurt_gateway_accepted", "Accepted jobs", labels=["class", "language"])
        for (job_class, language), count in self.accepted.items():
            accepted.add_metric([job_class, language], count)
        yield accepted
        placed = CounterMetricFamily(
            "yurt_gateway_placed", "Accepted jobs, by where they were queued", labels=["region", "reason"]
        )
        for (region, reason), count in self.placed.items():
            placed.add_metric([region, reason], count)
        yield placed
        refused = CounterMetricFamily("yurt_gateway_refused", "Refused submissions", labels=["reason"])
        for reason, count in self.refused.items():
            refused.add_metric([reason], count)
        yield refused
        yield GaugeMetricFamily("yurt_gateway_listeners", "WebSockets and event streams", value=self.listeners)
        if self.certificate_left_s is not None:
            left_s = self.certificate_left_s()
            yield GaugeMetricFamily("yurt_gateway_certificate_seconds", "Until the certificate ends", value=left_s)

    def _duration_family(self) -> Metric:
        family = HistogramMetricFamily(
            "code_runner_execution_duration_seconds", "From acceptance to the end", labels=["language", "status"]
        )
        for (language, status), durations in self._durations.items():
            total, buckets = 0, []
            for edge, count in zip((*DURATION_BUCKETS_S, float("inf")), durations.counts, strict=True):
                total += count
                buckets.append(("+Inf" if edge == float("inf") else str(edge), total))
            family.add_metric([language, status], buckets, durations.sum_s)
        return family


class Exposition:
    """The text of ``/metrics``: the counters, and gauges that are read when asked."""

    def __init__(self, metrics: Metrics, gauges: Callable[[], Iterable[Metric]]) -> None:
        self._metrics = metrics
        self._gauges = gauges
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def collect(self) -> Iterator[Metric]:
        yield from self._gauges()
        yield from self._metrics.families()

    def text(self) -> bytes:
        return generate_latest(self._registry)
