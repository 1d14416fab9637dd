"""Metrics and log lines of subscriptions to the event log: whether each is live, how far it is behind, and its failures."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from router.journal.records import Record
from router.model.states import WorkspaceId

_log: Final = structlog.get_logger("router.subscriptions")


class ObservedSubscription(Protocol):
    """What is known of one subscription, as ``SubscriptionStatus`` of the event feed."""

    @property
    def name(self) -> str:
        """Name of the subscription."""
        ...

    @property
    def state(self) -> str:
        """``live`` if everything published has been handled."""
        ...

    @property
    def lag_events(self) -> int:
        """Events published but not yet handled, over all workspaces."""
        ...

    @property
    def failures(self) -> int:
        """Failed deliveries since the start."""
        ...

    @property
    def recoveries(self) -> int:
        """Deliveries that succeeded after a failure, since the start."""
        ...

    @property
    def skipped_records(self) -> int:
        """Records given up since the start."""
        ...


class SubscriptionMetrics(Collector):
    """Metrics of all subscriptions, by name."""

    def __init__(self, registry: CollectorRegistry, read: Callable[[], Iterable[ObservedSubscription]]) -> None:
        """Register the collector; ``read`` must be safe to call from another thread."""
        self._read = read
        registry.register(self)

    def describe(self) -> Iterator[Metric]:
        """Return nothing: the families are made when they are collected."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families."""
        live = GaugeMetricFamily(
            "router_subscription_live",
            "1: the subscription has handled every published event; 0: it catches up, retries or is closed.",
            labels=("subscription",),
        )
        lag = GaugeMetricFamily(
            "router_subscription_lag_events", "Events published but not yet handled by the subscription.", labels=("subscription",)
        )
        failures = CounterMetricFamily(
            "router_subscription_failures", "Failed deliveries to the subscription.", labels=("subscription",)
        )
        recoveries = CounterMetricFamily(
            "router_subscription_recoveries",
            "Deliveries to the subscription that succeeded after a failure.",
            labels=("subscription",),
        )
        skipped = CounterMetricFamily(
            "router_subscription_skipped_records",
            "Records that the subscription skipped after the maximum number of attempts.",
            labels=("subscription",),
        )
        for health in self._read():
            labels = (health.name,)
            live.add_metric(labels, float(health.state == "live"))
            lag.add_metric(labels, health.lag_events)
            failures.add_metric(labels, health.failures)
            recoveries.add_metric(labels, health.recoveries)
            skipped.add_metric(labels, health.skipped_records)
        yield from (live, lag, failures, recoveries, skipped)


class SubscriptionLog:
    """Logs failures of subscriptions, their recovery, and records that were given up."""

    def on_subscriber_failure(self, subscription: str, workspace: WorkspaceId | None, error: Exception, retry_s: float) -> None:
        """Log a failure and the delay until the next attempt."""
        _log.error(
            "a subscriber has failed; the record will be delivered again",
            action="subscriber_failed",
            subscription=subscription,
            workspace=workspace,
            retry_s=retry_s,
            exc_info=error,
        )

    def on_subscriber_recovery(self, subscription: str, workspace: WorkspaceId) -> None:
        """Log the first success after a failure."""
        _log.info("a subscriber has recovered", action="subscriber_recovered", subscription=subscription, workspace=workspace)

    def on_record_skipped(self, subscription: str, workspace: WorkspaceId, record: Record) -> None:
        """Log that a record was given up; its contents are not logged."""
        _log.error(
            "a subscriber could not handle a record; it was skipped",
            action="record_skipped",
            subscription=subscription,
            workspace=workspace,
            first_seq=record.first_seq,
            events=len(record.events),
        )
