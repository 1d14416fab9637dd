"""What opening a journal must find out: where every workspace ends, and that nothing is missing before.

From the outside in: the ledger against the high-water mark, the workspaces' ends against the ledger, then every record since
each workspace's newest whole snapshot against its chain. ``salvage`` is the way back in for an operator who accepts that
history was lost: it keeps each workspace's sound beginning and gives it a new generation.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from msgspec import Struct

from router.journal import schema, sqlite_snapshots
from router.journal.chain import ChainWalk, corrupt_at
from router.journal.codec import Damaged, decode_record, unseal
from router.journal.highwater import Mark
from router.journal.ledger import Lane, Ledger, newest_number, read_ledger
from router.journal.port import Position, WorkspaceHistory
from router.model.errors import JournalCorrupt
from router.model.ids import WorkspaceId

_PAGE_ROWS: Final = 512


class Found(Struct, kw_only=True):
    """What stands in the file."""

    ledger: Ledger
    lanes: dict[WorkspaceId, Lane]
    histories: list[WorkspaceHistory]


class HistoryLoss(Struct, frozen=True, kw_only=True):
    """What an operator accepted to lose, for one workspace. ``kept_seq``: the last event that is still there."""

    workspace: WorkspaceId
    old_gen: str
    new_gen: str
    kept_seq: int
    dropped_records: int


def examine(connection: sqlite3.Connection, mark: Mark) -> Found:
    """Everything since the snapshots verified. Raises JournalCorrupt; clears away snapshots that are not whole."""
    ledger = read_ledger(connection, mark)
    lanes = {lane.workspace: lane for lane in _lanes(connection)}
    tokens = 0
    for lane in lanes.values():
        _find_end(connection, lane)
        tokens ^= lane.token
    if tokens != ledger.tokens:
        raise JournalCorrupt(
            f"commit {ledger.number}: the workspaces do not end where the ledger says"
        )
    broken: list[tuple[int, int]] = []
    histories = [_verify_tail(connection, lane, broken) for lane in lanes.values()]
    connection.execute("BEGIN IMMEDIATE")
    sqlite_snapshots.clear_away(connection, broken)
    connection.execute("COMMIT")
    return Found(ledger=ledger, lanes=lanes, histories=histories)


def _lanes(connection: sqlite3.Connection) -> Iterator[Lane]:
    for number, name, gen in connection.execute(schema.SELECT_WORKSPACES).fetchall():
        if not (isinstance(number, int) and isinstance(name, str) and isinstance(gen, str)):
            raise JournalCorrupt("the table of workspaces is damaged")
        yield Lane.empty(number, name, gen)


def _find_end(connection: sqlite3.Connection, lane: Lane) -> None:
    row = connection.execute(schema.SELECT_NEWEST, (lane.number,)).fetchone()
    if row is None:
        return
    key, data = row
    try:
        envelope = unseal(data)
        if key != envelope.seq:
            raise Damaged("key and envelope differ")
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
    for stored in sqlite_snapshots.load_all(connection, lane.number):
        if not isinstance(stored, sqlite_snapshots.StoredSnapshot):
            broken.append((lane.number, stored))
        elif start is None:
            if chain_at(connection, lane, stored.snapshot.seq) != stored.chain:
                raise corrupt_at(
                    lane.workspace, stored.snapshot.seq, "the snapshot is of another history"
                )
            start = stored
    if start is None:
        walk = ChainWalk.from_start(lane.workspace)
    else:
        walk = ChainWalk(lane.workspace, next_seq=start.snapshot.seq + 1, chain=start.chain)
    for key, data in rows_from(connection, lane.number, walk.next_seq):
        walk.step(key, data)
    walk.end(last_seq=lane.last_seq, chain=lane.chain)
    return WorkspaceHistory(
        workspace=lane.workspace,
        gen=lane.gen,
        last=Position(lane.epoch, lane.last_seq),
        snapshot=None if start is None else start.snapshot,
    )


def rows_from(
    connection: sqlite3.Connection, number: int, first_seq: int
) -> Iterator[tuple[object, object]]:
    """The rows of a workspace from that key on, a page at a time."""
    while True:
        page = connection.execute(schema.SELECT_FROM, (number, first_seq, _PAGE_ROWS)).fetchall()
        yield from page
        if len(page) < _PAGE_ROWS:
            return
        first_seq = page[-1][0] + 1


def chain_at(connection: sqlite3.Connection, lane: Lane, seq: int) -> bytes:
    """The chain after the record whose last event is ``seq``. Raises JournalCorrupt where no record ends there."""
    if seq == 0:
        return Lane.empty(lane.number, lane.workspace, lane.gen).chain
    row = connection.execute(schema.SELECT_HOLDING, (lane.number, seq)).fetchone()
    try:
        envelope = unseal(row[1] if row is not None else None)
    except Damaged as error:
        raise corrupt_at(lane.workspace, seq, str(error)) from error
    if envelope.last_seq != seq:
        raise corrupt_at(lane.workspace, seq, "no record ends here")
    return envelope.chain


def salvage(
    connection: sqlite3.Connection, mark: Mark | None, *, new_gen: Callable[[], str]
) -> tuple[Mark, list[HistoryLoss]]:
    """Keep the sound beginning of every workspace, drop the rest, begin new generations; one commit."""
    losses = []
    tokens = 0
    connection.execute("BEGIN IMMEDIATE")
    for lane in list(_lanes_of_any_kind(connection)):
        loss = _keep_beginning(connection, lane, new_gen())
        losses.append(loss)
        tokens ^= lane.token
    # Above whatever was ever acknowledged, so that no number names two commits.
    number = max(newest_number(connection), mark.number if mark is not None else 0)
    ledger = Ledger(number=number, chain=mark.chain if mark else b"\0" * 16, tokens=tokens)
    row = ledger.advance(at_ms=0, count=0)
    connection.execute(schema.DELETE_FROM, (schema.LEDGER, 0))
    connection.execute(schema.insert_records(1), row)
    connection.execute("COMMIT")
    return ledger.mark, losses


def _lanes_of_any_kind(connection: sqlite3.Connection) -> Iterator[Lane]:
    known = []
    for number, name, gen in connection.execute(schema.SELECT_WORKSPACES).fetchall():
        known.append(number)
        yield Lane.empty(number, name, gen)
    for (number,) in connection.execute("SELECT DISTINCT workspace FROM record").fetchall():
        # Records whose workspace has no name any more cannot be kept: their chain begins with it.
        if number != schema.LEDGER and number not in known:
            connection.execute("DELETE FROM record WHERE workspace = ?", (number,))


def _keep_beginning(connection: sqlite3.Connection, lane: Lane, new_gen: str) -> HistoryLoss:
    walk = ChainWalk.from_start(lane.workspace)
    # A fault is the end of what is sound; the lane stands before it.
    with suppress(JournalCorrupt):
        for key, data in rows_from(connection, lane.number, 0):
            lane.epoch = walk.read(key, data).epoch
            lane.last_seq = walk.next_seq - 1
            lane.chain = walk.chain or lane.chain
    dropped = connection.execute(schema.DELETE_FROM, (lane.number, lane.last_seq + 1)).rowcount
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
    connection.execute(schema.UPDATE_GENERATION, (new_gen, lane.number))
    return loss


def _drop_snapshots(connection: sqlite3.Connection, lane: Lane) -> None:
    broken = []
    for stored in sqlite_snapshots.load_all(connection, lane.number):
        if not isinstance(stored, sqlite_snapshots.StoredSnapshot):
            broken.append((lane.number, stored))
        elif stored.snapshot.seq > lane.last_seq or (
            chain_at(connection, lane, stored.snapshot.seq) != stored.chain
        ):
            broken.append((lane.number, stored.snapshot.seq))
    sqlite_snapshots.clear_away(connection, broken)
