"""Pausing of channels: the agent stays ready but is offered no new contacts of the paused channels."""

from collections.abc import Callable
from typing import Any, Final

from router.core.decide.rescind import rescind_of
from router.core.decide.step import Step, repeated, unknown_agent
from router.model.commands import SetAgentChannels
from router.model.events import AgentChannelsSet
from router.model.outcome import Answer
from router.model.refusals import RefusalCode, Refused


def _set_channels(step: Step, command: SetAgentChannels) -> Answer:
    state = step.state
    agent, policy = state.agents.get(command.agent_id), state.policy
    if agent is None or policy is None:
        return unknown_agent()
    if any(channel not in policy.channels for channel in command.paused):
        return Refused(code=RefusalCode.UNKNOWN_CHANNEL, field="paused")
    paused = tuple(sorted(set(command.paused)))
    if paused == agent.paused:
        return repeated(agent.agent_id, agent.state, state.seq)
    step.emit(AgentChannelsSet(agent_id=agent.agent_id, paused=paused))
    answer = step.done(agent.agent_id, agent.state)
    if policy.agents.rescind_when_not_ready:
        rescind_of(step, agent, "agent_not_ready", channels=frozenset(paused))
    return answer


HANDLERS: Final[dict[type, Callable[[Step, Any], Answer]]] = {SetAgentChannels: _set_channels}
