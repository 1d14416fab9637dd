"""Conferences and hand-overs: cases that no scenario covers, and that the invariants detect inconsistencies."""

from typing import Any

import pytest

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.policy import LostDesktopAction
from router.model.results import Done, RefusalCode
from router.model.states import AssignmentRole, AssignmentState
from tests.support.builders import a_contact, a_policy, a_queue, an_agent, published, ready
from tests.support.engine_worlds import a_consult, a_talk, assignment_state_of, consult, roles
from tests.support.world import a_world

OWNER, CONSULT, PARTICIPANT = AssignmentRole


def test_a_repeated_accept_gets_the_first_answer_whatever_happened_since() -> None:
    world = a_consult("bob", "cy")
    accept = c.AcceptOffer(offer_id="c1.2", agent_id="bob")
    first = world.do(accept).result
    assert isinstance(first, Done) and first.replayed
    world.done(c.CompleteConsult(contact_id="c1"))
    assert world.do(accept).result == first
    world.done(c.AddParticipant(contact_id="c1", agent_id="cy"))
    world.done(c.HandOverContact(contact_id="c1", to_agent_id="cy"))
    assert world.do(accept).result == first
    world.done(c.EndContact(contact_id="c1"))
    assert world.do(accept).result == first
    assert world.refused(c.DeclineOffer(offer_id="c1.2", agent_id="bob")).code is RefusalCode.OFFER_NOT_PENDING


def test_late_repeats_of_former_participants_change_nothing() -> None:
    world = a_consult("bob", "cy")
    world.done(c.AddParticipant(contact_id="c1", agent_id="cy"))
    world.done(c.EndContact(contact_id="c1", agent_id="ada"))
    world.later(30)
    for command in (
        c.CompleteAssignment(assignment_id="c1.2", agent_id="bob"),
        c.CompleteAssignment(assignment_id="c1.3", agent_id="cy"),
        c.LeaveContact(contact_id="c1", agent_id="bob"),
        c.LeaveContact(contact_id="c1", agent_id="cy"),
    ):
        answer = world.do(command).result
        assert isinstance(answer, Done) and answer.replayed, command
    assert world.refused(c.CompleteAssignment(assignment_id="c1.2", agent_id="cy")).code is RefusalCode.UNKNOWN_ASSIGNMENT
    by_owner = world.refused(c.LeaveContact(contact_id="c1", agent_id="ada"))
    assert (by_owner.code, by_owner.state) == (RefusalCode.INVALID_CONTACT_STATE, "ended")


def test_a_participant_who_completes_leaves_without_wrap_up() -> None:
    world = a_consult()
    world.done(c.JoinConsult(contact_id="c1", agent_id="ada"))
    events = world.done(c.CompleteAssignment(assignment_id="c1.2", agent_id="bob"))
    left, done = events
    assert isinstance(left, e.ParticipantLeft) and left.reason == "finished"
    assert isinstance(done, e.AssignmentCompleted) and done.reason == "finished"
    assert roles(world) == {"ada": OWNER}


def test_the_owner_who_completes_ends_the_conversation_for_all() -> None:
    world = a_consult("bob", "cy")
    world.done(c.AddParticipant(contact_id="c1", agent_id="cy"))
    world.done(c.CompleteAssignment(assignment_id="c1.1", agent_id="ada"))
    assert assignment_state_of(world, "ada") is None and assignment_state_of(world, "bob") is None
    assert assignment_state_of(world, "cy") is AssignmentState.WRAP_UP


def test_a_transfer_to_an_agent_keeps_the_participants() -> None:
    world = a_talk("bob", "cy")
    world.done(c.AddParticipant(contact_id="c1", agent_id="bob"))
    world.done(c.TransferContact(contact_id="c1", to_agent_id="cy"))
    events = world.done(c.AcceptOffer(offer_id="c1.3", agent_id="cy"))
    accepted = events[0]
    assert isinstance(accepted, e.OfferAccepted)
    assert accepted.members == {"cy": OWNER, "bob": PARTICIPANT}
    assert roles(world) == {"cy": OWNER, "bob": PARTICIPANT}


def test_a_transfer_to_a_queue_removes_all_participants_in_one_transaction() -> None:
    world = a_consult("bob", "cy")
    world.done(c.AddParticipant(contact_id="c1", agent_id="cy"))
    world.done(c.TransferContact(contact_id="c1", to_queue_id="support", agent_id="ada"))
    contact = world.engine.contact("c1")
    assert contact is not None and contact.participants == ()
    assert assignment_state_of(world, "bob") is None, "a consult has no wrap-up"
    assert assignment_state_of(world, "cy") is AssignmentState.WRAP_UP


def test_a_supervisors_assign_ends_the_consult_and_keeps_the_participants() -> None:
    world = a_consult("bob", "cy", "dee")
    world.done(c.AddParticipant(contact_id="c1", agent_id="cy"))
    world.done(c.AssignContact(contact_id="c1", agent_id="dee"))
    assert roles(world) == {"dee": OWNER, "cy": PARTICIPANT}
    assert assignment_state_of(world, "bob") is None


def test_an_agent_with_a_pending_consult_can_be_added_at_once() -> None:
    world = a_talk("bob", participants_max=1)
    world.done(consult())
    events = world.done(c.AddParticipant(contact_id="c1", agent_id="bob"))
    assert [type(event) for event in events] == [e.OfferRescinded, e.ParticipantAdded]
    assert roles(world) == {"ada": OWNER, "bob": PARTICIPANT}


def test_an_added_participant_needs_capacity_but_no_skill() -> None:
    world = a_talk("bob")
    world.done(c.UpdateContact(contact_id="c1", skills={"english": 5}))
    world.done(c.AssignContact(contact_id="c1", agent_id="bob"))
    assert (
        world.refused(c.AddParticipant(contact_id="c1", agent_id="ada")).code is RefusalCode.CAPACITY_EXCEEDED
    )  # The wrap-up of the agent holds the capacity.
    world.later(20)
    world.done(c.AddParticipant(contact_id="c1", agent_id="ada"))
    assert world.refused(c.AddParticipant(contact_id="c1", agent_id="unknown")).code is RefusalCode.UNKNOWN_AGENT
    world.done_all(an_agent("cy"))
    assert world.refused(c.AddParticipant(contact_id="c1", agent_id="cy")).code is RefusalCode.INVALID_AGENT_STATE


def test_a_kept_contact_stays_with_an_owner_whose_desktop_is_gone() -> None:
    world = a_talk("bob", lost_desktop=LostDesktopAction.KEEP)
    world.done(c.AddParticipant(contact_id="c1", agent_id="bob"))
    world.done(c.ConnectDesktop(agent_id="ada", session_id="s"))
    world.done(c.LoseDesktop(agent_id="ada", session_id="s"))
    world.later(60)
    assert roles(world) == {"ada": OWNER, "bob": PARTICIPANT}


def test_conversations_of_a_removed_queue_belong_to_the_drain_queue() -> None:
    queues = {"old": a_queue(), "new": a_queue(wrap_up_s={"voice": 33})}
    world = a_world(a_policy(queues=queues), an_agent("ada"), ready("ada"))
    world.done(a_contact("c1", queue_id="old"))
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    world.done_all(an_agent("bob"), ready("bob"))
    world.done(c.AddParticipant(contact_id="c1", agent_id="bob"))
    world.done(published(a_policy(queues={"new": queues["new"]}), drain_to={"old": "new"}))
    events = world.done(c.EndContact(contact_id="c1"))
    wrap_ups = [event for event in events if isinstance(event, e.WrapUpStarted)]
    assert {event.deadline_ms - world.at_ms for event in wrap_ups} == {33_000}
    assert {event.agent_id for event in wrap_ups} == {"ada", "bob"}


def test_a_restored_engine_continues_consults_and_conferences() -> None:
    world = a_consult("bob", "cy")
    world.done(c.AddParticipant(contact_id="c1", agent_id="cy"))
    world.engine = Engine.restore(world.engine.snapshot())
    assert roles(world) == {"ada": OWNER, "bob": CONSULT, "cy": PARTICIPANT}
    world.done(c.CompleteConsult(contact_id="c1"))
    world.engine = world.replayed()
    assert roles(world) == {"bob": OWNER, "cy": PARTICIPANT}


@pytest.mark.parametrize(
    ("corrupt", "sentence"),
    [
        (lambda s: s.contacts["c1"].__setattr__("participant_assignment_ids", ()), "c1.2 is consult in active"),
        (lambda s: s.contacts["c1"].__setattr__("participant_assignment_ids", ("c1.9",)), "without their work"),
        (lambda s: s.contacts["c1"].__setattr__("participant_assignment_ids", ("c1.2", "c1.2")), "an agent in it twice"),
        (lambda s: s.assignments["c1.2"].__setattr__("role", OWNER), "and its contact says"),
    ],
)
def test_a_membership_of_one_side_only_breaks_an_invariant(corrupt: Any, sentence: str) -> None:
    """Check invariant I7."""
    world = a_consult()
    assert world.engine.check_invariants() == []
    corrupt(world.engine._state)
    assert any(sentence in problem for problem in world.engine.check_invariants()), world.engine.check_invariants()
