"""The journal with other processes, and on a full disk."""

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from router.journal.sqlite.journal import SqliteJournal
from router.model.errors import JournalUnavailable
from tests.contracts.journal_contract import filled_journal, open_and_close
from tests.support.journal_records import a_record, records
from tests.support.sqlite_storage import SqliteJournalStorage

OPEN = """
import asyncio, sys
from pathlib import Path
from router.journal.sqlite.journal import SqliteJournal
from router.model.errors import JournalError
try:
    asyncio.run(SqliteJournal(Path(sys.argv[1]), reserved_bytes=0).open())
except JournalError as error:
    print(type(error).__name__)
"""


@pytest.fixture
def storage(tmp_path: Path) -> SqliteJournalStorage:
    return SqliteJournalStorage(tmp_path)


async def test_a_second_process_is_locked_out_and_the_first_continues(storage: SqliteJournalStorage) -> None:
    journal = await filled_journal(storage, records(3))
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", OPEN, str(storage.path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "JournalLocked\n"
    await journal.append([("main", a_record(7))])
    await journal.close()
    assert (await open_and_close(storage))[0].last_position.seq == 7


async def test_other_sqlite_connections_are_locked_out(storage: SqliteJournalStorage) -> None:
    journal = await filled_journal(storage, records(3))
    script = (
        "import sqlite3, sys\n"
        "try: sqlite3.connect(sys.argv[1], timeout=0).execute('PRAGMA wal_checkpoint').fetchall()\n"
        "except sqlite3.OperationalError as error: print(error)"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script, str(storage.path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "database is locked\n"
    await journal.append([("main", a_record(7))])
    await journal.close()


async def test_a_full_disk_is_reported_and_the_shutdown_is_clean(storage: SqliteJournalStorage) -> None:
    journal = SqliteJournal(storage.path, reserved_bytes=1 << 20)
    await journal.open()
    await journal.create_workspace("main")
    await journal.append([("main", a_record(1))])
    connection = journal._file._open_connection
    # The page limit of SQLite raises the same error as a full disk.
    await journal._run_guarded(lambda: connection.execute("PRAGMA max_page_count = 1").fetchall())
    with pytest.raises(JournalUnavailable, match="full"):
        await journal.append([("main", record) for record in records(200, first_seq=2)])
    with pytest.raises(JournalUnavailable, match="failed before"):
        await journal.append([("main", a_record(2))])
    with pytest.raises(JournalUnavailable):
        await journal.run_maintenance()
    await journal.close()
    assert not storage.path.with_name("journal.db.reserved").exists()
    assert not storage.wal.exists()
    (history,) = await open_and_close(storage)
    assert history.last_position.seq == 1


async def test_after_an_error_the_files_are_left_unchanged(storage: SqliteJournalStorage) -> None:
    journal = await filled_journal(storage, records(3))

    def fail() -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(JournalUnavailable):
        await journal._run_guarded(fail)  # type: ignore[attr-defined]
    before = storage.fingerprint()
    await journal.close()
    assert storage.fingerprint() == before
    with pytest.raises(JournalUnavailable):
        await journal.append([("main", a_record(7))])
