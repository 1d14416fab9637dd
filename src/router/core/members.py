"""Conversation members: queries about the owner of a contact and its other participants; read-only."""

from router.core.state import Assignment, Contact, RoutingState
from router.model.ids import AgentId
from router.model.states import AssignmentRole


def members(state: RoutingState, contact: Contact) -> dict[AgentId, AssignmentRole]:
    """Return the role of each agent in the conversation, the owner first."""
    names = (contact.assignment_id or "", *contact.parties)
    return {state.assignments[name].agent_id: state.assignments[name].role for name in names}


def members_if_any(state: RoutingState, contact: Contact) -> dict[AgentId, AssignmentRole] | None:
    """Return the role of each agent in the conversation; None while the owner is alone in it."""
    return members(state, contact) if contact.parties else None


def under_new_owner(
    state: RoutingState, contact: Contact, agent_id: AgentId
) -> dict[AgentId, AssignmentRole]:
    """Return the roles as they will be once this agent has become the owner."""
    others = members(state, contact)
    others.pop(contact.agent_id or "")
    others.pop(agent_id, None)
    return {agent_id: AssignmentRole.OWNER, **others}


def party_of(state: RoutingState, contact: Contact, agent_id: AgentId) -> Assignment | None:
    """Return the agent's assignment in the conversation, if the agent takes part without owning it."""
    for name in contact.parties:
        if state.assignments[name].agent_id == agent_id:
            return state.assignments[name]
    return None


def running_consult(state: RoutingState, contact: Contact) -> Assignment | None:
    """Return the assignment of the consulted agent; a contact has at most one."""
    for name in contact.parties:
        if state.assignments[name].role is AssignmentRole.CONSULT:
            return state.assignments[name]
    return None
