"""Evaluate filters and scopes: whether an agent or a contact meets all conditions, by the state of the moment."""

from typing import Final

from msgspec import structs

from router.engine.routing_state import RoutingState
from router.engine.state.agent import Agent
from router.engine.state.contact import Contact
from router.model.commands import MonitorContact, PlainCommand
from router.model.filters import AgentFilter, LiveContactFilter, ObjectFilter, SupervisorScope
from router.model.states import QueueId


class AgentMatcher:
    """Tells whether agents meet a filter, by the state of the moment."""

    def __init__(self, state: RoutingState, wanted: AgentFilter) -> None:
        self._state = state
        self._wanted = wanted

    def accepts(self, agent: Agent) -> bool:
        """Return whether an agent meets all conditions."""
        wanted = self._wanted
        if wanted.state is not None and agent.state is not wanted.state:
            return False
        if wanted.reason is not None and agent.reason != wanted.reason:
            return False
        if wanted.team is not None and agent.team != wanted.team:
            return False
        if wanted.teams is not None and agent.team not in wanted.teams:
            return False
        if wanted.label is not None and wanted.label not in agent.labels:
            return False
        if wanted.skill is not None and agent.skills.get(wanted.skill[0], 0) < wanted.skill[1]:
            return False
        if wanted.queue_id is not None and not serves_queue(self._state, agent, wanted.queue_id):
            return False
        return self._has_channel(agent)

    def _has_channel(self, agent: Agent) -> bool:
        channel, is_available = self._wanted.channel, self._wanted.is_available
        bits = agent.open_channel_bits
        if channel is not None:
            known = self._state.index.channels.by_name.get(channel)
            if known is None or agent.channel_max.get(channel) == 0:
                return False
            bits &= known.bit
        return is_available is None or bool(bits) is is_available


def serves_queue(state: RoutingState, agent: Agent, queue_id: QueueId) -> bool:
    """Return whether an agent serves a queue: by the list of their queues, and by the skills that the queue requires."""
    policy = state.policy
    if policy is None or queue_id not in policy.queues or (agent.queues is not None and queue_id not in agent.queues):
        return False
    return all(agent.skills.get(skill, 0) >= level for skill, level in policy.queues[queue_id].requires.items())


def accepts_contact(wanted: LiveContactFilter, contact: Contact) -> bool:
    """Return whether a contact is not over and meets all conditions."""
    if contact.state.is_terminal or (wanted.state is not None and contact.state is not wanted.state):
        return False
    if wanted.queue_id is not None and contact.queue_id != wanted.queue_id:
        return False
    if wanted.queues is not None and contact.queue_id not in wanted.queues:
        return False
    if wanted.channel is not None and contact.channel != wanted.channel:
        return False
    return wanted.agent_id is None or contact.agent_id == wanted.agent_id


def object_meets(state: RoutingState, wanted: ObjectFilter, *, agent_id: str | None, contact_id: str | None) -> bool:
    """Return whether the agent or the contact of a command meets a filter; one that does not exist meets none."""
    if isinstance(wanted, AgentFilter):
        agent = state.agents.get(agent_id or "")
        return agent is not None and AgentMatcher(state, wanted).accepts(agent)
    contact = state.contacts.get(contact_id or "")
    return contact is not None and accepts_contact(wanted, contact)


# Stands for what is out of scope: no id that a client can send has a space.
_HIDDEN: Final = " "


def within_scope(state: RoutingState, command: PlainCommand, scope: SupervisorScope) -> PlainCommand:
    """Return a command in which ids of hidden objects are replaced by one that does not exist.

    So a command on a hidden object takes the same path, and gets the same refusal, as one on an object that does not exist.
    """
    hidden: dict[str, str] = {}
    for field in ("contact_id", "agent_id", "to_agent_id", "queue_id", "to_queue_id"):
        name = getattr(command, field, None)
        if name is not None and not _is_in_scope(state, scope, field, name):
            hidden[field] = _HIDDEN
    if isinstance(command, MonitorContact):
        command = structs.replace(command, scope=scope)
    return structs.replace(command, **hidden) if hidden else command


def _is_in_scope(state: RoutingState, scope: SupervisorScope, field: str, name: str) -> bool:
    if field == "contact_id":
        contact = state.contacts.get(name)
        return contact is None or scope.has_queue(contact.queue_id)
    if field.endswith("agent_id"):
        agent = state.agents.get(name)
        return agent is None or scope.has_team(agent.team)
    return scope.has_queue(name)
