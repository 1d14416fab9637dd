"""The SQLite journal keeps the contract."""

from pathlib import Path

import pytest

from tests.contracts.journal_contract import JournalContract
from tests.journal.sqlite_keeper import SqliteKeeper


class TestSqliteJournal(JournalContract):
    @pytest.fixture
    def keeper(self, tmp_path: Path) -> SqliteKeeper:
        return SqliteKeeper(tmp_path)
