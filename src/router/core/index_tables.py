"""What the indexes of a workspace are made of: every table, and what contacts and agents both need of them.

Nothing here decides who stands where: ``index_lines.py`` does that for contacts, ``index_agents.py`` for agents, ``index.py`` for
the whole under a new policy.
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
    """A channel as the hot path needs it."""

    __slots__ = ("bit", "blocked_by", "index", "interrupts", "name", "policy", "units")

    def __init__(self, name: str, index: int, policy: ChannelPolicy) -> None:
        self.name = name
        self.index = index
        self.bit = 1 << index
        self.policy = policy
        self.units = policy.units
        self.blocked_by = 0
        """Bits of the channels that, while an agent has one, keep this one away from him."""
        self.interrupts = 0
        """Bits of the channels whose items use nothing while an agent has one of this."""


class IndexTables:
    """The tables, empty until a policy is in force."""

    def __init__(self, state: RoutingState) -> None:
        self._state = state
        self.channels: dict[str, Channel] = {}
        self.channel_list: tuple[Channel, ...] = ()
        self.lines: dict[LineKey, Line] = {}
        self.held_lines: dict[LineKey, Line] = {}
        """Lines of those who wait for their queue to open: matching never looks at them."""
        self.by_index: list[Line | None] = []
        self._free_indexes: list[int] = []
        self.channel_lines: list[int] = []
        self.every_channel = 0  # Bits of all of them.
        self.busy_lines = 0
        self.heads: list[tuple[int, int]] = []
        """(head, line index) of every line in which somebody waits, first in the total order first."""
        self.private: dict[AgentId, list[Line]] = {}
        self.queue_lines: dict[QueueId, list[Line]] = {}
        self.profiles: dict[ProfileKey, Profile] = {}
        self.profile_list: list[Profile | None] = []
        self._free_profiles: list[int] = []
        self.open_profiles: list[int] = []
        self.many_kinds = False
        """More profiles than are looked at one by one: only then is the order of everybody kept."""
        self.has_blocks = False
        """Whether some channel keeps another one away."""
        self.is_intricate = False
        """Interrupts, caps or blocks: without them an item more can only close channels, and an item less open them."""
        self.idle: list[IdleOrder] = []
        """By channel: everybody with room for it, longest idle first."""
        self.has_interrupts = False
        """Whether some channel interrupts another."""
        self.has_caps = False
        """Whether there is a cap on what an agent takes within a time: only then times are kept."""
        self.freed: dict[AgentId, Agent] = {}
        """Agents with more room than before; ``matching`` empties it."""
        self.seeking: dict[ContactId, Contact] = {}
        """Contacts that wait anew, or that somebody may take again."""
        self.arriving: Line | None = None
        """The line of a contact whose submit is about to be applied; none (replay, a shadow): its place says all."""
        self.newcomer: Contact | None = None
        """That contact where somebody is free for it, until the same step offers it (or puts it into its line after all)."""
        self.classes: dict[tuple[object, ...], Line] = {}
        """Lines of plain submits (queue, channel, skills as they were named) that have been found in order under this policy."""
        self.classifier = Classifier(_NO_POLICY)
        self.qualification = Qualification(_NO_POLICY)
        """The entry rules and the queues' conditions on agents, ready to be asked."""
        self.dialling: dict[AgentId, ContactId] = {}
        """Agents for whom the customer of a ``customer_first`` callback is being called: one at a time for each."""
        self.traits = Traits()
        self._declared: frozenset[str] = frozenset()
        self._by_due_date = False
        self._ordering: OrderingFacts = {}
        self.hands: dict[HandsKey, Hands] = {}
        """What agents can hold and do hold: those with nobody in them are kept while there are not too many."""
        self.left: dict[AgentId, Agent | None] = {}
        """Agents for whom contacts are kept, and who may not be there for them any more; ``matching`` empties it."""
        self._make_tables_of_plans()

    def _make_tables_of_plans(self) -> None:
        self.has_plans = False
        """Whether the policy has any."""
        self._planned: frozenset[QueueId] = frozenset()
        """The queues that have one."""
        self._stages: dict[tuple[QueueId, str | None, int, Needs], Stage] = {}
        self._memo: tuple[QueueId, str, dict[str, int], AgentId | None, Line] | None = None
        self._planned_memo: tuple[Asks, Line, Stage] | None = None

    def all_lines(self) -> list[Line]:
        """Every line, also those of contacts that are held back."""
        return [line for line in self.by_index if line is not None]

    def profiles_in(self, mask: int) -> list[Profile]:
        """The profiles of a mask."""
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
        """The profiles of a mask that a line asks for. The last answer is kept with the line, for it is mostly the same."""
        if mask != line.asked_mask:
            line.asked_mask, line.asked = mask, self.profiles_in(mask)
        return line.asked

    def agent(self, agent_id: AgentId | None) -> Agent | None:
        """An agent by his id."""
        return None if agent_id is None else self._state.agents.get(agent_id)

    def _meet_all(self, lines: Iterable[Line]) -> None:
        """Find out which profiles serve lines that are new, or ask for something else than before."""
        toggled: dict[int, int] = {}
        for line in lines:
            before, after = line.profile_mask, self.traits.serving(line)
            if before != after:
                line.profile_mask = after
                # Most of very many lines are new to the same profiles: these are gone through once.
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
