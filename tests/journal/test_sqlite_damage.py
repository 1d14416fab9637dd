"""Damage to a journal's files is found, or does no harm: never is a history silently shorter or different (F7–F10, F15)."""

import asyncio
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.journal.port import Record, Snapshot
from router.journal.sqlite import SqliteJournal
from router.model.errors import (
    JournalCorrupt,
    JournalError,
    JournalUnavailable,
)
from tests.contracts.journal_contract import filled, keeper_open
from tests.journal.records import a_record, a_snapshot, records
from tests.journal.sqlite_keeper import SqliteKeeper


@pytest.fixture
def keeper(tmp_path: Path) -> SqliteKeeper:
    return SqliteKeeper(tmp_path)


async def everything(path: Path) -> tuple[list[object], list[Record], Snapshot | None]:
    """All that a reader can learn from a journal."""
    journal = SqliteJournal(path, ballast_bytes=0)
    try:
        found = await journal.open()
        places: list[object] = [(h.workspace, h.gen, h.last) for h in found]
        history = [record for h in found for record in journal.replay(h.workspace)]
        snapshot = found[0].snapshot if found else None
    finally:
        await journal.close()
    return places, history, snapshot


async def flip_everywhere(original: Path, scratch: Path, name: str, *, step: int) -> list[int]:
    """Flip one bit of every ``step``-th byte of one file, each in a fresh copy; the offsets that went unnoticed."""
    shutil.copytree(original, scratch / "sound")
    sound = await everything(scratch / "sound" / "journal.db")
    silent = []
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
            # A damaged snapshot may be missing, but it is never another one.
            if (places, history) != sound[:2] or snapshot not in (sound[2], None):
                silent.append(offset)
        shutil.rmtree(copy)
    return silent


async def a_small_journal(keeper: SqliteKeeper) -> None:
    journal = await filled(keeper, records(6))
    await journal.save_snapshot("main", a_snapshot(6))
    await journal.append([("main", a_record(13))])
    await journal.close()


@pytest.fixture
def quick_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where the machine has one: thousands of journals are opened here."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as directory:
        yield Path(directory)


@pytest.mark.slow
async def test_every_flipped_byte_of_the_database_is_found_or_harmless(
    keeper: SqliteKeeper, quick_disk: Path
) -> None:
    await a_small_journal(keeper)
    assert await flip_everywhere(keeper.path.parent, quick_disk, "journal.db", step=3) == []


@pytest.mark.slow
async def test_every_flipped_byte_of_the_log_is_found_or_harmless(
    keeper: SqliteKeeper, quick_disk: Path
) -> None:
    journal = await filled(keeper, records(5))
    await keeper.crash(journal)
    assert keeper.wal.stat().st_size > 10_000
    assert await flip_everywhere(keeper.path.parent, quick_disk, "journal.db-wal", step=5) == []


async def test_every_flipped_byte_of_the_mark_is_found_or_harmless(
    keeper: SqliteKeeper, tmp_path: Path
) -> None:
    await a_small_journal(keeper)
    assert (
        await flip_everywhere(keeper.path.parent, tmp_path / "s", "journal.db.hwm", step=53) == []
    )


async def test_a_bit_in_the_middle_of_the_log_does_not_shorten_history(
    keeper: SqliteKeeper,
) -> None:
    await keeper.crash(await filled(keeper, records(100)))
    data = bytearray(keeper.wal.read_bytes())
    data[len(data) // 2] ^= 1
    keeper.wal.write_bytes(data)
    with pytest.raises(JournalCorrupt, match="shorter than it was"):
        await keeper.journal().open()


async def test_a_deleted_log_is_found(keeper: SqliteKeeper) -> None:
    await keeper.crash(await filled(keeper, records(10)))
    keeper.wal.unlink()
    with pytest.raises(JournalCorrupt, match="shorter than it was"):
        await keeper.journal().open()


async def test_a_torn_end_that_was_never_acknowledged_is_dropped(keeper: SqliteKeeper) -> None:
    await keeper.crash(await filled(keeper, records(10)))
    with keeper.wal.open("ab") as wal:
        wal.write(os.urandom(3_000))
    (history,) = await keeper_open(keeper)
    assert history.last.seq == records(10)[-1].last_seq


async def test_a_restored_older_copy_is_found(keeper: SqliteKeeper, tmp_path: Path) -> None:
    journal = await filled(keeper, records(4))
    await journal.close()
    shutil.copy(keeper.path, tmp_path / "backup.db")
    journal = keeper.journal()
    await journal.open()
    await journal.append([("main", a_record(records(4)[-1].last_seq + 1))])
    await journal.close()
    shutil.copy(tmp_path / "backup.db", keeper.path)
    with pytest.raises(JournalCorrupt, match="shorter than it was"):
        await keeper.journal().open()


async def test_another_journal_in_its_place_is_found(keeper: SqliteKeeper, tmp_path: Path) -> None:
    await (await filled(keeper, records(4))).close()
    other = SqliteKeeper(tmp_path / "other")
    await (await filled(other, records(4))).close()
    shutil.copy(other.path, keeper.path)
    with pytest.raises(JournalCorrupt, match="another history"):
        await keeper.journal().open()


async def test_a_missing_database_is_found(keeper: SqliteKeeper) -> None:
    await (await filled(keeper, records(4))).close()
    keeper.path.unlink()
    with pytest.raises(JournalCorrupt, match="database is missing"):
        await keeper.journal().open()


async def test_a_missing_mark_is_found(keeper: SqliteKeeper) -> None:
    await (await filled(keeper, records(4))).close()
    keeper.high_water.unlink()
    with pytest.raises(JournalCorrupt, match="high-water mark is missing"):
        await keeper.journal().open()


async def test_some_other_database_is_refused(keeper: SqliteKeeper) -> None:
    await (await filled(keeper, records(1))).close()
    keeper.path.unlink()
    connection = sqlite3.connect(keeper.path)
    connection.execute("CREATE TABLE something (x)")
    connection.commit()
    connection.close()
    with pytest.raises(JournalCorrupt):
        await keeper.journal().open()


async def test_a_snapshot_that_was_being_written_does_not_count(keeper: SqliteKeeper) -> None:
    journal = await filled(keeper, [a_record(1), a_record(2)])
    await journal.save_snapshot("main", a_snapshot(1))
    await journal.close()
    keeper.change(
        lambda connection: connection.execute(
            "INSERT INTO snapshot_part VALUES (1, 2, 0, x'00112233')"
        )
    )
    (history,) = await keeper_open(keeper)
    assert history.snapshot == a_snapshot(1)
    left = sqlite3.connect(keeper.path).execute("SELECT DISTINCT seq FROM snapshot_part").fetchall()
    assert left == [(1,)]


async def test_an_older_record_that_has_rotted_is_found_when_it_is_read(
    keeper: SqliteKeeper,
) -> None:
    journal = await filled(keeper, [a_record(n) for n in range(1, 8)])
    await journal.save_snapshot("main", a_snapshot(5))
    await journal.close()
    keeper.flip_record(3)
    journal = keeper.journal()
    await journal.open()
    with pytest.raises(JournalCorrupt, match="main, seq 3"):
        await journal.read("main", after_seq=0, limit=10)
    assert [r.first_seq for r in await journal.read("main", after_seq=3, limit=10)] == [4, 5, 6, 7]
    await journal.close()


class TestAcceptHistoryLoss:
    async def test_the_sound_beginning_is_kept_under_a_new_generation(
        self, keeper: SqliteKeeper
    ) -> None:
        written = [a_record(n) for n in range(1, 9)]
        journal = await filled(keeper, written)
        old_gen = (await journal.create_workspace("other")).gen
        await journal.append([("other", a_record(1))])
        await journal.save_snapshot("main", a_snapshot(2))
        await journal.save_snapshot("main", a_snapshot(7))
        await journal.close()
        keeper.flip_record(6)
        main, other = await keeper.journal().accept_history_loss()
        assert (main.workspace, main.kept_seq, main.dropped_records) == ("main", 5, 3)
        assert (other.workspace, other.kept_seq, other.dropped_records) == ("other", 1, 0)
        assert (other.old_gen, other.new_gen != old_gen) == (old_gen, True)
        journal = keeper.journal()
        found = await journal.open()
        assert [(h.gen, h.last.seq) for h in found] == [(main.new_gen, 5), (other.new_gen, 1)]
        assert found[0].snapshot == a_snapshot(2)
        assert list(journal.replay("main")) == written[:5]
        await journal.append([("main", a_record(6, epoch=2))])
        await journal.close()
        assert (await keeper_open(keeper))[0].last.seq == 6

    async def test_a_lost_log_is_accepted(self, keeper: SqliteKeeper) -> None:
        journal = await filled(keeper, records(4))
        await journal.close()
        journal = keeper.journal()
        await journal.open()
        next_seq = records(4)[-1].last_seq + 1
        await journal.append([("main", a_record(next_seq))])
        await keeper.crash(journal)
        keeper.wal.unlink()
        with pytest.raises(JournalCorrupt):
            await keeper.journal().open()
        (loss,) = await keeper.journal().accept_history_loss()
        assert loss.kept_seq == next_seq - 1
        (history,) = await keeper_open(keeper)
        assert (history.gen, history.last.seq) == (loss.new_gen, next_seq - 1)

    async def test_a_missing_database_becomes_an_empty_journal(self, keeper: SqliteKeeper) -> None:
        await (await filled(keeper, records(4))).close()
        keeper.path.unlink()
        assert await keeper.journal().accept_history_loss() == []
        assert await keeper_open(keeper) == []

    async def test_a_missing_mark_is_made_anew(self, keeper: SqliteKeeper) -> None:
        written = records(4)
        await (await filled(keeper, written)).close()
        keeper.high_water.unlink()
        (loss,) = await keeper.journal().accept_history_loss()
        assert (loss.kept_seq, loss.dropped_records) == (written[-1].last_seq, 0)
        assert (await keeper_open(keeper))[0].last.seq == written[-1].last_seq


class TestFiles:
    async def test_the_files_are_for_their_owner_alone(self, keeper: SqliteKeeper) -> None:
        old = os.umask(0)
        try:
            journal = SqliteJournal(keeper.path, ballast_bytes=4096)
            await journal.open()
            await journal.create_workspace("main")
            names = {
                path.name: path.stat().st_mode & 0o777 for path in keeper.path.parent.iterdir()
            }
            await journal.close()
        finally:
            os.umask(old)
        assert names == {
            "journal.db": 0o600,
            "journal.db-wal": 0o600,
            "journal.db.hwm": 0o600,
            "journal.db.ballast": 0o600,
        }
        assert keeper.path.parent.stat().st_mode & 0o777 == 0o700

    async def test_a_link_in_the_journals_place_is_refused(
        self, keeper: SqliteKeeper, tmp_path: Path
    ) -> None:
        keeper.path.parent.mkdir()
        keeper.path.symlink_to(tmp_path / "elsewhere.db")
        with pytest.raises(JournalUnavailable, match="not a regular file"):
            await keeper.journal().open()
        assert [path.name for path in keeper.path.parent.iterdir()] == ["journal.db"]

    async def test_a_file_in_the_directorys_place_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(JournalUnavailable):
            await SqliteJournal(tmp_path / "file" / "journal.db").open()

    async def test_the_ballast_is_real_and_stays_one(self, keeper: SqliteKeeper) -> None:
        for _ in range(2):
            journal = SqliteJournal(keeper.path, ballast_bytes=1 << 20)
            await journal.open()
            await journal.close()
            ballast = keeper.path.with_name("journal.db.ballast").stat()
            assert (ballast.st_size, ballast.st_blocks * 512 >= 1 << 20) == (1 << 20, True)

    async def test_a_creation_that_was_broken_off_begins_again(self, keeper: SqliteKeeper) -> None:
        journal = keeper.journal()
        await journal.open()
        await journal.close()
        keeper.path.write_bytes(b"")
        assert await keeper_open(keeper) == []


class TestHousekeeping:
    async def test_the_log_is_folded_in_at_its_size_and_when_idle(
        self, keeper: SqliteKeeper
    ) -> None:
        journal = SqliteJournal(
            keeper.path,
            ballast_bytes=0,
            checkpoint_bytes_max=200_000,
            checkpoint_idle_ms=20,
            high_water_interval_ms=5,
        )
        await journal.open()
        await journal.create_workspace("main")
        sizes = []
        for record in records(300):
            await journal.append([("main", record)])
            sizes.append(keeper.wal.stat().st_size)
        # Written over, not made longer: all of them together would be more than a megabyte.
        assert 100_000 < max(sizes) < 400_000
        assert len(set(sizes)) < 100
        loop, idle = asyncio.get_running_loop(), asyncio.Event()
        checkpoint = journal._file.checkpoint

        def checkpoint_and_say() -> None:
            checkpoint()
            loop.call_soon_threadsafe(idle.set)

        journal._file.checkpoint = checkpoint_and_say  # type: ignore[method-assign]
        tending = asyncio.create_task(journal.tend())
        async with asyncio.timeout(10):
            await idle.wait()
        assert journal._file.wal_bytes == 0
        await journal.close()
        await tending

    async def test_the_ledger_does_not_grow(self, keeper: SqliteKeeper) -> None:
        journal = await filled(keeper, records(400))
        await journal.close()
        rows = sqlite3.connect(keeper.path).execute(
            "SELECT count(*) FROM record WHERE workspace = 0"
        )
        assert rows.fetchone()[0] <= 3
