"""Evaluation of a shadow policy on the whole history of a journal: ``router shadow --journal``. Works on a copy of the files."""

from pathlib import Path

from router.core.shadow import Shadow
from router.journal.files import JournalPaths
from router.journal.port import Journal
from router.journal.sqlite import SqliteJournal
from router.model.ids import WorkspaceId
from router.model.policy import Policy
from router.model.shadow import ShadowReport
from router.runtime.verify import copied


async def shadow_file(
    path: Path, policy: Policy, *, scratch: Path | None = None
) -> dict[WorkspaceId, ShadowReport]:
    """Return the report of each workspace, from its first event on.

    ``scratch`` is the directory for the copy, which needs as much space as the journal. Raises JournalLocked where a router
    has opened the journal, JournalCorrupt where it is damaged, and other subclasses of JournalError.
    """
    with copied(JournalPaths(path), scratch) as copy:
        journal = SqliteJournal(copy, ballast_bytes=0)
        try:
            histories = await journal.open()
            return {one.workspace: _report(journal, one.workspace, policy) for one in histories}
        finally:
            await journal.close()


def _report(journal: Journal, workspace: WorkspaceId, policy: Policy) -> ShadowReport:
    shadow = Shadow(policy)
    for record in journal.replay(workspace):
        shadow.follow(record.events, record.first_seq, record.at_ms, cause=record.cause)
    return shadow.report()
