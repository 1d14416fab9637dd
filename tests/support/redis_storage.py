"""The storage of a Redis journal for the contract suite: one server, one key prefix for each storage."""

import asyncio
from pathlib import Path
from typing import Any

from router.journal.port import Journal
from router.journal.redis.journal import RedisJournal
from router.journal.redis.layout import WorkspaceKeys
from router.store_settings import Durability, StoreSettings
from tests.support.redis_server import RedisServer


class RedisJournalStorage:
    """Keys with one prefix on a server, with crashes and damage to them."""

    def __init__(self, server: RedisServer, directory: Path, prefix: str, *, client: Any = None, url: str | None = None) -> None:
        self._directory = directory
        self.prefix = prefix
        self.client: Any = client if client is not None else server.client()
        self.settings = StoreSettings(
            url=url if url is not None else server.url, prefix=prefix, durability=Durability.FSYNC, lease_s=5, outage_s_max=10
        )

    @property
    def keys(self) -> WorkspaceKeys:
        return WorkspaceKeys.of(self.prefix, "main")

    def journal(self) -> RedisJournal:
        return RedisJournal(self.settings, data_directory=self._directory / "node", archive_directory=self._directory / "archive")

    async def crash(self, journal: Journal) -> None:
        assert isinstance(journal, RedisJournal)
        await abandon(journal)

    def flip_record(self, first_seq: int) -> None:
        entries = self._entries()
        place = _place_of(entries, first_seq)
        data = bytearray(entries[place][1])
        data[len(data) // 2] ^= 1
        entries[place] = (entries[place][0], bytes(data))
        self._replace(entries)

    def remove_record(self, first_seq: int) -> None:
        entries = self._entries()
        del entries[_place_of(entries, first_seq)]
        self._replace(entries)

    def swap_records(self, first_seq: int, other_seq: int) -> None:
        entries = self._entries()
        one, other = _place_of(entries, first_seq), _place_of(entries, other_seq)
        entries[one], entries[other] = (entries[one][0], entries[other][1]), (entries[other][0], entries[one][1])
        self._replace(entries)

    def flip_newest_snapshot(self) -> None:
        seqs = [int(value or 0) for value in self.client.hmget(self.keys.meta, "snap", "snap_prev")]
        for seq in seqs:
            name = self.keys.snapshot_part(seq, 0)
            data = self.client.get(name)
            if data is not None and not data.startswith(b"!"):
                self.client.set(name, b"!" + data[1:])
                return

    def set_format(self, version: int) -> None:
        self.client.hset(f"{self.prefix}:store", "fmt", version)
        self.client.hset(self.keys.meta, "fmt", version)

    def fingerprint(self) -> bytes:
        names = sorted(self.client.keys(f"{self.prefix}:*"))
        return b"".join(name + self.client.dump(name) for name in names)

    def _entries(self) -> list[tuple[bytes, bytes]]:
        return [(entry_id, fields[b"p"]) for entry_id, fields in self.client.xrange(self.keys.log)]

    def _replace(self, entries: list[tuple[bytes, bytes]]) -> None:
        self.client.delete(self.keys.log)
        for entry_id, data in entries:
            self.client.xadd(self.keys.log, {"p": data}, id=entry_id)


async def abandon(journal: RedisJournal) -> None:
    """Simulate the death of the process: nothing is given back, only the lock of the data directory is gone."""
    journal._stopping.set()
    await asyncio.to_thread(journal._leases.stop)
    await journal._close_threads()
    journal._mark.close()


def _place_of(entries: list[tuple[bytes, bytes]], first_seq: int) -> int:
    return next(place for place, (_, data) in enumerate(entries) if int.from_bytes(data[10:18]) == first_seq)
