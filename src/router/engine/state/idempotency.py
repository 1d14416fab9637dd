"""Idempotency keys: the first answer to each command that a client sent with a key.

A key is stored by the event that carries out its command, so it is as durable as the command. It is dropped when it is older
than ``retention.idempotency_s``. The number of keys is bounded by ``retention.idempotency_keys_max``; beyond it each new key
replaces an old one before its time. Otherwise one client that sends new keys without end would fill the memory, or push out
the keys of all others, whose retries would then be carried out twice. So a client that holds more than an equal share of the
keys replaces its own oldest key, and only a client with less than that the oldest key of all.

A snapshot stores the records in the order in which they were stored; everything else here is derived from them.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable
from itertools import islice
from typing import Final

from msgspec import Struct

# Keys that one event drops at most: more than the one that it adds, so the table shrinks to its limits.
DROPPED_PER_EVENT: Final = 2


class IdempotencyRecord(Struct, frozen=True, array_like=True, gc=False):
    """First answer to an idempotency key."""

    fingerprint: bytes
    subject: str
    """Id of the object that the command concerned; of a submit, the contact."""
    seq: int
    """Sequence number in the answer."""
    at_ms: int
    state: str = "queued"
    """State in the answer; that of a submit is always the same."""
    client: str = ""
    """Client to which the key belongs."""


class IdempotencyKeys:
    """The stored keys with their records, oldest first."""

    __slots__ = ("_by_client", "_records")

    def __init__(self, records: Iterable[tuple[bytes, IdempotencyRecord]] = ()) -> None:
        self._records: OrderedDict[bytes, IdempotencyRecord] = OrderedDict()
        self._by_client: dict[str, deque[bytes]] = {}
        for key, record in records:
            self._add(key, record)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, key: bytes) -> IdempotencyRecord:
        return self._records[key]

    def get(self, key: bytes) -> IdempotencyRecord | None:
        """Return the record of a key; None if it is not stored, or no longer."""
        return self._records.get(key)

    def first_use(
        self, key: bytes, fingerprint: bytes, earlier: tuple[tuple[bytes, bytes], ...]
    ) -> tuple[IdempotencyRecord, bool] | None:
        """Return the record of a key and whether its fingerprint is the same; None: the key was not used.

        ``earlier``: key and fingerprint as they were hashed with earlier secrets.
        """
        record = self._records.get(key)
        if record is not None:
            return record, record.fingerprint == fingerprint
        for one, its_fingerprint in earlier:
            record = self._records.get(one)
            if record is not None:
                return record, record.fingerprint == its_fingerprint
        return None

    def keys(self) -> list[bytes]:
        """Return all keys, oldest first."""
        return list(self._records)

    def items(self) -> Iterable[tuple[bytes, IdempotencyRecord]]:
        """Return all keys with their records, oldest first."""
        return self._records.items()

    def count_of(self, client: str) -> int:
        """Return the number of keys of a client."""
        return len(self._by_client.get(client, ()))

    def store(self, key: bytes, record: IdempotencyRecord, *, oldest_ms: int, count_max: int) -> None:
        """Store a new key, and drop at most two keys that are older than ``oldest_ms`` or beyond ``count_max``."""
        assert key not in self._records, "a key is stored once"
        self._add(key, record)
        for _ in range(DROPPED_PER_EVENT):
            dropped = self._next_to_drop(record.client, oldest_ms, count_max)
            if dropped is None:
                return
            self._drop(dropped)

    def may_drop(self, client: str) -> list[bytes]:
        """Return the keys among which ``store`` of a key of this client chooses those to drop; a snapshot saves them first."""
        return [*islice(self._records, DROPPED_PER_EVENT), *islice(self._by_client.get(client, ()), DROPPED_PER_EVENT)]

    def _add(self, key: bytes, record: IdempotencyRecord) -> None:
        self._records[key] = record
        keys = self._by_client.get(record.client)
        if keys is None:
            keys = self._by_client[record.client] = deque()
        keys.append(key)

    def _next_to_drop(self, client: str, oldest_ms: int, count_max: int) -> bytes | None:
        oldest = next(iter(self._records))
        if self._records[oldest].at_ms < oldest_ms:
            return oldest
        count = len(self._records)
        if count <= count_max:
            return None
        own = self._by_client[client]
        return own[0] if len(own) * len(self._by_client) > count else oldest

    def _drop(self, key: bytes) -> None:
        client = self._records.pop(key).client
        keys = self._by_client[client]
        first = keys.popleft()
        assert first == key, "the keys of a client are dropped in the order in which they were stored"
        if not keys:
            del self._by_client[client]
