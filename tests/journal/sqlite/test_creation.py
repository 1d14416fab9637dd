"""The first start: interrupted at any point it is repeated; a directory that lost files is never taken for a first start."""

import os
import resource
import sqlite3
import struct
from pathlib import Path

import pytest

from router.journal.highwater import HighWaterFile, HighWaterMark
from router.journal.sqlite.creation import NO_COMMIT, create_database, is_unfinished
from router.journal.sqlite.journal import SqliteJournal
from router.model.errors import JournalCorrupt, JournalError, JournalUnavailable
from tests.contracts.journal_contract import filled_journal, open_and_close
from tests.support.journal_records import a_record, records
from tests.support.sqlite_storage import SqliteJournalStorage


@pytest.fixture
def storage(tmp_path: Path) -> SqliteJournalStorage:
    made = SqliteJournalStorage(tmp_path)
    made.path.parent.mkdir()
    return made


async def starts(storage: SqliteJournalStorage) -> None:
    """Check that a journal starts empty here and keeps what it is given."""
    journal = storage.journal()
    assert list(await journal.open()) == []
    await journal.create_workspace("main")
    await journal.append([("main", a_record(1))])
    await journal.close()
    (history,) = await open_and_close(storage)
    assert history.last_position.seq == 1


async def test_a_mark_without_a_database_is_an_interrupted_creation(storage: SqliteJournalStorage) -> None:
    HighWaterFile.create(storage.high_water, NO_COMMIT)
    await starts(storage)


async def test_a_complete_database_with_the_first_mark_is_continued(storage: SqliteJournalStorage) -> None:
    HighWaterFile.create(storage.high_water, NO_COMMIT)
    create_database(storage.path.with_name("scratch"), storage.path)
    await starts(storage)


async def test_leftovers_of_an_interrupted_creation_are_replaced(storage: SqliteJournalStorage) -> None:
    HighWaterFile.create(storage.high_water, NO_COMMIT)
    for name in ("journal.db.new", "journal.db.new-wal", "journal.db.hwm.999999999.new"):
        storage.path.with_name(name).write_bytes(b"x" * 5000)
    await starts(storage)
    assert sorted(path.name for path in storage.path.parent.iterdir()) == ["journal.db", "journal.db.hwm"]


@pytest.mark.parametrize("tables", [0, 1])
async def test_an_unfinished_database_of_an_earlier_version_is_replaced(storage: SqliteJournalStorage, tables: int) -> None:
    """Earlier versions built it in place: a file with a header only, or with its tables still in the write-ahead log."""
    HighWaterFile.create(storage.high_water, NO_COMMIT)
    connection = sqlite3.connect(storage.path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
    for _ in range(tables):
        connection.execute("CREATE TABLE workspace (number INTEGER)")
    data, log = storage.path.read_bytes(), storage.wal.read_bytes() if storage.wal.exists() else b""
    connection.close()
    storage.path.write_bytes(data)
    storage.wal.write_bytes(log)
    assert is_unfinished(storage.path)
    await starts(storage)


async def test_the_first_mark_with_a_journal_that_has_records_is_refused(storage: SqliteJournalStorage) -> None:
    journal = await filled_journal(storage, records(3))
    await journal.close()
    storage.high_water.unlink()
    HighWaterFile.create(storage.high_water, NO_COMMIT)
    with pytest.raises(JournalCorrupt, match="that of an empty journal"):
        await storage.journal().open()


@pytest.mark.parametrize("left", ["journal.db-wal", "journal.db.reserved"])
async def test_a_directory_that_lost_its_journal_is_not_a_first_start(storage: SqliteJournalStorage, left: str) -> None:
    storage.path.with_name(left).write_bytes(b"x" * 4096)
    with pytest.raises(JournalCorrupt, match=f"are missing, but {left} exists"):
        await storage.journal().open()
    assert [path.name for path in storage.path.parent.iterdir()] == [left]


@pytest.mark.parametrize("has_mark", [False, True])
async def test_another_program_s_database_is_refused_and_left_unchanged(storage: SqliteJournalStorage, has_mark: bool) -> None:
    connection = sqlite3.connect(storage.path)
    connection.execute("CREATE TABLE invoices (id INTEGER)")
    connection.close()
    storage.path.chmod(0o644)
    if has_mark:
        HighWaterFile.create(storage.high_water, HighWaterMark(7, b"c" * 16))
    before = storage.fingerprint()
    for refused in (storage.journal().open, storage.journal().accept_history_loss):
        with pytest.raises(JournalCorrupt, match="not a journal of the router; it was not changed"):
            await refused()
    assert storage.path.stat().st_mode & 0o777 == 0o644
    assert storage.fingerprint() == before


async def test_a_truncated_mark_is_refused_with_its_path(storage: SqliteJournalStorage) -> None:
    await (await filled_journal(storage, records(3))).close()
    for size in (0, 10, 35):
        os.truncate(storage.high_water, size)
        with pytest.raises(JournalCorrupt, match=r"journal\.db\.hwm: .*both slots.*--accept-history-loss"):
            await storage.journal().open()


async def test_a_mark_that_was_cut_to_one_slot_is_read_and_made_whole(storage: SqliteJournalStorage) -> None:
    await (await filled_journal(storage, records(3))).close()
    os.truncate(storage.high_water, 4096)
    journal = storage.journal()
    (history,) = await journal.open()
    await journal.append([("main", a_record(history.last_position.seq + 1))])
    await journal.close()
    assert storage.high_water.stat().st_size == 8192
    await open_and_close(storage)


async def test_a_directory_without_permission_is_refused(storage: SqliteJournalStorage) -> None:
    if os.geteuid() == 0:
        storage.path.parent.rmdir()
        storage.path.parent.write_text("")
        with pytest.raises(JournalUnavailable, match="is not a directory"):
            await storage.journal().open()
        return
    storage.path.parent.chmod(0o500)
    with pytest.raises(JournalUnavailable, match="no permission to read and write"):
        await storage.journal().open()
    assert list(storage.path.parent.iterdir()) == []


async def test_exhausted_descriptors_are_named_and_nothing_is_altered(storage: SqliteJournalStorage) -> None:
    await (await filled_journal(storage, records(3))).close()
    before = storage.fingerprint()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/self/fd"))
    taken = [os.dup(0) for _ in range(3)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(used, *taken) + 2, hard))
    try:
        filler = []
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                filler.append(os.dup(0))
        with pytest.raises(JournalError, match=r"file descriptor|limit of open files"):
            await storage.journal().open()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in (*taken, *filler):
            os.close(descriptor)
    assert storage.fingerprint() == before
    assert (await open_and_close(storage))[0].last_position.seq == 6


async def test_a_new_database_has_its_format_in_the_main_file(storage: SqliteJournalStorage) -> None:
    create_database(storage.path.with_name("scratch"), storage.path)
    (application,) = struct.unpack_from(">I", storage.path.read_bytes(), 68)
    assert application == 0x43526A31
    assert sorted(path.name for path in storage.path.parent.iterdir()) == ["journal.db"]


async def test_one_failed_sync_followed_by_successes_ends_the_journal(
    storage: SqliteJournalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = SqliteJournal(storage.path, reserved_bytes=0)
    await journal.open()
    await journal.create_workspace("main")
    file = journal._file
    commit, calls = file.commit, []

    def fail_once(prepared: object) -> None:
        calls.append(prepared)
        if len(calls) == 1:
            raise sqlite3.OperationalError("disk I/O error")
        commit(prepared)  # type: ignore[arg-type]

    monkeypatch.setattr(file, "commit", fail_once)
    with pytest.raises(JournalUnavailable, match="disk I/O error"):
        await journal.append([("main", a_record(1))])
    for attempt in (
        journal.append([("main", a_record(2))]),
        journal._run_guarded(file.checkpoint),
        journal._run_guarded(file.sync_mark),
        journal.create_workspace("other"),
    ):
        with pytest.raises(JournalUnavailable, match="failed before"):
            await attempt
    with pytest.raises(JournalUnavailable, match="disk I/O error"):
        await journal.run_maintenance()
    assert len(calls) == 1
    await journal.close()
