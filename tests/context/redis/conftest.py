"""A real server for a module, and stores on a prefix of their own."""

import secrets
from collections.abc import Callable, Iterator

import pytest

from router.context.keys import MasterKeys, new_master_keys
from router.context.redis.store import RedisContextStore
from tests.support.redis_context import open_redis_context
from tests.support.redis_server import RedisServer

OpenNode = Callable[[], RedisContextStore]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("server")).start()
    yield server
    server.stop()


@pytest.fixture
def master() -> MasterKeys:
    return new_master_keys()


@pytest.fixture
def prefix() -> str:
    return f"t{secrets.token_hex(4)}"


@pytest.fixture
def open_node(server: RedisServer, master: MasterKeys, prefix: str) -> Iterator[OpenNode]:
    """Opens one more node on the same context."""
    opened: list[RedisContextStore] = []

    def open_one() -> RedisContextStore:
        opened.append(open_redis_context(server, master, prefix))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()
