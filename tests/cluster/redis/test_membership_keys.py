"""The members on the store: other clocks of servers, damage, and limits."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from router.cluster.membership import Member
from router.cluster.redis.membership import RedisMemberDirectory
from router.model.errors import SharedStateUnavailable
from tests.support.redis_server import RedisServer
from tests.support.shared_state import settings_of, shared_store

ADA = Member(node_id="ada", run="00000001", url="http://ada")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("server")).start()
    yield server
    server.stop()


@pytest.fixture
async def directory(server: RedisServer) -> AsyncIterator[RedisMemberDirectory]:
    settings = settings_of(server, prefix="members")
    async with shared_store(settings) as store:
        yield RedisMemberDirectory(store, prefix=settings.prefix, bound_s=6.0)


@pytest.fixture
def client(server: RedisServer) -> Iterator[Any]:
    with server.client() as client:
        client.delete("members:nodes")
        yield client


def stamp(client: Any, after_s: float) -> bytes:
    seconds, microseconds = client.time()
    return f"{seconds * 1_000 + microseconds // 1_000 + int(after_s * 1_000)}".encode()


@pytest.mark.parametrize(("after_s", "is_member"), [(-5, True), (-7, False), (4, True), (7, False)])
async def test_a_stamp_of_another_clock_counts_only_near_now(
    directory: RedisMemberDirectory, client: Any, after_s: float, is_member: bool
) -> None:
    await directory.announce(ADA)
    text = client.hget("members:nodes", "ada").partition(b" ")[2]
    client.hset("members:nodes", "ada", stamp(client, after_s) + b" " + text)
    assert (await directory.members() != ()) == is_member
    assert [member.node_id for member in await directory.announce(ADA)] == ["ada"]


async def test_nodes_of_long_ago_and_unreadable_entries_are_removed(directory: RedisMemberDirectory, client: Any) -> None:
    await directory.announce(ADA)
    client.hset("members:nodes", "old", stamp(client, -61) + b" {}")
    client.hset("members:nodes", "odd", b"damaged")
    assert [member.node_id for member in await directory.members()] == ["ada"]
    assert client.hkeys("members:nodes") == [b"ada"]


async def test_a_store_has_a_bounded_number_of_nodes(directory: RedisMemberDirectory, client: Any) -> None:
    now = stamp(client, 0)
    client.hset("members:nodes", mapping={f"n{number}": now + b" {}" for number in range(1_000)})
    with pytest.raises(SharedStateUnavailable, match="as many nodes"):
        await directory.announce(ADA)
