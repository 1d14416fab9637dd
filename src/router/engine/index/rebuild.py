"""Routing index: the same answers as ``eligibility.py``, without scanning. Derived; can be rebuilt from the records.

Theory of operation. Waiting contacts with the same requirement form a *waiting line*; agents with the same qualification form
an *agent group*. Every line and every group has a bit, and the relation "qualifies for" is kept as bit masks in plain integers:

* ``AgentGroup.line_mask``: the lines that the group qualifies for,
* ``WaitingLine.group_mask``: the groups that qualify for the line,
* ``open_group_bits[channel]``: the groups with an agent who has that channel open,
* ``occupied_line_bits``: the lines that are not empty.

So a new contact considers only groups that qualify and have a free agent (``open_group_bits & group_mask``), and an agent with
a newly open channel only lines that it qualifies for and that are not empty (``line_mask & occupied_line_bits``). The cost of a
match depends on the number of distinct requirements and groups involved, not on the number of contacts or agents.

The index only records what has to be matched (``freed_agents``, ``contacts_to_match``, ``unavailable_agents``); the matcher
decides. Event handlers must update the index in the same call in which they change a record, and nothing else may change
records: the derived fields would no longer agree with the primary ones, which ``Engine.check`` reports.
"""

from collections.abc import Iterable
from typing import Final

from router.engine.index.agents import AgentIndex, capacity_items
from router.engine.index.contacts import calls_customer_first
from router.engine.index.policy_diff import index_changes
from router.engine.index.qualification import GroupQualification
from router.engine.state import rate_caps as caps
from router.engine.state.agent import Agent, IdleOrder
from router.engine.state.channels import Channel
from router.engine.state.contact import Contact, WaitingLine
from router.engine.state.records import RequirementKey, requirement_key
from router.model.ids import QueueId
from router.model.policy import CrossQueueOrder, Policy
from router.model.states import ContactState
from router.policy.entry_rules import EntryRuleClassifier
from router.policy.facts import AgentConditions, ranked_attributes

_OFFERED: Final = ContactState.OFFERED
_QUEUED: Final = ContactState.QUEUED

# If the heads of more lines than this move at once, all heads are sorted again.
_FEW_HEADS: Final = 32

__all__ = ("Channel", "RoutingIndex", "calls_customer_first", "capacity_items")


class RoutingIndex(AgentIndex):
    """All indexes of one workspace."""

    def rebuild(self, policy: Policy) -> None:
        """Rebuild everything for this policy; every agent with an open channel is matched again."""
        state = self._state
        self._set_channels(policy)
        self.lines, self.lines_by_index, self._free_indexes = {}, [], []
        self.submit_classes = {}
        self.lines_awaiting_opening = {}
        self.reserved_lines, self.lines_by_queue = {}, {}
        self.capacity_states = {}
        self.occupied_line_bits, self.head_order, self._last_plain_line, self._last_planned_line = (
            0,
            [],
            None,
            None,
        )
        self.has_plans, self._stages = bool(policy.plans), {}
        self._queues_with_plan = frozenset(
            name for name, queue in policy.queues.items() if queue.plan
        )
        self.groups, self.groups_by_index, self._free_group_indexes = {}, [], []
        self.group_qualification = GroupQualification()
        self.has_global_idle_order = False
        self.open_group_bits = [0] * len(self.channel_list)
        self.global_idle_orders = [IdleOrder(channel.index) for channel in self.channel_list]
        self.freed_agents.clear()
        self.dialling_contacts = {}
        self.unavailable_agents.clear()
        for agent in sorted(state.agents.values(), key=_idle_no):
            self._rebuild_capacity(agent)
            agent.group, agent.open_channel_bits, agent.is_counted_ready = None, 0, False
            self.assign_group(agent)
        waiting: list[Contact] = []
        for contact in state.contacts.values():
            contact.waiting_line, contact.order_key = None, 0
            contact.plan_priority_s = contact.plan_priority_class = 0
            if contact.state is _QUEUED or contact.state is _OFFERED:
                waiting.append(contact)
            elif contact.callback is not None and contact.callback.for_agent_id is not None:
                self.dialling_contacts[contact.callback.for_agent_id] = contact.contact_id
        self.enqueue_many(waiting)
        # Every agent with an open channel looks at all its lines, so the contacts need not be matched as well.
        self.contacts_to_match.clear()

    def apply_policy(self, before: Policy | None, policy: Policy) -> None:
        """Put a policy into effect: update what it changes, and match again the agents that may find new contacts."""
        change = index_changes(before, policy)
        if change.everything:
            self.rebuild(policy)
            return
        if change.entry_rules:
            self.classifier = EntryRuleClassifier(policy)
        self.submit_classes = {}
        self._last_plain_line = self._last_planned_line = None
        self._by_due_date = policy.cross_queue_order is CrossQueueOrder.SERVICE_LEVEL_RISK
        if change.capacity:
            self._recompute_capacity(policy, all_agents=change.caps)
        elif change.line_settings:
            for channel in self.channel_list:
                channel.policy = policy.channels[channel.name]
        if change.skills:
            self._set_declared_skills(frozenset(policy.skills))
        self._apply_queue_policies(
            self.lines_by_queue if change.line_settings else sorted(change.changed_queues)
        )
        if change.rebroadcast_queues:
            self._update_broadcasts(change.rebroadcast_queues)
        asked_anew = change.new_queues | change.rekeyed_queues
        if asked_anew:
            self._stages = {}
            refiled = [
                line
                for name in sorted(change.rekeyed_queues)
                for line in self.lines_by_queue.get(name, ())
            ]
            self._reenqueue(change.new_queues, self._rekey_lines(refiled))
        self._free_qualified_agents(asked_anew | change.rebroadcast_queues)

    def _recompute_capacity(self, policy: Policy, *, all_agents: bool) -> None:
        """Recompute capacity after channels, units or caps have changed; waiting lines are not affected."""
        busy = self.line_bits_by_channel
        self._set_channels(policy)
        self.line_bits_by_channel = busy
        for agent in self.recompute_all():
            self.refresh_open_channels(agent)
        if all_agents:
            for agent in self._state.agents.values():
                agent.cap_opens_at_ms = None
                agent.closed_channel_bits = caps.paused_channel_bits(agent, self.channels)
                self.refresh_open_channels(agent)

    def _set_declared_skills(self, skills: frozenset[str]) -> None:
        """Set the declared skills; agents who then qualify for other lines are matched again."""
        self._declared_skills = skills
        self.group_qualification.clear_skill_masks()
        lines = [
            line
            for line in self.all_lines()
            if line.reserved_for is None or line.waiting_for_opening
        ]
        for profile in self.groups.values():
            if profile.set_declared_skills(skills):
                for line in lines:
                    self._update_qualification(profile, line)
                for order in profile.idle_orders:
                    self.freed_agents.update((agent.agent_id, agent) for agent in order)

    def _update_broadcasts(self, queue_ids: frozenset[QueueId]) -> None:
        """Update the offered contacts of queues whose number of simultaneous offers has changed."""
        for offer in self._state.offers.values():
            contact = self._state.contacts[offer.contact_id]
            if contact.waiting_line is not None and contact.queue_id in queue_ids:
                self.update_broadcast(contact)

    def _reenqueue(self, queue_ids: frozenset[QueueId], lines_to_split: list[WaitingLine]) -> None:
        """Put the contacts of these queues and lines into lines again, from their records."""
        lines = [line for name in sorted(queue_ids) for line in self.lines_by_queue.get(name, ())]
        lines += lines_to_split
        concerned = set(lines)
        found = {c.contact_id: c for line in lines for c in line.contacts_by_key.values()}
        for offer in self._state.offers.values():
            contact = self._state.contacts[offer.contact_id]
            if contact.waiting_line in concerned:
                found[contact.contact_id] = contact
        for line in lines:
            self._detach_line(line)
        for contact in found.values():
            contact.waiting_line, contact.order_key = None, 0
            contact.plan_priority_s = contact.plan_priority_class = 0
        self.enqueue_many(found.values())

    def _apply_queue_policies(self, queue_ids: Iterable[QueueId]) -> None:
        """Apply the changed settings of these queues, or of their channels, to their lines."""
        moved: list[tuple[WaitingLine, int]] = []
        for queue_id in queue_ids:
            queue = self._state.queue_policy(queue_id)
            for line in self.lines_by_queue.get(queue_id, ()):
                before, channel = line.head_rank, self.channel_list[line.channel_index]
                line.apply_policy(queue, channel.policy, by_due_date=self._by_due_date)
                if (
                    line.head_rank != before
                    and line.reserved_for is None
                    and not line.waiting_for_opening
                ):
                    moved.append((line, before))
        if len(moved) <= _FEW_HEADS:
            for line, before in moved:
                self._update_head_order(line, before)
        else:
            # The same lines are occupied; only their order has changed.
            lines = [self.lines_by_index[i] for _, i in self.head_order]
            self.head_order = sorted(
                [(line.head_rank, line.index) for line in lines if line is not None]
            )

    def _rekey_lines(self, lines: Iterable[WaitingLine]) -> list[WaitingLine]:
        """Give the lines of queues with a changed requirement their new class, as a whole. Return the lines for which that fails.

        It fails for a line whose contacts differ in their own requirements, and if another line already has the new class.
        """
        left: list[WaitingLine] = []
        whole: list[WaitingLine] = []
        asking: list[WaitingLine] = []
        known: dict[tuple[RequirementKey, RequirementKey], RequirementKey] = {}
        for line in lines:
            if (
                line.contact_requirement is None
                or line.waiting_for_opening
                or line.alternatives
                or line.queue_id in self._queues_with_plan
            ):
                left.append(line)
            else:
                del self.lines[line.key]
                whole.append(line)
        for line in whole:
            queue_id, channel, _, only, also, selection = line.key
            assert line.contact_requirement is not None
            queue = self._state.queue_policy(queue_id)
            both = (tuple(queue.requires.items()), line.contact_requirement)
            needs = known.get(both)
            if needs is None:
                needs = known[both] = requirement_key(queue, dict(line.contact_requirement))
            key = (queue_id, channel, needs, only, also, selection)
            if key in self.lines:
                left.append(line)
                continue
            self.lines[key] = line
            if needs != line.requirement:
                line.set_key(key)
                if line.reserved_for is None:
                    asking.append(line)
        self._update_line_qualification(asking)
        return left

    def _detach_line(self, line: WaitingLine) -> None:
        """Drop a line whose contacts are about to be put into lines again."""
        if line.head_rank and line.reserved_for is None and not line.waiting_for_opening:
            before, line.head_rank, line.first_key = line.head_rank, 0, 0
            self._update_head_order(line, before)
        self._drop_line(line)

    def _free_qualified_agents(self, queue_ids: frozenset[QueueId]) -> None:
        """Match again the agents with an open channel who qualify for non-empty lines of these queues."""
        for name in sorted(queue_ids):
            for line in self.lines_by_queue.get(name, ()):
                if not line.head_rank or line.waiting_for_opening:
                    continue
                i = line.channel_index
                if line.reserved_for is not None:
                    agents = self.reserved_agents(line, line.reserved_for)
                    self.freed_agents.update(
                        (a.agent_id, a) for a in agents if a.open_channel_bits >> i & 1
                    )
                    continue
                for profile in self.groups_in(line.group_mask & self.open_group_bits[i]):
                    self.freed_agents.update(
                        (agent.agent_id, agent) for agent in profile.idle_orders[i]
                    )

    def _set_channels(self, policy: Policy) -> None:
        self.channels = {
            name: Channel(name, index, channel)
            for index, (name, channel) in enumerate(policy.channels.items())
        }
        self.channel_list = tuple(self.channels.values())
        for channel in self.channel_list:
            for blocked in channel.policy.blocks:
                if blocked in self.channels:
                    self.channels[blocked].blocked_by |= channel.bit
            for name in channel.policy.interrupts:
                if name in self.channels:
                    channel.interrupts |= self.channels[name].bit
        self.has_interrupts = any(channel.interrupts for channel in self.channel_list)
        self.has_caps = policy.agents.rate_cap is not None or any(
            channel.policy.rate_cap is not None for channel in self.channel_list
        )
        self.has_blocks = any(channel.blocked_by for channel in self.channel_list)
        self.needs_full_refresh = self.has_interrupts or self.has_caps or self.has_blocks
        self.line_bits_by_channel = [0] * len(self.channel_list)
        self.all_channel_bits = (1 << len(self.channel_list)) - 1
        self._declared_skills = frozenset(policy.skills)
        self.classifier = EntryRuleClassifier(policy)
        self.qualification = AgentConditions(policy)
        self._by_due_date = policy.cross_queue_order is CrossQueueOrder.SERVICE_LEVEL_RISK
        self._ordering_attributes = ranked_attributes(policy)


def _idle_no(agent: Agent) -> int:
    return agent.idle_number
