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

from router.core import caps
from router.core.fact_order import ordering_facts
from router.core.index_agents import IndexAgents, holding
from router.core.index_lines import calls_first
from router.core.index_tables import Channel
from router.core.lines import Line, Needs, needs_of
from router.core.policy_change import change_between
from router.core.profiles import IdleOrder
from router.core.state import Agent, Contact
from router.core.traits import Traits
from router.model.ids import QueueId
from router.model.policy import AcrossQueues, Policy
from router.model.states import ContactState
from router.rules.entry import Classifier
from router.rules.qualification import Qualification

_OFFERED: Final = ContactState.OFFERED
_QUEUED: Final = ContactState.QUEUED

# If the heads of more lines than this move at once, all heads are sorted again.
_FEW_HEADS: Final = 32

__all__ = ("Channel", "Index", "calls_first", "holding")


class Index(IndexAgents):
    """All indexes of one workspace."""

    def rebuild(self, policy: Policy) -> None:
        """Rebuild everything for this policy; every agent with an open channel is matched again."""
        state = self._state
        self._take_channels(policy)
        self.lines, self.by_index, self._free_indexes = {}, [], []
        self.classes = {}
        self.held_lines = {}
        self.private, self.queue_lines = {}, {}
        self.hands = {}
        self.busy_lines, self.heads, self._memo, self._planned_memo = 0, [], None, None
        self.has_plans, self._stages = bool(policy.plans), {}
        self._planned = frozenset(name for name, queue in policy.queues.items() if queue.plan)
        self.profiles, self.profile_list, self._free_profiles = {}, [], []
        self.traits = Traits()
        self.many_kinds = False
        self.open_profiles = [0] * len(self.channel_list)
        self.idle = [IdleOrder(channel.index) for channel in self.channel_list]
        self.freed.clear()
        self.dialling = {}
        self.left.clear()
        for agent in sorted(state.agents.values(), key=_idle_no):
            self._take_load(agent)
            agent.profile, agent.room, agent.counted_ready = None, 0, False
            self.enlist(agent)
        waiting: list[Contact] = []
        for contact in state.contacts.values():
            contact.line, contact.key = None, 0
            contact.raised_s = contact.raised_class = 0
            if contact.state is _QUEUED or contact.state is _OFFERED:
                waiting.append(contact)
            elif contact.callback is not None and contact.callback.for_agent_id is not None:
                self.dialling[contact.callback.for_agent_id] = contact.contact_id
        self.fill(waiting)
        # Every agent with an open channel looks at all its lines, so the contacts need not be matched as well.
        self.seeking.clear()

    def follow(self, before: Policy | None, policy: Policy) -> None:
        """Put a policy into effect: update what it changes, and match again the agents that may find new contacts."""
        change = change_between(before, policy)
        if change.whole:
            self.rebuild(policy)
            return
        if change.entry:
            self.classifier = Classifier(policy)
        self.classes = {}
        self._memo = self._planned_memo = None
        self._by_due_date = policy.across_queues is AcrossQueues.RISK
        if change.capacity:
            self._weigh_anew(policy, everybody=change.caps)
        elif change.lines:
            for channel in self.channel_list:
                channel.policy = policy.channels[channel.name]
        if change.skills:
            self._declare(frozenset(policy.skills))
        self._renew(self.queue_lines if change.lines else sorted(change.renewed))
        if change.shown:
            self._show(change.shown)
        asked_anew = change.replaced | change.refiled
        if asked_anew:
            self._stages = {}
            refiled = [
                line for name in sorted(change.refiled) for line in self.queue_lines.get(name, ())
            ]
            self._replace(change.replaced, self._refile(refiled))
        self._let_look(asked_anew | change.shown)

    def _weigh_anew(self, policy: Policy, *, everybody: bool) -> None:
        """Recompute capacity after channels, units or caps have changed; waiting lines are not affected."""
        busy = self.channel_lines
        self._take_channels(policy)
        self.channel_lines = busy
        for agent in self.weigh_everybody():
            self.refresh(agent)
        if everybody:
            for agent in self._state.agents.values():
                agent.cap_until_ms = None
                agent.closed = caps.paused(agent, self.channels)
                self.refresh(agent)

    def _declare(self, skills: frozenset[str]) -> None:
        """Set the declared skills; agents who then qualify for other lines are matched again."""
        self._declared = skills
        self.traits.forget_skills()
        lines = [line for line in self.all_lines() if line.only is None or line.held]
        for profile in self.profiles.values():
            if profile.declare(skills):
                for line in lines:
                    self._meet(profile, line)
                for order in profile.idle:
                    self.freed.update((agent.agent_id, agent) for agent in order)

    def _show(self, queue_ids: frozenset[QueueId]) -> None:
        """Update the offered contacts of queues whose number of simultaneous offers has changed."""
        for offer in self._state.offers.values():
            contact = self._state.contacts[offer.contact_id]
            if contact.line is not None and contact.queue_id in queue_ids:
                self.show(contact)

    def _replace(self, queue_ids: frozenset[QueueId], left: list[Line]) -> None:
        """Put the contacts of these queues and lines into lines again, from their records."""
        lines = [line for name in sorted(queue_ids) for line in self.queue_lines.get(name, ())]
        lines += left
        concerned = set(lines)
        found = {c.contact_id: c for line in lines for c in line.by_key.values()}
        for offer in self._state.offers.values():
            contact = self._state.contacts[offer.contact_id]
            if contact.line in concerned:
                found[contact.contact_id] = contact
        for line in lines:
            self._forget(line)
        for contact in found.values():
            contact.line, contact.key = None, 0
            contact.raised_s = contact.raised_class = 0
        self.fill(found.values())

    def _renew(self, queue_ids: Iterable[QueueId]) -> None:
        """Apply the changed settings of these queues, or of their channels, to their lines."""
        moved: list[tuple[Line, int]] = []
        for queue_id in queue_ids:
            queue = self._state.queue_policy(queue_id)
            for line in self.queue_lines.get(queue_id, ()):
                before, channel = line.head, self.channel_list[line.channel_index]
                line.renew(queue, channel.policy, by_due_date=self._by_due_date)
                if line.head != before and line.only is None and not line.held:
                    moved.append((line, before))
        if len(moved) <= _FEW_HEADS:
            for line, before in moved:
                self._head_moved(line, before)
        else:
            # The same lines are occupied; only their order has changed.
            lines = [self.by_index[i] for _, i in self.heads]
            self.heads = sorted([(line.head, line.index) for line in lines if line is not None])

    def _refile(self, lines: Iterable[Line]) -> list[Line]:
        """Give the lines of queues with a changed requirement their new class, as a whole. Return the lines for which that fails.

        It fails for a line whose contacts differ in their own requirements, and if another line already has the new class.
        """
        left: list[Line] = []
        whole: list[Line] = []
        asking: list[Line] = []
        known: dict[tuple[Needs, Needs], Needs] = {}
        for line in lines:
            if line.own is None or line.held or line.also or line.queue_id in self._planned:
                left.append(line)
            else:
                del self.lines[line.key]
                whole.append(line)
        for line in whole:
            queue_id, channel, _, only, also, selection = line.key
            assert line.own is not None
            queue = self._state.queue_policy(queue_id)
            both = (tuple(queue.requires.items()), line.own)
            needs = known.get(both)
            if needs is None:
                needs = known[both] = needs_of(queue, dict(line.own))
            key = (queue_id, channel, needs, only, also, selection)
            if key in self.lines:
                left.append(line)
                continue
            self.lines[key] = line
            if needs != line.needs:
                line.ask(key)
                if line.only is None:
                    asking.append(line)
        self._meet_all(asking)
        return left

    def _forget(self, line: Line) -> None:
        """Drop a line whose contacts are about to be put into lines again."""
        if line.head and line.only is None and not line.held:
            before, line.head, line.first = line.head, 0, 0
            self._head_moved(line, before)
        self._drop_line(line)

    def _let_look(self, queue_ids: frozenset[QueueId]) -> None:
        """Match again the agents with an open channel who qualify for non-empty lines of these queues."""
        for name in sorted(queue_ids):
            for line in self.queue_lines.get(name, ()):
                if not line.head or line.held:
                    continue
                i = line.channel_index
                if line.only is not None:
                    agents = self.kept_for(line, line.only)
                    self.freed.update((a.agent_id, a) for a in agents if a.room >> i & 1)
                    continue
                for profile in self.profiles_in(line.profile_mask & self.open_profiles[i]):
                    self.freed.update((agent.agent_id, agent) for agent in profile.idle[i])

    def _take_channels(self, policy: Policy) -> None:
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
        self.has_caps = policy.agents.cap is not None or any(
            channel.policy.cap is not None for channel in self.channel_list
        )
        self.has_blocks = any(channel.blocked_by for channel in self.channel_list)
        self.is_intricate = self.has_interrupts or self.has_caps or self.has_blocks
        self.channel_lines = [0] * len(self.channel_list)
        self.every_channel = (1 << len(self.channel_list)) - 1
        self._declared = frozenset(policy.skills)
        self.classifier = Classifier(policy)
        self.qualification = Qualification(policy)
        self._by_due_date = policy.across_queues is AcrossQueues.RISK
        self._ordering = ordering_facts(policy)


def _idle_no(agent: Agent) -> int:
    return agent.idle_no
