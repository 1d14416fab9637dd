"""Contact events: retention of ended contacts and idempotency keys, and the counts by state."""

from router.engine.events.contacts import ENDED_DROPPED_PER_EVENT
from router.engine.state.idempotency import DROPPED_PER_EVENT
from router.model import commands as c
from router.model.policy import RetentionPolicy
from router.model.states import ContactState
from tests.support.builders import a_contact, a_policy, a_queue, an_agent, published, ready
from tests.support.world import World, a_world


def ended(world: World, contact_id: str) -> None:
    world.done_all(a_contact(contact_id), c.CancelContact(contact_id=contact_id))


def test_ended_contacts_beyond_the_limit_are_dropped_oldest_first() -> None:
    world = World(a_policy(retention=RetentionPolicy(ended_contacts_max=2)))
    for number in range(4):
        ended(world, f"c{number}")
    kept = [view.contact_id for view in world.engine.contacts(state=ContactState.CANCELLED)]
    assert kept == ["c2", "c3"]


def test_one_event_drops_a_bounded_number_of_ended_contacts() -> None:
    world = World(a_policy(retention=RetentionPolicy(ended_contacts_max=20)))
    for number in range(20):
        ended(world, f"c{number:02}")
    world.done(published(a_policy(retention=RetentionPolicy(ended_contacts_max=1))))
    ended(world, "last")
    assert len(world.engine.contacts()) == 21 - ENDED_DROPPED_PER_EVENT


def test_one_submit_drops_a_bounded_number_of_idempotency_keys() -> None:
    world = a_world()
    for number in range(5):
        world.done(a_contact(f"c{number}", dedupe_key=bytes([number])))
    state = world.engine._state
    world.jump(state.policy.retention.idempotency_s + 1 if state.policy is not None else 0)
    world.done(a_contact("late", dedupe_key=b"late"))
    assert len(state.idempotency) == 6 - DROPPED_PER_EVENT


def test_a_contact_that_changes_its_queue_is_counted_in_the_new_one() -> None:
    world = a_world(a_policy(queues={"support": a_queue(), "night": a_queue()}), a_contact())
    world.done(c.RequeueContact(contact_id="c1", queue_id="night"))
    counts = world.engine._state.counts_by_queue
    queued = {queue_id: count[ContactState.QUEUED] for queue_id, count in counts.items()}
    assert queued == {"support": 0, "night": 1}


def test_an_answer_ends_what_only_applies_to_the_wait() -> None:
    world = a_world(None, an_agent(), ready(), a_contact(ttl_s=60))
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    contact = world.engine._state.contacts["c1"]
    assert contact.ttl_at_ms is None and contact.waiting_line is None and not contact.order_key
    assert (contact.agent_id, contact.last_agent_id) == ("ada", "ada")
