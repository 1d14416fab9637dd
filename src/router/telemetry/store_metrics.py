"""Metrics of the store, and log lines about it; nothing of them exists with a journal in files."""

from collections.abc import Callable
from typing import Final

import structlog

from router.journal.port import JournalStatus, StoreJournal
from router.model.errors import JournalError
from router.telemetry.process_metrics import ProcessMetrics

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
    journal.on_archive_failed = _log_archive_failed
    journal.on_trouble = log_trouble


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
