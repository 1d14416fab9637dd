"""References of contacts in SQLite: the gateway's own ids, which may name a person and are therefore not in the journal.

The reference of a contact is sealed with the key of its customer and goes with that key. References of contacts whose customer is
not known share keys, ``BLOCK_SIZE`` of one day each. A *block* is the key of a customer without a name and without identities, who
is erased when the references of that day are no longer kept. A key for each of them would cost every submit a second file.

One reference of a block is erased alone by retiring the block: the others are sealed again with the key of another block of the
day, and when none is left the key of the retired one is erased, as that of a customer is. So the work is bounded by the size of a
block, and an older copy of the data cannot be opened any more. A retired block is marked before anything is moved: an end of the
process in between is made up for by the next erasure, or by ``maintain``. Files of earlier versions have one key a day
(``reference_day``), which is retired in the same way, in several slices.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

from router.context.customers import ErasedCustomer, NotErasable, UnknownCustomer
from router.context.port import ContactReference
from router.context.sqlite.contacts import AFTER_ALL_MS
from router.context.sqlite.customers import CustomerTable

DAY_MS: Final = 24 * 3_600_000
BLOCK_SIZE: Final = 500
"""References of one key. Sealing so many again takes some 15 ms."""
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
        block: Block | None = None
        rows: list[tuple[object, ...]] = []
        for one in references:
            if one.customer_id is None:
                if block is None or block.used >= BLOCK_SIZE:
                    self._store_use(block)
                    block = self._open_block(table, day, now_ms)
                block.used += 1
                row = block.row
            else:
                try:
                    row = table.row_of(one.customer_id)
                except (UnknownCustomer, ErasedCustomer):
                    continue
            key = table.key_of(row)
            if key is not None:
                sealed = key.seal(_column(one.contact_id), one.reference.encode())
                rows.append((table.number, one.contact_id, row, sealed, None if one.customer_id is None else day))
        self._store_use(block)
        self._insert(rows)

    def _insert(self, rows: Sequence[tuple[object, ...]]) -> None:
        start = 0
        while start < len(rows):
            size = next(size for size in _ROWS_PER_INSERT if size <= len(rows) - start)
            places = ", ".join(["(?, ?, ?, ?, ?)"] * size)
            values = [value for row in rows[start : start + size] for value in row]
            self._connection.execute(f"INSERT OR REPLACE INTO reference VALUES {places}", values)
            start += size

    def _open_block(self, table: CustomerTable, day: int, now_ms: int) -> "Block":
        """Return the block of a day that is being filled, or a new one."""
        found = self._connection.execute(
            "SELECT row, used FROM reference_block WHERE workspace = ? AND open_day = ? LIMIT 1", (table.number, day)
        ).fetchone()
        if found is not None:
            return Block(int(found[0]), int(found[1]))
        row = table.create(now_ms=now_ms)
        self._connection.execute("INSERT INTO reference_block VALUES (?, ?, ?, 0, ?, NULL)", (row, table.number, day, day))
        return Block(row, 0)

    def _store_use(self, block: "Block | None") -> None:
        if block is None:
            return
        if block.used < BLOCK_SIZE:
            self._connection.execute("UPDATE reference_block SET used = ? WHERE row = ?", (block.used, block.row))
        else:
            self._connection.execute("UPDATE reference_block SET used = ?, open_day = NULL WHERE row = ?", (block.used, block.row))

    # --- erasing one -------------------------------------------------------------------------------

    def retire(self, workspace: str, contact_id: str) -> bool:
        """Delete a reference without a customer and retire its block; return whether there was one. Raises NotErasable."""
        number = self._table_of(workspace).number
        found = self._connection.execute(
            "SELECT row, day FROM reference WHERE workspace = ? AND contact_id = ?", (number, contact_id)
        ).fetchone()
        if found is None:
            return False
        row, day = found
        if day is not None:
            raise NotErasable("the contact belongs to a customer, whose key seals its reference: erase the customer")
        self._retire_block(row)
        self._connection.execute("DELETE FROM reference WHERE workspace = ? AND contact_id = ?", (number, contact_id))
        return True

    def _retire_block(self, row: int) -> None:
        if self._connection.execute("SELECT 1 FROM reference_block WHERE row = ?", (row,)).fetchone() is None:
            self._adopt_day(row)
        self._connection.execute("UPDATE reference_block SET retired = 1, open_day = NULL WHERE row = ?", (row,))

    def _adopt_day(self, row: int) -> None:
        """Make a block of the key of a day, as earlier versions have stored it."""
        found = self._connection.execute("SELECT workspace, day FROM reference_day WHERE row = ?", (row,)).fetchone()
        assert found is not None, "a reference without a customer has the row of a block or of a day"
        self._connection.execute("INSERT INTO reference_block VALUES (?, ?, ?, ?, NULL, NULL)", (row, *found, BLOCK_SIZE))
        self._connection.execute("DELETE FROM reference_day WHERE row = ?", (row,))

    def retired(self, workspace: str) -> int | None:
        """Return the row of a retired block whose key is still there."""
        number = self._table_of(workspace).number
        found = self._connection.execute(
            "SELECT row FROM reference_block WHERE workspace = ? AND retired = 1 LIMIT 1", (number,)
        ).fetchone()
        return None if found is None else int(found[0])

    def empty(self, workspace: str, row: int) -> bool:
        """Seal a slice of a retired block again with other keys; return whether no reference is left in it."""
        table = self._table_of(workspace)
        key = table.key_of(row)
        [(day,)] = self._connection.execute("SELECT day FROM reference_block WHERE row = ?", (row,)).fetchall()
        stored = self._connection.execute(
            "SELECT contact_id, sealed FROM reference WHERE row = ? LIMIT ?", (row, BLOCK_SIZE)
        ).fetchall()
        if key is not None:
            others = [ContactReference(name, key.open(_column(name), sealed).decode()) for name, sealed in stored]
            self.keep(workspace, others, now_ms=day * DAY_MS)
        return len(stored) < BLOCK_SIZE

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
        before = now_ms // DAY_MS - self._kept_days
        found: list[int] = []
        for kind in ("reference_block", "reference_day"):
            rows = self._connection.execute(
                f"SELECT row FROM {kind} WHERE workspace = ? AND day < ? LIMIT ?", (table.number, before, limit - len(found))
            )
            found += [int(row) for (row,) in rows.fetchall()]
        return found

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


class Block:
    """The block that an operation fills."""

    __slots__ = ("row", "used")

    def __init__(self, row: int, used: int) -> None:
        self.row, self.used = row, used


def _column(contact_id: str) -> str:
    """Return the place to which a reference is bound, so that it cannot be moved to another contact."""
    return f"{_COLUMN}.{contact_id}"
