"""Maintenance of the journal of a running or stopped router: backups, archives, and retention by age.

The running router executes the commands of its control socket (``runtime.control``) and, where ``journal.retention_days`` is set,
archives old records by itself. For a stopped router ``router backup`` and ``router journal archive`` open the journal and use the
same functions, so that there is one way to do each.

**Guarantee for clients that resume.** Records are archived when they are older than the limit, at least ``KEEP_S_MIN``, and older
than what a start needs. A client that was disconnected for less than the limit therefore finds every event that it missed; one that
was away for longer receives the full state, as after any long absence. ``GET /v1/events`` begins with the oldest event that is left
and answers 410 for a position before it. The limit is never less than the time for which idempotency keys are remembered.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from router.journal.sqlite.export import ExportReport
from router.journal.sqlite.journal import SqliteJournal
from router.model.errors import JournalError, SettingsInvalid
from router.runtime.clock import SystemClock
from router.settings import JournalSettings

KEEP_S_MIN: Final = 2 * 86_400
"""Idempotency keys are remembered for a day, and a repeated submit is answered with its record."""

_RETENTION_INTERVAL_S: Final = 3_600.0
_FIRST_RETENTION_S: Final = 60.0


class Maintenance:
    """The maintenance operations on an open journal."""

    def __init__(
        self,
        journal: SqliteJournal,
        settings: JournalSettings,
        *,
        companions: tuple[Path, ...] = (),
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        """``companions`` are files that belong into a backup, such as the token secret; ``now_ms`` is the router's clock."""
        self._journal = journal
        self._settings = settings
        self._companions = companions
        self._now_ms = now_ms if now_ms is not None else SystemClock().now_ms
        self.on_archived: Callable[[ExportReport], None] = lambda _: None
        """Called after an archive by age, for the log."""
        self.on_failed: Callable[[JournalError], None] = lambda _: None
        """Called where an archive by age failed; it is tried again after an hour."""

    async def backup(self, directory: Path) -> ExportReport:
        """Write a complete copy of the journal into a new directory. Raises JournalError."""
        return await self._journal.back_up(directory, companions=self._companions)

    async def archive(self, directory: Path, *, keep_s: int) -> ExportReport | None:
        """Move records older than ``keep_s`` into a new directory; None where there are none.

        Raises SettingsInvalid, JournalError.
        """
        if keep_s < KEEP_S_MIN:
            raise SettingsInvalid(f"keep: at least {KEEP_S_MIN // 86_400} days must stay in the journal")
        return await self._journal.archive(directory, before_ms=self._now_ms() - keep_s * 1000)

    async def run_backup_command(self, request: dict[str, Any]) -> dict[str, ExportReport | None]:
        """Run ``backup`` with the fields of a request: ``to``."""
        return {"report": await self.backup(_absolute(request["to"]))}

    async def run_archive_command(self, request: dict[str, Any]) -> dict[str, ExportReport | None]:
        """Run ``archive`` with the fields of a request: ``to``, ``keep_s``."""
        return {"report": await self.archive(_absolute(request["to"]), keep_s=int(request["keep_s"]))}

    async def run_retention(self) -> None:
        """Archive by age every hour until cancelled, where the settings say so."""
        days = self._settings.retention_days
        if days is None:
            return
        await asyncio.sleep(_FIRST_RETENTION_S)
        while True:
            await self.archive_by_age(days)
            await asyncio.sleep(_RETENTION_INTERVAL_S)

    async def archive_by_age(self, days: int) -> None:
        """Archive what is older than this number of days into a new directory below ``journal.archive_path``."""
        now_ms = self._now_ms()
        directory = archive_directory(self._settings) / time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime(now_ms / 1000))
        try:
            report = await self.archive(directory, keep_s=days * 86_400)
        except JournalError as error:
            self.on_failed(error)
            return
        if report is not None:
            self.on_archived(report)


def archive_directory(settings: JournalSettings) -> Path:
    """Return the directory below which archives are made: the setting, or ``archive`` beside the journal."""
    if settings.archive_path is not None:
        return Path(settings.archive_path)
    return Path(settings.path).absolute().with_name("archive")


def _absolute(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise SettingsInvalid("to: an absolute path is required")
    return path
