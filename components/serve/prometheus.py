"""Metrics of the server for Prometheus."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

# Upper ends in seconds: an answer takes 1 to 5 ms, and a request waits for one as long as it may.
_BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

# The label of paths that are none of the server's.
OTHER = "other"


class ServedState(NamedTuple):
    """State of the served index, and events since the start of the server."""

    waiting: int  # requests that wait for an answer
    number: int  # of the champion
    version: str  # of the champion
    reloads: int  # champions taken up after the first
    failures: int  # attempts to take one up that failed
    restarts: int  # of the process that answers


class Metrics:
    """Counts requests by endpoint and status, and asks for the state when it is asked itself."""

    def __init__(self, state: Callable[[], ServedState]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._registry.register(_ServedMetrics(state))
        ProcessCollector(registry=self._registry)
        requests = Counter(
            "twotower_requests", "Requests answered.", ["endpoint", "status"], registry=self._registry
        )
        seconds = Histogram(
            "twotower_request_duration_seconds",
            "Time from a request's head to the end of its answer.",
            ["endpoint"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self.cold_answers = Counter(
            "twotower_cold_answers",
            "Users without ratings to whom movies were recommended.",
            registry=self._registry,
        )
        # `labels` takes longer than the counting.
        self._counter = cache(lambda endpoint, status: requests.labels(endpoint, status))
        self._histogram = cache(seconds.labels)

    def count(self, endpoint: str, status: int, seconds: float) -> None:
        """Counts an answer. `endpoint` is one of the server's own names, or `OTHER`."""
        self._counter(endpoint, status).inc()
        self._histogram(endpoint).observe(seconds)

    async def metrics(self, request: Request) -> Response:
        """Returns the metrics in the format that the client prefers."""
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._registry), headers={"Content-Type": media_type})


class _ServedMetrics(Collector):
    def __init__(self, state: Callable[[], ServedState]) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Yields the state of this moment."""
        state = self._state()
        yield GaugeMetricFamily("twotower_queue", "Requests that wait for an answer.", state.waiting)
        yield GaugeMetricFamily("twotower_champion_number", "Number of the served champion.", state.number)
        version = GaugeMetricFamily("twotower_champion", "1 for the served version.", labels=["version"])
        version.add_metric([state.version], 1)
        yield version
        for name, text, value in (
            ("reloads", "Champions taken up after the first.", state.reloads),
            ("reload_failures", "Attempts to take up a champion that failed.", state.failures),
            ("restarts", "Restarts of the process that answers.", state.restarts),
        ):
            yield CounterMetricFamily(f"twotower_{name}", text, value)
