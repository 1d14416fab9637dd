"""Start-up is recovery: the newest snapshot and the records after it become the engine that was.

There is no other way to start: an orderly stop leaves a snapshot with nothing after it, a crash leaves more to replay.
The same pass brings the meters up to date and gives the publisher what clients may have missed.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from router.core.engine import Engine
from router.journal.port import Journal, Record, WorkspaceHistory
from router.model.errors import JournalCorrupt
from router.model.events import Event
from router.model.ids import WorkspaceId
from router.runtime.publisher import Publisher

# Signals and health checks are answered in between.
_RECORDS_PER_TURN: Final = 256


class Meters(Protocol):
    """Figures that are folds over durable events, and are kept with the snapshots."""

    def fold(self, event: Event, seq: int, at_ms: int) -> None:
        """Take in one event."""
        ...

    def snapshot(self) -> bytes:
        """Their state."""
        ...

    def restore(self, snapshot: bytes) -> None:
        """Take on that state. Raises msgspec.MsgspecError or ValueError for bytes of another version."""
        ...


class NoMeters:
    """Nothing is counted."""

    def fold(self, event: Event, seq: int, at_ms: int) -> None:
        """Let it pass."""

    def snapshot(self) -> bytes:
        """Nothing."""
        return b""

    def restore(self, snapshot: bytes) -> None:
        """Nothing."""


class Recovered(Struct, kw_only=True):
    """A workspace as it was when its last record was written."""

    engine: Engine
    meters: Meters
    snapshot_seq: int
    replayed_events: int


async def recover(
    journal: Journal,
    history: WorkspaceHistory,
    *,
    new_engine: type[Engine],
    new_meters: Callable[[WorkspaceId], Meters],
    publisher: Publisher,
    recall_records: int,
) -> Recovered:
    """Rebuild one workspace. Raises JournalCorrupt where the replay does not end where the journal does."""
    recovered = _from_snapshot(history, new_engine=new_engine, new_meters=new_meters)
    publisher.begin(history.workspace, history.gen, last_seq=history.last.seq)
    if history.last.seq == 0:
        # A new workspace may come while the corridor runs: do not wait for the journal's thread to find nothing.
        return recovered
    # Records have at least one event each, so this many events hold at most that many records.
    recall_after = max(0, history.last.seq - recall_records)
    start = min(recovered.snapshot_seq, recall_after)
    for count, record in enumerate(journal.replay(history.workspace, after_seq=start), start=1):
        if record.first_seq > recovered.snapshot_seq:
            _take_in(recovered, record)
        if record.last_seq > recall_after:
            publisher.recall(history.workspace, record)
        if count % _RECORDS_PER_TURN == 0:
            await asyncio.sleep(0)
    if recovered.engine.seq != history.last.seq:
        raise JournalCorrupt(
            f"workspace {history.workspace}: the replay ends at seq {recovered.engine.seq}, "
            f"the journal at seq {history.last.seq}"
        )
    return recovered


def _from_snapshot(
    history: WorkspaceHistory,
    *,
    new_engine: type[Engine],
    new_meters: Callable[[WorkspaceId], Meters],
) -> Recovered:
    snapshot = history.snapshot
    meters = new_meters(history.workspace)
    if snapshot is not None:
        try:
            engine = new_engine.restore(snapshot.core)
            meters.restore(snapshot.meters)
        except (msgspec.MsgspecError, ValueError):
            # Made by a version whose state looked otherwise. The records say the same, only slower.
            meters = new_meters(history.workspace)
        else:
            return Recovered(
                engine=engine, meters=meters, snapshot_seq=snapshot.seq, replayed_events=0
            )
    return Recovered(engine=new_engine(), meters=meters, snapshot_seq=0, replayed_events=0)


def _take_in(recovered: Recovered, record: Record) -> None:
    recovered.engine.replay(record.events, record.first_seq, record.at_ms)
    for seq, event in enumerate(record.events, start=record.first_seq):
        recovered.meters.fold(event, seq, record.at_ms)
    recovered.replayed_events += len(record.events)
