"""What every journal promises, whatever it is made of. Each keeper's test file runs all of this on itself.

A ``Keeper`` is the keeper's own way to make a journal over what an earlier one has left, to drop a journal as a killed
process would, and to do damage.
"""

from typing import Protocol

import pytest
from msgspec import structs

from router.journal.codec import encode_body
from router.journal.port import Journal, Position, Record, WorkspaceHistory
from router.model.errors import (
    JournalCorrupt,
    JournalLocked,
    JournalTooNew,
    JournalUnavailable,
)
from tests.journal.records import a_policy_published, a_record, a_snapshot, records


class Keeper(Protocol):
    """A medium and what can happen to it."""

    def journal(self) -> Journal:
        """A journal, not open yet, over the medium as it is now."""
        ...

    async def crash(self, journal: Journal) -> None:
        """The journal's process is gone, without a word."""
        ...

    def flip_record(self, first_seq: int) -> None:
        """Change one bit of a record."""
        ...

    def remove_record(self, first_seq: int) -> None:
        """Take one record away."""
        ...

    def swap_records(self, first_seq: int, other_seq: int) -> None:
        """Let two records change places."""
        ...

    def flip_newest_snapshot(self) -> None:
        """Change one bit of the newest snapshot."""
        ...

    def make_newer(self) -> None:
        """A later version has written the medium."""
        ...

    def fingerprint(self) -> bytes:
        """The medium, byte for byte."""
        ...


class JournalContract:
    """Subclasses provide the fixture ``keeper``."""

    async def test_a_new_journal_is_empty(self, keeper: Keeper) -> None:
        journal = keeper.journal()
        assert list(await journal.open()) == []
        await journal.close()

    async def test_a_new_workspace_has_a_generation_of_its_own(self, keeper: Keeper) -> None:
        journal = keeper.journal()
        await journal.open()
        one, other = await journal.create_workspace("one"), await journal.create_workspace("other")
        assert one.gen != other.gen
        assert one.last == Position(0, 0)
        assert one.snapshot is None
        await journal.close()
        found = await keeper_open(keeper)
        assert [(h.workspace, h.gen) for h in found] == [("one", one.gen), ("other", other.gen)]

    async def test_records_are_read_back_byte_for_byte_after_an_orderly_end(
        self, keeper: Keeper
    ) -> None:
        written = records(40)
        journal = await filled(keeper, written)
        await journal.close()
        journal = keeper.journal()
        (history,) = await journal.open()
        assert history.last == Position(1, written[-1].last_seq)
        found = list(journal.replay("main"))
        assert [encode_body(r) for r in found] == [encode_body(r) for r in written]
        await journal.close()

    async def test_records_are_there_after_a_crash(self, keeper: Keeper) -> None:
        written = records(40)
        await keeper.crash(await filled(keeper, written))
        journal = keeper.journal()
        await journal.open()
        assert list(journal.replay("main")) == written
        await journal.close()

    async def test_a_policy_comes_back_as_it_was(self, keeper: Keeper) -> None:
        plain = a_record(1)
        record = structs.replace(plain, events=(*plain.events, a_policy_published()))
        journal = await filled(keeper, [record])
        assert await journal.read("main", after_seq=0, limit=10) == [record]
        await journal.close()

    async def test_workspaces_share_a_commit_and_nothing_else(self, keeper: Keeper) -> None:
        journal = keeper.journal()
        await journal.open()
        for name in ("a", "b"):
            await journal.create_workspace(name)
        await journal.append([("a", a_record(1)), ("b", a_record(1, events=3)), ("a", a_record(2))])
        await journal.append([("b", a_record(4))])
        await keeper.crash(journal)
        journal = keeper.journal()
        found = {h.workspace: h.last.seq for h in await journal.open()}
        assert found == {"a": 2, "b": 4}
        assert [r.first_seq for r in journal.replay("a")] == [1, 2]
        assert [r.first_seq for r in journal.replay("b")] == [1, 4]
        await journal.close()

    async def test_a_history_goes_on_after_a_restart(self, keeper: Keeper) -> None:
        await (await filled(keeper, records(5))).close()
        journal = keeper.journal()
        (history,) = await journal.open()
        next_seq = history.last.seq + 1
        await journal.append([("main", a_record(next_seq, epoch=2))])
        await journal.close()
        (history,) = await keeper_open(keeper)
        assert history.last == Position(2, next_seq)

    async def test_replay_begins_with_the_record_that_holds_the_next_event(
        self, keeper: Keeper
    ) -> None:
        journal = await filled(keeper, [a_record(1, events=3), a_record(4, events=3), a_record(7)])
        assert [r.first_seq for r in journal.replay("main", after_seq=3)] == [4, 7]
        assert [r.first_seq for r in journal.replay("main", after_seq=5)] == [4, 7]
        assert [r.first_seq for r in journal.replay("main", after_seq=6)] == [7]
        assert list(journal.replay("main", after_seq=7)) == []
        await journal.close()

    async def test_reading_gives_at_most_as_many_as_asked_for(self, keeper: Keeper) -> None:
        written = records(700)
        journal = await filled(keeper, written)
        assert await journal.read("main", after_seq=0, limit=3) == written[:3]
        assert await journal.read("main", after_seq=0, limit=0) == []
        assert await journal.read("main", after_seq=0, limit=10_000) == written
        after = written[299].last_seq
        assert await journal.read("main", after_seq=after, limit=300) == written[300:600]
        assert await journal.read("main", after_seq=written[-1].last_seq, limit=5) == []
        await journal.close()

    async def test_a_gap_in_the_numbers_is_not_written(self, keeper: Keeper) -> None:
        journal = await filled(keeper, [a_record(1)])
        with pytest.raises(AssertionError):
            await journal.append([("main", a_record(3))])
        await keeper.crash(journal)
        (history,) = await keeper_open(keeper)
        assert history.last.seq == 1

    async def test_an_altered_record_is_found_at_open(self, keeper: Keeper) -> None:
        await (await filled(keeper, records(9))).close()
        keeper.flip_record(8)
        with pytest.raises(JournalCorrupt, match="main, seq 8"):
            await keeper.journal().open()

    async def test_a_missing_record_is_found_at_open(self, keeper: Keeper) -> None:
        written = records(9)
        await (await filled(keeper, written)).close()
        keeper.remove_record(written[4].first_seq)
        with pytest.raises(JournalCorrupt):
            await keeper.journal().open()

    async def test_a_missing_end_is_found_at_open(self, keeper: Keeper) -> None:
        written = records(9)
        await (await filled(keeper, written)).close()
        keeper.remove_record(written[-1].first_seq)
        with pytest.raises(JournalCorrupt):
            await keeper.journal().open()

    async def test_exchanged_records_are_found_at_open(self, keeper: Keeper) -> None:
        await (await filled(keeper, [a_record(n) for n in range(1, 6)])).close()
        keeper.swap_records(2, 3)
        with pytest.raises(JournalCorrupt, match="main, seq 2"):
            await keeper.journal().open()

    async def test_a_second_keeper_is_kept_out_and_changes_nothing(self, keeper: Keeper) -> None:
        journal = await filled(keeper, records(3))
        before = keeper.fingerprint()
        with pytest.raises(JournalLocked):
            await keeper.journal().open()
        assert keeper.fingerprint() == before
        await journal.append([("main", a_record(7))])
        await journal.close()
        assert (await keeper_open(keeper))[0].last.seq == 7

    async def test_a_newer_format_is_refused_and_left_alone(self, keeper: Keeper) -> None:
        await (await filled(keeper, records(3))).close()
        keeper.make_newer()
        before = keeper.fingerprint()
        with pytest.raises(JournalTooNew):
            await keeper.journal().open()
        assert keeper.fingerprint() == before

    async def test_the_newest_snapshot_comes_with_the_history(self, keeper: Keeper) -> None:
        journal = await filled(keeper, [a_record(n) for n in range(1, 8)])
        await journal.save_snapshot("main", a_snapshot(3))
        await journal.save_snapshot("main", a_snapshot(5, core=b"\0" * 3_000_000, meters=b""))
        await keeper.crash(journal)
        journal = keeper.journal()
        (history,) = await journal.open()
        assert history.snapshot == a_snapshot(5, core=b"\0" * 3_000_000, meters=b"")
        assert [r.first_seq for r in journal.replay("main", after_seq=5)] == [6, 7]
        assert [r.first_seq for r in journal.replay("main")] == [1, 2, 3, 4, 5, 6, 7]
        await journal.close()

    async def test_a_damaged_snapshot_gives_way_to_the_one_before(self, keeper: Keeper) -> None:
        journal = await filled(keeper, [a_record(n) for n in range(1, 8)])
        for seq in (2, 4, 6):
            await journal.save_snapshot("main", a_snapshot(seq, core=b"core" * seq))
        await journal.close()
        keeper.flip_newest_snapshot()
        (history,) = await keeper_open(keeper)
        assert history.snapshot == a_snapshot(4, core=b"core" * 4)
        keeper.flip_newest_snapshot()
        (history,) = await keeper_open(keeper)
        assert history.snapshot is None
        assert history.last.seq == 7

    async def test_the_same_snapshot_twice_is_one(self, keeper: Keeper) -> None:
        journal = await filled(keeper, [a_record(1), a_record(2)])
        await journal.save_snapshot("main", a_snapshot(1))
        await journal.save_snapshot("main", a_snapshot(2))
        await journal.save_snapshot("main", a_snapshot(2))
        await journal.close()
        keeper.flip_newest_snapshot()
        (history,) = await keeper_open(keeper)
        assert history.snapshot == a_snapshot(1)

    async def test_closing_twice_is_closing_once(self, keeper: Keeper) -> None:
        journal = await filled(keeper, records(2))
        await journal.close()
        await journal.close()
        with pytest.raises(JournalUnavailable):
            await journal.append([("main", a_record(4))])


async def filled(keeper: Keeper, written: list[Record]) -> Journal:
    """An open journal with these records in the workspace ``main``, several commits."""
    journal = keeper.journal()
    await journal.open()
    await journal.create_workspace("main")
    for start in range(0, len(written), 4):
        await journal.append([("main", record) for record in written[start : start + 4]])
    return journal


async def keeper_open(keeper: Keeper) -> list[WorkspaceHistory]:
    """What opening finds; closed again."""
    journal = keeper.journal()
    found = list(await journal.open())
    await journal.close()
    return found
