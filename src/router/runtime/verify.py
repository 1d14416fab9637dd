"""Verify a journal's file: what ``router verify`` does, and what a backup should go through before it is trusted.

Works on a copy of the files, so that the original stays as it is to the byte; refuses while a router has it. For every
workspace: each record's checksum, the chain from the first record on, numbers without a gap, times that never fall, epochs
that never fall; then the engine replayed from nothing, its invariants, and its digest against that of snapshot and tail.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from router.core.engine import Engine
from router.journal.files import JournalPaths
from router.journal.port import Journal, WorkspaceHistory
from router.journal.sqlite import SqliteJournal
from router.model.errors import IllegalTransition, JournalError, JournalLocked, JournalUnavailable
from router.model.ids import WorkspaceId

# The first so many broken invariants are named; the rest is counted.
_INVARIANTS_NAMED_MAX = 20


class WorkspaceReport(Struct, kw_only=True):
    """One workspace."""

    workspace: WorkspaceId
    gen: str
    records: int = 0
    events: int = 0
    first_seq: int = 0
    last_seq: int = 0
    epochs: int = 0
    snapshot_seq: int | None = None
    chain_ok: bool = False
    """Every record is there, whole and in its place."""
    digest: str = ""
    """Of the engine after the whole history."""
    snapshot_digest: str = ""
    """Of the engine from the newest snapshot and the records after it; empty where there is no snapshot."""
    problems: list[str] = []


class VerifyReport(Struct, kw_only=True):
    """The whole file."""

    path: str
    workspaces: list[WorkspaceReport] = []
    problems: list[str] = []
    """What concerns the file as a whole: it does not open."""

    @property
    def ok(self) -> bool:
        """True where nothing is wrong anywhere."""
        return not self.problems and not any(report.problems for report in self.workspaces)


async def verify_file(path: Path, *, scratch: Path | None = None) -> VerifyReport:
    """Verify a journal. ``scratch``: the directory for the copy; it needs room for the journal.

    Raises JournalLocked where a router has it, JournalUnavailable where there is no such journal or no room for the copy.
    """
    report = VerifyReport(path=str(path))
    with copied(JournalPaths(path), scratch) as copy:
        journal = SqliteJournal(copy, ballast_bytes=0)
        try:
            for history in await journal.open():
                report.workspaces.append(_verify_workspace(journal, history))
        except JournalError as error:
            report.problems.append(str(error))
        finally:
            await journal.close()
    return report


@contextmanager
def copied(paths: JournalPaths, scratch: Path | None) -> Iterator[Path]:
    """A copy to work on, gone at the end. Raises JournalLocked where a router has the journal, else JournalUnavailable."""
    if not paths.database.is_file():
        raise JournalUnavailable(f"{paths.database}: there is no journal")
    with _shared_lock(paths), tempfile.TemporaryDirectory(dir=scratch) as directory:
        for path in (paths.database, paths.wal, paths.high_water):
            try:
                with suppress(FileNotFoundError):
                    shutil.copyfile(path, Path(directory) / path.name)
            except OSError as error:
                raise JournalUnavailable(f"no copy can be made: {error.strerror}") from error
        yield Path(directory) / paths.database.name


@contextmanager
def _shared_lock(paths: JournalPaths) -> Iterator[None]:
    """Keeps a router from starting meanwhile, and finds one that runs."""
    if not paths.high_water.exists():
        yield
        return
    descriptor = os.open(paths.high_water, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise JournalLocked(f"{paths.database}: a router has this journal") from None
    finally:
        os.close(descriptor)


def _verify_workspace(journal: Journal, history: WorkspaceHistory) -> WorkspaceReport:
    report = WorkspaceReport(
        workspace=history.workspace,
        gen=history.gen,
        snapshot_seq=None if history.snapshot is None else history.snapshot.seq,
    )
    whole = _replay_whole(journal, history, report)
    if whole is None:
        return report
    report.digest = whole.digest()
    broken = whole.check()
    report.problems += broken[:_INVARIANTS_NAMED_MAX]
    if len(broken) > _INVARIANTS_NAMED_MAX:
        report.problems.append(f"and {len(broken) - _INVARIANTS_NAMED_MAX} more broken invariants")
    if history.snapshot is not None:
        _replay_tail(journal, history, report)
    return report


def _replay_whole(
    journal: Journal, history: WorkspaceHistory, report: WorkspaceReport
) -> Engine | None:
    """The engine after every record from the first one on; none where the journal or the core refuses one."""
    engine = Engine()
    epoch = at_ms = 0
    seq = 0
    try:
        for record in journal.replay(history.workspace):
            seq = record.first_seq
            if record.epoch < epoch:
                report.problems.append(f"seq {seq}: the epoch falls")
            if record.at_ms < at_ms:
                report.problems.append(f"seq {seq}: the time falls")
            report.epochs += record.epoch != epoch
            epoch, at_ms = record.epoch, record.at_ms
            report.first_seq = report.first_seq or seq
            report.last_seq = record.last_seq
            report.records += 1
            report.events += len(record.events)
            engine.replay(record.events, record.first_seq, record.at_ms)
    except JournalError as error:
        report.problems.append(str(error))
        return None
    except (IllegalTransition, AssertionError, KeyError) as error:
        # The records are whole, but the core does not take them: an error in the core, then or now.
        report.problems.append(f"seq {seq}: the replay breaks off ({type(error).__name__})")
        return None
    report.chain_ok = True
    return engine


def _replay_tail(journal: Journal, history: WorkspaceHistory, report: WorkspaceReport) -> None:
    assert history.snapshot is not None
    try:
        engine = Engine.restore(history.snapshot.core)
    except (msgspec.MsgspecError, ValueError):
        report.problems.append(
            "the snapshot was made by another version; a start replays everything"
        )
        return
    for record in journal.replay(history.workspace, after_seq=history.snapshot.seq):
        engine.replay(record.events, record.first_seq, record.at_ms)
    report.snapshot_digest = engine.digest()
    if report.snapshot_digest != report.digest:
        report.problems.append("snapshot and tail lead to another state than the whole history")
