"""Shared state on a cluster, whose keys are on several servers."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.cluster.membership import Member
from router.cluster.redis.membership import RedisMemberDirectory
from router.cluster.redis.secret import SharedSecret
from router.server.api.admission import RateLimiter
from router.server.api.shared_rates import SharedRates
from router.server.auth.keys import create_secret
from router.server.auth.shared_tickets import SharedTickets
from router.settings import settings_from
from router.store_settings import Durability, StoreSettings
from tests.contracts.tickets_contract import TicketNode, authenticator_of
from tests.support.redis_server import RedisServer
from tests.support.redis_topologies import cluster, cluster_url
from tests.support.shared_state import shared_store


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[RedisServer]]:
    with cluster(tmp_path / "cluster") as servers:
        yield servers


async def test_each_key_is_on_one_server_of_a_cluster(servers: list[RedisServer], tmp_path: Path) -> None:
    settings = settings_from({"journal": {"path": str(tmp_path / "journal.db")}})
    create_secret(settings)
    authenticator = authenticator_of(settings)
    async with shared_store(StoreSettings(url=cluster_url(servers), prefix="t", durability=Durability.LEADER)) as store:
        directory = RedisMemberDirectory(store, prefix="t", bound_s=6.0)
        assert len(await directory.announce(Member(node_id="ada", run="00000001", url=""))) == 1

        tickets = SharedTickets(store, authenticator, prefix="t", lifetime_s=30, tickets_max=100)
        node = TicketNode(settings, tickets, authenticator)
        issued = await asyncio.gather(*(tickets.issue(node.credential(f"a{number}")) for number in range(30)))
        found = await asyncio.gather(*(node.redeem(ticket) for ticket in issued))
        assert [one.subject for one in found if one is not None] == [f"a{number}" for number in range(30)]

        rates = SharedRates(store, prefix="t")
        limiter = RateLimiter(per_s=0.1, burst=4, keys_max=1_000, new_bucket=rates.bucket)
        for number in range(300):
            limiter.take(f"k{number}")
        await rates.exchange()

        secret = SharedSecret(store, prefix="t", name="one", key_path=None)
        assert await secret.read() is None and await secret.replace(b"value") == b"value"
    counts = []
    for server in servers:
        with server.client() as client:
            counts.append(len(client.keys("t:*:rate")))
    assert sum(counts) == 300 and min(counts) > 50
