"""Losses are refused at the start, and accepted only at the operator's request, under a new history id."""

from pathlib import Path

import pytest

from router.journal.redis.journal import RedisJournal
from router.model.errors import JournalCorrupt
from tests.support.journal_records import a_record, a_snapshot, records
from tests.support.redis_storage import RedisJournalStorage


async def filled(storage: RedisJournalStorage, *, snapshot_seq: int = 0) -> str:
    """Write ten events of ``main`` and one of ``other``, close, and return the history id of ``main``."""
    journal = storage.journal()
    await journal.open()
    history = await journal.create_workspace("main")
    await journal.create_workspace("other")
    await journal.append([("main", a_record(n)) for n in range(1, 11)] + [("other", a_record(1))])
    if snapshot_seq:
        await journal.save_snapshot("main", a_snapshot(snapshot_seq))
    await journal.close()
    return history.history_id


async def reopened(storage: RedisJournalStorage) -> tuple[RedisJournal, dict[str, tuple[str, int]]]:
    journal = storage.journal()
    found = {one.workspace: (one.history_id, one.last_position.seq) for one in await journal.open()}
    return journal, found


async def test_an_intact_store_is_left_alone(storage: RedisJournalStorage) -> None:
    history_id = await filled(storage)
    assert await storage.journal().accept_history_loss() == []
    journal, found = await reopened(storage)
    assert found["main"] == (history_id, 10)
    await journal.close()


@pytest.mark.parametrize("snapshot_seq", [0, 4])
async def test_the_intact_beginning_goes_on_under_a_new_id(storage: RedisJournalStorage, snapshot_seq: int) -> None:
    old_id = await filled(storage, snapshot_seq=snapshot_seq)
    storage.flip_record(7)
    with pytest.raises(JournalCorrupt, match="main, seq 7"):
        await storage.journal().open()
    [loss] = await storage.journal().accept_history_loss()
    assert (loss.workspace, loss.old_history_id, loss.kept_seq, loss.dropped_records) == ("main", old_id, 6, 4)
    journal, found = await reopened(storage)
    assert found["main"] == (loss.new_history_id, 6) and loss.new_history_id != old_id and found["other"][1] == 1
    await journal.append([("main", a_record(7, epoch=9))])
    assert [r.first_seq for r in journal.replay("main")] == [1, 2, 3, 4, 5, 6, 7]
    await journal.close()


async def test_a_deleted_stream_behind_a_snapshot(storage: RedisJournalStorage) -> None:
    await filled(storage, snapshot_seq=8)
    storage.client.delete(storage.keys.log)
    with pytest.raises(JournalCorrupt):
        await storage.journal().open()
    [loss] = await storage.journal().accept_history_loss()
    assert loss.kept_seq == 8
    journal, found = await reopened(storage)
    assert found["main"] == (loss.new_history_id, 8)
    await journal.append([("main", a_record(9))])
    assert [r.first_seq for r in journal.replay("main", after_seq=8)] == [9]
    await journal.close()


async def test_an_older_copy_of_the_store_is_recognised(storage: RedisJournalStorage) -> None:
    await filled(storage)
    names = storage.client.keys(f"{storage.prefix}:*")
    copy = {name: storage.client.dump(name) for name in names}
    journal, _ = await reopened(storage)
    await journal.append([("main", a_record(11))])
    await journal.close()
    storage.client.delete(*storage.client.keys(f"{storage.prefix}:*"))
    for name, data in copy.items():
        storage.client.restore(name, 0, data)
    with pytest.raises(JournalCorrupt, match="the store ends at event 10, but event 11 was acknowledged"):
        await storage.journal().open()
    [loss] = await storage.journal().accept_history_loss()
    assert (loss.kept_seq, loss.dropped_records) == (10, 0)
    journal, found = await reopened(storage)
    assert found["main"] == (loss.new_history_id, 10)
    await journal.close()


async def test_an_emptied_store_starts_again_after_it_is_accepted(storage: RedisJournalStorage) -> None:
    old_id = await filled(storage)
    storage.client.delete(*storage.client.keys(f"{storage.prefix}:*"))
    with pytest.raises(JournalCorrupt, match="is empty"):
        await storage.journal().open()
    losses = await storage.journal().accept_history_loss()
    assert {(loss.workspace, loss.kept_seq) for loss in losses} == {("main", 0), ("other", 0)}
    journal, found = await reopened(storage)
    assert found == {}
    assert (await journal.create_workspace("main")).history_id != old_id
    await journal.close()


async def test_another_node_knows_that_the_loss_was_accepted(storage: RedisJournalStorage, tmp_path: Path) -> None:
    await filled(storage)
    there = RedisJournal(storage.settings, data_directory=tmp_path / "two", archive_directory=tmp_path)
    await there.open()
    await there.close()
    storage.flip_record(7)
    await storage.journal().accept_history_loss()
    await there_again(storage, tmp_path)


async def there_again(storage: RedisJournalStorage, tmp_path: Path) -> None:
    journal = RedisJournal(storage.settings, data_directory=tmp_path / "two", archive_directory=tmp_path)
    assert {one.last_position.seq for one in await journal.open()} == {6, 1}
    await journal.close()


async def test_a_workspace_whose_creation_was_interrupted_is_taken_over(storage: RedisJournalStorage) -> None:
    await filled(storage)
    storage.client.hdel(f"{storage.prefix}:workspaces", "other")
    journal, found = await reopened(storage)
    assert "other" not in found
    history = await journal.create_workspace("other")
    assert history.last_position.seq == 1
    await journal.append([("other", record) for record in records(2, first_seq=2)])
    await journal.close()
