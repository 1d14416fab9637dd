"""The records of ended contacts as a part of the process: where they are, what is logged and measured of them."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final

import structlog

from router.context.port import ContextStore
from router.context.service import ContextService
from router.records.handlers import Targets, thresholds
from router.records.service import KnownCustomers, RecordService
from router.runtime.writer import Writer
from router.settings import JournalBackend, Settings
from router.telemetry.process_metrics import ProcessMetrics

RECORDS_FILE: Final = "records.db"

_log: Final = structlog.get_logger("router.app")


def open_records(
    settings: Settings, writer: Writer, context: ContextService | None, unfollowed: Callable[[], Collection[str]] = tuple
) -> RecordService | None:
    """Return the records, not started; None: they are switched off. ``unfollowed``: workspaces that others follow."""
    if not settings.records.enabled:
        return None

    async def targets(workspace: str) -> Targets:
        policy = (await writer.query(workspace, lambda engine: engine.policy)).value
        return {} if policy is None else thresholds(policy)

    service = RecordService(
        _path(settings),
        settings.records,
        writer.feed,
        now_ms=writer.clock.now_ms,
        targets=targets,
        known_customers=None if context is None else known_customers(context),
        unfollowed=unfollowed,
    )
    service.on_failed = _log_failed
    service.on_reopened = _log_reopened
    return service


def known_customers(context: ContextService) -> KnownCustomers:
    """Return what tells which customers the context knows; it raises what the context raises."""

    async def known(workspace: str, customer_ids: Sequence[str]) -> frozenset[str]:
        def operation(store: ContextStore) -> frozenset[str]:
            store.read_ahead(workspace, identities=(), customer_ids=customer_ids)
            return frozenset(one for one in customer_ids if store.is_known(workspace, one))

        return await context.run(operation)

    return known


def add_records_metrics(process: ProcessMetrics, service: RecordService) -> None:
    """Add what is measured of the records."""
    process.add_gauge(
        "router_records_available", "1: the file of the records of contacts can be used.", lambda: float(service.is_available)
    )
    process.add_gauge("router_records_waiting", "Events of which no record has been made yet.", lambda: service.waiting)
    process.add_counter(
        "router_records_written", "Records of contacts written; one that changes counts again.", lambda: service.written
    )


def _path(settings: Settings) -> Path | None:
    if settings.records.path is not None:
        return Path(settings.records.path)
    if settings.journal.backend is JournalBackend.MEMORY and settings.store.url is None:
        return None
    return Path(settings.journal.path).with_name(RECORDS_FILE)


def _log_failed(error: Exception) -> None:
    _log.error(
        "the file of the records of contacts cannot be used: routing goes on, and it is opened again later",
        action="records_failed",
        error=str(error),
    )


def _log_reopened() -> None:
    _log.info("the file of the records of contacts can be used again", action="records_reopened")
