"""Token buckets of one process fulfil the contract of rates."""

import pytest

from router.server.api.admission import NewBucket, local_bucket
from tests.contracts.rates_contract import RateNode, RatesContract


class MemoryNode:
    @property
    def new_bucket(self) -> NewBucket:
        return local_bucket


class TestMemoryRates(RatesContract):
    @pytest.fixture
    def nodes(self) -> list[RateNode]:
        node = MemoryNode()
        return [node, node]
