"""Every start is a recovery: the durable state is restored exactly, and identically in every process (I1, I3, I30)."""

import asyncio

import pytest

from router.engine.engine import Engine
from router.journal.memory import MemoryJournal, MemoryStorage
from router.model.errors import JournalCorrupt
from router.model.results import Done
from router.runtime.snapshots import SnapshotSchedule
from router.runtime.writer import Writer
from tests.support.builders import START_MS, a_contact, a_policy, an_agent, published, ready
from tests.support.journal_records import a_snapshot
from tests.support.manual_clock import CountingStats, ManualClock
from tests.support.running_writer import NO_SNAPSHOTS, RecordedEvents, digest_of, execute_done, run_workload, running_writer


async def recovered(medium: MemoryStorage) -> Writer:
    """Return a recovered writer that is not running."""
    medium.owner = None
    writer = Writer(MemoryJournal(medium), clock=ManualClock(START_MS), new_stats=CountingStats)
    await writer.recover()
    return writer


class TestTheSameState:
    async def test_replaying_all_records_restores_the_state(self) -> None:
        medium, clock = MemoryStorage(), ManualClock(START_MS)
        async with running_writer(MemoryJournal(medium), clock=clock) as writer:
            digest = await run_workload(writer, clock)
        medium.workspaces["main"].snapshots.clear()
        assert await replayed_digest(medium) == digest

    async def test_a_snapshot_and_later_records_restore_the_state(self) -> None:
        medium, clock = MemoryStorage(), ManualClock(START_MS)
        often = SnapshotSchedule(events=7, events_when_idle=10**9, idle_ms=10**7)
        async with running_writer(MemoryJournal(medium), clock=clock, snapshots=often) as writer:
            digest = await run_workload(writer, clock)
        del medium.workspaces["main"].snapshots[-1:]
        (left,) = medium.workspaces["main"].snapshots
        assert 0 < left[0].seq < medium.workspaces["main"].last_seq
        assert await replayed_digest(medium) == digest

    async def test_the_stats_apply_every_event_once(self) -> None:
        medium, clock = MemoryStorage(), ManualClock(START_MS)
        often = SnapshotSchedule(events=7, events_when_idle=10**9, idle_ms=10**7)
        async with running_writer(MemoryJournal(medium), clock=clock, snapshots=often) as writer:
            await run_workload(writer, clock)
            live = writer.stats("main").incremental_snapshot().parts()[0]
        for drop in (0, 1):
            del medium.workspaces["main"].snapshots[len(medium.workspaces["main"].snapshots) - drop :]
            writer = await recovered(medium)
            assert writer.stats("main").incremental_snapshot().parts()[0] == live

    async def test_a_snapshot_of_another_version_is_ignored(self) -> None:
        medium, clock = MemoryStorage(), ManualClock(START_MS)
        async with running_writer(MemoryJournal(medium), clock=clock) as writer:
            digest = await run_workload(writer, clock)
        journal = MemoryJournal(medium)
        await journal.open()
        medium.workspaces["main"].snapshots.clear()
        seq = medium.workspaces["main"].last_seq
        await journal.save_snapshot("main", a_snapshot(seq, core=b"\x93\x01\x02\x03"))
        await journal.close()
        assert await replayed_digest(medium) == digest

    async def test_a_refusal_does_not_change_the_state(self) -> None:
        medium, clock = MemoryStorage(), ManualClock(START_MS)
        async with running_writer(MemoryJournal(medium), clock=clock) as writer:
            await run_workload(writer, clock, contacts=1)
            clock.advance(10)
            reply = await writer.execute("main", a_contact("c0", queue_id="nowhere"), actor="g")
            assert not isinstance(reply.outcome.result, Done)
            digest = await digest_of(writer)
        medium.workspaces["main"].snapshots.clear()
        assert await replayed_digest(medium) == digest


async def replayed_digest(medium: MemoryStorage) -> str:
    writer = await recovered(medium)
    running = asyncio.create_task(writer.run())
    digest = await digest_of(writer)
    await writer.stop()
    await running
    return digest


class TestAfterARestart:
    async def test_sequence_numbers_continue_and_the_epoch_grows(self) -> None:
        medium, clock = MemoryStorage(), ManualClock(START_MS)
        for epoch in (1, 2, 3):
            async with running_writer(MemoryJournal(medium), clock=clock) as writer:
                await writer.add_workspace("main")
                reply = await execute_done(writer, published())
                assert (reply.epoch, reply.outcome.first_seq) == (epoch, epoch)

    async def test_time_does_not_decrease_after_the_clock_was_set_back(self) -> None:
        medium = MemoryStorage()
        async with running_writer(MemoryJournal(medium), clock=ManualClock(START_MS)) as writer:
            await writer.add_workspace("main")
            await execute_done(writer, published())
        clock = ManualClock(START_MS - 3_600_000)
        async with running_writer(MemoryJournal(medium), clock=clock) as writer:
            clock.advance(5)
            reply = await execute_done(writer, published())
            assert reply.outcome.at_ms == START_MS + 5

    async def test_overdue_timers_fire_at_the_start(self) -> None:
        medium, clock = MemoryStorage(), ManualClock(START_MS)
        async with running_writer(MemoryJournal(medium), clock=clock) as writer:
            await writer.add_workspace("main")
            await execute_done(writer, published(a_policy()))
            await execute_done(writer, an_agent())
            await execute_done(writer, ready())
            await execute_done(writer, a_contact())
        clock.advance(3_600_000)
        writer = Writer(MemoryJournal(medium), clock=clock, snapshots=NO_SNAPSHOTS)
        recorded = RecordedEvents(writer)
        await writer.recover()
        running = asyncio.create_task(writer.run())
        await recorded.until(1)
        assert recorded.records[0][1].cause == "time.advance"
        await writer.stop()
        await running

    async def test_records_from_before_the_restart_can_be_resumed(self) -> None:
        medium, clock = MemoryStorage(), ManualClock(START_MS)
        async with running_writer(MemoryJournal(medium), clock=clock) as writer:
            await run_workload(writer, clock)
            gen, last_seq = writer.history_id("main"), writer.publisher.last_seq("main")
            missed = writer.publisher.records_between("main", last_seq - 9, last_seq)
        writer = await recovered(medium)
        assert writer.history_id("main") == gen
        assert missed[-1].last_seq == last_seq
        assert writer.publisher.covers("main", gen, last_seq - 9)
        assert writer.publisher.records_between("main", last_seq - 9, last_seq) == missed

    async def test_an_incomplete_replay_is_rejected(self) -> None:
        class IncompleteEngine(Engine):
            def replay(self, events: object, first_seq: int, at_ms: int) -> None:
                """Ignore the events."""

        medium, clock = MemoryStorage(), ManualClock(START_MS)
        async with running_writer(MemoryJournal(medium), clock=clock) as writer:
            await writer.add_workspace("main")
            await execute_done(writer, published())
        medium.workspaces["main"].snapshots.clear()
        with pytest.raises(JournalCorrupt, match="replay ends at seq 0"):
            await Writer(MemoryJournal(medium), new_engine=IncompleteEngine).recover()
