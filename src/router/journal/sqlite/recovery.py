"""Recovery of a journal file: determine the end of every workspace and verify that nothing before it is missing.

Verification runs from the outside in: the commit index against the high-water mark, the workspace tails against the commit
index, then every record since the newest intact snapshot of each workspace against the hash chain. The cost is linear in the
number of records since the snapshots.

``salvage`` serves an operator who accepts a loss of history: it keeps the intact beginning of every workspace and assigns a
new history id, so that no position of the old history is mistaken for one of the new history.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from msgspec import Struct

from router.journal.highwater import HighWaterMark
from router.journal.port import HistoryLoss, WorkspaceHistory
from router.journal.records import (
    _DIGEST_BYTES,
    COMMIT_INDEX_WORKSPACE,
    ChainVerifier,
    CommitIndex,
    DamagedRecord,
    Position,
    WorkspaceTail,
    corrupt_record,
    decode_envelope,
    decode_record,
)
from router.journal.sqlite.connection import (
    DELETE_FROM,
    SELECT_CONTAINING,
    SELECT_FROM,
    SELECT_NEWEST,
    SELECT_WORKSPACES,
    UPDATE_HISTORY_ID,
    insert_records_sql,
)
from router.journal.sqlite.snapshots import StoredSnapshot, delete_broken_snapshots, load_snapshots
from router.model.errors import JournalCorrupt
from router.model.states import WorkspaceId


def read_commit_index(connection: sqlite3.Connection, mark: HighWaterMark) -> CommitIndex:
    """Return the newest row, after verifying the chain from the commit of the mark to it. Raises JournalCorrupt."""
    verified: CommitIndex | None = None
    rows = connection.execute(SELECT_FROM, (COMMIT_INDEX_WORKSPACE, mark.number, -1))
    for key, data in rows:
        verified = _verify_index_row(verified, key, data, mark)
    if verified is None:
        newest = newest_commit_number(connection)
        raise JournalCorrupt(
            f"the journal is shorter than it was: it ends at commit {newest}, but commit {mark.number} was acknowledged"
        )
    return verified


def newest_commit_number(connection: sqlite3.Connection) -> int:
    """Return the number of the newest commit, -1 where there is none."""
    row = connection.execute(SELECT_NEWEST, (COMMIT_INDEX_WORKSPACE,)).fetchone()
    return row[0] if row is not None and isinstance(row[0], int) else -1


def _verify_index_row(verified: CommitIndex | None, key: object, data: object, mark: HighWaterMark) -> CommitIndex:
    try:
        envelope = decode_envelope(data)
    except DamagedRecord as error:
        raise JournalCorrupt(f"commit index, commit {key}: {error}") from error
    expected = mark.number if verified is None else verified.number + 1
    if key != expected or envelope.seq != expected or len(envelope.body) != _DIGEST_BYTES:
        raise JournalCorrupt(f"commit index, commit {expected}: a row is missing or out of order")
    if verified is None and envelope.chain != mark.chain:
        raise JournalCorrupt(
            f"commit index, commit {expected}: not the commit named by the high-water mark; this is another history"
        )
    if verified is not None and envelope.previous_chain != verified.chain:
        raise JournalCorrupt(f"commit index, commit {expected}: the chain is broken")
    return CommitIndex(number=expected, chain=envelope.chain, digests=int.from_bytes(envelope.body))


_CHUNK_ROWS: Final = 512


class RecoveredJournal(Struct, kw_only=True):
    """The verified content of a journal file."""

    commit_index: CommitIndex
    tails: dict[WorkspaceId, WorkspaceTail]
    histories: list[WorkspaceHistory]


def recover_journal(connection: sqlite3.Connection, mark: HighWaterMark, *, is_archive: bool = False) -> RecoveredJournal:
    """Verify everything since the newest intact snapshots and delete damaged snapshots. Raises JournalCorrupt.

    An archive needs no snapshot for the events before its first one, as no router starts on it.
    """
    index = read_commit_index(connection, mark)
    tails = {tail.workspace: tail for tail in _load_tails(connection)}
    tokens = 0
    for tail in tails.values():
        _load_tail_end(connection, tail)
        tokens ^= tail.digest
    if tokens != index.digests:
        raise JournalCorrupt(f"commit {index.number}: the ends of the workspaces do not match the commit index")
    broken: list[tuple[int, int]] = []
    histories = [_verify_tail(connection, tail, broken, is_archive) for tail in tails.values()]
    connection.execute("BEGIN IMMEDIATE")
    delete_broken_snapshots(connection, broken)
    connection.execute("COMMIT")
    return RecoveredJournal(commit_index=index, tails=tails, histories=histories)


def _load_tails(connection: sqlite3.Connection) -> Iterator[WorkspaceTail]:
    for number, name, history_id in connection.execute(SELECT_WORKSPACES).fetchall():
        if not (isinstance(number, int) and isinstance(name, str) and isinstance(history_id, str)):
            raise JournalCorrupt("the workspace table is damaged")
        tail = WorkspaceTail.empty(number, name, history_id)
        load_base(connection, tail)
        yield tail


def load_base(connection: sqlite3.Connection, tail: WorkspaceTail) -> None:
    """Read where the records of a workspace begin. Raises JournalCorrupt."""
    row = connection.execute(SELECT_NEWEST, (-tail.number,)).fetchone()
    if row is None:
        return
    try:
        envelope = decode_envelope(row[1])
        if row[0] != envelope.seq or envelope.count or envelope.seq < 1:
            raise DamagedRecord("the base row is inconsistent")
    except DamagedRecord as error:
        raise corrupt_record(tail.workspace, 0, str(error)) from error
    tail.begin_at(envelope.seq, envelope.previous_chain)
    tail.last_seq, tail.chain, tail.epoch = envelope.seq - 1, envelope.previous_chain, envelope.at_ms
    tail.digest = tail.compute_digest()


def _load_tail_end(connection: sqlite3.Connection, tail: WorkspaceTail) -> None:
    row = connection.execute(SELECT_NEWEST, (tail.number,)).fetchone()
    if row is None:
        return
    key, data = row
    try:
        envelope = decode_envelope(data)
        if key != envelope.seq:
            raise DamagedRecord("key and envelope disagree on the sequence number")
        tail.epoch = decode_record(envelope).epoch
    except DamagedRecord as error:
        raise corrupt_record(tail.workspace, key if isinstance(key, int) else 0, str(error)) from error
    tail.last_seq = envelope.last_seq
    tail.chain = envelope.chain
    tail.digest = tail.compute_digest()


def _verify_tail(
    connection: sqlite3.Connection, tail: WorkspaceTail, broken: list[tuple[int, int]], is_archive: bool
) -> WorkspaceHistory:
    start = None
    for stored in load_snapshots(connection, tail.number):
        if not isinstance(stored, StoredSnapshot):
            broken.append((tail.number, stored))
        elif start is None:
            if chain_at(connection, tail, stored.snapshot.seq) != stored.chain:
                raise corrupt_record(tail.workspace, stored.snapshot.seq, "the snapshot belongs to another history")
            start = stored
    if start is None:
        verifier = tail.verifier()
        if tail.first_seq > 1 and not is_archive:
            raise corrupt_record(
                tail.workspace,
                tail.first_seq,
                "events before this one have been archived and no snapshot is intact; "
                "restore a backup, or put the archive back with `router journal unarchive`",
            )
    else:
        verifier = ChainVerifier(tail.workspace, next_seq=start.snapshot.seq + 1, chain=start.chain)
    for key, data in rows_from(connection, tail.number, verifier.next_seq):
        verifier.verify(key, data)
    verifier.check_end(last_seq=tail.last_seq, chain=tail.chain)
    return WorkspaceHistory(
        workspace=tail.workspace,
        history_id=tail.history_id,
        last_position=Position(tail.epoch, tail.last_seq),
        snapshot=None if start is None else start.snapshot,
        first_seq=tail.first_seq,
    )


def rows_from(connection: sqlite3.Connection, number: int, first_seq: int) -> Iterator[tuple[object, object]]:
    """Iterate over the rows of a workspace from this key on, fetched in chunks."""
    while True:
        chunk = connection.execute(SELECT_FROM, (number, first_seq, _CHUNK_ROWS)).fetchall()
        yield from chunk
        if len(chunk) < _CHUNK_ROWS:
            return
        first_seq = chunk[-1][0] + 1


def chain_at(connection: sqlite3.Connection, tail: WorkspaceTail, seq: int) -> bytes:
    """Return the chain value after the record whose last event is ``seq``. Raises JournalCorrupt where no record ends there."""
    if seq == tail.first_seq - 1:
        verifier = tail.verifier()
        assert verifier.chain is not None
        return verifier.chain
    row = connection.execute(SELECT_CONTAINING, (tail.number, seq)).fetchone()
    try:
        envelope = decode_envelope(row[1] if row is not None else None)
    except DamagedRecord as error:
        raise corrupt_record(tail.workspace, seq, str(error)) from error
    if envelope.last_seq != seq:
        raise corrupt_record(tail.workspace, seq, "no record ends at this event")
    return envelope.chain


def salvage(
    connection: sqlite3.Connection, mark: HighWaterMark | None, *, new_history_id: Callable[[], str]
) -> tuple[HighWaterMark, list[HistoryLoss]]:
    """Keep the intact beginning of every workspace under a new history id and delete the rest, in one commit."""
    losses = []
    tokens = 0
    connection.execute("BEGIN IMMEDIATE")
    for tail in list(_load_tails_for_salvage(connection)):
        loss = _truncate_at_damage(connection, tail, new_history_id())
        losses.append(loss)
        tokens ^= tail.digest
    # Higher than any acknowledged commit, so that no number is used twice.
    number = max(newest_commit_number(connection), mark.number if mark is not None else 0)
    index = CommitIndex(number=number, chain=mark.chain if mark else b"\0" * 16, digests=tokens)
    row = index.append_row(at_ms=0, count=0)
    connection.execute(DELETE_FROM, (COMMIT_INDEX_WORKSPACE, 0))
    connection.execute(insert_records_sql(1), row)
    connection.execute("COMMIT")
    return index.mark, losses


def _load_tails_for_salvage(connection: sqlite3.Connection) -> Iterator[WorkspaceTail]:
    known: list[int] = []
    for number, name, history_id in connection.execute(SELECT_WORKSPACES).fetchall():
        known += (number, -number)
        tail = WorkspaceTail.empty(number, name, history_id)
        load_base(connection, tail)
        yield tail
    for (number,) in connection.execute("SELECT DISTINCT workspace FROM record").fetchall():
        # Records of a workspace without a name cannot be kept: their chain starts from the name.
        if number != COMMIT_INDEX_WORKSPACE and number not in known:
            connection.execute("DELETE FROM record WHERE workspace = ?", (number,))


def _truncate_at_damage(connection: sqlite3.Connection, tail: WorkspaceTail, new_history_id: str) -> HistoryLoss:
    verifier = tail.verifier()
    if tail.base_chain is not None:
        tail.last_seq, tail.chain = tail.first_seq - 1, tail.base_chain
    # The first damaged record ends the intact part; the tail stays before it.
    with suppress(JournalCorrupt):
        for key, data in rows_from(connection, tail.number, tail.first_seq):
            tail.epoch = verifier.verify_and_decode(key, data).epoch
            tail.last_seq = verifier.next_seq - 1
            tail.chain = verifier.chain or tail.chain
    dropped = connection.execute(DELETE_FROM, (tail.number, tail.last_seq + 1)).rowcount
    _delete_unusable_snapshots(connection, tail)
    loss = HistoryLoss(
        workspace=tail.workspace,
        old_history_id=tail.history_id,
        new_history_id=new_history_id,
        kept_seq=tail.last_seq,
        dropped_records=dropped,
    )
    tail.history_id = new_history_id
    tail.digest = tail.compute_digest()
    connection.execute(UPDATE_HISTORY_ID, (new_history_id, tail.number))
    return loss


def _delete_unusable_snapshots(connection: sqlite3.Connection, tail: WorkspaceTail) -> None:
    broken = []
    for stored in load_snapshots(connection, tail.number):
        if not isinstance(stored, StoredSnapshot):
            broken.append((tail.number, stored))
        elif stored.snapshot.seq > tail.last_seq or (chain_at(connection, tail, stored.snapshot.seq) != stored.chain):
            broken.append((tail.number, stored.snapshot.seq))
    delete_broken_snapshots(connection, broken)
