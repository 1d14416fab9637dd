"""Conversations of several agents over HTTP: consult, conference, hand-over. An agent reaches the contacts in his hands alone."""

from router.edge.call import Answer, Call
from router.edge.contacts import carry_out, one_target
from router.edge.problems import ProblemRaised
from router.model.commands import (
    AddParticipant,
    CancelConsult,
    CompleteConsult,
    HandOver,
    JoinConsult,
    LeaveContact,
    StartConsult,
)


async def start_consult(call: Call) -> Answer:
    """Ask another agent, or one of a queue, for advice; the owner keeps the contact."""
    target = one_target(call)
    return await carry_out(
        call,
        StartConsult(
            contact_id=_id(call),
            to_queue_id=target.to_queue_id,
            to_agent_id=target.to_agent_id,
            agent_id=call.agent_id,
        ),
    )


async def complete_consult(call: Call) -> Answer:
    """Pass the contact to the consulted agent."""
    return await carry_out(call, CompleteConsult(contact_id=_id(call), agent_id=call.agent_id))


async def cancel_consult(call: Call) -> Answer:
    """Take a pending consult back, or end a running one; the owner goes on alone."""
    return await carry_out(call, CancelConsult(contact_id=_id(call), agent_id=call.agent_id))


async def start_conference(call: Call) -> Answer:
    """Let the consulted agent talk with the customer, too."""
    return await carry_out(call, JoinConsult(contact_id=_id(call), agent_id=call.agent_id))


async def hand_over_contact(call: Call) -> Answer:
    """Leave a conference and let a participant own the contact."""
    return await carry_out(
        call,
        HandOver(contact_id=_id(call), to_agent_id=call.body.to_agent_id, agent_id=call.agent_id),
    )


async def leave_contact(call: Call) -> Answer:
    """Leave a conversation that another owns; a supervisor takes somebody out of it."""
    named = call.body.agent_id
    if call.agent_id is not None:
        if named not in (None, call.agent_id):
            raise ProblemRaised("unknown_agent", field="$.agent_id")
        return await carry_out(call, LeaveContact(contact_id=_id(call), agent_id=call.agent_id))
    if named is None:
        raise ProblemRaised("invalid_value", "who leaves", field="$.agent_id")
    return await carry_out(
        call, LeaveContact(contact_id=_id(call), agent_id=named, reason="removed")
    )


async def add_participant(call: Call) -> Answer:
    """Put an agent into a conversation."""
    return await carry_out(call, AddParticipant(contact_id=_id(call), agent_id=call.body.agent_id))


def _id(call: Call) -> str:
    return call.path["contact_id"]
