"""Reference implementation of eligibility: which conditions for offering a contact to an agent are not met.

Every condition is computed from the records of the agent and the contact, one after the other, which is too slow for the hot
path. The ``why`` queries explain decisions with it, and a property test compares the index with it: the router offers a
contact exactly where this module finds no unmet condition.
"""

from router.core import caps
from router.core.lines import Needs
from router.core.plans import kept_for, requirement_of
from router.core.state import Agent, Contact, RoutingState
from router.model.policy import Policy
from router.model.states import AgentState, ContactState, Presence
from router.model.views import Lack


def lacks(state: RoutingState, agent: Agent, contact: Contact, at_ms: int) -> list[Lack]:
    """Return every unmet condition at this time; empty if the agent can take the contact now."""
    return (
        lacks_qualification(state, agent, contact)
        + lacks_readiness(agent)
        + lacks_capacity(state, agent, contact.channel)
        + lacks_opening(state, agent, contact.channel, at_ms)
        + _pair(state, agent, contact, at_ms)
        + lacks_open_queue(state, contact)
        + _dialling(state, agent, contact)
    )


def lacks_open_queue(state: RoutingState, contact: Contact) -> list[Lack]:
    """Return ``closed`` if the contact waits for its queue to open."""
    if not contact.held:
        return []
    hours = state.hours.get(contact.queue_id)
    return [Lack(code="closed", until_ms=None if hours is None else hours.changes_at_ms)]


def lacks_qualification(state: RoutingState, agent: Agent, contact: Contact) -> list[Lack]:
    """Return the unmet conditions that do not change by waiting: queue, attributes, skills, levels and channel."""
    found: list[Lack] = []
    if agent.queues is not None and contact.queue_id not in agent.queues:
        found.append(Lack(code="queue"))
    if state.queue_policy(contact.queue_id).agents_when is not None:
        qualification = state.index.qualification
        if not qualification.fits(contact.queue_id, qualification.key(agent.attributes)):
            found.append(Lack(code="facts"))
    if state.policy is not None:
        needs, also = requirement_of(state.policy, contact)
        skills = lacks_skills(state.policy, agent, needs)
        if not any(not lacks_skills(state.policy, agent, other) for other in also):
            found += skills
    if agent.channel_max.get(contact.channel) == 0:
        found.append(Lack(code="channel", channel=contact.channel))
    return found


def lacks_skills(policy: Policy, agent: Agent, needs: Needs) -> list[Lack]:
    """Return the skills and levels of a requirement that the agent does not have."""
    found: list[Lack] = []
    for skill, level in needs:
        has = agent.skills.get(skill) if skill in policy.skills else None
        if has is None:
            found.append(Lack(code="skill", skill=skill, needs=level))
        elif has < level:
            found.append(Lack(code="level", skill=skill, has=has, needs=level))
    return found


def qualified(state: RoutingState, agent: Agent, contact: Contact) -> bool:
    """Return whether the agent qualifies for the contact, regardless of the agent's present state."""
    return not lacks_qualification(state, agent, contact)


def lacks_readiness(agent: Agent) -> list[Lack]:
    """Return the unmet conditions of state, desktop presence and pending next state."""
    found: list[Lack] = []
    if agent.state is not AgentState.READY:
        found.append(Lack(code="state", until_ms=agent.return_at_ms))
    if agent.presence is Presence.LOST:
        found.append(Lack(code="presence", until_ms=agent.grace_until_ms))
    if agent.next_state is not None:
        found.append(Lack(code="next_state"))
    return found


def _units(state: RoutingState, agent: Agent) -> int:
    """Return the capacity units of the agent, or the default of the policy."""
    if agent.own_units is not None or state.policy is None:
        return agent.own_units or 0
    return state.policy.agents.units


def lacks_capacity(state: RoutingState, agent: Agent, channel: str) -> list[Lack]:
    """Return the unmet capacity conditions with the offers and assignments that use the capacity up.

    Checks units, the maximum of the channel, and channels that block or interrupt it. Work that is interrupted, or would be
    by one more item of this channel, uses no units and blocks no channel.
    """
    found: list[Lack] = []
    channels = state.index.channels
    wanted = channels.get(channel)
    if wanted is None:
        return [Lack(code="channel", channel=channel)]
    items = {offer.offer_id: (offer.channel, offer.units) for offer in agent.offers.values()}
    for work in agent.assignments.values():
        if work.holds:
            items[work.assignment_id] = (work.channel, work.units)
    interrupting = {
        item: channels[name].policy.interrupts
        for item, (name, _) in items.items()
        if channels[name].policy.interrupts
    }
    out_of_use = {*wanted.policy.interrupts}.union(*interrupting.values())
    using = {item: units for item, (name, units) in items.items() if name not in out_of_use}
    used = sum(using.values())
    units = _units(state, agent)
    if used + wanted.units > units:
        found.append(
            Lack(code="capacity", has=units - used, needs=wanted.units, items=tuple(using))
        )
    same = tuple(item for item, (name, _) in items.items() if name == channel)
    most = agent.channel_max.get(channel, wanted.policy.per_agent_max)
    if most and len(same) >= most:
        found.append(Lack(code="channel_max", channel=channel, has=most, items=same))
    blocking = tuple(item for item in using if channel in channels[items[item][0]].policy.blocks)
    if blocking:
        found.append(Lack(code="blocked", channel=channel, items=blocking))
    by = tuple(item for item, names in interrupting.items() if channel in names)
    if by:
        found.append(Lack(code="interrupted", channel=channel, items=by))
    return found


def lacks_opening(state: RoutingState, agent: Agent, channel: str, at_ms: int) -> list[Lack]:
    """Return ``paused`` if the agent has paused the channel, and every rate cap that is reached."""
    found: list[Lack] = []
    if channel in agent.paused:
        found.append(Lack(code="paused", channel=channel))
    if state.policy is None or not state.index.has_caps:
        return found
    for scope, cap in caps.scopes(state.policy, channel):
        pending = caps.pending_in(agent, scope)
        is_reached, until_ms = caps.reached(agent.recent.get(scope, ()), pending, cap, at_ms)
        if is_reached:
            found.append(Lack(code="cap", channel=scope or None, has=cap.most, until_ms=until_ms))
    return found


def _pair(state: RoutingState, agent: Agent, contact: Contact, at_ms: int) -> list[Lack]:
    found: list[Lack] = []
    until_ms = (contact.cool_downs or {}).get(agent.agent_id, 0)
    if until_ms > at_ms:
        found.append(Lack(code="cool_down", until_ms=until_ms))
    if any(offer_id in agent.offers for offer_id in contact.offers):
        found.append(Lack(code="offered"))
    if contact.state is ContactState.ASSIGNED and contact.agent_id == agent.agent_id:
        found.append(Lack(code="owner"))
    if any(name in agent.assignments for name in contact.parties):
        found.append(Lack(code="participant"))
    only = None
    if state.policy is not None and contact.state is not ContactState.ASSIGNED:
        only = kept_for(state.policy, contact)
    if only is not None and agent.agent_id not in only:
        reserved = contact.preferred_agent_id is not None
        ends_at_ms = contact.preferred_until_ms if reserved else contact.step_until_ms
        found.append(Lack(code="preferred", until_ms=ends_at_ms))
    return found


def _dialling(state: RoutingState, agent: Agent, contact: Contact) -> list[Lack]:
    """Return ``dialling`` if another customer is being called on behalf of the agent: at most one at a time."""
    if not state.index.is_dialled_for(agent.agent_id, contact):
        return []
    other = state.contacts[state.index.dialling[agent.agent_id]].callback
    return [Lack(code="dialling", until_ms=None if other is None else other.due_at_ms)]


def fits_now(state: RoutingState, agent: Agent, channel: str) -> bool:
    """Return whether the agent is ready, present and has capacity on an open channel, regardless of skills and queues."""
    barred = agent.channel_max.get(channel) == 0
    return not (
        barred
        or lacks_readiness(agent)
        or lacks_capacity(state, agent, channel)
        or lacks_opening(state, agent, channel, state.at_ms)
    )
