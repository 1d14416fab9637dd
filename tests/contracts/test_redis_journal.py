"""The journal on a real server fulfils the journal contract: alone and as a cluster."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.contracts.journal_contract import JournalContract
from tests.support.redis_server import RedisServer, server_programs
from tests.support.redis_storage import RedisJournalStorage
from tests.support.redis_topologies import cluster, cluster_url


@pytest.fixture(scope="module", params=list(server_programs()))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("server"), program=server_programs()[request.param])
    yield server.start()
    server.stop()


class TestRedisJournal(JournalContract):
    @pytest.fixture
    def storage(self, server: RedisServer, tmp_path: Path) -> Iterator[RedisJournalStorage]:
        storage = RedisJournalStorage(server, tmp_path, f"t{secrets.token_hex(4)}")
        yield storage
        storage.client.close()


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    with cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


class TestRedisJournalInACluster(JournalContract):
    @pytest.fixture
    def storage(self, nodes: list[RedisServer], tmp_path: Path) -> Iterator[RedisJournalStorage]:
        client = redis.RedisCluster(host="127.0.0.1", port=nodes[0].port)
        storage = RedisJournalStorage(nodes[0], tmp_path, f"t{secrets.token_hex(4)}", client=client, url=cluster_url(nodes))
        yield storage
        client.close()
