"""Reads from any position of the event log, complete or refused (I29), and waiting for events."""

import asyncio

import pytest

from router.runtime.event_feed import FeedPosition, UnknownPosition
from tests.support.event_log import Log
from tests.support.journal_records import a_record


class TestRead:
    async def test_recent_and_evicted_records_are_read_alike(self) -> None:
        log = await Log(retained=2).open("main")
        for _ in range(7):
            await log.append(events=2)
        newest = log.feed.position("main")
        for after in range(15):
            found = await log.feed.read("main", FeedPosition(newest.history_id, after), limit=1_000)
            assert [one.record.first_seq for one in found] == [seq for seq in range(1, 15, 2) if seq + 1 > after]
            assert all(one.history_id == newest.history_id for one in found)

    async def test_at_most_the_limit_and_at_least_one_record_is_read(self) -> None:
        log = await Log(retained=3).open("main")
        for _ in range(6):
            await log.append(events=5)
        history_id = log.feed.position("main").history_id
        for after in (0, 7, 25, 29):
            for limit in (1, 2, 3):
                found = await log.feed.read("main", FeedPosition(history_id, after), limit=limit)
                assert 1 <= len(found) <= limit
                first = found[0].record
                assert first.first_seq <= after + 1 <= first.last_seq
        assert await log.feed.read("main", FeedPosition(history_id, 0), limit=0) == []

    async def test_durable_records_are_not_read_before_they_are_published(self) -> None:
        log = await Log(retained=1).open("main")
        for _ in range(3):
            await log.append()
        start = FeedPosition(log.feed.position("main").history_id, 0)
        await log.journal.append([("main", a_record(4))])
        found = await log.feed.read("main", start, limit=10)
        assert [one.record.first_seq for one in found] == [1, 2, 3]

    @pytest.mark.parametrize("seq", [-1, 4])
    async def test_impossible_positions_are_rejected(self, seq: int) -> None:
        log = await Log().open("main")
        for _ in range(3):
            await log.append()
        history_id = log.feed.position("main").history_id
        with pytest.raises(UnknownPosition):
            await log.feed.read("main", FeedPosition(history_id, seq), limit=1)

    async def test_positions_of_another_history_and_workspace_are_rejected(self) -> None:
        log = await Log().open("main")
        with pytest.raises(UnknownPosition):
            await log.feed.read("main", FeedPosition("another", 0), limit=1)
        with pytest.raises(KeyError):
            await log.feed.read("elsewhere", FeedPosition("another", 0), limit=1)

    async def test_waiting_ends_with_the_next_event_of_the_workspace(self) -> None:
        log = await Log().open("main", "other")
        await log.append()
        await log.feed.wait("main", 0)
        waiting = asyncio.create_task(log.feed.wait("main", 1))
        await log.append("other")
        await asyncio.sleep(0)
        assert not waiting.done()
        await log.append()
        await waiting


# --- the promise, for any course of events -------------------------------------------------


# --- mistakes that the promise has to find ---------------------------------------------------
