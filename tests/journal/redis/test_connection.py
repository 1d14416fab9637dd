"""Connections to the server: TLS, replies that are cut at each byte, and error replies."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from router.journal.redis.connection import StoreConnection, StoreOptions, StoreRefusal, StoreUnreachable
from router.journal.redis.journal import RedisJournal
from router.model.errors import JournalUnavailable
from router.store_settings import Durability, StoreSettings
from tests.support.certificates import write_certificate
from tests.support.journal_records import a_record
from tests.support.redis_proxy import RedisProxy
from tests.support.redis_server import RedisServer
from tests.support.redis_storage import RedisJournalStorage


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[RedisProxy]:
    proxy = RedisProxy(server.port)
    yield proxy
    proxy.close()


def a_journal(storage: RedisJournalStorage, directory: Path, url: str, **settings: str) -> RedisJournal:
    values: dict[str, Any] = {"durability": Durability.LEADER, "call_timeout_ms": 1_000, **settings}
    store = StoreSettings(url=url, prefix=storage.prefix, **values)
    return RedisJournal(store, data_directory=directory / "node", archive_directory=directory)


async def test_replies_that_are_cut_at_any_byte_neither_lose_nor_repeat_a_record(
    storage: RedisJournalStorage, proxy: RedisProxy, tmp_path: Path
) -> None:
    journal = a_journal(storage, tmp_path, f"redis://127.0.0.1:{proxy.port}")
    await journal.open()
    await journal.create_workspace("main")
    for number in range(1, 41):
        # The reply of an append has 17 bytes; further bytes hit the replies of the connection made after the cut.
        proxy.cut_replies_after(number - 1)
        await journal.append([("main", a_record(number))])
    assert proxy.cuts >= 20 and journal.read_backs >= 17
    assert [record.first_seq for record in await journal.read("main", after_seq=0, limit=100)] == list(range(1, 41))
    await journal.close()
    ids = [int(entry_id.split(b"-")[1]) for entry_id, _ in storage.client.xrange(storage.keys.log)]
    assert ids == list(range(1, 41))


async def test_tls(storage: RedisJournalStorage, server: RedisServer, tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path)
    proxy = RedisProxy(server.port, certificate=certificate)
    url = f"rediss://127.0.0.1:{proxy.port}"
    journal = a_journal(storage, tmp_path, url, ca_path=str(certificate[0]))
    await journal.open()
    await journal.create_workspace("main")
    await journal.append([("main", a_record(1))])
    await journal.close()
    # A certificate that no known authority has signed is not accepted.
    with pytest.raises(JournalUnavailable, match="certificate verify failed"):
        await a_journal(storage, tmp_path, url).open()
    proxy.close()


def test_an_error_reply_keeps_its_code_and_the_connection(server: RedisServer) -> None:
    connection = StoreConnection(("127.0.0.1", server.port), StoreOptions())
    replies = connection.run([("GET", "none"), ("EVALSHA", "0" * 40, 0), ("NONSENSE",), ("PING",)])
    assert replies[0] is None and replies[3] == b"PONG"
    assert isinstance(replies[1], StoreRefusal) and replies[1].code == "NOSCRIPT" and replies[1].is_temporary
    assert isinstance(replies[2], StoreRefusal) and replies[2].code == "ERR" and not replies[2].is_temporary
    connection.close()


def test_nothing_is_sent_twice_when_a_reply_is_lost(server: RedisServer, proxy: RedisProxy) -> None:
    connection = StoreConnection(("127.0.0.1", proxy.port), StoreOptions())
    proxy.cut_replies_after(0)
    with pytest.raises(StoreUnreachable):
        connection.call("INCR", "counter-of-the-lost-reply")
    with pytest.raises(StoreUnreachable):
        connection.call("PING")
    with server.client() as client:
        assert client.get("counter-of-the-lost-reply") == b"1"
