"""The database of the customer context in Redis: one connection, groups of operations, and what confirms that they are durable.

An operation is written to Redis by itself, in one transaction, so that an operation of another node never sees half of it and a
conflict concerns one operation only. A group is what is confirmed together: ``commit`` waits until the server, or its replica, has
stored it as ``store.durability`` says.

**What is promised about an erased key.** The wrapped key of a customer is in the hash of the customer, and deleting it removes it
from the memory of the server. The append-only file of the server still has the earlier write until the server rewrites that file.
``is_rewritten`` asks for a rewrite, and for a new dump where the server makes dumps, and says when both have begun after the
deletion and are complete; only then is an erasure acknowledged. That a rewrite is wanted is stored with the deletion, so that any
node completes it. The files of replicas, and copies of files, are not covered.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, cast

import apsw

from router.context.customers import ContextUnavailable
from router.context.redis.layout import shapes
from router.context.redis.rows import RowBuffer
from router.context.redis.virtual import RowModule, RowTable
from router.journal.redis.appender import WaitRule
from router.journal.redis.client import Request, StoreClient
from router.journal.redis.connection import Command, StoreError, StoreRefusal
from router.journal.redis.preflight import parse_info

_STATEMENTS_CACHED: Final = 400
_WAIT_S: Final = 2.0
_REWRITE: Final = "rewrite"
_BUSY: Final = ("aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress", "loading")
_OUTCOMES: Final = ("aof_last_bgrewrite_status", "rdb_last_bgsave_status")
_DONE: Final = (
    "if tonumber(ARGV[1])>tonumber(redis.call('HGET',KEYS[1],'done') or '0') then redis.call('HSET',KEYS[1],'done',ARGV[1]) end"
)


class Rows:
    """The result of a statement: rows, and what an insert or an update has done."""

    def __init__(self, found: list[tuple[Any, ...]], lastrowid: int, rowcount: int) -> None:
        self._found = iter(found)
        self.lastrowid: Final = lastrowid
        self.rowcount: Final = rowcount

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return the rows that are left."""
        return list(self._found)

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the next row; None: there is none."""
        return next(self._found, None)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._found


class RowConnection:
    """Runs statements over the tables in Redis; has the methods of ``sqlite3.Connection`` that the tables use."""

    def __init__(self, buffer: RowBuffer, *, expiries_ms: dict[str, int]) -> None:
        """``expiries_ms``: lifetime of the rows of a table in the server."""
        self._connection = apsw.Connection(":memory:", statementcachesize=_STATEMENTS_CACHED)
        on_conflict = self._connection.vtab_on_conflict
        self._tables = {
            shape.plan.name: RowTable(shape, buffer, on_conflict, expiries_ms.get(shape.plan.name)) for shape in shapes()
        }
        # The types of apsw do not know that the methods of a virtual table may have narrower arguments.
        module: Any = RowModule(self._tables)
        self._connection.create_module("rows", module)
        for name in self._tables:
            self._connection.execute(f"CREATE VIRTUAL TABLE {name} USING rows")

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Rows:
        """Run one statement."""
        found = self._connection.execute(sql, tuple(parameters)).fetchall()
        return Rows(found, self._connection.last_insert_rowid(), self._connection.changes())

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement with each of these parameters."""
        for parameters in rows:
            self.execute(sql, parameters)

    @property
    def total_changes(self) -> int:
        """Return the number of rows that were changed so far."""
        return self._connection.total_changes()

    def forget(self) -> None:
        """Forget the rows of an operation that is over."""
        for table in self._tables.values():
            table.forget()

    def close(self) -> None:
        """Close; nothing is written."""
        self._connection.close()


class ContextRows:
    """The database, with the methods of ``ContextFiles`` that the tables use. Confined to one thread."""

    def __init__(self, client: StoreClient, prefix: str, wait: WaitRule, *, expiries_ms: dict[str, int]) -> None:
        self._client = client
        self._wait = wait
        self.buffer = RowBuffer(client, prefix)
        self._rows = RowConnection(self.buffer, expiries_ms=expiries_ms)
        # It has the methods that the tables use.
        self.data: Final = cast(sqlite3.Connection, self._rows)
        self.keys: Final = self.data
        self._has_written = self._is_closed = False
        self._rewrite: tuple[int, str | None] | None = None
        """The rewrite that was begun: for which deletion, and in which run of the server."""

    # --- groups --------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin a group."""
        self.rollback()
        self._has_written = False

    def commit(self) -> None:
        """Write what is left of the group, and wait until it is durable. Raises ContextConflict and ContextUnavailable."""
        self.flush()
        if not self._has_written:
            return
        self._has_written = False
        if not self._wait.commands:
            return
        try:
            request = Request(self.buffer.base, ("PING",))
            _, [reply] = self._client.run_and_wait([request], self._wait.commands, wait_s=_WAIT_S)
            self._wait.check(reply)
        except (StoreError, TimeoutError) as error:
            raise ContextUnavailable(f"the store of the customer context has not confirmed a write ({error})") from error

    def rollback(self) -> None:
        """Forget what was read and not written."""
        self.buffer.forget()
        self._rows.forget()

    def flush(self) -> None:
        """Write what the operation has collected. Raises ContextConflict and ContextUnavailable."""
        self._rows.forget()
        self._has_written = self.buffer.flush() or self._has_written

    def discard(self) -> None:
        """Forget what the operation has collected. Raises ContextConflict where it has read a mixture."""
        self._rows.forget()
        self.buffer.discard()

    def close(self, *, has_failed: bool = False) -> None:
        """Close the connection; what was not written is forgotten. Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            self._rows.close()
            self._client.close()

    # --- erasure -------------------------------------------------------------------------------

    def want_rewrite(self) -> None:
        """Note, with the transaction, that a key is deleted, which the files of the server hold until it rewrites them."""
        self.buffer.add(("HINCRBY", f"{self.buffer.base}:{_REWRITE}", "wanted", 1))

    def wanted_rewrite(self) -> int | None:
        """Return the number of the last deletion whose rewrite is wanted; None: all are done. Raises ContextUnavailable."""
        [reply] = self.buffer.call(("HMGET", f"{self.buffer.base}:{_REWRITE}", "wanted", "done"))
        wanted, done = (int(value or 0) for value in reply)
        return wanted if wanted > done else None

    def is_rewritten(self, deletion: int) -> bool:
        """Return whether the files of the server no longer hold the keys of a deletion; otherwise let it rewrite them.

        Call again until it is True. A rewrite that was in progress before does not count, nor one that a restart of the server has
        ended. Raises ContextUnavailable.
        """
        key = f"{self.buffer.base}:{_REWRITE}"
        numbers, server, persistence = self.buffer.call(
            ("HMGET", key, "wanted", "done"), ("INFO", "server"), ("INFO", "persistence")
        )
        wanted, done = (int(value or 0) for value in numbers)
        found = parse_info(server) | parse_info(persistence)
        if done >= deletion or any(found.get(name) == "1" for name in _BUSY):
            return done >= deletion
        begun, self._rewrite = self._rewrite, None
        is_sound = all(found.get(name, "ok") == "ok" for name in _OUTCOMES)
        if begun is not None and begun[1] == found.get("run_id") and is_sound:
            self.buffer.call(("EVAL", _DONE, 1, key, begun[0]))
            return begun[0] >= deletion
        self._begin_rewrite(wanted, found)
        return False

    def _begin_rewrite(self, wanted: int, found: dict[str, str]) -> None:
        base = self.buffer.base
        # A server that does not say when it makes dumps is taken to make some.
        [saves] = self._client.run([Request(base, ("CONFIG", "GET", "save"))])
        commands: list[Command] = []
        if found.get("aof_enabled") == "1":
            commands.append(("BGREWRITEAOF",))
        if isinstance(saves, StoreRefusal) or saves[1]:
            commands.append(("BGSAVE", "SCHEDULE"))
        replies = self._client.run([Request(base, command) for command in commands]) if commands else []
        if not any(isinstance(reply, StoreRefusal) for reply in replies):
            self._rewrite = (wanted, found.get("run_id"))

    # --- what only files need ------------------------------------------------------------------

    def begin_keys(self) -> None:
        """Do nothing: data and keys are written together."""

    def truncate_log(self, connection: sqlite3.Connection) -> bool:
        """Return True: what the append-only file still holds was wrapped with a master key that is about to be forgotten."""
        return True

    def begin_recording(self) -> None:
        """Do nothing: data and keys are written together."""

    def log_bytes(self) -> int:
        """Return 0: there is no log of the router's own."""
        return 0
