"""Reading one workspace of a journal in files, whether a router has opened it or not.

The files are never read in place: a stopped router's are copied, and a running router makes a backup of its journal through its
control socket, which is consistent and does not stop it. The copy is opened as a start would, so that damage is detected, read from
its first record on, and deleted.

Where the first events are in an archive, the reading begins with the oldest snapshot: the state of the engine and of the statistics
at that moment, and the records after it.
"""

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from router.engine.engine import Engine
from router.journal.files import JournalPaths
from router.journal.port import Snapshot, WorkspaceHistory
from router.journal.records import Record
from router.journal.sqlite.connection import ARCHIVE_APPLICATION_ID, application_id
from router.journal.sqlite.journal import SqliteJournal
from router.model.errors import JournalLocked, JournalUnavailable
from router.model.states import WorkspaceId
from router.runtime.control import send_command
from router.runtime.offline import copy_journal

T = TypeVar("T")


class WorkspaceReading(Struct, frozen=True, kw_only=True):
    """The records of one workspace, and the state before the first of them."""

    workspace: WorkspaceId
    records: Iterator[Record]
    """Records in order; can be read once, and only until the reader returns."""
    engine: Engine | None
    """Engine before the first record; None: the records begin with the first event."""
    stats_state: bytes
    """Snapshot of the statistics before the first record; empty: the records begin with the first event."""


def read_workspace(
    path: Path, workspace: WorkspaceId | None, read: Callable[[WorkspaceReading], T], *, scratch: Path | None = None
) -> T:
    """Return what ``read`` makes of a workspace of the journal at ``path``; blocks, and not for use in an event loop.

    ``workspace`` None: the only one. ``scratch`` is the directory for the copy, which needs as much space as the journal. Raises
    JournalUnavailable (no such file or workspace, or the first events are archived and no snapshot can be read), JournalLocked
    (another process uses it and gives no copy), JournalCorrupt, and other subclasses of JournalError.
    """
    with _copy(path, scratch) as copy:
        return asyncio.run(_read_copy(path, copy, workspace, read))


@contextmanager
def _copy(path: Path, scratch: Path | None) -> Iterator[Path]:
    """Provide a copy of the journal of a stopped or a running router."""
    paths = JournalPaths(path.absolute())
    stopped = copy_journal(paths, scratch)
    try:
        copy = stopped.__enter__()
    except JournalLocked:
        with tempfile.TemporaryDirectory(dir=scratch) as directory:
            yield _backup_of_running(paths, Path(directory).absolute() / "copy")
        return
    try:
        yield copy
    finally:
        stopped.__exit__(None, None, None)


def _backup_of_running(paths: JournalPaths, directory: Path) -> Path:
    answer = send_command(paths.control, "backup", to=str(directory))
    if answer is None:
        raise JournalLocked(
            f"{paths.database}: another process has opened this journal and gives no copy of it; "
            "wait until it has ended, or read a backup (`router backup`)"
        )
    return Path(answer["report"]["path"])


async def _read_copy(path: Path, copy: Path, workspace: WorkspaceId | None, read: Callable[[WorkspaceReading], T]) -> T:
    journal = SqliteJournal(copy, reserved_bytes=0)
    try:
        histories = await journal.open(is_archive=application_id(copy) == ARCHIVE_APPLICATION_ID)
        history = _chosen(path, histories, workspace)
        snapshot = None if history.first_seq == 1 else await _oldest_snapshot(path, journal, history)
        after_seq = 0 if snapshot is None else snapshot.seq
        return read(
            WorkspaceReading(
                workspace=history.workspace,
                records=journal.replay(history.workspace, after_seq=after_seq),
                engine=None if snapshot is None else _restored(path, snapshot),
                stats_state=b"" if snapshot is None else snapshot.stats_state,
            )
        )
    finally:
        await journal.close()


def _chosen(path: Path, histories: Sequence[WorkspaceHistory], name: str | None) -> WorkspaceHistory:
    by_name = {history.workspace: history for history in histories}
    if name is None and len(by_name) == 1:
        return next(iter(by_name.values()))
    if name is not None and name in by_name:
        return by_name[name]
    known = ", ".join(sorted(by_name)) or "none"
    problem = "has several workspaces: name one" if name is None and by_name else "has no such workspace"
    raise JournalUnavailable(f"{path}: {problem} (workspaces: {known})")


async def _oldest_snapshot(path: Path, journal: SqliteJournal, history: WorkspaceHistory) -> Snapshot:
    snapshots = await journal.load_snapshots(history.workspace)
    if not snapshots:
        raise _archived(path)
    return snapshots[-1]


def _restored(path: Path, snapshot: Snapshot) -> Engine:
    try:
        return Engine.restore(snapshot.engine_state)
    except (msgspec.MsgspecError, ValueError):
        raise _archived(path) from None


def _archived(path: Path) -> JournalUnavailable:
    return JournalUnavailable(
        f"{path}: its first events are in an archive, and it has no snapshot that this version can read; "
        "put the archive back (`router journal unarchive`) or read the journal that it belongs to"
    )
