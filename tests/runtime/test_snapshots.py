"""Scheduling of snapshots, one at a time."""

import asyncio

import pytest

from router.engine.engine import Engine
from router.journal.memory import MemoryJournal
from router.journal.port import Snapshot
from router.model.commands import Command, EnqueueContact, PublishPolicy
from router.model.errors import JournalUnavailable
from router.model.policy import ChannelPolicy, Policy, QueuePolicy
from router.model.results import Refused
from router.model.states import WorkspaceId
from router.runtime.recovery import NoStats
from router.runtime.snapshots import SnapshotSchedule, SnapshotScheduler, StateImage
from router.runtime.workspace import WorkspaceRuntime

SCHEDULE = SnapshotSchedule(events=100, events_when_idle=10, idle_ms=5_000)


class SavingJournal(MemoryJournal):
    """Records the workspaces saved, and finishes when the test allows it."""

    def __init__(self) -> None:
        super().__init__()
        self.saved: list[WorkspaceId] = []
        self.may_finish = asyncio.Event()

    async def save_snapshot(self, workspace: WorkspaceId, snapshot: Snapshot) -> None:
        self.saved.append(workspace)
        await self.may_finish.wait()


def a_lane(name: str) -> WorkspaceRuntime:
    return WorkspaceRuntime(workspace=name, history_id="g", epoch=1, engine=Engine(), stats=NoStats())


class KeepingJournal(MemoryJournal):
    """Keeps the snapshots it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Snapshot] = []

    async def save_snapshot(self, workspace: WorkspaceId, snapshot: Snapshot) -> None:
        self.kept.append(snapshot)


def a_busy_lane() -> WorkspaceRuntime:
    """Return a workspace with several hundred waiting contacts, whose image takes several slices."""
    lane = a_lane("busy")
    publish(lane)
    for _ in range(700):
        submit(lane)
    return lane


def do(lane: WorkspaceRuntime, command: Command) -> None:
    outcome = lane.engine.handle(command, lane.engine.at_ms + 1)
    assert not isinstance(outcome.result, Refused)


def submit(lane: WorkspaceRuntime) -> None:
    name = f"c{lane.engine.seq}"
    do(lane, EnqueueContact(contact_id=name, channel="voice", queue_id="support"))


def publish(lane: WorkspaceRuntime) -> None:
    policy = Policy(channels={"voice": ChannelPolicy()}, queues={"support": QueuePolicy()})
    do(lane, PublishPolicy(policy=policy))


def test_a_workspace_is_due_after_many_events_or_few_when_idle() -> None:
    assert SCHEDULE.is_due(events=100, idle_ms=0)
    assert not SCHEDULE.is_due(events=99, idle_ms=4_999)
    assert SCHEDULE.is_due(events=10, idle_ms=5_000)
    assert not SCHEDULE.is_due(events=9, idle_ms=10**9)


async def test_snapshots_are_taken_one_at_a_time() -> None:
    journal, lanes = SavingJournal(), [a_lane("a"), a_lane("b")]
    snapshots = SnapshotScheduler(journal, SCHEDULE)
    for lane in lanes:
        snapshots.count_events(lane, events=120, at_ms=1_000)
    for _ in range(3):
        snapshots.start_next(lanes, now_ms=1_000)
        await asyncio.sleep(0)
    assert journal.saved == ["a"]
    journal.may_finish.set()
    for _ in range(3):
        await asyncio.sleep(0)
        snapshots.start_next(lanes, now_ms=1_000)
    await snapshots.save_all(lanes)
    assert journal.saved == ["a", "b"]


async def test_an_idle_workspace_gets_a_snapshot_after_enough_events() -> None:
    journal, lanes = SavingJournal(), [a_lane("little"), a_lane("enough")]
    journal.may_finish.set()
    snapshots = SnapshotScheduler(journal, SCHEDULE)
    snapshots.start_next(lanes, now_ms=10_000)
    snapshots.count_events(lanes[0], events=9, at_ms=11_000)
    snapshots.count_events(lanes[1], events=10, at_ms=11_000)
    snapshots.start_next(lanes, now_ms=15_000)
    assert journal.saved == []
    # Workspaces are checked every five seconds, not with every batch.
    snapshots.start_next(lanes, now_ms=20_000)
    await asyncio.sleep(0)
    assert journal.saved == ["enough"]
    assert [lane.events_since_snapshot for lane in lanes] == [9, 0]


async def test_an_incremental_snapshot_is_the_state_at_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.runtime.snapshots._TIME_SLICE_S", -1.0)
    monkeypatch.setattr("router.runtime.snapshots._PAUSE_S", 0.0)
    journal, lane = KeepingJournal(), a_busy_lane()
    snapshots = SnapshotScheduler(journal, SCHEDULE)
    wanted, seq = lane.engine.snapshot(), lane.engine.seq
    snapshots.count_events(lane, events=10_000, at_ms=1_000)
    snapshots.start_next([lane], now_ms=1_000)
    while not journal.kept:
        submit(lane)
        await asyncio.sleep(0)
    assert (journal.kept[0].engine_state, journal.kept[0].seq) == (wanted, seq)
    assert lane.engine.seq > seq, "nothing happened meanwhile"


async def test_an_interrupted_image_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.runtime.snapshots._TIME_SLICE_S", -1.0)
    monkeypatch.setattr("router.runtime.snapshots._PAUSE_S", 0.0)
    journal, lane = KeepingJournal(), a_busy_lane()
    snapshots = SnapshotScheduler(journal, SCHEDULE)
    asked: asyncio.Future[StateImage] = asyncio.get_running_loop().create_future()
    snapshots.count_events(lane, events=10_000, at_ms=1_000)
    snapshots.request_image(lane, asked)
    while not (asked.done() and journal.kept):
        # A new policy in every iteration: made incrementally the image would never complete.
        snapshots.start_next([lane], now_ms=1_000)
        publish(lane)
        await asyncio.sleep(0)
    assert b"".join((await asked).parts)
    assert Engine.restore(journal.kept[0].engine_state).seq == journal.kept[0].seq
    assert lane.events_since_snapshot == 0


async def test_cancelling_fails_requested_images() -> None:
    lane = a_busy_lane()
    snapshots = SnapshotScheduler(KeepingJournal(), SCHEDULE)
    asked: asyncio.Future[StateImage] = asyncio.get_running_loop().create_future()
    snapshots.request_image(lane, asked)
    await snapshots.cancel()
    with pytest.raises(JournalUnavailable):
        await asked


def test_a_large_state_gets_snapshots_less_often() -> None:
    assert not SCHEDULE.is_due(events=999, idle_ms=0, records=1_000)
    assert SCHEDULE.is_due(events=1_000, idle_ms=0, records=1_000)
    assert SCHEDULE.is_due(events=100, idle_ms=5_000, records=1_000)
    assert not SCHEDULE.is_due(events=99, idle_ms=5_000, records=1_000)
