"""Parked conversations: their capacity, and replies of their customers."""

from router.model import commands as c
from router.model.policy import LostDesktopAction
from router.model.states import ContactState
from tests.support.builders import (
    a_contact,
    an_agent,
    not_ready,
    ready,
)
from tests.support.engine_worlds import chats, owner_of, taken


def test_a_reply_to_an_agent_who_is_away_goes_to_an_available_agent() -> None:
    """Lesson D2: if the channel says so, the contact is requeued at its age and the absent agent's work is completed."""
    world = chats(unpark_when_not_ready=LostDesktopAction.REQUEUE)
    world.done_all(an_agent("ada"), ready("ada"))
    assignment_id = taken(world, "c1", "ada")
    world.done(c.ParkAssignment(assignment_id=assignment_id, agent_id="ada"))
    world.done_all(not_ready("ada"), an_agent("bob"), ready("bob"))
    world.later(3_600)
    world.done(c.UnparkContact(contact_id="c1"))
    view = world.engine.contact("c1")
    assert view is not None and view.state is ContactState.OFFERED
    assert [offer.agent_id for offer in view.offers] == ["bob"]
    assert view.offers[0].waited_ms == 3_600_000
    ada = world.engine.agent("ada")
    assert ada is not None and not ada.assignments


def test_a_reply_to_an_available_agent_stays_with_that_agent() -> None:
    """Lesson D2: only an absent agent loses the contact."""
    world = chats(unpark_when_not_ready=LostDesktopAction.REQUEUE)
    world.done_all(an_agent("ada"), ready("ada"))
    assignment_id = taken(world, "c1", "ada")
    world.done(c.ParkAssignment(assignment_id=assignment_id, agent_id="ada"))
    world.done(c.UnparkContact(contact_id="c1"))
    assert owner_of(world, "c1") == "ada"


def test_silent_conversations_do_not_block_capacity() -> None:
    """Lesson F7: parked conversations use no capacity, and nothing of them is lost."""
    world = chats()
    world.done_all(an_agent("ada"), ready("ada"))
    silent = [taken(world, f"c{n}", "ada") for n in (1, 2)]
    world.done(a_contact("c3", channel="chat"))
    view = world.engine.contact("c3")
    assert view is not None and view.state is ContactState.QUEUED, "ada already has two"
    for assignment_id in silent:
        world.done(c.ParkAssignment(assignment_id=assignment_id, agent_id="ada"))
    world.done(c.AcceptOffer(offer_id="c3.1", agent_id="ada"))
    ada = world.engine.agent("ada")
    assert ada is not None and ada.units_used == 50 and len(ada.assignments) == 3
    world.done(c.UnparkContact(contact_id="c1"))
    assert [owner_of(world, name) for name in ("c1", "c2", "c3")] == ["ada", "ada", "ada"]
