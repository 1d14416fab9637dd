"""The members on a real server fulfil the contract of the directory."""

from collections.abc import AsyncIterator, Iterator

import pytest

from router.cluster.membership import MemberDirectory
from router.cluster.redis.membership import RedisMemberDirectory
from tests.contracts.membership_contract import BOUND_S, MembershipContract
from tests.support.redis_server import RedisServer
from tests.support.shared_state import settings_of, shared_store


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("server")).start()
    yield server
    server.stop()


class TestRedisMembership(MembershipContract):
    @pytest.fixture
    async def directories(self, server: RedisServer) -> AsyncIterator[list[MemberDirectory]]:
        settings = settings_of(server)
        async with shared_store(settings) as here, shared_store(settings) as there:
            yield [RedisMemberDirectory(one, prefix=settings.prefix, bound_s=BOUND_S) for one in (here, there)]
