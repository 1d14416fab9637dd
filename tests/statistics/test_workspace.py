"""Statistics of whole histories, and snapshots that continue exactly."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.model.commands import AcceptOffer, EndContact
from router.statistics.history_queries import Dimension
from router.statistics.questions import Interval, StatisticsQuestion
from router.statistics.rows import StatisticsRow
from router.statistics.views import QueueStatsView
from router.statistics.workspace import WorkspaceStats
from tests.support.builders import a_contact, a_policy, a_queue, an_agent, published, ready
from tests.support.event_history import SECOND, EventHistory, RandomHistory
from tests.support.world import a_world


def queue_of(history: EventHistory, queue_id: str = "a") -> QueueStatsView:
    found = history.workspace_stats().queue_stats(queue_id, history.now_ms)
    assert found is not None
    return found


def test_one_call_from_submit_to_wrap_up() -> None:
    day = EventHistory()
    day.agent("ada")
    day.after(100).submit("c1")
    offer_id = day.after(2).offer("c1")
    day.after(3).accept(offer_id)
    day.after(60).hold(offer_id)
    day.after(10).resume(offer_id)
    day.after(30).end(offer_id)
    day.wrap_up(offer_id)
    day.after(20).complete(offer_id)

    queue = queue_of(day)
    assert (queue.waiting, queue.offered, queue.assigned) == (0, 0, 0)
    assert queue.contacts.service_level == 1.0
    assert queue.contacts.asa_ms == 5 * SECOND
    handling = queue.contacts.handling
    assert (handling.talk_ms, handling.hold_ms, handling.wrap_up_ms) == (90_000, 10_000, 20_000)
    assert queue.contacts.aht_ms == 120 * SECOND
    agent = day.workspace_stats().agent_stats("ada", day.now_ms)
    assert agent is not None
    assert agent.time.idle_ms == 105 * SECOND
    assert agent.time.busy_ms == 120 * SECOND
    assert agent.occupancy == 120 / 225
    assert agent.aht_ms == 120 * SECOND
    assert queue.mean_waiting == 5 / 225


def test_declines_and_rona_continue_the_wait_and_count_as_offers_only() -> None:
    day = EventHistory()
    day.submit("c1")
    first = day.after(5).offer("c1")
    day.after(5).decline(first)
    day.requeue("c1", "declined", agent_id="ada")
    second = day.offer("c1", "bob")
    day.after(15).expire_offer(second, "bob")
    day.requeue("c1", "rona", agent_id="bob")
    day.after(5).answer("c1", "cy")
    contacts = queue_of(day).contacts
    assert contacts.asa_ms == 30 * SECOND
    assert contacts.flow.entered == 1
    assert contacts.offers.made == 3
    assert contacts.rona_rate == 1 / 3


def test_a_transfer_to_a_queue_starts_a_new_wait_there() -> None:
    day = EventHistory()
    day.submit("c1", "a")
    first = day.after(10).answer("c1")
    day.after(300).requeue("c1", "transferred", "b", "ada")
    day.complete(first)
    day.after(7).answer("c1", "bob")
    assert queue_of(day, "a").contacts.asa_ms == 10 * SECOND
    there = queue_of(day, "b").contacts
    assert there.asa_ms == 7 * SECOND
    assert (there.flow.entered, there.flow.submitted, there.flow.transferred_in) == (1, 0, 1)
    assert queue_of(day, "a").contacts.transfer_rate == 1.0
    stats = day.workspace_stats()
    ada = stats.agent_stats("ada", day.now_ms)
    assert ada is not None and ada.transfer_rate == 1.0
    counts = stats.counts()
    assert (counts.submitted, counts.assigned) == (1, 1)


def test_a_transfer_to_an_agent_is_not_a_second_answer() -> None:
    day = EventHistory()
    day.submit("c1")
    first = day.after(10).answer("c1")
    offer_id = day.after(60).offer("c1", "bob", owner="ada")
    assert queue_of(day).assigned == 1
    day.after(5).accept(offer_id, "bob", owner=(first, "ada"))
    day.complete(first)
    day.after(60).end(offer_id, "bob")
    day.complete(offer_id, "bob")
    contacts = queue_of(day).contacts
    assert (contacts.service.answered, contacts.handling.handled) == (1, 2)
    assert contacts.handling.transferred == 1
    assert contacts.handling.talk_ms == (65 + 60) * SECOND


def test_overflow_continues_the_wait_in_the_other_queue() -> None:
    day = EventHistory()
    day.submit("c1", "a")
    day.after(50).overflow("c1", "b")
    day.after(5).answer("c1")
    assert queue_of(day, "a").contacts.flow.overflowed_out == 1
    assert queue_of(day, "b").contacts.asa_ms == 55 * SECOND
    assert queue_of(day, "b").contacts.service_level == 1.0
    assert queue_of(day, "a").contacts.service_level is None


def test_an_offer_that_ends_after_its_contact_is_counted() -> None:
    day = EventHistory()
    day.submit("c1")
    first = day.answer("c1")
    offer_id = day.offer("c1", "bob", owner="ada")
    day.end(first)
    day.rescind(offer_id, "bob")
    day.complete(first)
    assert queue_of(day).contacts.offers.rescinded == 1


def test_a_broadcast_has_one_answer_and_rescinded_offers() -> None:
    day = EventHistory()
    day.submit("c1")
    offers = [day.offer("c1", agent_id) for agent_id in ("ada", "bob", "cy")]
    assert queue_of(day).offered == 1
    day.after(3).accept(offers[1], "bob")
    day.rescind(offers[0], "ada")
    day.rescind(offers[2], "cy")
    contacts = queue_of(day).contacts
    assert (contacts.service.answered, contacts.offers.rescinded, contacts.offers.made) == (1, 2, 3)


def test_events_must_be_applied_once_and_in_order() -> None:
    day = EventHistory()
    stats = day.workspace_stats()
    with pytest.raises(AssertionError):
        stats.apply(day.events[-1][0], 1, day.now_ms)
    with pytest.raises(AssertionError):
        stats.apply(day.events[-1][0], 99, day.now_ms - 1)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**9), steps=st.integers(1, 150))
def test_counts_agree_with_a_recount_and_no_live_records_remain(seed: int, steps: int) -> None:
    day = RandomHistory(seed)
    for _ in range(steps):
        day.step()
    assert_agreement(day)
    day.finish()
    assert_agreement(day)
    snapshot = day.history.workspace_stats()._state.snapshot
    assert (snapshot.contacts, snapshot.offers, snapshot.assignments) == ({}, {}, {})


def assert_agreement(day: RandomHistory) -> None:
    stats, now_ms = day.history.workspace_stats(), day.history.now_ms
    counts = stats.counts()
    assert counts.queued == len(day.waiting)
    assert counts.offered == len(day.offered)
    assert counts.assigned == len(day.talking)
    assert counts.ended == day.ended
    places = msgspec.structs.asdict(counts)
    assert places.pop("submitted") == sum(places.values())
    for queue_id, threshold_ms, short_ms in (("a", 20_000, 5_000), ("b", 60_000, 10_000)):
        queue = stats.queue_stats(queue_id, now_ms)
        assert queue is not None
        assert_flow_is_conserved(queue)
        answered = [wait for name, wait in day.answer_waits if name == queue_id]
        left = [wait for name, wait in day.abandon_waits if name == queue_id]
        service = queue.contacts.service
        assert service.answered == len(answered)
        assert service.answered_within == sum(wait <= threshold_ms for wait in answered)
        assert service.abandoned_short == sum(wait < short_ms for wait in left)
        assert queue.waits.longest_ms == max(answered, default=0)
        if answered:
            assert queue.contacts.asa_ms == round(sum(answered) / len(answered))
    whole = stats.workspace_stats(now_ms)
    agents = [stats.agent_stats(agent_id, now_ms) for agent_id in stats.agent_ids()]
    assert whole.time.busy_ms == sum(agent.time.busy_ms for agent in agents if agent)
    assert whole.time.idle_ms == sum(agent.time.idle_ms for agent in agents if agent)
    handled = sum(agent.handling.handled for agent in agents if agent)
    assert whole.contacts.handling.handled == handled
    for interval in Interval:
        rows = rows_of(stats, StatisticsQuestion(Dimension.WORKSPACE, interval, to_ms=now_ms + 1), now_ms)
        assert sum(row.entered for row in rows) == whole.contacts.flow.entered
        assert sum(row.answered for row in rows) == whole.contacts.service.answered
        assert sum(row.busy_ms for row in rows) == whole.time.busy_ms
        assert sum(row.idle_ms for row in rows) == whole.time.idle_ms


def rows_of(stats: WorkspaceStats, question: StatisticsQuestion, now_ms: int) -> list[StatisticsRow]:
    """Return the rows of a question."""
    steps = stats.rows(question, now_ms)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            rows: list[StatisticsRow] = done.value
            return rows


def assert_flow_is_conserved(queue: QueueStatsView) -> None:
    flow, service = queue.contacts.flow, queue.contacts.service
    gone = service.answered + service.abandoned + flow.cancelled + flow.expired
    gone += flow.called_back + queue.callbacks + queue.suspended
    assert flow.entered == (queue.waiting + queue.offered + gone + flow.overflowed_out + flow.moved_out)


def test_conversations_of_a_removed_queue_count_in_the_queue_that_takes_them() -> None:
    """The engine moves a conversation with its queue's contacts, without an event of its own; so do the statistics."""
    queues = {"vip": a_queue(), "support": a_queue()}
    world = a_world(a_policy(queues=queues), an_agent(), ready())
    world.done(a_contact("c1", queue_id="vip"))
    world.done(AcceptOffer(offer_id="c1.1", agent_id="ada"))
    world.done(published(a_policy(), drain_to={"vip": "support"}))
    stats = WorkspaceStats()
    for first_seq, at_ms, events in world.records:
        for seq, event in enumerate(events, first_seq):
            stats.apply(event, seq, at_ms)
    (queue,) = world.engine.workspace().queues
    counted = stats.queue_stats("support", world.at_ms)
    assert counted is not None
    assert (counted.waiting, counted.offered, counted.assigned) == (0, 0, 1)
    assert queue.assigned == 1
    world.done(EndContact(contact_id="c1", agent_id="ada"))
    first_seq, at_ms, events = world.records[-1]
    for seq, event in enumerate(events, first_seq):
        stats.apply(event, seq, at_ms)
    counted = stats.queue_stats("support", world.at_ms)
    assert counted is not None and counted.assigned == 0


def test_the_histogram_of_a_queue_is_a_copy_and_unknown_queues_have_none() -> None:
    day = EventHistory()
    day.agent("ada")
    day.submit("c1")
    day.after(3).accept(day.offer("c1"))
    stats = day.workspace_stats()
    found = stats.wait_histogram("a")
    assert found is not None and sum(found.buckets) == 1
    found.buckets[0] += 5
    again = stats.wait_histogram("a")
    assert again is not None and sum(again.buckets) == 1
    assert stats.wait_histogram("unknown") is None
