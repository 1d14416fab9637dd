"""Selection of the journal backend from the settings."""

from pathlib import Path

import pytest

from router.journal.backends import open_journal
from router.journal.memory import MemoryJournal
from router.journal.sqlite.journal import SqliteJournal
from router.model.errors import SettingsInvalid
from router.settings import JournalBackend, JournalSettings


def test_memory_is_selected() -> None:
    assert isinstance(open_journal(JournalSettings(backend=JournalBackend.MEMORY)), MemoryJournal)


async def test_sqlite_is_selected_and_its_directory_is_created(tmp_path: Path) -> None:
    path = tmp_path / "new" / "journal.db"
    journal = open_journal(JournalSettings(path=str(path), reserved_bytes=0))
    assert isinstance(journal, SqliteJournal)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert await journal.open() == []
    await journal.close()
    assert path.exists()


def test_a_directory_that_cannot_be_created_is_a_settings_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsInvalid, match=r"journal\.path"):
        open_journal(JournalSettings(path=str(tmp_path / "file" / "journal.db")))
