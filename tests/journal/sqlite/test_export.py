"""Backups and archives: complete, verified, made while records are appended; the journal goes on without what was archived."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from router.journal.port import EventsArchived
from router.journal.sqlite import export
from router.journal.sqlite.journal import SqliteJournal
from router.model.errors import JournalCorrupt, JournalUnavailable
from router.runtime.offline import verify_journal_file
from router.runtime.snapshots import SnapshotSchedule
from router.runtime.writer import Writer
from tests.support.builders import a_contact, a_policy, an_agent, published
from tests.support.manual_clock import ManualClock

START_MS = 1_700_000_000_000


class Site:
    """A writer over a journal whose clock is set by the test."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "live" / "journal.db"
        self.directory = directory
        self.clock = ManualClock(START_MS)
        self.submitted = 0

    async def start(self) -> None:
        self.journal = SqliteJournal(self.path, reserved_bytes=0)
        self.writer = Writer(self.journal, clock=self.clock, snapshots=SnapshotSchedule(events=10, events_when_idle=10))
        if not await self.writer.recover():
            await self.writer.add_workspace("main")
        self.task = asyncio.create_task(self.writer.run())

    async def work(self, contacts: int) -> None:
        """Submit contacts, a second apart."""
        for _ in range(contacts):
            self.submitted += 1
            self.clock.advance(1_000)
            await self.writer.execute("main", a_contact(f"c{self.submitted}"), actor="gateway:test")

    async def stop(self) -> None:
        await self.writer.stop()
        await self.task

    async def set_up(self) -> None:
        await self.start()
        await self.writer.execute("main", published(a_policy()), actor="admin:test")
        await self.writer.execute("main", an_agent(), actor="admin:test")

    async def digest(self) -> str:
        return (await self.writer.query("main", lambda engine: engine.digest())).value


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def contacts_in(path: Path) -> set[str]:
    journal = SqliteJournal(path, reserved_bytes=0)
    writer = Writer(journal)
    await writer.recover()
    task = asyncio.create_task(writer.run())
    found = await writer.query("main", lambda engine: {view.contact_id for view in engine.contacts(limit=10_000)})
    await writer.stop()
    await task
    return found.value


class TestBackup:
    async def test_it_is_a_journal_as_of_its_moment_while_others_go_on(self, site: Site) -> None:
        await site.set_up()
        await site.work(40)
        made, _ = await asyncio.gather(site.journal.back_up(site.directory / "backup"), site.work(30))
        await site.stop()
        path = site.directory / "backup" / "journal.db"
        assert made.path == str(path)
        assert {one.name for one in path.parent.iterdir()} == {"journal.db", "journal.db.hwm"}
        assert all(one.stat().st_mode & 0o077 == 0 for one in (path, path.parent, path.with_name("journal.db.hwm")))
        report = await verify_journal_file(path)
        assert report.ok, report
        found = await contacts_in(path)
        assert {f"c{number}" for number in range(1, 41)} <= found
        assert made.workspaces == {"main": report.workspaces[0].last_seq}

    async def test_it_contains_snapshots_so_that_a_start_is_short(self, site: Site) -> None:
        await site.set_up()
        await site.work(30)
        await site.stop()
        await site.start()
        await site.journal.back_up(site.directory / "backup")
        await site.stop()
        journal = SqliteJournal(site.directory / "backup" / "journal.db", reserved_bytes=0)
        (history,) = await journal.open()
        assert history.snapshot is not None and history.snapshot.seq == history.last_position.seq
        await journal.close()

    async def test_files_that_belong_to_it_are_copied_with_it(self, site: Site) -> None:
        await site.set_up()
        secret = site.directory / "token.secret"
        secret.write_text("a secret")
        await site.journal.back_up(site.directory / "backup", companions=(secret, site.directory / "missing"))
        await site.stop()
        copied = site.directory / "backup" / "token.secret"
        assert (copied.read_text(), copied.stat().st_mode & 0o777) == ("a secret", 0o600)

    async def test_missing_parent_directories_are_made(self, site: Site) -> None:
        await site.set_up()
        made = await site.journal.back_up(site.directory / "archive" / "2026" / "backup")
        await site.stop()
        assert (await verify_journal_file(Path(made.path))).ok

    async def test_a_directory_that_cannot_be_made_is_named(self, site: Site) -> None:
        await site.set_up()
        (site.directory / "file").write_text("")
        with pytest.raises(JournalUnavailable, match=r"file/backup: cannot be created"):
            await site.journal.back_up(site.directory / "file" / "backup")
        await site.stop()

    async def test_an_existing_directory_is_left_unchanged(self, site: Site) -> None:
        await site.set_up()
        target = site.directory / "backup"
        target.mkdir()
        with pytest.raises(JournalUnavailable, match="already exists"):
            await site.journal.back_up(target)
        assert list(target.iterdir()) == []
        await site.stop()

    async def test_an_interrupted_backup_leaves_nothing_that_looks_complete(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await site.set_up()
        await site.work(40)
        begun = asyncio.Event()
        # After the records and before the mark, so that the copy is neither empty nor complete.
        monkeypatch.setattr(export, "_copy_records", _records_then(begun, export._copy_records))
        task = asyncio.create_task(site.journal.back_up(site.directory / "backup"))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not (site.directory / "backup").exists()
        monkeypatch.undo()
        await site.journal.back_up(site.directory / "backup")
        await site.stop()


def _records_then(begun: asyncio.Event, copy_records: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    async def copied(*arguments: Any) -> None:
        await copy_records(*arguments)
        begun.set()
        await asyncio.Event().wait()

    return copied


class TestArchive:
    async def archived(self, site: Site) -> int:
        """Make two snapshots, archive what is older than the work after them, and return the first event that remains."""
        await site.set_up()
        for _ in range(3):
            await site.work(20)
            await site.stop()
            await site.start()
        report = await site.journal.archive(site.directory / "archive-1", before_ms=site.clock.now_ms())
        assert report is not None
        return site.journal.first_seq("main")

    async def test_the_state_survives_and_the_history_goes_on(self, site: Site) -> None:
        first_seq = await self.archived(site)
        assert first_seq > 10
        await site.work(5)
        digest = await site.digest()
        await site.stop()
        await site.start()
        assert (await site.digest(), site.journal.first_seq("main")) == (digest, first_seq)
        await site.work(5)
        await site.stop()
        report = await verify_journal_file(site.path)
        assert report.ok, report
        assert report.workspaces[0].archived_events == first_seq - 1
        assert report.workspaces[0].snapshot_digest == report.workspaces[0].digest

    async def test_archived_events_are_told_from_missing_ones(self, site: Site) -> None:
        first_seq = await self.archived(site)
        with pytest.raises(EventsArchived) as refused:
            await site.journal.read("main", after_seq=first_seq - 2, limit=10)
        assert refused.value.first_seq == first_seq
        records = await site.journal.read("main", after_seq=first_seq - 1, limit=10)
        assert records[0].first_seq == first_seq
        await site.stop()

    async def test_nothing_younger_than_the_limit_is_archived(self, site: Site) -> None:
        await site.set_up()
        for _ in range(3):
            await site.work(20)
            await site.stop()
            await site.start()
        limit_ms = START_MS + 15_000
        assert await site.journal.archive(site.directory / "archive", before_ms=limit_ms)
        first_seq = site.journal.first_seq("main")
        (record, *_) = await site.journal.read("main", after_seq=first_seq - 1, limit=1)
        assert record.at_ms == limit_ms
        assert await site.journal.archive(site.directory / "none", before_ms=limit_ms) is None
        await site.stop()

    async def test_without_a_snapshot_nothing_is_archived(self, site: Site) -> None:
        await site.set_up()
        assert await site.journal.archive(site.directory / "archive", before_ms=site.clock.now_ms() + 1) is None
        await site.stop()

    async def test_an_archive_verifies_and_no_router_starts_on_it(self, site: Site) -> None:
        await self.archived(site)
        await site.work(40)
        for _ in range(2):
            await site.stop()
            await site.start()
            await site.work(15)
        assert await site.journal.archive(site.directory / "archive-2", before_ms=site.clock.now_ms())
        await site.stop()
        for name in ("archive-1", "archive-2"):
            path = site.directory / name / "archive.db"
            report = await verify_journal_file(path)
            assert report.ok and report.workspaces[0].records, report
            with pytest.raises(JournalCorrupt, match="is an archive of a journal"):
                await SqliteJournal(path, reserved_bytes=0).open()

    async def test_archives_put_back_restore_the_whole_history(self, site: Site) -> None:
        await self.archived(site)
        await site.work(40)
        for _ in range(2):
            await site.stop()
            await site.start()
            await site.work(15)
        await site.journal.archive(site.directory / "archive-2", before_ms=site.clock.now_ms())
        await site.stop()
        journal = SqliteJournal(site.path, reserved_bytes=0)
        await journal.open(is_archive=True)
        for name, fits in (("archive-1", False), ("archive-2", True), ("archive-1", True)):
            archive = SqliteJournal(site.directory / name / "archive.db", reserved_bytes=0)
            await archive.open(is_archive=True)
            if fits:
                await journal.put_back(archive)
            else:
                with pytest.raises(JournalUnavailable, match="newest to the oldest"):
                    await journal.put_back(archive)
            await archive.close()
        assert journal.first_seq("main") == 1
        await journal.close()
        report = await verify_journal_file(site.path)
        assert report.ok and report.workspaces[0].archived_events == 0, report

    async def test_damage_to_both_snapshots_is_refused_with_the_way_out(self, site: Site) -> None:
        await self.archived(site)
        await site.stop()
        journal = SqliteJournal(site.path, reserved_bytes=0)
        await journal.open()
        await journal._run_guarded(lambda: journal._file._open_connection.execute("UPDATE snapshot SET sha256 = x'00'").rowcount)
        await journal.close()
        with pytest.raises(JournalCorrupt, match="router journal unarchive"):
            await SqliteJournal(site.path, reserved_bytes=0).open()
        journal = SqliteJournal(site.path, reserved_bytes=0)
        await journal.open(is_archive=True)
        archive = SqliteJournal(site.directory / "archive-1" / "archive.db", reserved_bytes=0)
        await archive.open(is_archive=True)
        await journal.put_back(archive)
        await archive.close()
        await journal.close()
        assert len(await contacts_in(site.path)) == site.submitted

    async def test_a_record_before_the_first_one_is_damage(self, site: Site) -> None:
        """The base row is part of the chain: it cannot be moved without being noticed."""
        first_seq = await self.archived(site)
        await site.stop()
        journal = SqliteJournal(site.path, reserved_bytes=0)
        await journal.open()
        await journal._run_guarded(lambda: journal._file.begin_at(1, first_seq, b"x" * 16))
        with pytest.raises(JournalCorrupt, match="the chain is broken"):
            await journal.read("main", after_seq=first_seq - 1, limit=1)
        await journal.close()


async def test_a_start_does_not_depend_on_rows_that_a_deletion_left(site: Site) -> None:
    """A kill between the base row and the deletion leaves records before the first one."""
    await TestArchive().archived(site)
    await site.stop()
    journal = SqliteJournal(site.path, reserved_bytes=0)
    await journal.open()
    file = journal._file
    row = (1, 1, b"left")
    await journal._run_guarded(lambda: file.put_back("main", [row]))
    await journal.close()
    assert len(await contacts_in(site.path)) == site.submitted
