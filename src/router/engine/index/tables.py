"""Tables of the routing index, and the operations that both contacts and agents need.

``index_lines.py`` maintains the tables of contacts, ``index_agents.py`` those of agents, and ``index.py`` updates them as a whole
when a policy takes effect.
"""

from collections.abc import Iterable
from typing import Final

from router.engine.index.qualification import GroupQualification
from router.engine.state.agent import Agent, AgentGroup, AgentGroupKey, IdleOrder
from router.engine.state.capacity import CapacityKey, CapacityState
from router.engine.state.channels import Channel
from router.engine.state.contact import Contact, WaitingLine, WaitingLineKey
from router.engine.state.plan_stages import PlanStage, RoutingCriteria
from router.engine.state.records import RequirementKey
from router.engine.state.state import RoutingState
from router.model.ids import AgentId, ContactId, QueueId
from router.model.policy import Policy
from router.policy.entry_rules import EntryRuleClassifier
from router.policy.facts import AgentConditions, RankedAttributes

_NO_POLICY: Final = Policy(channels={}, queues={})


class IndexTables:
    """The tables; empty until a policy takes effect."""

    def __init__(self, state: RoutingState) -> None:
        self._state = state
        self.channels: dict[str, Channel] = {}
        self.channel_list: tuple[Channel, ...] = ()
        self.lines: dict[WaitingLineKey, WaitingLine] = {}
        self.lines_awaiting_opening: dict[WaitingLineKey, WaitingLine] = {}
        """Lines of contacts that wait for their queue to open; matching ignores them."""
        self.lines_by_index: list[WaitingLine | None] = []
        self._free_indexes: list[int] = []
        self.line_bits_by_channel: list[int] = []
        self.all_channel_bits = 0  # Bits of all channels.
        self.occupied_line_bits = 0
        self.head_order: list[tuple[int, int]] = []
        """(head rank, line index) of every line that is not empty, in the total order."""
        self.reserved_lines: dict[AgentId, list[WaitingLine]] = {}
        self.lines_by_queue: dict[QueueId, list[WaitingLine]] = {}
        self.groups: dict[AgentGroupKey, AgentGroup] = {}
        self.groups_by_index: list[AgentGroup | None] = []
        self._free_group_indexes: list[int] = []
        self.open_group_bits: list[int] = []
        self.has_global_idle_order = False
        """Whether there are more agent groups than are compared one by one; only then a global idle order is kept."""
        self.has_blocks = False
        """Whether some channel blocks another."""
        self.needs_full_refresh = False
        """Whether there are interrupts, caps or blocks; without them taking an item only closes channels, releasing only opens."""
        self.global_idle_orders: list[IdleOrder] = []
        """By channel: all agents with that channel open, longest idle first."""
        self.has_interrupts = False
        """Whether some channel interrupts another."""
        self.has_caps = False
        """Whether there is a rate cap; only then the times of contacts are kept."""
        self.freed_agents: dict[AgentId, Agent] = {}
        """Agents with more open channels than before; matching empties it."""
        self.contacts_to_match: dict[ContactId, Contact] = {}
        """Contacts that have just entered a line, or that further agents may take; matching empties it."""
        self.arriving_line: WaitingLine | None = None
        """Waiting line of the contact whose submit is being applied; None (replay, shadow): derived from the contact."""
        self.arriving_contact: Contact | None = None
        """That contact while an agent is free for it, until the same step offers it (or adds it to its line after all)."""
        self.submit_classes: dict[tuple[object, ...], WaitingLine] = {}
        """Lines of plain submits, by queue, channel and skills as submitted, that were validated under this policy."""
        self.classifier = EntryRuleClassifier(_NO_POLICY)
        self.qualification = AgentConditions(_NO_POLICY)
        """Compiled entry rules, and compiled queue conditions on agents."""
        self.dialling_contacts: dict[AgentId, ContactId] = {}
        """Customer being dialled for each agent (``customer_first`` callbacks), at most one an agent."""
        self.group_qualification = GroupQualification()
        self._declared_skills: frozenset[str] = frozenset()
        self._by_due_date = False
        self._ordering_attributes: RankedAttributes = {}
        self.capacity_states: dict[CapacityKey, CapacityState] = {}
        """Capacity states by key; unused ones are kept up to a limit."""
        self.unavailable_agents: dict[AgentId, Agent | None] = {}
        """Agents with contacts reserved for them that may have become unavailable; matching empties it."""
        self._reset_plan_tables()

    def _reset_plan_tables(self) -> None:
        self.has_plans = False
        """Whether the policy has any plan."""
        self._queues_with_plan: frozenset[QueueId] = frozenset()
        """Queues that have a plan."""
        self._stages: dict[tuple[QueueId, str | None, int, RequirementKey], PlanStage] = {}
        self._last_plain_line: (
            tuple[QueueId, str, dict[str, int], AgentId | None, WaitingLine] | None
        ) = None
        self._last_planned_line: tuple[RoutingCriteria, WaitingLine, PlanStage] | None = None

    def all_lines(self) -> list[WaitingLine]:
        """Return every line, including those of contacts that wait for their queue to open."""
        return [line for line in self.lines_by_index if line is not None]

    def groups_in(self, mask: int) -> list[AgentGroup]:
        """Return the agent groups of a mask."""
        found: list[AgentGroup] = []
        profiles = self.groups_by_index
        while mask:
            bit = mask & -mask
            mask ^= bit
            profile = profiles[bit.bit_length() - 1]
            assert profile is not None
            found.append(profile)
        return found

    def open_groups(self, line: WaitingLine, mask: int) -> list[AgentGroup]:
        """Return the agent groups of a mask; the last result is cached on the line, since it rarely changes."""
        if mask != line.cached_group_mask:
            line.cached_group_mask, line.cached_groups = mask, self.groups_in(mask)
        return line.cached_groups

    def find_agent(self, agent_id: AgentId | None) -> Agent | None:
        """Return an agent by id; None if unknown."""
        return None if agent_id is None else self._state.agents.get(agent_id)

    def _update_line_qualification(self, lines: Iterable[WaitingLine]) -> None:
        """Update which groups qualify for lines that are new or have another requirement."""
        toggled: dict[int, int] = {}
        for line in lines:
            before, after = line.group_mask, self.group_qualification.groups_for(line)
            if before != after:
                line.group_mask = after
                # Most of very many lines change for the same groups: visit each set of groups once.
                toggled[before ^ after] = toggled.get(before ^ after, 0) | line.bit
        for changed, bits in toggled.items():
            for profile in self.groups_in(changed):
                profile.line_mask ^= bits

    @staticmethod
    def _update_qualification(group: AgentGroup, line: WaitingLine) -> None:
        if group.qualifies_for(line):
            group.line_mask |= line.bit
            line.group_mask |= group.bit
        else:
            group.line_mask &= ~line.bit
            line.group_mask &= ~group.bit
