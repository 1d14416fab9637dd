"""Damage to journal files is detected or harmless: a history is never undetectedly shorter or different (F7–F10, F15)."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.journal.files import JournalPaths
from router.journal.port import JournalOutdated, Snapshot
from router.journal.records import Record
from router.journal.sqlite.journal import SqliteJournal
from router.model.errors import JournalCorrupt, JournalError, JournalTooNew
from tests.contracts.journal_contract import filled_journal, open_and_close
from tests.support.journal_records import a_record, a_snapshot, records
from tests.support.sqlite_storage import SqliteJournalStorage


@pytest.fixture
def storage(tmp_path: Path) -> SqliteJournalStorage:
    return SqliteJournalStorage(tmp_path)


async def everything(path: Path) -> tuple[list[object], list[Record], Snapshot | None]:
    """Return everything readable from a journal: positions, records, snapshot."""
    journal = SqliteJournal(path, reserved_bytes=0)
    try:
        found = await journal.open()
        places: list[object] = [(h.workspace, h.history_id, h.last_position) for h in found]
        history = [record for h in found for record in journal.replay(h.workspace)]
        snapshot = found[0].snapshot if found else None
    finally:
        await journal.close()
    return places, history, snapshot


async def flip_everywhere(original: Path, scratch: Path, name: str, *, step: int) -> list[int]:
    """Flip one bit of every ``step``-th byte of a file, each in a fresh copy; return the undetected harmful offsets."""
    shutil.copytree(original, scratch / "intact")
    intact = await everything(scratch / "intact" / "journal.db")
    undetected = []
    data = (original / name).read_bytes()
    for offset in range(0, len(data), step):
        copy = scratch / "flipped"
        shutil.copytree(original, copy)
        changed = bytearray(data)
        changed[offset] ^= 1 << (offset % 8)
        (copy / name).write_bytes(changed)
        try:
            places, history, snapshot = await everything(copy / "journal.db")
        except JournalError:
            pass
        else:
            # A damaged snapshot can be ignored, but must not be replaced by a different one.
            if (places, history) != intact[:2] or snapshot not in (intact[2], None):
                undetected.append(offset)
        shutil.rmtree(copy)
    return undetected


async def a_small_journal(storage: SqliteJournalStorage) -> None:
    journal = await filled_journal(storage, records(6))
    await journal.save_snapshot("main", a_snapshot(6))
    await journal.append([("main", a_record(13))])
    await journal.close()


@pytest.fixture
def quick_disk(tmp_path: Path) -> Iterator[Path]:
    """Provide a directory in memory where available, because thousands of journals are opened."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as directory:
        yield Path(directory)


@pytest.mark.slow
async def test_every_bit_flip_in_the_database_is_detected_or_harmless(storage: SqliteJournalStorage, quick_disk: Path) -> None:
    await a_small_journal(storage)
    assert await flip_everywhere(storage.path.parent, quick_disk, "journal.db", step=3) == []


@pytest.mark.slow
async def test_every_bit_flip_in_the_log_is_detected_or_harmless(storage: SqliteJournalStorage, quick_disk: Path) -> None:
    journal = await filled_journal(storage, records(5))
    await storage.crash(journal)
    assert storage.wal.stat().st_size > 10_000
    assert await flip_everywhere(storage.path.parent, quick_disk, "journal.db-wal", step=5) == []


async def test_every_bit_flip_in_the_mark_is_detected_or_harmless(storage: SqliteJournalStorage, tmp_path: Path) -> None:
    await a_small_journal(storage)
    assert await flip_everywhere(storage.path.parent, tmp_path / "s", "journal.db.hwm", step=53) == []


async def test_a_bit_flip_in_the_middle_of_the_log_does_not_shorten_history(storage: SqliteJournalStorage) -> None:
    await storage.crash(await filled_journal(storage, records(100)))
    data = bytearray(storage.wal.read_bytes())
    data[len(data) // 2] ^= 1
    storage.wal.write_bytes(data)
    with pytest.raises(JournalCorrupt, match="shorter than it was"):
        await storage.journal().open()


async def test_a_deleted_log_is_detected(storage: SqliteJournalStorage) -> None:
    await storage.crash(await filled_journal(storage, records(10)))
    storage.wal.unlink()
    with pytest.raises(JournalCorrupt, match="shorter than it was"):
        await storage.journal().open()


async def test_a_torn_unacknowledged_end_is_dropped(storage: SqliteJournalStorage) -> None:
    await storage.crash(await filled_journal(storage, records(10)))
    with storage.wal.open("ab") as wal:
        wal.write(os.urandom(3_000))
    (history,) = await open_and_close(storage)
    assert history.last_position.seq == records(10)[-1].last_seq


async def test_a_restored_older_copy_is_detected(storage: SqliteJournalStorage, tmp_path: Path) -> None:
    journal = await filled_journal(storage, records(4))
    await journal.close()
    shutil.copy(storage.path, tmp_path / "backup.db")
    journal = storage.journal()
    await journal.open()
    await journal.append([("main", a_record(records(4)[-1].last_seq + 1))])
    await journal.close()
    shutil.copy(tmp_path / "backup.db", storage.path)
    with pytest.raises(JournalCorrupt, match="shorter than it was"):
        await storage.journal().open()


async def test_another_journal_in_its_place_is_detected(storage: SqliteJournalStorage, tmp_path: Path) -> None:
    await (await filled_journal(storage, records(4))).close()
    other = SqliteJournalStorage(tmp_path / "other")
    await (await filled_journal(other, records(4))).close()
    shutil.copy(other.path, storage.path)
    with pytest.raises(JournalCorrupt, match="another history"):
        await storage.journal().open()


async def test_a_missing_database_is_detected(storage: SqliteJournalStorage) -> None:
    await (await filled_journal(storage, records(4))).close()
    storage.path.unlink()
    with pytest.raises(JournalCorrupt, match="database is missing"):
        await storage.journal().open()


async def test_a_missing_mark_is_detected(storage: SqliteJournalStorage) -> None:
    await (await filled_journal(storage, records(4))).close()
    storage.high_water.unlink()
    with pytest.raises(JournalCorrupt, match="high-water mark is missing"):
        await storage.journal().open()


async def test_an_unrelated_database_is_rejected(storage: SqliteJournalStorage) -> None:
    await (await filled_journal(storage, records(1))).close()
    storage.path.unlink()
    connection = sqlite3.connect(storage.path)
    connection.execute("CREATE TABLE something (x)")
    connection.commit()
    connection.close()
    with pytest.raises(JournalCorrupt):
        await storage.journal().open()


async def test_damage_before_the_snapshot_is_detected_when_read(storage: SqliteJournalStorage) -> None:
    journal = await filled_journal(storage, [a_record(n) for n in range(1, 8)])
    await journal.save_snapshot("main", a_snapshot(5))
    await journal.close()
    storage.flip_record(3)
    journal = storage.journal()
    await journal.open()
    with pytest.raises(JournalCorrupt, match="main, seq 3"):
        await journal.read("main", after_seq=0, limit=10)
    assert [r.first_seq for r in await journal.read("main", after_seq=3, limit=10)] == [4, 5, 6, 7]
    await journal.close()


class TestAcceptHistoryLoss:
    async def test_the_intact_beginning_is_kept_under_a_new_history_id(self, storage: SqliteJournalStorage) -> None:
        written = [a_record(n) for n in range(1, 9)]
        journal = await filled_journal(storage, written)
        old_gen = (await journal.create_workspace("other")).history_id
        await journal.append([("other", a_record(1))])
        await journal.save_snapshot("main", a_snapshot(2))
        await journal.save_snapshot("main", a_snapshot(7))
        await journal.close()
        storage.flip_record(6)
        main, other = await storage.journal().accept_history_loss()
        assert (main.workspace, main.kept_seq, main.dropped_records) == ("main", 5, 3)
        assert (other.workspace, other.kept_seq, other.dropped_records) == ("other", 1, 0)
        assert (other.old_history_id, other.new_history_id != old_gen) == (old_gen, True)
        journal = storage.journal()
        found = await journal.open()
        assert [(h.history_id, h.last_position.seq) for h in found] == [(main.new_history_id, 5), (other.new_history_id, 1)]
        assert found[0].snapshot == a_snapshot(2)
        assert list(journal.replay("main")) == written[:5]
        await journal.append([("main", a_record(6, epoch=2))])
        await journal.close()
        assert (await open_and_close(storage))[0].last_position.seq == 6

    async def test_a_lost_log_is_accepted(self, storage: SqliteJournalStorage) -> None:
        journal = await filled_journal(storage, records(4))
        await journal.close()
        journal = storage.journal()
        await journal.open()
        next_seq = records(4)[-1].last_seq + 1
        await journal.append([("main", a_record(next_seq))])
        await storage.crash(journal)
        storage.wal.unlink()
        with pytest.raises(JournalCorrupt):
            await storage.journal().open()
        (loss,) = await storage.journal().accept_history_loss()
        assert loss.kept_seq == next_seq - 1
        (history,) = await open_and_close(storage)
        assert (history.history_id, history.last_position.seq) == (loss.new_history_id, next_seq - 1)

    async def test_a_missing_database_becomes_an_empty_journal(self, storage: SqliteJournalStorage) -> None:
        await (await filled_journal(storage, records(4))).close()
        storage.path.unlink()
        assert await storage.journal().accept_history_loss() == []
        assert await open_and_close(storage) == []

    async def test_a_missing_mark_is_recreated(self, storage: SqliteJournalStorage) -> None:
        written = records(4)
        await (await filled_journal(storage, written)).close()
        storage.high_water.unlink()
        (loss,) = await storage.journal().accept_history_loss()
        assert (loss.kept_seq, loss.dropped_records) == (written[-1].last_seq, 0)
        assert (await open_and_close(storage))[0].last_position.seq == written[-1].last_seq

    async def test_an_interrupted_migration_has_to_be_finished_first(self, storage: SqliteJournalStorage) -> None:
        written = records(4)
        await (await filled_journal(storage, written)).close()
        marker = JournalPaths(storage.path).migration_marker
        marker.parent.mkdir()
        marker.touch()
        for attempt in (storage.journal().open, storage.journal().accept_history_loss):
            with pytest.raises(JournalOutdated, match="router journal migrate"):
                await attempt()
        marker.unlink()
        assert (await open_and_close(storage))[0].last_position.seq == written[-1].last_seq

    async def test_another_format_is_refused_and_left_unchanged(self, storage: SqliteJournalStorage) -> None:
        await (await filled_journal(storage, records(4))).close()
        storage.set_format(99)
        before = storage.fingerprint()
        with pytest.raises(JournalTooNew):
            await storage.journal().accept_history_loss()
        assert storage.fingerprint() == before

    async def test_an_empty_database_becomes_an_empty_journal(self, storage: SqliteJournalStorage) -> None:
        await (await filled_journal(storage, records(4))).close()
        storage.path.write_bytes(b"")
        assert await storage.journal().accept_history_loss() == []
        assert await open_and_close(storage) == []
