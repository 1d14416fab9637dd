"""Process metrics: requests, refusals, sockets, event loop delay and commit times. They start at zero with the process.

Commit times are observed by ``TimedJournal``, which wraps the journal. Metrics of contacts, offers and agents are not here:
they are computed from events (``workspace_metrics.py``).
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from router import __version__
from router.journal.port import Journal, JournalStatus, Snapshot, WorkspaceHistory
from router.journal.records import Record
from router.model.states import WorkspaceId

_REQUEST_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_COMMIT_BUCKETS_S: Final = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2)
_LAG_BUCKETS_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class ProcessMetrics:
    """Metrics of this process. Label values come from fixed tables, so their number is bounded."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "router_http_requests", "HTTP requests by operation and status.", ("operation", "status"), registry=self.registry
        )
        self.request_seconds = Histogram(
            "router_http_request_seconds",
            "Time from request to response, by operation.",
            ("operation",),
            buckets=_REQUEST_BUCKETS_S,
            registry=self.registry,
        )
        self.problems = Counter(
            "router_http_problems",
            "Problem documents by code; refusals have the code of the refusal.",
            ("code",),
            registry=self.registry,
        )
        self.disconnects = Counter(
            "router_http_disconnects",
            "Clients that left before they had the response, by what was in progress: head, body or response.",
            ("stage",),
            registry=self.registry,
        )
        self.auth_failures = Counter(
            "router_auth_failures", "Invalid credentials by the check that failed.", ("check",), registry=self.registry
        )
        self.commit_seconds = Histogram(
            "router_commit_seconds", "Time until a batch of records was durable.", buckets=_COMMIT_BUCKETS_S, registry=self.registry
        )
        self.loop_lag_seconds = Histogram(
            "router_loop_lag_seconds",
            "Delay of the event loop, measured continuously.",
            buckets=_LAG_BUCKETS_S,
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)
        Gauge("router_build_info", "Version of the router.", ("version",), registry=self.registry).labels(__version__).set(1)

        # Cached, because looking up a child by its labels costs more than counting.
        self._requests: dict[tuple[str, int], Counter] = {}
        self._request_seconds: dict[str, Histogram] = {}

    def count_request(self, operation: str, status: int) -> None:
        """Count an HTTP request that was answered."""
        child = self._requests.get((operation, status))
        if child is None:
            child = self._requests[operation, status] = self.requests.labels(operation, str(status))
        child.inc()

    def observe_request(self, operation: str, seconds: float) -> None:
        """Observe the duration of an HTTP request."""
        child = self._request_seconds.get(operation)
        if child is None:
            child = self._request_seconds[operation] = self.request_seconds.labels(operation)
        child.observe(seconds)

    def add_gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """Add a gauge whose value is read when the page is rendered; ``read`` must be safe to call from another thread."""
        Gauge(name, help_text, registry=self.registry).set_function(read)

    def add_counter(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """Add a counter likewise; ``name`` is without the suffix ``_total``."""
        self.registry.register(_ComputedCounter(name, help_text, read))


class _ComputedCounter(Collector):
    """A counter whose value is kept elsewhere."""

    def __init__(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        self._name, self._help, self._read = name, help_text, read

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the present value."""
        yield CounterMetricFamily(self._name, self._help, value=self._read())


async def measure_loop_lag(metrics: ProcessMetrics, interval_ms: int) -> None:
    """Measure how late the event loop wakes a sleeping task, until cancelled."""
    loop = asyncio.get_running_loop()
    interval_s = interval_ms / 1000
    while True:
        due_s = loop.time() + interval_s
        await asyncio.sleep(interval_s)
        metrics.loop_lag_seconds.observe(max(0.0, loop.time() - due_s))


class TimedJournal:
    """A ``Journal`` that wraps another one and observes its commit times."""

    def __init__(self, journal: Journal, seconds: Histogram) -> None:
        self._journal = journal
        self._seconds = seconds

    async def open(self) -> Sequence[WorkspaceHistory]:
        """Delegate."""
        return await self._journal.open()

    async def create_workspace(self, workspace: WorkspaceId) -> WorkspaceHistory:
        """Delegate."""
        return await self._journal.create_workspace(workspace)

    def replay(self, workspace: WorkspaceId, *, after_seq: int = 0) -> Iterator[Record]:
        """Delegate."""
        return self._journal.replay(workspace, after_seq=after_seq)

    async def read(self, workspace: WorkspaceId, *, after_seq: int, limit: int) -> list[Record]:
        """Delegate."""
        return await self._journal.read(workspace, after_seq=after_seq, limit=limit)

    def first_seq(self, workspace: WorkspaceId) -> int:
        """Delegate."""
        return self._journal.first_seq(workspace)

    def status(self) -> JournalStatus:
        """Delegate."""
        return self._journal.status()

    async def append(self, batch: Sequence[tuple[WorkspaceId, Record]]) -> None:
        """Delegate, and observe the duration."""
        began_s = time.perf_counter()
        await self._journal.append(batch)
        self._seconds.observe(time.perf_counter() - began_s)

    async def save_snapshot(self, workspace: WorkspaceId, snapshot: Snapshot) -> None:
        """Delegate."""
        await self._journal.save_snapshot(workspace, snapshot)

    async def run_maintenance(self) -> None:
        """Delegate."""
        await self._journal.run_maintenance()

    async def close(self) -> None:
        """Delegate."""
        await self._journal.close()
