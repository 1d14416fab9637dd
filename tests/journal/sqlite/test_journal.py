"""The SQLite journal: maintenance, full disks and I/O errors."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from router.journal.sqlite.journal import SqliteJournal
from tests.contracts.journal_contract import filled_journal
from tests.support.journal_records import records
from tests.support.sqlite_storage import SqliteJournalStorage


@pytest.fixture
def storage(tmp_path: Path) -> SqliteJournalStorage:
    return SqliteJournalStorage(tmp_path)


class TestHousekeeping:
    async def test_the_log_is_checkpointed_at_its_limit_and_when_idle(self, storage: SqliteJournalStorage) -> None:
        journal = SqliteJournal(
            storage.path, reserved_bytes=0, checkpoint_bytes_max=200_000, checkpoint_idle_ms=20, high_water_interval_ms=5
        )
        await journal.open()
        await journal.create_workspace("main")
        sizes = []
        for record in records(300):
            await journal.append([("main", record)])
            sizes.append(storage.wal.stat().st_size)
        # Overwritten, not extended: all records together would exceed a megabyte.
        assert 100_000 < max(sizes) < 400_000
        assert len(set(sizes)) < 100
        loop, idle = asyncio.get_running_loop(), asyncio.Event()
        checkpoint = journal._file.checkpoint

        def checkpoint_and_notify() -> None:
            checkpoint()
            loop.call_soon_threadsafe(idle.set)

        journal._file.checkpoint = checkpoint_and_notify  # type: ignore[method-assign]
        maintenance = asyncio.create_task(journal.run_maintenance())
        async with asyncio.timeout(10):
            await idle.wait()
        assert journal._file.wal_bytes == 0
        await journal.close()
        await maintenance

    async def test_the_commit_index_does_not_grow(self, storage: SqliteJournalStorage) -> None:
        journal = await filled_journal(storage, records(400))
        await journal.close()
        with closing(sqlite3.connect(storage.path)) as connection:
            rows = connection.execute("SELECT count(*) FROM record WHERE workspace = 0")
            assert rows.fetchone()[0] <= 3
