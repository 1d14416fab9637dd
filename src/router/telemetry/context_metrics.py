"""Metrics of the customer context: whether it can be used, what waits, and what it has committed."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry


class ObservedContext(Protocol):
    """What is known of the context store, as ``ContextStatus`` of its service."""

    @property
    def available(self) -> bool:
        """Whether the store can be used."""
        ...

    @property
    def queue_depth(self) -> int:
        """Operations that wait."""
        ...

    @property
    def groups(self) -> int:
        """Groups committed since the start."""
        ...

    @property
    def operations(self) -> int:
        """Operations committed since the start."""
        ...

    @property
    def failed_operations(self) -> int:
        """Operations that were refused or failed since the start."""
        ...

    @property
    def erasures_pending(self) -> int:
        """Erasures whose key is still in the file."""
        ...

    @property
    def stalled_s(self) -> float:
        """Time that the operations in progress have taken so far, in seconds."""
        ...

    @property
    def commit_seconds(self) -> float:
        """Time spent in commits since the start."""
        ...

    @property
    def counts(self) -> Mapping[tuple[str, str], int]:
        """Results since the start, by subject and result."""
        ...


# Metric, label and description by subject of the counts.
_COUNTED: Final = {
    "steps": ("router_context_steps", "result", "Steps of journeys by what became of them."),
    "submits": (
        "router_context_submits",
        "result",
        "Contacts submitted with a customer, by whether the customer was found in time.",
    ),
    "references": (
        "router_context_references",
        "result",
        "References of contacts, by whether they could be stored in the customer context.",
    ),
    "merges": ("router_context_merges", "reason", "Merges of customers, by who asked for them."),
    "conflicts": ("router_context_identity_conflicts", "kind", "Customers of one request that were not merged, by the reason."),
    "cards": (
        "router_context_cards",
        "status",
        "Cards sent with offers or read over HTTP, by status; after_late: sent after an offer whose card was late.",
    ),
}


class ContextMetrics(Collector):
    """Metrics of the customer context of the process."""

    def __init__(self, registry: CollectorRegistry, read: Callable[[], ObservedContext]) -> None:
        """Register the collector; ``read`` must be safe to call from another thread."""
        self._read = read
        registry.register(self)

    def describe(self) -> Iterator[Metric]:
        """Return nothing: the families are made when they are collected."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families."""
        status = self._read()
        gauges = (
            (
                "router_context_available",
                "1: the customer context can be used; 0: it has failed, and contacts are routed without it.",
                float(status.available),
            ),
            ("router_context_queue_depth", "Operations that wait for the customer context.", status.queue_depth),
            (
                "router_context_erasures_pending",
                "Erasures that are not complete, because the key of the customer is still in the file.",
                status.erasures_pending,
            ),
            (
                "router_context_stalled_seconds",
                "Time that the operations in progress on the customer context have taken: seconds mean that its disk stalls.",
                status.stalled_s,
            ),
        )
        counters = (
            ("router_context_groups", "Groups of operations committed by the customer context.", status.groups),
            ("router_context_operations", "Operations committed by the customer context.", status.operations),
            (
                "router_context_failed_operations",
                "Operations that the customer context refused or that failed.",
                status.failed_operations,
            ),
            ("router_context_commit_seconds", "Time that the customer context spent in commits.", status.commit_seconds),
        )
        for name, text, value in gauges:
            gauge = GaugeMetricFamily(name, text)
            gauge.add_metric((), value)
            yield gauge
        for name, text, value in counters:
            counter = CounterMetricFamily(name, text)
            counter.add_metric((), value)
            yield counter
        for subject, (name, label, text) in _COUNTED.items():
            counter = CounterMetricFamily(name, text, labels=(label,))
            for (counted, result), value in sorted(status.counts.items()):
                if counted == subject:
                    counter.add_metric((result,), value)
            yield counter
