"""Reference implementation of eligibility: which conditions for offering a contact to an agent are not met.

Every condition is computed from the records of the agent and the contact, one after the other, which is too slow for the hot
path. The ``why`` queries explain decisions with it, and a property test compares the index with it: the router offers a
contact exactly where this module finds no unmet condition.
"""

from router.engine.routing_state import RoutingState
from router.engine.state import rate_caps
from router.engine.state.agent import Agent
from router.engine.state.contact import Contact
from router.engine.state.plan_stages import contact_requirement, exclusive_agents_of
from router.engine.state.records import RequirementKey
from router.model.policy import Policy
from router.model.states import AgentState, ContactState, Presence
from router.model.views import UnmetCondition


def unmet_conditions(state: RoutingState, agent: Agent, contact: Contact, at_ms: int) -> list[UnmetCondition]:
    """Return every unmet condition at this time; empty if the agent can take the contact now."""
    return (
        unmet_qualification(state, agent, contact)
        + unmet_readiness(agent)
        + unmet_capacity(state, agent, contact.channel)
        + unmet_channel_limits(state, agent, contact.channel, at_ms)
        + _unmet_pair_conditions(state, agent, contact, at_ms)
        + unmet_opening_hours(state, contact)
        + _unmet_dialling(state, agent, contact)
    )


def unmet_opening_hours(state: RoutingState, contact: Contact) -> list[UnmetCondition]:
    """Return ``closed`` if the contact waits for its queue to open."""
    if not contact.waiting_for_opening:
        return []
    hours = state.hours.get(contact.queue_id)
    return [UnmetCondition(code="closed", until_ms=None if hours is None else hours.changes_at_ms)]


def unmet_qualification(state: RoutingState, agent: Agent, contact: Contact) -> list[UnmetCondition]:
    """Return the unmet conditions that do not change by waiting: queue, attributes, skills, levels and channel."""
    found: list[UnmetCondition] = []
    if agent.queues is not None and contact.queue_id not in agent.queues:
        found.append(UnmetCondition(code="queue"))
    if state.queue_policy(contact.queue_id).agents_when is not None:
        qualification = state.index.qualification.conditions
        key = qualification.attribute_key(agent.attributes)
        if not qualification.accepts_facts(contact.queue_id, key, contact.customer_facts):
            found.append(UnmetCondition(code="attributes"))
    if state.policy is not None:
        needs, also = contact_requirement(state.policy, contact, state.index.qualification.conditions.customers)
        skills = unmet_skills(state.policy, agent, needs)
        if not any(not unmet_skills(state.policy, agent, other) for other in also):
            found += skills
    if agent.channel_max.get(contact.channel) == 0:
        found.append(UnmetCondition(code="channel", channel=contact.channel))
    return found


def unmet_skills(policy: Policy, agent: Agent, requirement: RequirementKey) -> list[UnmetCondition]:
    """Return the skills and levels of a requirement that the agent does not have."""
    found: list[UnmetCondition] = []
    for skill, level in requirement:
        has = agent.skills.get(skill) if skill in policy.skills else None
        if has is None:
            found.append(UnmetCondition(code="skill", skill=skill, needs=level))
        elif has < level:
            found.append(UnmetCondition(code="level", skill=skill, has=has, needs=level))
    return found


def is_qualified(state: RoutingState, agent: Agent, contact: Contact) -> bool:
    """Return whether the agent qualifies for the contact, regardless of the agent's present state."""
    return not unmet_qualification(state, agent, contact)


def unmet_readiness(agent: Agent) -> list[UnmetCondition]:
    """Return the unmet conditions of state, desktop presence and pending next state."""
    found: list[UnmetCondition] = []
    if agent.state is not AgentState.READY:
        found.append(UnmetCondition(code="state", until_ms=agent.return_at_ms))
    if agent.presence is Presence.LOST:
        found.append(UnmetCondition(code="presence", until_ms=agent.grace_until_ms))
    if agent.next_state is not None:
        found.append(UnmetCondition(code="next_state"))
    return found


def _capacity_units(state: RoutingState, agent: Agent) -> int:
    """Return the capacity units of the agent, or the default of the policy."""
    if agent.units_override is not None or state.policy is None:
        return agent.units_override or 0
    return state.policy.agents.units


def unmet_capacity(state: RoutingState, agent: Agent, channel: str) -> list[UnmetCondition]:
    """Return the unmet capacity conditions with the offers and assignments that use the capacity up.

    Checks units, the maximum of the channel, and channels that block or interrupt it. Work that is interrupted, or would be
    by one more item of this channel, uses no units and blocks no channel.
    """
    found: list[UnmetCondition] = []
    channels = state.index.channels.by_name
    wanted = channels.get(channel)
    if wanted is None:
        return [UnmetCondition(code="channel", channel=channel)]
    items = {offer.offer_id: (offer.channel, offer.units) for offer in agent.offers.values()}
    for assignment in agent.assignments.values():
        if assignment.holds_capacity:
            items[assignment.assignment_id] = (assignment.channel, assignment.units)
        if assignment.held_channel is not None:
            items[f"{assignment.assignment_id}/{assignment.held_channel}"] = (assignment.held_channel, assignment.held_units)
    interrupting = {item: channels[name].policy.interrupts for item, (name, _) in items.items() if channels[name].policy.interrupts}
    out_of_use = {*wanted.policy.interrupts}.union(*interrupting.values())
    using = {item: units for item, (name, units) in items.items() if name not in out_of_use}
    used = sum(using.values())
    units = _capacity_units(state, agent)
    if used + wanted.units > units:
        found.append(UnmetCondition(code="capacity", has=units - used, needs=wanted.units, items=tuple(using)))
    same_channel = tuple(item for item, (name, _) in items.items() if name == channel)
    most = agent.channel_max.get(channel, wanted.policy.per_agent_max)
    if most and len(same_channel) >= most:
        found.append(UnmetCondition(code="channel_max", channel=channel, has=most, items=same_channel))
    blocking = tuple(item for item in using if channel in channels[items[item][0]].policy.blocks)
    if blocking:
        found.append(UnmetCondition(code="blocked", channel=channel, items=blocking))
    interrupted_by = tuple(item for item, names in interrupting.items() if channel in names)
    if interrupted_by:
        found.append(UnmetCondition(code="interrupted", channel=channel, items=interrupted_by))
    return found


def unmet_channel_limits(state: RoutingState, agent: Agent, channel: str, at_ms: int) -> list[UnmetCondition]:
    """Return ``paused`` if the agent has paused the channel, and every rate cap that is reached."""
    found: list[UnmetCondition] = []
    if channel in agent.paused:
        found.append(UnmetCondition(code="paused", channel=channel))
    if state.policy is None or not state.index.channels.has_caps:
        return found
    for scope, cap in rate_caps.cap_scopes(state.policy, channel):
        pending = rate_caps.pending_offers_in(agent, scope)
        is_reached, until_ms = rate_caps.check_cap(agent.recent_contact_times.get(scope, ()), pending, cap, at_ms)
        if is_reached:
            found.append(UnmetCondition(code="rate_cap", channel=scope or None, has=cap.contacts_max, until_ms=until_ms))
    return found


def _unmet_pair_conditions(state: RoutingState, agent: Agent, contact: Contact, at_ms: int) -> list[UnmetCondition]:
    found: list[UnmetCondition] = []
    until_ms = (contact.cool_downs or {}).get(agent.agent_id, 0)
    if until_ms > at_ms:
        found.append(UnmetCondition(code="cool_down", until_ms=until_ms))
    if any(offer_id in agent.offers for offer_id in contact.pending_offer_ids):
        found.append(UnmetCondition(code="offered"))
    if contact.state is ContactState.ASSIGNED and contact.agent_id == agent.agent_id:
        found.append(UnmetCondition(code="owner"))
    if any(name in agent.assignments for name in contact.participant_assignment_ids):
        found.append(UnmetCondition(code="participant"))
    exclusive = None
    if state.policy is not None and contact.state is not ContactState.ASSIGNED:
        exclusive = exclusive_agents_of(state.policy, contact, state.index.qualification.conditions.customers)
    if exclusive is not None and agent.agent_id not in exclusive:
        reserved = contact.preferred_agent_id is not None
        ends_at_ms = contact.preferred_until_ms if reserved else contact.step_until_ms
        found.append(UnmetCondition(code="preferred", until_ms=ends_at_ms))
    return found


def _unmet_dialling(state: RoutingState, agent: Agent, contact: Contact) -> list[UnmetCondition]:
    """Return ``dialling`` if another customer is being called on behalf of the agent: at most one at a time."""
    if not state.index.contacts.is_dialling_for(agent.agent_id, contact):
        return []
    other = state.contacts[state.index.contacts.dialling[agent.agent_id]].callback
    return [UnmetCondition(code="dialling", until_ms=None if other is None else other.due_at_ms)]


def is_available_now(state: RoutingState, agent: Agent, channel: str) -> bool:
    """Return whether the agent is ready, present and has capacity on an open channel, regardless of skills and queues."""
    is_disabled = agent.channel_max.get(channel) == 0
    return not (
        is_disabled
        or unmet_readiness(agent)
        or unmet_capacity(state, agent, channel)
        or unmet_channel_limits(state, agent, channel, state.at_ms)
    )
