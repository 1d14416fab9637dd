"""Snapshots in the SQLite file: parts, checksums, and the number retained."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from router.journal.sqlite.snapshots import PART_BYTES, split_snapshot
from tests.contracts.journal_contract import filled_journal, open_and_close
from tests.support.journal_records import a_record, a_snapshot
from tests.support.sqlite_storage import SqliteJournalStorage


@pytest.fixture
def storage(tmp_path: Path) -> SqliteJournalStorage:
    return SqliteJournalStorage(tmp_path)


async def test_an_incomplete_snapshot_is_ignored(storage: SqliteJournalStorage) -> None:
    journal = await filled_journal(storage, [a_record(1), a_record(2)])
    await journal.save_snapshot("main", a_snapshot(1))
    await journal.close()
    storage.change(lambda connection: connection.execute("INSERT INTO snapshot_part VALUES (1, 2, 0, x'00112233')"))
    (history,) = await open_and_close(storage)
    assert history.snapshot == a_snapshot(1)
    with closing(sqlite3.connect(storage.path)) as connection:
        left = connection.execute("SELECT DISTINCT seq FROM snapshot_part").fetchall()
    assert left == [(1,)]


async def test_a_large_snapshot_is_split_and_joined(storage: SqliteJournalStorage) -> None:
    snapshot = a_snapshot(1, core=bytes(range(256)) * 10_000, meters=b"s" * (PART_BYTES + 1))
    parts = list(split_snapshot(snapshot))
    assert [len(part) for part in parts] == [PART_BYTES, PART_BYTES, 2_560_000 - 2 * PART_BYTES, PART_BYTES, 1]
    assert b"".join(parts) == snapshot.engine_state + snapshot.stats_state
    journal = await filled_journal(storage, [a_record(1)])
    await journal.save_snapshot("main", snapshot)
    await journal.close()
    (history,) = await open_and_close(storage)
    assert history.snapshot == snapshot


async def test_the_two_newest_snapshots_are_retained(storage: SqliteJournalStorage) -> None:
    journal = await filled_journal(storage, [a_record(n) for n in range(1, 6)])
    for seq in (1, 3, 4, 5):
        await journal.save_snapshot("main", a_snapshot(seq))
    await journal.close()
    with closing(sqlite3.connect(storage.path)) as connection:
        for table in ("snapshot", "snapshot_part"):
            rows = connection.execute(f"SELECT DISTINCT seq FROM {table} ORDER BY seq").fetchall()
            assert rows == [(4,), (5,)]


async def test_records_can_be_appended_between_the_parts(storage: SqliteJournalStorage) -> None:
    journal = await filled_journal(storage, [a_record(1)])
    saving = asyncio.create_task(journal.save_snapshot("main", a_snapshot(1, core=bytes(5 << 20))))
    for seq in range(2, 8):
        await journal.append([("main", a_record(seq))])
    assert not saving.done()
    await saving
    await journal.close()
    (history,) = await open_and_close(storage)
    assert (history.snapshot, history.last_position.seq) == (a_snapshot(1, core=bytes(5 << 20)), 7)
