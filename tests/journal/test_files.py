"""The files of a journal: permissions, kinds of files, reserved disk space."""

import os
import shutil
import time
from pathlib import Path

import pytest

from router.journal.files import FileWatch, write_at
from router.journal.sqlite.journal import SqliteJournal
from router.model.errors import JournalUnavailable
from tests.contracts.journal_contract import open_and_close
from tests.support.sqlite_storage import SqliteJournalStorage


@pytest.fixture
def storage(tmp_path: Path) -> SqliteJournalStorage:
    return SqliteJournalStorage(tmp_path)


class TestFiles:
    async def test_files_are_private_to_their_owner(self, storage: SqliteJournalStorage) -> None:
        old = os.umask(0)
        try:
            journal = SqliteJournal(storage.path, reserved_bytes=4096)
            await journal.open()
            await journal.create_workspace("main")
            names = {path.name: path.stat().st_mode & 0o777 for path in storage.path.parent.iterdir()}
            await journal.close()
        finally:
            os.umask(old)
        assert names == {"journal.db": 0o600, "journal.db-wal": 0o600, "journal.db.hwm": 0o600, "journal.db.reserved": 0o600}
        assert storage.path.parent.stat().st_mode & 0o777 == 0o700

    async def test_a_symbolic_link_is_rejected(self, storage: SqliteJournalStorage, tmp_path: Path) -> None:
        storage.path.parent.mkdir()
        storage.path.symlink_to(tmp_path / "elsewhere.db")
        with pytest.raises(JournalUnavailable, match="not a regular file"):
            await storage.journal().open()
        assert [path.name for path in storage.path.parent.iterdir()] == ["journal.db"]

    async def test_a_file_in_place_of_the_directory_is_rejected(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(JournalUnavailable):
            await SqliteJournal(tmp_path / "file" / "journal.db").open()

    async def test_reserved_disk_space_is_allocated_and_kept(self, storage: SqliteJournalStorage) -> None:
        for _ in range(2):
            journal = SqliteJournal(storage.path, reserved_bytes=1 << 20)
            await journal.open()
            await journal.close()
            reserved = storage.path.with_name("journal.db.reserved").stat()
            assert (reserved.st_size, reserved.st_blocks * 512 >= 1 << 20) == (1 << 20, True)

    async def test_an_interrupted_creation_is_restarted(self, storage: SqliteJournalStorage) -> None:
        journal = storage.journal()
        await journal.open()
        await journal.close()
        storage.path.write_bytes(b"")
        assert await open_and_close(storage) == []


class TestFileWatch:
    @pytest.fixture
    def paths(self, tmp_path: Path) -> list[Path]:
        made = [tmp_path / name for name in ("one", "other")]
        for path in made:
            path.write_bytes(b"x" * 100)
        return made

    @pytest.mark.parametrize("quick", [False, True])
    def test_removed_and_replaced_files_are_told(self, paths: list[Path], quick: bool) -> None:
        watch = FileWatch(paths)
        assert watch.find_change() is None and watch.find_change(quick=quick) is None
        time.sleep(0.02)
        copy = paths[1].with_name("copy")
        copy.write_bytes(b"x" * 100)
        assert watch.find_change(quick=quick) is None
        time.sleep(0.02)
        copy.rename(paths[1])
        assert "other: the file was replaced" in str(watch.find_change(quick=quick))
        paths[0].unlink()
        assert "one: the file was removed" in str(watch.find_change())

    def test_files_may_grow_but_not_shrink(self, paths: list[Path]) -> None:
        watch = FileWatch(paths)
        paths[0].write_bytes(b"x" * 200)
        assert watch.find_change() is None
        os.truncate(paths[0], 150)
        assert "one: the file was shortened" in str(watch.find_change())

    def test_a_removed_directory_is_told_at_once(self, paths: list[Path]) -> None:
        watch = FileWatch(paths)
        assert watch.find_change() is None
        shutil.rmtree(paths[0].parent)
        assert "the file was removed" in str(watch.find_change(quick=True))


def test_a_few_bytes_are_written_at_a_position_and_errors_are_raised(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"....")
    descriptor = os.open(path, os.O_RDWR)
    write_at(descriptor, b"ab", 1)
    assert path.read_bytes() == b".ab."
    os.close(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        write_at(descriptor, b"ab", 1)
