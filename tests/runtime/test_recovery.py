"""Every start is a recovery: the durable state is restored exactly, and identically in every process (I1, I3, I30)."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from router.engine.engine import Engine
from router.journal.memory import MemoryJournal, MemoryStorage
from router.journal.sqlite.journal import SqliteJournal
from router.model.commands import AcceptOffer, EndContact
from router.model.errors import JournalCorrupt, JournalLocked
from router.model.events import OfferMade
from router.model.results import Done
from router.runtime.offline import verify_journal_file
from router.runtime.snapshots import SnapshotSchedule
from router.runtime.writer import Writer
from tests.support.builders import (
    START_MS,
    a_contact,
    a_policy,
    an_agent,
    not_ready,
    published,
    ready,
)
from tests.support.journal_records import a_snapshot
from tests.support.manual_clock import CountingStats, ManualClock
from tests.support.running_writer import NO_SNAPSHOTS, RecordedEvents, execute_done, running_writer
from tests.support.sqlite_storage import SqliteJournalStorage


async def run_workload(writer: Writer, clock: ManualClock, *, contacts: int = 30) -> str:
    """Execute contacts, agents, accepts, expiries, wrap-ups and refusals; return the digest at the end."""
    await writer.add_workspace("main")
    await execute_done(writer, published(a_policy()))
    for number in range(4):
        await execute_done(writer, an_agent(f"a{number}", skills={"english": number + 1}))
        await execute_done(writer, ready(f"a{number}"))
    for number in range(contacts):
        clock.advance(1_700)
        reply = await execute_done(writer, a_contact(f"c{number}", priority_s=number % 5))
        for event in reply.outcome.events:
            if isinstance(event, OfferMade) and number % 3:
                accept = AcceptOffer(offer_id=event.offer_id, agent_id=event.agent_id)
                await execute_done(writer, accept)
        if number % 4 == 3:
            await writer.execute("main", EndContact(contact_id=f"c{number - 2}"), actor="a")
            await writer.execute("main", not_ready("a1"), actor="a")
            await execute_done(writer, ready("a1"))
    return await digest_of(writer)


async def digest_of(writer: Writer) -> str:
    return (await writer.query("main", lambda engine: engine.digest())).value


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
            live = writer.stats("main").snapshot()
        for drop in (0, 1):
            del medium.workspaces["main"].snapshots[
                len(medium.workspaces["main"].snapshots) - drop :
            ]
            writer = await recovered(medium)
            assert writer.stats("main").snapshot() == live

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


class TestVerifyFile:
    async def test_an_intact_journal_verifies_and_is_left_unchanged(self, tmp_path: Path) -> None:
        storage, clock = SqliteJournalStorage(tmp_path), ManualClock(START_MS)
        async with running_writer(storage.journal(), clock=clock) as writer:
            digest = await run_workload(writer, clock)
            await writer.add_workspace("empty")
        before = storage.fingerprint()
        report = await verify_journal_file(storage.path)
        assert report.ok, report
        main, empty = report.workspaces
        assert (main.digest, main.snapshot_digest, main.chain_ok) == (digest, digest, True)
        assert (main.first_seq, main.last_seq) == (1, main.events)
        assert (empty.records, empty.events, empty.snapshot_seq) == (0, 0, None)
        assert storage.fingerprint() == before

    async def test_records_before_the_snapshot_are_verified(self, tmp_path: Path) -> None:
        storage, clock = SqliteJournalStorage(tmp_path), ManualClock(START_MS)
        async with running_writer(storage.journal(), clock=clock) as writer:
            await run_workload(writer, clock)
        storage.flip_record(2)
        report = await verify_journal_file(storage.path)
        assert not report.ok
        assert ["main, seq 2" in problem for problem in report.workspaces[0].problems] == [True]

    async def test_a_journal_that_does_not_open_is_reported(self, tmp_path: Path) -> None:
        storage, clock = SqliteJournalStorage(tmp_path), ManualClock(START_MS)
        async with running_writer(storage.journal(), clock=clock) as writer:
            await run_workload(writer, clock, contacts=2)
        storage.high_water.unlink()
        report = await verify_journal_file(storage.path)
        assert (report.ok, len(report.problems)) == (False, 1)

    async def test_a_journal_in_use_is_refused(self, tmp_path: Path) -> None:
        storage, clock = SqliteJournalStorage(tmp_path), ManualClock(START_MS)
        async with running_writer(storage.journal(), clock=clock):
            with pytest.raises(JournalLocked):
                await verify_journal_file(storage.path)


async def test_the_digest_does_not_depend_on_the_hash_seed(
    tmp_path: Path,
) -> None:
    path, clock = tmp_path / "journal.db", ManualClock(START_MS)
    async with running_writer(SqliteJournal(path, reserved_bytes=0), clock=clock) as writer:
        digest = await run_workload(writer, clock)
    script = (
        "import asyncio, sys; from pathlib import Path; from router.runtime.offline import verify_journal_file;"
        "report = asyncio.run(verify_journal_file(Path(sys.argv[1])));"
        "print(report.workspaces[0].digest, report.workspaces[0].snapshot_digest, report.ok)"
    )
    for seed in ("1", "4242"):
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", script, str(path)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == [digest, digest, "True"]
