"""Maintenance: limits of archives, archives by age, and what happens where one fails."""

from pathlib import Path

import pytest

from router.journal.sqlite.export import ExportReport
from router.journal.sqlite.journal import SqliteJournal
from router.model.errors import JournalError, SettingsInvalid
from router.runtime.maintenance import KEEP_S_MIN, Maintenance, archive_directory
from router.settings import JournalSettings
from tests.support.journal_records import a_record, a_snapshot

DAY_MS = 86_400_000
NOW_MS = 1_800_000_000_000


async def a_journal(path: Path) -> SqliteJournal:
    """A journal with a record a day for ten days, and a snapshot after the last."""
    journal = SqliteJournal(path, reserved_bytes=0)
    await journal.open()
    await journal.create_workspace("main")
    for seq in range(1, 11):
        await journal.append([("main", a_record(seq, at_ms=NOW_MS - (10 - seq) * DAY_MS))])
    await journal.save_snapshot("main", a_snapshot(10))
    return journal


async def test_too_short_a_time_is_refused(tmp_path: Path) -> None:
    journal = await a_journal(tmp_path / "var" / "journal.db")
    maintenance = Maintenance(journal, JournalSettings())
    with pytest.raises(SettingsInvalid, match="at least 2 days"):
        await maintenance.archive(tmp_path / "archive", keep_s=KEEP_S_MIN - 1)
    with pytest.raises(SettingsInvalid, match="absolute"):
        await maintenance.run_backup_command({"to": "backup"})
    await journal.close()


async def test_commands_answer_with_what_was_written(tmp_path: Path) -> None:
    journal = await a_journal(tmp_path / "var" / "journal.db")
    maintenance = Maintenance(journal, JournalSettings(), now_ms=lambda: NOW_MS)
    backup = (await maintenance.run_backup_command({"to": str(tmp_path / "backup")}))["report"]
    assert backup is not None and (backup.records, Path(backup.path).parent) == (10, tmp_path / "backup")
    request = {"to": str(tmp_path / "archive"), "keep_s": str(3 * 86_400)}
    archive = (await maintenance.run_archive_command(request))["report"]
    assert archive is not None and (archive.records, Path(archive.path).parent) == (6, tmp_path / "archive")
    assert journal.first_seq("main") == 7
    with pytest.raises(SettingsInvalid, match="absolute"):
        await maintenance.run_archive_command(request | {"to": "archive"})
    assert await maintenance.run_archive_command(request | {"to": str(tmp_path / "again")}) == {"report": None}
    await journal.close()


async def test_records_older_than_the_setting_are_archived_by_age(tmp_path: Path) -> None:
    journal = await a_journal(tmp_path / "var" / "journal.db")
    settings = JournalSettings(path=str(tmp_path / "var" / "journal.db"), retention_days=5)
    maintenance = Maintenance(journal, settings, now_ms=lambda: NOW_MS)
    made: list[ExportReport] = []
    maintenance.on_archived = made.append
    await maintenance.archive_by_age(5)
    assert journal.first_seq("main") == 5
    [report] = made
    assert (report.records, Path(report.path).parent.parent) == (4, tmp_path / "var" / "archive")
    await maintenance.archive_by_age(5)
    assert len(made) == 1
    await journal.close()


async def test_a_failed_archive_removes_nothing(tmp_path: Path) -> None:
    journal = await a_journal(tmp_path / "var" / "journal.db")
    (tmp_path / "file").write_text("")
    settings = JournalSettings(archive_path=str(tmp_path / "file"), retention_days=5)
    maintenance = Maintenance(journal, settings, now_ms=lambda: NOW_MS)
    failed: list[JournalError] = []
    maintenance.on_failed = failed.append
    await maintenance.archive_by_age(5)
    assert "cannot be created" in str(failed[0])
    assert journal.first_seq("main") == 1
    assert archive_directory(settings) == tmp_path / "file"
    await journal.close()
