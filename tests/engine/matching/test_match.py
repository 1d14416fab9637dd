"""Serving order and search: newest first, due dates, queue ranks, limits, and positions."""

from typing import Any

import pytest

from router.engine.state.contact import Contact, inverted_priority_class, total_order_rank
from router.model import commands as c
from router.model import events as e
from router.model.policy import ChannelPolicy, CrossQueueOrder, LostDesktopAction, QueueOrder, QueuePolicy, ServiceLevelPolicy
from router.model.results import RefusalCode
from router.model.states import ContactState, MatchTrigger
from tests.support.builders import a_contact, a_policy, a_queue, an_agent, not_ready, published, ready
from tests.support.engine_worlds import accept, names, offers_of
from tests.support.world import World, a_world

LIFO = QueuePolicy(order=QueueOrder.LIFO)


def waiting(seq: int, at_ms: int = 1_767_603_600_000, **changes: Any) -> Contact:
    """Return a contact as the index ranks it."""
    return Contact(
        contact_id=f"c{seq}",
        channel="voice",
        queue_id="support",
        state=ContactState.QUEUED,
        queued_at_ms=at_ms,
        changed_at_ms=at_ms,
        queued_seq=seq,
        **changes,
    )


def offers(events: list[e.Event]) -> list[tuple[str, str]]:
    """Return (contact, agent) of each offer made."""
    return [(one.contact_id, one.agent_id) for one in events if isinstance(one, e.OfferMade)]


def test_newest_first_breaks_ties_by_the_later_seq() -> None:
    assert total_order_rank(waiting(8), LIFO) < total_order_rank(waiting(7), LIFO)
    assert total_order_rank(waiting(7), QueuePolicy()) < total_order_rank(waiting(8), QueuePolicy())


@pytest.mark.parametrize("queue", [LIFO, QueuePolicy()])
def test_credit_is_a_head_start_in_either_order(queue: QueuePolicy) -> None:
    assert total_order_rank(waiting(5, priority_s=1), queue) < total_order_rank(waiting(5), queue)
    assert total_order_rank(waiting(5), queue) < total_order_rank(waiting(5, priority_s=-1), queue)


@pytest.mark.parametrize("at_ms", [0, 1_767_603_600_000, 4_102_444_800_000])
def test_extreme_credits_and_due_dates_do_not_change_the_class(at_ms: int) -> None:
    day_s = 86_400
    for queue in (LIFO, QueuePolicy()):
        for added_s in (-day_s, day_s):
            key = total_order_rank(waiting(1, at_ms, priority_s=added_s), queue, 7 * day_s * 1000)
            assert key > 0 and inverted_priority_class(key) == 9
            assert key > total_order_rank(waiting(1, at_ms, priority_class=1), queue)
    assert inverted_priority_class(total_order_rank(waiting(1, at_ms, priority_class=9), LIFO)) == 0


def test_a_requeued_contact_keeps_its_position_among_the_newest() -> None:
    """Check I15 and I23."""
    world = World(a_policy(queues={"support": LIFO}))
    world.done_all(an_agent(), ready(), a_contact("c1"))
    world.later(1)
    world.done_all(a_contact("c2"), a_contact("c3"))
    events = world.done(c.DeclineOffer(offer_id="c1.1", agent_id="ada"))
    assert offers(events) == [("c3", "ada")]
    positions = [world.engine.contact(name).position for name in ("c2", "c1")]  # type: ignore[union-attr]
    assert positions == [1, 2]


def test_newest_first_still_shows_the_oldest_wait() -> None:
    world = World(a_policy(queues={"support": LIFO}))
    first = world.at_ms
    world.done(a_contact("c1"))
    world.later(10)
    world.done(a_contact("c2"))
    view = world.engine.queue("support")
    assert view is not None and view.oldest_queued_at_ms == first


def test_a_contact_moved_to_a_queue_of_the_other_order_is_ranked_there() -> None:
    world = World(a_policy(queues={"support": a_queue(), "ideas": LIFO}))
    world.done_all(a_contact("c1"), a_contact("c2"))
    world.later(5)
    world.done_all(a_contact("i1", queue_id="ideas"))
    world.done(c.RequeueContact(contact_id="c1", queue_id="ideas"))
    contacts = [world.engine.contact(name) for name in ("i1", "c1", "c2")]
    assert [one.position for one in contacts if one] == [1, 2, 1]


def test_a_changed_order_applies_to_waiting_contacts() -> None:
    plain = {"support": a_queue(), "calls": a_queue(service_level=ServiceLevelPolicy(threshold_s=0))}
    world = World(a_policy(queues=plain))
    world.done(a_contact("c1"))
    world.later(15)
    world.done_all(a_contact("c2", queue_id="calls"), an_agent())
    world.done(published(a_policy(queues=plain, cross_queue_order=CrossQueueOrder.SERVICE_LEVEL_RISK)))
    assert offers(world.done(ready())) == [("c2", "ada")]


def test_credit_counts_among_due_dates() -> None:
    queues = {
        "support": a_queue(service_level=ServiceLevelPolicy(threshold_s=60)),
        "calls": a_queue(service_level=ServiceLevelPolicy(threshold_s=20)),
    }
    world = World(a_policy(queues=queues, cross_queue_order=CrossQueueOrder.SERVICE_LEVEL_RISK))
    world.done_all(a_contact("c1", priority_s=41), a_contact("c2", queue_id="calls"), an_agent(), ready())
    assert world.reference.pending_offers()[0].contact_id == "c1"


# --- queue ranks ------------------------------------------------------------------------------------------------------
QUEUES = {"support": a_queue(), "sales": a_queue(), "vip": a_queue(priority_class=2)}


def ranking(agent_id: str = "ada", **ranks: int) -> c.PutAgent:
    return an_agent(agent_id, queue_ranks=ranks)


def test_a_preferred_queue_loses_its_advantage_behind_a_head_in_cool_down() -> None:
    """The head of the preferred queue's line has a high class but is in cool-down; the contacts behind it have none."""
    queues = {"support": a_queue(priority_class=1), "sales": a_queue()}
    world = World(a_policy(queues=queues))
    world.done_all(ranking(sales=1), ready())
    world.done_all(a_contact("s1", queue_id="sales", priority_class=2))
    world.done(c.DeclineOffer(offer_id="s1.1", agent_id="ada"))
    world.done(not_ready())
    world.done_all(a_contact("s2", queue_id="sales"), a_contact("c1"))
    assert offers(world.done(ready())) == [("c1", "ada")]


def test_an_unranked_queue_has_rank_five() -> None:
    world = World(a_policy(queues=QUEUES))
    world.done_all(ranking(support=6), a_contact("c1"), a_contact("s1", queue_id="sales"))
    assert offers(world.done(ready())) == [("s1", "ada")]


def test_a_reserved_contact_follows_the_agents_queue_rank() -> None:
    channels = {"voice": ChannelPolicy(lost_desktop=LostDesktopAction.REQUEUE, lost_desktop_prefer_s=600)}
    world = World(a_policy(queues=QUEUES, channels=channels))
    world.done_all(ranking(sales=1), ready(), c.ConnectDesktop(agent_id="ada", session_id="s"))
    world.done(a_contact("c1"))
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    world.done(c.LoseDesktop(agent_id="ada", session_id="s"))
    world.later(30)
    world.done(a_contact("s1", queue_id="sales"))
    world.done(c.ConnectDesktop(agent_id="ada", session_id="t"))
    assert offers(world.done(ready())) == [("s1", "ada")]


def test_queue_ranks_are_part_of_the_agents_record() -> None:
    world = World(a_policy(queues=QUEUES))
    assert world.do(ranking(sales=1)).events
    assert not world.do(ranking(sales=1)).events
    assert world.do(ranking(sales=2)).events
    view = world.engine.agent("ada")
    assert view is not None and view.queue_ranks == {"sales": 2}


@pytest.mark.parametrize(
    ("ranks", "code", "entry"),
    [
        ({"nowhere": 1}, RefusalCode.UNKNOWN_QUEUE, ".nowhere"),
        ({"sales": 0}, RefusalCode.INVALID_VALUE, ".sales"),
        ({"sales": 10}, RefusalCode.INVALID_VALUE, ".sales"),
        ({f"q{n}": 1 for n in range(1_001)}, RefusalCode.INVALID_VALUE, ""),
    ],
)
def test_invalid_queue_ranks_are_refused(ranks: dict[str, int], code: RefusalCode, entry: str) -> None:
    refused = World(a_policy(queues=QUEUES)).refused(an_agent(queue_ranks=ranks))
    assert (refused.code, refused.field) == (code, "queue_ranks" + entry)


def test_a_rank_of_a_removed_queue_is_ignored() -> None:
    world = World(a_policy(queues=QUEUES))
    world.done_all(ranking(sales=1), ready())
    world.done(published(a_policy()))
    assert offers(world.done(a_contact())) == [("c1", "ada")]
    (finding,) = [one for one in world.engine.diagnose().findings if one.subject == "sales"]
    assert finding.code == "queue_not_declared"


def test_why_reports_the_match_trigger_and_the_queue_rank() -> None:
    world = World(a_policy(queues=QUEUES))
    world.done_all(ranking(sales=1), a_contact("s1", queue_id="sales"), ready())
    why = world.engine.why("s1")
    assert why is not None
    (chosen,) = why.chosen
    assert (chosen.agent_id, chosen.match_trigger, chosen.other_candidates) == ("ada", MatchTrigger.AGENT, 0)
    assert chosen.selection_inputs == {"queue_rank": 1}


def test_of_equal_contacts_one_is_always_first() -> None:
    """Lesson A6."""
    world = a_world(None, *(a_contact(f"c{number}") for number in range(10)))
    positions = [world.engine.contact(f"c{number}") for number in range(10)]
    assert [view.position for view in positions if view] == list(range(1, 11))
    taken = []
    for agent_id in names(10):
        events = world.done_all(an_agent(agent_id), ready(agent_id))
        taken += [one.contact_id for one in events if isinstance(one, e.OfferMade)]
    assert taken == [f"c{number}" for number in range(10)]


def test_an_agent_of_two_queues_serves_the_one_that_has_waited_longest() -> None:
    """Lesson C9."""
    policy = a_policy(queues={"support": a_queue(), "sales": a_queue()})
    world = a_world(policy)
    world.done(a_contact("c1", queue_id="sales"))
    world.later(1)
    world.done_all(a_contact("c2"), an_agent(), ready())
    assert list(offers_of(world, "c1")) == ["ada"]


def test_contacts_beyond_the_limit_of_an_agent_wait_in_order() -> None:
    """Lesson F2: limits apply per agent and over all channels; contacts beyond them are served in order."""
    world = a_world(None, an_agent(channel_max={"chat": 2}), ready())
    world.done_all(*(a_contact(f"c{number}", channel="chat") for number in range(4)))
    accept(world, "c0", "ada")
    accept(world, "c1", "ada")
    assert offers_of(world, "c2") == {} and offers_of(world, "c3") == {}
    events = world.done(c.EndContact(contact_id="c0", agent_id="ada"))
    assert [one.contact_id for one in events if isinstance(one, e.OfferMade)] == ["c2"]


def test_a_chat_has_a_position_in_the_queue_like_a_call() -> None:
    """Lesson F4: the position counts contacts of all channels, because they wait in one order."""
    world = a_world(None, a_contact("c1"), a_contact("c2", channel="chat"), a_contact("c3"))
    views = [world.engine.contact(name) for name in ("c1", "c2", "c3")]
    assert [view.position for view in views if view is not None] == [1, 2, 3]
    world.done(c.AbandonContact(contact_id="c1"))
    view = world.engine.contact("c2")
    assert view is not None and view.position == 1


def many_queues(count: int) -> dict[str, QueuePolicy]:
    return {f"queue{number:02}": a_queue(cool_down_s=600) for number in range(count)}


def test_an_agent_of_many_queues_is_offered_their_contacts_in_the_total_order() -> None:
    queues = many_queues(20)
    world = a_world(a_policy(queues=queues, channels={"voice": ChannelPolicy(units=1)}))
    # The priorities make the total order differ from the order of arrival and from that of the queues.
    priorities = {number: 60 * (7 * number % 20) for number in range(20)}
    for number, queue_id in enumerate(sorted(queues)):
        world.done(a_contact(f"c{number:02}", queue_id=queue_id, priority_s=priorities[number]))
        world.later(1)
    world.done(an_agent(units=20, channel_max={"voice": 20}))
    in_order = sorted(priorities, key=lambda number: number - priorities[number])
    assert offers(world.done(ready())) == [(f"c{number:02}", "ada") for number in in_order]


def test_an_agent_of_many_queues_takes_a_contact_behind_a_head_in_cool_down_in_its_order() -> None:
    queues = many_queues(20)
    world = a_world(a_policy(queues=queues), a_contact("first", queue_id="queue00"))
    world.done_all(an_agent(), ready())
    world.done_all(c.DeclineOffer(offer_id="first.1", agent_id="ada"), not_ready())
    world.later(1)
    for number in range(1, 20):
        world.done(a_contact(f"c{number:02}", queue_id=f"queue{number:02}"))
        world.later(1)
    # Behind the declined contact, but by its priority between the third and the fourth of the others.
    world.done(a_contact("c00", queue_id="queue00", priority_s=16))
    world.later(1)
    found: list[tuple[str, str]] = []
    events = world.done(ready())
    while made := offers(events):
        found += made
        events = world.done(c.CancelContact(contact_id=made[0][0]))
    in_order = [1, 2, 3, 4, 0, *range(5, 20)]
    assert found == [(f"c{number:02}", "ada") for number in in_order]
