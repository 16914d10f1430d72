"""Prometheus metrics of one process, and the page that shows them."""

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Ledger(Collector):
    """Gauges that are read from the ledger when the page is asked for; `values` is what was read last."""

    def __init__(self) -> None:
        self.values: Mapping[str, Any] = {}

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The gauges of the last reading."""
        runs = GaugeMetricFamily("sixlane_runs", "Runs in the ledger that have not ended, by state.", labels=["status"])
        for status, count in self.values.get("runs", {}).items():
            runs.add_metric([status], count)
        yield runs
        age = GaugeMetricFamily(
            "sixlane_queue_age_seconds", "How long the oldest claimable run has waited, by lane.", labels=["lane"]
        )
        for lane, seconds in self.values.get("queue_age", {}).items():
            age.add_metric([lane], seconds)
        yield age
        fleet = GaugeMetricFamily("sixlane_processes", "Processes that reported lately, by role.", labels=["role"])
        for role, count in self.values.get("processes", {}).items():
            fleet.add_metric([role], count)
        yield fleet


class Metrics:
    """The counters of one process. Values of the ledger are the same in every process and come from `ledger`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.ledger = Ledger()
        self.registry.register(self.ledger)
        self._requests = Counter(
            "sixlane_http_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "sixlane_http_request_seconds",
            "From the request's first byte to the answer's first.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._ended = Counter(
            "sixlane_runs_ended",
            "Runs that this process brought to an end.",
            ["status", "pattern"],
            registry=self.registry,
        )
        self._tokens = Counter("sixlane_tokens", "Tokens used.", ["direction", "model"], registry=self.registry)
        self._cost = Counter(
            "sixlane_cost_usd", "Money spent where a price is known.", ["model"], registry=self.registry
        )
        self._children: dict[tuple[str, ...], tuple[Counter, Histogram]] = {}

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request. `route` is the template, so that ids make no new series."""
        key = (method, route, str(status))
        pair = self._children.get(key)
        if pair is None:
            pair = self._children[key] = (self._requests.labels(*key), self._seconds.labels(route))
        pair[0].inc()
        pair[1].observe(seconds)

    def run_ended(
        self, status: str, pattern: str, model: str, *, input_tokens: int, output_tokens: int, cost_usd: float | None
    ) -> None:
        """Count one ended run with what it used; an unknown price adds nothing to the cost."""
        self._ended.labels(status, pattern).inc()
        self._tokens.labels("input", model).inc(input_tokens)
        self._tokens.labels("output", model).inc(output_tokens)
        if cost_usd is not None:
            self._cost.labels(model).inc(cost_usd)

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)
