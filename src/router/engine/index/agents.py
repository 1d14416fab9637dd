"""Index of agents: the group of each agent, its capacity state and its open channels.

This part of the index knows nothing of waiting contacts. It reports agents with more open channels (``freed``), and agents who
may have become unavailable for contacts reserved for them (``unavailable``); matching then looks for contacts.
"""

from collections.abc import Iterable
from heapq import merge
from typing import Final, NamedTuple

from router.engine.index.qualification import QualificationIndex
from router.engine.state.agent import SCANNED_GROUPS_MAX, Agent, AgentGroup, AgentGroupKey, IdleOrder, agent_group_key
from router.engine.state.capacity import NO_CAPACITY, CapacityKey, CapacityState
from router.engine.state.channels import ChannelTable
from router.engine.state.rate_caps import capped_channels, paused_channel_bits
from router.engine.state.records import Assignment, Offer
from router.engine.state.timers import Timers
from router.engine.state.workspace import WorkspaceRecords
from router.model.policy import Policy
from router.model.states import AgentId, AgentState, Presence
from router.policy.facts import RankedAttributes, ranked_attributes

# Bound once: an attribute lookup on the enum class costs more than the comparisons it serves.
_LOST: Final = Presence.LOST
_READY: Final = AgentState.READY

# Capacity states without agents are kept for reuse, up to this many.
_CAPACITY_STATES_MAX: Final = 10_000


class AgentIndex:
    """Groups, capacity and open channels of the agents of a workspace."""

    def __init__(
        self, records: WorkspaceRecords, timers: Timers, channels: ChannelTable, qualification: QualificationIndex
    ) -> None:
        self._records = records
        self._timers = timers
        self._channels = channels
        self._qualification = qualification
        self._ranked_attributes: RankedAttributes = {}
        self.capacity_states: dict[CapacityKey, CapacityState] = {}
        """Capacity states by key; unused ones are kept up to a limit."""
        self.open_group_bits: list[int] = []
        """By channel: bits of the groups with an agent who has that channel open."""
        self.ready_group_bits = 0
        """Bits of the groups with a READY agent, busy or free."""
        self.ready_groups_changed = False
        """Whether these bits have changed since the event handlers looked at them."""
        self.has_global_idle_order = False
        """Whether there are more agent groups than are compared one by one; only then a global idle order is kept."""
        self.global_idle_orders: list[IdleOrder] = []
        """By channel: all agents with that channel open, longest idle first."""
        self.freed: dict[AgentId, Agent] = {}
        """Agents with more open channels than before; matching empties it."""
        self.awaited: dict[AgentId, int] = {}
        """Number of conversations by agent that wait for more capacity of that agent: each release of it frees the agent."""
        self.unavailable: dict[AgentId, Agent | None] = {}
        """Agents with contacts reserved for them that may have become unavailable; matching empties it."""

    def rebuild(self, policy: Policy) -> None:
        """Assign every agent to groups and capacity states again; channels and qualification must have adopted the policy."""
        self._ranked_attributes = ranked_attributes(policy)
        self.capacity_states = {}
        self.has_global_idle_order = False
        self.open_group_bits = [0] * len(self._channels.by_index)
        self.ready_group_bits = 0
        self.global_idle_orders = [IdleOrder(channel.index) for channel in self._channels.by_index]
        self.freed.clear()
        self.unavailable.clear()
        for agent in sorted(self._records.agents.values(), key=_idle_number):
            self._rebuild_capacity(agent)
            agent.group, agent.open_channel_bits, agent.is_counted_ready = None, 0, False
            self.assign_group(agent)

    # --- groups -------------------------------------------------------------------------------------
    def assign_group(self, agent: Agent) -> None:
        """Assign a new or changed agent to its group and update its open channels."""
        qualification = self._qualification
        key = agent_group_key(agent, qualification.conditions, self._ranked_attributes)
        group = qualification.groups.get(key) or self._make_group(key)
        if agent.group is not group:
            self.note_unavailable(agent)
            self._leave_group(agent)
            agent.group = group
            group.agent_count += 1
        self.refresh_open_channels(agent)
        if agent.open_channel_bits:
            # The agent may qualify for more lines than before.
            self.freed[agent.agent_id] = agent

    def remove(self, agent: Agent) -> None:
        """Remove a deregistered agent from the index."""
        self.note_unavailable(agent)
        self._leave_group(agent)
        self._release_capacity_state(agent.capacity)

    def set_declared_skills(self, skills: frozenset[str]) -> None:
        """Set the declared skills; agents who then qualify for other lines are matched again."""
        for group in self._qualification.set_declared_skills(skills):
            for order in group.idle_orders:
                self.free(order)

    def free(self, agents: Iterable[Agent]) -> None:
        """Have these agents matched again."""
        self.freed.update((agent.agent_id, agent) for agent in agents)

    def _leave_group(self, agent: Agent) -> None:
        group = agent.group
        if group is None:
            return
        self._set_open_channels(agent, 0)
        if agent.is_counted_ready:
            self._count_ready(agent, ready=False)
        agent.group = None
        self.freed.pop(agent.agent_id, None)
        group.agent_count -= 1
        if not group.agent_count:
            self._qualification.drop_group(group)

    def _make_group(self, key: AgentGroupKey) -> AgentGroup:
        qualification = self._qualification
        group = AgentGroup(
            key,
            index=qualification.new_group_index(),
            channel_count=len(self._channels.by_index),
            declared_skills=qualification.declared_skills,
            qualification=qualification.conditions,
        )
        qualification.add_group(group)
        if not self.has_global_idle_order and len(qualification.groups) > SCANNED_GROUPS_MAX:
            self._build_global_idle_orders()
        return group

    def _build_global_idle_orders(self) -> None:
        """Build the idle orders over all groups, which are kept from now on."""
        self.has_global_idle_order = True
        groups = self._qualification.groups.values()
        for i, order in enumerate(self.global_idle_orders):
            for agent in merge(*(group.idle_orders[i] for group in groups), key=_idle_number):
                order.add(agent)

    # --- capacity -----------------------------------------------------------------------------------
    def await_capacity(self, agent_id: AgentId, change: int) -> None:
        """Count a conversation that begins (1) or ends (-1) to wait for more capacity of its agent."""
        count = self.awaited.pop(agent_id, 0) + change
        if count:
            self.awaited[agent_id] = count

    def take_capacity(self, agent: Agent, channel: str, units: int) -> None:
        """Use capacity for one item."""
        before = agent.capacity
        capacity = before.after_take.get((channel, units)) or self._adjacent(before, channel, units, 1)
        # ``_set_capacity``, inlined.
        capacity.agent_count += 1
        agent.capacity = capacity
        before.agent_count -= 1
        if not before.agent_count and len(self.capacity_states) > _CAPACITY_STATES_MAX:
            self._discard_capacity_state(before)
        if self._channels.needs_full_refresh:
            self.refresh_open_channels(agent)
            return
        open_bits = agent.open_channel_bits
        if open_bits & ~capacity.open_channel_bits:  # One more item can only close channels.
            self._set_open_channels(agent, open_bits & capacity.open_channel_bits)

    def release_capacity(self, agent: Agent, channel: str, units: int) -> None:
        """Release the capacity of one item."""
        before = agent.capacity
        capacity = before.after_release.get((channel, units)) or self._adjacent(before, channel, units, -1)
        # ``_set_capacity``, inlined.
        capacity.agent_count += 1
        agent.capacity = capacity
        before.agent_count -= 1
        if not before.agent_count and len(self.capacity_states) > _CAPACITY_STATES_MAX:
            self._discard_capacity_state(before)
        if self.awaited and agent.agent_id in self.awaited:
            self.freed[agent.agent_id] = agent
        if self._channels.needs_full_refresh:
            self.refresh_open_channels(agent)
            return
        open_bits = self._allowed_channels(agent)
        if open_bits != agent.open_channel_bits:
            self._set_open_channels(agent, open_bits)
            self.freed[agent.agent_id] = agent  # One item less can only open channels.

    def update_limits(self, agent: Agent) -> None:
        """Update the capacity limits from the agent's record and the policy; the items stay."""
        if self._records.policy is None:
            return
        capacity = agent.capacity
        none = (0,) * len(self._channels.by_index)
        counts, loads = capacity.item_counts or none, capacity.unit_loads or none
        self._set_capacity(agent, self._capacity_with(agent, counts, loads))

    def is_interrupted(self, agent_id: AgentId, channel: str) -> bool:
        """Return whether the agent's items of this channel use no capacity because another channel interrupts it."""
        if not self._channels.has_interrupts:
            return False
        interrupted = self._records.agents[agent_id].capacity.interrupted_bits
        return bool(interrupted & self._channels.by_name[channel].bit)

    def has_capacity(self, agent: Agent, channel: str, *, released: int = 0) -> bool:
        """Return whether one more item fits after ``released`` pending offers of that channel have ended."""
        wanted = self._channels.by_name[channel]
        return agent.capacity.fits_one_more(wanted, self._channels.by_index, released=released)

    def has_capacity_instead(self, agent: Agent, channel: str, work: Assignment) -> bool:
        """Return whether an item of another channel fits in place of an assignment, and of what is held for it."""
        counts, loads = list(agent.capacity.item_counts), list(agent.capacity.unit_loads)
        held = () if work.held_channel is None else ((work.held_channel, work.held_units),)
        for name, units in ((work.channel, work.units), *held):
            i = self._channels.by_name[name].index
            counts[i] -= 1
            loads[i] -= units
        own = agent.channel_max
        without = CapacityState((agent.units_override, tuple(sorted(own.items())) if own else (), tuple(counts), tuple(loads)))
        self._recompute(without)
        return without.fits_one_more(self._channels.by_name[channel], self._channels.by_index)

    def recompute_capacity(self, *, caps_changed: bool) -> None:
        """Recompute every capacity state after channels or units have changed, and the rate caps if they have changed."""
        for agent in self.recompute_capacity_states():
            self.refresh_open_channels(agent)
        if caps_changed:
            for agent in self._records.agents.values():
                agent.cap_opens_at_ms = None
                agent.closed_channel_bits = paused_channel_bits(agent, self._channels.by_name)
                self.refresh_open_channels(agent)

    def recompute_capacity_states(self) -> list[Agent]:
        """Recompute all capacity states; return the agents with a channel that may open or close, longest idle first."""
        changed: set[CapacityState] = set()
        for capacity in self.capacity_states.values():
            before = capacity.open_channel_bits
            self._recompute(capacity)
            if capacity.open_channel_bits != before and capacity.agent_count:
                changed.add(capacity)
        if not changed:
            return []
        found = [agent for agent in self._records.agents.values() if agent.capacity in changed]
        return sorted(found, key=_idle_number)

    def _rebuild_capacity(self, agent: Agent) -> None:
        counts = [0] * len(self._channels.by_index)
        loads = [0] * len(self._channels.by_index)
        for item in capacity_items(agent):
            i = self._channels.by_name[item.channel].index
            counts[i] += 1
            loads[i] += item.units
        agent.capacity = NO_CAPACITY
        self._set_capacity(agent, self._capacity_with(agent, tuple(counts), tuple(loads)))
        agent.cap_opens_at_ms = None
        agent.closed_channel_bits = paused_channel_bits(agent, self._channels.by_name)

    def _capacity_with(self, agent: Agent, counts: tuple[int, ...], loads: tuple[int, ...]) -> CapacityState:
        own = agent.channel_max
        limits = tuple(sorted(own.items())) if own else ()
        return self._capacity_for_key((agent.units_override, limits, counts, loads))

    def _capacity_for_key(self, key: CapacityKey) -> CapacityState:
        capacity = self.capacity_states.get(key)
        if capacity is None:
            capacity = self.capacity_states[key] = CapacityState(key)
            self._recompute(capacity)
        return capacity

    def _adjacent(self, capacity: CapacityState, channel: str, units: int, step: int) -> CapacityState:
        """Return the capacity state with one such item more (``step`` 1) or less (-1)."""
        units_override, limits, counts, loads = capacity.key
        i = self._channels.by_name[channel].index
        other = self._capacity_for_key(
            (
                units_override,
                limits,
                (*counts[:i], counts[i] + step, *counts[i + 1 :]),
                (*loads[:i], loads[i] + step * units, *loads[i + 1 :]),
            )
        )
        fewer, more = (capacity, other) if step > 0 else (other, capacity)
        fewer.after_take[channel, units], more.after_release[channel, units] = more, fewer
        return other

    def _recompute(self, capacity: CapacityState) -> None:
        policy = self._records.policy
        units = 0 if policy is None else policy.agents.units
        capacity.recompute(units, self._channels.by_index)

    def _set_capacity(self, agent: Agent, capacity: CapacityState) -> None:
        """Set the agent's capacity state and count it there."""
        before = agent.capacity
        capacity.agent_count += 1
        agent.capacity = capacity
        self._release_capacity_state(before)

    def _release_capacity_state(self, capacity: CapacityState) -> None:
        if capacity is NO_CAPACITY:
            return
        capacity.agent_count -= 1
        if not capacity.agent_count and len(self.capacity_states) > _CAPACITY_STATES_MAX:
            self._discard_capacity_state(capacity)

    def _discard_capacity_state(self, capacity: CapacityState) -> None:
        if self.capacity_states.get(capacity.key) is capacity:
            del self.capacity_states[capacity.key]
            capacity.unlink()

    # --- open channels ------------------------------------------------------------------------------
    def move_to_idle_end(self, agent: Agent) -> None:
        """Move the agent to the end of the idle order, because it has just been busy or become READY."""
        records = self._records
        open_bits = agent.open_channel_bits
        if open_bits:
            self._set_open_channels(agent, 0)
        records.idle_counter += 1
        agent.idle_number = records.idle_counter
        agent.idle_since_ms = records.at_ms
        if open_bits:
            self._set_open_channels(agent, open_bits)

    def refresh_open_channels(self, agent: Agent) -> None:
        """Recompute the channels on which the agent can be offered an item."""
        ready = agent.state is _READY
        if ready is not agent.is_counted_ready:
            self._count_ready(agent, ready=ready)
        if self._channels.has_caps:
            self._update_closed_channels(agent)
        before = agent.open_channel_bits
        after = self._allowed_channels(agent)
        if after != before:
            self._set_open_channels(agent, after)
            if after & ~before:
                self.freed[agent.agent_id] = agent

    def _update_closed_channels(self, agent: Agent) -> None:
        """Update the channels closed to the agent, and set a timer for the first one that time opens."""
        policy = self._records.policy
        assert policy is not None
        capped, opens_at_ms = capped_channels(agent, policy, self._channels.by_index, self._records.at_ms)
        agent.closed_channel_bits = paused_channel_bits(agent, self._channels.by_name) | capped
        if opens_at_ms != agent.cap_opens_at_ms:
            agent.cap_opens_at_ms = opens_at_ms
            if opens_at_ms is not None:
                self._timers.add_cap(opens_at_ms, agent.agent_id)

    def _count_ready(self, agent: Agent, *, ready: bool) -> None:
        group = agent.group
        assert group is not None
        group.ready_count += 1 if ready else -1
        if group.ready_count == ready:  # The first has become READY, or the last is READY no more.
            self.ready_group_bits ^= group.bit
            self.ready_groups_changed = True
        agent.is_counted_ready = ready
        if not ready:
            self.note_unavailable(agent)

    def note_unavailable(self, agent: Agent) -> None:
        """Have the contacts that are reserved for an agent examined, because the agent may have become unavailable."""
        if agent.agent_id in self._qualification.reserved_lines:
            self.unavailable[agent.agent_id] = agent

    def _allowed_channels(self, agent: Agent) -> int:
        """Return the bits of the channels that state, presence and capacity allow."""
        if agent.state is not _READY or agent.next_state is not None or agent.presence is _LOST:
            return 0
        return agent.capacity.open_channel_bits & ~agent.closed_channel_bits

    def _set_open_channels(self, agent: Agent, open_bits: int) -> None:
        group = agent.group
        assert group is not None
        changed = agent.open_channel_bits ^ open_bits
        agent.open_channel_bits = open_bits
        while changed:
            bit = changed & -changed
            changed ^= bit
            i = bit.bit_length() - 1
            order = group.idle_orders[i]
            if open_bits & bit:
                if not order.size:
                    self.open_group_bits[i] |= group.bit
                order.add(agent)
                if self.has_global_idle_order:
                    self.global_idle_orders[i].add(agent)
            else:
                # The entry stays in the order; it is recognised as stale when it reaches the front.
                order.size -= 1
                if self.has_global_idle_order:
                    self.global_idle_orders[i].size -= 1
                if not order.size:
                    self.open_group_bits[i] ^= group.bit


class HeldCapacity(NamedTuple):
    """Capacity that is held for the switch of a conversation to another channel."""

    channel: str
    units: int


def capacity_items(agent: Agent) -> list[Offer | Assignment | HeldCapacity]:
    """Return the items that use the agent's capacity, or would if none were interrupted."""
    items: list[Offer | Assignment | HeldCapacity] = list(agent.offers.values())
    items.extend(work for work in agent.assignments.values() if work.holds_capacity)
    items.extend(
        HeldCapacity(work.held_channel, work.held_units) for work in agent.assignments.values() if work.held_channel is not None
    )
    return items


def _idle_number(agent: Agent) -> int:
    return agent.idle_number
