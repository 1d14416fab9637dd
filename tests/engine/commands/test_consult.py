"""Consults: capacity, hold of the customer, and the choice of the consulted agent."""

import pytest

from router.model import commands as c
from router.model import events as e
from router.model.results import RefusalCode
from router.model.states import AgentState, AssignmentRole, AssignmentState, ContactState
from tests.support.builders import a_contact, a_policy, a_queue, an_agent, not_ready, offline, published, ready
from tests.support.engine_worlds import a_consult, a_talk, assignment_state_of, consult


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
    codes = {condition.code for condition in world.engine.why_agent("c1", "bob").unmet_conditions}  # type: ignore[union-attr]
    assert "participant" in codes


def test_a_consult_of_a_queue_uses_its_selection_rule_and_requirement() -> None:
    world = a_talk("bob", "cy", "dee")
    policy = world.engine.policy
    assert policy is not None
    queues = {"support": policy.queues["support"], "tax": a_queue(requires={"billing": 3}, selection="highest_proficiency")}
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
    assert (made.agent_id, made.queue_id, made.role) == ("dee", "tax", AssignmentRole.CONSULT)


def test_a_hold_set_by_the_owner_remains_after_the_consult() -> None:
    world = a_talk("bob")
    world.done(c.HoldAssignment(assignment_id="c1.1", agent_id="ada"))
    world.done(consult())
    world.done(c.AcceptOffer(offer_id="c1.2", agent_id="bob"))
    world.done(c.CancelConsult(contact_id="c1"))
    assert assignment_state_of(world, "ada") is AssignmentState.ON_HOLD


def test_an_owner_who_resumed_during_the_consult_stays_with_the_customer() -> None:
    world = a_consult()
    assert assignment_state_of(world, "ada") is AssignmentState.ON_HOLD
    world.done(c.ResumeAssignment(assignment_id="c1.1", agent_id="ada"))
    world.done(c.HoldAssignment(assignment_id="c1.1", agent_id="ada"))
    world.done(c.LeaveContact(contact_id="c1", agent_id="bob"))
    assert assignment_state_of(world, "ada") is AssignmentState.ON_HOLD


def test_without_consult_holds_the_customer_stays_on_the_line() -> None:
    world = a_consult(hold_during_consult=False)
    assert assignment_state_of(world, "ada") is AssignmentState.ACTIVE


def test_a_next_state_waits_for_the_end_of_the_consult() -> None:
    world = a_consult()
    world.done(c.SetAgentState(agent_id="bob", state=AgentState.OFFLINE, after_work=True))
    events = world.done(c.CancelConsult(contact_id="c1"))
    assert isinstance(events[-1], e.AgentStateChanged)
    assert (events[-1].agent_id, events[-1].state) == ("bob", AgentState.OFFLINE)


def test_a_completed_consult_changes_the_owner_in_one_event() -> None:
    """Check invariant I17."""
    world = a_consult()
    events = world.done(c.CompleteConsult(contact_id="c1", agent_id="ada"))
    assert [type(event) for event in events] == [e.ContactHandedOver, e.WrapUpStarted]
