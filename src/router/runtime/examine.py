"""The diagnosis of a journal that no router has open: ``router doctor --journal``.

Works on a copy, as ``verify.py`` does, and looks at every invariant, too. Waits are counted to the last record's time.
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
    """Each workspace's diagnosis. ``scratch``: the directory for the copy; it needs room for the journal.

    Raises JournalError and its kinds: JournalLocked where a router has it, JournalCorrupt where it is not whole.
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
            # Made by a version whose state looked otherwise: the records say the same.
            after_seq = 0
    for record in journal.replay(history.workspace, after_seq=after_seq):
        engine.replay(record.events, record.first_seq, record.at_ms)
    return engine
