"""Idempotency keys: the first answer to each command that a client sent with a key.

A key is stored by the event that carries out its command, so it is as durable as the command. It is dropped when it is older
than ``retention.idempotency_s``. The number of keys is bounded by ``retention.idempotency_keys_max``; beyond it each new key
replaces an old one before its time. Otherwise one client that sends new keys without end would fill the memory, or push out
the keys of all others, whose retries would then be carried out twice. So a client that holds more than an equal share of the
keys replaces its own oldest key, and only a client with less than that the oldest key of all.

A snapshot stores the records in the order in which they were stored; everything else here is derived from them. Keys have
ascending numbers and are kept in chunks of 512 numbers, so a snapshot that is written in pieces walks the chunks and needs no
copy of all keys.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Final

from msgspec import Struct

# Keys that one event drops at most: more than the one that it adds, so the table shrinks to its limits.
DROPPED_PER_EVENT: Final = 2
_CHUNK_BITS: Final = 9


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


class _KeyChunk:
    """Up to 512 keys with consecutive numbers, oldest first, without those that were dropped."""

    __slots__ = ("_first", "_keys", "_numbers", "count")

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._keys: list[bytes | None] = []
        """None where a key was dropped; such places are removed when they are more than the others."""
        self._first = 0
        """Every place before this one is None."""
        self.count = 0

    def add(self, number: int, key: bytes) -> None:
        """Add the key with the highest number."""
        self._numbers.append(number)
        self._keys.append(key)
        self.count += 1

    def key(self, number: int) -> bytes:
        """Return the key with this number, which must be here."""
        key = self._keys[bisect_left(self._numbers, number)]
        assert key is not None
        return key

    def oldest(self) -> tuple[int, bytes]:
        """Return the oldest key with its number; there must be one."""
        while (key := self._keys[self._first]) is None:
            self._first += 1
        return self._numbers[self._first], key

    def drop(self, number: int) -> bytes:
        """Remove and return the key with this number, which must be here."""
        place = bisect_left(self._numbers, number)
        key = self._keys[place]
        assert key is not None
        self._keys[place] = None
        self.count -= 1
        if 2 * self.count < len(self._keys):
            left = list(self)
            self._numbers, self._keys, self._first = [n for n, _ in left], [one for _, one in left], 0
        return key

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return ((n, key) for n, key in zip(self._numbers, self._keys, strict=True) if key is not None)


class IdempotencyKeys:
    """The stored keys with their records, oldest first."""

    __slots__ = ("_by_client", "_chunks", "_records", "next_number")

    def __init__(self, records: Iterable[tuple[bytes, IdempotencyRecord]] = ()) -> None:
        self._records: dict[bytes, IdempotencyRecord] = {}
        self._chunks: dict[int, _KeyChunk] = {}
        """The chunks by number, oldest first; none is empty."""
        self._by_client: dict[str, deque[int]] = {}
        """The numbers of the keys by client, oldest first."""
        self.next_number = 0
        """The number of the next key that is stored."""
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

    def chunk_numbers(self) -> list[int]:
        """Return the numbers of the chunks, oldest first."""
        return list(self._chunks)

    def chunk(self, chunk_number: int) -> Iterable[tuple[int, bytes]]:
        """Return the numbers and keys of a chunk, oldest first; empty if none of its keys is stored any longer."""
        return self._chunks.get(chunk_number, ())

    def items(self) -> Iterator[tuple[bytes, IdempotencyRecord]]:
        """Return all keys with their records, oldest first."""
        return ((key, self._records[key]) for chunk in self._chunks.values() for _, key in chunk)

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

    def may_drop(self, client: str) -> list[tuple[int, bytes]]:
        """Return numbers and keys of those among which ``store`` of a key of this client chooses what to drop.

        A snapshot in progress saves them first.
        """
        oldest = islice(chain.from_iterable(self._chunks.values()), DROPPED_PER_EVENT)
        own = islice(self._by_client.get(client, ()), DROPPED_PER_EVENT)
        return [*oldest, *((number, self._chunks[chunk_of(number)].key(number)) for number in own)]

    def _add(self, key: bytes, record: IdempotencyRecord) -> None:
        number, self.next_number = self.next_number, self.next_number + 1
        self._records[key] = record
        chunk = self._chunks.get(number >> _CHUNK_BITS)
        if chunk is None:
            chunk = self._chunks[number >> _CHUNK_BITS] = _KeyChunk()
        chunk.add(number, key)
        numbers = self._by_client.get(record.client)
        if numbers is None:
            numbers = self._by_client[record.client] = deque()
        numbers.append(number)

    def _next_to_drop(self, client: str, oldest_ms: int, count_max: int) -> int | None:
        oldest, key = next(iter(self._chunks.values())).oldest()
        if self._records[key].at_ms < oldest_ms:
            return oldest
        count = len(self._records)
        if count <= count_max:
            return None
        own = self._by_client[client]
        return own[0] if len(own) * len(self._by_client) > count else oldest

    def _drop(self, number: int) -> None:
        chunk = self._chunks[number >> _CHUNK_BITS]
        client = self._records.pop(chunk.drop(number)).client
        if not chunk.count:
            del self._chunks[number >> _CHUNK_BITS]
        numbers = self._by_client[client]
        first = numbers.popleft()
        assert first == number, "the keys of a client are dropped in the order in which they were stored"
        if not numbers:
            del self._by_client[client]


def chunk_of(number: int) -> int:
    """Return the number of the chunk to which the key with this number belongs."""
    return number >> _CHUNK_BITS
