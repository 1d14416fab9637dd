"""Subscriptions: every record at least once and in order, whatever fails in between."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.journal.memory import MemoryJournal
from router.journal.records import Record
from router.model.errors import JournalUnavailable
from router.model.events import PolicyPublished
from router.model.states import WorkspaceId
from router.runtime import event_feed as subscription_module
from router.runtime.event_feed import (
    CursorStore,
    EventFeed,
    FeedPosition,
    FileCursorStore,
    MemoryCursorStore,
    Subscription,
    SubscriptionState,
)
from router.runtime.publisher import PublishedRecord
from tests.support.builders import START_MS, a_contact, published
from tests.support.event_log import Handler, Log, caught_up, until
from tests.support.manual_clock import ManualClock
from tests.support.running_writer import execute_done, running_writer


class TestDelivery:
    async def test_inline_records_are_handled_when_publish_returns(self) -> None:
        log, handler = await Log().open("main"), Handler()
        log.feed.subscribe_inline("test", handler)
        await log.append()
        assert handler.handled == [("main", 1)]

    async def test_a_coroutine_handler_gets_every_record_in_order(self) -> None:
        log, handler = await Log().open("main", "other"), Handler()
        log.feed.subscribe("test", handler.coroutine)
        for _ in range(10):
            await log.append()
            await log.append("other", events=3)
        await caught_up(log)
        assert handler.seqs() == list(range(1, 11))
        assert handler.seqs("other") == list(range(1, 31, 3))

    @pytest.mark.parametrize(("from_start", "seqs"), [(False, [4]), (True, [1, 2, 3, 4])])
    async def test_a_new_subscription_starts_at_either_end(self, from_start: bool, seqs: list[int]) -> None:
        log, handler = await Log().open("main"), Handler()
        for _ in range(3):
            await log.append()
        log.feed.subscribe_inline("test", handler, from_start=from_start)
        await log.append()
        await caught_up(log)
        assert handler.seqs() == seqs

    async def test_a_workspace_added_later_is_delivered_from_its_first_event(self) -> None:
        log, handler = await Log().open("main"), Handler()
        log.feed.subscribe_inline("test", handler)
        history = await log.journal.create_workspace("late")
        log.publisher.add_workspace("late", history.history_id, last_seq=0)
        await log.append("late")
        assert handler.seqs("late") == [1]

    async def test_a_closed_subscription_gets_nothing_more(self) -> None:
        log, handler = await Log().open("main"), Handler()
        subscription = log.feed.subscribe_inline("test", handler)
        await subscription.close()
        await subscription.close()
        await log.append()
        assert (handler.handled, log.feed.statuses()) == ([], [])

    async def test_a_handler_can_end_its_own_subscription(self) -> None:
        log, handled = await Log().open("main"), list[int]()
        ending: list[asyncio.Task[None]] = []

        def once(published: PublishedRecord) -> None:
            handled.append(published.record.first_seq)
            ending.append(asyncio.create_task(subscription.close()))

        subscription = log.feed.subscribe_inline("once", once)
        await log.append()
        await asyncio.gather(*ending)
        await log.append()
        assert handled == [1]

    async def test_two_subscriptions_of_one_name_are_rejected(self) -> None:
        log = await Log().open("main")
        log.feed.subscribe_inline("test", Handler())
        with pytest.raises(ValueError, match="exists already"):
            log.feed.subscribe_inline("test", Handler())


class Observer:
    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def on_subscriber_failure(self, subscription: str, workspace: WorkspaceId | None, error: Exception, retry_s: float) -> None:
        self.seen.append(("failure", subscription, workspace, type(error), retry_s))

    def on_subscriber_recovery(self, subscription: str, workspace: WorkspaceId) -> None:
        self.seen.append(("recovery", subscription, workspace))

    def on_record_skipped(self, subscription: str, workspace: WorkspaceId, record: Record) -> None:
        self.seen.append(("skipped", subscription, workspace, record.first_seq))


class TestFailures:
    async def test_a_failing_handler_disturbs_no_other_and_loses_nothing(self) -> None:
        log, broken, sound = await Log().open("main"), Handler(), Handler()
        log.feed.subscribe_inline("broken", broken)
        log.feed.subscribe_inline("sound", sound)
        broken.failures_left = 3
        for _ in range(9):
            await log.append()
        assert sound.seqs() == list(range(1, 10))
        await caught_up(log)
        assert broken.seqs() == list(range(1, 10))
        first, second = log.feed.statuses()
        assert (first.failures, first.recoveries, first.last_error) == (3, 1, "ValueError")
        assert (second.failures, second.recoveries, second.last_error) == (0, 0, None)

    async def test_other_workspaces_of_a_failing_subscription_go_on(self) -> None:
        log, handler = await Log().open("main", "other"), Handler()
        log.feed.subscribe_inline("test", handler)
        handler.fails_at = ("main", 1)
        await log.append()
        await log.append("other")
        assert handler.handled == [("other", 1)]
        (status,) = log.feed.statuses()
        assert (status.state, status.lag_events) == (SubscriptionState.RETRYING, 1)
        handler.fails_at = None
        await caught_up(log)
        assert handler.seqs() == [1]
        await log.feed.close()

    async def test_the_subscriber_is_told_which_record_was_given_up(self) -> None:
        log, handler, lost = await Log().open("main"), Handler(), list[int]()
        log.feed.subscribe_inline("test", handler, attempts_max=2, on_skipped=lambda one: lost.append(one.record.first_seq))
        handler.fails_at = ("main", 1)
        await log.append()
        await log.append()
        await caught_up(log)
        assert (lost, handler.seqs()) == ([1], [2])

    async def test_a_failing_handler_of_skipped_records_is_counted(self) -> None:
        def failing(_: PublishedRecord) -> None:
            raise KeyError("no such client")

        log, handler = await Log().open("main"), Handler()
        log.feed.subscribe_inline("test", handler, attempts_max=1, on_skipped=failing)
        handler.fails_at = ("main", 1)
        await log.append()
        await log.append()
        await caught_up(log)
        (status,) = log.feed.statuses()
        assert (status.failures, status.skipped_records, status.last_error, handler.seqs()) == (2, 1, "KeyError", [2])

    async def test_an_unexpected_error_of_a_read_is_visible_and_repeated(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing is published after it: the records must not wait for the next one."""
        log, handler = await Log(retained=1).open("main"), Handler()
        for _ in range(3):
            await log.append()
        read, failures = log.journal.read, [ZeroDivisionError(), ZeroDivisionError()]

        async def failing(*names: Any, **limits: Any) -> Any:
            if failures:
                raise failures.pop()
            return await read(*names, **limits)

        monkeypatch.setattr(log.journal, "read", failing)
        log.feed.subscribe("test", handler.coroutine, from_start=True)
        await until(lambda: log.feed.statuses()[0].failures == 1)
        assert log.feed.statuses()[0].state is SubscriptionState.RETRYING
        await caught_up(log)
        (status,) = log.feed.statuses()
        assert handler.seqs() == [1, 2, 3]
        assert (status.failures, status.recoveries, status.last_error) == (2, 1, "ZeroDivisionError")

    async def test_a_record_is_given_up_after_its_attempts(self) -> None:
        log, handler, observer = await Log().open("main"), Handler(), Observer()
        log.feed.observer = observer
        log.feed.subscribe_inline("test", handler, attempts_max=3)
        handler.fails_at = ("main", 2)
        for _ in range(4):
            await log.append()
        await caught_up(log)
        assert handler.seqs() == [1, 3, 4]
        (status,) = log.feed.statuses()
        assert (status.failures, status.skipped_records) == (3, 1)
        assert observer.seen[-1] == ("skipped", "test", "main", 2)

    async def test_a_record_given_up_at_once_leaves_the_subscription_live(self) -> None:
        log, handler = await Log().open("main"), Handler()
        log.feed.subscribe_inline("test", handler, attempts_max=1)
        handler.fails_at = ("main", 1)
        await log.append()
        (status,) = log.feed.statuses()
        assert (status.state, status.skipped_records) == (SubscriptionState.LIVE, 1)
        await log.append()
        assert handler.seqs() == [2]

    async def test_the_delay_doubles_up_to_its_limit(self) -> None:
        log, handler, observer = await Log().open("main"), Handler(), Observer()
        log.feed = EventFeed(log.publisher, log.journal, observer=observer, retry_min_s=0.001, retry_max_s=0.005)
        log.feed.subscribe("test", handler.coroutine)
        handler.failures_left = 5
        await log.append()
        await caught_up(log)
        delays = [one[-1] for one in observer.seen if one[0] == "failure"]
        assert delays == [0.001, 0.002, 0.004, 0.005, 0.005]
        assert observer.seen[-1] == ("recovery", "test", "main")

    async def test_a_journal_that_cannot_be_read_is_tried_again(self) -> None:
        log, handler = await Log(retained=1).open("main"), Handler()
        for _ in range(5):
            await log.append()
        read, faults = log.journal.read, [JournalUnavailable("the disk is slow")] * 2

        async def failing(*arguments: Any, **limits: Any) -> list[Record]:
            if faults:
                raise faults.pop()
            return await read(*arguments, **limits)

        log.journal.read = failing  # type: ignore[method-assign]
        log.feed.subscribe_inline("test", handler, from_start=True, attempts_max=1)
        await caught_up(log)
        assert handler.seqs() == [1, 2, 3, 4, 5]
        (status,) = log.feed.statuses()
        assert (status.failures, status.skipped_records) == (2, 0)

    async def test_the_writer_goes_on_while_a_subscriber_fails(self) -> None:
        handler = Handler()
        handler.failures_left = 10**9
        async with running_writer(MemoryJournal(), clock=ManualClock(START_MS)) as writer:
            writer.feed.subscribe_inline("broken", handler)
            await writer.add_workspace("main")
            await execute_done(writer, published())
            for number in range(5):
                await execute_done(writer, a_contact(f"c{number}"))
            (status,) = writer.feed.statuses()
            assert status.state is SubscriptionState.RETRYING
            assert status.lag_events == writer.publisher.last_seq("main") > 5


class TestCursors:
    async def test_a_restart_continues_at_the_cursor(self, tmp_path: Any) -> None:
        store, handler = FileCursorStore(tmp_path / "cursors"), Handler()
        log = await Log().open("main")
        for _ in range(2):
            await log.append()
        log.feed.subscribe_inline("test", handler, cursors=store)
        for _ in range(2):
            await log.append()
        log = await log.restarted()
        for _ in range(2):
            await log.append()
        log.feed.subscribe_inline("test", handler, cursors=store)
        await caught_up(log)
        assert handler.seqs() == [3, 4, 5, 6]

    async def test_after_a_crash_records_are_repeated_not_lost(self) -> None:
        store, handler = MemoryCursorStore(), Handler()
        log = await Log().open("main")
        store.save("test", {"main": FeedPosition(log.feed.position("main").history_id, 0)})
        log.feed.subscribe_inline("test", handler, cursors=store)
        for _ in range(3):
            await log.append()
        log = await Log(log.storage).open()
        log.feed.subscribe_inline("test", handler, cursors=store)
        await caught_up(log)
        assert handler.seqs() == [1, 2, 3, 1, 2, 3]

    async def test_cursors_are_saved_while_running(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(subscription_module, "SAVE_INTERVAL_S", 0.001)
        store = MemoryCursorStore()
        log = await Log().open("main")
        log.feed.subscribe_inline("test", Handler(), cursors=store)
        for seq in (1, 2):
            await log.append()
            await until(lambda: store.load("test").get("main") == log.feed.position("main"))
            assert store.load("test")["main"].seq == seq
        await log.feed.close()

    async def test_a_store_that_fails_is_counted_and_tried_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(subscription_module, "SAVE_INTERVAL_S", 0.001)
        store, faults = MemoryCursorStore(), [OSError("no space")] * 2
        save = store.save

        def failing(subscription: str, cursors: dict[WorkspaceId, FeedPosition]) -> None:
            if faults:
                raise faults.pop()
            save(subscription, cursors)

        store.save = failing  # type: ignore[method-assign]
        log = await Log().open("main")
        log.feed.subscribe_inline("test", Handler(), cursors=store)
        await log.append()
        await until(lambda: bool(store.load("test")))
        (status,) = log.feed.statuses()
        assert (status.failures, status.last_error) == (2, "OSError")
        await log.feed.close()

    async def test_a_replaced_history_continues_at_its_end_at_the_latest(self) -> None:
        store, handler = MemoryCursorStore(), Handler()
        store.save("test", {"main": FeedPosition("lost", 9)})
        log = await Log().open("main")
        for _ in range(4):
            await log.append()
        log.feed.subscribe_inline("test", handler, cursors=store)
        await log.append()
        assert handler.seqs() == [5]
        await log.feed.close()
        assert store.load("test") == {"main": log.feed.position("main")}

    async def test_cursors_of_workspaces_that_are_not_open_are_kept(self) -> None:
        store = MemoryCursorStore()
        store.save("test", {"closed": FeedPosition("history", 9)})
        log = await Log().open("main")
        log.feed.subscribe_inline("test", Handler(), cursors=store)
        await log.append()
        await log.feed.close()
        assert store.load("test") == {"closed": FeedPosition("history", 9), "main": log.feed.position("main")}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.sampled_from(["main", "other"]), st.integers(1, 3)),
        st.tuples(st.just("fail"), st.just(""), st.integers(1, 3)),
        st.tuples(st.just("yield"), st.just(""), st.integers(1, 4)),
        st.tuples(st.just("restart"), st.just(""), st.just(0)),
        st.tuples(st.just("crash"), st.just(""), st.just(0)),
    ),
    max_size=40,
)

Step = tuple[str, str, int]


async def play(steps: list[Step], *, inline: bool, store: CursorStore) -> tuple[Handler, Log]:
    """Play the steps, then let the handler succeed until everything is handled."""
    handler, log = Handler(), await Log().open("main", "other")

    def subscribe() -> None:
        if inline:
            log.feed.subscribe_inline("test", handler, cursors=store, from_start=True)
        else:
            log.feed.subscribe("test", handler.coroutine, cursors=store, from_start=True)

    subscribe()
    for kind, name, count in steps:
        if kind == "append":
            await log.append(name, events=count)
        elif kind == "fail":
            handler.failures_left += count
        elif kind == "yield":
            for _ in range(count):
                await asyncio.sleep(0)
        else:
            if kind == "crash":
                for subscription in log.feed._subscriptions:
                    subscription._store = None
            log = await log.restarted()
            subscribe()
    handler.failures_left = 0
    await caught_up(log)
    await log.feed.close()
    return handler, log


def check_delivery(handler: Handler, log: Log) -> None:
    """Every record at least once; never one whose predecessors have not been handled."""
    for name, workspace in log.storage.workspaces.items():
        first_seqs = [key for key, _ in workspace.rows]
        done = 0
        for seq in handler.seqs(name):
            place = first_seqs.index(seq)
            assert place <= done, f"{name}: record {seq} came before an earlier one"
            done = max(done, place + 1)
        assert done == len(first_seqs), f"{name}: records are missing"


@settings(max_examples=150, deadline=None)
@given(STEPS, st.booleans())
def test_every_record_is_delivered_in_order_at_least_once(steps: list[Step], inline: bool) -> None:
    handler, log = asyncio.run(play(steps, inline=inline, store=MemoryCursorStore()))
    check_delivery(handler, log)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["main", "other"]), max_size=30), st.booleans())
def test_without_failures_every_record_is_delivered_exactly_once(names: list[str], inline: bool) -> None:
    steps = [("append", name, 1) for name in names]
    handler, log = asyncio.run(play(steps, inline=inline, store=MemoryCursorStore()))
    assert len(handler.handled) == len(set(handler.handled)) == len(names)
    check_delivery(handler, log)


def advance_before_handling(patch: pytest.MonkeyPatch) -> None:
    failed = Subscription._delivery_failed

    def advanced(self: Subscription, cursor: Any, record: Record, error: Exception) -> bool:
        failed(self, cursor, record, error)
        cursor.failing, cursor.state = 0, SubscriptionState.LIVE
        self._advance(cursor, record)
        return True

    patch.setattr(Subscription, "_delivery_failed", advanced)


def go_live_with_records_missing(patch: pytest.MonkeyPatch) -> None:
    async def run(self: Subscription, cursor: Any) -> None:
        cursor.seq = self._feed.publisher.last_seq(cursor.workspace)
        cursor.failing, cursor.state, cursor.task = 0, SubscriptionState.LIVE, None

    patch.setattr(Subscription, "_run", run)


def deliver_inline_while_catching_up(patch: pytest.MonkeyPatch) -> None:
    def on_record(self: Subscription, published: PublishedRecord, last_seq: int) -> None:
        cursor = self._cursors[published.workspace]
        try:
            self._handler(published)
        except Exception as error:
            self._delivery_failed(cursor, published.record, error)
            if cursor.task is None:
                self._run_task(cursor)
        else:
            self._delivered(cursor, published.record)

    patch.setattr(Subscription, "on_record", on_record)


def forget_the_cursor_at_the_end(patch: pytest.MonkeyPatch) -> None:
    load = MemoryCursorStore.load

    def ahead(self: MemoryCursorStore, subscription: str) -> dict[WorkspaceId, FeedPosition]:
        return {name: FeedPosition(position.history_id, position.seq + 1) for name, position in load(self, subscription).items()}

    patch.setattr(MemoryCursorStore, "load", ahead)


FAILING: list[Step] = [
    ("append", "main", 1),
    ("fail", "", 2),
    ("append", "main", 1),
    ("append", "main", 2),
    ("append", "main", 1),
    ("yield", "", 4),
    ("append", "main", 1),
]

RESTARTING: list[Step] = [("append", "main", 1), ("restart", "", 0), ("fail", "", 3), ("append", "main", 1), ("restart", "", 0)]


@pytest.mark.parametrize(
    ("mistake", "steps"),
    [
        (advance_before_handling, FAILING),
        (go_live_with_records_missing, FAILING),
        (deliver_inline_while_catching_up, FAILING),
        (forget_the_cursor_at_the_end, RESTARTING),
    ],
)
async def test_the_check_finds_mistakes_that_lose_events(
    mistake: Callable[[pytest.MonkeyPatch], None], steps: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    check_delivery(*await play(steps, inline=True, store=MemoryCursorStore()))
    mistake(monkeypatch)
    with pytest.raises(AssertionError):
        check_delivery(*await play(steps, inline=True, store=MemoryCursorStore()))


@pytest.mark.parametrize("inline", [True, False])
async def test_records_without_an_event_that_the_handler_needs_count_as_handled(inline: bool) -> None:
    """A handler that needs none of the events is not called; the next record of a needed type is delivered."""
    handler, log = Handler(), await Log().open("main")
    subscribed = log.feed.subscribe_inline("test", handler) if inline else log.feed.subscribe("test", handler.coroutine)
    kind = type((await log.append()).events[0])
    await caught_up(log)
    subscribed.event_types = frozenset({PolicyPublished})
    for _ in range(5):
        await log.append()
    await caught_up(log)
    assert handler.seqs() == [1] and subscribed.status().lag_events == 0
    subscribed.event_types = frozenset({PolicyPublished, kind})
    await log.append()
    await caught_up(log)
    assert handler.seqs() == [1, 7]
    await log.feed.close()
