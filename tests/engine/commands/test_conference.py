"""Consults and conferences: cases that no scenario covers, and that the checks and invariants detect inconsistencies."""

from typing import Any

import pytest

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.policy import LostDesktopAction
from router.model.results import Done, RefusalCode
from router.model.states import AgentState, AssignmentRole, AssignmentState, ContactState
from tests.support.builders import (
    a_channel,
    a_contact,
    a_policy,
    a_queue,
    an_agent,
    not_ready,
    offline,
    published,
    ready,
)
from tests.support.world import World, a_world

OWNER, CONSULT, PARTICIPANT = AssignmentRole


def a_talk(*others: str, wrap_up_s: int = 10, **channel: Any) -> World:
    """Return a world in which ``ada`` has the voice contact ``c1`` and the others are ready and free."""
    voice = a_channel(wrap_up_s=wrap_up_s, **channel)
    policy = a_policy(channels={"voice": voice, "chat": a_channel(units=30, per_agent_max=3)})
    world = a_world(policy, an_agent("ada"), ready("ada"), a_contact("c1"))
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    for name in others or ("bob",):
        world.done_all(an_agent(name), ready(name))
    return world


def consult(agent_id: str = "bob", **changes: Any) -> c.StartConsult:
    return c.StartConsult(contact_id="c1", to_agent_id=agent_id, **changes)


def a_consult(*others: str, **settings: Any) -> World:
    """Return the same world with a running consult of ``bob``."""
    world = a_talk(*others, **settings)
    world.done(consult())
    world.done(c.AcceptOffer(offer_id="c1.2", agent_id="bob"))
    return world


def roles(world: World) -> dict[str, AssignmentRole]:
    view = world.engine.contact("c1")
    assert view is not None and view.agent_id is not None
    return {view.agent_id: OWNER} | {one.agent_id: one.role for one in view.participants}


def state_of(world: World, agent_id: str) -> AssignmentState | None:
    view = world.engine.agent(agent_id)
    assert view is not None
    return view.assignments[0].state if view.assignments else None


def test_a_consult_uses_capacity_from_the_offer_on() -> None:
    world = a_talk("bob")
    world.done(consult())
    world.done(a_contact("c2"))
    assert world.engine.agent("bob").units_used == 100  # type: ignore[union-attr]
    assert world.engine.contact("c2").state is ContactState.QUEUED  # type: ignore[union-attr]
    events = world.done(c.CancelConsult(contact_id="c1", agent_id="ada"))
    assert isinstance(events[-1], e.OfferMade) and events[-1].contact_id == "c2"


@pytest.mark.parametrize("command", [not_ready("bob"), offline("bob")])
def test_an_agent_who_is_away_cannot_be_consulted(command: c.Command) -> None:
    world = a_talk("bob")
    world.done(command)
    assert world.refused(consult()).code is RefusalCode.AGENT_UNAVAILABLE
    world.done(ready("bob"))
    world.done(consult())
    events = world.done(command)
    gone = next(event for event in events if isinstance(event, e.OfferRescinded))
    assert (gone.reason, gone.from_agent_id) == ("agent_not_ready", "ada")


def test_the_owner_and_participants_cannot_be_consulted() -> None:
    world = a_talk("bob", "cy")
    assert world.refused(consult("ada")).code is RefusalCode.AGENT_UNAVAILABLE
    world.done(c.AddParticipant(contact_id="c1", agent_id="bob"))
    assert world.refused(consult("bob")).code is RefusalCode.AGENT_UNAVAILABLE
    transfer = c.TransferContact(contact_id="c1", to_agent_id="bob")
    assert world.refused(transfer).code is RefusalCode.AGENT_UNAVAILABLE
    lacks = {lack.code for lack in world.engine.why_agent("c1", "bob").unmet_conditions}  # type: ignore[union-attr]
    assert "participant" in lacks


def test_a_consult_of_a_queue_uses_its_selection_rule_and_requirement() -> None:
    world = a_talk("bob", "cy", "dee")
    policy = world.engine.policy
    assert policy is not None
    queues = {
        "support": policy.queues["support"],
        "tax": a_queue(requires={"billing": 3}, selection="highest_proficiency"),
    }
    world.done(published(a_policy(channels=policy.channels, queues=queues)))
    ask = c.StartConsult(contact_id="c1", to_queue_id="tax")
    assert world.refused(ask).code is RefusalCode.AGENT_UNAVAILABLE
    world.done_all(
        an_agent("bob", skills={"billing": 2}),
        an_agent("cy", skills={"billing": 4}),
        an_agent("dee", skills={"billing": 9}, queues=("tax",)),
    )
    (made,) = world.done(ask)
    assert isinstance(made, e.OfferMade)
    assert (made.agent_id, made.queue_id, made.role) == ("dee", "support", CONSULT)


def test_a_hold_set_by_the_owner_remains_after_the_consult() -> None:
    world = a_talk("bob")
    world.done(c.HoldAssignment(assignment_id="c1.1", agent_id="ada"))
    world.done(consult())
    world.done(c.AcceptOffer(offer_id="c1.2", agent_id="bob"))
    world.done(c.CancelConsult(contact_id="c1"))
    assert state_of(world, "ada") is AssignmentState.ON_HOLD


def test_an_owner_who_resumed_during_the_consult_stays_with_the_customer() -> None:
    world = a_consult()
    assert state_of(world, "ada") is AssignmentState.ON_HOLD
    world.done(c.ResumeAssignment(assignment_id="c1.1", agent_id="ada"))
    world.done(c.HoldAssignment(assignment_id="c1.1", agent_id="ada"))
    world.done(c.LeaveContact(contact_id="c1", agent_id="bob"))
    assert state_of(world, "ada") is AssignmentState.ON_HOLD


def test_without_consult_holds_the_customer_stays_on_the_line() -> None:
    world = a_consult(hold_during_consult=False)
    assert state_of(world, "ada") is AssignmentState.ACTIVE


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
    assert (
        world.refused(c.DeclineOffer(offer_id="c1.2", agent_id="bob")).code
        is RefusalCode.OFFER_NOT_PENDING
    )


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
        c.LeaveContact(contact_id="c1", agent_id="ada"),
    ):
        answer = world.do(command).result
        assert isinstance(answer, Done) and answer.replayed, command
    assert (
        world.refused(c.CompleteAssignment(assignment_id="c1.2", agent_id="cy")).code
        is RefusalCode.UNKNOWN_ASSIGNMENT
    )


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
    assert state_of(world, "ada") is None and state_of(world, "bob") is None
    assert state_of(world, "cy") is AssignmentState.WRAP_UP


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
    assert state_of(world, "bob") is None, "a consult has no wrap-up"
    assert state_of(world, "cy") is AssignmentState.WRAP_UP


def test_a_supervisors_assign_ends_the_consult_and_keeps_the_participants() -> None:
    world = a_consult("bob", "cy", "dee")
    world.done(c.AddParticipant(contact_id="c1", agent_id="cy"))
    world.done(c.AssignContact(contact_id="c1", agent_id="dee"))
    assert roles(world) == {"dee": OWNER, "cy": PARTICIPANT}
    assert state_of(world, "bob") is None


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
        world.refused(c.AddParticipant(contact_id="c1", agent_id="ada")).code
        is RefusalCode.CAPACITY_EXCEEDED
    )  # The wrap-up of the agent holds the capacity.
    world.later(20)
    world.done(c.AddParticipant(contact_id="c1", agent_id="ada"))
    assert (
        world.refused(c.AddParticipant(contact_id="c1", agent_id="unknown")).code
        is RefusalCode.UNKNOWN_AGENT
    )
    world.done_all(an_agent("cy"))
    assert (
        world.refused(c.AddParticipant(contact_id="c1", agent_id="cy")).code
        is RefusalCode.INVALID_AGENT_STATE
    )


def test_a_next_state_waits_for_the_end_of_the_consult() -> None:
    world = a_consult()
    world.done(c.SetAgentState(agent_id="bob", state=AgentState.OFFLINE, after_work=True))
    events = world.done(c.CancelConsult(contact_id="c1"))
    assert isinstance(events[-1], e.AgentStateChanged)
    assert (events[-1].agent_id, events[-1].state) == ("bob", AgentState.OFFLINE)


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


def test_a_completed_consult_changes_the_owner_in_one_event() -> None:
    """Check invariant I17."""
    world = a_consult()
    events = world.done(c.CompleteConsult(contact_id="c1", agent_id="ada"))
    assert [type(event) for event in events] == [e.ContactHandedOver, e.WrapUpStarted]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            lambda s: s.contacts["c1"].__setattr__("participant_assignment_ids", ()),
            "c1.2 is consult in active",
        ),
        (
            lambda s: s.contacts["c1"].__setattr__("participant_assignment_ids", ("c1.9",)),
            "without their work",
        ),
        (
            lambda s: s.contacts["c1"].__setattr__("participant_assignment_ids", ("c1.2", "c1.2")),
            "an agent in it twice",
        ),
        (lambda s: s.assignments["c1.2"].__setattr__("role", OWNER), "and its contact says"),
    ],
)
def test_a_membership_of_one_side_only_breaks_an_invariant(spoil: Any, sentence: str) -> None:
    """Check invariant I7."""
    world = a_consult()
    assert world.engine.check_invariants() == []
    spoil(world.engine._state)
    assert any(sentence in told for told in world.engine.check_invariants()), (
        world.engine.check_invariants()
    )
