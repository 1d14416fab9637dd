"""Selection of the journal backend from the settings."""

import subprocess
import sys
from pathlib import Path

import pytest

from router.journal.backends import open_journal
from router.journal.memory import MemoryJournal
from router.journal.port import StoreJournal
from router.journal.sqlite.journal import SqliteJournal
from router.model.errors import SettingsInvalid
from router.settings import JournalBackend, JournalSettings
from router.store_settings import StoreSettings


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


def test_the_client_of_a_store_is_loaded_only_where_one_is_used() -> None:
    program = "import sys, router.app; print('redis' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_store_is_selected_by_its_address(tmp_path: Path) -> None:
    settings = JournalSettings(path=str(tmp_path / "journal.db"))
    assert isinstance(open_journal(settings, StoreSettings(url="redis://127.0.0.1")), StoreJournal)
    with pytest.raises(SettingsInvalid, match="exclude each other"):
        open_journal(JournalSettings(backend=JournalBackend.MEMORY), StoreSettings(url="redis://127.0.0.1"))
    (tmp_path / "journal.db").write_text("")
    with pytest.raises(SettingsInvalid, match="has a journal of its own"):
        open_journal(settings, StoreSettings(url="redis://127.0.0.1"))
