"""Index of contacts: which contacts are in their waiting line, and which agents a contact may go to.

This part of the index knows nothing of capacity: it reads the open channels that the agent index maintains.
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final

from router.engine.index.agents import AgentIndex
from router.engine.index.lines import LineIndex
from router.engine.index.qualification import QualificationIndex
from router.engine.state.agent import Agent
from router.engine.state.contact import SEQ_BITS, Contact, WaitingLine, is_individually_ranked, order_key_of
from router.engine.state.plan_stages import NO_PLAN, RoutingCriteria, effective_plan
from router.engine.state.workspace import WorkspaceRecords
from router.model.policy import CallbackMode
from router.model.states import AgentId, AgentState, CallbackPhase, ContactId, ContactState, QueueId

# Bound once: an attribute lookup on the enum class costs more than the comparisons it serves.
_CUSTOMER_FIRST: Final = CallbackMode.CUSTOMER_FIRST
_OFFERED: Final = ContactState.OFFERED
_QUEUED: Final = ContactState.QUEUED
_READY: Final = AgentState.READY
_WAITING: Final = CallbackPhase.WAITING


class ContactIndex:
    """Waiting contacts of a workspace."""

    def __init__(self, records: WorkspaceRecords, lines: LineIndex, agents: AgentIndex, qualification: QualificationIndex) -> None:
        self._records = records
        self._lines = lines
        self._agents = agents
        self._qualification = qualification
        self.to_match: dict[ContactId, Contact] = {}
        """Contacts that have just entered a line, or that further agents may take; matching empties it."""
        self.dialling: dict[AgentId, ContactId] = {}
        """Contact whose customer is being dialled for an agent (``customer_first`` callbacks), at most one an agent."""
        self.switching: dict[ContactId, Contact] = {}
        """Conversations that wait for an agent with capacity for another channel."""
        self.switches_changed = False
        """Whether something else than an agent's capacity may let one of them go on; serving them resets it."""

    def rebuild(self) -> None:
        """Put every waiting contact into a line again; the lines must be empty."""
        self.dialling = {}
        self.switching, self._agents.awaited = {}, {}
        self.switches_changed = False
        waiting: list[Contact] = []
        for contact in self._records.contacts.values():
            _reset_line(contact)
            if contact.state is _QUEUED or contact.state is _OFFERED:
                waiting.append(contact)
            elif contact.callback is not None and contact.callback.for_agent_id is not None:
                self.dialling[contact.callback.for_agent_id] = contact.contact_id
            elif contact.switch is not None and contact.switch.deadline_ms is None:
                self.switching[contact.contact_id] = contact
                self._agents.await_capacity(contact.agent_id or "", 1)
        self._enqueue_many(waiting)
        # Every agent with an open channel is matched, so the contacts need not be matched as well.
        self.to_match.clear()

    def recheck_switch(self, contact: Contact) -> None:
        """Have a conversation that waits for another channel looked at again, if the contact has one."""
        if contact.contact_id in self.switching:
            self.switches_changed = True

    # --- entering and leaving lines -----------------------------------------------------------------
    def enqueue(self, contact: Contact) -> None:
        """Put a QUEUED contact, or an OFFERED one that needs further offers, into its line, and have it matched."""
        if contact.order_key:
            self.dequeue(contact)
        line = self._lines.line_for(contact)
        if contact.waiting_line is not line:
            self.leave_line(contact)
            contact.waiting_line = line
            line.reference_count += 1
        if self._lines.has_plans:
            self._lines.apply_plan_priority(contact)
        if len(contact.pending_offer_ids) >= line.broadcast:
            return
        self._insert(contact, line)
        if not line.waiting_for_opening:
            self.to_match[contact.contact_id] = contact

    def enqueue_arriving(self, contact: Contact, line: WaitingLine) -> bool:
        """Assign a new contact to its line; return True, without inserting it, if an agent is free for it.

        The caller must then match the contact, or ``enqueue`` it. An inserted contact needs no matching: an agent whose channels
        open in this step looks at the line in any case.
        """
        contact.waiting_line = line
        line.reference_count += 1
        if self._agents.open_group_bits[line.channel_index] & line.group_mask:
            return True
        if contact.priority_s or contact.priority_class:
            key = order_key_of(contact, line.queue, by_due_date=line.by_due_date)
            line.individually_ranked[key] = contact
        else:
            key = contact.queued_at_ms << SEQ_BITS | contact.queued_seq
        contact.order_key = key
        before = line.head_rank
        line.add(key, contact)
        if line.head_rank != before:
            self._lines.head_moved(line, before)
        return False

    def dequeue(self, contact: Contact) -> None:
        """Remove the contact from its line; the line stays assigned while the contact is offered."""
        line = contact.waiting_line
        assert line is not None
        before = line.head_rank
        line.remove(contact.order_key)
        contact.order_key = 0
        if line.head_rank != before:
            self._lines.head_moved(line, before)
        self.to_match.pop(contact.contact_id, None)

    def leave_line(self, contact: Contact) -> None:
        """Detach the contact from its line."""
        line = contact.waiting_line
        if line is None:
            return
        if contact.order_key:
            self.dequeue(contact)
        contact.waiting_line = None
        self._lines.release(line)

    def update_broadcasts(self, queue_ids: frozenset[QueueId]) -> None:
        """Update the offered contacts of queues whose number of simultaneous offers has changed."""
        for contact in self._offered_contacts():
            line = contact.waiting_line
            if line is None or contact.queue_id not in queue_ids:
                continue
            if len(contact.pending_offer_ids) >= line.broadcast:
                if contact.order_key:
                    self.dequeue(contact)
            elif not contact.order_key:
                self._insert(contact, line)

    def reenqueue(self, lines: list[WaitingLine]) -> None:
        """Drop these lines and put their contacts, also the offered ones, into lines again."""
        found = {c.contact_id: c for line in lines for c in line.contacts_by_key.values()}
        dropped = set(lines)
        for contact in self._offered_contacts():
            if contact.waiting_line in dropped:
                found[contact.contact_id] = contact
        for line in lines:
            self._lines.detach(line)
        for contact in found.values():
            _reset_line(contact)
        self._enqueue_many(found.values())

    def _insert(self, contact: Contact, line: WaitingLine) -> None:
        contact.order_key = key = order_key_of(contact, line.queue, by_due_date=line.by_due_date)
        before = line.head_rank
        line.add(key, contact)
        if is_individually_ranked(contact):
            line.individually_ranked[key] = contact
        if line.head_rank != before:
            self._lines.head_moved(line, before)

    def _enqueue_many(self, contacts: Iterable[Contact]) -> None:
        """Put many contacts, which must be in no line, into their lines at once."""
        entering: dict[WaitingLine, dict[int, Contact]] = {}
        for contact in contacts:
            line = self._lines.line_for(contact)
            contact.waiting_line = line
            line.reference_count += 1
            if self._lines.has_plans:
                self._lines.apply_plan_priority(contact)
            if len(contact.pending_offer_ids) < line.broadcast:
                contact.order_key = order_key_of(contact, line.queue, by_due_date=line.by_due_date)
                entering.setdefault(line, {})[contact.order_key] = contact
        for line, found in entering.items():
            before = line.head_rank
            line.add_many(found)
            if line.head_rank != before:
                self._lines.head_moved(line, before)

    def _offered_contacts(self) -> Iterator[Contact]:
        contacts = self._records.contacts
        return (contacts[offer.contact_id] for offer in self._records.offers.values())

    # --- agents for a contact -------------------------------------------------------------------------
    def has_open_agent(self, criteria: RoutingCriteria) -> bool:
        """Return whether a new contact with these requirements would be offered at once."""
        line = self._lines.line_for_requirements(self._lines.first_applicable(criteria))
        self._lines.drop_if_unused(line)
        i = line.channel_index
        if line.reserved_for is None:
            return bool(self._agents.open_group_bits[i] & line.group_mask)
        agents = self.reserved_agents(line, line.reserved_for)
        return any(agent.open_channel_bits >> i & 1 for agent in agents)

    def has_ready_agent(self, criteria: RoutingCriteria) -> bool:
        """Return whether an agent who qualifies for the contact, in any step of its plan, is READY, busy or free."""
        policy = self._records.policy
        plan = NO_PLAN
        if policy is not None:
            plan = effective_plan(policy, criteria.queue_id, criteria.plan)
        left_out = self._lines.inapplicable_steps(criteria)
        last = len(plan) - 1
        steps = [n for n in range(len(plan)) if n not in left_out or n == last] or [0]
        return any(self._has_ready_agent_in_step(criteria._replace(step=n)) for n in steps)

    def _has_ready_agent_in_step(self, criteria: RoutingCriteria) -> bool:
        line = self._lines.line_for_requirements(criteria)
        self._lines.drop_if_unused(line)
        if line.reserved_for is None:
            return bool(line.group_mask & self._agents.ready_group_bits)
        return any(agent.state is _READY for agent in self.reserved_agents(line, line.reserved_for))

    def reserved_agents(self, line: WaitingLine, agent_ids: tuple[AgentId, ...]) -> Iterator[Agent]:
        """Yield those of the agents who are registered and qualify, in the order given."""
        for agent in self.registered_agents(agent_ids):
            if agent.group is not None and agent.group.qualifies_for(line):
                yield agent

    def registered_agents(self, agent_ids: Iterable[AgentId]) -> Iterator[Agent]:
        """Yield those of the agents who are registered, in the order given."""
        for agent_id in agent_ids:
            agent = self._records.agents.get(agent_id)
            if agent is not None:
                yield agent

    def free_qualified_agents(self, queue_ids: frozenset[QueueId]) -> None:
        """Match again the agents with an open channel who qualify for non-empty lines of these queues."""
        agents = self._agents
        for name in sorted(queue_ids):
            for line in self._lines.by_queue.get(name, ()):
                if not line.head_rank or line.waiting_for_opening:
                    continue
                i = line.channel_index
                if line.reserved_for is not None:
                    reserved = self.reserved_agents(line, line.reserved_for)
                    agents.free(a for a in reserved if a.open_channel_bits >> i & 1)
                    continue
                mask = line.group_mask & agents.open_group_bits[i]
                for group in self._qualification.groups_in(mask):
                    agents.free(group.idle_orders[i])

    def excluded_agents(self, contact: Contact, at_ms: int) -> set[AgentId]:
        """Return the agents who are in cool-down for the contact, already have an offer of it, or are being dialled for."""
        found = {a for a, until_ms in (contact.cool_downs or {}).items() if until_ms > at_ms}
        if contact.callback is not None and self.dialling and calls_customer_first(contact):
            found.update(self.dialling)
        offers = self._records.offers
        return found | {offers[offer_id].agent_id for offer_id in contact.pending_offer_ids}

    def is_dialling_for(self, agent_id: AgentId, contact: Contact) -> bool:
        """Return whether taking the contact means dialling its customer while another is being dialled for this agent."""
        return agent_id in self.dialling and calls_customer_first(contact)

    def draw_number(self, contact_id: ContactId) -> int:
        """Return a number to draw by: uniformly distributed, and equal whenever the same journal led to this state."""
        records = self._records
        seed = 0 if records.policy is None else records.policy.seed
        text = f"{seed}:{records.seq}:{contact_id}"
        return int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "big")


def calls_customer_first(contact: Contact) -> bool:
    """Return whether the contact's customer is dialled, instead of an offer being made, when its turn comes."""
    callback = contact.callback
    return callback is not None and callback.mode is _CUSTOMER_FIRST and callback.phase is _WAITING


def _reset_line(contact: Contact) -> None:
    contact.waiting_line, contact.order_key = None, 0
    contact.plan_priority_s = contact.plan_priority_class = 0
