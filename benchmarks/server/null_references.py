"""The null server's file of references: as many durable writes as the router makes for them, without sealing and retention.

The router keeps the references of contacts out of its journal: they are sealed and stored in the customer context, in groups, while
the journal commits the record, and a submit is answered when both are durable. The null server makes the same two commits, but
stores the plain value: sealing is work of the router, as routing is.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

FILE_NAME: Final = "references.db"


class ReferenceFile:
    """A table of references by contact, written in groups by a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="references")
        self._waiting: list[tuple[str, str, Callable[[], None]]] = []
        self._added = asyncio.Event()

    def keep(self, contact_id: str, reference: str, stored: Callable[[], None]) -> None:
        """Store a reference with the next group; ``stored`` is called once it is durable."""
        self._waiting.append((contact_id, reference, stored))
        self._added.set()

    async def run(self) -> None:
        """Open the file and write what waits in one commit at a time; what comes meanwhile is the next one."""
        loop = asyncio.get_running_loop()
        connection = await loop.run_in_executor(self._thread, self._open)
        while True:
            await self._added.wait()
            self._added.clear()
            group, self._waiting = self._waiting, []
            rows = [(contact_id, reference.encode()) for contact_id, reference, _ in group]
            await loop.run_in_executor(self._thread, _write, connection, rows)
            for _, _, stored in group:
                stored()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        for name, value in (("journal_mode", "WAL"), ("synchronous", "FULL")):
            connection.execute(f"PRAGMA {name} = {value}").fetchall()
        connection.execute(
            "CREATE TABLE reference (contact_id TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID"
        )
        return connection


def _write(connection: sqlite3.Connection, rows: list[tuple[str, bytes]]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT OR REPLACE INTO reference VALUES (?, ?)", rows)
    connection.execute("COMMIT")


def when_called_twice(action: Callable[[], None]) -> Callable[[], None]:
    """Return a function that calls the action at its second call."""
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            action()

    return call
