"""Index of agents: the group of each agent, its capacity state and its open channels.

This part of the index knows nothing of waiting contacts. It reports agents with more open channels, and agents who may have
become unavailable for contacts reserved for them; matching then looks for contacts.
"""

from heapq import merge
from typing import Final

from router.engine.index.contacts import ContactIndex
from router.engine.state import capacity as interrupts
from router.engine.state import rate_caps as caps
from router.engine.state.agent import (
    SCANNED_GROUPS_MAX,
    Agent,
    AgentGroup,
    AgentGroupKey,
    agent_group_key,
)
from router.engine.state.capacity import NO_CAPACITY, CapacityKey, CapacityState
from router.engine.state.records import Assignment, Offer
from router.model.ids import AgentId
from router.model.states import AgentState, Presence

# Bound once: an attribute lookup on the enum class costs more than the comparisons it serves.
_LOST: Final = Presence.LOST
_READY: Final = AgentState.READY

# Capacity states without agents are kept for reuse, up to this many.
_CAPACITY_STATES_MAX: Final = 10_000


class AgentIndex(ContactIndex):
    """Groups, capacity and open channels of agents."""

    def assign_group(self, agent: Agent) -> None:
        """Assign a new or changed agent to its group and update its open channels."""
        key = agent_group_key(agent, self.qualification, self._ordering_attributes)
        profile = self.groups.get(key) or self._make_group(key)
        if agent.group is not profile:
            self._note_unavailable(agent)
            self.leave_group(agent)
            agent.group = profile
            profile.agent_count += 1
        self.refresh_open_channels(agent)
        if agent.open_channel_bits:
            self.freed_agents[agent.agent_id] = (
                agent  # The agent may qualify for more lines than before.
            )

    def leave_group(self, agent: Agent) -> None:
        """Remove the agent from its group and from all idle orders."""
        profile = agent.group
        if profile is None:
            return
        self._set_open_channels(agent, 0)
        if agent.is_counted_ready:
            self._count_ready(agent, ready=False)
        agent.group = None
        self.freed_agents.pop(agent.agent_id, None)
        profile.agent_count -= 1
        if not profile.agent_count:
            del self.groups[profile.key]
            self.group_qualification.remove(profile)
            self.groups_by_index[profile.index] = None
            self._free_group_indexes.append(profile.index)
            for line in self.all_lines():
                line.group_mask &= ~profile.bit
                line.cached_group_mask, line.cached_groups = 0, []

    def _make_group(self, key: AgentGroupKey) -> AgentGroup:
        index = (
            self._free_group_indexes.pop()
            if self._free_group_indexes
            else len(self.groups_by_index)
        )
        profile = AgentGroup(
            key,
            index=index,
            channel_count=len(self.channel_list),
            declared_skills=self._declared_skills,
            qualification=self.qualification,
        )
        if index == len(self.groups_by_index):
            self.groups_by_index.append(profile)
        else:
            self.groups_by_index[index] = profile
        self.groups[key] = profile
        self.group_qualification.add(profile)
        for line in self.all_lines():
            if line.reserved_for is None or line.waiting_for_opening:
                self._update_qualification(profile, line)
        if not self.has_global_idle_order and len(self.groups) > SCANNED_GROUPS_MAX:
            self._build_global_idle_order()
        return profile

    def _build_global_idle_order(self) -> None:
        """Build the idle order over all groups, which is kept from now on."""
        self.has_global_idle_order = True
        for i, order in enumerate(self.global_idle_orders):
            for agent in merge(*(one.idle_orders[i] for one in self.groups.values()), key=_idle_no):
                order.add(agent)

    def update_limits(self, agent: Agent) -> None:
        """Update the capacity limits from the agent's record and the policy; the items stay."""
        if self._state.policy is None:
            return
        hands = agent.capacity
        none = (0,) * len(self.channel_list)
        self._set_capacity(
            agent, self._capacity_with(agent, hands.item_counts or none, hands.unit_loads or none)
        )

    def _rebuild_capacity(self, agent: Agent) -> None:
        counts = [0] * len(self.channel_list)
        loads = [0] * len(self.channel_list)
        for item in capacity_items(agent):
            i = self.channels[item.channel].index
            counts[i] += 1
            loads[i] += item.units
        agent.capacity = NO_CAPACITY
        self._set_capacity(agent, self._capacity_with(agent, tuple(counts), tuple(loads)))
        agent.cap_opens_at_ms = None
        agent.closed_channel_bits = caps.paused_channel_bits(agent, self.channels)

    def _capacity_with(
        self, agent: Agent, counts: tuple[int, ...], loads: tuple[int, ...]
    ) -> CapacityState:
        own = agent.channel_max
        limits = tuple(sorted(own.items())) if own else ()
        return self._capacity_for_key((agent.units_override, limits, counts, loads))

    def _capacity_for_key(self, key: CapacityKey) -> CapacityState:
        hands = self.capacity_states.get(key)
        if hands is None:
            hands = self.capacity_states[key] = CapacityState(key)
            self._recompute(hands)
        return hands

    def _recompute(self, capacity: CapacityState) -> None:
        policy = self._state.policy
        units = 0 if policy is None else policy.agents.units
        capacity.recompute(units, self.channel_list, has_interrupts=self.has_interrupts)

    def recompute_all(self) -> list[Agent]:
        """Recompute all capacity states; return the agents with a channel that may open or close, longest idle first."""
        changed: set[CapacityState] = set()
        for hands in self.capacity_states.values():
            before = hands.open_channel_bits
            self._recompute(hands)
            if hands.open_channel_bits != before and hands.agent_count:
                changed.add(hands)
        if not changed:
            return []
        found = [agent for agent in self._state.agents.values() if agent.capacity in changed]
        return sorted(found, key=_idle_no)

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

    def remove_agent(self, agent: Agent) -> None:
        """Remove a deregistered agent from the index."""
        self.leave_group(agent)
        self._release_capacity_state(agent.capacity)

    def _adjacent_capacity(
        self, capacity: CapacityState, channel: str, units: int, step: int
    ) -> CapacityState:
        """Return the capacity state with one such item more (``step`` 1) or less (-1)."""
        own_units, limits, counts, loads = capacity.key
        i = self.channels[channel].index
        other = self._capacity_for_key(
            (
                own_units,
                limits,
                (*counts[:i], counts[i] + step, *counts[i + 1 :]),
                (*loads[:i], loads[i] + step * units, *loads[i + 1 :]),
            )
        )
        fewer, more = (capacity, other) if step > 0 else (other, capacity)
        fewer.after_take[channel, units], more.after_release[channel, units] = more, fewer
        return other

    def take_capacity(self, agent: Agent, channel: str, units: int) -> None:
        """Use capacity for one item."""
        before = agent.capacity
        hands = before.after_take.get((channel, units)) or self._adjacent_capacity(
            before, channel, units, 1
        )
        # ``_set_capacity``, inlined.
        hands.agent_count += 1
        agent.capacity = hands
        before.agent_count -= 1
        if not before.agent_count and len(self.capacity_states) > _CAPACITY_STATES_MAX:
            self._discard_capacity_state(before)
        if self.needs_full_refresh:
            self.refresh_open_channels(agent)
            return
        room = agent.open_channel_bits
        if room & ~hands.open_channel_bits:  # One more item can only close channels.
            self._set_open_channels(agent, room & hands.open_channel_bits)

    def release_capacity(self, agent: Agent, channel: str, units: int) -> None:
        """Release the capacity of one item."""
        before = agent.capacity
        hands = before.after_release.get((channel, units)) or self._adjacent_capacity(
            before, channel, units, -1
        )
        # ``_set_capacity``, inlined.
        hands.agent_count += 1
        agent.capacity = hands
        before.agent_count -= 1
        if not before.agent_count and len(self.capacity_states) > _CAPACITY_STATES_MAX:
            self._discard_capacity_state(before)
        if self.needs_full_refresh:
            self.refresh_open_channels(agent)
            return
        room, after = agent.open_channel_bits, self.compute_open_channels(agent)
        if after != room:
            self._set_open_channels(agent, after)
            self.freed_agents[agent.agent_id] = agent  # One item less can only open channels.

    def is_interrupted(self, agent_id: AgentId, channel: str) -> bool:
        """Return whether the agent's items of this channel use no capacity because another channel interrupts it."""
        if not self.has_interrupts:
            return False
        return bool(
            self._state.agents[agent_id].capacity.interrupted_bits & self.channels[channel].bit
        )

    def has_capacity(self, agent: Agent, channel: str, *, released: int = 0) -> bool:
        """Return whether one more item fits, after ``without`` pending ones of that channel have been released."""
        wanted, hands = self.channels[channel], agent.capacity
        counts = list(hands.item_counts)
        counts[wanted.index] -= released
        if self.has_interrupts:
            loads = list(hands.unit_loads)
            loads[wanted.index] -= released * wanted.units
            held, interrupted = interrupts.occupied_and_interrupted(self.channel_list, counts)
            return interrupts.fits_one_more(
                hands, wanted, counts, loads, occupied=held, interrupted=interrupted
            )
        used = hands.units_used - released * wanted.units
        if (
            used + wanted.units > hands.units
            or counts[wanted.index] >= hands.item_limits[wanted.index]
        ):
            return False
        return not any(count and wanted.blocked_by >> i & 1 for i, count in enumerate(counts))

    def move_to_idle_end(self, agent: Agent) -> None:
        """Move the agent to the end of the idle order, because it has just been busy or become READY."""
        state = self._state
        room = agent.open_channel_bits
        if room:
            self._set_open_channels(agent, 0)
        state.idle_counter += 1
        agent.idle_number = state.idle_counter
        agent.idle_since_ms = state.at_ms
        if room:
            self._set_open_channels(agent, room)

    def refresh_open_channels(self, agent: Agent) -> None:
        """Recompute the channels on which the agent can be offered an item."""
        ready = agent.state is _READY
        if ready is not agent.is_counted_ready:
            self._count_ready(agent, ready=ready)
        if self.has_caps:
            caps.update_closed_channels(self._state, agent)
        before = agent.open_channel_bits
        after = self.compute_open_channels(agent)
        if after != before:
            self._set_open_channels(agent, after)
            if after & ~before:
                self.freed_agents[agent.agent_id] = agent

    def _count_ready(self, agent: Agent, *, ready: bool) -> None:
        assert agent.group is not None
        agent.group.ready_count += 1 if ready else -1
        agent.is_counted_ready = ready
        if not ready:
            self._note_unavailable(agent)

    def _note_unavailable(self, agent: Agent) -> None:
        if agent.agent_id in self.reserved_lines:
            self.unavailable_agents[agent.agent_id] = agent

    def compute_open_channels(self, agent: Agent) -> int:
        """Return the bits of the channels that state, presence and capacity allow."""
        if agent.state is not _READY or agent.next_state is not None or agent.presence is _LOST:
            return 0
        return agent.capacity.open_channel_bits & ~agent.closed_channel_bits

    def _set_open_channels(self, agent: Agent, open_bits: int) -> None:
        profile = agent.group
        assert profile is not None
        changed = agent.open_channel_bits ^ open_bits
        agent.open_channel_bits = open_bits
        while changed:
            bit = changed & -changed
            changed ^= bit
            i = bit.bit_length() - 1
            order = profile.idle_orders[i]
            if open_bits & bit:
                if not order.size:
                    self.open_group_bits[i] |= profile.bit
                order.add(agent)
                if self.has_global_idle_order:
                    self.global_idle_orders[i].add(agent)
            else:
                # The entry stays in the order; it is recognised as stale when it reaches the front.
                order.size -= 1
                if self.has_global_idle_order:
                    self.global_idle_orders[i].size -= 1
                if not order.size:
                    self.open_group_bits[i] ^= profile.bit


def capacity_items(agent: Agent) -> list[Offer | Assignment]:
    """Return the items that use the agent's capacity, or would if none were interrupted."""
    items: list[Offer | Assignment] = list(agent.offers.values())
    items.extend(work for work in agent.assignments.values() if work.holds_capacity)
    return items


def _idle_no(agent: Agent) -> int:
    return agent.idle_number
