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

from router.journal.chain import ChainWalk, corrupt_at
from router.journal.codec import Damaged, decode_record, unseal
from router.journal.highwater import Mark
from router.journal.ledger import Lane, Ledger, newest_number, read_ledger
from router.journal.port import Position, WorkspaceHistory
from router.journal.schema import (
    DELETE_FROM,
    LEDGER,
    SELECT_FROM,
    SELECT_HOLDING,
    SELECT_NEWEST,
    SELECT_WORKSPACES,
    UPDATE_GENERATION,
    insert_records,
)
from router.journal.sqlite_snapshots import StoredSnapshot, clear_away, load_all
from router.model.errors import JournalCorrupt
from router.model.ids import WorkspaceId

_PAGE_ROWS: Final = 512


class Found(Struct, kw_only=True):
    """The verified content of a journal file."""

    ledger: Ledger
    lanes: dict[WorkspaceId, Lane]
    histories: list[WorkspaceHistory]


class HistoryLoss(Struct, frozen=True, kw_only=True):
    """The accepted loss of one workspace; ``kept_seq`` is the last event that remains."""

    workspace: WorkspaceId
    old_gen: str
    new_gen: str
    kept_seq: int
    dropped_records: int


def examine(connection: sqlite3.Connection, mark: Mark) -> Found:
    """Verify everything since the newest intact snapshots and delete damaged snapshots. Raises JournalCorrupt."""
    ledger = read_ledger(connection, mark)
    lanes = {lane.workspace: lane for lane in _lanes(connection)}
    tokens = 0
    for lane in lanes.values():
        _find_end(connection, lane)
        tokens ^= lane.token
    if tokens != ledger.tokens:
        raise JournalCorrupt(
            f"commit {ledger.number}: the ends of the workspaces do not match the commit index"
        )
    broken: list[tuple[int, int]] = []
    histories = [_verify_tail(connection, lane, broken) for lane in lanes.values()]
    connection.execute("BEGIN IMMEDIATE")
    clear_away(connection, broken)
    connection.execute("COMMIT")
    return Found(ledger=ledger, lanes=lanes, histories=histories)


def _lanes(connection: sqlite3.Connection) -> Iterator[Lane]:
    for number, name, gen in connection.execute(SELECT_WORKSPACES).fetchall():
        if not (isinstance(number, int) and isinstance(name, str) and isinstance(gen, str)):
            raise JournalCorrupt("the workspace table is damaged")
        yield Lane.empty(number, name, gen)


def _find_end(connection: sqlite3.Connection, lane: Lane) -> None:
    row = connection.execute(SELECT_NEWEST, (lane.number,)).fetchone()
    if row is None:
        return
    key, data = row
    try:
        envelope = unseal(data)
        if key != envelope.seq:
            raise Damaged("key and envelope disagree on the sequence number")
        lane.epoch = decode_record(envelope).epoch
    except Damaged as error:
        raise corrupt_at(lane.workspace, key if isinstance(key, int) else 0, str(error)) from error
    lane.last_seq = envelope.last_seq
    lane.chain = envelope.chain
    lane.token = lane.fresh_token()


def _verify_tail(
    connection: sqlite3.Connection, lane: Lane, broken: list[tuple[int, int]]
) -> WorkspaceHistory:
    start = None
    for stored in load_all(connection, lane.number):
        if not isinstance(stored, StoredSnapshot):
            broken.append((lane.number, stored))
        elif start is None:
            if chain_at(connection, lane, stored.snapshot.seq) != stored.chain:
                raise corrupt_at(
                    lane.workspace, stored.snapshot.seq, "the snapshot belongs to another history"
                )
            start = stored
    if start is None:
        verifier = ChainWalk.from_start(lane.workspace)
    else:
        verifier = ChainWalk(lane.workspace, next_seq=start.snapshot.seq + 1, chain=start.chain)
    for key, data in rows_from(connection, lane.number, verifier.next_seq):
        verifier.step(key, data)
    verifier.end(last_seq=lane.last_seq, chain=lane.chain)
    return WorkspaceHistory(
        workspace=lane.workspace,
        gen=lane.gen,
        last=Position(lane.epoch, lane.last_seq),
        snapshot=None if start is None else start.snapshot,
    )


def rows_from(
    connection: sqlite3.Connection, number: int, first_seq: int
) -> Iterator[tuple[object, object]]:
    """Iterate over the rows of a workspace from this key on, fetched in chunks."""
    while True:
        chunk = connection.execute(SELECT_FROM, (number, first_seq, _PAGE_ROWS)).fetchall()
        yield from chunk
        if len(chunk) < _PAGE_ROWS:
            return
        first_seq = chunk[-1][0] + 1


def chain_at(connection: sqlite3.Connection, lane: Lane, seq: int) -> bytes:
    """Return the chain value after the record whose last event is ``seq``. Raises JournalCorrupt where no record ends there."""
    if seq == 0:
        return Lane.empty(lane.number, lane.workspace, lane.gen).chain
    row = connection.execute(SELECT_HOLDING, (lane.number, seq)).fetchone()
    try:
        envelope = unseal(row[1] if row is not None else None)
    except Damaged as error:
        raise corrupt_at(lane.workspace, seq, str(error)) from error
    if envelope.last_seq != seq:
        raise corrupt_at(lane.workspace, seq, "no record ends at this event")
    return envelope.chain


def salvage(
    connection: sqlite3.Connection, mark: Mark | None, *, new_gen: Callable[[], str]
) -> tuple[Mark, list[HistoryLoss]]:
    """Keep the intact beginning of every workspace under a new history id and delete the rest, in one commit."""
    losses = []
    tokens = 0
    connection.execute("BEGIN IMMEDIATE")
    for lane in list(_lanes_of_any_kind(connection)):
        loss = _keep_beginning(connection, lane, new_gen())
        losses.append(loss)
        tokens ^= lane.token
    # Higher than any acknowledged commit, so that no number is used twice.
    number = max(newest_number(connection), mark.number if mark is not None else 0)
    ledger = Ledger(number=number, chain=mark.chain if mark else b"\0" * 16, tokens=tokens)
    row = ledger.advance(at_ms=0, count=0)
    connection.execute(DELETE_FROM, (LEDGER, 0))
    connection.execute(insert_records(1), row)
    connection.execute("COMMIT")
    return ledger.mark, losses


def _lanes_of_any_kind(connection: sqlite3.Connection) -> Iterator[Lane]:
    known = []
    for number, name, gen in connection.execute(SELECT_WORKSPACES).fetchall():
        known.append(number)
        yield Lane.empty(number, name, gen)
    for (number,) in connection.execute("SELECT DISTINCT workspace FROM record").fetchall():
        # Records of a workspace without a name cannot be kept: their chain starts from the name.
        if number != LEDGER and number not in known:
            connection.execute("DELETE FROM record WHERE workspace = ?", (number,))


def _keep_beginning(connection: sqlite3.Connection, lane: Lane, new_gen: str) -> HistoryLoss:
    verifier = ChainWalk.from_start(lane.workspace)
    # The first damaged record ends the intact part; the tail stays before it.
    with suppress(JournalCorrupt):
        for key, data in rows_from(connection, lane.number, 0):
            lane.epoch = verifier.read(key, data).epoch
            lane.last_seq = verifier.next_seq - 1
            lane.chain = verifier.chain or lane.chain
    dropped = connection.execute(DELETE_FROM, (lane.number, lane.last_seq + 1)).rowcount
    _drop_snapshots(connection, lane)
    loss = HistoryLoss(
        workspace=lane.workspace,
        old_gen=lane.gen,
        new_gen=new_gen,
        kept_seq=lane.last_seq,
        dropped_records=dropped,
    )
    lane.gen = new_gen
    lane.token = lane.fresh_token()
    connection.execute(UPDATE_GENERATION, (new_gen, lane.number))
    return loss


def _drop_snapshots(connection: sqlite3.Connection, lane: Lane) -> None:
    broken = []
    for stored in load_all(connection, lane.number):
        if not isinstance(stored, StoredSnapshot):
            broken.append((lane.number, stored))
        elif stored.snapshot.seq > lane.last_seq or (
            chain_at(connection, lane, stored.snapshot.seq) != stored.chain
        ):
            broken.append((lane.number, stored.snapshot.seq))
    clear_away(connection, broken)
