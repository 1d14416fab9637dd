"""Reference model of the routing rules: eligibility, order and selection, by looking at everything.

Slow and obvious on purpose (lists, no index, no cache); written from docs/reference/routing.md and from nothing else. It
decides nothing itself: ``tests/support/world.py`` compares the engine with it.
"""

from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from functools import partial
from hashlib import blake2b
from typing import Any
from zoneinfo import ZoneInfo

from router.model.policy import AttributeOrder, CallbackMode, EntryRule, FactType, FactValue, Selection
from router.model.states import AgentState, AssignmentRole, ContactState, Presence
from tests.support.reference.expressions import holds
from tests.support.reference.plans import PlanQualification
from tests.support.reference.records import RefAgent, RefAssignment, RefContact, RefHold, RefOffer


class ReferenceModel(PlanQualification):
    """The event model and what the routing rules imply for it."""

    # --- capacity -----------------------------------------------------------------------------------------------------
    def capacity_items(self, agent: RefAgent) -> list[RefOffer | RefAssignment | RefHold]:
        """Return the items that hold the agent's capacity."""
        found: list[RefOffer | RefAssignment | RefHold] = [
            offer for offer in self.pending_offers() if offer.agent_id == agent.agent_id
        ]
        found += [work for work in self.open_assignments(agent) if work.holds_capacity]
        found += [work.held for work in self.open_assignments(agent) if work.held is not None]
        return found

    def uninterrupted(self, channels: list[str]) -> list[str]:
        """Return those of an agent's item channels that none of the others interrupts."""
        return [name for name in channels if not any(name in self.channel(other).interrupts for other in channels)]

    def units_used(self, agent: RefAgent) -> int:
        """Return the capacity in use; interrupted items use none."""
        items = self.capacity_items(agent)
        using = self.uninterrupted([item.channel for item in items])
        return sum(item.units for item in items if item.channel in using)

    def units(self, agent: RefAgent) -> int:
        """Return the agent's total capacity."""
        assert self.policy is not None
        return agent.units if agent.units is not None else self.policy.agents.units

    def channel_max(self, agent: RefAgent, channel: str) -> int:
        """Return how many items of a channel the agent may have at once."""
        return agent.channel_max.get(channel, self.channel(channel).per_agent_max)

    # --- eligibility --------------------------------------------------------------------------------------------------
    def serves(self, agent: RefAgent, contact: RefContact) -> bool:
        """Return whether the agent serves the contact's queue and channel."""
        in_queue = agent.queues is None or contact.queue_id in agent.queues
        return in_queue and self.channel_max(agent, contact.channel) > 0

    # --- entry rules --------------------------------------------------------------------------------------------------
    def classified(
        self, channel: str, attributes: dict[str, FactValue], at_ms: int, customer: dict[str, FactValue] | None = None
    ) -> tuple[EntryRule | None, tuple[str, ...]]:
        """Return the first entry rule that holds, and the failed ones before it."""
        customer = customer or {}
        assert self.policy is not None
        failed: list[str] = []
        for rule in self.policy.entry:
            if isinstance(rule.when, str):
                facts = {**attributes, **{f"customer.{name}": value for name, value in customer.items()}}
                said = holds(rule.when, partial(self._entry_fact, channel=channel, attributes=facts, at_ms=at_ms))
                if said is None:
                    failed.append(rule.name)
            else:
                said = rule.when.channel in (None, channel) and all(
                    (type(attributes.get(name)), attributes.get(name)) == (type(value), value)
                    for name, value in rule.when.attributes.items()
                )
                said = said and all(
                    (type(customer.get(name)), customer.get(name)) == (type(value), value)
                    for name, value in rule.when.customer.items()
                )
            if said:
                return rule, tuple(failed)
        return None, tuple(failed)

    def _entry_fact(self, name: str, channel: str, attributes: dict[str, FactValue], at_ms: int) -> object:
        match name.split("."):
            case ["channel"]:
                return channel
            case ["contact", fact]:
                return attributes.get(fact)
            case ["customer", _]:
                return attributes.get(name)
            case ["known", fact]:
                return fact in attributes or f"customer.{fact}" in attributes
            case ["queues", queue_id, "waiting"]:
                return sum(
                    contact.queue_id == queue_id and contact.state is ContactState.QUEUED for contact in self.contacts.values()
                )
            case ["queues", queue_id, "agents_ready"]:
                return len(self._ready_for(queue_id, channel, at_ms))
            case ["queues", queue_id, "agents_free"]:
                return sum(
                    self.is_available(agent) and self.has_capacity(agent, channel) and self.is_channel_open(agent, channel, at_ms)
                    for agent in self._ready_for(queue_id, channel, at_ms)
                )
            case ["queues", queue_id, "is_open"]:
                return queue_id not in self.closed_until
            case ["queues", queue_id, ("local_hour" | "local_minute" | "local_weekday") as part]:
                return self._local_time(queue_id, at_ms)[part]
            case ["queues", queue_id, "oldest_wait_s"]:
                # Only the heads of lines count; contacts with the same requirement share a line.
                firsts: dict[object, int] = {}
                for contact in self.waiting_in_order():
                    if contact.queue_id == queue_id:
                        requirement = tuple(sorted(self.requirement(contact).items()))
                        line = (contact.channel, requirement, contact.preferred_agent_id)
                        firsts.setdefault(line, contact.queued_at_ms)
                return (at_ms - min(firsts.values(), default=at_ms)) // 1000
        raise AssertionError(f"the reference model does not support {name}")

    def _local_time(self, queue_id: str, at_ms: int) -> dict[str, object]:
        """Return the local time of the queue."""
        assert self.policy is not None
        calendar = self.policy.calendars.get(self.policy.queues[queue_id].hours or "")
        zone = self.policy.zone if calendar is None else calendar.zone
        local = datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone))
        names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
        return {"local_hour": local.hour, "local_minute": local.minute, "local_weekday": names[local.weekday()]}

    def _ready_for(self, queue_id: str, channel: str, at_ms: int) -> list[RefAgent]:
        plain = RefContact("", channel, queue_id, at_ms, 0, {}, 0, 0, None, None)
        return [
            agent
            for agent in self.agents.values()
            if agent.state is AgentState.READY
            and self.serves(agent, plain)
            and self.qualifies_for_some_customer(agent, plain)
            and self._has_skills(agent, dict(self.queue_of(plain).requires))
        ]

    def is_available(self, agent: RefAgent) -> bool:
        """Return whether state and desktop allow offers to the agent."""
        return agent.state is AgentState.READY and agent.presence is not Presence.LOST and agent.next_state is None

    def has_capacity(self, agent: RefAgent, channel: str) -> bool:
        """Return whether one more item of this channel fits: with it, the items in use stay within the limits."""
        items = self.capacity_items(agent)
        using = self.uninterrupted([*(item.channel for item in items), channel])
        units = sum(item.units for item in items if item.channel in using)
        return (
            channel in using
            and units + self.channel(channel).units <= self.units(agent)
            and sum(item.channel == channel for item in items) < self.channel_max(agent, channel)
            and not any(channel in self.channel(name).blocks for name in using if name != channel)
            and not any(item.channel == channel and channel in self.channel(channel).blocks for item in items)
        )

    def is_channel_open(self, agent: RefAgent, channel: str, at_ms: int) -> bool:
        """Return whether the channel is not paused and no cap is reached."""
        if channel in agent.paused:
            return False
        mine = [offer for offer in self.pending_offers() if offer.agent_id == agent.agent_id]
        for name, cap in self.caps_on(channel).items():
            taken = sum(at_ms - then < 1000 * cap.window_s for then in agent.recent_contact_times.get(name, []))
            pending = sum(name in ("all", offer.channel) for offer in mine)
            if taken + pending >= cap.contacts_max:
                return False
        return True

    def is_unrestricted_pair(self, contact: RefContact, agent: RefAgent, at_ms: int) -> bool:
        """Return whether nothing between contact and agent forbids an offer, such as a cool-down."""
        owner = contact.owner_assignment_id and self.assignments[contact.owner_assignment_id].agent_id
        return (
            self.cool_downs.get((contact.contact_id, agent.agent_id), at_ms) <= at_ms
            and all(offer.agent_id != agent.agent_id for offer in self.pending_offers_of(contact))
            and owner != agent.agent_id
            and all(self.assignments[n].agent_id != agent.agent_id for n in contact.participants)
            and (owner is not None or self.is_reserved_for(contact, agent))
            and not (self.calls_customer_first(contact) and self.is_dialling_for(agent))
        )

    def calls_customer_first(self, contact: RefContact) -> bool:
        """Return whether the contact's customer is dialled before an agent gets it."""
        callback = contact.callback
        return (
            contact.state is ContactState.QUEUED
            and callback is not None
            and callback.mode is CallbackMode.CUSTOMER_FIRST
            and not callback.is_connected
        )

    def is_dialling_for(self, agent: RefAgent) -> bool:
        """Return whether a customer is being dialled for this agent."""
        return any(one.callback is not None and one.callback.for_agent_id == agent.agent_id for one in self.contacts.values())

    def is_eligible(self, agent: RefAgent, contact: RefContact, at_ms: int) -> bool:
        """Return whether the agent is eligible for the contact now."""
        return (
            not contact.waiting_for_opening
            and self.serves(agent, contact)
            and self.attributes_qualify(agent, contact)
            and self.has_required_skills(agent, contact)
            and self.can_receive_transfer(agent, contact, at_ms)
        )

    def can_receive_transfer(self, agent: RefAgent, contact: RefContact, at_ms: int) -> bool:
        """Return whether the agent can receive the contact by transfer; skills and queues are not checked."""
        return (
            self.is_available(agent)
            and self.has_capacity(agent, contact.channel)
            and self.is_channel_open(agent, contact.channel, at_ms)
            and self.is_unrestricted_pair(contact, agent, at_ms)
        )

    def may_keep(self, offer: RefOffer) -> bool:
        """Return whether the agent still qualifies for a pending offer, whatever the agent does at the moment."""
        agent, contact = self.agents[offer.agent_id], self.contacts[offer.contact_id]
        if offer.units > self.units(agent):
            return False
        if offer.to_queue_id is not None:
            assert self.policy is not None
            # Plans apply to waiting contacts only; a plan that does not exist counts as none.
            there = replace(contact, queue_id=offer.to_queue_id, plan="none")
            return offer.to_queue_id in self.policy.queues and self.qualifies(agent, there)
        if offer.from_agent_id is not None:
            return self.channel_max(agent, offer.channel) > 0
        return self.qualifies(agent, contact)

    def has_ready_agent(self, contact: RefContact) -> bool:
        """Return whether an agent that qualifies in some step of the plan is READY, busy or free."""
        plan = self.plan(contact)
        last = len(plan) - 1
        steps = [n for n, step in enumerate(plan) if n == last or self.customer_meets(step.when, contact)] or [0]
        return any(
            agent.state is AgentState.READY
            and self.serves(agent, contact)
            and self.has_required_skills(agent, in_step)
            and self.is_reserved_for(in_step, agent)
            for agent in self.agents.values()
            for in_step in (replace(contact, step=number) for number in steps)
        )

    # --- opening hours ------------------------------------------------------------------------------------------------
    def is_open_by_calendar(self, queue_id: str, at_ms: int) -> bool:
        """Return the state by the weekly table, minute by minute in UTC; only for calendars without special days."""
        assert self.policy is not None
        name = self.policy.queues[queue_id].hours
        if name is None:
            return True
        calendar = self.policy.calendars[name]
        assert calendar.zone == "UTC" and not calendar.dates and calendar.holidays is None
        days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
        # 1 January 1970 was a Thursday.
        now = (at_ms // 60_000 + 3 * 1_440) % (7 * 1_440)
        for place, day in enumerate(days):
            for span in getattr(calendar.week, day):
                hours = [int(part) for part in span.replace("-", ":").split(":")]
                start, end = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
                length = end - start if end > start else end - start + 1_440
                if (now - place * 1_440 - start) % (7 * 1_440) < length:
                    return True
        return False

    # --- order --------------------------------------------------------------------------------------------------------
    def order(self, contact: RefContact) -> tuple[int, int, int, int]:
        """Return the rank of the contact; smaller is served first. Waiting does not change it (I23)."""
        assert self.policy is not None
        queue = self.queue_of(contact)
        raised_s, raised_class = self.plan_priority(contact)
        strict = max(contact.priority_class, queue.priority_class, raised_class)
        credit_ms = 1000 * (contact.priority_s + queue.priority_s + raised_s)
        if queue.order == "lifo":
            return -strict, 1, -(contact.queued_at_ms + credit_ms), -contact.queued_seq
        target_s = queue.service_level.threshold_s if self.policy.cross_queue_order == "service_level_risk" else 0
        # Where due dates are compared, time for which it waited for openings does not count.
        closed_ms = contact.closed_ms if self.policy.cross_queue_order == "service_level_risk" else 0
        due_ms = contact.queued_at_ms + closed_ms + 1000 * target_s - credit_ms
        return -strict, 0, due_ms, contact.queued_seq

    def waiting_in_order(self) -> list[RefContact]:
        """Return the contacts that may get one more offer, in the total order."""
        waiting = [
            contact
            for contact in self.contacts.values()
            if contact.state is ContactState.QUEUED
            or (contact.state is ContactState.OFFERED and len(self.pending_offers_of(contact)) < self.queue_of(contact).broadcast)
        ]
        return sorted(waiting, key=self.order)

    def candidates(self, contact: RefContact, at_ms: int) -> list[RefAgent]:
        """Return the agents that are eligible now, by id."""
        return [
            self.agents[agent_id] for agent_id in sorted(self.agents) if self.is_eligible(self.agents[agent_id], contact, at_ms)
        ]

    def selected_agent(self, contact: RefContact, at_ms: int) -> RefAgent | None:
        """Return the agent that the queue's selection chooses."""
        candidates = self.candidates(contact, at_ms)
        names = self.reserved_for(contact)
        if names is not None:
            return min(candidates, key=lambda agent: names.index(agent.agent_id), default=None)
        if candidates and self.selection(contact) is Selection.WEIGHTED_RANDOM:
            tickets = [
                agent
                for agent in sorted(candidates, key=lambda agent: agent.idle_number)
                for _ in range(self.weight(agent, contact))
            ]
            return tickets[self._draw_number(contact) % len(tickets)]
        return min(candidates, key=lambda agent: self._rank(agent, contact), default=None)

    def consult_target(self, contact: RefContact, queue_id: str, at_ms: int) -> RefAgent | None:
        """Return the agent that a consult of a queue gets: as if the contact waited there alone."""
        # Plans apply to waiting contacts only; a plan that does not exist counts as none.
        return self.selected_agent(replace(contact, queue_id=queue_id, plan="none"), at_ms)

    def participant_count(self, contact: RefContact) -> int:
        """Return the number of participants and consulted agents, pending consults included."""
        pending = [o for o in self.pending_offers_of(contact) if o.role is AssignmentRole.CONSULT]
        return len(contact.participants) + len(pending)

    def successor(self, contact: RefContact) -> str | None:
        """Return the first participant that is available to take over from an owner with a lost desktop."""
        for name, role in contact.participants.items():
            agent = self.agents[self.assignments[name].agent_id]
            gone = agent.presence is Presence.LOST or agent.state is AgentState.OFFLINE
            if role is AssignmentRole.PARTICIPANT and not gone:
                return agent.agent_id
        return None

    def _draw_number(self, contact: RefContact) -> int:
        assert self.policy is not None
        text = f"{self.policy.seed}:{self.seq}:{contact.contact_id}".encode()
        return int(blake2b(text, digest_size=16).hexdigest(), 16)

    def weight(self, agent: RefAgent, contact: RefContact) -> int:
        """Return the agent's weight in a draw."""
        value = agent.attributes.get(self.queue_of(contact).weight_fact or "")
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            return 1
        return min(value, 1_000)

    def fact(self, agent: RefAgent, name: str) -> tuple[bool, int]:
        """Return whether the agent lacks the attribute, as declared now, and its position in the declared order."""
        assert self.policy is not None
        declared, value = self.policy.facts[name], agent.attributes.get(name)
        if declared.type is FactType.ENUM and value in declared.values:
            return False, declared.values.index(str(value))
        if declared.type is FactType.BOOL and isinstance(value, bool):
            return False, int(value)
        if declared.type is FactType.INT and isinstance(value, int):
            return isinstance(value, bool), int(value)
        return True, 0

    def _by_facts(self, agent: RefAgent, contact: RefContact) -> list[tuple[bool, int]]:
        found = []
        for step in self.order_by(contact):
            lacks, place = self.fact(agent, step.fact)
            if step.same_as is not None:
                place = int(agent.attributes.get(step.fact) != contact.customer_facts[step.same_as])
            found.append((lacks, 0 if lacks else -place if step.direction == "desc" else place))
        return found

    def order_by(self, contact: RefContact) -> list[AttributeOrder]:
        """Return the sort keys of agents that count for the customer of the contact."""
        return [
            step
            for step in self.queue_of(contact).order_by
            if self.customer_meets(step.when, contact) and (step.same_as is None or step.same_as in contact.customer_facts)
        ]

    def _rank(self, agent: RefAgent, contact: RefContact) -> tuple[Any, int, str]:
        assert self.policy is not None
        first: Any
        match self.selection(contact):
            case Selection.LONGEST_IDLE:
                first = 0
            case Selection.LEAST_OCCUPIED:
                first = Fraction(self.units_used(agent), max(1, self.units(agent)))
            case Selection.HIGHEST_PROFICIENCY:
                first = -sum(self.level_of(agent, skill) for skill in self.requirement(contact))
            case Selection.ROUND_ROBIN:
                first = agent.last_offer_seqs.get(contact.queue_id, 0)
            case Selection.LEAST_FLEXIBLE:
                first = self.skill_count(agent)
            case Selection.FEWEST_TODAY:
                first = agent.contacts_today
            case Selection.BY_ATTRIBUTES:
                first = self._by_facts(agent, contact)
            case Selection.WEIGHTED_RANDOM:
                raise AssertionError("drawn, not ranked")
        return first, agent.idle_number, agent.agent_id

    def skill_count(self, agent: RefAgent) -> int:
        """Return how many declared skills the agent has."""
        assert self.policy is not None
        return sum(skill in self.policy.skills for skill in agent.skills)

    def first_for(self, agent: RefAgent, at_ms: int) -> RefContact | None:
        """Return the contact that the agent must get next: by class, then queue rank, then total order."""
        could = [one for one in self.waiting_in_order() if self.is_eligible(agent, one, at_ms)]
        return min(
            could, key=lambda one: (self.order(one)[0], agent.queue_ranks.get(one.queue_id, 5), self.order(one)), default=None
        )

    def first_in_total_order_for(self, agent: RefAgent, at_ms: int) -> RefContact | None:
        """Return the first contact in the total order that the agent could take, queue ranks ignored."""
        return next((one for one in self.waiting_in_order() if self.is_eligible(agent, one, at_ms)), None)

    def missed_switches(self, at_ms: int) -> list[tuple[str, str]]:
        """Return the conversations that wait for another channel and the agents who could be offered them now."""
        found = []
        for contact in self.contacts.values():
            owner = self.assignments.get(contact.owner_assignment_id or "")
            if contact.switches_to is None or not contact.switch_waits or owner is None or self.pending_offers_of(contact):
                continue
            most = self.channel(contact.channel).participants_max
            beside = contact.participants if contact.switch_consults else self.consults(contact)
            if beside or (contact.switch_consults and not most):
                continue
            there = replace(contact, channel=contact.switches_to)
            other = self.consult_target(there, contact.queue_id, at_ms)
            if other is not None:
                found.append((contact.contact_id, other.agent_id))
        return found

    def missed_matches(self, at_ms: int) -> list[tuple[str, str]]:
        """Return the pairs that could be matched now (I22); empty when the engine is idle."""
        return [
            (contact.contact_id, agent.agent_id) for contact in self.waiting_in_order() for agent in self.candidates(contact, at_ms)
        ]
