"""Diagnosis of a journal that no router has opened: ``router doctor --journal``.

Works on a copy of the files and also checks every invariant. Waiting times are measured up to the time of the last record.
"""

from pathlib import Path

import msgspec

from router.core.engine import Engine
from router.journal.files import JournalPaths
from router.journal.port import Journal, WorkspaceHistory
from router.journal.sqlite import SqliteJournal
from router.model.diagnosis import Diagnosis
from router.model.ids import WorkspaceId
from router.runtime.verify import copied


async def diagnose_file(path: Path, *, scratch: Path | None = None) -> dict[WorkspaceId, Diagnosis]:
    """Return the diagnosis of each workspace.

    ``scratch`` is the directory for the copy, which needs as much space as the journal. Raises JournalLocked where a router
    has opened the journal, JournalCorrupt where it is damaged, and other subclasses of JournalError.
    """
    with copied(JournalPaths(path), scratch) as copy:
        journal = SqliteJournal(copy, ballast_bytes=0)
        try:
            histories = await journal.open()
            return {
                history.workspace: _engine_of(journal, history).diagnose(thorough=True)
                for history in histories
            }
        finally:
            await journal.close()


def _engine_of(journal: Journal, history: WorkspaceHistory) -> Engine:
    engine, after_seq = Engine(), 0
    if history.snapshot is not None:
        try:
            engine = Engine.restore(history.snapshot.core)
            after_seq = history.snapshot.seq
        except (msgspec.MsgspecError, ValueError):
            # Written by a version with another state format: replay all records instead.
            after_seq = 0
    for record in journal.replay(history.workspace, after_seq=after_seq):
        engine.replay(record.events, record.first_seq, record.at_ms)
    return engine
