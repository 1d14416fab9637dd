"""Connection of the customer context to the server of the store, with the settings of the store."""

from typing import Final

from router.context.redis.database import ContextRows
from router.journal.redis.address import parse_address
from router.journal.redis.appender import WaitRule
from router.journal.redis.client import StoreClient
from router.journal.redis.connection import StoreOptions
from router.journal.redis.preflight import prepare_connection
from router.store_settings import StoreSettings

_DAY_MS: Final = 24 * 3_600_000


def new_rows(settings: StoreSettings, *, kept_ms: int) -> ContextRows:
    """Return the tables in the store; each server is checked before it is used.

    ``kept_ms``: how long references are kept. Raises SettingsInvalid.
    """
    assert settings.url is not None
    address = parse_address(settings.url)
    options = StoreOptions(
        is_tls=address.is_tls,
        database=address.database,
        username=address.username,
        password=address.password,
        password_path=settings.password_path,
        ca_path=settings.ca_path,
        timeout_s=settings.call_timeout_ms / 1_000,
    )
    client = StoreClient(address, options, on_connect=lambda connection: prepare_connection(connection, address, settings))
    # A reference without a customer is readable for as long as the key of its day is kept.
    expiries_ms = {"reference": kept_ms + 2 * _DAY_MS}
    return ContextRows(client, settings.prefix, WaitRule.of(settings.durability), expiries_ms=expiries_ms)
