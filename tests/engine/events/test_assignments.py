"""Assignment events: capacity of parked work and wrap-up, and the record of participants."""

from router.model import commands as c
from router.model.states import AssignmentRole, OfferState
from tests.support.builders import a_channel, a_contact, a_policy, an_agent, ready
from tests.support.engine_worlds import a_consult
from tests.support.world import World, a_world


def a_conversation(**channel: object) -> World:
    policy = a_policy(channels={"voice": a_channel(wrap_up_s=30, **channel)})
    world = a_world(policy, an_agent(), ready(), a_contact())
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    return world


def holds_capacity(world: World, assignment_id: str = "c1.1") -> bool:
    return world.engine._state.assignments[assignment_id].holds_capacity


def test_a_parked_assignment_holds_no_capacity_until_it_is_unparked() -> None:
    world = a_conversation()
    world.done(c.ParkAssignment(assignment_id="c1.1", agent_id="ada"))
    assert not holds_capacity(world)
    world.done(c.UnparkAssignment(assignment_id="c1.1", agent_id="ada"))
    assert holds_capacity(world)


def test_wrap_up_holds_capacity_if_the_channel_says_so() -> None:
    for holds in (True, False):
        world = a_conversation(wrap_up_holds_capacity=holds)
        world.done(c.EndContact(contact_id="c1", agent_id="ada"))
        assert holds_capacity(world) is holds


def test_a_participant_is_recorded_with_the_accept_for_a_late_repeat() -> None:
    world = a_consult()
    world.done(c.JoinConsult(contact_id="c1", agent_id="ada"))
    state = world.engine._state
    assert state.contacts["c1"].participant_assignment_ids == ("c1.2",)
    assert state.assignments["c1.2"].role is AssignmentRole.PARTICIPANT
    ended_as, _, agent_id = (state.contacts["c1"].ended_offers or {})["c1.2"]
    assert (ended_as, agent_id) == (OfferState.ACCEPTED, "bob")


def test_a_hand_over_exchanges_the_owner_and_keeps_the_assignment_id() -> None:
    world = a_consult()
    world.done(c.CompleteConsult(contact_id="c1", agent_id="ada"))
    contact = world.engine._state.contacts["c1"]
    assert (contact.agent_id, contact.assignment_id) == ("bob", "c1.2")
    assert contact.participant_assignment_ids == ()
