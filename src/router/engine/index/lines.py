"""Index of waiting lines: finds or creates the line of a requirement, and keeps the non-empty lines in order.

A line is created for its first contact. Empty lines are kept for their next contact, up to a limit, except lines that are
reserved for agents and lines that wait for the opening of their queue.

The line of a requirement is looked up twice for most contacts: by the command handler, which needs its text for the event, and
by the event handler. So the last answer is remembered, and for plans the requirement of each step as well.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from typing import Final

from router.engine.index.qualification import QualificationIndex
from router.engine.state.channels import ChannelTable
from router.engine.state.contact import Contact, WaitingLine, requirement_key
from router.engine.state.plan_stages import (
    NO_PLAN,
    PlanStage,
    RoutingCriteria,
    effective_plan,
    effective_plan_name,
    exclusive_agents,
    routing_criteria,
    stage_requirement,
)
from router.engine.state.records import RequirementKey, WaitingLineKey
from router.engine.state.workspace import WorkspaceRecords
from router.model.policy import CrossQueueOrder, FactValue, Policy
from router.model.states import AgentId, QueueId
from router.policy.customer_classes import NO_CLASS, NO_STEPS, CustomerClass

# Empty lines are kept for the next contact of their class, up to this many.
_EMPTY_LINES_MAX: Final = 2_000
_NO_SKILLS: Final[dict[str, int]] = {}
_STAGES_MAX: Final = 10_000
_CLASSES_MAX: Final = 10_000
# If the heads of more lines than this move at once, all heads are sorted again.
_FEW_HEADS: Final = 32


class LineIndex:
    """All waiting lines of a workspace, by requirement class, queue and head."""

    def __init__(self, records: WorkspaceRecords, channels: ChannelTable, qualification: QualificationIndex) -> None:
        self._records = records
        self._channels = channels
        self._qualification = qualification
        self.by_key: dict[WaitingLineKey, WaitingLine] = {}
        self.awaiting_opening: dict[WaitingLineKey, WaitingLine] = {}
        """Lines of contacts that wait for their queue to open; matching ignores them."""
        self.by_queue: dict[QueueId, list[WaitingLine]] = {}
        self.bits_by_channel: list[int] = []
        self.occupied_bits = 0
        """Bits of the lines that are not empty; like ``head_order`` without reserved lines and lines awaiting an opening."""
        self.head_order: list[tuple[int, int]] = []
        """(head rank, line index) of every line that is not empty, in the total order."""
        self.submit_classes: dict[tuple[object, ...], WaitingLine] = {}
        """Lines of plain submits, by queue, channel and skills as submitted, that were validated under this policy."""
        self.has_plans = False
        """Whether the policy has any plan."""
        self._queues_with_plan: frozenset[QueueId] = frozenset()
        self._by_due_date = False
        self.tells_customers_apart = False
        """Whether the policy has conditions on facts of customers, in queues or plans."""
        self._stages: dict[tuple[QueueId, str | None, int, RequirementKey, frozenset[int]], PlanStage] = {}
        self._last_plain: tuple[QueueId, str, dict[str, int], AgentId | None, CustomerClass | None, WaitingLine] | None = None
        self._last_planned: tuple[RoutingCriteria, WaitingLine, PlanStage] | None = None

    def reset(self, policy: Policy) -> None:
        """Drop all lines and adopt a policy."""
        self.by_key, self.awaiting_opening, self.by_queue = {}, {}, {}
        self.bits_by_channel = [0] * len(self._channels.by_index)
        self.occupied_bits, self.head_order = 0, []
        self._queues_with_plan = frozenset(name for name, queue in policy.queues.items() if queue.plan)
        self.has_plans = bool(policy.plans)
        self.tells_customers_apart = self._qualification.conditions.customers.is_used
        self._stages = {}
        self.set_order(policy)

    def set_order(self, policy: Policy) -> None:
        """Adopt the order across queues, and drop what depends on the previous policy: remembered lines and submit classes."""
        self.submit_classes = {}
        self._last_plain = self._last_planned = None
        self._by_due_date = policy.cross_queue_order is CrossQueueOrder.SERVICE_LEVEL_RISK

    # --- lookup -------------------------------------------------------------------------------------
    def line_for(self, contact: Contact) -> WaitingLine:
        """Return the line of the contact's requirement class, created if necessary."""
        if contact.waiting_for_opening:
            return self._line_awaiting_opening(contact)
        if self.has_plans and (contact.plan is not None or contact.queue_id in self._queues_with_plan):
            return self.line_for_requirements(routing_criteria(contact))
        customer = self._class_of(contact.queue_id, contact.customer_facts) if self.tells_customers_apart else NO_CLASS
        return self._plain_line(contact.queue_id, contact.channel, contact.skills, contact.preferred_agent_id, customer)

    def queue_default_line(self, queue_id: QueueId, channel: str) -> WaitingLine:
        """Return the line of contacts with the queue's requirement and no other; of any class of customers."""
        customer = self._qualification.conditions.customers.any_class(queue_id) if self.tells_customers_apart else NO_CLASS
        return self._plain_line(queue_id, channel, _NO_SKILLS, None, customer)

    def line_without_plan(
        self, queue_id: QueueId, channel: str, skills: dict[str, int], customer_facts: Mapping[str, FactValue]
    ) -> WaitingLine:
        """Return the line for the queue's requirement and these skills, without plan and preferred agent."""
        customer = self._class_of(queue_id, customer_facts) if self.tells_customers_apart else NO_CLASS
        return self._plain_line(queue_id, channel, skills, None, customer)

    def _class_of(self, queue_id: QueueId, facts: Mapping[str, FactValue]) -> CustomerClass:
        return self._qualification.conditions.customers.class_of(queue_id, facts)

    def inapplicable_steps(self, criteria: RoutingCriteria) -> frozenset[int]:
        """Return the steps of the plan that change nothing for the customer of these requirements."""
        policy = self._records.policy
        if not self.tells_customers_apart or policy is None:
            return NO_STEPS
        name = effective_plan_name(policy, criteria.queue_id, criteria.plan)
        return self._qualification.conditions.customers.inapplicable_steps(name, criteria.customer_facts)

    def first_applicable(self, criteria: RoutingCriteria) -> RoutingCriteria:
        """Return the criteria in the first step, from this one on, that applies to the customer; the last step always does."""
        left_out = self.inapplicable_steps(criteria)
        policy = self._records.policy
        if not left_out or policy is None:
            return criteria
        step, last = criteria.step, len(effective_plan(policy, criteria.queue_id, criteria.plan)) - 1
        while step < last and step in left_out:
            step += 1
        return criteria._replace(step=step)

    def line_for_requirements(self, criteria: RoutingCriteria) -> WaitingLine:
        """Return the line for these requirements."""
        policy = self._records.policy
        plan = NO_PLAN
        if self.has_plans and policy is not None:
            known = self._last_planned
            if known is not None and known[0] == criteria:
                return known[1]
            plan = effective_plan(policy, criteria.queue_id, criteria.plan)
        customer = self._class_of(criteria.queue_id, criteria.customer_facts) if self.tells_customers_apart else NO_CLASS
        if not plan:
            return self._plain_line(criteria.queue_id, criteria.channel, criteria.skills, criteria.reserved_agent_id, customer)
        stage = self.plan_stage(criteria)
        only = exclusive_agents(plan, criteria, self.inapplicable_steps(criteria))
        key = _planned_key(criteria, stage, only, customer)
        line = self.by_key.get(key) or self._make_line(key)
        line.contact_requirement = None
        self._last_planned = (criteria, line, stage)
        return line

    def requirement_text(self, criteria: RoutingCriteria) -> str:
        """Return the text of the requirement class that events name; it keeps no line that has no other use."""
        line = self.line_for_requirements(criteria)
        self.drop_if_unused(line)
        return line.requirement_text

    def line_of_assigned(self, contact: Contact) -> WaitingLine:
        """Return the line whose settings apply to an offer of an assigned contact, which belongs to no line itself."""
        line = self.line_for(contact)
        self.drop_if_unused(line)
        return line

    def plan_stage(self, criteria: RoutingCriteria) -> PlanStage:
        """Return the requirement of a plan step, preferred agents left aside."""
        known = self._last_planned
        if known is not None and known[0] == criteria:
            return known[2]
        records = self._records
        assert records.policy is not None
        own = criteria.plan
        inapplicable = self.inapplicable_steps(criteria)
        key = (criteria.queue_id, own, criteria.step, tuple(sorted(criteria.skills.items())), inapplicable)
        stage = self._stages.get(key)
        if stage is None:
            if len(self._stages) >= _STAGES_MAX:
                self._stages.clear()
            plan = effective_plan(records.policy, criteria.queue_id, own)
            queue = records.queue_policy(criteria.queue_id)
            stage = stage_requirement(queue, plan, criteria.step, criteria.skills, inapplicable)
            self._stages[key] = stage
        return stage

    def apply_plan_priority(self, contact: Contact) -> None:
        """Set the priority and class that the contact's plan adds."""
        contact.plan_priority_s = contact.plan_priority_class = 0
        if contact.plan is not None or contact.queue_id in self._queues_with_plan:
            stage = self.plan_stage(routing_criteria(contact))
            contact.plan_priority_s = stage.added_priority_s
            contact.plan_priority_class = stage.priority_class

    def cache_class(self, key: tuple[object, ...], line: WaitingLine) -> None:
        """Remember that a submit of this class is valid and leads to this line."""
        if len(self.submit_classes) >= _CLASSES_MAX:
            self.submit_classes.clear()
        self.submit_classes[key] = line

    def _plain_line(
        self, queue_id: QueueId, channel: str, skills: dict[str, int], reserved_for: AgentId | None, customer: CustomerClass | None
    ) -> WaitingLine:
        """Return the line of a requirement class that no plan changes."""
        last = self._last_plain
        if (
            last is not None
            and last[2] is skills
            and last[0] == queue_id
            and last[1] == channel
            and last[3] == reserved_for
            and last[4] == customer
        ):
            return last[5]
        queue = self._records.queue_policy(queue_id)
        requirement = requirement_key(queue, skills)
        only = None if reserved_for is None else (reserved_for,)
        key: WaitingLineKey = (queue_id, channel, requirement, only, (), None, customer)
        line = self.by_key.get(key)
        if line is None:
            line = self._make_line(key)
            line.contact_requirement = tuple(sorted(skills.items())) if queue.requires else requirement
        elif queue.requires and line.contact_requirement is not None and line.contact_requirement != tuple(sorted(skills.items())):
            # One contact requires a skill itself that only the queue requires of another.
            line.contact_requirement = None
        self._last_plain = (queue_id, channel, skills, reserved_for, customer, line)
        return line

    def _line_awaiting_opening(self, contact: Contact) -> WaitingLine:
        """Return the line of the same requirement for contacts that wait for their queue to open."""
        policy, criteria = self._records.policy, routing_criteria(contact)
        queue_id = criteria.queue_id
        plan = NO_PLAN if policy is None else effective_plan(policy, queue_id, criteria.plan)
        only = exclusive_agents(plan, criteria, self.inapplicable_steps(criteria))
        customer = self._class_of(queue_id, criteria.customer_facts)
        if plan:
            key = _planned_key(criteria, self.plan_stage(criteria), only, customer)
        else:
            requirement = requirement_key(self._records.queue_policy(queue_id), criteria.skills)
            key = (queue_id, criteria.channel, requirement, only, (), None, customer)
        return self.awaiting_opening.get(key) or self._make_line(key, waiting_for_opening=True)

    # --- creating and dropping ------------------------------------------------------------------------
    def _make_line(self, key: WaitingLineKey, *, waiting_for_opening: bool = False) -> WaitingLine:
        channel = self._channels.by_name[key[1]]
        line = WaitingLine(
            key,
            index=self._qualification.new_line_index(),
            channel_index=channel.index,
            queue=self._records.queue_policy(key[0]),
            channel_policy=channel.policy,
            by_due_date=self._by_due_date,
            waiting_for_opening=waiting_for_opening,
        )
        self._set_order_by(line)
        (self.awaiting_opening if waiting_for_opening else self.by_key)[key] = line
        self.by_queue.setdefault(line.queue_id, []).append(line)
        if not waiting_for_opening and line.reserved_for is None:
            self.bits_by_channel[channel.index] |= line.bit
        self._qualification.add_line(line)
        return line

    def _set_order_by(self, line: WaitingLine) -> None:
        """Set how agents are ordered by attributes for the customers of a line."""
        if line.queue.order_by:
            line.order_by = self._qualification.conditions.customers.order_of(line.queue_id, line.queue, line.customer)

    def drop_if_unused(self, line: WaitingLine) -> None:
        """Drop a line that no contact belongs to if it is not worth keeping; its attributes stay readable."""
        if not line.reference_count and (
            line.reserved_for is not None or line.waiting_for_opening or len(self.by_key) > _EMPTY_LINES_MAX
        ):
            self._drop(line)

    def release(self, line: WaitingLine) -> None:
        """Remove one contact's reference to a line, and drop the line if it is not worth keeping."""
        line.reference_count -= 1
        self.drop_if_unused(line)

    def detach(self, line: WaitingLine) -> None:
        """Drop a line whose contacts are about to be put into lines again."""
        before, line.head_rank, line.first_key = line.head_rank, 0, 0
        if before:
            self.head_moved(line, before)
        self._drop(line)

    def _drop(self, line: WaitingLine) -> None:
        self._last_plain = self._last_planned = None
        table = self.awaiting_opening if line.waiting_for_opening else self.by_key
        if table.get(line.key) is line:  # Another line may have taken over this class.
            del table[line.key]
        self._qualification.drop_line(line)
        self.by_queue[line.queue_id].remove(line)
        if not line.waiting_for_opening and line.reserved_for is None:
            self.bits_by_channel[line.channel_index] &= ~line.bit
            self.submit_classes.clear()

    # --- order ----------------------------------------------------------------------------------------
    def head_moved(self, line: WaitingLine, before: int) -> None:
        """Update the order of heads after the head rank of a line has changed from ``before`` (0: the line was empty)."""
        if line.reserved_for is not None or line.waiting_for_opening:
            return
        heads = self.head_order
        if before:
            del heads[bisect_left(heads, (before, line.index))]
        else:
            self.occupied_bits |= line.bit
        if line.head_rank:
            insort(heads, (line.head_rank, line.index))
        else:
            self.occupied_bits &= ~line.bit

    # --- changes of policy ----------------------------------------------------------------------------
    def apply_queue_policies(self, queue_ids: Iterable[QueueId]) -> None:
        """Apply the changed settings of these queues, or of their channels, to their lines."""
        moved: list[tuple[WaitingLine, int]] = []
        for queue_id in queue_ids:
            queue = self._records.queue_policy(queue_id)
            for line in self.by_queue.get(queue_id, ()):
                before, channel = line.head_rank, self._channels.by_index[line.channel_index]
                line.apply_policy(queue, channel.policy, by_due_date=self._by_due_date)
                line.order_by = ()
                self._set_order_by(line)
                if line.head_rank != before:
                    moved.append((line, before))
        if len(moved) <= _FEW_HEADS:
            for line, before in moved:
                self.head_moved(line, before)
            return
        # The same lines are occupied; only their order has changed.
        by_index = self._qualification.lines_by_index
        occupied = [by_index[i] for _, i in self.head_order]
        self.head_order = sorted([(line.head_rank, line.index) for line in occupied if line is not None])

    def rekey(self, queue_ids: Iterable[QueueId]) -> list[WaitingLine]:
        """Give the lines of queues with a changed requirement their new class, as a whole. Return the lines for which that fails.

        It fails for a line whose contacts differ in their own requirements, and if another line already has the new class.
        """
        self._stages = {}
        failed: list[WaitingLine] = []
        rekeyed: list[WaitingLine] = []
        for line in [line for name in queue_ids for line in self.by_queue.get(name, ())]:
            if (
                line.contact_requirement is None
                or line.waiting_for_opening
                or line.alternatives
                or line.queue_id in self._queues_with_plan
            ):
                failed.append(line)
            else:
                del self.by_key[line.key]
                rekeyed.append(line)
        changed: list[WaitingLine] = []
        known: dict[tuple[RequirementKey, RequirementKey], RequirementKey] = {}
        for line in rekeyed:
            queue_id, channel, _, only, alternatives, selection, customer = line.key
            own = line.contact_requirement
            assert own is not None
            queue = self._records.queue_policy(queue_id)
            both = (tuple(queue.requires.items()), own)
            requirement = known.get(both)
            if requirement is None:
                requirement = known[both] = requirement_key(queue, dict(own))
            key = (queue_id, channel, requirement, only, alternatives, selection, customer)
            if key in self.by_key:
                failed.append(line)
                continue
            self.by_key[key] = line
            if requirement != line.requirement:
                line.set_key(key)
                if line.reserved_for is None:
                    changed.append(line)
        self._qualification.update_lines(changed)
        return failed


def _planned_key(
    criteria: RoutingCriteria, stage: PlanStage, only: tuple[AgentId, ...] | None, customer: CustomerClass
) -> WaitingLineKey:
    return (criteria.queue_id, criteria.channel, stage.requirement, only, stage.alternatives, stage.selection, customer)
