"""Metrics of the store, and log lines about it; nothing of them exists with a journal in files."""

from collections.abc import Callable, Iterator
from typing import Final

import structlog
from prometheus_client import Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from router.journal.port import JournalStatus, StoreFigures, StoreJournal
from router.model.errors import JournalError
from router.telemetry.process_metrics import ProcessMetrics

_APPEND_BUCKETS_S: Final = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2, 10)

_log: Final = structlog.get_logger("router.store")


def add_journal_gauges(metrics: ProcessMetrics, status: Callable[[], JournalStatus]) -> None:
    """Add what is known of every journal."""
    metrics.add_gauge(
        "router_journal_synchronous",
        "1: a commit is on disk before it is acknowledged.",
        lambda: float(status().durability.endswith("fsync")),
    )
    metrics.add_gauge(
        "router_journal_waiting", "1: commits wait for the storage, or are in danger.", lambda: float(status().problem is not None)
    )


def add_store_metrics(metrics: ProcessMetrics, journal: StoreJournal) -> None:
    """Add what is known of a store, and log its archives."""
    metrics.add_counter(
        "router_store_read_backs",
        "Times that the outcome of a write to the store was not known and was read back.",
        lambda: journal.read_backs,
    )
    metrics.add_counter(
        "router_store_repaired_events",
        "Confirmed events that the store had lost, for example in a failover, and that were written again.",
        lambda: journal.repaired_events,
    )
    metrics.add_gauge(
        "router_store_lease_age_seconds", "Time since the leases of the workspaces were renewed.", lambda: journal.lease_age_s
    )
    append_seconds = Histogram(
        "router_store_append_seconds",
        "Time of an append to the store, its confirmation included.",
        buckets=_APPEND_BUCKETS_S,
        registry=metrics.registry,
    )
    metrics.registry.register(_StoreCollector(journal))
    journal.on_append = append_seconds.observe
    journal.on_archive_failed = _log_archive_failed
    journal.on_trouble = log_trouble


class _StoreCollector(Collector):
    """Figures of the store that are kept elsewhere; the labels are the workspaces of the settings."""

    def __init__(self, journal: StoreJournal) -> None:
        self._journal = journal

    def collect(self) -> Iterator[Metric]:
        """Yield the present values."""
        found, durability = self._journal.figures(), self._journal.status().durability
        level = GaugeMetricFamily("router_store_durability_info", "Always 1; the label is the level.", labels=("level",))
        level.add_metric((durability,), 1)
        yield level
        for name, text, counted in (
            ("router_store_connects", "Connections made to the store, the first ones included.", found.connects),
            ("router_store_archives", "Archives made of the oldest records, which then left the store.", found.archives),
            ("router_store_archived_events", "Events that were moved from the store to archives.", found.archived_events),
            ("router_store_archives_failed", "Archives that could not be made; their records stayed.", found.archives_failed),
        ):
            yield CounterMetricFamily(name, text, value=counted)
        for name, text, value in (
            ("router_store_memory_bytes", "Memory that the servers of the store use.", found.memory_bytes),
            ("router_store_memory_max_bytes", "Memory that they may use; 0: without limit.", found.memory_max_bytes),
            ("router_store_replicas", "Replicas that are online, of the server that has the fewest.", found.replicas),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        yield from _of_workspaces(found)


def _of_workspaces(found: StoreFigures) -> Iterator[Metric]:
    labels = ("workspace",)
    leader = GaugeMetricFamily("router_store_leader", "1: this process leads the workspace.", labels=labels)
    epoch = GaugeMetricFamily("router_store_epoch", "Epoch in which this process leads the workspace.", labels=labels)
    events = GaugeMetricFamily("router_store_events", "Events of the workspace in the store.", labels=labels)
    lag = GaugeMetricFamily("router_store_unconfirmed_events", "Events that the store has not confirmed.", labels=labels)
    for one in found.led:
        for family, value in ((leader, 1), (epoch, one.epoch), (events, one.events), (lag, one.unconfirmed_events)):
            family.add_metric((one.workspace,), value)
    yield from (leader, epoch, events, lag)


def log_store_opened(journal: StoreJournal) -> None:
    """Log which store is used, and the advice of the checks."""
    _log.info("the journal is in a store", action="store_opened", store=journal.label, durability=journal.status().durability)
    for advice in journal.warnings:
        _log.warning("the store should be set up otherwise", action="store_advice", advice=advice)


def log_trouble(trouble: str | None) -> None:
    """Log that commits have begun to wait for the store, or go on."""
    if trouble is None:
        _log.warning("the store confirms commits again", action="store_recovered")
    else:
        _log.error("commits wait for the store", action="store_waiting", reason=trouble)


def _log_archive_failed(error: JournalError) -> None:
    _log.error("old records cannot be archived; they stay in the store", action="archive_failed", error=str(error))
