"""State of the auditor: waiting lines, contacts, agents and their capacity, derived from events and the policy.

Written from ``docs/reference/routing.md``. The rules are implemented a second time, because code shared with the engine would
hide its own errors from the audit. Clarity goes before speed: a check walks the waiting lines instead of keeping an index.
"""

from functools import partial
from typing import Final

from msgspec import Struct, field
from sortedcontainers import SortedDict

from router.model.policy import (
    QUEUE_RANK_DEFAULT,
    ChannelPolicy,
    CrossQueueOrder,
    FactValue,
    Policy,
    QueueOrder,
    QueuePolicy,
    RateCapPolicy,
    StepPolicy,
)
from router.model.states import AgentState
from router.policy.customer_classes import condition_holds
from router.policy.expressions import compile_leniently, customer_scope
from router.policy.facts import AgentConditions
from router.simulator.audit.requirements import AuditRequirement, LineRank, SkillLevels, StepEffect, plan_in_force, step_effect

_NO_CHANNEL: Final = ChannelPolicy()
_NO_QUEUE: Final = QueuePolicy()


# The most violations kept as text; further ones are only counted.
VIOLATIONS_MAX: Final = 50


class AuditLog:
    """Checks made, violations found, and the position in the history that they refer to."""

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.violation_count = 0
        self.checks = 0
        self.seq = 0
        self.at_ms = 0

    def check(self, holds: object, violation: str) -> None:
        """Record a violation unless the condition holds."""
        self.checks += 1
        if not holds:
            self.report(violation)

    def report(self, violation: str) -> None:
        """Report a violation at the present position."""
        self.violation_count += 1
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(f"at {self.at_ms} ms, event {self.seq}: {violation}")


class AuditContact(Struct, kw_only=True):
    """Live contact."""

    contact_id: str
    channel: str
    queue_id: str
    skills: dict[str, int]
    priority_s: int
    priority_class: int
    queued_at_ms: int
    queued_seq: int
    offers: set[str] = field(default_factory=set)
    owner: str | None = None
    assignment_id: str | None = None
    participants: dict[str, str] = field(default_factory=dict)
    """Agents in the conversation beside the owner, by assignment id."""
    offers_made: int = 0
    preferred_agent_id: str | None = None
    plan: str | None = None
    step: int = 0
    named_agents: tuple[str, ...] = ()
    last_agent_id: str | None = None
    allowed_agents: tuple[str, ...] | None = None
    """Agents that the present plan step restricts the contact to; none: all qualified agents."""
    cool_downs: dict[str, int] = field(default_factory=dict)
    waiting_for_opening: bool = False
    """Whether the contact waits for its queue to open."""
    is_customer_first: bool = False
    """Whether it is a customer-first callback: the customer is called before an agent is assigned."""
    is_callback: bool = False
    """Whether it is a callback whose customer is not connected yet; a closed queue keeps it waiting and never ends it."""
    is_off_the_line: bool = False
    """Whether it is a callback for later or with a running attempt, and therefore in no line."""
    customer_facts: dict[str, FactValue] = field(default_factory=dict)
    requirement: AuditRequirement | None = None
    rank: LineRank | None = None
    """Position in line; none: in no line."""


class CapacityItem(Struct, kw_only=True):
    """Offer or assignment of an agent."""

    contact_id: str
    channel: str
    units: int
    holds_capacity: bool = True
    pending: bool = False
    """Whether it is a pending offer."""


class AuditAgent(Struct, kw_only=True):
    """Agent."""

    agent_id: str
    skills: dict[str, int]
    queues: tuple[str, ...] | None
    own_units: int | None
    channel_max: dict[str, int]
    queue_ranks: dict[str, int] = field(default_factory=dict)
    attributes: dict[str, FactValue] = field(default_factory=dict)
    state: AgentState = AgentState.OFFLINE
    next_state: AgentState | None = None
    desktop_lost: bool = False
    paused_channels: frozenset[str] = frozenset()
    accepted_at_ms: dict[str, list[int]] = field(default_factory=dict)
    """Times of the latest accepts by channel, for the caps; ``""``: over all channels."""
    items: dict[str, CapacityItem] = field(default_factory=dict)
    channels_with_capacity: frozenset[str] | None = None
    """Channels of which one more item fits; none: not computed yet."""


class AuditState:
    """State that results from the events of a run."""

    def __init__(self) -> None:
        self.log = AuditLog()
        self.policy: Policy | None = None
        self._order = CrossQueueOrder.PRIORITY_AND_AGE
        self._conditions: AgentConditions | None = None
        self.contacts: dict[str, AuditContact] = {}
        self.agents: dict[str, AuditAgent] = {}
        self.lines: dict[AuditRequirement, SortedDict[LineRank, AuditContact]] = {}
        self.closed: set[str] = set()
        self.dialling: dict[str, str] = {}
        """Contact id of the running customer-first attempt, by agent."""
        self._qualified: dict[tuple[str, AuditRequirement], bool] = {}

    # --- checks ------------------------------------------------------------------------------------------------------

    def live_contact(self, contact_id: str) -> AuditContact | None:
        """Return a live contact; none is a violation."""
        contact = self.contacts.get(contact_id)
        self.log.check(contact is not None, f"{contact_id} is not a live contact")
        return contact

    def agent(self, agent_id: str) -> AuditAgent:
        """Return an agent; an unknown one is a violation, and is added without skills."""
        agent = self.agents.get(agent_id)
        if agent is None:
            self.log.report(f"agent {agent_id} is unknown")
            agent = self.agents[agent_id] = AuditAgent(agent_id=agent_id, skills={}, queues=None, own_units=None, channel_max={})
        return agent

    def check_wait(self, contact: AuditContact, waited_ms: int) -> None:
        """Check the wait that an event states."""
        self.log.check(
            waited_ms == self.log.at_ms - contact.queued_at_ms, f"{contact.contact_id} has a wrong wait of {waited_ms} ms"
        )

    # --- policy ------------------------------------------------------------------------------------------------------

    def queue(self, queue_id: str) -> QueuePolicy:
        """Return the policy of a queue."""
        return self.policy.queues.get(queue_id, _NO_QUEUE) if self.policy else _NO_QUEUE

    def channel(self, name: str) -> ChannelPolicy:
        """Return the policy of a channel."""
        return self.policy.channels.get(name, _NO_CHANNEL) if self.policy else _NO_CHANNEL

    def apply_policy(self, policy: Policy) -> None:
        """Activate a policy and recompute the position and eligibility of every contact."""
        self.policy = policy
        self._order = policy.cross_queue_order
        self._conditions = AgentConditions(policy)
        self.clear_caches()
        for agent in self.agents.values():
            agent.accepted_at_ms = {
                scope: times[-cap.contacts_max :]
                for scope, times in agent.accepted_at_ms.items()
                if (cap := self._cap(scope)) is not None
            }
        for contact in self.contacts.values():
            if contact.rank is not None:
                self.remove_from_line(contact)
                self.add_to_line(contact)

    def clear_caches(self) -> None:
        """Drop all cached qualifications and capacities after a change of an agent record or the policy."""
        self._qualified.clear()
        for agent in self.agents.values():
            agent.channels_with_capacity = None

    # --- lines -------------------------------------------------------------------------------------------------------

    def add_to_line(self, contact: AuditContact) -> None:
        """Insert a contact into its waiting line."""
        queue = self.queue(contact.queue_id)
        plan = plan_in_force(self.policy, contact.queue_id, contact.plan) if self.policy else ()
        effect = step_effect(
            queue,
            plan,
            contact.step,
            contact.skills,
            named_agents=contact.named_agents,
            last_agent_id=contact.last_agent_id,
            applies=partial(self._step_applies, contact),
        )
        contact.allowed_agents = effect.reserved_for
        contact.requirement = AuditRequirement(
            queue_id=contact.queue_id,
            channel=contact.channel,
            alternatives=effect.alternatives,
            customer_facts=tuple(sorted(contact.customer_facts.items())),
        )
        contact.rank = self._rank(contact, queue, effect)
        line = self.lines.get(contact.requirement)
        if line is None:
            line = self.lines[contact.requirement] = SortedDict()
        line[contact.rank] = contact

    def _step_applies(self, contact: AuditContact, step: StepPolicy) -> bool:
        """Return whether the condition of a plan step holds for the customer of the contact."""
        if step.when is None or self.policy is None:
            return True
        return condition_holds(compile_leniently(step.when, customer_scope(self.policy)), contact.customer_facts)

    def _rank(self, contact: AuditContact, queue: QueuePolicy, effect: StepEffect) -> LineRank:
        """Return the position of a contact in the total order of waiting contacts."""
        credit_ms = 1000 * (contact.priority_s + queue.priority_s + effect.added_priority_s)
        negated_class = -max(contact.priority_class, queue.priority_class, effect.priority_class)
        if queue.order is QueueOrder.LIFO:
            return negated_class, 1, -(contact.queued_at_ms + credit_ms), -contact.queued_seq
        due_ms = contact.queued_at_ms - credit_ms
        if self._order is CrossQueueOrder.SERVICE_LEVEL_RISK:
            due_ms += 1000 * queue.service_level.threshold_s
        return negated_class, 0, due_ms, contact.queued_seq

    def remove_from_line(self, contact: AuditContact) -> None:
        """Remove a contact from its waiting line, if it is in one."""
        if contact.rank is not None and contact.requirement is not None:
            line = self.lines[contact.requirement]
            del line[contact.rank]
            if not line:
                del self.lines[contact.requirement]
            contact.rank = None

    def enter_queue(self, contact: AuditContact, queue_id: str) -> None:
        """Move a contact into a queue; in a closed queue it waits for the opening."""
        contact.queue_id, contact.waiting_for_opening = queue_id, queue_id in self.closed

    def return_to_line(self, contact: AuditContact) -> None:
        """Mark a contact as no longer away; a callback of a closed queue waits for the opening."""
        contact.is_off_the_line = False
        if contact.is_callback:
            contact.waiting_for_opening = contact.queue_id in self.closed

    def set_queue_closed(self, queue_id: str, *, closed: bool, holds: bool, contact_ids: tuple[str, ...] | None = None) -> None:
        """Open or close a queue and update the contacts that wait for it.

        ``holds``: the closing keeps the queue's waiting contacts instead of ending or moving them. ``contact_ids``: the contacts
        that the opening admits; None: all of the queue.
        """
        (self.closed.add if closed else self.closed.discard)(queue_id)
        for contact in self.contacts.values():
            if contact.queue_id != queue_id or contact.owner is not None or contact.is_off_the_line:
                continue
            if contact_ids is not None and contact.contact_id not in contact_ids:
                continue
            if closed and not (holds or contact.is_callback):
                continue
            contact.waiting_for_opening = closed
            self.update_line(contact)

    def update_line(self, contact: AuditContact) -> None:
        """Insert or remove a contact so that it is in line exactly while it has no owner and may get another offer."""
        wanted = (
            contact.owner is None
            and not contact.waiting_for_opening
            and not contact.is_off_the_line
            and len(contact.offers) < self.queue(contact.queue_id).broadcast
        )
        if wanted and contact.rank is None:
            self.add_to_line(contact)
        elif not wanted:
            self.remove_from_line(contact)

    def first_eligible(self, agent: AuditAgent, *, ranked_before: LineRank | None, at_ms: int) -> AuditContact | None:
        """Return a contact in line that the agent could take now and that precedes the given position; none: any position."""
        channels = self.channels_with_capacity(agent)
        if not channels:
            return None
        for requirement, line in self.lines.items():
            if (
                requirement.channel not in channels
                or self.is_channel_closed(agent, requirement.channel, at_ms)
                or not self.is_qualified(agent, requirement)
            ):
                continue
            for rank, contact in line.items():
                if ranked_before is not None and rank >= ranked_before:
                    break
                if not self.is_excluded(agent, contact, at_ms):
                    return contact  # type: ignore[no-any-return]
        return None

    def first_preferred(self, agent: AuditAgent, chosen: AuditContact, at_ms: int) -> AuditContact | None:
        """Return a contact the agent could take now and that precedes the chosen one by the agent's queue ranks."""
        channels = self.channels_with_capacity(agent)
        chosen_key = self._preference_key(agent, chosen.queue_id, chosen.rank)
        for requirement, line in self.lines.items():
            if (
                requirement.channel not in channels
                or self.is_channel_closed(agent, requirement.channel, at_ms)
                or not self.is_qualified(agent, requirement)
            ):
                continue
            for rank, contact in line.items():
                if self._preference_key(agent, requirement.queue_id, rank) >= chosen_key:
                    break
                if not self.is_excluded(agent, contact, at_ms):
                    return contact  # type: ignore[no-any-return]
        return None

    @staticmethod
    def _preference_key(agent: AuditAgent, queue_id: str, rank: LineRank | None) -> tuple[int, int, LineRank]:
        assert rank is not None
        return rank[0], agent.queue_ranks.get(queue_id, QUEUE_RANK_DEFAULT), rank

    # --- eligibility -------------------------------------------------------------------------------------------------

    def is_qualified(self, agent: AuditAgent, requirement: AuditRequirement) -> bool:
        """Return whether the agent qualifies for a requirement class; cached until a record or the policy changes."""
        known = self._qualified.get((agent.agent_id, requirement))
        if known is None:
            known = (
                (agent.queues is None or requirement.queue_id in agent.queues)
                and any(self._has(agent, levels) for levels in requirement.alternatives)
                and agent.channel_max.get(requirement.channel, 1) > 0
                and self._meets_condition(agent, requirement)
            )
            self._qualified[agent.agent_id, requirement] = known
        return known

    def _meets_condition(self, agent: AuditAgent, requirement: AuditRequirement) -> bool:
        """Return whether the queue's ``agents_when`` holds for the agent and the customer."""
        if self._conditions is None:
            return True
        key = self._conditions.attribute_key(agent.attributes)
        return self._conditions.accepts_facts(requirement.queue_id, key, dict(requirement.customer_facts))

    def _has(self, agent: AuditAgent, skills: SkillLevels) -> bool:
        declared = self.policy.skills if self.policy else ()
        return all(s in declared and agent.skills.get(s, 0) >= n for s, n in skills)

    def accepts_offers(self, agent: AuditAgent) -> bool:
        """Return whether the agent may receive offers at all."""
        return agent.state is AgentState.READY and agent.next_state is None and not agent.desktop_lost

    def units(self, agent: AuditAgent) -> int:
        """Return the capacity of an agent in units."""
        if agent.own_units is not None:
            return agent.own_units
        return self.policy.agents.units if self.policy else 0

    def units_used(self, agent: AuditAgent) -> int:
        """Return the units in use, without those of interrupted channels."""
        held = self._channels_held(agent)
        return sum(
            item.units for item in agent.items.values() if item.holds_capacity and not self._is_interrupted(item.channel, held)
        )

    @staticmethod
    def _channels_held(agent: AuditAgent) -> set[str]:
        return {item.channel for item in agent.items.values() if item.holds_capacity}

    def _is_interrupted(self, channel: str, held: set[str]) -> bool:
        return any(channel in self.channel(other).interrupts for other in held)

    def channel_max(self, agent: AuditAgent, channel: str) -> int:
        """Return how many items of a channel the agent may have."""
        return agent.channel_max.get(channel, self.channel(channel).per_agent_max)

    def add_item(self, agent: AuditAgent, item_id: str, item: CapacityItem) -> None:
        """Add an offer or an assignment to an agent."""
        agent.items[item_id] = item
        agent.channels_with_capacity = None

    def remove_item(self, agent: AuditAgent, item_id: str) -> None:
        """Remove an offer or an assignment from an agent."""
        agent.items.pop(item_id, None)
        agent.channels_with_capacity = None

    def wrap_up(self, agent: AuditAgent, item_id: str) -> None:
        """Put an item into wrap-up; its channel decides whether it still holds capacity."""
        item = agent.items.get(item_id)
        if item is not None:
            item.holds_capacity = self.channel(item.channel).wrap_up_holds_capacity
            agent.channels_with_capacity = None

    def park(self, agent: AuditAgent, item_id: str, *, parked: bool) -> None:
        """Park or unpark an item; a parked item holds no capacity."""
        item = agent.items.get(item_id)
        if item is not None:
            item.holds_capacity = not parked
            agent.channels_with_capacity = None

    def item_count(self, agent: AuditAgent, channel: str) -> int:
        """Return the number of items of a channel that hold capacity."""
        return sum(1 for i in agent.items.values() if i.holds_capacity and i.channel == channel)

    def record_accept(self, agent: AuditAgent, item_id: str, at_ms: int) -> None:
        """Record that an agent has accepted an offer; only the times that a cap needs are kept."""
        item = agent.items.get(item_id)
        if item is None:
            return  # The agent does not have the offer, which is already reported.
        item.pending = False
        for scope in (item.channel, ""):
            cap = self._cap(scope)
            if cap is not None:
                times = agent.accepted_at_ms.setdefault(scope, [])
                times.append(at_ms)
                del times[: -cap.contacts_max]

    def _cap(self, scope: str) -> RateCapPolicy | None:
        if scope:
            return self.channel(scope).rate_cap
        return self.policy.agents.rate_cap if self.policy else None

    def is_channel_closed(self, agent: AuditAgent, channel: str, at_ms: int) -> bool:
        """Return whether the agent has paused the channel or reached a cap (accepted within the period plus pending)."""
        if channel in agent.paused_channels:
            return True
        for scope in (channel, ""):
            cap = self._cap(scope)
            if cap is None:
                continue
            recent = [t for t in agent.accepted_at_ms.get(scope, ()) if at_ms - t < 1000 * cap.window_s]
            pending = [i for i in agent.items.values() if i.pending and scope in ("", i.channel)]
            if len(recent) + len(pending) >= cap.contacts_max:
                return True
        return False

    def channels_with_capacity(self, agent: AuditAgent) -> frozenset[str]:
        """Return the channels of which one more item fits."""
        if agent.channels_with_capacity is None:
            channels = self.policy.channels if self.policy else {}
            agent.channels_with_capacity = frozenset(name for name in channels if self._fits(agent, name))
        return agent.channels_with_capacity

    def _fits(self, agent: AuditAgent, channel: str) -> bool:
        held = self._channels_held(agent)
        if self._is_interrupted(channel, held):
            return False
        using = {name for name in held if not self._is_interrupted(name, {*held, channel})}
        used = sum(i.units for i in agent.items.values() if i.holds_capacity and i.channel in using)
        if used + self.channel(channel).units > self.units(agent):
            return False
        if self.item_count(agent, channel) >= self.channel_max(agent, channel):
            return False
        return not any(channel in self.channel(other).blocks for other in using)

    def is_excluded(self, agent: AuditAgent, contact: AuditContact, at_ms: int) -> bool:
        """Return whether a qualified agent with free capacity must not get this contact now."""
        if contact.cool_downs.get(agent.agent_id, 0) > at_ms:
            return True
        if contact.preferred_agent_id is not None:
            if contact.preferred_agent_id != agent.agent_id:
                return True
        elif contact.allowed_agents is not None and agent.agent_id not in contact.allowed_agents:
            return True
        if contact.is_customer_first and agent.agent_id in self.dialling:
            return True
        return any(offer_id in agent.items for offer_id in contact.offers)

    def end_call(self, contact: AuditContact) -> None:
        """Record that no attempt to call this customer is running."""
        for agent_id, contact_id in list(self.dialling.items()):
            if contact_id == contact.contact_id:
                del self.dialling[agent_id]
