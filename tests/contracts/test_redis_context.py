"""The Redis backend under the contract of the context store, on a real server."""

import secrets
from collections.abc import Iterator

import pytest

from router.context.keys import new_master_keys
from tests.contracts.context_contract import ContextContract, OpenStore
from tests.support.redis_context import open_redis_context
from tests.support.redis_server import RedisServer, server_programs


@pytest.fixture(scope="module", params=list(server_programs()))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("server"), program=server_programs()[request.param])
    yield server.start()
    server.stop()


class TestRedisContextStore(ContextContract):
    @pytest.fixture
    def open_store(self, server: RedisServer) -> OpenStore:
        master, prefix = new_master_keys(), f"t{secrets.token_hex(4)}"
        return lambda: open_redis_context(server, master, prefix)
