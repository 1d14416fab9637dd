"""Data keys of customers and look-up keys of workspaces, as they are stored: wrapped with a master key.

A rotation that finds a key which cannot be opened marks it by a negative version, so that it is counted and does not come again in
the next slice. It is still opened with the master key of that version where that is possible, as after a restored key file.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from router.context.customers import ContextCorrupt
from router.context.keys import DataKey, LookupKey, MasterKeys, SealBroken, new_data_key, scope_of

CACHED_KEYS_MAX: Final = 100_000
"""Data keys held in memory, of the customers used most recently; about 500 bytes each."""


class KeyStore:
    """The wrapped keys in ``context-keys.db`` with a cache of the plain ones. Confined to the thread of its connection."""

    def __init__(self, connection: sqlite3.Connection, master: MasterKeys, *, cached_max: int = CACHED_KEYS_MAX) -> None:
        self._connection = connection
        self._cached_max = cached_max
        self._cache: OrderedDict[int, DataKey] = OrderedDict()
        self._lookup: dict[int, LookupKey] = {}
        self.master = master
        self.before_write: Callable[[], None] = lambda: None
        """Called before each write, so that it is part of the group and of the operation."""

    # --- workspaces ----------------------------------------------------------------------------

    def lookup_key(self, workspace: int) -> LookupKey:
        """Return the look-up key of a workspace, creating it where there is none. Raises ContextCorrupt."""
        found = self._lookup.get(workspace)
        if found is None:
            found = self._lookup[workspace] = LookupKey(self._stored_lookup_key(workspace) or self._create_lookup_key(workspace))
        return found

    def _stored_lookup_key(self, workspace: int) -> bytes | None:
        row = self._connection.execute("SELECT wrapped, version FROM workspace_key WHERE number = ?", (workspace,)).fetchone()
        if row is None:
            return None
        try:
            return self.master.unwrap(row[0], row[1], _lookup_place(workspace))
        except SealBroken as error:
            raise ContextCorrupt(f"the look-up key of a workspace cannot be opened: {error}") from error

    def _create_lookup_key(self, workspace: int) -> bytes:
        self.before_write()
        raw = new_data_key()
        wrapped = self.master.wrap(raw, _lookup_place(workspace))
        self._connection.execute("INSERT INTO workspace_key VALUES (?, ?, ?)", (workspace, wrapped, self.master.newest_version))
        return raw

    # --- customers -----------------------------------------------------------------------------

    def create(self, workspace: str, row: int) -> DataKey:
        """Store a new data key for a customer and return it."""
        self.before_write()
        raw, scope = new_data_key(), scope_of(workspace, row)
        self._connection.execute(
            "INSERT OR REPLACE INTO customer_key VALUES (?, ?, ?)", (row, self.master.wrap(raw, scope), self.master.newest_version)
        )
        return self._remember(row, DataKey(raw, scope))

    def get(self, workspace: str, row: int) -> DataKey | None:
        """Return the data key of a customer; None where it was erased. Raises SealBroken where the master key does not fit."""
        found = self._cache.get(row)
        if found is not None:
            self._cache.move_to_end(row)
            return found
        stored = self._connection.execute("SELECT wrapped, version FROM customer_key WHERE row = ?", (row,)).fetchone()
        if stored is None:
            return None
        scope = scope_of(workspace, row)
        return self._remember(row, DataKey(self.master.unwrap(stored[0], abs(stored[1]), scope), scope))

    def _remember(self, row: int, key: DataKey) -> DataKey:
        self._cache[row] = key
        if len(self._cache) > self._cached_max:
            self._cache.popitem(last=False)
        return key

    def delete(self, rows: Sequence[int]) -> None:
        """Delete the data keys of customers; complete only after the key file's log was truncated."""
        self.before_write()
        for row in rows:
            self._connection.execute("DELETE FROM customer_key WHERE row = ?", (row,))
            self._cache.pop(row, None)

    def forget(self) -> None:
        """Drop all plain keys from memory, for example after a rollback."""
        self._cache.clear()
        self._lookup.clear()

    # --- rotation ------------------------------------------------------------------------------

    def count_old(self) -> int:
        """Return the number of keys that are wrapped with an older master key."""
        newest = self.master.newest_version
        [(customers,)] = self._connection.execute(
            "SELECT count(*) FROM customer_key WHERE version > 0 AND version < ?", (newest,)
        ).fetchall()
        [(workspaces,)] = self._connection.execute("SELECT count(*) FROM workspace_key WHERE version < ?", (newest,)).fetchall()
        return int(customers) + int(workspaces)

    def rewrap(self, workspace: str, row: int, wrapped: bytes, version: int) -> bool:
        """Wrap a customer's key with the newest master key; return False where it cannot be opened, and mark it then."""
        scope, known = scope_of(workspace, row), self._cache.get(row)
        try:
            raw = self.master.unwrap(wrapped, version, scope)
        except SealBroken:
            if known is None:
                self.mark_unreadable(row, version)
                return False
            raw = known.raw  # The stored one was damaged since it was read.
        self.before_write()
        again = self.master.wrap(raw, scope)
        self._connection.execute(
            "UPDATE customer_key SET wrapped = ?, version = ? WHERE row = ?", (again, self.master.newest_version, row)
        )
        return True

    def rewrap_lookup_keys(self) -> None:
        """Wrap all look-up keys with the newest master key. Raises ContextCorrupt where one cannot be opened."""
        self.before_write()
        newest = self.master.newest_version
        old = self._connection.execute("SELECT number, wrapped, version FROM workspace_key WHERE version < ?", (newest,)).fetchall()
        for number, wrapped, version in old:
            place, known = _lookup_place(number), self._lookup.get(number)
            try:
                raw = self.master.unwrap(wrapped, version, place)
            except SealBroken as error:
                if known is None:
                    raise ContextCorrupt(f"the look-up key of a workspace cannot be opened: {error}") from error
                raw = known.raw
            again = self.master.wrap(raw, place)
            self._connection.execute("UPDATE workspace_key SET wrapped = ?, version = ? WHERE number = ?", (again, newest, number))

    def old_rows(self, limit: int) -> list[tuple[int, bytes, int]]:
        """Return at most ``limit`` customer keys that are wrapped with an older master key: row, wrapped key and version."""
        newest = self.master.newest_version
        return self._connection.execute(
            "SELECT row, wrapped, version FROM customer_key WHERE version > 0 AND version < ? LIMIT ?", (newest, limit)
        ).fetchall()

    # --- keys that cannot be opened ------------------------------------------------------------

    def mark_unreadable(self, row: int, version: int) -> None:
        """Mark a key that cannot be opened."""
        self.before_write()
        self._connection.execute("UPDATE customer_key SET version = ? WHERE row = ?", (-version, row))

    def unmark_unreadable(self) -> None:
        """Take the keys that could not be opened for old ones again, so that they are tried again."""
        self.before_write()
        self._connection.execute("UPDATE customer_key SET version = -version WHERE version < 0")

    def unreadable(self, limit: int) -> tuple[int, list[int]]:
        """Return how many keys could not be opened, and the rows of at most ``limit`` of them."""
        [(count,)] = self._connection.execute("SELECT count(*) FROM customer_key WHERE version < 0").fetchall()
        found = self._connection.execute("SELECT row FROM customer_key WHERE version < 0 LIMIT ?", (limit,)).fetchall()
        return int(count), [int(row) for (row,) in found]


def _lookup_place(workspace: int) -> bytes:
    return b"lookup\x00" + workspace.to_bytes(8, "big")
