"""Recovery of a workspace at start-up: restore the newest snapshot and replay the records after it.

Every start is a recovery. After an orderly stop the newest snapshot has no records after it; after a crash there are more
records to replay. The same pass brings the statistics up to date and loads the newest records for clients that resume.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from router.engine.engine import Engine
from router.journal.port import Journal, WorkspaceHistory
from router.journal.records import Record
from router.model.errors import JournalCorrupt, JournalUnavailable
from router.model.events import Event
from router.model.states import WorkspaceId
from router.runtime.publisher import Publisher

# Records replayed before the event loop can serve signals and health checks.
_RECORDS_PER_SLICE: Final = 256
# Time for which records are replayed while others are served, before the event loop can serve these.
_SERVING_SLICE_S: Final = 0.002


class StatsImage(Protocol):
    """A snapshot of statistics in progress."""

    def advance(self) -> bool:
        """Encode one more piece. Return False when it is complete or cancelled."""
        ...

    @property
    def is_done(self) -> bool:
        """Whether it is complete."""
        ...

    def parts(self) -> list[bytes]:
        """Return the bytes in parts, once it is complete."""
        ...

    def cancel(self) -> None:
        """End it if it is not complete. Idempotent."""
        ...


class WholeImage:
    """A snapshot that is complete from the beginning."""

    is_done = True

    def __init__(self, parts: list[bytes]) -> None:
        self._parts = parts

    def advance(self) -> bool:
        """Return False: it is complete."""
        return False

    def parts(self) -> list[bytes]:
        """Return the bytes."""
        return self._parts

    def cancel(self) -> None:
        """Do nothing."""


def complete(image: StatsImage) -> bytes:
    """Encode everything at once, for tools and tests."""
    while image.advance():
        pass
    return b"".join(image.parts())


class StatsProjection(Protocol):
    """Statistics computed from durable events and stored with the snapshots."""

    def apply(self, event: Event, seq: int, at_ms: int) -> None:
        """Apply one event."""
        ...

    def prepare_snapshot(self) -> bool:
        """Do a piece of the work that ``incremental_snapshot`` would do at once; return whether there is more."""
        ...

    def incremental_snapshot(self) -> StatsImage:
        """Begin to encode the state as of the last event, in pieces while others are applied."""
        ...

    def restore(self, snapshot: bytes) -> None:
        """Load a state. Raises msgspec.MsgspecError or ValueError for bytes of another version."""
        ...


class NoStats:
    """A projection that computes nothing."""

    def apply(self, event: Event, seq: int, at_ms: int) -> None:
        """Ignore the event."""

    def prepare_snapshot(self) -> bool:
        """Return False: there is nothing to do."""
        return False

    def incremental_snapshot(self) -> StatsImage:
        """Return no state."""
        return WholeImage([])

    def restore(self, snapshot: bytes) -> None:
        """Ignore the state."""


class RecoveredWorkspace(Struct, kw_only=True):
    """A workspace in the state after its last record."""

    engine: Engine
    stats: StatsProjection
    snapshot_seq: int
    replayed_events: int


async def recover_workspace(
    journal: Journal,
    history: WorkspaceHistory,
    *,
    new_engine: type[Engine],
    new_stats: Callable[[WorkspaceId], StatsProjection],
    publisher: Publisher,
    replay_record_count: int,
    is_serving: bool = False,
) -> RecoveredWorkspace:
    """Rebuild one workspace. Raises JournalCorrupt where the replay ends before the journal does.

    Raises JournalUnavailable where a snapshot is needed, because events were archived, and this version cannot read it.

    ``replay_record_count`` is the number of newest records loaded into the publisher. ``is_serving``: others are served meanwhile,
    so that nothing may block the event loop; the publisher knows the workspace only if it is rebuilt.
    """
    restore = partial(_from_snapshot, history, new_engine=new_engine, new_stats=new_stats)
    recovered = await asyncio.to_thread(restore) if is_serving else restore()
    if is_serving:
        recent = await _replay_while_serving(journal, history, recovered, replay_record_count)
        publisher.add_workspace(history.workspace, history.history_id, last_seq=history.last_position.seq)
        for record in recent:
            publisher.load_record(history.workspace, record)
        return recovered
    publisher.add_workspace(history.workspace, history.history_id, last_seq=history.last_position.seq)
    if history.last_position.seq == 0:
        # A new workspace can be added while the writer runs, so do not block on the journal for an empty history.
        return recovered
    recall_after = _recall_after(history, recovered, replay_record_count)
    start = min(recovered.snapshot_seq, recall_after)
    for count, record in enumerate(journal.replay(history.workspace, after_seq=start), start=1):
        if record.first_seq > recovered.snapshot_seq:
            _apply_record(recovered, record)
        if record.last_seq > recall_after:
            publisher.load_record(history.workspace, record)
        if count % _RECORDS_PER_SLICE == 0:
            await asyncio.sleep(0)
    _check_end(history, recovered)
    recovered.engine.list_all_contacts()
    return recovered


async def _replay_while_serving(
    journal: Journal, history: WorkspaceHistory, recovered: RecoveredWorkspace, replay_record_count: int
) -> list[Record]:
    """Apply the records after the snapshot, and return the newest ones."""
    recall_after = _recall_after(history, recovered, replay_record_count)
    recent: list[Record] = []
    after_seq, until_s = min(recovered.snapshot_seq, recall_after), time.perf_counter() + _SERVING_SLICE_S
    while after_seq < history.last_position.seq:
        records = await journal.read(history.workspace, after_seq=after_seq, limit=_RECORDS_PER_SLICE)
        if not records:
            break
        after_seq = records[-1].last_seq
        for record in records:
            if record.first_seq > recovered.snapshot_seq:
                _apply_record(recovered, record)
            if record.last_seq > recall_after:
                recent.append(record)
            if time.perf_counter() > until_s:
                await asyncio.sleep(0)
                until_s = time.perf_counter() + _SERVING_SLICE_S
    _check_end(history, recovered)
    recovered.engine.list_all_contacts()
    return recent


def _recall_after(history: WorkspaceHistory, recovered: RecoveredWorkspace, replay_record_count: int) -> int:
    """Return the event after which records are loaded for clients. Raises JournalUnavailable where events are archived."""
    if recovered.snapshot_seq < history.first_seq - 1:
        raise JournalUnavailable(
            f"workspace {history.workspace}: this version cannot read the snapshot, and the events before seq {history.first_seq} "
            "have been archived; put the archive back with `router journal unarchive`, or start the earlier version"
        )
    # A record has at least one event, so this many events are at most as many records.
    return max(history.first_seq - 1, history.last_position.seq - replay_record_count)


def _check_end(history: WorkspaceHistory, recovered: RecoveredWorkspace) -> None:
    if recovered.engine.seq != history.last_position.seq:
        raise JournalCorrupt(
            f"workspace {history.workspace}: the replay ends at seq {recovered.engine.seq}, "
            f"the journal at seq {history.last_position.seq}"
        )


def _from_snapshot(
    history: WorkspaceHistory, *, new_engine: type[Engine], new_stats: Callable[[WorkspaceId], StatsProjection]
) -> RecoveredWorkspace:
    snapshot = history.snapshot
    stats = new_stats(history.workspace)
    if snapshot is not None:
        try:
            engine = new_engine.restore(snapshot.engine_state)
            stats.restore(snapshot.stats_state)
        except (msgspec.MsgspecError, ValueError):
            # Written by a version with another state format: replay all records instead, which is slower.
            stats = new_stats(history.workspace)
        else:
            return RecoveredWorkspace(engine=engine, stats=stats, snapshot_seq=snapshot.seq, replayed_events=0)
    return RecoveredWorkspace(engine=new_engine(), stats=stats, snapshot_seq=0, replayed_events=0)


def _apply_record(recovered: RecoveredWorkspace, record: Record) -> None:
    recovered.engine.replay(record.events, record.first_seq, record.at_ms)
    for seq, event in enumerate(record.events, start=record.first_seq):
        recovered.stats.apply(event, seq, record.at_ms)
    recovered.replayed_events += len(record.events)
