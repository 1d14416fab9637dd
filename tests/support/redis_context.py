"""A context store on a real server, for tests."""

import secrets

from router.context.keys import MasterKeys
from router.context.redis.database import ContextRows
from router.context.redis.store import RedisContextStore
from router.journal.redis.address import parse_address
from router.journal.redis.appender import WaitRule
from router.journal.redis.client import StoreClient
from router.journal.redis.connection import StoreOptions
from router.store_settings import Durability
from tests.support.redis_server import RedisServer

NOW = 1_800_000_000_000


def open_redis_context(
    server: RedisServer, master: MasterKeys, prefix: str, *, steps_kept_ms: dict[str, int] | None = None
) -> RedisContextStore:
    """Open the context of a prefix, as one more node."""
    client = StoreClient(parse_address(server.url), StoreOptions())
    rows = ContextRows(client, prefix, WaitRule.of(Durability.LEADER), expiries_ms={"reference": 90 * 24 * 3_600_000})
    return RedisContextStore(rows, master, node=secrets.token_bytes(8), now_ms=NOW, steps_kept_ms=steps_kept_ms)
