"""Counters of a service as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120)
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters of one server.

    Args:
        jobs_by_state: how many jobs there are in each state now.
    """

    def __init__(self, jobs_by_state: Callable[[], dict[str, int]]) -> None:
        self._registry, self._jobs_by_state = CollectorRegistry(), jobs_by_state
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "ecg_hough_requests", "Answers.", ("method", "route", "status"), registry=self._registry
        )
        self._request_seconds = Histogram(
            "ecg_hough_request_seconds", "Time to an answer.", ("route",), buckets=SECONDS,
            registry=self._registry,
        )  # fmt: skip
        self._finished = Counter(
            "ecg_hough_jobs_finished", "Jobs by what became of them.", ("state",), registry=self._registry
        )
        self._job_seconds = Histogram(
            "ecg_hough_job_seconds", "Time that jobs were read.", buckets=SECONDS, registry=self._registry
        )
        self._jobs = Gauge("ecg_hough_jobs", "Jobs by state, now.", ("state",), registry=self._registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer; `route` is the pattern of the path, not the path."""
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def finished(self, state: str, seconds: float) -> None:
        """Count a job."""
        self._finished.labels(state).inc()
        self._job_seconds.observe(seconds)

    def text(self) -> bytes:
        """All of them."""
        counts = self._jobs_by_state()
        for state in ("queued", "running", "done", "refused", "failed"):
            self._jobs.labels(state).set(counts.get(state, 0))
        return generate_latest(self._registry)
