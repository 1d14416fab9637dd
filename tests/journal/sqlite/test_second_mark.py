"""The second mark: an older copy that was put back, another history and a removed journal are refused; nothing else is."""

import shutil
from pathlib import Path

import pytest

from router.journal.highwater import HighWaterMark
from router.journal.sqlite.journal import SqliteJournal
from router.journal.sqlite.second_mark import SecondMark
from router.model.errors import JournalCorrupt, JournalLocked, JournalUnavailable
from tests.support.journal_records import a_record


class Site:
    """A journal directory, and another place for the second mark."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "journal"
        self.elsewhere = directory / "elsewhere"
        self.elsewhere.mkdir()
        self.second = self.elsewhere / "second.mark"

    def journal(self, *, second: bool = True) -> SqliteJournal:
        return SqliteJournal(
            self.directory / "journal.db",
            reserved_bytes=0,
            second_mark_path=self.second if second else None,
            high_water_interval_ms=1,
        )

    async def run(self, count: int, *, second: bool = True) -> None:
        """Open, append records and close."""
        journal = self.journal(second=second)
        histories = await journal.open()
        last = histories[0].last_position.seq if histories else 0
        if not histories:
            await journal.create_workspace("main")
        for seq in range(last + 1, last + 1 + count):
            await journal.append([("main", a_record(seq))])
        await journal.close()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def test_a_journal_that_goes_on_is_accepted(site: Site) -> None:
    for count in (0, 3, 0, 2):
        await site.run(count)


async def test_an_older_copy_is_refused_until_the_loss_is_accepted(site: Site, tmp_path: Path) -> None:
    await site.run(3)
    shutil.copytree(site.directory, tmp_path / "backup")
    await site.run(4)
    shutil.rmtree(site.directory)
    shutil.copytree(tmp_path / "backup", site.directory)
    with pytest.raises(JournalCorrupt, match=r"an older copy .* was put back.*--accept-history-loss"):
        await site.run(1)
    (loss,) = await site.journal().accept_history_loss()
    assert (loss.kept_seq, loss.dropped_records) == (3, 0)
    assert loss.new_history_id != loss.old_history_id
    await site.run(1)


async def test_without_a_second_mark_the_copy_cannot_be_told(site: Site, tmp_path: Path) -> None:
    await site.run(3, second=False)
    shutil.copytree(site.directory, tmp_path / "backup")
    await site.run(4, second=False)
    shutil.rmtree(site.directory)
    shutil.copytree(tmp_path / "backup", site.directory)
    await site.run(1, second=False)


async def test_a_removed_journal_is_refused(site: Site) -> None:
    await site.run(3)
    shutil.rmtree(site.directory)
    with pytest.raises(JournalCorrupt, match="the journal is missing, but the second mark"):
        await site.run(1)
    assert not (site.directory / "journal.db").exists()
    assert await site.journal().accept_history_loss() == []
    await site.run(1)


async def test_another_history_of_the_same_length_is_refused(site: Site, tmp_path: Path) -> None:
    await site.run(3)
    (tmp_path / "other").mkdir()
    other = Site(tmp_path / "other")
    await other.run(3)
    shutil.rmtree(site.directory)
    shutil.copytree(other.directory, site.directory)
    with pytest.raises(JournalCorrupt, match="another history"):
        await site.run(1)


async def test_a_mark_is_added_to_a_journal_that_had_none(site: Site) -> None:
    await site.run(3, second=False)
    await site.run(0)
    assert site.second.stat().st_mode & 0o777 == 0o600
    shutil.rmtree(site.directory)
    with pytest.raises(JournalCorrupt, match="is missing"):
        await site.run(0)


async def test_a_mark_of_an_earlier_moment_is_accepted(site: Site) -> None:
    await site.run(3)
    old = site.second.read_bytes()
    await site.run(5)
    site.second.write_bytes(old)
    await site.run(1)


async def test_a_damaged_mark_is_refused_and_replaced_on_the_operators_word(site: Site) -> None:
    await site.run(3)
    site.second.write_bytes(b"x" * 8192)
    with pytest.raises(JournalCorrupt, match="the second mark cannot be read"):
        await site.run(1)
    await site.journal().accept_history_loss()
    await site.run(1)


async def test_a_missing_place_is_refused_with_the_name_of_the_setting(site: Site) -> None:
    site.elsewhere.rmdir()
    with pytest.raises(JournalUnavailable, match="second_mark_path"):
        await site.run(1)


async def test_two_routers_cannot_share_a_mark(site: Site, tmp_path: Path) -> None:
    journal = site.journal()
    await journal.open()
    other = SqliteJournal(tmp_path / "third" / "journal.db", reserved_bytes=0, second_mark_path=site.second)
    with pytest.raises(JournalLocked, match="second_mark_path"):
        await other.open()
    await journal.close()


async def test_a_mark_that_cannot_be_written_is_reported_and_nothing_stops(site: Site) -> None:
    journal = site.journal()
    await journal.open()
    await journal.create_workspace("main")
    await journal.append([("main", a_record(1))])
    assert journal.second_mark_error is None
    site.second.unlink()
    await journal._write_second_mark()
    assert "removed" in str(journal.second_mark_error)
    await journal.append([("main", a_record(2))])
    await journal.close()
    await site.run(1)


def test_a_mark_that_was_overtaken_is_not_written(site: Site) -> None:
    second = SecondMark(site.second)
    second.open()
    newer, older = (HighWaterMark(number, bytes(16)) for number in (5, 4))
    second.write(newer)
    second.write(older)
    assert second._file is not None and second._file.read() == newer
    second.close()
    second.write(newer)
