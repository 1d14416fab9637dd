"""The SQLite journal fulfils the journal contract."""

from pathlib import Path

import pytest

from tests.contracts.journal_contract import JournalContract
from tests.support.sqlite_storage import SqliteJournalStorage


class TestSqliteJournal(JournalContract):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> SqliteJournalStorage:
        return SqliteJournalStorage(tmp_path)
