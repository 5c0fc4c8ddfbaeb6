"""What the service counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """One service's metrics; several in a process don't meet."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("dtbh_requests", "Requests answered", ["route", "status"], registry=registry)
        self.seconds = Histogram(
            "dtbh_request_seconds", "Time to answer", ["route"], buckets=SECONDS, registry=registry
        )
        self.batch = Histogram(
            "dtbh_batch_queries", "Queries in a batch", ["lane"], buckets=(1, 2, 4, 8, 16, 32), registry=registry
        )
        self.work = Histogram("dtbh_batch_seconds", "Time of a batch", ["lane"], buckets=SECONDS, registry=registry)
        self.waiting = Gauge("dtbh_queries_under_way", "Queries that wait or are worked on", registry=registry)
        self.items = Gauge("dtbh_archive_items", "Items of an archive", ["archive"], registry=registry)
        self.refused = Counter("dtbh_refused", "Queries sent away because of load", registry=registry)

    def render(self) -> bytes:
        """All of them as Prometheus reads them."""
        return generate_latest(self.registry)
