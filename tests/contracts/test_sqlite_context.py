"""The SQLite backend under the contract of the context store."""

from pathlib import Path

import pytest

from router.context.keys import new_master_keys
from router.context.sqlite.store import SqliteContextStore
from tests.contracts.context_contract import NOW, ContextContract, OpenStore


class TestSqliteContextStore(ContextContract):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        master = new_master_keys()
        return lambda: SqliteContextStore(tmp_path, master, now_ms=NOW)
