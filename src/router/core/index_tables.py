"""Tables of the routing index, and the operations that both contacts and agents need.

``index_lines.py`` maintains the tables of contacts, ``index_agents.py`` those of agents, and ``index.py`` updates them as a whole
when a policy takes effect.
"""

from collections.abc import Iterable
from typing import Final

from router.core.fact_order import OrderingFacts
from router.core.hands import Hands, HandsKey
from router.core.lines import Line, LineKey, Needs
from router.core.plans import Asks, Stage
from router.core.profiles import IdleOrder, Profile, ProfileKey
from router.core.state import Agent, Contact, RoutingState
from router.core.traits import Traits
from router.model.ids import AgentId, ContactId, QueueId
from router.model.policy import ChannelPolicy, Policy
from router.rules.entry import Classifier
from router.rules.qualification import Qualification

_NO_POLICY: Final = Policy(channels={}, queues={})


class Channel:
    """A channel of the policy, with its bit and index."""

    __slots__ = ("bit", "blocked_by", "index", "interrupts", "name", "policy", "units")

    def __init__(self, name: str, index: int, policy: ChannelPolicy) -> None:
        self.name = name
        self.index = index
        self.bit = 1 << index
        self.policy = policy
        self.units = policy.units
        self.blocked_by = 0
        """Bits of the channels that block this one while an agent has an item of them."""
        self.interrupts = 0
        """Bits of the channels whose items release their capacity while an agent has an item of this one."""


class IndexTables:
    """The tables; empty until a policy takes effect."""

    def __init__(self, state: RoutingState) -> None:
        self._state = state
        self.channels: dict[str, Channel] = {}
        self.channel_list: tuple[Channel, ...] = ()
        self.lines: dict[LineKey, Line] = {}
        self.held_lines: dict[LineKey, Line] = {}
        """Lines of contacts that wait for their queue to open; matching ignores them."""
        self.by_index: list[Line | None] = []
        self._free_indexes: list[int] = []
        self.channel_lines: list[int] = []
        self.every_channel = 0  # Bits of all channels.
        self.busy_lines = 0
        self.heads: list[tuple[int, int]] = []
        """(head rank, line index) of every line that is not empty, in the total order."""
        self.private: dict[AgentId, list[Line]] = {}
        self.queue_lines: dict[QueueId, list[Line]] = {}
        self.profiles: dict[ProfileKey, Profile] = {}
        self.profile_list: list[Profile | None] = []
        self._free_profiles: list[int] = []
        self.open_profiles: list[int] = []
        self.many_kinds = False
        """Whether there are more agent groups than are compared one by one; only then a global idle order is kept."""
        self.has_blocks = False
        """Whether some channel blocks another."""
        self.is_intricate = False
        """Whether there are interrupts, caps or blocks; without them taking an item only closes channels, releasing only opens."""
        self.idle: list[IdleOrder] = []
        """By channel: all agents with that channel open, longest idle first."""
        self.has_interrupts = False
        """Whether some channel interrupts another."""
        self.has_caps = False
        """Whether there is a rate cap; only then the times of contacts are kept."""
        self.freed: dict[AgentId, Agent] = {}
        """Agents with more open channels than before; matching empties it."""
        self.seeking: dict[ContactId, Contact] = {}
        """Contacts that have just entered a line, or that further agents may take; matching empties it."""
        self.arriving: Line | None = None
        """Waiting line of the contact whose submit is being applied; None (replay, shadow): derived from the contact."""
        self.newcomer: Contact | None = None
        """That contact while an agent is free for it, until the same step offers it (or adds it to its line after all)."""
        self.classes: dict[tuple[object, ...], Line] = {}
        """Lines of plain submits, by queue, channel and skills as submitted, that were validated under this policy."""
        self.classifier = Classifier(_NO_POLICY)
        self.qualification = Qualification(_NO_POLICY)
        """Compiled entry rules, and compiled queue conditions on agents."""
        self.dialling: dict[AgentId, ContactId] = {}
        """Customer being dialled for each agent (``customer_first`` callbacks), at most one an agent."""
        self.traits = Traits()
        self._declared: frozenset[str] = frozenset()
        self._by_due_date = False
        self._ordering: OrderingFacts = {}
        self.hands: dict[HandsKey, Hands] = {}
        """Capacity states by key; unused ones are kept up to a limit."""
        self.left: dict[AgentId, Agent | None] = {}
        """Agents with contacts reserved for them that may have become unavailable; matching empties it."""
        self._make_tables_of_plans()

    def _make_tables_of_plans(self) -> None:
        self.has_plans = False
        """Whether the policy has any plan."""
        self._planned: frozenset[QueueId] = frozenset()
        """Queues that have a plan."""
        self._stages: dict[tuple[QueueId, str | None, int, Needs], Stage] = {}
        self._memo: tuple[QueueId, str, dict[str, int], AgentId | None, Line] | None = None
        self._planned_memo: tuple[Asks, Line, Stage] | None = None

    def all_lines(self) -> list[Line]:
        """Return every line, including those of contacts that wait for their queue to open."""
        return [line for line in self.by_index if line is not None]

    def profiles_in(self, mask: int) -> list[Profile]:
        """Return the agent groups of a mask."""
        found: list[Profile] = []
        profiles = self.profile_list
        while mask:
            bit = mask & -mask
            mask ^= bit
            profile = profiles[bit.bit_length() - 1]
            assert profile is not None
            found.append(profile)
        return found

    def open_to(self, line: Line, mask: int) -> list[Profile]:
        """Return the agent groups of a mask; the last result is cached on the line, since it rarely changes."""
        if mask != line.asked_mask:
            line.asked_mask, line.asked = mask, self.profiles_in(mask)
        return line.asked

    def agent(self, agent_id: AgentId | None) -> Agent | None:
        """Return an agent by id; None if unknown."""
        return None if agent_id is None else self._state.agents.get(agent_id)

    def _meet_all(self, lines: Iterable[Line]) -> None:
        """Update which groups qualify for lines that are new or have another requirement."""
        toggled: dict[int, int] = {}
        for line in lines:
            before, after = line.profile_mask, self.traits.serving(line)
            if before != after:
                line.profile_mask = after
                # Most of very many lines change for the same groups: visit each set of groups once.
                toggled[before ^ after] = toggled.get(before ^ after, 0) | line.bit
        for changed, bits in toggled.items():
            for profile in self.profiles_in(changed):
                profile.mask ^= bits

    @staticmethod
    def _meet(profile: Profile, line: Line) -> None:
        if profile.serves(line):
            profile.mask |= line.bit
            line.profile_mask |= profile.bit
        else:
            profile.mask &= ~line.bit
            line.profile_mask &= ~profile.bit
