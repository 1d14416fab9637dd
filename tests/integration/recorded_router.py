"""``router`` with every change to its files recorded: ``recorded_router.py serve …``; see ``tests/support/disk_recorder.py``.

RECORD_ROOT is the directory, RECORD_LOG the log. SABOTAGE names a deliberate defect, with which the tests show that they would
notice it.
"""

import os
import sys
from pathlib import Path
from typing import Any

from tests.support.disk_recorder import Recorder


def sabotage(name: str) -> None:
    """Make the router as wrong as the name says."""
    from router.journal.sqlite import journal_file

    def nothing(*_: Any) -> None:
        return None

    module: Any = journal_file
    file: Any = journal_file.SqliteJournalFile
    if name == "no_sync_at_start":
        file._sync_found = nothing
        module.sync_file = nothing
    elif name == "sync_without_checkpoint":
        # What is enough after a kill, but not after a failed sync.
        file._sync_found = lambda self, _: module.sync_file(self._paths.wal)
    elif name == "checkpoint_without_rewrite":
        # A power failure in the middle of the checkpoint finds no log that repairs the pages.
        module.rewrite_file = nothing
    elif name == "normal_sync":
        from router.journal.sqlite import connection

        changed = tuple(("synchronous", "NORMAL", 1) if pragma[0] == "synchronous" else pragma for pragma in connection.PRAGMAS)
        connection.PRAGMAS = changed  # type: ignore[misc]
    elif name == "unguarded":
        file.check_usable = nothing
    elif name:
        sabotage_context(name)


def sabotage_context(name: str) -> None:
    """Make the customer context as wrong as the name says."""
    from router.context.sqlite import database

    files: Any = database.ContextFiles
    if name == "erase_without_checkpoint":
        files.truncate_log = lambda self, connection: True
    elif name == "erase_without_sync_of_the_log":
        files._sync_log = lambda self, connection: None
    elif name == "no_secure_delete":
        module: Any = database
        module._PRAGMAS = tuple((pragma, "OFF" if pragma == "secure_delete" else value) for pragma, value in module._PRAGMAS)
    elif name == "context_not_stored_again":
        files._store_again = lambda self, paths: None
    elif name == "data_before_keys":
        commit = files.commit

        def commit_data_first(self: Any) -> None:
            self.data.execute("COMMIT")
            self.data.execute("BEGIN")
            commit(self)

        files.commit = commit_data_first
    else:
        raise AssertionError(name)


def kill_in_erasure(recorder: Recorder, entries: int) -> None:
    """Kill the process after this many changes of the disk from the beginning of an erasure."""
    from router.context.sqlite.erasure import Erasure

    erase = Erasure.erase

    def erase_and_die(self: Erasure, rows: Any, *, now_ms: int) -> bool:
        recorder.kill_after(entries)
        return erase(self, rows, now_ms=now_ms)

    Erasure.erase = erase_and_die  # type: ignore[method-assign]


if __name__ == "__main__":
    recorder = Recorder(Path(os.environ["RECORD_ROOT"]), Path(os.environ["RECORD_LOG"]))
    recorder.install()
    sabotage(os.environ.get("SABOTAGE", ""))
    if at := os.environ.get("KILL_IN_ERASURE"):
        kill_in_erasure(recorder, int(at))
    from router.cli import main

    sys.argv[0] = "router"
    main()
