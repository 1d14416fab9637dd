"""Changes of a contact's state, queue and position, with the counters, timers and cool-downs that depend on them."""

from router.engine.events.contact_state import change_queue, record_owner_accept, start_cool_down
from router.engine.state.contact import Contact
from router.model import commands as c
from router.model.states import ContactState, OfferState
from tests.support.builders import START_MS, a_contact, a_policy, a_queue, an_agent, ready
from tests.support.world import a_world


def a_record(**changes: object) -> Contact:
    values: dict[str, object] = {
        "contact_id": "c1",
        "channel": "voice",
        "queue_id": "support",
        "state": ContactState.ASSIGNED,
        "queued_at_ms": START_MS,
        "changed_at_ms": START_MS,
        "queued_seq": 1,
    }
    return Contact(**(values | changes))  # type: ignore[arg-type]


def test_a_new_cool_down_drops_those_that_are_over() -> None:
    contact = a_record(cool_downs={"ada": START_MS, "bob": START_MS + 1})
    start_cool_down(contact, "cy", START_MS + 5_000, START_MS)
    assert contact.cool_downs == {"bob": START_MS + 1, "cy": START_MS + 5_000}


def test_no_cool_down_changes_nothing() -> None:
    contact = a_record()
    start_cool_down(contact, "cy", None, START_MS)
    assert contact.cool_downs is None


def test_the_accept_of_a_former_owner_is_kept_for_a_late_repeat() -> None:
    contact = a_record(agent_id="ada", assignment_id="c1.1", answered_seq=9)
    record_owner_accept(contact)
    assert contact.ended_offers == {"c1.1": (OfferState.ACCEPTED, 9, "ada")}


def test_a_contact_without_an_owner_keeps_no_accept() -> None:
    contact = a_record()
    record_owner_accept(contact)
    assert contact.ended_offers is None


def test_a_waiting_contact_that_enters_a_closed_queue_waits_for_the_opening() -> None:
    world = a_world(a_policy(queues={"support": a_queue(), "night": a_queue()}), a_contact())
    world.done(c.SetQueueOpen(queue_id="night", is_open=False))
    state = world.engine._state
    contact = state.contacts["c1"]
    change_queue(state, contact, "night")
    assert contact.waiting_for_opening


def test_an_assigned_contact_that_enters_a_closed_queue_does_not_wait_for_the_opening() -> None:
    world = a_world(a_policy(queues={"support": a_queue(), "night": a_queue()}), an_agent(), ready(), a_contact())
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    world.done(c.SetQueueOpen(queue_id="night", is_open=False))
    state = world.engine._state
    change_queue(state, state.contacts["c1"], "night")
    assert not state.contacts["c1"].waiting_for_opening


def test_an_unanswered_contact_gets_its_timers_back_when_it_waits_again() -> None:
    world = a_world(a_policy(queues={"support": a_queue(wait_max_s=600)}), an_agent(), ready())
    world.done(a_contact(ttl_s=900))
    world.done(c.DeclineOffer(offer_id="c1.1", agent_id="ada"))
    expired = world.later(900)
    assert world.engine._state.contacts["c1"].reason == "wait_max" and expired
