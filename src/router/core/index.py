"""The indexes: the same answers as ``eligibility.py``, fast. Everything here is derived and can be rebuilt from the records.

Lines and profiles meet in bit masks: ``profile.mask`` has the lines its agents are qualified for, ``line.profile_mask`` the
profiles that are qualified for it, ``open_profiles[channel]`` the profiles with somebody who has room, ``busy_lines`` the lines
in which somebody waits. So an arrival looks only at profiles with room for it, and a freed agent only at lines that he
serves and in which somebody waits.

The tables are in ``index_tables.py``; ``index_lines.py`` keeps those of contacts, ``index_agents.py`` those of agents.
"""

from router.core.fact_order import ordering_facts
from router.core.index_agents import IndexAgents, holding
from router.core.index_lines import IndexLines, calls_first
from router.core.index_tables import Channel
from router.core.profiles import IdleOrder
from router.core.state import Agent
from router.model.policy import AcrossQueues, Policy
from router.model.states import ContactState
from router.rules.entry import Classifier
from router.rules.qualification import Qualification

__all__ = ("Channel", "Index", "calls_first", "holding")


class Index(IndexLines, IndexAgents):
    """All indexes of one workspace."""

    def rebuild(self, policy: Policy) -> None:
        """Everything anew, under this policy; every waiting contact and every agent gets another look."""
        state = self._state
        self._take_channels(policy)
        self.lines, self.by_index, self._free_indexes = {}, [], []
        self.classes = {}
        self.held_lines = {}
        self.private, self.queue_lines = {}, {}
        self.busy_lines, self.heads, self._memo, self._planned_memo = 0, [], None, None
        self.has_plans, self._stages = bool(policy.plans), {}
        self._planned = frozenset(name for name, queue in policy.queues.items() if queue.plan)
        self.profiles, self.profile_list, self._free_profiles = {}, [], []
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
        for contact in state.contacts.values():
            contact.line, contact.key = None, 0
            contact.raised_s = contact.raised_class = 0
            if contact.state is ContactState.QUEUED or contact.state is ContactState.OFFERED:
                self.place(contact)
            elif contact.callback is not None and contact.callback.for_agent_id is not None:
                self.dialling[contact.callback.for_agent_id] = contact.contact_id
        # Every agent with room looks at every line he serves: no contact needs to look as well.
        self.seeking.clear()

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
        self._limits = {}
        self._declared = frozenset(policy.skills)
        self.classifier = Classifier(policy)
        self.qualification = Qualification(policy)
        self._by_due_date = policy.across_queues is AcrossQueues.RISK
        self._ordering = ordering_facts(policy)


def _idle_no(agent: Agent) -> int:
    return agent.idle_no
