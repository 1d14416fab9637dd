"""Token buckets of several nodes on a real server fulfil the contract of rates."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from router.server.api.admission import NewBucket
from router.server.api.shared_rates import SharedRates
from tests.contracts.rates_contract import RateNode, RatesContract
from tests.support.redis_server import RedisServer
from tests.support.shared_state import settings_of, shared_store


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("server")).start()
    yield server
    server.stop()


class SharedNode:
    def __init__(self, rates: SharedRates) -> None:
        self._rates = rates

    @property
    def new_bucket(self) -> NewBucket:
        return self._rates.bucket


class TestSharedRates(RatesContract):
    @pytest.fixture
    async def nodes(self, server: RedisServer) -> AsyncIterator[list[RateNode]]:
        settings = settings_of(server)
        async with shared_store(settings) as one, shared_store(settings) as other:
            made = [SharedRates(store, prefix=settings.prefix) for store in (one, other)]
            running = [asyncio.create_task(rates.run()) for rates in made]
            yield [SharedNode(rates) for rates in made]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
