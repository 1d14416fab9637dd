"""Conditions that an operator has to know about while the router runs: they are logged, and shown as metrics.

* **Clock.** The router's time never jumps and is slewed towards the wall clock, so after a wrong clock it differs from the wall
  clock for a while (``runtime.clock``). Opening hours, callbacks and reports are wrong by that difference.
* **Second mark.** Without one, or where it cannot be written, an older copy of the journal that is put back is not recognised.
* **Positions ahead.** A client that has seen events which this journal does not have is evidence that an older copy was put back.

None of these stops the router: the customers that are waiting are better served by a router with a wrong clock than by none.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from router.journal.sqlite.export import ExportReport
from router.model.errors import JournalError
from router.model.states import WorkspaceId
from router.runtime.clock import DRIFT_WARNED_MS
from router.runtime.writer import Writer
from router.settings import JournalSettings
from router.telemetry.process_metrics import ProcessMetrics

CHECK_INTERVAL_S: Final = 10.0
# A condition that lasts is logged again after this time.
_REPEAT_S: Final = 600.0

_log: Final = structlog.get_logger("router.app")


class ConditionWatch:
    """Check the conditions at intervals and log what has changed."""

    def __init__(
        self, writer: Writer, settings: JournalSettings, *, is_in_file: bool, second_mark_error: Callable[[], str | None]
    ) -> None:
        """Watch a journal, which ``is_in_file`` or elsewhere.

        ``second_mark_error`` returns why the second mark could not be written, None where it could.
        """
        self._is_in_file = is_in_file
        self._writer = writer
        self._settings = settings
        self._second_mark_error = second_mark_error
        self._logged_s: dict[str, float] = {}
        writer.on_position_ahead = self.on_position_ahead

    def add_metrics(self, metrics: ProcessMetrics) -> None:
        """Add the gauges and counters."""
        clock, writer = self._writer.clock, self._writer
        metrics.add_gauge(
            "router_clock_drift_seconds",
            "Router's time minus wall clock; opening hours and times in reports are off by as much.",
            lambda: clock.drift_ms() / 1000,
        )
        metrics.add_gauge(
            "router_second_mark_ok",
            "1: the second high-water mark is configured and was written the last time.",
            lambda: float(self._has_second_mark and self._second_mark_error() is None),
        )
        metrics.add_counter(
            "router_positions_ahead",
            "Positions reported by clients that this journal does not have: an older copy may have been put back.",
            lambda: writer.positions_ahead,
        )

    async def run(self) -> None:
        """Check until cancelled."""
        if self._is_in_file and not self._has_second_mark:
            _log.warning(
                "journal.second_mark_path is not set: an older copy of the journal that is put back cannot be recognised",
                action="second_mark_unset",
            )
        while True:
            self.check()
            await asyncio.sleep(CHECK_INTERVAL_S)

    def check(self) -> None:
        """Log the conditions that are new, over, or have lasted since the last log line."""
        drift_ms = self._writer.clock.drift_ms()
        if self._is_logged_now("clock_drift", abs(drift_ms) >= DRIFT_WARNED_MS):
            _log.warning(
                "the router's time differs from the wall clock; check the clock of the machine (docs/how-to/clock.md)",
                action="clock_drift",
                drift_ms=drift_ms,
            )
        error = self._second_mark_error()
        if self._is_logged_now("second_mark_failed", error is not None):
            _log.error("the second mark cannot be written", action="second_mark_failed", error=error)

    def on_position_ahead(self, workspace: WorkspaceId, seq: int, newest_seq: int) -> None:
        """Log a client that has seen events which the journal does not have."""
        if self._is_logged_now(f"position_ahead {workspace}", True):
            _log.error(
                "a client has seen events that this journal does not have: an older copy may have been put back "
                "(docs/how-to/recovery.md)",
                action="position_ahead",
                workspace=workspace,
                seq=seq,
                newest_seq=newest_seq,
            )

    @property
    def _has_second_mark(self) -> bool:
        return self._settings.second_mark_path is not None

    def _is_logged_now(self, condition: str, is_present: bool) -> bool:
        if not is_present:
            self._logged_s.pop(condition, None)
            return False
        now_s = asyncio.get_running_loop().time()
        if now_s - self._logged_s.get(condition, float("-inf")) < _REPEAT_S:
            return False
        self._logged_s[condition] = now_s
        return True


def log_archived(report: ExportReport) -> None:
    """Log an archive that was made by age."""
    _log.info("old records were archived", action="archived", path=report.path, records=report.records)


def log_archive_failed(error: JournalError) -> None:
    """Log an archive by age that could not be made."""
    _log.error("old records cannot be archived; they stay in the journal", action="archive_failed", error=str(error))


def log_hash_secrets_failed(error: Exception) -> None:
    """Log that no new secret of hashes could be stored."""
    _log.error(
        "a new secret of hashes cannot be stored: the present one is used on", action="hash_secrets_failed", error=str(error)
    )


def log_alerts_failed(workspace: str, error: Exception) -> None:
    """Log that the alerts of a workspace cannot be evaluated."""
    _log.error(
        "the alerts of a workspace cannot be evaluated: they are tried again",
        action="alerts_failed",
        workspace=workspace,
        exc_info=error,
    )


def log_context_failed(error: BaseException) -> None:
    """Log that the customer context cannot be used."""
    _log.error("the customer context cannot be used: routing goes on without it", action="context_failed", error=str(error))


def log_context_reopened() -> None:
    """Log that the customer context can be used again."""
    _log.info("the customer context can be used again", action="context_reopened")


def log_references_in_journal(workspace: str, contacts: int) -> None:
    """Log that the journal holds references of contacts, which earlier versions wrote."""
    _log.warning(
        "the journal holds references of contacts, written by an earlier version, which cannot be erased there: stop the router "
        "and run `router journal redact`; `router journal audit-personal` counts them all",
        action="references_in_journal_found",
        workspace=workspace,
        contacts=contacts,
    )
