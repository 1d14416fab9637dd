"""Places of shared state for the contract suites: in memory, and on a real server with a prefix of its own."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from router.cluster.redis.shared_store import SharedStore, open_shared_store
from router.store_settings import Durability, StoreSettings
from tests.support.redis_server import RedisServer


def settings_of(server: RedisServer, *, port: int | None = None, prefix: str | None = None) -> StoreSettings:
    """Return settings for a server, or for a proxy before it."""
    url = f"redis://127.0.0.1:{server.port if port is None else port}"
    return StoreSettings(url=url, prefix=prefix or f"t{secrets.token_hex(4)}", durability=Durability.LEADER, lease_s=5)


@asynccontextmanager
async def shared_store(settings: StoreSettings, *, wait_s_max: float = 2.0) -> AsyncIterator[SharedStore]:
    """Yield access to the store of one node."""
    store = open_shared_store(settings, wait_s_max=wait_s_max)
    store.start()
    try:
        yield store
    finally:
        await store.close()
