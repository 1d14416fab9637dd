"""The contract of every ``Journal`` backend; the test file of each backend runs all of it.

A ``JournalStorage`` adapts a backend to the suite: it opens journals over what earlier ones have stored, simulates the death of
the process, and damages the stored data.
"""

from typing import Protocol

import pytest
from msgspec import structs

from router.journal.port import Journal, JournalOutdated, WorkspaceHistory
from router.journal.records import FORMAT, Position, Record, encode_body
from router.model.errors import JournalCorrupt, JournalLocked, JournalTooNew, JournalUnavailable
from tests.support.journal_records import a_policy_published, a_record, a_snapshot, records


class JournalStorage(Protocol):
    """The storage of a backend, with crashes and damage."""

    def journal(self) -> Journal:
        """Return a journal, not yet open, over the current storage."""
        ...

    async def crash(self, journal: Journal) -> None:
        """Simulate the death of the process that has opened the journal."""
        ...

    def flip_record(self, first_seq: int) -> None:
        """Change one bit of a record."""
        ...

    def remove_record(self, first_seq: int) -> None:
        """Remove one record."""
        ...

    def swap_records(self, first_seq: int, other_seq: int) -> None:
        """Swap two records."""
        ...

    def flip_newest_snapshot(self) -> None:
        """Change one bit of the newest snapshot."""
        ...

    def set_format(self, version: int) -> None:
        """Mark the storage as written in another format."""
        ...

    def fingerprint(self) -> bytes:
        """Return the bytes of the storage."""
        ...


class JournalContract:
    """The tests of the contract; subclasses provide the fixture ``storage``."""

    async def test_a_new_journal_is_empty(self, storage: JournalStorage) -> None:
        journal = storage.journal()
        assert list(await journal.open()) == []
        await journal.close()

    async def test_a_new_workspace_has_its_own_history_id(self, storage: JournalStorage) -> None:
        journal = storage.journal()
        await journal.open()
        one, other = await journal.create_workspace("one"), await journal.create_workspace("other")
        assert one.history_id != other.history_id
        assert one.last_position == Position(0, 0)
        assert one.snapshot is None
        await journal.close()
        found = await open_and_close(storage)
        assert [(h.workspace, h.history_id) for h in found] == [("one", one.history_id), ("other", other.history_id)]

    async def test_records_are_read_back_byte_for_byte_after_a_clean_close(self, storage: JournalStorage) -> None:
        written = records(40)
        journal = await filled_journal(storage, written)
        await journal.close()
        journal = storage.journal()
        (history,) = await journal.open()
        assert history.last_position == Position(1, written[-1].last_seq)
        found = list(journal.replay("main"))
        assert [encode_body(r) for r in found] == [encode_body(r) for r in written]
        await journal.close()

    async def test_records_survive_a_crash(self, storage: JournalStorage) -> None:
        written = records(40)
        await storage.crash(await filled_journal(storage, written))
        journal = storage.journal()
        await journal.open()
        assert list(journal.replay("main")) == written
        await journal.close()

    async def test_a_policy_round_trips(self, storage: JournalStorage) -> None:
        plain = a_record(1)
        record = structs.replace(plain, events=(*plain.events, a_policy_published()))
        journal = await filled_journal(storage, [record])
        assert await journal.read("main", after_seq=0, limit=10) == [record]
        await journal.close()

    async def test_workspaces_share_a_commit_and_nothing_else(self, storage: JournalStorage) -> None:
        journal = storage.journal()
        await journal.open()
        for name in ("a", "b"):
            await journal.create_workspace(name)
        await journal.append([("a", a_record(1)), ("b", a_record(1, events=3)), ("a", a_record(2))])
        await journal.append([("b", a_record(4))])
        await storage.crash(journal)
        journal = storage.journal()
        found = {h.workspace: h.last_position.seq for h in await journal.open()}
        assert found == {"a": 2, "b": 4}
        assert [r.first_seq for r in journal.replay("a")] == [1, 2]
        assert [r.first_seq for r in journal.replay("b")] == [1, 4]
        await journal.close()

    async def test_a_history_goes_on_after_a_restart(self, storage: JournalStorage) -> None:
        await (await filled_journal(storage, records(5))).close()
        journal = storage.journal()
        (history,) = await journal.open()
        next_seq = history.last_position.seq + 1
        await journal.append([("main", a_record(next_seq, epoch=2))])
        await journal.close()
        (history,) = await open_and_close(storage)
        assert history.last_position == Position(2, next_seq)

    async def test_replay_starts_with_the_record_that_contains_the_next_event(self, storage: JournalStorage) -> None:
        journal = await filled_journal(storage, [a_record(1, events=3), a_record(4, events=3), a_record(7)])
        assert [r.first_seq for r in journal.replay("main", after_seq=3)] == [4, 7]
        assert [r.first_seq for r in journal.replay("main", after_seq=5)] == [4, 7]
        assert [r.first_seq for r in journal.replay("main", after_seq=6)] == [7]
        assert list(journal.replay("main", after_seq=7)) == []
        await journal.close()

    async def test_read_returns_at_most_the_limit(self, storage: JournalStorage) -> None:
        written = records(700)
        journal = await filled_journal(storage, written)
        assert await journal.read("main", after_seq=0, limit=3) == written[:3]
        assert await journal.read("main", after_seq=0, limit=0) == []
        assert await journal.read("main", after_seq=0, limit=10_000) == written
        after = written[299].last_seq
        assert await journal.read("main", after_seq=after, limit=300) == written[300:600]
        assert await journal.read("main", after_seq=written[-1].last_seq, limit=5) == []
        await journal.close()

    async def test_a_gap_in_the_sequence_numbers_is_rejected(self, storage: JournalStorage) -> None:
        journal = await filled_journal(storage, [a_record(1)])
        with pytest.raises(AssertionError):
            await journal.append([("main", a_record(3))])
        await storage.crash(journal)
        (history,) = await open_and_close(storage)
        assert history.last_position.seq == 1

    async def test_an_altered_record_is_detected_at_open(self, storage: JournalStorage) -> None:
        await (await filled_journal(storage, records(9))).close()
        storage.flip_record(8)
        with pytest.raises(JournalCorrupt, match="main, seq 8"):
            await storage.journal().open()

    async def test_a_missing_record_is_detected_at_open(self, storage: JournalStorage) -> None:
        written = records(9)
        await (await filled_journal(storage, written)).close()
        storage.remove_record(written[4].first_seq)
        with pytest.raises(JournalCorrupt):
            await storage.journal().open()

    async def test_a_missing_end_is_detected_at_open(self, storage: JournalStorage) -> None:
        written = records(9)
        await (await filled_journal(storage, written)).close()
        storage.remove_record(written[-1].first_seq)
        with pytest.raises(JournalCorrupt):
            await storage.journal().open()

    async def test_swapped_records_are_detected_at_open(self, storage: JournalStorage) -> None:
        await (await filled_journal(storage, [a_record(n) for n in range(1, 6)])).close()
        storage.swap_records(2, 3)
        with pytest.raises(JournalCorrupt, match="main, seq 2"):
            await storage.journal().open()

    async def test_a_second_journal_is_locked_out_and_changes_nothing(self, storage: JournalStorage) -> None:
        journal = await filled_journal(storage, records(3))
        before = storage.fingerprint()
        with pytest.raises(JournalLocked):
            await storage.journal().open()
        assert storage.fingerprint() == before
        await journal.append([("main", a_record(7))])
        await journal.close()
        assert (await open_and_close(storage))[0].last_position.seq == 7

    async def test_a_newer_format_is_rejected_and_left_unchanged(self, storage: JournalStorage) -> None:
        await (await filled_journal(storage, records(3))).close()
        storage.set_format(FORMAT + 1)
        before = storage.fingerprint()
        with pytest.raises(JournalTooNew):
            await storage.journal().open()
        assert storage.fingerprint() == before

    async def test_an_older_format_is_rejected_and_left_unchanged(self, storage: JournalStorage) -> None:
        await (await filled_journal(storage, records(3))).close()
        storage.set_format(FORMAT - 1)
        before = storage.fingerprint()
        with pytest.raises(JournalOutdated):
            await storage.journal().open()
        assert storage.fingerprint() == before

    async def test_open_returns_the_newest_snapshot(self, storage: JournalStorage) -> None:
        journal = await filled_journal(storage, [a_record(n) for n in range(1, 8)])
        await journal.save_snapshot("main", a_snapshot(3))
        await journal.save_snapshot("main", a_snapshot(5, core=b"\0" * 3_000_000, meters=b""))
        await storage.crash(journal)
        journal = storage.journal()
        (history,) = await journal.open()
        assert history.snapshot == a_snapshot(5, core=b"\0" * 3_000_000, meters=b"")
        assert [r.first_seq for r in journal.replay("main", after_seq=5)] == [6, 7]
        assert [r.first_seq for r in journal.replay("main")] == [1, 2, 3, 4, 5, 6, 7]
        await journal.close()

    async def test_a_damaged_snapshot_falls_back_to_the_previous_one(self, storage: JournalStorage) -> None:
        journal = await filled_journal(storage, [a_record(n) for n in range(1, 8)])
        for seq in (2, 4, 6):
            await journal.save_snapshot("main", a_snapshot(seq, core=b"core" * seq))
        await journal.close()
        storage.flip_newest_snapshot()
        (history,) = await open_and_close(storage)
        assert history.snapshot == a_snapshot(4, core=b"core" * 4)
        storage.flip_newest_snapshot()
        (history,) = await open_and_close(storage)
        assert history.snapshot is None
        assert history.last_position.seq == 7

    async def test_saving_the_same_snapshot_twice_stores_one(self, storage: JournalStorage) -> None:
        journal = await filled_journal(storage, [a_record(1), a_record(2)])
        await journal.save_snapshot("main", a_snapshot(1))
        await journal.save_snapshot("main", a_snapshot(2))
        await journal.save_snapshot("main", a_snapshot(2))
        await journal.close()
        storage.flip_newest_snapshot()
        (history,) = await open_and_close(storage)
        assert history.snapshot == a_snapshot(1)

    async def test_close_is_idempotent(self, storage: JournalStorage) -> None:
        journal = await filled_journal(storage, records(2))
        await journal.close()
        await journal.close()
        with pytest.raises(JournalUnavailable):
            await journal.append([("main", a_record(4))])


async def filled_journal(storage: JournalStorage, written: list[Record]) -> Journal:
    """Return an open journal with these records in the workspace ``main``, written in several commits."""
    journal = storage.journal()
    await journal.open()
    await journal.create_workspace("main")
    for start in range(0, len(written), 4):
        await journal.append([("main", record) for record in written[start : start + 4]])
    return journal


async def open_and_close(storage: JournalStorage) -> list[WorkspaceHistory]:
    """Open and close the journal and return the histories found."""
    journal = storage.journal()
    found = list(await journal.open())
    await journal.close()
    return found
