"""When snapshots are taken, and that one at a time is."""

import asyncio

from router.core.engine import Engine
from router.journal.memory import MemoryJournal
from router.journal.port import Snapshot
from router.model.ids import WorkspaceId
from router.runtime.lane import Lane
from router.runtime.recovery import NoMeters
from router.runtime.snapshots import SnapshotSchedule, Snapshotting

SCHEDULE = SnapshotSchedule(events=100, events_when_idle=10, idle_ms=5_000)


class SavingJournal(MemoryJournal):
    """Remembers what it was given to save, and finishes when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.saved: list[WorkspaceId] = []
        self.may_finish = asyncio.Event()

    async def save_snapshot(self, workspace: WorkspaceId, snapshot: Snapshot) -> None:
        self.saved.append(workspace)
        await self.may_finish.wait()


def a_lane(name: str) -> Lane:
    return Lane(workspace=name, gen="g", epoch=1, engine=Engine(), meters=NoMeters())


def test_many_events_are_due_and_few_only_after_a_rest() -> None:
    assert SCHEDULE.is_due(events=100, idle_ms=0)
    assert not SCHEDULE.is_due(events=99, idle_ms=4_999)
    assert SCHEDULE.is_due(events=10, idle_ms=5_000)
    assert not SCHEDULE.is_due(events=9, idle_ms=10**9)


async def test_one_is_taken_after_the_other() -> None:
    journal, lanes = SavingJournal(), [a_lane("a"), a_lane("b")]
    snapshots = Snapshotting(journal, SCHEDULE)
    for lane in lanes:
        snapshots.note(lane, events=120, at_ms=1_000)
    for _ in range(3):
        snapshots.proceed(lanes, now_ms=1_000)
        await asyncio.sleep(0)
    assert journal.saved == ["a"]
    journal.may_finish.set()
    for _ in range(3):
        await asyncio.sleep(0)
        snapshots.proceed(lanes, now_ms=1_000)
    await snapshots.save_all(lanes)
    assert journal.saved == ["a", "b"]


async def test_a_workspace_at_rest_gets_one_when_it_has_moved_enough() -> None:
    journal, lanes = SavingJournal(), [a_lane("little"), a_lane("enough")]
    journal.may_finish.set()
    snapshots = Snapshotting(journal, SCHEDULE)
    snapshots.proceed(lanes, now_ms=10_000)
    snapshots.note(lanes[0], events=9, at_ms=11_000)
    snapshots.note(lanes[1], events=10, at_ms=11_000)
    snapshots.proceed(lanes, now_ms=15_000)
    assert journal.saved == []
    # Workspaces are looked at every five seconds, not with every batch.
    snapshots.proceed(lanes, now_ms=20_000)
    await asyncio.sleep(0)
    assert journal.saved == ["enough"]
    assert [lane.events_since_snapshot for lane in lanes] == [9, 0]
