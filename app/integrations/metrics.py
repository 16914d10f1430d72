"""Prometheus metrics: what this process counts itself, and what the ledger tells of the fleet."""

from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read from the ledger: open runs and notifications by state, queue age by lane, how late schedules
    fire, processes by role, and what they have counted."""

    runs: Mapping[str, int] = field(default_factory=dict[str, int])
    queue_age: Mapping[str, float] = field(default_factory=dict[str, float])
    deliveries: Mapping[str, int] = field(default_factory=dict[str, int])
    lateness: Mapping[str, float] = field(default_factory=dict[str, float])
    processes: Mapping[str, int] = field(default_factory=dict[str, int])
    counted: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])


class _Fleet(Collector):
    """Metrics of one reading of the ledger."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def collect(self) -> Iterable[Metric]:
        """Gauges of the ledger, and what each process has counted since it started."""
        read = self._reading
        yield _gauge("sixlane_runs", "Runs that have not ended, by state.", "status", read.runs)
        yield _gauge(
            "sixlane_queue_age_seconds", "How long the oldest claimable run has waited.", "lane", read.queue_age
        )
        yield _gauge(
            "sixlane_deliveries", "Notifications of the last day, and older open ones.", "status", read.deliveries
        )
        yield _gauge(
            "sixlane_schedule_lateness_seconds",
            "How late schedules fire: the worst of five minutes, and what is overdue now.",
            "kind",
            read.lateness,
        )
        yield _gauge("sixlane_processes", "Processes that reported lately.", "role", read.processes)
        yield self._counter("ended", "sixlane_runs_ended", "Runs brought to an end.", ["status", "pattern"])
        yield self._counter("tokens", "sixlane_tokens", "Tokens used.", ["direction", "model"])
        yield self._counter("cost_usd", "sixlane_cost_usd", "Money spent, where a price is known.", ["model"])

    def _counter(self, what: str, name: str, text: str, labels: Sequence[str]) -> CounterMetricFamily:
        family = CounterMetricFamily(name, text, labels=["process", *labels])
        for process, counted in self._reading.counted.items():
            for *values, number in counted.get(what, ()):
                family.add_metric([process, *(str(value) for value in values)], float(number))
        return family


def _gauge(name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


class Metrics:
    """The counters of one process. Those of runs are reported to the ledger, so that any API process shows them."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "sixlane_http_requests", "Requests answered.", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "sixlane_http_request_seconds",
            "From the request's arrival to the answer's first byte.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._ended: Tally[tuple[str, str]] = Tally()
        self._tokens: Tally[tuple[str, str]] = Tally()
        self._cost: dict[str, float] = {}

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request. `route` is the template, so that ids make no new series."""
        key = (method, route, status)
        pair = self._children.get(key)
        if pair is None:
            pair = (self._requests.labels(method, route, str(status)), self._seconds.labels(route))
            self._children[key] = pair
        pair[0].inc()
        pair[1].observe(seconds)

    def run_ended(
        self, status: str, pattern: str, model: str, *, input_tokens: int, output_tokens: int, cost_usd: float | None
    ) -> None:
        """Count one ended run with what it used; an unknown price adds nothing to the cost."""
        self._ended[status, pattern] += 1
        self._tokens["input", model] += input_tokens
        self._tokens["output", model] += output_tokens
        if cost_usd is not None:
            self._cost[model] = self._cost.get(model, 0.0) + cost_usd

    def counted(self) -> dict[str, list[list[str | float]]]:
        """What this process has counted of runs since it started, as it reports it to the ledger."""
        return {
            "ended": [[*labels, number] for labels, number in self._ended.items()],
            "tokens": [[*labels, number] for labels, number in self._tokens.items()],
            "cost_usd": [[model, number] for model, number in self._cost.items()],
        }

    def page(self, reading: Reading) -> bytes:
        """The text that Prometheus reads: the fleet by the ledger, requests by this process."""
        fleet = CollectorRegistry()
        fleet.register(_Fleet(reading))
        return generate_latest(fleet) + generate_latest(self._registry)
