"""References of contacts in SQLite: the gateway's own ids, which may name a person and are therefore not in the journal.

The reference of a contact is sealed with the key of its customer and goes with that key. References of contacts whose customer is
not known share one key per workspace and day: the key of a customer without a name and without identities, who is erased when the
references of that day are no longer kept. A key for each of them would cost every submit a second file.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

from router.context.customers import ErasedCustomer, UnknownCustomer
from router.context.port import ContactReference
from router.context.sqlite.contacts import AFTER_ALL_MS
from router.context.sqlite.customers import CustomerTable

DAY_MS: Final = 24 * 3_600_000
_COLUMN: Final = "reference.value"
_VALUES_PER_QUERY: Final = 500
_ROWS_PER_INSERT: Final = (64, 16, 4, 1)
"""Rows of one statement. Each statement gives up the lock of the interpreter and waits for it again, beside a busy event loop."""


class SqliteReferences:
    """Operations on references over all workspaces. Confined to the thread of its connection."""

    def __init__(self, connection: sqlite3.Connection, table_of: Callable[[str], CustomerTable], *, kept_ms: int) -> None:
        self._connection = connection
        self._table_of = table_of
        self._kept_days = max(1, kept_ms // DAY_MS)

    def keep(self, workspace: str, references: Sequence[ContactReference], *, now_ms: int) -> None:
        """Store references; that of a customer who was erased meanwhile is dropped."""
        table, day = self._table_of(workspace), now_ms // DAY_MS
        shared_row: int | None = None
        rows: list[tuple[object, ...]] = []
        for one in references:
            if one.customer_id is None:
                row = shared_row = shared_row or self._row_of_day(table, day, now_ms)
            else:
                try:
                    row = table.row_of(one.customer_id)
                except (UnknownCustomer, ErasedCustomer):
                    continue
            key = table.key_of(row)
            if key is not None:
                sealed = key.seal(_column(one.contact_id), one.reference.encode())
                rows.append((table.number, one.contact_id, row, sealed, None if one.customer_id is None else day))
        self._insert(rows)

    def _insert(self, rows: Sequence[tuple[object, ...]]) -> None:
        start = 0
        while start < len(rows):
            size = next(size for size in _ROWS_PER_INSERT if size <= len(rows) - start)
            places = ", ".join(["(?, ?, ?, ?, ?)"] * size)
            values = [value for row in rows[start : start + size] for value in row]
            self._connection.execute(f"INSERT OR REPLACE INTO reference VALUES {places}", values)
            start += size

    def _row_of_day(self, table: CustomerTable, day: int, now_ms: int) -> int:
        found = self._connection.execute(
            "SELECT row FROM reference_day WHERE workspace = ? AND day = ?", (table.number, day)
        ).fetchone()
        if found is not None:
            return int(found[0])
        row = table.create(now_ms=now_ms)
        self._connection.execute("INSERT INTO reference_day VALUES (?, ?, ?)", (table.number, day, row))
        return row

    def read(self, workspace: str, contact_ids: Sequence[str]) -> dict[str, ContactReference]:
        """Return the references of those of these contacts that have one, by contact."""
        table = self._table_of(workspace)
        found: dict[str, ContactReference] = {}
        for start in range(0, len(contact_ids), _VALUES_PER_QUERY):
            part = contact_ids[start : start + _VALUES_PER_QUERY]
            places = ",".join("?" * len(part))
            for contact_id, row, sealed, day in self._connection.execute(
                f"SELECT contact_id, row, sealed, day FROM reference WHERE workspace = ? AND contact_id IN ({places})",
                (table.number, *part),
            ).fetchall():
                key = table.key_of(row)
                if key is not None:
                    customer_id = None if day is None else table.id_of(row)
                    found[contact_id] = ContactReference(contact_id, key.open(_column(contact_id), sealed).decode(), customer_id)
        return found

    def discard(self, workspace: str, contact_ids: Sequence[str]) -> None:
        """Delete the references of contacts that were not accepted."""
        number = self._table_of(workspace).number
        self._connection.executemany(
            "DELETE FROM reference WHERE workspace = ? AND contact_id = ?", [(number, contact_id) for contact_id in contact_ids]
        )

    def of_customer(self, table: CustomerTable, members: Sequence[int]) -> list[ContactReference]:
        """Return the references of a customer's contacts, given by the rows of all members, oldest contact first."""
        found: list[ContactReference] = []
        for row in members:
            key, customer_id = table.key_of(row), table.id_of(row)
            stored = self._connection.execute("SELECT contact_id, sealed FROM reference WHERE row = ?", (row,)).fetchall()
            if key is not None:
                found += [
                    ContactReference(contact_id, key.open(_column(contact_id), sealed).decode(), customer_id)
                    for contact_id, sealed in stored
                ]
        return sorted(found, key=lambda one: one.contact_id)

    def rows_of_old_days(self, table: CustomerTable, *, now_ms: int, limit: int) -> list[int]:
        """Return the rows whose keys seal references of contacts without a customer that are no longer kept."""
        found = self._connection.execute(
            "SELECT row FROM reference_day WHERE workspace = ? AND day < ? LIMIT ?",
            (table.number, now_ms // DAY_MS - self._kept_days, limit),
        ).fetchall()
        return [int(row) for (row,) in found]

    def ids_without_customer(self, workspace: str, *, limit: int) -> list[str]:
        """Return ids of which each is erased as a customer is, but stands for the references of a day without a customer."""
        table = self._table_of(workspace)
        return [table.id_of(row) for row in self.rows_of_old_days(table, now_ms=AFTER_ALL_MS, limit=limit)]

    def expire(self, *, now_ms: int, limit: int) -> None:
        """Delete references of known customers that are no longer kept, at most ``limit``."""
        self._connection.execute(
            "DELETE FROM reference WHERE (workspace, contact_id) IN"
            " (SELECT workspace, contact_id FROM reference WHERE day < ? LIMIT ?)",
            (now_ms // DAY_MS - self._kept_days, limit),
        )


def _column(contact_id: str) -> str:
    """Return the place to which a reference is bound, so that it cannot be moved to another contact."""
    return f"{_COLUMN}.{contact_id}"
