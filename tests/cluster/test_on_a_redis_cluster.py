"""Several nodes on a cluster of servers, where no blocking request can cover two workspaces."""

import secrets
from pathlib import Path

from router.store_settings import Durability, StoreSettings
from tests.cluster.test_shared_workspace import cluster, done, until
from tests.support.builders import a_contact, a_policy, published
from tests.support.redis_topologies import cluster as redis_cluster
from tests.support.redis_topologies import cluster_url


async def test_a_follower_takes_part_and_takes_over(tmp_path: Path) -> None:
    with redis_cluster(tmp_path / "servers") as servers:
        settings = StoreSettings(
            url=cluster_url(servers),
            prefix=f"t{secrets.token_hex(4)}",
            durability=Durability.FSYNC,
            lease_s=5,
            outage_s_max=10,
            shared=True,
        )
        async with cluster(settings, tmp_path, 2) as nodes:
            [leader] = [node for node in nodes if node.is_leader]
            [follower] = [node for node in nodes if not node.is_leader]
            await done(follower, published(a_policy()))
            for number in range(50):
                await done(nodes[number % 2], a_contact(f"c{number}"))
            await until(lambda: leader.engine.seq == follower.engine.seq)
            assert leader.engine.digest() == follower.engine.digest()
            await leader.crash()
            await done(follower, a_contact("late"))
            assert follower.is_leader
