"""Servers for the tests of the store: one for a module, and storages with a prefix of their own."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer
from tests.support.redis_storage import RedisJournalStorage


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("server")).start()
    yield server
    server.stop()


@pytest.fixture
def storage(server: RedisServer, tmp_path: Path) -> Iterator[RedisJournalStorage]:
    storage = RedisJournalStorage(server, tmp_path, f"t{secrets.token_hex(4)}")
    yield storage
    storage.client.close()
