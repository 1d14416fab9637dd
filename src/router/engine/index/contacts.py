"""Index of contacts: the waiting line of each contact, and whether an agent is available for a new one.

A line is created for its first contact. Empty lines are kept up to a limit, except reserved ones. This part of the index knows
nothing of capacity: it reads the masks and open channels that the agent index maintains.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final

from router.engine.index.tables import IndexTables
from router.engine.state.agent import Agent
from router.engine.state.contact import (
    SEQ_BITS,
    Contact,
    WaitingLine,
    WaitingLineKey,
    is_individually_ranked,
    order_key_of,
)
from router.engine.state.plan_stages import (
    NO_PLAN,
    PlanStage,
    RoutingCriteria,
    effective_plan,
    exclusive_agents,
    routing_criteria,
    stage_requirement,
)
from router.engine.state.records import requirement_key
from router.model.ids import AgentId, ContactId, QueueId
from router.model.policy import CallbackMode
from router.model.states import AgentState, CallbackPhase

# Bound once: an attribute lookup on the enum class costs more than the comparisons it serves.
_CUSTOMER_FIRST: Final = CallbackMode.CUSTOMER_FIRST
_READY: Final = AgentState.READY
_WAITING: Final = CallbackPhase.WAITING

# Empty lines are kept for the next contact of their class, up to this many.
_EMPTY_LINES_MAX: Final = 2_000
_NO_SKILLS: Final[dict[str, int]] = {}
_STAGES_MAX: Final = 10_000
_CLASSES_MAX: Final = 10_000


class ContactIndex(IndexTables):
    """Waiting lines of contacts."""

    def enqueue(self, contact: Contact) -> None:
        """Put a QUEUED contact, or an OFFERED one that needs further offers, into its line, and have it matched."""
        if contact.order_key:
            self.dequeue(contact)
        line = self.line_for(contact)
        if contact.waiting_line is not line:
            self.leave_line(contact)
            contact.waiting_line = line
            line.reference_count += 1
        if self.has_plans:
            self._apply_plan_priority(contact)
        if len(contact.pending_offer_ids) >= line.broadcast:
            return
        self._insert(contact, line)
        if not line.waiting_for_opening:
            self.contacts_to_match[contact.contact_id] = contact

    def _insert(self, contact: Contact, line: WaitingLine) -> None:
        contact.order_key = key = order_key_of(contact, line.queue)
        before = line.head_rank
        line.add(key, contact)
        if is_individually_ranked(contact):
            line.individually_ranked[key] = contact
        if line.head_rank != before and line.reserved_for is None and not line.waiting_for_opening:
            self._update_head_order(line, before)

    def update_broadcast(self, contact: Contact) -> None:
        """Add or remove an offered contact, after the number of simultaneous offers of its queue has changed."""
        line = contact.waiting_line
        assert line is not None
        if len(contact.pending_offer_ids) >= line.broadcast:
            if contact.order_key:
                self.dequeue(contact)
        elif not contact.order_key:
            self._insert(contact, line)

    def enqueue_many(self, contacts: Iterable[Contact]) -> None:
        """Put many contacts, which must be in no line, into their lines at once."""
        places: dict[WaitingLine, dict[int, Contact]] = {}
        for contact in contacts:
            line = self.line_for(contact)
            contact.waiting_line = line
            line.reference_count += 1
            if self.has_plans:
                self._apply_plan_priority(contact)
            if len(contact.pending_offer_ids) < line.broadcast:
                contact.order_key = order_key_of(contact, line.queue)
                places.setdefault(line, {})[contact.order_key] = contact
        for line, found in places.items():
            before = line.head_rank
            line.add_many(found)
            if (
                line.head_rank != before
                and line.reserved_for is None
                and not line.waiting_for_opening
            ):
                self._update_head_order(line, before)

    def enqueue_arriving(self, contact: Contact, line: WaitingLine) -> bool:
        """Assign a new contact to its line. Return True if an agent is free for it; it is then not added to the line.

        If no agent is free, the contact is added but not scheduled for matching: an agent whose channels open in this step looks at
        the line in any case.
        """
        self.arriving_line = None
        contact.waiting_line = line
        line.reference_count += 1
        if self.open_group_bits[line.channel_index] & line.group_mask:
            self.arriving_contact = contact
            return True
        if contact.priority_s or contact.priority_class:
            key = order_key_of(contact, line.queue)
            line.individually_ranked[key] = contact
        else:
            key = contact.queued_at_ms << SEQ_BITS | contact.queued_seq
        contact.order_key = key
        before = line.head_rank
        line.add(key, contact)
        if line.head_rank != before:
            self._update_head_order(line, before)
        return False

    def enqueue_deferred(self) -> None:
        """Add the arriving contact to its line after all, because another event came between or it needs several offers."""
        contact, self.arriving_contact = self.arriving_contact, None
        if contact is not None:
            self.enqueue(contact)

    def remember_class(self, key: tuple[object, ...], line: WaitingLine) -> None:
        """Remember that a submit of this class is valid and leads to this line."""
        if len(self.submit_classes) >= _CLASSES_MAX:
            self.submit_classes.clear()
        self.submit_classes[key] = line

    def _apply_plan_priority(self, contact: Contact) -> None:
        """Set the priority and class that the contact's plan adds."""
        contact.plan_priority_s = contact.plan_priority_class = 0
        if contact.plan is not None or contact.queue_id in self._queues_with_plan:
            asks, known = routing_criteria(contact), self._last_planned_line
            stage = known[2] if known is not None and known[0] == asks else self.plan_stage(asks)
            contact.plan_priority_s, contact.plan_priority_class = (
                stage.added_priority_s,
                stage.priority_class,
            )

    def dequeue(self, contact: Contact) -> None:
        """Remove the contact from its line; the line stays assigned while the contact is offered."""
        line = contact.waiting_line
        assert line is not None
        before = line.head_rank
        line.remove(contact.order_key)
        contact.order_key = 0
        if line.head_rank != before and line.reserved_for is None and not line.waiting_for_opening:
            self._update_head_order(line, before)
        self.contacts_to_match.pop(contact.contact_id, None)

    def _update_head_order(self, line: WaitingLine, before: int) -> None:
        heads = self.head_order
        if before:
            del heads[bisect_left(heads, (before, line.index))]
        else:
            self.occupied_line_bits |= line.bit
        if line.head_rank:
            insort(heads, (line.head_rank, line.index))
        else:
            self.occupied_line_bits &= ~line.bit

    def leave_line(self, contact: Contact) -> None:
        """Detach the contact from its line."""
        line = contact.waiting_line
        if line is None:
            return
        if contact.order_key:
            self.dequeue(contact)
        contact.waiting_line = None
        line.reference_count -= 1
        if not line.reference_count and (
            line.reserved_for is not None
            or line.waiting_for_opening
            or len(self.lines) > _EMPTY_LINES_MAX
        ):
            self._drop_line(line)

    def line_for(self, contact: Contact) -> WaitingLine:
        """Return the line of the contact's requirement class, created if necessary."""
        if contact.waiting_for_opening:
            return self._line_awaiting_opening(contact)
        if self.has_plans and (
            contact.plan is not None or contact.queue_id in self._queues_with_plan
        ):
            return self.line_for_requirements(routing_criteria(contact))
        return self._plain_line(
            contact.queue_id, contact.channel, contact.skills, contact.preferred_agent_id
        )

    def queue_default_line(self, queue_id: QueueId, channel: str) -> WaitingLine:
        """Return the line of contacts with the queue's requirement and no other."""
        return self._plain_line(queue_id, channel, _NO_SKILLS, None)

    def line_for_requirements(self, criteria: RoutingCriteria) -> WaitingLine:
        """Return the line for these requirements."""
        policy = self._state.policy
        if not self.has_plans or policy is None:
            return self._plain_line(
                criteria.queue_id, criteria.channel, criteria.skills, criteria.reserved_agent_id
            )
        known = self._last_planned_line
        if (
            known is not None and known[0] == criteria
        ):  # As in ``_plain_line``: the command handler and the event handler ask in turn.
            return known[1]
        plan = effective_plan(policy, criteria.queue_id, criteria.plan)
        if not plan:
            return self._plain_line(
                criteria.queue_id, criteria.channel, criteria.skills, criteria.reserved_agent_id
            )
        stage = self.plan_stage(criteria)
        only = exclusive_agents(plan, criteria)
        key = (
            criteria.queue_id,
            criteria.channel,
            stage.requirement,
            only,
            stage.alternatives,
            stage.selection,
        )
        line = self.lines.get(key) or self._make_line(key)
        line.contact_requirement = None
        self._last_planned_line = (criteria, line, stage)
        return line

    def plan_stage(self, criteria: RoutingCriteria) -> PlanStage:
        """Return the requirement of a plan step, preferred agents left aside."""
        state = self._state
        assert state.policy is not None
        own = criteria.plan
        key = (criteria.queue_id, own, criteria.step, tuple(sorted(criteria.skills.items())))
        stage = self._stages.get(key)
        if stage is None:
            if len(self._stages) >= _STAGES_MAX:
                self._stages.clear()
            plan = effective_plan(state.policy, criteria.queue_id, own)
            stage = stage_requirement(
                state.queue_policy(criteria.queue_id), plan, criteria.step, criteria.skills
            )
            self._stages[key] = stage
        return stage

    def _plain_line(
        self, queue_id: QueueId, channel: str, skills: dict[str, int], reserved_for: AgentId | None
    ) -> WaitingLine:
        """Return the line of a requirement class that no plan changes."""
        memo = self._last_plain_line
        if (
            memo is not None
            and memo[2]
            is skills  # The command handler asks first, then the event handler, with the same dict.
            and memo[0] == queue_id
            and memo[1] == channel
            and memo[3] == reserved_for
        ):
            return memo[4]
        queue = self._state.queue_policy(queue_id)
        needs = requirement_key(queue, skills)
        only = None if reserved_for is None else (reserved_for,)
        key: WaitingLineKey = (queue_id, channel, needs, only, (), None)
        line = self.lines.get(key)
        if line is None:
            line = self._make_line(key)
            line.contact_requirement = tuple(sorted(skills.items())) if queue.requires else needs
        elif (
            queue.requires
            and line.contact_requirement is not None
            and line.contact_requirement != tuple(sorted(skills.items()))
        ):
            line.contact_requirement = None  # A skill that one contact requires itself is required of another by the queue.
        self._last_plain_line = (queue_id, channel, skills, reserved_for, line)
        return line

    def _line_awaiting_opening(self, contact: Contact) -> WaitingLine:
        """Return the line of the same requirement for contacts that wait for their queue to open."""
        policy, asks = self._state.policy, routing_criteria(contact)
        plan = NO_PLAN if policy is None else effective_plan(policy, asks.queue_id, asks.plan)
        only = exclusive_agents(plan, asks)
        if plan:
            stage = self.plan_stage(asks)
            key: WaitingLineKey = (
                *(asks.queue_id, asks.channel, stage.requirement),
                *(only, stage.alternatives, stage.selection),
            )
        else:
            needs = requirement_key(self._state.queue_policy(asks.queue_id), asks.skills)
            key = (asks.queue_id, asks.channel, needs, only, (), None)
        return self.lines_awaiting_opening.get(key) or self._make_line(
            key, waiting_for_opening=True
        )

    def line_without_plan(
        self, queue_id: QueueId, channel: str, skills: dict[str, int]
    ) -> WaitingLine:
        """Return the line for the queue's requirement and these skills, without plan and preferred agent."""
        return self._plain_line(queue_id, channel, skills, None)

    def drop_if_unused(self, line: WaitingLine) -> None:
        """Drop a reserved line that no contact belongs to."""
        if line.reserved_for is not None and not line.reference_count:
            self._drop_line(line)

    def has_open_agent(self, criteria: RoutingCriteria) -> bool:
        """Return whether a new contact with these requirements would be offered at once."""
        line = self.line_for_requirements(criteria)
        i = line.channel_index
        if line.reserved_for is None:
            return bool(self.open_group_bits[i] & line.group_mask)
        self.drop_if_unused(line)
        return any(
            agent.open_channel_bits >> i & 1
            for agent in self.reserved_agents(line, line.reserved_for)
        )

    def has_ready_agent(self, criteria: RoutingCriteria) -> bool:
        """Return whether an agent who qualifies for the contact, in any step of its plan, is READY, busy or free."""
        policy = self._state.policy
        plan = (
            NO_PLAN if policy is None else effective_plan(policy, criteria.queue_id, criteria.plan)
        )
        return any(
            self._has_ready_agent_in_step(criteria._replace(step=n)) for n in range(len(plan) or 1)
        )

    def _has_ready_agent_in_step(self, criteria: RoutingCriteria) -> bool:
        line = self.line_for_requirements(criteria)
        if line.reserved_for is None:
            return any(profile.ready_count for profile in self.groups_in(line.group_mask))
        self.drop_if_unused(line)
        return any(agent.state is _READY for agent in self.reserved_agents(line, line.reserved_for))

    def reserved_agents(self, line: WaitingLine, names: tuple[AgentId, ...]) -> Iterator[Agent]:
        """Yield those of the named agents who are registered and qualify, in the order given."""
        for name in names:
            agent = self.find_agent(name)
            if agent is not None and agent.group is not None and agent.group.qualifies_for(line):
                yield agent

    def excluded_agents(self, contact: Contact, at_ms: int) -> set[AgentId]:
        """Return the agents who are in cool-down for the contact, already have an offer of it, or are being dialled for."""
        found = {a for a, until_ms in (contact.cool_downs or {}).items() if until_ms > at_ms}
        if (
            contact.callback is not None
            and self.dialling_contacts
            and calls_customer_first(contact)
        ):
            found.update(self.dialling_contacts)
        offers = self._state.offers
        return found | {offers[offer_id].agent_id for offer_id in contact.pending_offer_ids}

    def draw_number(self, contact_id: ContactId) -> int:
        """Return a number to draw by: uniformly distributed, and equal whenever the same journal led to this state."""
        state = self._state
        seed = 0 if state.policy is None else state.policy.seed
        text = f"{seed}:{state.seq}:{contact_id}"
        return int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "big")

    def _make_line(self, key: WaitingLineKey, *, waiting_for_opening: bool = False) -> WaitingLine:
        index = self._free_indexes.pop() if self._free_indexes else len(self.lines_by_index)
        channel = self.channels[key[1]]
        line = WaitingLine(
            key,
            index=index,
            channel_index=channel.index,
            queue=self._state.queue_policy(key[0]),
            channel_policy=channel.policy,
            by_due_date=self._by_due_date,
            waiting_for_opening=waiting_for_opening,
        )
        if index == len(self.lines_by_index):
            self.lines_by_index.append(line)
        else:
            self.lines_by_index[index] = line
        (self.lines_awaiting_opening if waiting_for_opening else self.lines)[key] = line
        self.lines_by_queue.setdefault(line.queue_id, []).append(line)
        if waiting_for_opening:
            self._update_line_qualification((line,))
            return line
        if line.reserved_for is not None:
            for agent_id in line.reserved_for:
                self.reserved_lines.setdefault(agent_id, []).append(line)
            return line
        self.line_bits_by_channel[channel.index] |= line.bit
        self._update_line_qualification((line,))
        return line

    def _drop_line(self, line: WaitingLine) -> None:
        self._last_plain_line = self._last_planned_line = None
        table = self.lines_awaiting_opening if line.waiting_for_opening else self.lines
        if table.get(line.key) is line:  # Another line may have taken over this class.
            del table[line.key]
        for profile in self.groups_in(line.group_mask):
            profile.line_mask &= ~line.bit
        self.lines_by_index[line.index] = None
        self._free_indexes.append(line.index)
        self.lines_by_queue[line.queue_id].remove(line)
        if line.waiting_for_opening:
            return
        if line.reserved_for is not None:
            for agent_id in line.reserved_for:
                lines = self.reserved_lines[agent_id]
                lines.remove(line)
                if not lines:
                    del self.reserved_lines[agent_id]
            return
        self.line_bits_by_channel[line.channel_index] &= ~line.bit
        self.submit_classes.clear()

    def is_dialling_for(self, agent_id: AgentId, contact: Contact) -> bool:
        """Return whether taking the contact means dialling its customer while another is being dialled for this agent."""
        return agent_id in self.dialling_contacts and calls_customer_first(contact)


def calls_customer_first(contact: Contact) -> bool:
    """Return whether the contact's customer is dialled, instead of an offer being made, when its turn comes."""
    callback = contact.callback
    return callback is not None and callback.mode is _CUSTOMER_FIRST and callback.phase is _WAITING
