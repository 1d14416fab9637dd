"""The writer loop: durable before published, one time per batch, fair, and ended by a journal failure (I4, I6, I24, I25)."""

import asyncio
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

import pytest

from router.engine.engine import Engine
from router.journal.memory import MemoryJournal, MemoryStorage
from router.journal.records import Record
from router.model.commands import AcceptOffer, Command, ConnectDesktop, GuardedCommand, RequestContact, SubmitOrResume
from router.model.errors import CommandQueueFull, JournalUnavailable, Stopping
from router.model.events import ContactQueued, DesktopLost, OfferExpired, OfferMade
from router.model.results import Done, Refused
from router.model.states import ResumeMode, WorkspaceId
from router.runtime.clock import SystemClock
from router.runtime.command_queue import OVERLOAD_SUBMIT_COUNT
from router.runtime.publisher import PublishedRecord
from router.runtime.writer import Reply, Writer, WriterLimits
from tests.support.builders import START_MS, a_contact, a_policy_with_queue, an_agent, published, ready
from tests.support.manual_clock import ManualClock
from tests.support.running_writer import NO_SNAPSHOTS, RecordedEvents, execute_done, running_writer


class SlowJournal(MemoryJournal):
    """A journal that commits, or fails, when the test allows it."""

    def __init__(self, storage: MemoryStorage | None = None) -> None:
        super().__init__(storage)
        self.batches: list[list[tuple[WorkspaceId, Record]]] = []
        self.may_commit = asyncio.Event()
        self.may_commit.set()
        self.committing = asyncio.Event()
        self.fault: Exception | None = None

    async def append(self, batch: Sequence[tuple[WorkspaceId, Record]]) -> None:
        self.committing.set()
        await self.may_commit.wait()
        if self.fault is not None:
            raise self.fault
        self.batches.append(list(batch))
        await super().append(batch)


async def ready_for_contacts(writer: Writer, *workspaces: str, agents: int = 0) -> None:
    for workspace in workspaces or ("main",):
        await writer.add_workspace(workspace)
        await execute_done(writer, published(a_policy_with_queue()), workspace=workspace)
        for number in range(agents):
            await execute_done(writer, an_agent(f"a{number}"), workspace=workspace)
            await execute_done(writer, ready(f"a{number}"), workspace=workspace)


async def test_a_reply_follows_the_durable_and_published_record() -> None:
    journal = SlowJournal()
    async with running_writer(journal, clock=ManualClock(START_MS)) as writer:
        await ready_for_contacts(writer)
        recorded = RecordedEvents(writer)
        journal.may_commit.clear()
        journal.committing.clear()
        asking = asyncio.create_task(writer.execute("main", a_contact(), actor="gateway:web"))
        await journal.committing.wait()
        assert (asking.done(), recorded.records) == (False, [])
        journal.may_commit.set()
        reply = await asking
        assert reply.outcome.result == Done(subject="c1", state="queued", seq=reply.outcome.first_seq)
        assert (reply.history_id, reply.epoch) == (writer.history_id("main"), 1)
        ((workspace, record),) = recorded.records
        assert (workspace, record.actor, record.cause) == ("main", "gateway:web", "contact.enqueue")
        assert (record.first_seq, record.at_ms) == (reply.outcome.first_seq, START_MS)


async def test_refusals_and_query_results_wait_for_their_batch() -> None:
    journal = SlowJournal()
    async with running_writer(journal, clock=ManualClock(START_MS)) as writer:
        await ready_for_contacts(writer)
        journal.may_commit.clear()
        journal.committing.clear()
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(writer.execute("main", a_contact(), actor="g")),
            asyncio.create_task(writer.execute("main", ready("unknown"), actor="s")),
            asyncio.create_task(writer.query("main", lambda engine: engine.contact("c1"))),
        ]
        await journal.committing.wait()
        assert [task.done() for task in tasks] == [False, False, False]
        journal.may_commit.set()
        submitted, refused, answered = await asyncio.gather(*tasks)
        assert isinstance(refused.outcome.result, Refused)
        assert refused.outcome.events == []
        assert answered.value.contact_id == "c1"
        assert answered.seq == submitted.outcome.result.seq
        assert len(journal.batches[-1]) == 1


async def test_commands_arriving_during_a_commit_share_the_next_one() -> None:
    journal = SlowJournal()
    async with running_writer(journal, clock=ManualClock(START_MS)) as writer:
        await ready_for_contacts(writer)
        before = len(journal.batches)
        async with asyncio.TaskGroup() as group:
            for number in range(50):
                group.create_task(execute_done(writer, a_contact(f"c{number}")))
        assert [len(batch) for batch in journal.batches[before:]] == [50]
        assert len({record.at_ms for _, record in journal.batches[-1]}) == 1


async def test_a_batch_has_a_limit() -> None:
    journal = SlowJournal()
    limits = WriterLimits(batch_count_max=16)
    async with running_writer(journal, clock=ManualClock(START_MS), limits=limits) as writer:
        await ready_for_contacts(writer)
        before = len(journal.batches)
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(execute_done(writer, a_contact(f"c{number}")))
        assert [len(batch) for batch in journal.batches[before:]] == [16, 16, 8]


async def test_timers_fire_without_a_command() -> None:
    clock = ManualClock(START_MS)
    async with running_writer(MemoryJournal(), clock=clock) as writer:
        await ready_for_contacts(writer, agents=1)
        made = await execute_done(writer, a_contact())
        (offer,) = [event for event in made.outcome.events if isinstance(event, OfferMade)]
        recorded = RecordedEvents(writer)
        clock.advance(offer.deadline_ms - START_MS - 1)
        clock.advance(1)
        await recorded.until(1)
        _, record = recorded.records[0]
        assert (record.actor, record.cause) == ("router", "time.advance")
        assert any(isinstance(event, OfferExpired) for event in record.events)
        assert record.at_ms == offer.deadline_ms


async def test_timers_due_at_once_span_batches_and_commands_wait() -> None:
    clock, count = ManualClock(START_MS), 400
    async with running_writer(MemoryJournal(), clock=clock) as writer:
        await ready_for_contacts(writer, agents=count)
        for number in range(count):
            made = await execute_done(writer, a_contact(f"c{number}"))
        (offer,) = [event for event in made.outcome.events if isinstance(event, OfferMade)]
        recorded = RecordedEvents(writer)
        clock.advance(offer.deadline_ms - START_MS)
        reply = await execute_done(writer, a_contact("late"))
        # The first command after the deadline fires nothing of it, and there was more than one batch.
        assert [type(event) for event in reply.outcome.events] == [ContactQueued]
        before = [r for _, r in recorded.records if r.first_seq < reply.outcome.first_seq]
        assert {record.cause for record in before} == {"time.advance"}
        expired = [sum(isinstance(e, OfferExpired) for e in record.events) for record in before]
        assert sum(expired) == count
        assert len(expired) > 4 and max(expired) <= count // 4


async def test_an_accept_at_the_deadline_loses_to_the_expiry() -> None:
    clock = ManualClock(START_MS)
    async with running_writer(MemoryJournal(), clock=clock) as writer:
        await ready_for_contacts(writer, agents=1)
        made = await execute_done(writer, a_contact())
        (offer,) = [event for event in made.outcome.events if isinstance(event, OfferMade)]
        accepting = asyncio.create_task(writer.execute("main", AcceptOffer(offer_id=offer.offer_id, agent_id="a0"), actor="a"))
        clock.advance(offer.deadline_ms - START_MS)
        assert isinstance((await accepting).outcome.result, Refused)


async def test_many_due_workspaces_do_not_starve_commands() -> None:
    clock = ManualClock(START_MS)
    limits = WriterLimits(batch_count_max=8)
    async with running_writer(MemoryJournal(), clock=clock, limits=limits) as writer:
        names = [f"w{number}" for number in range(30)]
        await ready_for_contacts(writer, *names, agents=1)
        for name in names:
            await execute_done(writer, a_contact(), workspace=name)
        await writer.add_workspace("main")
        recorded = RecordedEvents(writer)
        clock.advance(3_600_000)
        asked = await writer.execute("main", published(), actor="admin:eve")
        published_before = [workspace for workspace, _ in recorded.records]
        assert isinstance(asked.outcome.result, Done)
        assert published_before.index("main") < len(names)
        await recorded.until(len(names) + 1)
        assert {workspace for workspace, _ in recorded.records} == {*names, "main"}


async def test_a_noisy_workspace_does_not_delay_others() -> None:
    journal = SlowJournal()
    limits = WriterLimits(batch_count_max=10)
    async with running_writer(journal, clock=ManualClock(START_MS), limits=limits) as writer:
        await ready_for_contacts(writer, "noisy", "quiet")
        before = len(journal.batches)
        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(execute_done(writer, a_contact(f"c{number}"), workspace="noisy"))
            group.create_task(execute_done(writer, a_contact("c"), workspace="quiet"))
        first = [workspace for workspace, _ in journal.batches[before]]
        assert first.count("quiet") == 1


async def test_a_full_queue_refuses_only_the_workspace_that_filled_it() -> None:
    journal = SlowJournal()
    limits = WriterLimits(queue_count_max=10)
    async with running_writer(journal, clock=ManualClock(START_MS), limits=limits) as writer:
        await ready_for_contacts(writer, "noisy", "quiet")
        journal.may_commit.clear()
        journal.committing.clear()
        first = asyncio.create_task(execute_done(writer, a_contact("first"), workspace="noisy"))
        await journal.committing.wait()
        waiting = [asyncio.create_task(execute_done(writer, a_contact(f"c{n}"), workspace="noisy")) for n in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(CommandQueueFull):
            await writer.execute("noisy", a_contact("late"), actor="g")
        quiet = asyncio.create_task(execute_done(writer, a_contact("c"), workspace="quiet"))
        journal.may_commit.set()
        await asyncio.gather(first, quiet, *waiting)
        late = await writer.query("noisy", lambda engine: engine.contact("late"))
        assert late.value is None


def resuming(contact_id: str) -> Command:
    return SubmitOrResume(contact=a_contact(contact_id), resume=ResumeMode.AUTO)


def resuming_once(contact_id: str) -> Command:
    return GuardedCommand(command=resuming(contact_id), client="g", dedupe_key=contact_id.encode())  # type: ignore[arg-type]


def requested(contact_id: str) -> Command:
    return RequestContact(contact=a_contact(contact_id), token_hash=contact_id.encode(), ask=False)


@pytest.mark.parametrize("submit", [a_contact, resuming, resuming_once, requested])
async def test_under_overload_agent_commands_go_first_and_only_submits_are_refused(submit: Callable[[str], Command]) -> None:
    journal = SlowJournal()
    limits = WriterLimits(submit_wait_ms_max=0, batch_count_max=4)
    async with running_writer(journal, clock=ManualClock(START_MS), limits=limits) as writer:
        await ready_for_contacts(writer, agents=1)
        offered = await execute_done(writer, a_contact("first"))
        [offer_id] = [e.offer_id for e in offered.outcome.events if isinstance(e, OfferMade)]
        journal.may_commit.clear()
        journal.committing.clear()
        in_progress = asyncio.create_task(execute_done(writer, a_contact("in-progress")))
        await journal.committing.wait()
        waiting = [asyncio.create_task(execute_done(writer, submit(f"c{n}"))) for n in range(OVERLOAD_SUBMIT_COUNT)]
        await asyncio.sleep(0)
        with pytest.raises(CommandQueueFull):
            await writer.execute("main", submit("late"), actor="g")
        with pytest.raises(CommandQueueFull):
            writer.admit_submit("main")
        assert writer.is_submit_refused("main")
        assert writer.refused_submits == 3
        accept = AcceptOffer(agent_id="a0", offer_id=offer_id)
        accepting = asyncio.create_task(execute_done(writer, accept))
        await asyncio.sleep(0)
        journal.may_commit.set()
        before = len(journal.batches)
        await accepting
        # All submits were queued before it, and it is the first command of the next batch.
        assert journal.batches[before + 1][0][1].cause == "offer.accept"
        await asyncio.gather(in_progress, *waiting)


async def test_an_unknown_workspace_is_a_key_error() -> None:
    async with running_writer(MemoryJournal(), clock=ManualClock(START_MS)) as writer:
        with pytest.raises(KeyError):
            await writer.execute("nowhere", published(), actor="admin:eve")


async def test_a_cancelled_caller_does_not_affect_others() -> None:
    journal = SlowJournal()
    async with running_writer(journal, clock=ManualClock(START_MS)) as writer:
        await ready_for_contacts(writer)
        journal.may_commit.clear()
        journal.committing.clear()
        asking = asyncio.create_task(writer.execute("main", a_contact(), actor="g"))
        await journal.committing.wait()
        asking.cancel()
        journal.may_commit.set()
        answered = await writer.query("main", lambda engine: engine.contact("c1"))
        assert answered.value is not None


async def test_an_exception_in_a_query_reaches_only_its_caller() -> None:
    async with running_writer(MemoryJournal(), clock=ManualClock(START_MS)) as writer:
        await ready_for_contacts(writer)
        with pytest.raises(ZeroDivisionError):
            await writer.query("main", lambda _: 1 // 0)
        await execute_done(writer, a_contact())


class TestWhenTheJournalFails:
    async def test_nothing_is_acknowledged_and_run_raises(self) -> None:
        journal = SlowJournal()
        writer = Writer(journal, clock=ManualClock(START_MS))
        await writer.recover()
        running = asyncio.create_task(writer.run())
        await ready_for_contacts(writer)
        recorded = RecordedEvents(writer)
        journal.may_commit.clear()
        journal.committing.clear()
        in_batch = asyncio.create_task(writer.execute("main", a_contact("c1"), actor="g"))
        await journal.committing.wait()
        in_queue = asyncio.create_task(writer.execute("main", a_contact("c2"), actor="g"))
        journal.fault = JournalUnavailable("the disk is gone")
        journal.may_commit.set()
        results = await asyncio.gather(in_batch, in_queue, running, return_exceptions=True)
        assert [type(result) for result in results] == [JournalUnavailable] * 3
        assert recorded.records == []
        with pytest.raises(JournalUnavailable):
            await writer.execute("main", a_contact("c3"), actor="g")
        await writer.stop()

    async def test_a_failure_while_idle_ends_the_writer(self) -> None:
        class Failing(MemoryJournal):
            fails = asyncio.Event()

            async def run_maintenance(self) -> None:
                await self.fails.wait()
                raise JournalUnavailable("the disk is gone")

        journal = Failing()
        writer = Writer(journal, clock=ManualClock(START_MS))
        await writer.recover()
        running = asyncio.create_task(writer.run())
        await ready_for_contacts(writer)
        journal.fails.set()
        with pytest.raises(JournalUnavailable):
            async with asyncio.timeout(10):
                await running

    async def test_a_broken_invariant_ends_the_writer_before_anything_is_written(self) -> None:
        class Broken(Engine):
            def handle(self, command: Any, at_ms: int) -> Any:
                raise AssertionError("two owners")

        journal = SlowJournal()
        writer = Writer(journal, clock=ManualClock(START_MS), new_engine=Broken)
        await writer.recover()
        await writer.add_workspace("main")
        running = asyncio.create_task(writer.run())
        results = await asyncio.gather(writer.execute("main", published(), actor="a"), running, return_exceptions=True)
        assert [type(result) for result in results] == [JournalUnavailable, AssertionError]
        assert journal.batches == []


class TestStop:
    async def test_stop_finishes_queued_commands_and_refuses_new_ones(self) -> None:
        journal = SlowJournal()
        async with running_writer(journal, clock=ManualClock(START_MS)) as writer:
            await ready_for_contacts(writer)
            journal.may_commit.clear()
            journal.committing.clear()
            tasks = [asyncio.create_task(execute_done(writer, a_contact("c0")))]
            await journal.committing.wait()
            tasks += [asyncio.create_task(execute_done(writer, a_contact(f"c{n}"))) for n in range(1, 9)]
            await asyncio.sleep(0)
            stopping = asyncio.create_task(writer.stop())
            await asyncio.sleep(0)
            with pytest.raises(Stopping):
                await writer.execute("main", a_contact("late"), actor="g")
            journal.may_commit.set()
            replies: list[Reply] = await asyncio.gather(*tasks)
            await stopping
        assert [reply.outcome.first_seq for reply in replies] == list(range(2, 11))

    async def test_stop_leaves_a_snapshot_of_the_newest_event(self) -> None:
        medium = MemoryStorage()
        async with running_writer(MemoryJournal(medium), clock=ManualClock(START_MS)) as writer:
            await ready_for_contacts(writer)
            await execute_done(writer, a_contact())
        (history,) = await MemoryJournal(medium).open()
        assert history.snapshot is not None
        assert history.snapshot.seq == history.last_position.seq

    async def test_a_writer_that_never_ran_can_be_stopped(self) -> None:
        writer = Writer(MemoryJournal(), clock=ManualClock(START_MS))
        await writer.recover()
        await writer.stop()
        await writer.run()


async def test_sessions_of_the_previous_process_are_lost_at_the_start() -> None:
    medium = MemoryStorage()
    clock = ManualClock(START_MS)
    async with running_writer(MemoryJournal(medium), clock=clock) as writer:
        await ready_for_contacts(writer, agents=1)
        await execute_done(writer, ConnectDesktop(agent_id="a0", session_id="s1"))
    writer = Writer(MemoryJournal(medium), clock=clock)
    recorded = RecordedEvents(writer)
    await writer.recover()
    running = asyncio.create_task(writer.run())
    await recorded.until(1)
    _, record = recorded.records[0]
    assert (record.actor, record.cause, record.epoch) == ("router", "agent.lose_desktop", 2)
    assert isinstance(record.events[0], DesktopLost)
    await writer.stop()
    await running


async def test_subscribers_receive_every_record_once_and_in_order() -> None:
    async with running_writer(MemoryJournal(), clock=ManualClock(START_MS)) as writer:
        await ready_for_contacts(writer)
        recorded: list[PublishedRecord] = []
        unsubscribe = writer.publisher.subscribe(recorded.append)
        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(execute_done(writer, a_contact(f"c{number}")))
        unsubscribe()
        await execute_done(writer, a_contact("unseen"))
        assert [p.record.first_seq for p in recorded] == list(range(2, 102))


class CountingClock(SystemClock):
    """The real clock, which counts how often the writer reads it: once or twice a turn of its loop."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def now_ms(self) -> int:
        self.reads += 1
        return super().now_ms()


@pytest.mark.parametrize("work", ["none", "a timer far away", "a timer that has fired"])
async def test_an_idle_writer_does_not_turn(work: str) -> None:
    """Half a second without commands takes a few turns, whatever happened before; a loop without a pause takes thousands."""
    clock = CountingClock()
    writer = Writer(MemoryJournal(), clock=clock, snapshots=NO_SNAPSHOTS)
    await writer.recover()
    running = asyncio.create_task(writer.run())
    try:
        await writer.add_workspace("main")
        timeout_s = 1 if work == "a timer that has fired" else 60
        await execute_done(writer, published(a_policy_with_queue(offer_timeout_s=timeout_s)))
        if work != "none":
            for command in (an_agent("ada"), ready("ada"), a_contact()):
                await execute_done(writer, command)
        if work == "a timer that has fired":
            recorded = RecordedEvents(writer)
            await recorded.until(1)
            assert any(isinstance(event, OfferExpired) for _, record in recorded.records for event in record.events)
        reads, used_s = clock.reads, time.process_time()
        await asyncio.sleep(0.5)
        assert clock.reads - reads <= 6
        assert time.process_time() - used_s < 0.25
    finally:
        await writer.stop()
        await running


async def test_a_burst_within_the_gap_is_one_commit() -> None:
    """20 commands that come one by one soon after a commit wait for the rest of the gap and share the next commit."""
    journal = SlowJournal()
    async with running_writer(journal, clock=ManualClock(START_MS), limits=WriterLimits(commit_gap_ms=400)) as writer:
        await ready_for_contacts(writer)
        await asyncio.sleep(0.4)
        before = len(journal.batches)
        await execute_done(writer, a_contact("first"))
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(execute_done(writer, a_contact(f"c{number}")))
                # Each command arrives in a turn of the event loop of its own, in which the writer could start a commit.
                await asyncio.sleep(0.001)
        assert [len(batch) for batch in journal.batches[before:]] == [1, 20]


def counting_query(turns: list[int], count: int) -> Callable[[Engine], Generator[None, None, str]]:
    def query(engine: Engine) -> Generator[None, None, str]:
        try:
            for _ in range(count):
                turns.append(engine.seq)
                yield
            return f"done at {engine.seq}"
        finally:
            turns.append(-1)

    return query


async def test_commands_are_executed_between_the_turns_of_a_query() -> None:
    """A turn is part of one batch, and the position of the answer is that of the last turn."""
    async with running_writer(SlowJournal(), clock=ManualClock(START_MS)) as writer:
        await ready_for_contacts(writer)
        turns: list[int] = []
        asking = asyncio.create_task(writer.query_in_slices("main", counting_query(turns, 200)))
        for number in range(8):
            await execute_done(writer, a_contact(f"c{number}"))
        assert not asking.done()
        answered = await asking
        assert len(set(turns[:-1])) > 4, "commands between the turns"
        assert answered.value == f"done at {answered.seq}" and turns[-1] == -1


async def test_queries_in_slices_take_turns_and_do_not_delay_a_short_one() -> None:
    async with running_writer(SlowJournal(), clock=ManualClock(START_MS)) as writer:
        await ready_for_contacts(writer)
        long, short = list[int](), list[int]()
        first = asyncio.create_task(writer.query_in_slices("main", counting_query(long, 200)))
        second = asyncio.create_task(writer.query_in_slices("main", counting_query(short, 3)))
        await second
        assert not first.done() and len(long) < 10
        await first


async def test_a_query_whose_caller_is_gone_ends_at_its_next_turn() -> None:
    async with running_writer(SlowJournal(), clock=ManualClock(START_MS)) as writer:
        await ready_for_contacts(writer)
        began, ended = asyncio.Event(), asyncio.Event()

        def endless(engine: Engine) -> Generator[None, None, None]:
            began.set()
            try:
                while True:
                    yield
            finally:
                ended.set()

        asking = asyncio.create_task(writer.query_in_slices("main", endless))
        await began.wait()
        asking.cancel()
        async with asyncio.timeout(10):
            await ended.wait()


async def test_an_error_in_a_later_turn_concerns_only_the_caller() -> None:
    def failing(engine: Engine) -> Generator[None, None, str]:
        yield
        raise ValueError("later")

    async with running_writer(SlowJournal(), clock=ManualClock(START_MS)) as writer:
        await ready_for_contacts(writer)
        with pytest.raises(ValueError, match="later"):
            await writer.query_in_slices("main", failing)
        await execute_done(writer, a_contact("c1"))


async def test_a_position_after_the_newest_event_of_this_history_is_told() -> None:
    told: list[tuple[str, int, int]] = []
    async with running_writer(MemoryJournal(), clock=ManualClock(START_MS)) as writer:
        await writer.add_workspace("main")
        newest = writer.publisher.last_seq("main")
        writer.note_position("main", writer.history_id("main"), newest + 3)
        assert writer.positions_ahead == 1, "counted, though nothing listens"
        writer.on_position_ahead = lambda *position: told.append(position)
        for history_id, seq in (
            ("another", newest + 9),
            (writer.history_id("main"), newest),
            (writer.history_id("main"), newest + 1),
        ):
            writer.note_position("main", history_id, seq)
        assert told == [("main", newest + 1, newest)]
        assert writer.positions_ahead == 2
