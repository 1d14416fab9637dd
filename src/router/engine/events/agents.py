"""Handlers of agent events: record, state, paused channels and desktop of an agent."""

from collections.abc import Callable
from typing import Any, Final

from router.engine.events.contact_state import update_ready_agents
from router.engine.routing_state import RoutingState
from router.engine.state import rate_caps
from router.engine.state.agent import Agent
from router.engine.state.clocks import TimerKind
from router.engine.transitions import AGENT_STATE_CHANGES, AGENT_TRANSITIONS, EventTransitions
from router.model.errors import IllegalTransition
from router.model.events import (
    AgentChannelsSet,
    AgentNextStateSet,
    AgentRemoved,
    AgentStateChanged,
    AgentUpdated,
    DesktopConnected,
    DesktopLost,
)
from router.model.states import AgentState, Presence

# Bound on removed agents that remain in the log until it is rebuilt; each snapshot removes them as well.
_REMOVED_AGENTS_SLACK: Final = 1_000
_AGENT_UPDATED: Final = EventTransitions(AGENT_TRANSITIONS, AgentUpdated)


def _updated(state: RoutingState, event: AgentUpdated) -> None:
    agent = state.agents.get(event.agent_id)
    if agent is None:
        agent = Agent(agent_id=event.agent_id, state=_AGENT_UPDATED[None], state_since_ms=state.at_ms)
        state.agents[event.agent_id] = agent
        state.agents_registered += 1
        agent.registration_number = state.agents_registered
        state.agent_log.append(agent)
        state.index.agent_ids.add(event.agent_id)
        state.agents_by_state[agent.state] += 1
    else:
        _change_state(state, agent, _AGENT_UPDATED[agent.state])
    agent.skills = event.skills
    agent.queues = event.queues
    agent.units_override = event.units
    agent.channel_max = event.channel_max
    agent.attributes = event.attributes
    agent.queue_ranks = event.queue_ranks
    if agent.team != event.team:
        state.index.teams.move(agent.agent_id, agent.team, event.team)
        _check_monitors(state, agent)
    agent.team, agent.labels = event.team, event.labels
    state.index.agents.update_limits(agent)
    state.index.agents.assign_group(agent)
    update_ready_agents(state)


def _check_monitors(state: RoutingState, agent: Agent) -> None:
    """Have the supervisors looked at who have joined conversations of an agent: the agent may be in their scope no more."""
    for work in agent.assignments.values():
        contact = state.contacts.get(work.contact_id)
        if contact is not None and contact.monitors:
            state.index.monitors.to_check[contact.contact_id] = contact


def _change_state(state: RoutingState, agent: Agent, after: AgentState) -> None:
    state.agents_by_state[agent.state] -= 1
    state.agents_by_state[after] += 1
    agent.state = after


def _removed(state: RoutingState, event: AgentRemoved) -> None:
    agent = state.agents.pop(event.agent_id)
    assert not agent.offers and not agent.assignments
    state.index.agent_ids.remove(event.agent_id)
    state.index.teams.move(agent.agent_id, agent.team, None)
    state.agents_by_state[agent.state] -= 1
    state.index.agents.remove(agent)
    update_ready_agents(state)
    if len(state.agent_log) > 2 * len(state.agents) + _REMOVED_AGENTS_SLACK and state.incremental_snapshot is None:
        state.agent_log = list(state.agents.values())


def _state_changed(state: RoutingState, event: AgentStateChanged) -> None:
    agent = state.agents[event.agent_id]
    if (agent.state, event.state) not in AGENT_STATE_CHANGES:
        raise IllegalTransition(f"no agent transition from {agent.state} to {event.state}")
    _change_state(state, agent, event.state)
    agent.reason = event.reason
    agent.state_since_ms = state.at_ms
    agent.return_at_ms = event.return_at_ms
    agent.next_state = agent.next_reason = None
    if event.reason == "desktop_lost":
        agent.presence, agent.session_id, agent.grace_until_ms = Presence.NONE, None, None
    if event.return_at_ms is not None:
        state.timers.add(event.return_at_ms, TimerKind.RETURN, event.agent_id)
    if event.state is AgentState.READY:
        state.index.agents.move_to_idle_end(agent)
    else:
        agent.idle_since_ms = None
    if event.state is AgentState.OFFLINE:
        state.index.agents.note_unavailable(agent)
    state.index.agents.refresh_open_channels(agent)
    update_ready_agents(state)


def _next_state_set(state: RoutingState, event: AgentNextStateSet) -> None:
    agent = state.agents[event.agent_id]
    agent.next_state = event.state
    agent.next_reason = event.reason
    state.index.agents.refresh_open_channels(agent)


def _channels_set(state: RoutingState, event: AgentChannelsSet) -> None:
    agent = state.agents[event.agent_id]
    agent.paused = event.paused
    agent.closed_channel_bits = rate_caps.paused_channel_bits(agent, state.index.channels.by_name)
    state.index.agents.refresh_open_channels(agent)


def _desktop_connected(state: RoutingState, event: DesktopConnected) -> None:
    agent = state.agents[event.agent_id]
    agent.presence, agent.session_id, agent.grace_until_ms = (Presence.ATTACHED, event.session_id, None)
    state.index.agents.refresh_open_channels(agent)


def _desktop_lost(state: RoutingState, event: DesktopLost) -> None:
    agent = state.agents[event.agent_id]
    agent.presence, agent.grace_until_ms = Presence.LOST, event.grace_until_ms
    state.timers.add(event.grace_until_ms, TimerKind.GRACE, event.agent_id)
    state.index.agents.refresh_open_channels(agent)


AGENT_EVENTS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    AgentUpdated: _updated,
    AgentRemoved: _removed,
    AgentStateChanged: _state_changed,
    AgentNextStateSet: _next_state_set,
    AgentChannelsSet: _channels_set,
    DesktopConnected: _desktop_connected,
    DesktopLost: _desktop_lost,
}
