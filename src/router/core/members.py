"""Who is in a conversation: questions about its owner and those beside him. Nothing is changed here."""

from router.core.state import Assignment, Contact, RoutingState
from router.model.ids import AgentId
from router.model.states import AssignmentRole


def members(state: RoutingState, contact: Contact) -> dict[AgentId, AssignmentRole]:
    """Everybody in the conversation, the owner first."""
    names = (contact.assignment_id or "", *contact.parties)
    return {state.assignments[name].agent_id: state.assignments[name].role for name in names}


def members_if_any(state: RoutingState, contact: Contact) -> dict[AgentId, AssignmentRole] | None:
    """The same; none where the owner is alone in it."""
    return members(state, contact) if contact.parties else None


def under_new_owner(
    state: RoutingState, contact: Contact, agent_id: AgentId
) -> dict[AgentId, AssignmentRole]:
    """Everybody in it once this agent has taken the owner's place."""
    others = members(state, contact)
    others.pop(contact.agent_id or "")
    others.pop(agent_id, None)
    return {agent_id: AssignmentRole.OWNER, **others}


def party_of(state: RoutingState, contact: Contact, agent_id: AgentId) -> Assignment | None:
    """The agent's work on it, where he is in it beside its owner."""
    for name in contact.parties:
        if state.assignments[name].agent_id == agent_id:
            return state.assignments[name]
    return None


def running_consult(state: RoutingState, contact: Contact) -> Assignment | None:
    """The consulted agent's work; there is one at a time."""
    for name in contact.parties:
        if state.assignments[name].role is AssignmentRole.CONSULT:
            return state.assignments[name]
    return None
