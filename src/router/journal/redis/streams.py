"""Reading streams of the store as they grow, on a thread of its own.

On one server one blocking request covers all streams. In a cluster a blocking request could only cover the streams of one slot, so
there the streams are asked in turn, with a pause while nothing comes.
"""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, TypeAlias

from router.journal.redis.address import StoreKind
from router.journal.redis.appender import NotDurable, WaitRule
from router.journal.redis.client import Request, StoreClient
from router.journal.redis.connection import Command, Reply, StoreError, StoreRefusal
from router.journal.sqlite.journal import JournalThread

# A stream that is added is read after at most this long.
BLOCK_MS: Final = 100
_CLUSTER_PAUSE_S: Final = 0.01
_WAIT_MS: Final = 1_000

Entry: TypeAlias = tuple[str, list[bytes]]
"""Id of an entry, and its names and values in turn."""


class StreamReader:
    """Reads streams. One call at a time."""

    def __init__(self, client: StoreClient, kind: StoreKind, *, rule: WaitRule | None = None) -> None:
        """``client`` belongs to the thread of this object. ``rule``: what has to confirm entries before they are returned."""
        self._client = client
        self._kind = kind
        self._rule = rule
        self._thread = JournalThread()

    async def read(
        self, positions: Mapping[str, str], *, limit: int, noted: Mapping[str, tuple[str, str]] | None = None
    ) -> dict[str, list[Entry]]:
        """Return the entries after these positions, by key; waits up to ``BLOCK_MS`` for the first. Raises StoreError.

        ``noted``: a hash and a field for each stream. The id of the newest entry read is written there, so that the confirmation of
        this write is one of everything read.
        """
        return await self._thread.run(partial(self._read, dict(positions), limit, noted))

    async def close(self) -> None:
        """End the thread and close the connections."""
        await self._thread.run(self._client.close)
        self._thread.stop()

    # --- on the thread -----------------------------------------------------------------------

    def _read(self, positions: dict[str, str], limit: int, noted: Mapping[str, tuple[str, str]] | None) -> dict[str, list[Entry]]:
        if not positions:
            time.sleep(BLOCK_MS / 1_000)
            return {}
        if self._kind is StoreKind.CLUSTER:
            found = self._poll(positions, limit)
        else:
            found = self._block(positions, limit)
        if found and self._rule is not None and self._rule.commands and noted is not None:
            self._confirm(found, noted)
        return found

    def _block(self, positions: dict[str, str], limit: int) -> dict[str, list[Entry]]:
        keys = list(positions)
        command: Command = ("XREAD", "COUNT", limit, "BLOCK", BLOCK_MS, "STREAMS", *keys, *positions.values())
        [reply], _ = self._client.run_and_wait([Request(keys[0], command)], (), wait_s=BLOCK_MS / 1_000)
        return _entries_of(reply)

    def _poll(self, positions: dict[str, str], limit: int) -> dict[str, list[Entry]]:
        requests = [Request(key, ("XREAD", "COUNT", limit, "STREAMS", key, after)) for key, after in positions.items()]
        until_s = time.monotonic() + BLOCK_MS / 1_000
        while True:
            found: dict[str, list[Entry]] = {}
            for reply in self._client.run(requests):
                found |= _entries_of(reply)
            if found or time.monotonic() > until_s:
                return found
            time.sleep(_CLUSTER_PAUSE_S)

    def _confirm(self, found: dict[str, list[Entry]], noted: Mapping[str, tuple[str, str]]) -> None:
        """Wait until what was read is as durable as asked for. Raises NotDurable, and StoreError where it has to be read again."""
        assert self._rule is not None
        connects = self._client.connects
        requests = [Request(noted[key][0], ("HSET", *noted[key], entries[-1][0])) for key, entries in found.items()]
        replies, waits = self._client.run_and_wait(requests, self._rule.commands, wait_s=_WAIT_MS / 1_000)
        for reply in replies:
            if isinstance(reply, StoreRefusal):
                raise reply
        if self._client.connects != connects:
            # The server that confirms may not be the one that was read from.
            raise NotDurable("the connection is new")
        for reply in waits:
            self._rule.check(reply)


def _entries_of(reply: Reply) -> dict[str, list[Entry]]:
    if isinstance(reply, StoreRefusal):
        raise reply
    return {key.decode(): [(entry_id.decode(), fields) for entry_id, fields in entries] for key, entries in reply or ()}


def fields_of(fields: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return the fields of an entry."""
    return dict(zip(fields[::2], fields[1::2], strict=True))


__all__ = ["StreamReader", "StoreError", "Entry", "fields_of", "BLOCK_MS"]
