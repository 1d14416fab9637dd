"""The second high-water mark: evidence, outside the directory of the journal, of how far the history has gone.

The journal and its own high-water mark are restored together when an operator puts an older copy back, so they agree with each
other and the copy looks intact. Served, it would hand out sequence numbers a second time, and clients would resume in a history in
which their positions mean other events. The second mark is a file of the same form at a place that is not restored with the
journal: on another disk, or a small network volume. A start compares:

* a journal that ends before the second mark is older: refused;
* a journal whose commit of that number has another chain value is another history: refused;
* no journal, but a second mark: all files were removed; refused.

Only ``--accept-history-loss`` goes on from there, under new history ids and with a higher commit number. The mark is written at the
start, once a second while there are commits, and at an orderly stop; never before the commit that it names is durable. So it can be
a second older than the journal, which is enough to recognise a copy, and never newer. A mark that cannot be written while the
router runs is reported and retried: it is evidence, and the history does not depend on it.
"""

import errno
import os
import sqlite3
import threading
from pathlib import Path
from typing import Final

from router.journal.files import check_regular_file
from router.journal.highwater import HighWaterFile, HighWaterMark
from router.journal.records import COMMIT_INDEX_WORKSPACE, CommitIndex, DamagedRecord, decode_envelope
from router.journal.sqlite.connection import SELECT_FROM
from router.journal.sqlite.creation import NO_COMMIT
from router.model.errors import JournalCorrupt, JournalLocked, JournalUnavailable

_INTERVAL_S: Final = 1.0
_HOW_TO: Final = "put the newest copy of the journal back, or start once with --accept-history-loss"


class SecondMark:
    """The file of the second mark, locked while a router uses it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: HighWaterFile | None = None
        self._found = NO_COMMIT
        self._written_s = float("-inf")
        self._writing = threading.Lock()
        self.error: str | None = None
        """Why the last write failed."""

    def open(self) -> None:
        """Open, lock and read the file; create it where it is missing.

        Raises JournalUnavailable where its directory is missing or cannot be written to, JournalLocked where another router uses
        it, and JournalCorrupt where it cannot be read.
        """
        if self._file is not None:
            return
        try:
            if not check_regular_file(self._path):
                HighWaterFile.create(self._path, NO_COMMIT)
            self._file = HighWaterFile.open_locked(self._path)
        except OSError as error:
            raise JournalUnavailable(f"journal.second_mark_path: {self._path}: {error.strerror}") from error
        except JournalLocked:
            raise JournalLocked(f"journal.second_mark_path: {self._path}: another router uses this file") from None
        try:
            self._found = self._file.read()
        except JournalCorrupt:
            raise JournalCorrupt(f"{self._path}: the second mark cannot be read; {_HOW_TO}") from None

    def newest(self, mark: HighWaterMark | None) -> HighWaterMark | None:
        """Return the mark with the higher number; a second mark that cannot be read is ignored."""
        try:
            self.open()
        except JournalCorrupt:
            return mark
        return self._found if mark is None else max(mark, self._found)

    def check_is_first_start(self) -> None:
        """Check that a directory without a journal never had one. Raises JournalCorrupt."""
        if self._found != NO_COMMIT:
            raise JournalCorrupt(
                f"the journal is missing, but the second mark {self._path} names commit {self._found.number} of it; {_HOW_TO}"
            )

    def check(self, connection: sqlite3.Connection, index: CommitIndex) -> None:
        """Compare the journal that was found with the mark. Raises JournalCorrupt where it is older or another one."""
        if self._found == NO_COMMIT:
            return
        if self._found.number > index.number:
            raise JournalCorrupt(
                f"an older copy of the journal was put back: it ends at commit {index.number}, but the second mark {self._path} "
                f"names commit {self._found.number}; {_HOW_TO}"
            )
        row = connection.execute(SELECT_FROM, (COMMIT_INDEX_WORKSPACE, self._found.number, 1)).fetchone()
        # Rows before the journal's own mark are pruned; then the numbers have to be enough.
        if row is None or row[0] != self._found.number:
            return
        try:
            is_same = decode_envelope(row[1]).chain == self._found.chain
        except DamagedRecord:
            is_same = False
        if not is_same:
            raise JournalCorrupt(f"the second mark {self._path} belongs to another history than the journal; {_HOW_TO}")

    def is_due(self, mark: HighWaterMark, *, now_s: float) -> bool:
        """Return whether the mark has changed and the last write is long enough ago; counts as the next write."""
        if self._file is None or self._file.mark == mark or now_s - self._written_s < _INTERVAL_S:
            return False
        self._written_s = now_s
        return True

    def write(self, mark: HighWaterMark) -> None:
        """Write and sync the mark of a durable commit. Raises OSError."""
        with self._writing:
            if self._file is None or mark < self._file.mark:
                # Closed, or overtaken, while this write waited for its thread.
                return
            if os.fstat(self._file.descriptor).st_nlink == 0:
                raise FileNotFoundError(errno.ENOENT, "the file was removed")
            self._file.write_both(mark)

    def try_write(self, mark: HighWaterMark) -> None:
        """Write the mark and store the error, if any, in ``error``."""
        try:
            self.write(mark)
        except OSError as error:
            self.error = f"{self._path}: {error.strerror}"
        else:
            self.error = None

    def close(self) -> None:
        """Close the file, which releases the lock. Idempotent."""
        with self._writing:
            if self._file is not None:
                self._file.close()
                self._file = None
