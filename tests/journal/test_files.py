"""The files of a journal: permissions, kinds of files, reserved disk space."""

import os
from pathlib import Path

import pytest

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
