"""API operations on conversations with several agents: consult, conference, hand-over.

An agent can reach only the contacts assigned to them.
"""

from router.edge.call import Answer, Call
from router.edge.contacts import carry_out, one_target, path_contact_id
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


async def start_consult(request: Call) -> Answer:
    """Start a consult with another agent or with an agent of a queue; the owner keeps the contact."""
    target = one_target(request)
    return await carry_out(
        request,
        StartConsult(
            contact_id=path_contact_id(request),
            to_queue_id=target.to_queue_id,
            to_agent_id=target.to_agent_id,
            agent_id=request.agent_id,
        ),
    )


async def complete_consult(request: Call) -> Answer:
    """Complete a consult: transfer the contact to the consulted agent."""
    return await carry_out(
        request, CompleteConsult(contact_id=path_contact_id(request), agent_id=request.agent_id)
    )


async def cancel_consult(request: Call) -> Answer:
    """Cancel a pending consult or end an active one; the owner keeps the contact."""
    return await carry_out(
        request, CancelConsult(contact_id=path_contact_id(request), agent_id=request.agent_id)
    )


async def start_conference(request: Call) -> Answer:
    """Turn an active consult into a conference with the customer."""
    return await carry_out(
        request, JoinConsult(contact_id=path_contact_id(request), agent_id=request.agent_id)
    )


async def hand_over_contact(request: Call) -> Answer:
    """Make another participant the owner of the contact and leave the conference."""
    return await carry_out(
        request,
        HandOver(
            contact_id=path_contact_id(request),
            to_agent_id=request.body.to_agent_id,
            agent_id=request.agent_id,
        ),
    )


async def leave_contact(request: Call) -> Answer:
    """Leave a conversation as a participant; a supervisor removes the participant given in the body."""
    named = request.body.agent_id
    if request.agent_id is not None:
        if named not in (None, request.agent_id):
            raise ProblemRaised("unknown_agent", field="$.agent_id")
        return await carry_out(
            request, LeaveContact(contact_id=path_contact_id(request), agent_id=request.agent_id)
        )
    if named is None:
        raise ProblemRaised(
            "invalid_value", "agent_id is required: the participant to remove", field="$.agent_id"
        )
    return await carry_out(
        request, LeaveContact(contact_id=path_contact_id(request), agent_id=named, reason="removed")
    )


async def add_participant(request: Call) -> Answer:
    """Add an agent to a conversation."""
    return await carry_out(
        request, AddParticipant(contact_id=path_contact_id(request), agent_id=request.body.agent_id)
    )
