"""Moving a journal between files and a store: ``router journal import`` and ``router journal export``.

Both directions copy the records byte for byte, with their chain, and the snapshots, under the same history ids, so that clients
resume as after a restart. Afterwards the copy is read back: the chain is verified from the first record to the last one, all events
are replayed, and the digest of the state must be that of the original.

Neither direction leaves a part that could be served: files are built in a directory with another name, and a store names its
unfinished import (``router.journal.redis.importing``).
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from msgspec import Struct

from router.journal.files import JournalPaths
from router.journal.port import WorkspaceHistory
from router.journal.redis.importing import ImportedWorkspace, StoreImport
from router.journal.redis.stored_copy import StoredCopy
from router.journal.sqlite.export import ExportSource, Row, export_journal
from router.journal.sqlite.journal import JournalThread, SqliteJournal
from router.model.errors import JournalCorrupt
from router.model.states import WorkspaceId
from router.runtime.offline import ReplayedHistory, WorkspaceVerification, copy_journal, verify_journal_file, verify_workspace
from router.store_settings import StoreSettings

_HEARTBEAT_S: Final = 1.0


class TransferredWorkspace(Struct, kw_only=True):
    """A workspace that was copied."""

    workspace: WorkspaceId
    history_id: str
    first_seq: int
    last_seq: int
    chain: str
    """Chain value after the last record, the same in the original and in the copy."""
    digest: str = ""
    """Digest of the state after the last record, computed from the copy; empty: not verified."""


class TransferReport(Struct, kw_only=True):
    """A finished copy."""

    target: str
    verified: bool
    """Whether the copy was read back and its digests are those of the original."""
    workspaces: list[TransferredWorkspace]


async def import_journal(
    path: Path,
    settings: StoreSettings,
    *,
    data_directory: Path,
    scratch: Path | None,
    is_verified: bool,
    on_progress: Callable[[float], None],
) -> TransferReport:
    """Copy a journal that no router has open into an empty store.

    ``scratch`` is the directory for a working copy, ``data_directory`` gets the mark of this node. Raises JournalError; the store
    then holds an unfinished import, which the same call completes.
    """
    with copy_journal(JournalPaths(path), scratch) as copy:
        source = SqliteJournal(copy, reserved_bytes=0)
        thread = JournalThread()
        try:
            histories = await source.open()
            original = await _verified(source, histories) if is_verified else []
            target = StoreImport(settings, data_directory)
            try:
                await thread.run(target.open)
                workspaces = [await _imported(source, history) for history in histories]
                stored = await thread.run(partial(target.write, workspaces, on_progress=on_progress))
                alive = asyncio.ensure_future(_keep_leases(target))
                try:
                    copied = await _verified(target.copy, stored, original) if is_verified else []
                finally:
                    alive.cancel()
                await thread.run(target.finish)
            finally:
                await thread.run(target.close)
        finally:
            thread.stop()
            await source.close()
    return TransferReport(
        target=settings.prefix,
        verified=is_verified,
        workspaces=[
            TransferredWorkspace(
                workspace=one.tail.workspace,
                history_id=one.tail.history_id,
                first_seq=one.tail.first_seq,
                last_seq=one.tail.last_seq,
                chain=one.tail.chain.hex(),
                digest=_digest_of(copied, one.tail.workspace),
            )
            for one in workspaces
        ],
    )


async def _keep_leases(target: StoreImport) -> None:
    while True:
        target.note_heartbeat()
        await asyncio.sleep(_HEARTBEAT_S)


async def _imported(source: SqliteJournal, history: WorkspaceHistory) -> ImportedWorkspace:
    [tail] = [tail for tail in source.tails() if tail.workspace == history.workspace]
    snapshots = await source.load_stored_snapshots(history.workspace)

    return ImportedWorkspace(
        tail=tail, read_rows=lambda after_seq: source.stored_rows(tail, after_seq=after_seq), snapshots=snapshots[::-1]
    )


async def export_store(
    settings: StoreSettings,
    directory: Path,
    *,
    data_directory: Path,
    companions: Sequence[Path],
    is_used: bool,
    is_verified: bool,
    on_progress: Callable[[float], None],
) -> TransferReport:
    """Copy the journal in a store into a new directory with a journal in files.

    ``data_directory`` may hold the mark of a node. ``is_used``: a router may use the store meanwhile; what it writes after the
    copy began is not in the copy. Raises JournalError; nothing is left then, unless the finished copy does not verify.
    """
    copy, thread = StoredCopy(settings, data_directory), JournalThread()
    try:
        histories = await thread.run(partial(copy.open, is_used=is_used))
        plan = copy.plan()
        total = sum(one.tail.last_seq - one.first_seq + 1 for one in plan.workspaces) or 1
        done = {one.tail.number: 0 for one in plan.workspaces}
        firsts = {one.tail.number: one.first_seq for one in plan.workspaces}

        async def read_rows(number: int, first_key: int, last_seq: int, limit: int) -> list[Row]:
            rows = await thread.run(partial(copy.read_rows, number, first_key, last_seq, limit))
            if rows:
                done[number] = rows[-1][1] - firsts[number] + 1
                on_progress(sum(done.values()) / total)
            return rows

        async def read_part(number: int, seq: int, part: int) -> bytes | None:
            return await thread.run(partial(copy.read_part, number, seq, part))

        async def check() -> None:
            if not is_used:
                await thread.run(copy.check_unchanged)

        original = await _verified(copy, histories) if is_verified else []
        source = ExportSource(read_rows=read_rows, read_part=read_part)
        report = await export_journal(plan, source, directory, name="journal.db", companions=companions, check=check)
    finally:
        await thread.run(copy.close)
        thread.stop()
    if is_verified:
        await _compare_file(Path(report.path), original)
    return TransferReport(
        target=report.path,
        verified=is_verified,
        workspaces=[
            TransferredWorkspace(
                workspace=one.tail.workspace,
                history_id=one.tail.history_id,
                first_seq=one.first_seq,
                last_seq=one.tail.last_seq,
                chain=one.tail.chain.hex(),
                digest=_digest_of(original, one.tail.workspace),
            )
            for one in plan.workspaces
        ],
    )


async def _compare_file(path: Path, original: list[WorkspaceVerification]) -> None:
    """Read the written files back. Raises JournalCorrupt where they are not the original."""
    found = await verify_journal_file(path, scratch=path.parent)
    if found.problems:
        raise JournalCorrupt(f"{path}: the copy does not verify: {found.problems[0]}")
    _check(found.workspaces, original)


async def _verified(
    journal: ReplayedHistory, histories: Sequence[WorkspaceHistory], original: Sequence[WorkspaceVerification] | None = None
) -> list[WorkspaceVerification]:
    """Verify workspaces; those of a copy must have the digests of the original. Raises JournalCorrupt."""
    found = await asyncio.to_thread(asyncio.run, _verify_all(journal, histories))
    _check(found, found if original is None else original)
    return found


async def _verify_all(journal: ReplayedHistory, histories: Sequence[WorkspaceHistory]) -> list[WorkspaceVerification]:
    return [await verify_workspace(journal, history) for history in histories]


def _check(found: Sequence[WorkspaceVerification], original: Sequence[WorkspaceVerification]) -> None:
    for one in found:
        if one.problems:
            raise JournalCorrupt(f"workspace {one.workspace}: {one.problems[0]}")
    for one, other in zip(found, original, strict=True):
        ends = [(report.workspace, report.history_id, report.last_seq, report.digest) for report in (one, other)]
        if ends[0] != ends[1]:
            raise JournalCorrupt(f"workspace {other.workspace}: the copy has another state than the original")


def _digest_of(reports: Sequence[WorkspaceVerification], workspace: WorkspaceId) -> str:
    return next((one.digest for one in reports if one.workspace == workspace), "")
