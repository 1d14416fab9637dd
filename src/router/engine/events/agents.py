"""Handlers of agent events: record, state, paused channels and desktop of an agent."""

from collections.abc import Callable
from typing import Any, Final

from router.engine.state import rate_caps as caps
from router.engine.state.agent import Agent
from router.engine.state.state import RoutingState
from router.engine.state.timers import TimerKind
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


def _updated(state: RoutingState, e: AgentUpdated) -> None:
    agent = state.agents.get(e.agent_id)
    if agent is None:
        agent = Agent(agent_id=e.agent_id, state=_AGENT_UPDATED[None], state_since_ms=state.at_ms)
        state.agents[e.agent_id] = agent
        state.agents_registered += 1
        agent.registration_number = state.agents_registered
        state.agent_log.append(agent)
    else:
        agent.state = _AGENT_UPDATED[agent.state]
    agent.skills = e.skills
    agent.queues = e.queues
    agent.units_override = e.units
    agent.channel_max = e.channel_max
    agent.attributes = e.attributes
    agent.queue_ranks = e.queue_ranks
    state.index.update_limits(agent)
    state.index.assign_group(agent)


def _removed(state: RoutingState, e: AgentRemoved) -> None:
    agent = state.agents.pop(e.agent_id)
    assert not agent.offers and not agent.assignments
    state.index.remove_agent(agent)
    if (
        len(state.agent_log) > 2 * len(state.agents) + _REMOVED_AGENTS_SLACK
        and state.incremental_snapshot is None
    ):
        state.agent_log = list(state.agents.values())


def _state_changed(state: RoutingState, e: AgentStateChanged) -> None:
    agent = state.agents[e.agent_id]
    if (agent.state, e.state) not in AGENT_STATE_CHANGES:
        raise IllegalTransition(f"no agent transition from {agent.state} to {e.state}")
    agent.state = e.state
    agent.reason = e.reason
    agent.state_since_ms = state.at_ms
    agent.return_at_ms = e.return_at_ms
    agent.next_state = agent.next_reason = None
    if e.reason == "desktop_lost":
        agent.presence, agent.session_id, agent.grace_until_ms = Presence.NONE, None, None
    if e.return_at_ms is not None:
        state.timers.add(e.return_at_ms, TimerKind.RETURN, e.agent_id)
    if e.state is AgentState.READY:
        state.index.move_to_idle_end(agent)
    else:
        agent.idle_since_ms = None
    state.index.refresh_open_channels(agent)


def _next_state_set(state: RoutingState, e: AgentNextStateSet) -> None:
    agent = state.agents[e.agent_id]
    agent.next_state = e.state
    agent.next_reason = e.reason
    state.index.refresh_open_channels(agent)


def _channels_set(state: RoutingState, e: AgentChannelsSet) -> None:
    agent = state.agents[e.agent_id]
    agent.paused = e.paused
    agent.closed_channel_bits = caps.paused_channel_bits(agent, state.index.channels)
    state.index.refresh_open_channels(agent)


def _desktop_connected(state: RoutingState, e: DesktopConnected) -> None:
    agent = state.agents[e.agent_id]
    agent.presence, agent.session_id, agent.grace_until_ms = Presence.ATTACHED, e.session_id, None
    state.index.refresh_open_channels(agent)


def _desktop_lost(state: RoutingState, e: DesktopLost) -> None:
    agent = state.agents[e.agent_id]
    agent.presence, agent.grace_until_ms = Presence.LOST, e.grace_until_ms
    state.timers.add(e.grace_until_ms, TimerKind.GRACE, e.agent_id)
    state.index.refresh_open_channels(agent)


AGENT_EVENTS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    AgentUpdated: _updated,
    AgentRemoved: _removed,
    AgentStateChanged: _state_changed,
    AgentNextStateSet: _next_state_set,
    AgentChannelsSet: _channels_set,
    DesktopConnected: _desktop_connected,
    DesktopLost: _desktop_lost,
}
