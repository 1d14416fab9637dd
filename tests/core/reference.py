"""The reference: who may take what, who comes first, who gets it - by looking at everything.

Slow and obvious on purpose (lists, no index, no cache); written from docs/routing.md and from nothing else. It decides
nothing by itself: ``world.py`` uses it to judge the core.
"""

from dataclasses import replace
from fractions import Fraction

from router.model.policy import Selection
from router.model.states import AgentState, AssignmentRole, ContactState, Presence
from tests.core.fold import RefAgent, RefAssignment, RefContact, RefOffer
from tests.core.plans import Plans


class Reference(Plans):
    """Everything that has happened, and what must follow from it."""

    # --- capacity -----------------------------------------------------------------------------------------------------
    def items(self, agent: RefAgent) -> list[RefOffer | RefAssignment]:
        """What uses up the agent's capacity."""
        found: list[RefOffer | RefAssignment] = [
            offer for offer in self.pending() if offer.agent_id == agent.agent_id
        ]
        found += [work for work in self.open_work(agent) if work.holds_capacity]
        return found

    def units_used(self, agent: RefAgent) -> int:
        """Capacity in use."""
        return sum(item.units for item in self.items(agent))

    def units(self, agent: RefAgent) -> int:
        """The agent's whole capacity."""
        assert self.policy is not None
        return agent.units if agent.units is not None else self.policy.agents.units

    def channel_max(self, agent: RefAgent, channel: str) -> int:
        """How many items of a channel he may have at once."""
        return agent.channel_max.get(channel, self.channel(channel).per_agent_max)

    # --- who may take what --------------------------------------------------------------------------------------------
    def serves(self, agent: RefAgent, contact: RefContact) -> bool:
        """The contact's queue is among his, and its channel is not taken from him."""
        in_queue = agent.queues is None or contact.queue_id in agent.queues
        return in_queue and self.channel_max(agent, contact.channel) > 0

    def is_open(self, agent: RefAgent) -> bool:
        """He says that he takes contacts, and his desktop is there."""
        return (
            agent.state is AgentState.READY
            and agent.presence is not Presence.LOST
            and agent.next_state is None
        )

    def fits(self, agent: RefAgent, channel: str) -> bool:
        """One more item of this channel fits his capacity."""
        items = self.items(agent)
        return (
            self.units_used(agent) + self.channel(channel).units <= self.units(agent)
            and sum(item.channel == channel for item in items) < self.channel_max(agent, channel)
            and not any(channel in self.channel(item.channel).blocks for item in items)
        )

    def is_free_for(self, contact: RefContact, agent: RefAgent, at_ms: int) -> bool:
        """Nothing between these two stands in the way."""
        owner = contact.owner and self.assignments[contact.owner].agent_id
        return (
            self.cool_downs.get((contact.contact_id, agent.agent_id), at_ms) <= at_ms
            and all(offer.agent_id != agent.agent_id for offer in self.live_offers(contact))
            and owner != agent.agent_id
            and all(self.assignments[n].agent_id != agent.agent_id for n in contact.others)
            and (owner is not None or self.is_kept_for(contact, agent))
        )

    def could_take(self, agent: RefAgent, contact: RefContact, at_ms: int) -> bool:
        """The whole rule."""
        return (
            self.serves(agent, contact)
            and self.has_skills(agent, contact)
            and self.could_be_handed(agent, contact, at_ms)
        )

    def could_be_handed(self, agent: RefAgent, contact: RefContact, at_ms: int) -> bool:
        """The rule for the target of a transfer: skills and queues are the owner's affair."""
        return (
            self.is_open(agent)
            and self.fits(agent, contact.channel)
            and self.is_free_for(contact, agent, at_ms)
        )

    # --- which first --------------------------------------------------------------------------------------------------
    def order(self, contact: RefContact) -> tuple[int, int, int]:
        """Smaller goes first. Waiting does not change it (I23)."""
        queue = self.queue_of(contact)
        raised_s, raised_class = self.raised(contact)
        return (
            -max(contact.strict_class, queue.strict_class, raised_class),
            contact.queued_at_ms - 1000 * (contact.priority_s + queue.priority_s + raised_s),
            contact.orig_seq,
        )

    def in_line(self) -> list[RefContact]:
        """Contacts that may get one more offer, in total order."""
        waiting = [
            contact
            for contact in self.contacts.values()
            if contact.state is ContactState.QUEUED
            or (
                contact.state is ContactState.OFFERED
                and len(self.live_offers(contact)) < self.queue_of(contact).broadcast
            )
        ]
        return sorted(waiting, key=self.order)

    def takers(self, contact: RefContact, at_ms: int) -> list[RefAgent]:
        """Agents who could take it now, by id."""
        return [
            self.agents[agent_id]
            for agent_id in sorted(self.agents)
            if self.could_take(self.agents[agent_id], contact, at_ms)
        ]

    def choice(self, contact: RefContact, at_ms: int) -> RefAgent | None:
        """The agent whom the queue's selection gives the contact to."""
        takers = self.takers(contact, at_ms)
        names = self.kept_for(contact)
        if names is not None:
            return min(takers, key=lambda agent: names.index(agent.agent_id), default=None)
        return min(takers, key=lambda agent: self._rank(agent, contact), default=None)

    def consulted(self, contact: RefContact, queue_id: str, at_ms: int) -> RefAgent | None:
        """Whom an owner gets who asks for advice from a queue: as if the contact waited there, alone."""
        # Plans are for those who wait: a plan that does not exist is none.
        return self.choice(replace(contact, queue_id=queue_id, plan="none"), at_ms)

    def beside(self, contact: RefContact) -> int:
        """How many are in the conversation beside its owner, or are asked to advise him."""
        asked = [o for o in self.live_offers(contact) if o.role is AssignmentRole.CONSULT]
        return len(contact.others) + len(asked)

    def successor(self, contact: RefContact) -> str | None:
        """Who goes on with the customer when the owner's desktop stays away: the first participant who is there."""
        for name, role in contact.others.items():
            agent = self.agents[self.assignments[name].agent_id]
            gone = agent.presence is Presence.LOST or agent.state is AgentState.OFFLINE
            if role is AssignmentRole.PARTICIPANT and not gone:
                return agent.agent_id
        return None

    def _rank(self, agent: RefAgent, contact: RefContact) -> tuple[Fraction | int, int, str]:
        assert self.policy is not None
        first: Fraction | int
        match self.selection(contact):
            case Selection.LONGEST_IDLE:
                first = 0
            case Selection.LEAST_OCCUPIED:
                first = Fraction(self.units_used(agent), max(1, self.units(agent)))
            case Selection.HIGHEST_PROFICIENCY:
                first = -sum(self.level_of(agent, skill) for skill in self.required(contact))
            case Selection.ROUND_ROBIN:
                first = agent.last_offer_seq
            case Selection.LEAST_FLEXIBLE:
                first = sum(skill in self.policy.skills for skill in agent.skills)
        return first, agent.idle, agent.agent_id

    def first_for(self, agent: RefAgent, at_ms: int) -> RefContact | None:
        """The contact that the agent must get next."""
        for contact in self.in_line():
            if self.could_take(agent, contact, at_ms):
                return contact
        return None

    def missed_matches(self, at_ms: int) -> list[tuple[str, str]]:
        """Pairs that could be matched now (I22): none when the engine is at rest."""
        return [
            (contact.contact_id, agent.agent_id)
            for contact in self.in_line()
            for agent in self.takers(contact, at_ms)
        ]
