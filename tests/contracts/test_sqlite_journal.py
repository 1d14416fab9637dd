"""The SQLite journal fulfils the journal contract."""

from pathlib import Path

import pytest

from tests.contracts.journal_contract import JournalContract
from tests.journal.sqlite_keeper import SqliteKeeper


class TestSqliteJournal(JournalContract):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> SqliteKeeper:
        return SqliteKeeper(tmp_path)
