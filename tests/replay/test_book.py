"""Client-side record of the contacts of a load test."""

from router.model.states import ContactState
from router.replay.book import DayBook
from router.simulator.day import PlannedContact


def a_plan(n: int) -> PlannedContact:
    return PlannedContact(contact_id=f"plan-{n}", at_ms=n, queue_id="calls", handle_ms=1)


def test_references_of_two_runs_are_distinct() -> None:
    one, two = DayBook([a_plan(0)]), DayBook([a_plan(0)])
    assert one.by_reference(two.visits[0].reference) is None
    assert one.by_reference(one.visits[0].reference) is one.visits[0]
    assert one.by_reference(None) is None


async def test_all_contacts_have_ended_once_every_planned_one_was_submitted_and_ended() -> None:
    book = DayBook([a_plan(0), a_plan(1), a_plan(2)])
    first, second, third = book.visits
    book.send(first, at_s=0.0, late_s=0.0)
    book.know(first, "c1")
    book.end(first, ContactState.ENDED)
    assert not book.settled.is_set()  # Two are not submitted yet.
    book.send(second, at_s=1.0, late_s=0.0)
    book.send(third, at_s=1.0, late_s=0.0)
    book.block(second)
    assert not book.settled.is_set()
    book.know(third, "c3")
    book.end(third, ContactState.ABANDONED)
    book.end(third, ContactState.ENDED)  # The first terminal state counts.
    assert book.settled.is_set()
    assert third.end is ContactState.ABANDONED
    assert list(book.open_visits()) == []


def test_only_the_first_offer_of_a_contact_that_did_not_wait_is_latency() -> None:
    book = DayBook([a_plan(0), a_plan(1)])
    prompt, late = book.visits
    for visit in book.visits:
        book.send(visit, at_s=10.0, late_s=0.0)
    book.offer(late, at_s=10.5, waited_ms=490)
    book.offer(prompt, at_s=10.003, waited_ms=0)
    book.offer(prompt, at_s=11.0, waited_ms=0)
    assert [round(s, 6) for s in book.latencies_s] == [0.003]
