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
    else:
        assert not name


if __name__ == "__main__":
    Recorder(Path(os.environ["RECORD_ROOT"]), Path(os.environ["RECORD_LOG"])).install()
    sabotage(os.environ.get("SABOTAGE", ""))
    from router.cli import main

    sys.argv[0] = "router"
    main()
