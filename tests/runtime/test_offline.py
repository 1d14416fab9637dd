"""Work on a journal that no router has opened: verification, diagnosis, shadow policies."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from router.journal.sqlite.journal import SqliteJournal
from router.model.errors import JournalCorrupt, JournalLocked, JournalUnavailable
from router.runtime.offline import diagnose_journal_file, shadow_journal_file, verify_journal_file
from tests.support.builders import START_MS, a_contact, a_policy, a_policy_with_queue, an_agent, published, ready
from tests.support.manual_clock import ManualClock
from tests.support.running_writer import execute_done, run_workload, running_writer
from tests.support.sqlite_storage import SqliteJournalStorage


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


async def test_the_digest_does_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
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


class TestDiagnosis:
    async def test_each_workspace_is_diagnosed_at_the_time_of_its_last_record(self, tmp_path: Path) -> None:
        storage, clock = SqliteJournalStorage(tmp_path), ManualClock(START_MS)
        async with running_writer(storage.journal(), clock=clock) as writer:
            for name in ("main", "other"):
                await writer.add_workspace(name)
                await execute_done(writer, published(), workspace=name)
            await execute_done(writer, a_contact())
            clock.advance(60_000)
            await execute_done(writer, a_contact("c2"))
        before = storage.fingerprint()
        found = await diagnose_journal_file(storage.path)
        assert storage.fingerprint() == before
        assert set(found) == {"main", "other"}
        (waiting,) = [one for one in found["main"].findings if "c1" in one.contact_ids]
        assert waiting.oldest_wait_ms == 60_000
        assert not any(one.contact_ids for one in found["other"].findings)

    async def test_a_damaged_journal_is_not_diagnosed(self, tmp_path: Path) -> None:
        storage, clock = SqliteJournalStorage(tmp_path), ManualClock(START_MS)
        async with running_writer(storage.journal(), clock=clock) as writer:
            await run_workload(writer, clock, contacts=1)
        storage.remove_record(1)
        storage.flip_newest_snapshot()
        with pytest.raises(JournalCorrupt):
            await diagnose_journal_file(storage.path)


class TestShadow:
    async def test_a_policy_is_evaluated_on_the_whole_history(self, tmp_path: Path) -> None:
        storage, clock = SqliteJournalStorage(tmp_path), ManualClock(START_MS)
        async with running_writer(storage.journal(), clock=clock) as writer:
            await writer.add_workspace("main")
            await execute_done(writer, published(a_policy()))
            await execute_done(writer, an_agent())
            await execute_done(writer, ready())
            await execute_done(writer, a_contact())
        same = (await shadow_journal_file(storage.path, a_policy()))["main"]
        assert (same.submits, same.differences) == (1, {})
        strict = a_policy_with_queue(requires={"german": 3})
        other = (await shadow_journal_file(storage.path, strict))["main"]
        assert other.differences == {"not_eligible": 1, "requirement": 1}

    async def test_a_missing_journal_is_reported(self, tmp_path: Path) -> None:
        with pytest.raises(JournalUnavailable, match="does not exist"):
            await shadow_journal_file(tmp_path / "none.db", a_policy())
