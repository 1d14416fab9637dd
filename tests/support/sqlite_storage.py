"""The files of a SQLite journal in a directory, with crashes and damage to them."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from router.journal.port import Journal
from router.journal.sqlite.journal import SqliteJournal


class SqliteJournalStorage:
    """Journal files in a directory; each ``crash`` continues in a copy of the files, and the old journal keeps its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lives = 0
        self._abandoned: list[SqliteJournal] = []

    @property
    def path(self) -> Path:
        """Return the path of the current database."""
        return self._directory / f"life-{self._lives}" / "journal.db"

    @property
    def wal(self) -> Path:
        return self.path.with_name("journal.db-wal")

    @property
    def high_water(self) -> Path:
        return self.path.with_name("journal.db.hwm")

    def journal(self) -> SqliteJournal:
        return SqliteJournal(self.path, reserved_bytes=0)

    async def crash(self, journal: Journal) -> None:
        await asyncio.to_thread(self.copy_life)
        await journal.close()

    def copy_life(self) -> None:
        """Continue in a copy of the files as they are on disk now."""
        old = self.path.parent
        self._lives += 1
        shutil.copytree(old, self.path.parent)

    def flip_record(self, first_seq: int) -> None:
        def flip(connection: sqlite3.Connection) -> None:
            (data,) = connection.execute(
                "SELECT envelope FROM record WHERE workspace = 1 AND first_seq = ?", (first_seq,)
            ).fetchone()
            changed = bytearray(data)
            changed[len(changed) // 2] ^= 1
            connection.execute("UPDATE record SET envelope = ? WHERE workspace = 1 AND first_seq = ?", (bytes(changed), first_seq))

        self.change(flip)

    def remove_record(self, first_seq: int) -> None:
        self.change(lambda connection: connection.execute("DELETE FROM record WHERE workspace = 1 AND first_seq = ?", (first_seq,)))

    def swap_records(self, first_seq: int, other_seq: int) -> None:
        def swap(connection: sqlite3.Connection) -> None:
            for old, new in ((first_seq, -1), (other_seq, first_seq), (-1, other_seq)):
                connection.execute("UPDATE record SET first_seq = ? WHERE workspace = 1 AND first_seq = ?", (new, old))

        self.change(swap)

    def flip_newest_snapshot(self) -> None:
        self.change(
            lambda connection: connection.execute(
                "UPDATE snapshot_part SET data = CAST('!' || substr(data, 2) AS BLOB) WHERE seq = (SELECT max(seq) FROM snapshot)"
            )
        )

    def set_format(self, version: int) -> None:
        self.change(lambda connection: connection.execute(f"PRAGMA user_version = {version}"))

    def fingerprint(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted(self.path.parent.iterdir()) if path.is_file())

    def change(self, change: Callable[[sqlite3.Connection], object]) -> None:
        """Apply a change through SQLite, as an operator with the command line might."""
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        change(connection)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.close()
