"""Agents, and agent groups: agents who qualify for the same waiting lines, with one idle order for each channel.

A group is keyed by everything that qualifies or ranks an agent: skills, queues, barred channels, attributes that conditions or
orders use, queue ranks. Whether a group qualifies for a waiting line is decided once and kept as a bit, in ``line_mask`` of the
group and in ``group_mask`` of the line. For each channel a group keeps its agents with an open channel in idle order, so the
longest idle agent of a group is found in constant time.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterator
from heapq import merge
from itertools import chain, islice
from typing import Final, TypeAlias

from msgspec import Struct, field

from router.engine.state.capacity import NO_CAPACITY, CapacityState
from router.engine.state.contact import WaitingLine
from router.engine.state.records import Assignment, Offer, RequirementKey
from router.model.policy import FactValue
from router.model.states import AgentId, AgentState, AssignmentId, OfferId, Presence, QueueId, TeamId
from router.policy.customer_classes import CustomerClass
from router.policy.facts import AgentConditions, AttributeKey, AttributeRanks, RankedAttributes, attribute_ranks


class Agent(Struct, kw_only=True, array_like=True):
    """An agent: record, presence, state and current work."""

    agent_id: AgentId
    skills: dict[str, int] = {}
    queues: tuple[QueueId, ...] | None = None
    units_override: int | None = None
    channel_max: dict[str, int] = {}
    attributes: dict[str, FactValue] = {}
    state: AgentState = AgentState.OFFLINE
    reason: str | None = None
    state_since_ms: int = 0
    return_at_ms: int | None = None
    presence: Presence = Presence.NONE
    session_id: str | None = None
    grace_until_ms: int | None = None
    next_state: AgentState | None = None
    next_reason: str | None = None
    idle_number: int = 0
    """Position in the idle order; a smaller number has been idle longer."""
    idle_since_ms: int | None = None
    last_offer_seqs: dict[QueueId, int] = {}
    """``seq`` of the latest offer by queue, for queues in which a round robin may choose (``round_robin_queues``)."""
    paused: tuple[str, ...] = ()
    """Channels on which the agent currently accepts no new contacts."""
    recent_contact_times: dict[str, tuple[int, ...]] = {}
    """Times of the latest contacts taken, by capped channel (and ``ALL_CHANNELS``); no more of them than the cap needs."""
    queue_ranks: dict[QueueId, int] = {}
    contacts_today: int = 0
    """Contacts taken since the workspace's day began; counted only while the policy needs a day."""
    team: TeamId | None = None
    """Team; routing does not use it."""
    labels: tuple[str, ...] = ()
    """Labels in ascending order; routing does not use them."""
    offers: dict[OfferId, Offer] = field(default_factory=dict)
    """Derived: pending offers."""
    assignments: dict[AssignmentId, Assignment] = field(default_factory=dict)
    """Derived: assignments that are not completed."""
    capacity: CapacityState = NO_CAPACITY
    """Derived: total and used capacity, one object shared by all agents with the same values."""
    closed_channel_bits: int = 0
    """Derived: bits of the channels that are paused or whose rate cap is reached."""
    cap_opens_at_ms: int | None = None
    """Derived: earliest time at which a capped channel opens without any event; None: no such time."""
    open_channel_bits: int = 0
    """Derived: bits of the channels on which the agent can be offered an item now."""
    registration_number: int = 0
    """Derived: running number of the agent's registration, starting at 1."""
    is_counted_ready: bool = False
    """Derived: whether the agent is included in the READY count of the agent group."""
    group: AgentGroup | None = None
    """Derived: group of agents who qualify for the same waiting lines."""

    @property
    def went_offline(self) -> bool:
        """Return whether the agent is OFFLINE on purpose, not because of a lost desktop."""
        return self.state is AgentState.OFFLINE and self.reason != "desktop_lost"


QueueRanks: TypeAlias = tuple[tuple[QueueId, int], ...]
AgentGroupKey: TypeAlias = tuple[
    RequirementKey, tuple[QueueId, ...] | None, RequirementKey, AttributeKey, AttributeRanks, QueueRanks
]

# Up to this many groups are compared one by one; beyond it an idle order over all groups is kept as well.
SCANNED_GROUPS_MAX: Final = 16


class AgentGroup:
    """Agents with the same skills, queues, barred channels, relevant attributes and queue ranks."""

    __slots__ = (
        "agent_count",
        "attribute_key",
        "attribute_ranks",
        "barred_channels",
        "bit",
        "idle_orders",
        "index",
        "key",
        "line_mask",
        "qualification",
        "queue_ranks",
        "queues",
        "ready_count",
        "skill_count",
        "skills",
    )

    def __init__(
        self, key: AgentGroupKey, *, index: int, channel_count: int, declared_skills: frozenset[str], qualification: AgentConditions
    ) -> None:
        self.key = key
        _, queues, barred, self.attribute_key, places, ranks = key
        self.qualification = qualification
        self.index = index
        self.bit = 1 << index
        self.skills: dict[str, int] = {}
        self.queues = None if queues is None else frozenset(queues)
        self.barred_channels = frozenset(channel for channel, _ in barred)
        self.skill_count = 0
        self.attribute_ranks = dict(places)
        """Attributes that rank agents, as integers."""
        self.queue_ranks = dict(ranks)
        """Queue ranks, which come before the total order of contacts; empty: the total order alone decides."""
        self.line_mask = 0
        """Bits of the waiting lines for which these agents qualify."""
        self.agent_count = 0
        self.ready_count = 0
        """Number of READY agents, busy or free."""
        self.idle_orders = [IdleOrder(i, self) for i in range(channel_count)]
        self.set_declared_skills(declared_skills)

    def set_declared_skills(self, declared_skills: frozenset[str]) -> bool:
        """Set the skills that the policy declares; return whether that changes these agents' skills."""
        before = self.skills
        self.skills = {skill: level for skill, level in self.key[0] if skill in declared_skills}
        self.skill_count = len(self.skills)
        return self.skills != before

    def qualifies_for(self, line: WaitingLine) -> bool:
        """Return whether these agents qualify for the waiting line, reservations left aside."""
        if self.queues is not None and line.queue_id not in self.queues:
            return False
        if line.channel in self.barred_channels:
            return False
        if line.queue.agents_when is not None and not self.attributes_qualify(line.queue_id, line.customer):
            return False
        return self._has_skills(line.requirement) or any(self._has_skills(needs) for needs in line.alternatives)

    def _has_skills(self, needs: RequirementKey) -> bool:
        skills = self.skills
        return all(skills.get(skill, 0) >= level for skill, level in needs)

    def attributes_qualify(self, queue_id: QueueId, customer: CustomerClass | None) -> bool:
        """Return whether these agents' attributes meet the queue's condition for a class of customers; results are cached."""
        return self.qualification.accepts(queue_id, self.attribute_key, customer)

    def total_proficiency(self, line: WaitingLine) -> int:
        """Return the sum of the levels in the line's skills; agents who qualify by an alternative may lack some."""
        return sum(self.skills.get(skill, 0) for skill, _ in line.requirement)


def agent_group_key(agent: Agent, qualification: AgentConditions, ordering: RankedAttributes) -> AgentGroupKey:
    """Return the key that agents of the same group share."""
    barred = tuple((channel, 0) for channel, most in sorted(agent.channel_max.items()) if most == 0)
    facts = qualification.attribute_key(agent.attributes)
    places = attribute_ranks(ordering, agent.attributes) if ordering else ()
    ranks = tuple(sorted(agent.queue_ranks.items()))
    return tuple(sorted(agent.skills.items())), agent.queues, barred, facts, places, ranks


# Stale entries that an order may hold in addition to one for each current entry.
_STALE_MAX: Final = 64

# Entries that a step of a compaction examines: more than the one that the same call may add, so that it ends.
_COMPACTED_PER_STEP: Final = 8


class IdleOrder:
    """Agents with one channel open, by idle number.

    Almost every agent is appended at the end. An agent who returns to an earlier number (its offer ended without an accept) goes
    into a short sorted list beside the main one. An agent who leaves is not removed: its entry has become stale, because the idle
    number, the open channels or the group differ, and is dropped when it reaches the front. So leaving costs O(1), adding costs
    O(1) or, for a returning agent, an insertion into the short list.

    When stale entries outnumber current ones, the order is compacted in steps, one with each agent added, because thousands of
    entries at once take milliseconds. The entries so far are then the front. New ones are appended to a second pair of deques, and
    each step moves the last current entries of the front to the beginning of that pair and drops the stale ones. So the front stays
    where the longest idle agent is read, until the second pair takes its place.
    """

    __slots__ = (
        *(
            "_appended_agents",
            "_appended_numbers",
            "_bit",
            "_front_agents",
            "_front_numbers",
            "_group",
            "_last_number",
            "_returned",
        ),
        *("_returned_left", "size"),
    )

    def __init__(self, channel_index: int, group: AgentGroup | None = None) -> None:
        self._bit = 1 << channel_index
        self._group = group
        # Two parallel deques: a tuple for each entry would be one more object for the garbage collector to visit.
        self._front_numbers: deque[int] = deque()
        self._front_agents: deque[Agent] = deque()
        self._appended_numbers, self._appended_agents = self._front_numbers, self._front_agents
        """Where agents are appended: the front itself unless the order is being compacted."""
        self._returned: list[tuple[int, Agent]] = []
        self._returned_left = 0
        """Entries at the beginning of ``_returned`` that the compaction has not reached."""
        self._last_number = 0
        self.size = 0
        """Number of current entries; leaving only decrements it."""

    def __len__(self) -> int:
        return self.size

    def add(self, agent: Agent) -> None:
        """Add an agent at its idle number; its open channels must already include this one."""
        if not self.size:
            self._drop_all()
        numbers = self._appended_numbers
        self.size += 1
        number = agent.idle_number
        if number >= self._last_number:
            numbers.append(number)
            self._appended_agents.append(agent)
            self._last_number = number
        else:
            insort(self._returned, (number, agent), key=_number)
        front_numbers = self._front_numbers
        # Drop one stale entry from the front with each agent added, so that the longest idle agent is found without many.
        if front_numbers and not self._is_current((front_numbers[0], self._front_agents[0])):
            front_numbers.popleft()
            self._front_agents.popleft()
        if front_numbers is not numbers:
            self._compact()
        elif len(numbers) + len(self._returned) > 2 * self.size + _STALE_MAX:
            self._appended_numbers, self._appended_agents = deque(), deque()
            self._returned_left = len(self._returned)

    @property
    def entry_count(self) -> int:
        """Return the number of entries, stale ones included."""
        appended = 0 if self._front_numbers is self._appended_numbers else len(self._appended_numbers)
        return len(self._front_numbers) + appended + len(self._returned)

    def _drop_all(self) -> None:
        """Drop all entries, which are stale when there is no agent."""
        self._appended_numbers.clear()
        self._appended_agents.clear()
        self._front_numbers, self._front_agents = self._appended_numbers, self._appended_agents
        if self._returned:
            self._returned.clear()

    def _compact(self) -> None:
        """Take one step of the compaction: O(1)."""
        numbers, agents, kept, returned = self._front_numbers, self._front_agents, self._appended_numbers, self._returned
        for _ in range(min(_COMPACTED_PER_STEP, len(numbers))):
            entry = numbers.pop(), agents.pop()
            # An agent who left and returned with the last number has several entries with it, one beside the other.
            if self._is_current(entry) and not (kept and kept[0] == entry[0]):
                kept.appendleft(entry[0])
                self._appended_agents.appendleft(entry[1])
        # An agent who returns meanwhile may move an entry out of reach: the next compaction finds it.
        left = min(self._returned_left, len(returned))
        for i in range(left - 1, max(0, left - _COMPACTED_PER_STEP) - 1, -1):
            is_repeated = i + 1 < len(returned) and returned[i + 1][0] == returned[i][0]
            if is_repeated or not self._is_current(returned[i]):
                del returned[i]
        self._returned_left = max(0, left - _COMPACTED_PER_STEP)
        if not numbers and not self._returned_left:
            self._front_numbers, self._front_agents = kept, self._appended_agents

    def first(self) -> Agent:
        """Return the longest idle agent; the order must not be empty."""
        numbers, agents, returned = self._front_numbers, self._front_agents, self._returned
        bit, group = self._bit, self._group
        while numbers:
            agent = agents[0]
            # ``_is_current``, inlined.
            if agent.idle_number == numbers[0] and agent.open_channel_bits & bit and (group is None or agent.group is group):
                if not returned:
                    return agent
                break
            numbers.popleft()
            agents.popleft()
        self._drop_stale_front()
        numbers = self._front_numbers
        if returned and (not numbers or returned[0][0] < numbers[0]):
            return returned[0][1]
        return self._front_agents[0]

    def _drop_stale_front(self) -> None:
        numbers, agents, returned = self._front_numbers, self._front_agents, self._returned
        while numbers and not self._is_current((numbers[0], agents[0])):
            numbers.popleft()
            agents.popleft()
        if not numbers and self._appended_numbers is not numbers:
            # The front is used up before its compaction has ended.
            self._front_numbers, self._front_agents = self._appended_numbers, self._appended_agents
            self._drop_stale_front()
        while returned and not self._is_current(returned[0]):
            del returned[0]

    def iter_front(self, entries_max: int) -> Iterator[Agent]:
        """Yield the longest idle agents in order, examining at most ``entries_max`` entries, stale ones included."""
        self._drop_stale_front()
        for entry in islice(self._entries(), entries_max):
            if self._is_current(entry):
                yield entry[1]

    def __iter__(self) -> Iterator[Agent]:
        self._drop_stale_front()
        last = 0
        for entry in self._entries():
            # An agent who left and returned may have two entries.
            if entry[0] != last and self._is_current(entry):
                last = entry[0]
                yield entry[1]

    def _entries(self) -> Iterator[tuple[int, Agent]]:
        main: Iterator[tuple[int, Agent]] = zip(self._front_numbers, self._front_agents, strict=True)
        if self._front_numbers is not self._appended_numbers:
            main = chain(main, zip(self._appended_numbers, self._appended_agents, strict=True))
        return merge(main, self._returned, key=_number) if self._returned else main

    def _is_current(self, entry: tuple[int, Agent]) -> bool:
        number, agent = entry
        return (
            agent.idle_number == number
            and agent.open_channel_bits & self._bit != 0
            and (self._group is None or agent.group is self._group)
        )


def _number(entry: tuple[int, Agent]) -> int:
    return entry[0]
