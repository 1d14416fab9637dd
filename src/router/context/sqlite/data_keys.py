"""Data keys of customers and look-up keys of workspaces, as they are stored: wrapped with a master key."""

import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
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
        raw = new_data_key()
        wrapped = self.master.wrap(raw, _lookup_place(workspace))
        self._connection.execute("INSERT INTO workspace_key VALUES (?, ?, ?)", (workspace, wrapped, self.master.newest_version))
        return raw

    # --- customers -----------------------------------------------------------------------------

    def create(self, workspace: str, row: int) -> DataKey:
        """Store a new data key for a customer and return it."""
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
        return self._remember(row, DataKey(self.master.unwrap(stored[0], stored[1], scope), scope))

    def _remember(self, row: int, key: DataKey) -> DataKey:
        self._cache[row] = key
        if len(self._cache) > self._cached_max:
            self._cache.popitem(last=False)
        return key

    def delete(self, rows: Sequence[int]) -> None:
        """Delete the data keys of customers; complete only after the key file's log was truncated."""
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
        [(customers,)] = self._connection.execute("SELECT count(*) FROM customer_key WHERE version < ?", (newest,)).fetchall()
        [(workspaces,)] = self._connection.execute("SELECT count(*) FROM workspace_key WHERE version < ?", (newest,)).fetchall()
        return int(customers) + int(workspaces)

    def rewrap(self, workspaces: dict[int, str], owners: dict[int, str], rows: list[tuple[int, bytes, int]]) -> int:
        """Wrap these customer keys, and all workspace keys, with the newest master key; return how many were wrapped.

        ``workspaces``: names by number. ``owners``: workspace name by customer row. ``rows``: row, wrapped key and version.
        """
        newest = self.master.newest_version
        for row, wrapped, version in rows:
            scope = scope_of(owners[row], row)
            again = self.master.wrap(self.master.unwrap(wrapped, version, scope), scope)
            self._connection.execute("UPDATE customer_key SET wrapped = ?, version = ? WHERE row = ?", (again, newest, row))
        old = self._connection.execute("SELECT number, wrapped, version FROM workspace_key WHERE version < ?", (newest,)).fetchall()
        for number, wrapped, version in old:
            place = _lookup_place(number)
            again = self.master.wrap(self.master.unwrap(wrapped, version, place), place)
            self._connection.execute("UPDATE workspace_key SET wrapped = ?, version = ? WHERE number = ?", (again, newest, number))
        return len(rows) + len([number for number, _, _ in old if number in workspaces])

    def old_rows(self, limit: int) -> list[tuple[int, bytes, int]]:
        """Return at most ``limit`` customer keys that are wrapped with an older master key."""
        newest = self.master.newest_version
        return self._connection.execute(
            "SELECT row, wrapped, version FROM customer_key WHERE version < ? LIMIT ?", (newest, limit)
        ).fetchall()


def _lookup_place(workspace: int) -> bytes:
    return b"lookup\x00" + workspace.to_bytes(8, "big")
