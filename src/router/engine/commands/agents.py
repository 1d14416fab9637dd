"""Commands on agents: records, states, paused channels, and connection of their desktops."""

from collections.abc import Callable
from typing import Any, Final

from msgspec import UNSET

from router.engine.commands.conference import find_successor, hand_over_to_successor, remove_disconnected_participant
from router.engine.commands.rescind import enter_next_state, has_open_work, rescind_agent_offers, rescind_unqualified_of_agent
from router.engine.commands.transaction import Transaction, already_done, unknown_agent, unknown_queue
from router.engine.commands.transfers import requeue_after_lost_desktop
from router.engine.commands.validation import (
    ATTRIBUTE_COUNT_MAX,
    LABEL_COUNT_MAX,
    SKILL_COUNT_MAX,
    merged,
    named_field,
    unknown_channel,
    validate_attributes,
    validate_not_ready_reason,
    validate_queue_ranks,
    validate_skills,
)
from router.engine.state.agent import Agent
from router.engine.state.records import Assignment
from router.model.commands import ConnectDesktop, LoseDesktop, PutAgent, RemoveAgent, SetAgentChannels, SetAgentState, UpdateAgent
from router.model.events.agent import (
    AgentChannelsSet,
    AgentNextStateSet,
    AgentRemoved,
    AgentStateChanged,
    AgentUpdated,
    DesktopConnected,
    DesktopLost,
)
from router.model.policy import LostDesktopAction, Policy
from router.model.results import CommandResult, RefusalCode, Refused
from router.model.states import AgentState, AssignmentRole, AssignmentState, Presence


def _put_agent(tx: Transaction, command: PutAgent) -> CommandResult:
    state = tx.state
    if state.policy is None:
        return Refused(code=RefusalCode.INVALID_POLICY, detail="no policy is active: publish one first (PUT /v1/policy)")
    refused = _validate_record(state.policy, command)
    if refused is not None:
        return refused
    agent = state.agents.get(command.agent_id)
    labels = tuple(sorted(set(command.labels)))
    if agent is not None and _is_unchanged(agent, command, labels):
        return already_done(agent.agent_id, agent.state, state.seq)
    tx.emit(
        AgentUpdated(
            agent_id=command.agent_id,
            skills=command.skills,
            queues=command.queues,
            units=command.units,
            channel_max=command.channel_max,
            attributes=command.attributes,
            queue_ranks=command.queue_ranks,
            team=command.team,
            labels=labels,
        )
    )
    answer = tx.done(command.agent_id, state.agents[command.agent_id].state)
    if agent is not None and agent.offers:
        rescind_unqualified_of_agent(tx, agent, "agent_updated")
    return answer


def _update_agent(tx: Transaction, command: UpdateAgent) -> CommandResult:
    """Replace the record by the present one with the changes."""
    agent = tx.state.agents.get(command.agent_id)
    if agent is None:
        return unknown_agent()
    skills, attributes = merged(agent.skills, command.skills), merged(agent.attributes, command.attributes)
    for field, values, most in (("skills", skills, SKILL_COUNT_MAX), ("attributes", attributes, ATTRIBUTE_COUNT_MAX)):
        if len(values) > most:
            detail = f"the agent would have more than {most}: remove some by null"
            return Refused(code=RefusalCode.INVALID_VALUE, field=field, detail=detail)
    labels = frozenset(agent.labels if command.labels is UNSET else command.labels or ())
    labels = labels.difference(command.remove_labels).union(command.add_labels)
    if len(labels) > LABEL_COUNT_MAX:
        detail = f"the agent would have more than {LABEL_COUNT_MAX}: remove some by `remove_labels`"
        return Refused(code=RefusalCode.INVALID_VALUE, field="add_labels", detail=detail)
    return _put_agent(
        tx,
        PutAgent(
            agent_id=agent.agent_id,
            skills=skills,
            queues=agent.queues if command.queues is UNSET else command.queues,
            units=agent.units_override if command.units is UNSET else command.units,
            channel_max=merged(agent.channel_max, command.channel_max),
            attributes=attributes,
            queue_ranks=merged(agent.queue_ranks, command.queue_ranks),
            team=agent.team if command.team is UNSET else command.team,
            labels=tuple(labels),
        ),
    )


def _validate_record(policy: Policy, command: PutAgent) -> Refused | None:
    refused = validate_skills(policy, command.skills) or validate_attributes(policy, command.attributes, "agent")
    if refused is not None:
        return refused
    for index, queue_id in enumerate(command.queues or ()):
        if queue_id not in policy.queues:
            return unknown_queue(f"queues[{index}]")
    for channel, most in command.channel_max.items():
        if channel not in policy.channels:
            return unknown_channel(policy, named_field("channel_max", channel))
        if not 0 <= most <= 1_000:
            field = named_field("channel_max", channel)
            return Refused(code=RefusalCode.INVALID_VALUE, field=field, detail="must be 0 to 1,000")
    refused = validate_queue_ranks(policy, command.queue_ranks)
    if refused is not None:
        return refused
    if command.units is not None and not 0 <= command.units <= 100_000:
        return Refused(code=RefusalCode.INVALID_VALUE, field="units", detail="must be 0 to 100,000")
    return None


def _is_unchanged(agent: Agent, command: PutAgent, labels: tuple[str, ...]) -> bool:
    return (agent.skills, agent.queues, agent.units_override, agent.channel_max, agent.attributes, agent.queue_ranks) == (
        command.skills,
        command.queues,
        command.units,
        command.channel_max,
        command.attributes,
        command.queue_ranks,
    ) and (agent.team, agent.labels) == (command.team, labels)


def _remove_agent(tx: Transaction, command: RemoveAgent) -> CommandResult:
    agent = tx.state.agents.get(command.agent_id)
    if agent is None:
        return unknown_agent()
    if agent.offers or agent.assignments:
        return Refused(code=RefusalCode.AGENT_BUSY, field="agent_id", detail="the agent has pending offers or open assignments")
    tx.emit(AgentRemoved(agent_id=command.agent_id))
    return tx.done(command.agent_id, "removed")


def _set_state(tx: Transaction, command: SetAgentState) -> CommandResult:
    state = tx.state
    agent = state.agents.get(command.agent_id)
    if agent is None:
        return unknown_agent()
    refused = validate_not_ready_reason(state, command.reason)
    if refused is not None:
        return refused
    if (agent.state, agent.reason) == (command.state, command.reason) or (agent.state is command.state is AgentState.READY):
        return _keep_state(tx, agent)
    if command.after_work and has_open_work(agent):
        return _set_next_state(tx, agent, command)
    tx.emit(AgentStateChanged(agent_id=agent.agent_id, state=command.state, from_state=agent.state, reason=command.reason))
    answer = tx.done(agent.agent_id, agent.state)
    if agent.state is not AgentState.READY:
        _rescind_offers(tx, agent)
    return answer


def _keep_state(tx: Transaction, agent: Agent) -> CommandResult:
    if agent.next_state is None:
        return already_done(agent.agent_id, agent.state, tx.state.seq)
    tx.emit(AgentNextStateSet(agent_id=agent.agent_id))
    return tx.done(agent.agent_id, agent.state)


def _set_next_state(tx: Transaction, agent: Agent, command: SetAgentState) -> CommandResult:
    if (agent.next_state, agent.next_reason) == (command.state, command.reason):
        return already_done(agent.agent_id, agent.state, tx.state.seq)
    tx.emit(AgentNextStateSet(agent_id=agent.agent_id, state=command.state, reason=command.reason))
    answer = tx.done(agent.agent_id, agent.state)
    _rescind_offers(tx, agent)
    enter_next_state(tx, agent)
    return answer


def _rescind_offers(tx: Transaction, agent: Agent) -> None:
    policy = tx.state.policy
    if policy is None or policy.agents.rescind_when_not_ready:
        rescind_agent_offers(tx, agent, "agent_not_ready")


def _set_agent_channels(tx: Transaction, command: SetAgentChannels) -> CommandResult:
    """Replace the set of paused channels: the agent stays ready but is offered no new contacts of them."""
    state = tx.state
    agent, policy = state.agents.get(command.agent_id), state.policy
    if agent is None or policy is None:
        return unknown_agent()
    for index, channel in enumerate(command.paused):
        if channel not in policy.channels:
            return unknown_channel(policy, f"paused[{index}]")
    paused = tuple(sorted(set(command.paused)))
    if paused == agent.paused:
        return already_done(agent.agent_id, agent.state, state.seq)
    tx.emit(AgentChannelsSet(agent_id=agent.agent_id, paused=paused))
    answer = tx.done(agent.agent_id, agent.state)
    if policy.agents.rescind_when_not_ready:
        rescind_agent_offers(tx, agent, "agent_not_ready", channels=frozenset(paused))
    return answer


def _connect_desktop(tx: Transaction, command: ConnectDesktop) -> CommandResult:
    agent = tx.state.agents.get(command.agent_id)
    if agent is None:
        return unknown_agent()
    if agent.presence is Presence.ATTACHED and agent.session_id == command.session_id:
        return already_done(agent.agent_id, agent.state, tx.state.seq)
    tx.emit(DesktopConnected(agent_id=command.agent_id, session_id=command.session_id))
    return tx.done(agent.agent_id, agent.state)


def _lose_desktop(tx: Transaction, command: LoseDesktop) -> CommandResult:
    state = tx.state
    agent = state.agents.get(command.agent_id)
    if agent is None:
        return unknown_agent()
    if agent.presence is not Presence.ATTACHED or agent.session_id != command.session_id:
        return already_done(agent.agent_id, agent.state, state.seq)
    grace_s = 0 if state.policy is None else state.policy.agents.desktop_grace_s
    tx.emit(DesktopLost(agent_id=command.agent_id, session_id=command.session_id, grace_until_ms=tx.at_ms + 1000 * grace_s))
    return tx.done(agent.agent_id, agent.state)


def expire_desktop_grace(tx: Transaction, agent: Agent) -> None:
    """Take an agent offline whose desktop did not return within the grace period.

    Offers are rescinded, and the agent leaves the conversations of other owners. The agent's own conversations are kept or
    requeued, as the channel says; instead of being requeued, one with a present participant is handed over to that agent.
    """
    went_offline = agent.went_offline
    tx.emit(AgentStateChanged(agent_id=agent.agent_id, state=AgentState.OFFLINE, from_state=agent.state, reason="desktop_lost"))
    rescind_agent_offers(tx, agent, "agent_not_ready")
    channels = tx.state.index.channels.by_name
    for _, assignment in sorted(agent.assignments.items()):
        if assignment.state is AssignmentState.WRAP_UP:
            continue
        if assignment.role is not AssignmentRole.OWNER:
            remove_disconnected_participant(tx, assignment)
            continue
        policy = channels[assignment.channel].policy
        if policy.lost_desktop is LostDesktopAction.REQUEUE:
            # An agent who went offline on purpose is not waited for.
            prefer_s = 0 if went_offline else policy.lost_desktop_prefer_s
            _hand_over_or_requeue(tx, assignment, prefer_s)


def _hand_over_or_requeue(tx: Transaction, assignment: Assignment, prefer_s: int) -> None:
    contact = tx.state.contacts[assignment.contact_id]
    successor = find_successor(tx, contact) if contact.participant_assignment_ids else None
    if successor is None:
        requeue_after_lost_desktop(tx, assignment, prefer_s)
    else:
        hand_over_to_successor(tx, contact, successor)


AGENT_COMMANDS: Final[dict[type, Callable[[Transaction, Any], CommandResult]]] = {
    PutAgent: _put_agent,
    UpdateAgent: _update_agent,
    RemoveAgent: _remove_agent,
    SetAgentState: _set_state,
    SetAgentChannels: _set_agent_channels,
    ConnectDesktop: _connect_desktop,
    LoseDesktop: _lose_desktop,
}
