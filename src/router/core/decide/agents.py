"""Agents: records, states, and connection of their desktops."""

from collections.abc import Callable
from typing import Any, Final

from router.core.decide import checks
from router.core.decide.conference import heir, inherit, lose_party
from router.core.decide.contacts import requeue_lost
from router.core.decide.next_state import enter_next_state, has_work
from router.core.decide.rescind import rescind_of
from router.core.decide.step import Step, repeated, unknown_agent
from router.core.state import Agent, Assignment
from router.model.commands import (
    ConnectDesktop,
    LoseDesktop,
    PutAgent,
    RemoveAgent,
    SetAgentState,
)
from router.model.events import (
    AgentNextStateSet,
    AgentRemoved,
    AgentStateChanged,
    AgentUpdated,
    DesktopConnected,
    DesktopLost,
)
from router.model.outcome import Answer
from router.model.policy import LostDesktopAction, Policy
from router.model.refusals import RefusalCode, Refused
from router.model.states import AgentState, AssignmentRole, AssignmentState, Presence


def _put(step: Step, command: PutAgent) -> Answer:
    state = step.state
    if state.policy is None:
        return Refused(code=RefusalCode.POLICY_INVALID, detail="no policy has been published")
    refused = _check_record(state.policy, command)
    if refused is not None:
        return refused
    agent = state.agents.get(command.agent_id)
    if agent is not None and _same(agent, command):
        return repeated(agent.agent_id, agent.state, state.seq)
    step.emit(
        AgentUpdated(
            agent_id=command.agent_id,
            skills=command.skills,
            queues=command.queues,
            units=command.units,
            channel_max=command.channel_max,
            attributes=command.attributes,
            queue_ranks=command.queue_ranks,
        )
    )
    return step.done(command.agent_id, state.agents[command.agent_id].state)


def _check_record(policy: Policy, command: PutAgent) -> Refused | None:
    refused = checks.skills(policy, command.skills) or checks.attributes(
        policy, command.attributes, "agent"
    )
    if refused is not None:
        return refused
    for queue_id in command.queues or ():
        if queue_id not in policy.queues:
            return Refused(code=RefusalCode.UNKNOWN_QUEUE, field="queues")
    for channel, most in command.channel_max.items():
        if channel not in policy.channels:
            return Refused(code=RefusalCode.UNKNOWN_CHANNEL, field="channel_max")
        if not 0 <= most <= 1_000:
            return Refused(code=RefusalCode.INVALID_VALUE, field="channel_max", detail="0 to 1000")
    refused = checks.queue_ranks(policy, command.queue_ranks)
    if refused is not None:
        return refused
    if command.units is not None and not 0 <= command.units <= 100_000:
        return Refused(code=RefusalCode.INVALID_VALUE, field="units", detail="0 to 100000")
    return None


def _same(agent: Agent, command: PutAgent) -> bool:
    return (
        agent.skills,
        agent.queues,
        agent.own_units,
        agent.channel_max,
        agent.attributes,
        agent.queue_ranks,
    ) == (
        command.skills,
        command.queues,
        command.units,
        command.channel_max,
        command.attributes,
        command.queue_ranks,
    )


def _remove(step: Step, command: RemoveAgent) -> Answer:
    agent = step.state.agents.get(command.agent_id)
    if agent is None:
        return unknown_agent()
    if agent.offers or agent.assignments:
        return Refused(
            code=RefusalCode.AGENT_BUSY,
            field="agent_id",
            detail="the agent has pending offers or open assignments",
        )
    step.emit(AgentRemoved(agent_id=command.agent_id))
    return step.done(command.agent_id, "removed")


def _set_state(step: Step, command: SetAgentState) -> Answer:
    state = step.state
    agent = state.agents.get(command.agent_id)
    if agent is None:
        return unknown_agent()
    refused = checks.reason_declared(state, command.reason)
    if refused is not None:
        return refused
    if (agent.state, agent.reason) == (command.state, command.reason) or (
        agent.state is command.state is AgentState.READY
    ):
        return _stay(step, agent)
    if command.after_work and has_work(agent):
        return _queue_next(step, agent, command)
    step.emit(
        AgentStateChanged(
            agent_id=agent.agent_id,
            state=command.state,
            from_state=agent.state,
            reason=command.reason,
        )
    )
    answer = step.done(agent.agent_id, agent.state)
    if agent.state is not AgentState.READY:
        _lose_offers(step, agent)
    return answer


def _stay(step: Step, agent: Agent) -> Answer:
    if agent.next_state is None:
        return repeated(agent.agent_id, agent.state, step.state.seq)
    step.emit(AgentNextStateSet(agent_id=agent.agent_id))
    return step.done(agent.agent_id, agent.state)


def _queue_next(step: Step, agent: Agent, command: SetAgentState) -> Answer:
    if (agent.next_state, agent.next_reason) == (command.state, command.reason):
        return repeated(agent.agent_id, agent.state, step.state.seq)
    step.emit(
        AgentNextStateSet(agent_id=agent.agent_id, state=command.state, reason=command.reason)
    )
    answer = step.done(agent.agent_id, agent.state)
    _lose_offers(step, agent)
    enter_next_state(step, agent)
    return answer


def _lose_offers(step: Step, agent: Agent) -> None:
    policy = step.state.policy
    if policy is None or policy.agents.rescind_when_not_ready:
        rescind_of(step, agent, "agent_not_ready")


def _connect(step: Step, command: ConnectDesktop) -> Answer:
    agent = step.state.agents.get(command.agent_id)
    if agent is None:
        return unknown_agent()
    if agent.presence is Presence.ATTACHED and agent.session_id == command.session_id:
        return repeated(agent.agent_id, agent.state, step.state.seq)
    step.emit(DesktopConnected(agent_id=command.agent_id, session_id=command.session_id))
    return step.done(agent.agent_id, agent.state)


def _lose(step: Step, command: LoseDesktop) -> Answer:
    state = step.state
    agent = state.agents.get(command.agent_id)
    if agent is None:
        return unknown_agent()
    if agent.presence is not Presence.ATTACHED or agent.session_id != command.session_id:
        return repeated(agent.agent_id, agent.state, state.seq)
    grace_s = 0 if state.policy is None else state.policy.agents.desktop_grace_s
    step.emit(
        DesktopLost(
            agent_id=command.agent_id,
            session_id=command.session_id,
            grace_until_ms=step.at_ms + 1000 * grace_s,
        )
    )
    return step.done(agent.agent_id, agent.state)


def desktop_stayed_away(step: Step, agent: Agent) -> None:
    """Take an agent offline whose desktop did not return within the grace period.

    Offers are rescinded, and the agent leaves the conversations of other owners. The agent's own conversations are kept or
    requeued, as the channel says; instead of being requeued, one with a present participant is handed over to that agent.
    """
    step.emit(
        AgentStateChanged(
            agent_id=agent.agent_id,
            state=AgentState.OFFLINE,
            from_state=agent.state,
            reason="desktop_lost",
        )
    )
    rescind_of(step, agent, "agent_not_ready")
    channels = step.state.index.channels
    for _, work in sorted(agent.assignments.items()):
        if work.state is AssignmentState.WRAP_UP:
            continue
        if work.role is not AssignmentRole.OWNER:
            lose_party(step, work)
            continue
        policy = channels[work.channel].policy
        if policy.lost_desktop is LostDesktopAction.REQUEUE:
            _give_up(step, work, policy.lost_desktop_prefer_s)


def _give_up(step: Step, work: Assignment, prefer_s: int) -> None:
    contact = step.state.contacts[work.contact_id]
    successor = heir(step, contact) if contact.parties else None
    if successor is None:
        requeue_lost(step, work, prefer_s)
    else:
        inherit(step, contact, successor)


HANDLERS: Final[dict[type, Callable[[Step, Any], Answer]]] = {
    PutAgent: _put,
    RemoveAgent: _remove,
    SetAgentState: _set_state,
    ConnectDesktop: _connect,
    LoseDesktop: _lose,
}
