"""Offline work on a journal that no router has opened: verification, diagnosis, and evaluation of a shadow policy.

Everything works on a temporary copy of the files, so the original stays unchanged to the byte, and refuses to run while a router
has opened the journal.

``router verify`` checks, for every workspace, the checksum of each record, the hash chain from the first record on, that sequence
numbers have no gap, and that times and epochs never decrease. It then replays the whole history into a new engine, checks the
invariants, and compares the digest with that of the newest snapshot plus the records after it. The cost is one replay of the whole
history. Verification is also recommended for every backup.

``router doctor --journal`` diagnoses the state after the last record and checks every invariant; waiting times are measured up to
the time of that record. ``router shadow --journal`` evaluates a shadow policy on the whole history, from the first event on.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

from router.engine.engine import Engine
from router.engine.shadow import Shadow
from router.journal.files import JournalPaths
from router.journal.port import Journal, Snapshot, WorkspaceHistory
from router.journal.records import Record
from router.journal.sqlite.connection import ARCHIVE_APPLICATION_ID, application_id, require_journal
from router.journal.sqlite.journal import SqliteJournal
from router.model.diagnosis import Diagnosis, with_journal_references
from router.model.errors import IllegalTransition, JournalError, JournalLocked, JournalUnavailable
from router.model.policy import Policy
from router.model.shadow import ShadowReport
from router.model.states import WorkspaceId
from router.runtime.journal_audit import contacts_in_clear

# Broken invariants listed in a report; further ones are only counted.
_INVARIANTS_NAMED_MAX = 20


class WorkspaceVerification(Struct, kw_only=True):
    """The verification result of one workspace."""

    workspace: WorkspaceId
    history_id: str
    records: int = 0
    events: int = 0
    first_seq: int = 0
    last_seq: int = 0
    epochs: int = 0
    snapshot_seq: int | None = None
    archived_events: int = 0
    """Events before the first record, which are in an archive."""
    chain_ok: bool = False
    """Whether every record is present, intact and in order."""
    digest: str = ""
    """Digest of the engine after the whole history."""
    snapshot_digest: str = ""
    """Digest of the engine from the newest snapshot and the records after it; empty where there is no snapshot."""
    problems: list[str] = []


class JournalVerification(Struct, kw_only=True):
    """The verification result of a journal."""

    path: str
    workspaces: list[WorkspaceVerification] = []
    problems: list[str] = []
    """Problems of the journal as a whole: it does not open."""

    @property
    def ok(self) -> bool:
        """Return whether no problem was found."""
        return not self.problems and not any(report.problems for report in self.workspaces)


async def verify_journal_file(path: Path, *, scratch: Path | None = None) -> JournalVerification:
    """Verify a journal and return the problems found.

    ``scratch`` is the directory for the copy, which needs as much space as the journal. Raises JournalLocked where a router
    has opened the journal, JournalUnavailable where it does not exist or the copy does not fit.
    """
    report = JournalVerification(path=str(path))
    with copy_journal(JournalPaths(path), scratch) as copy:
        journal = SqliteJournal(copy, reserved_bytes=0)
        try:
            is_archive = application_id(copy) == ARCHIVE_APPLICATION_ID
            for history in await journal.open(is_archive=is_archive):
                report.workspaces.append(await verify_workspace(journal, history))
        except JournalError as error:
            report.problems.append(str(error).replace(f"{copy}: ", ""))
        finally:
            await journal.close()
    return report


@contextmanager
def copy_journal(paths: JournalPaths, scratch: Path | None) -> Iterator[Path]:
    """Provide a temporary copy of a journal.

    Raises JournalLocked where a router has opened the journal, JournalUnavailable where it cannot be copied, NotAJournal.
    """
    if not paths.database.is_file():
        raise JournalUnavailable(f"{paths.database}: the journal does not exist")
    require_journal(paths)
    with _shared_lock(paths), tempfile.TemporaryDirectory(dir=scratch) as directory:
        for path in (paths.database, paths.wal, paths.high_water):
            try:
                with suppress(FileNotFoundError):
                    shutil.copyfile(path, Path(directory) / path.name)
            except OSError as error:
                raise JournalUnavailable(f"the journal cannot be copied: {error.strerror}") from error
        yield Path(directory) / paths.database.name


@contextmanager
def _shared_lock(paths: JournalPaths) -> Iterator[None]:
    """Hold a shared lock that keeps a router from starting. Raises JournalLocked where one is running."""
    if not paths.high_water.exists():
        yield
        return
    descriptor = os.open(paths.high_water, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise JournalLocked(f"{paths.database}: a running router has opened this journal; stop it first") from None
    finally:
        os.close(descriptor)


class ReplayedHistory(Protocol):
    """What a verification reads: the records and the snapshots of a journal that nothing is appended to."""

    def replay(self, workspace: WorkspaceId, *, after_seq: int = 0) -> Iterator[Record]:
        """Iterate over the records after ``after_seq`` in order."""
        ...

    async def load_snapshots(self, workspace: WorkspaceId) -> list[Snapshot]:
        """Return the intact snapshots, newest first."""
        ...


async def verify_workspace(journal: ReplayedHistory, history: WorkspaceHistory) -> WorkspaceVerification:
    """Replay the whole history of a workspace and return the problems found."""
    report = WorkspaceVerification(
        workspace=history.workspace,
        history_id=history.history_id,
        snapshot_seq=None if history.snapshot is None else history.snapshot.seq,
    )
    report.archived_events = history.first_seq - 1
    start = None
    if history.first_seq > 1:
        # The events before are in an archive, so the replay begins with the oldest snapshot.
        snapshots = await journal.load_snapshots(history.workspace)
        start = snapshots[-1] if snapshots else None
    engine = _replay_all(journal, history, report, start)
    if engine is None or (history.first_seq > 1 and start is None):
        return report
    report.digest = engine.digest()
    broken = engine.check_invariants()
    report.problems += broken[:_INVARIANTS_NAMED_MAX]
    if len(broken) > _INVARIANTS_NAMED_MAX:
        report.problems.append(f"and {len(broken) - _INVARIANTS_NAMED_MAX} more broken invariants")
    if history.snapshot is not None:
        _replay_tail(journal, history, report)
    return report


def _replay_all(
    journal: ReplayedHistory, history: WorkspaceHistory, report: WorkspaceVerification, start: Snapshot | None
) -> Engine | None:
    """Return the engine after all records, None where a record is damaged or cannot be replayed.

    Where the first events are archived the engine begins with a snapshot; without one, as in an archive, only the records are
    checked.
    """
    is_replayed = history.first_seq == 1 or start is not None
    engine = Engine() if start is None else Engine.restore(start.engine_state)
    engine_seq = 0 if start is None else start.seq
    epoch = at_ms = 0
    seq = 0
    try:
        for record in journal.replay(history.workspace, after_seq=history.first_seq - 1):
            seq = record.first_seq
            if record.epoch < epoch:
                report.problems.append(f"seq {seq}: the epoch decreases")
            if record.at_ms < at_ms:
                report.problems.append(f"seq {seq}: the time decreases")
            report.epochs += record.epoch != epoch
            epoch, at_ms = record.epoch, record.at_ms
            report.first_seq = report.first_seq or seq
            report.last_seq = record.last_seq
            report.records += 1
            report.events += len(record.events)
            if is_replayed and record.first_seq > engine_seq:
                engine.replay(record.events, record.first_seq, record.at_ms)
    except JournalError as error:
        report.problems.append(str(error))
        return None
    except (IllegalTransition, AssertionError, KeyError) as error:
        # The records are intact, but the engine rejects them: a defect of the engine, at writing or at replay.
        report.problems.append(f"seq {seq}: the replay fails ({type(error).__name__})")
        return None
    report.chain_ok = True
    return engine


def _replay_tail(journal: ReplayedHistory, history: WorkspaceHistory, report: WorkspaceVerification) -> None:
    assert history.snapshot is not None
    try:
        engine = Engine.restore(history.snapshot.engine_state)
    except (msgspec.MsgspecError, ValueError):
        report.problems.append("the snapshot was written by another version; a start replays all records")
        return
    for record in journal.replay(history.workspace, after_seq=history.snapshot.seq):
        engine.replay(record.events, record.first_seq, record.at_ms)
    report.snapshot_digest = engine.digest()
    if report.snapshot_digest != report.digest:
        report.problems.append("the snapshot and the records after it lead to another state than the whole history")


async def diagnose_journal_file(path: Path, *, scratch: Path | None = None) -> dict[WorkspaceId, Diagnosis]:
    """Return the diagnosis of each workspace.

    ``scratch`` is the directory for the copy, which needs as much space as the journal. Raises JournalLocked where a router
    has opened the journal, JournalCorrupt where it is damaged, and other subclasses of JournalError.
    """
    with copy_journal(JournalPaths(path), scratch) as copy:
        journal = SqliteJournal(copy, reserved_bytes=0)
        try:
            histories = await journal.open()
            return {history.workspace: _diagnose(journal, history) for history in histories}
        finally:
            await journal.close()


def _diagnose(journal: Journal, history: WorkspaceHistory) -> Diagnosis:
    found = _restore_engine(journal, history).diagnose(thorough=True)
    contacts = contacts_in_clear(journal.replay(history.workspace, after_seq=history.first_seq - 1))
    return with_journal_references(found, len(contacts), is_counted=True)


def _restore_engine(journal: Journal, history: WorkspaceHistory) -> Engine:
    engine, after_seq = Engine(), 0
    if history.snapshot is not None:
        try:
            engine = Engine.restore(history.snapshot.engine_state)
            after_seq = history.snapshot.seq
        except (msgspec.MsgspecError, ValueError):
            # Written by a version with another state format: replay all records instead.
            after_seq = 0
    for record in journal.replay(history.workspace, after_seq=after_seq):
        engine.replay(record.events, record.first_seq, record.at_ms)
    return engine


async def shadow_journal_file(path: Path, policy: Policy, *, scratch: Path | None = None) -> dict[WorkspaceId, ShadowReport]:
    """Return the report of each workspace, from its first event on.

    ``scratch`` is the directory for the copy, which needs as much space as the journal. Raises JournalLocked where a router
    has opened the journal, JournalCorrupt where it is damaged, and other subclasses of JournalError.
    """
    with copy_journal(JournalPaths(path), scratch) as copy:
        journal = SqliteJournal(copy, reserved_bytes=0)
        try:
            histories = await journal.open()
            return {one.workspace: _run_shadow(journal, one.workspace, policy) for one in histories}
        finally:
            await journal.close()


def _run_shadow(journal: Journal, workspace: WorkspaceId, policy: Policy) -> ShadowReport:
    shadow = Shadow(policy)
    for record in journal.replay(workspace):
        shadow.apply_record(record.events, record.first_seq, record.at_ms, cause=record.cause)
    return shadow.report()
