"""The memory of the server is bounded: old records go to archive files that can be verified, and a start needs none of them."""

import asyncio
from pathlib import Path

import pytest

from router.journal.port import EventsArchived
from router.journal.redis.journal import RedisJournal
from router.journal.redis.snapshots import begin_snapshot, write_part
from router.journal.sqlite.export import ExportReport
from router.journal.sqlite.journal import SqliteJournal
from router.model.errors import JournalCorrupt, JournalError
from router.store_settings import Durability, StoreSettings
from tests.support.journal_records import a_snapshot, records
from tests.support.redis_server import wait_until
from tests.support.redis_storage import RedisJournalStorage


def a_journal(storage: RedisJournalStorage, directory: Path) -> RedisJournal:
    settings = StoreSettings(
        url=storage.settings.url, prefix=storage.prefix, durability=Durability.LEADER, event_count_max=1_000, lease_s=5
    )
    return RedisJournal(settings, data_directory=directory / "node", archive_directory=directory / "archive")


async def filled(storage: RedisJournalStorage, directory: Path, *, snapshots: tuple[int, ...]) -> RedisJournal:
    journal = a_journal(storage, directory)
    await journal.open()
    await journal.create_workspace("main")
    written = records(1_500)
    for start in range(0, len(written), 250):
        await journal.append([("main", record) for record in written[start : start + 250]])
        last_seq = written[start + 249].last_seq
        if last_seq in snapshots:
            await journal.save_snapshot("main", a_snapshot(last_seq))
    return journal


async def trim(journal: RedisJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.journal.redis.journal._CHECK_INTERVAL_S", 0.1)
    before = journal.first_seq("main")
    watching = asyncio.create_task(journal.run_maintenance())
    await asyncio.to_thread(wait_until, lambda: journal.first_seq("main") > before)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


# The last events of slices of 250 records.
SLICES = tuple(records(1_500)[place].last_seq for place in range(249, 1_500, 250))


async def test_old_records_are_archived_and_the_rest_starts(
    storage: RedisJournalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await filled(storage, tmp_path, snapshots=(SLICES[3], SLICES[4]))
    reports: list[ExportReport] = []
    journal.on_archived = reports.append
    await trim(journal, monkeypatch)
    first_seq = journal.first_seq("main")
    # The older snapshot and the events that may stay bound what is trimmed.
    assert SLICES[3] - 3 < first_seq <= SLICES[3]
    with pytest.raises(EventsArchived):
        await journal.read("main", after_seq=first_seq - 2, limit=1)
    assert (await journal.read("main", after_seq=first_seq - 1, limit=1))[0].first_seq == first_seq
    expected = [record for record in records(1_500) if record.first_seq >= first_seq]
    assert storage.client.xlen(storage.keys.log) < len(expected) + 200
    await journal.close()

    [report] = reports
    figures = journal.figures()
    assert (figures.archives, figures.archived_events, figures.archives_failed) == (1, first_seq - 1, 0)
    archive = SqliteJournal(Path(report.path), reserved_bytes=0)
    [history] = await archive.open(is_archive=True)
    archived = list(archive.replay("main"))
    await archive.close()
    assert history.last_position.seq == first_seq - 1
    assert archived + expected == records(1_500)

    journal = a_journal(storage, tmp_path)
    [history] = await journal.open()
    assert (history.first_seq, history.snapshot) == (first_seq, a_snapshot(SLICES[4]))
    assert list(journal.replay("main", after_seq=first_seq - 1)) == expected
    await journal.append([("main", record) for record in records(3, first_seq=SLICES[-1] + 1)])
    await journal.close()


async def test_without_two_snapshots_nothing_is_trimmed(
    storage: RedisJournalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await filled(storage, tmp_path, snapshots=(SLICES[4],))
    monkeypatch.setattr("router.journal.redis.journal._CHECK_INTERVAL_S", 0.1)
    watching = asyncio.create_task(journal.run_maintenance())
    await asyncio.sleep(2.5)
    assert journal.first_seq("main") == 1 and storage.client.xlen(storage.keys.log) == 1_500
    await journal.close()
    await watching


async def test_an_archive_that_cannot_be_written_leaves_the_records(
    storage: RedisJournalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await filled(storage, tmp_path, snapshots=(SLICES[3], SLICES[4]))
    (tmp_path / "archive").write_text("not a directory")
    errors: list[JournalError] = []
    journal.on_archive_failed = errors.append
    monkeypatch.setattr("router.journal.redis.journal._CHECK_INTERVAL_S", 0.1)
    watching = asyncio.create_task(journal.run_maintenance())
    await asyncio.to_thread(wait_until, lambda: errors)
    assert storage.client.xlen(storage.keys.log) == 1_500 and journal.first_seq("main") == 1
    assert journal.figures().archives == 0 and journal.figures().archives_failed >= 1
    await journal.close()
    await watching


async def test_trimmed_records_without_a_snapshot_are_refused(
    storage: RedisJournalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await filled(storage, tmp_path, snapshots=(SLICES[3], SLICES[4]))
    await trim(journal, monkeypatch)
    await journal.close()
    for seq in (SLICES[3], SLICES[4]):
        storage.client.delete(storage.keys.snapshot_part(seq, 0))
    with pytest.raises(JournalCorrupt, match="no snapshot can be read"):
        await a_journal(storage, tmp_path).open()


async def test_the_parts_of_an_interrupted_snapshot_are_deleted(storage: RedisJournalStorage, tmp_path: Path) -> None:
    journal = await filled(storage, tmp_path, snapshots=(SLICES[3], SLICES[4]))
    log = journal._logs["main"]
    # As a process that was killed while it wrote the second of three parts.
    begin_snapshot(journal._read_client, log, SLICES[5], 3)
    for part in range(2):
        write_part(journal._read_client, log.keys, SLICES[5], part, b"part")
    await journal.append([("main", record) for record in records(1, first_seq=SLICES[5] + 1)])
    await journal.save_snapshot("main", a_snapshot(SLICES[5] + 1))
    names = sorted(name.decode().split(":snap:")[1] for name in storage.client.keys(f"{storage.keys.base}:snap:*"))
    kept = (SLICES[4], SLICES[5] + 1)
    assert names == sorted(f"{seq}:{end}" for seq in kept for end in ("0", "1", "h"))
    await journal.close()
