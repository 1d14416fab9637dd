"""Moving the oldest records from the store to archive files, so that the memory of the server is bounded.

An archive has the form of those of the embedded journal (``router verify`` checks it). It is written, synced and read back before
anything is removed. A start needs no record before the older of the two snapshots.
"""

import secrets
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from msgspec import Struct

from router.journal.records import CHAIN_BYTES, CommitIndex, WorkspaceTail, base_row, decode_envelope
from router.journal.redis.client import StoreClient
from router.journal.redis.connection import StoreError
from router.journal.redis.log import WorkspaceLog
from router.journal.redis.reading import LogView, read_rows
from router.journal.redis.scripts import BEGIN_AT, evalsha
from router.journal.sqlite.export import ExportedWorkspace, ExportPlan, ExportReport, ExportSource, Row, export_journal
from router.journal.sqlite.journal import JournalThread, check_archive
from router.model.errors import JournalUnavailable

T = TypeVar("T")

# Of the events that may stay, this share stays, so that archives are not tiny.
_KEPT_SHARE: Final = 0.75
_TRIMMED_ENTRIES: Final = 10_000
_NUMBER: Final = 1


class TrimPlan(Struct, frozen=True):
    """The first event to keep, and the chain value before it."""

    first_seq: int
    chain: bytes


class Trimmer:
    """Archives and trims, on the thread for reading."""

    def __init__(self, client: StoreClient, thread: JournalThread, directory: Path, *, event_count_max: int) -> None:
        self._client = client
        self._thread = thread
        self._directory = directory
        self._event_count_max = event_count_max

    def is_due(self, log: WorkspaceLog) -> bool:
        """Return whether a log has more events than may stay."""
        return log.confirmed.seq - log.first_seq + 1 > self._event_count_max

    async def trim(self, log: WorkspaceLog, view: LogView) -> ExportReport | None:
        """Archive what a start does not need and trim the log; None where there is nothing to archive. Raises JournalError."""
        plan = await self._run(partial(self._plan, log, view))
        if plan is None:
            return None
        name = f"{time.strftime('%Y-%m-%dT%H%M%SZ', time.gmtime())}-{log.workspace}-{plan.first_seq - 1}"
        directory = self._directory / name
        report = await export_journal(_export_plan(log, plan), self._source(view), directory, name="archive.db")
        await check_archive(Path(report.path))
        await self._run(partial(self._begin_at, log, plan))
        log.first_seq, log.base_chain = plan.first_seq, plan.chain
        entry_id = view.epochs.entry_id(plan.first_seq)
        while await self._run(partial(self._remove, log, entry_id)):
            pass
        return report

    def _plan(self, log: WorkspaceLog, view: LogView) -> TrimPlan | None:
        needed = int(self._client.call(log.keys.meta, "HGET", log.keys.meta, "snap_prev") or 0)
        seq = min(needed, log.confirmed.seq - int(self._event_count_max * _KEPT_SHARE))
        if seq <= log.first_seq:
            return None
        rows = read_rows(self._client, view, from_seq=seq, limit=1)
        if not rows:
            return None
        envelope = decode_envelope(rows[0].data)
        return TrimPlan(envelope.seq, envelope.previous_chain) if envelope.seq > log.first_seq else None

    def _source(self, view: LogView) -> ExportSource:
        def rows(number: int, first_key: int, last_seq: int, limit: int) -> list[Row]:
            # The key may be an event inside the last record read, which then comes again.
            found = read_rows(self._client, view, from_seq=first_key, limit=limit + 1)
            keyed = [(number, decode_envelope(row.data).seq, row.data) for row in found if row.last_seq <= last_seq]
            return [row for row in keyed if row[1] >= first_key][:limit]

        async def read(number: int, first_key: int, last_seq: int, limit: int) -> list[Row]:
            return await self._run(partial(rows, number, first_key, last_seq, limit))

        async def read_part(_number: int, _seq: int, _part: int) -> bytes | None:
            return None

        return ExportSource(read_rows=read, read_part=read_part)

    def _begin_at(self, log: WorkspaceLog, plan: TrimPlan) -> None:
        command = evalsha(BEGIN_AT, [log.keys.meta], log.epoch, log.owner, plan.first_seq, plan.chain)
        reply = self._client.call(log.keys.meta, *command)
        if reply[0] == b"FENCED":
            raise log.fenced(reply[1].decode(), reply[2].decode())
        if reply[0] not in {b"OK", b"DUP"}:
            raise JournalUnavailable(f"workspace {log.workspace}: the store refused to trim its log ({reply[0].decode()})")

    def _remove(self, log: WorkspaceLog, entry_id: str) -> bool:
        arguments = ("XTRIM", log.keys.log, "MINID", "~", entry_id, "LIMIT", _TRIMMED_ENTRIES)
        return bool(self._client.call(log.keys.log, *arguments))

    async def _run(self, job: Callable[[], T]) -> T:
        try:
            return await self._thread.run(job)
        except StoreError as error:
            raise JournalUnavailable(f"the store cannot be used: {error}") from error


def _export_plan(log: WorkspaceLog, plan: TrimPlan) -> ExportPlan:
    tail = WorkspaceTail(
        number=_NUMBER,
        workspace=log.workspace,
        history_id=log.history_id,
        chain=plan.chain,
        last_seq=plan.first_seq - 1,
        first_seq=log.first_seq,
        base_chain=log.base_chain if log.first_seq > 1 else None,
    )
    tail.digest = tail.compute_digest()
    index = CommitIndex(number=0, chain=secrets.token_bytes(CHAIN_BYTES), digests=tail.digest)
    row = index.append_row(at_ms=0, count=0)
    base = base_row(_NUMBER, log.first_seq, log.base_chain) if log.first_seq > 1 else None
    exported = ExportedWorkspace(tail=tail, first_seq=log.first_seq, base=base)
    return ExportPlan(mark=index.mark, commit_row=row, workspaces=[exported], is_archive=True)
