"""What one operation has read from Redis and is going to write there.

Theory of operation. Every key is put under ``WATCH`` with the first read of it, on a connection that is used for nothing else, and
what was read is kept for the operation. Writes are collected, and reads see them. ``flush`` sends them in one transaction, which
the server refuses where another node has changed one of the keys since: the operation then runs again (``ContextConflict``). Two
operations of different nodes thus never mix, and an operation that fails leaves nothing behind.

Sorted sets are read in slices and not watched: they change with every operation of every node. What they lead to is.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from router.context.customers import ContextConflict, ContextUnavailable
from router.context.redis.layout import TAG, Value, key_part
from router.journal.redis.client import Request, StoreClient
from router.journal.redis.connection import Command, Reply, StoreError, StoreRefusal

SCAN_SLICE: Final = 200
_NUMBERS_MIN: Final = 16
_NUMBERS_MAX: Final = 1_024
_STAMP: Final = "redis.call('ZADD',KEYS[1],redis.call('INCR',KEYS[2]),ARGV[1])"
_READ_WITH: Final = {"c": ("customer.merged", "merge.winner")}
"""Sets that nearly every operation needs with a hash of this kind."""


class RowBuffer:
    """Reads and collected writes of one operation. Confined to one thread."""

    def __init__(self, client: StoreClient, prefix: str) -> None:
        self._client = client
        self.base: Final = f"{prefix}:{TAG}"
        self._numbers: list[int] = []
        self._next_block = _NUMBERS_MIN
        self.requests = 0
        """Requests sent so far; each waits for the server once."""
        self._is_watching = False
        self.forget()

    def forget(self) -> None:
        """Drop what was read and collected."""
        self._hashes: dict[str, dict[bytes, bytes]] = {}
        self._sets: dict[str, set[bytes]] = {}
        self._fields: dict[str, dict[bytes, bytes | None]] = {}
        self._members: dict[str, dict[bytes, bool]] = {}
        self._scores: dict[str, dict[bytes, int | None]] = {}
        self._stamps: dict[tuple[str, bytes], None] = {}
        self._expiries: dict[str, int] = {}
        self._appended: list[Command] = []
        self._numbers = []

    # --- reading -------------------------------------------------------------------------------

    def call(self, *commands: Command) -> list[Reply]:
        """Send commands in one request. Raises ContextUnavailable."""
        self.requests += 1
        try:
            replies = self._client.run([Request(self.base, command) for command in commands])
        except StoreError as error:
            raise ContextUnavailable(f"the store of the customer context does not answer ({error})") from error
        for reply in replies:
            if isinstance(reply, StoreRefusal):
                raise ContextUnavailable(f"the store of the customer context refused a command ({reply})") from reply
        return replies

    def load(self, hashes: Iterable[str] = (), sets: Iterable[str] = ()) -> None:
        """Read hashes and sets, by their names without the base, that were not read yet."""
        wanted = [name for name in dict.fromkeys(hashes) if name not in self._hashes]
        related = [f"{index}:{name[2:]}" for name in wanted for index in _READ_WITH.get(name[0], ()) if name[1] == ":"]
        indexes = [name for name in dict.fromkeys((*sets, *related)) if name not in self._sets]
        if not wanted and not indexes:
            return
        keys = [f"{self.base}:{name}" for name in wanted]
        set_keys = [f"{self.base}:i:{name}" for name in indexes]
        commands: list[Command] = [("WATCH", *keys, *set_keys)]
        if not self._hashes and not self._sets and self._is_watching:
            commands.insert(0, ("UNWATCH",))  # What an operation has read that was given up.
        commands += [("HGETALL", key) for key in keys]
        commands += [("SMEMBERS", key) for key in set_keys]
        replies = self.call(*commands)[-len(keys) - len(set_keys) :]
        self._is_watching = True
        for name, reply in zip(wanted, replies, strict=False):
            self._hashes[name] = _overlaid(dict(zip(reply[::2], reply[1::2], strict=True)), self._fields.get(name))
        for name, reply in zip(indexes, replies[len(wanted) :], strict=True):
            found = set(reply)
            for member, is_added in self._members.get(name, {}).items():
                (found.add if is_added else found.discard)(member)
            self._sets[name] = found

    def assume_empty(self, hashes: Iterable[str]) -> None:
        """Take hashes, and what is read with them, as read: they belong to a number that no one had before."""
        for name in hashes:
            self._hashes.setdefault(name, {})
            for index in _READ_WITH.get(name[0], ()):
                self._sets.setdefault(f"{index}:{name[2:]}", set())

    def hash(self, name: str) -> dict[bytes, bytes]:
        """Return the fields of a hash. The caller does not change them."""
        if (found := self._hashes.get(name)) is not None:
            return found
        self.load((name,))
        return self._hashes[name]

    def members(self, name: str) -> set[bytes]:
        """Return the members of a set. The caller does not change them."""
        if (found := self._sets.get(name)) is not None:
            return found
        self.load(sets=(name,))
        return self._sets[name]

    def scan(self, name: str, low: int | None, high: int | None) -> Iterator[list[tuple[bytes, int]]]:
        """Return members of a sorted set with their scores, in order and in slices; without a bound from the first, to the last."""
        key, pending, skipped = f"{self.base}:z:{name}", self._scores.get(name, {}), 0
        bounds = ("-inf" if low is None else low, "+inf" if high is None else high)
        while True:
            [reply] = self.call(("ZRANGE", key, *bounds, "BYSCORE", "LIMIT", skipped, SCAN_SLICE, "WITHSCORES"))
            found = [(member, int(score)) for member, score in zip(reply[::2], reply[1::2], strict=True)]
            yield [(member, score) for member, score in found if member not in pending]
            if len(found) < SCAN_SLICE:
                break
            skipped += SCAN_SLICE
        added = [(member, score) for member, score in pending.items() if score is not None and _is_within(score, low, high)]
        yield sorted(added, key=lambda one: one[1])

    def next_number(self) -> int:
        """Return a number that no row of any node has; numbers of a later operation are larger."""
        if not self._numbers:
            [last] = self.call(("INCRBY", f"{self.base}:number", self._next_block))
            self._numbers = list(range(last, last - self._next_block, -1))
            self._next_block = min(2 * self._next_block, _NUMBERS_MAX)
        return self._numbers.pop()

    # --- writing -------------------------------------------------------------------------------

    def put(self, name: str, field: bytes, packed: bytes | None) -> None:
        """Set a field of a hash, or delete it."""
        self._fields.setdefault(name, {})[field] = packed
        if (read := self._hashes.get(name)) is not None:
            if packed is None:
                read.pop(field, None)
            else:
                read[field] = packed

    def mark(self, name: str, member: bytes, *, is_added: bool) -> None:
        """Add a member to a set, or remove it."""
        self._members.setdefault(name, {})[member] = is_added
        if (read := self._sets.get(name)) is not None:
            (read.add if is_added else read.discard)(member)

    def score(self, name: str, member: bytes, score: int | None) -> None:
        """Set the score of a member of a sorted set, or remove it."""
        self._scores.setdefault(name, {})[member] = score
        self._stamps.pop((name, member), None)

    def stamp(self, name: str, member: bytes) -> None:
        """Give a member of a sorted set the next position, which the server takes when it commits."""
        self._scores.get(name, {}).pop(member, None)
        self._stamps.pop((name, member), None)
        self._stamps[name, member] = None

    def expire(self, name: str, after_ms: int) -> None:
        """Let the server delete a hash after some time."""
        self._expiries[name] = after_ms

    def add(self, command: Command) -> None:
        """Add a command to the transaction."""
        self._appended.append(command)

    def flush(self) -> bool:
        """Write what was collected, and forget it; return whether anything was written.

        Raises ContextConflict where another node has changed what was read, and ContextUnavailable.
        """
        commands = self._commands()
        was_read = self._is_watching and bool(self._hashes or self._sets)
        self.forget()
        if not commands and not was_read:
            return False
        replies = self.call(("MULTI",), *commands, ("EXEC",))
        self._is_watching = False
        if replies[-1] is None:
            raise ContextConflict("another node has changed the same customer at the same time")
        for reply in replies[-1]:
            if isinstance(reply, Exception):
                raise ContextUnavailable(f"the store of the customer context refused a write ({reply})") from reply
        return bool(commands)

    def discard(self) -> None:
        """Forget what was read and collected; check that it was no mixture. Raises ContextConflict and ContextUnavailable."""
        is_watching = self._is_watching and bool(self._hashes or self._sets)
        self.forget()
        if is_watching:
            self._is_watching = False
            if self.call(("MULTI",), ("EXEC",))[-1] is None:
                raise ContextConflict("another node has changed the same customer at the same time")

    def _commands(self) -> list[Command]:
        base = self.base
        commands: list[Command] = []
        for name, fields in self._fields.items():
            put = [part for field, packed in fields.items() if packed is not None for part in (field, packed)]
            deleted = [field for field, packed in fields.items() if packed is None]
            commands += [("HSET", f"{base}:{name}", *put)] if put else []
            commands += [("HDEL", f"{base}:{name}", *deleted)] if deleted else []
        for name, members in self._members.items():
            for verb, is_added in (("SADD", True), ("SREM", False)):
                chosen = [member for member, added in members.items() if added is is_added]
                commands += [(verb, f"{base}:i:{name}", *chosen)] if chosen else []
        for name, scores in self._scores.items():
            added = [part for member, score in scores.items() if score is not None for part in (score, member)]
            removed = [member for member, score in scores.items() if score is None]
            commands += [("ZADD", f"{base}:z:{name}", *added)] if added else []
            commands += [("ZREM", f"{base}:z:{name}", *removed)] if removed else []
        for name, member in self._stamps:
            commands.append(("EVAL", _STAMP, 2, f"{base}:z:{name}", f"{base}:change", member))
        commands += [("PEXPIRE", f"{base}:{name}", after_ms) for name, after_ms in self._expiries.items()]
        return commands + self._appended


def index_name(table: str, index: str, values: Sequence[Value]) -> str:
    """Return the name of a set or sorted set, without the base."""
    return ":".join((f"{table}.{index}", *(key_part(value) for value in values)))


def _overlaid(read: dict[bytes, bytes], pending: dict[bytes, bytes | None] | None) -> dict[bytes, bytes]:
    for field, packed in (pending or {}).items():
        if packed is None:
            read.pop(field, None)
        else:
            read[field] = packed
    return read


def _is_within(score: int, low: int | None, high: int | None) -> bool:
    return (low is None or score >= low) and (high is None or score <= high)
