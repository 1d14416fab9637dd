"""Client-side record of the contacts of a load test."""

from router.loadtest.tracker import ContactTracker
from router.model.states import ContactState
from router.simulator.day import PlannedContact


def a_plan(n: int) -> PlannedContact:
    return PlannedContact(contact_id=f"plan-{n}", at_ms=n, queue_id="calls", handle_ms=1)


def test_references_of_two_runs_are_distinct() -> None:
    one, two = ContactTracker([a_plan(0)]), ContactTracker([a_plan(0)])
    assert one.by_reference(two.contacts[0].reference) is None
    assert one.by_reference(one.contacts[0].reference) is one.contacts[0]
    assert one.by_reference(None) is None


async def test_all_contacts_have_ended_once_every_planned_one_was_submitted_and_ended() -> None:
    tracker = ContactTracker([a_plan(0), a_plan(1), a_plan(2)])
    first, second, third = tracker.contacts
    tracker.record_submit(first, at_s=0.0, lateness_s=0.0)
    tracker.record_contact_id(first, "c1")
    tracker.record_end(first, ContactState.ENDED)
    assert not tracker.all_ended.is_set()  # Two are not submitted yet.
    tracker.record_submit(second, at_s=1.0, lateness_s=0.0)
    tracker.record_submit(third, at_s=1.0, lateness_s=0.0)
    tracker.record_blocked(second)
    assert (second.blocked, third.blocked) == (True, False)
    assert not tracker.all_ended.is_set()
    tracker.record_contact_id(third, "c3")
    tracker.record_end(third, ContactState.ABANDONED)
    tracker.record_end(third, ContactState.ENDED)  # The first terminal state counts.
    assert tracker.all_ended.is_set()
    assert third.terminal_state is ContactState.ABANDONED
    assert list(tracker.open_contacts()) == []


def test_only_the_first_offer_of_a_contact_that_did_not_wait_is_latency() -> None:
    tracker = ContactTracker([a_plan(0), a_plan(1)])
    prompt, late = tracker.contacts
    for contact in tracker.contacts:
        tracker.record_submit(contact, at_s=10.0, lateness_s=0.0)
    tracker.record_offer(late, at_s=10.5, waited_ms=490)
    tracker.record_offer(prompt, at_s=10.003, waited_ms=0)
    tracker.record_offer(prompt, at_s=11.0, waited_ms=0)
    assert [round(s, 6) for s in tracker.latencies_s] == [0.003]
