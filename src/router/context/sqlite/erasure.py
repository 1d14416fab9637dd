"""Erasure of customers in the SQLite backend, and the repair of one that the end of the process interrupted.

The keys go first: they are deleted and committed, then the data. Then the logs of both files are copied into them and emptied: only
now is the key gone from the disk, so that no copy of the data can be opened, and the erasure is acknowledged. A reader in another
process can prevent that; it is tried again, while the customer is gone for everyone. Whatever interrupts this after the commit of
the keys is finished at the next start: a customer without a key is deleted, and both logs are emptied before anything is served.
The key file remembers the rows of deleted keys, so that a restored older data file loses those customers again, and a key file that
is too old is noticed.

The look-up hashes of an erased customer's identities are kept for ``SUPPRESSION_MS``, so that steps that arrive late, or are sent
again, do not bring the customer back.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

from router.context.customers import ContextCorrupt
from router.context.sqlite.data_keys import KeyStore
from router.context.sqlite.database import DATA_FILE, KEY_FILE, ContextDatabase
from router.context.sqlite.journeys import JourneyTable

SUPPRESSION_MS: Final = 30 * 24 * 3_600_000
"""Time for which late steps of an erased customer are dropped."""

_TABLES: Final = (
    *("identity", "candidate", "name_token", "tail", "journey", "contact", "note", "work", "verification"),
    *("reference", "reference_day", "reference_block"),
)

_HAS_DATA: Final = 1
_HAS_KEY: Final = 2


class Erasure:
    """Deletes customers from both files. Confined to the thread of the store; calls are outside a group."""

    def __init__(
        self, files: ContextDatabase, keys: KeyStore, journeys: Callable[[], JourneyTable | None], next_change: Callable[[], int]
    ) -> None:
        """``next_change`` returns the position of a change in the order of all changes of customers."""
        self._files = files
        self._keys = keys
        self._journeys = journeys
        self._next_change = next_change
        self.is_log_pending = False
        """Whether a log could not be emptied, because another process reads the files."""

    @property
    def _data(self) -> sqlite3.Connection:
        return self._files.data

    def erase(self, rows: Sequence[int], *, now_ms: int) -> bool:
        """Erase customers; False: a reader holds the log of a file, so that ``empty_logs`` has to be called again."""
        keys = self._files.keys
        keys.execute("BEGIN IMMEDIATE")
        self._keys.delete(rows)
        keys.executemany("INSERT OR IGNORE INTO deleted_key VALUES (?)", [(row,) for row in rows])
        keys.execute("COMMIT")
        self._data.execute("BEGIN IMMEDIATE")
        self.delete_rows(rows, now_ms=now_ms)
        self._data.execute("COMMIT")
        return self.empty_logs()

    def repair(self, *, now_ms: int) -> None:
        """Remove keys without a customer and customers without a key, which an end of the process can leave, and empty the logs.

        A customer without a key was erased only where the key file says so; others mean that the key file is older than the data.
        Raises ContextCorrupt for those.
        """
        without_key, without_data = self._unpaired()
        deleted = {row for (row,) in self._files.keys.execute("SELECT row FROM deleted_key")} if without_key else set()
        if lost := len(set(without_key) - deleted):
            raise ContextCorrupt(
                f"{lost} customers have no key in {KEY_FILE}, which is older than {DATA_FILE}; restore both files from one backup"
            )
        if without_key or without_data:
            self._files.begin()
            try:
                self._keys.delete(without_data)
                self.delete_rows(without_key, now_ms=now_ms)
                self._files.commit()
            except BaseException:
                self._files.rollback()
                raise
        self._files.begin_recording()
        self.empty_logs()

    def _unpaired(self) -> tuple[list[int], list[int]]:
        """Return the rows of customers without a key, and of keys without a customer, in order. One byte of memory for each row."""
        [(last,)] = self._data.execute("SELECT ifnull(max(row), 0) FROM customer").fetchall()
        [(last_key,)] = self._files.keys.execute("SELECT ifnull(max(row), 0) FROM customer_key").fetchall()
        found = bytearray(max(last, last_key) + 1)
        for (row,) in self._data.execute("SELECT row FROM customer"):
            found[row] = _HAS_DATA
        for (row,) in self._files.keys.execute("SELECT row FROM customer_key"):
            found[row] |= _HAS_KEY
        return _rows_with(found, _HAS_DATA), _rows_with(found, _HAS_KEY)

    def empty_logs(self) -> bool:
        """Copy both logs into their files, after which a deleted key is gone from the disk; return False where that is pending."""
        done = [self._files.truncate_log(connection) for connection in (self._files.keys, self._data)]
        self.is_log_pending = not all(done)
        return not self.is_log_pending

    def suppressed_since(self, workspace: int, hash: bytes, *, now_ms: int) -> int | None:
        """Return when the customer of an identity was erased; None: not in the last 30 days."""
        found = self._data.execute("SELECT until_ms FROM suppressed WHERE workspace = ? AND hash = ?", (workspace, hash)).fetchone()
        return None if found is None or found[0] <= now_ms else int(found[0]) - SUPPRESSION_MS

    def forget_suppressed(self, *, now_ms: int) -> None:
        """Delete the hashes whose time has passed."""
        self._data.execute("DELETE FROM suppressed WHERE until_ms < ?", (now_ms,))

    def delete_rows(self, rows: Sequence[int], *, now_ms: int) -> None:
        """Delete the data of customers."""
        journeys = self._journeys()
        for row in rows:
            stored = self._data.execute("SELECT workspace, customer_id FROM customer WHERE row = ?", (row,)).fetchone()
            if stored is None:
                continue
            workspace, customer_id = stored
            if not self._is_of_contacts_alone(row):
                self._data.execute(
                    "INSERT INTO erased_change VALUES (?, ?, ?, ?)", (self._next_change(), workspace, customer_id, now_ms)
                )
            hashes = [hash for (hash,) in self._data.execute("SELECT hash FROM identity WHERE row = ?", (row,)).fetchall()]
            until = [(workspace, hash, now_ms + SUPPRESSION_MS) for hash in hashes]
            self._data.executemany("INSERT OR REPLACE INTO suppressed VALUES (?, ?, ?)", until)
            self._data.executemany("DELETE FROM candidate WHERE hash = ?", [(hash,) for hash in hashes])
            for table in _TABLES:
                self._data.execute(f"DELETE FROM {table} WHERE row = ?", (row,))
            if journeys is not None:
                journeys.delete(row)
            self._data.execute("UPDATE customer SET merged_into = NULL WHERE merged_into = ?", (row,))
            self._data.execute("DELETE FROM merge WHERE loser = ? OR winner = ?", (row, row))
            self._data.execute("DELETE FROM proposal WHERE one = ? OR other = ?", (row, row))
            self._data.execute("DELETE FROM customer WHERE row = ?", (row,))
            self._data.execute("INSERT OR REPLACE INTO erased VALUES (?, ?)", (customer_id, now_ms))

    def _is_of_contacts_alone(self, row: int) -> bool:
        """Return whether a row is no customer, but holds the key of contacts whose customer is not known."""
        found = self._data.execute(
            "SELECT EXISTS (SELECT 1 FROM reference_block WHERE row = ?1)"
            " OR EXISTS (SELECT 1 FROM reference_day WHERE row = ?1)"
            " OR EXISTS (SELECT 1 FROM contact WHERE row = ?1 AND is_owned = 0)",
            (row,),
        ).fetchone()
        return bool(found[0])


def _rows_with(found: bytearray, flag: int) -> list[int]:
    """Return the positions that have this value."""
    rows, row = [], found.find(flag)
    while row >= 0:
        rows.append(row)
        row = found.find(flag, row + 1)
    return rows
