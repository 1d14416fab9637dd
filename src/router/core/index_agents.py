"""Index of agents: the group of each agent, its capacity state and its open channels.

This part of the index knows nothing of waiting contacts. It reports agents with more open channels, and agents who may have
become unavailable for contacts reserved for them; matching then looks for contacts.
"""

from heapq import merge
from typing import Final

from router.core import caps, interrupts
from router.core.hands import NO_HANDS, Hands, HandsKey
from router.core.index_lines import IndexLines
from router.core.profiles import FEW_PROFILES, Profile, ProfileKey, profile_key
from router.core.state import Agent, Assignment, Offer
from router.model.ids import AgentId
from router.model.states import AgentState, Presence

# Bound once: an attribute lookup on the enum class costs more than the comparisons it serves.
_LOST: Final = Presence.LOST
_READY: Final = AgentState.READY

# Capacity states without agents are kept for reuse, up to this many.
_HANDS_MAX: Final = 10_000


class IndexAgents(IndexLines):
    """Groups, capacity and open channels of agents."""

    def enlist(self, agent: Agent) -> None:
        """Assign a new or changed agent to its group and update its open channels."""
        key = profile_key(agent, self.qualification, self._ordering)
        profile = self.profiles.get(key) or self._make_profile(key)
        if agent.profile is not profile:
            self._note_left(agent)
            self.discharge(agent)
            agent.profile = profile
            profile.agents += 1
        self.refresh(agent)
        if agent.room:
            self.freed[agent.agent_id] = agent  # The agent may qualify for more lines than before.

    def discharge(self, agent: Agent) -> None:
        """Remove the agent from its group and from all idle orders."""
        profile = agent.profile
        if profile is None:
            return
        self._set_room(agent, 0)
        if agent.counted_ready:
            self._count_ready(agent, ready=False)
        agent.profile = None
        self.freed.pop(agent.agent_id, None)
        profile.agents -= 1
        if not profile.agents:
            del self.profiles[profile.key]
            self.traits.remove(profile)
            self.profile_list[profile.index] = None
            self._free_profiles.append(profile.index)
            for line in self.all_lines():
                line.profile_mask &= ~profile.bit
                line.asked_mask, line.asked = 0, []

    def _make_profile(self, key: ProfileKey) -> Profile:
        index = self._free_profiles.pop() if self._free_profiles else len(self.profile_list)
        profile = Profile(
            key,
            index=index,
            channels=len(self.channel_list),
            declared=self._declared,
            qualification=self.qualification,
        )
        if index == len(self.profile_list):
            self.profile_list.append(profile)
        else:
            self.profile_list[index] = profile
        self.profiles[key] = profile
        self.traits.add(profile)
        for line in self.all_lines():
            if line.only is None or line.held:
                self._meet(profile, line)
        if not self.many_kinds and len(self.profiles) > FEW_PROFILES:
            self._order_everybody()
        return profile

    def _order_everybody(self) -> None:
        """Build the idle order over all groups, which is kept from now on."""
        self.many_kinds = True
        for i, order in enumerate(self.idle):
            for agent in merge(*(one.idle[i] for one in self.profiles.values()), key=_idle_no):
                order.add(agent)

    def take_limits(self, agent: Agent) -> None:
        """Update the capacity limits from the agent's record and the policy; the items stay."""
        if self._state.policy is None:
            return
        hands = agent.hands
        none = (0,) * len(self.channel_list)
        self._hold(agent, self._hands_of(agent, hands.counts or none, hands.loads or none))

    def _take_load(self, agent: Agent) -> None:
        counts = [0] * len(self.channel_list)
        loads = [0] * len(self.channel_list)
        for item in holding(agent):
            i = self.channels[item.channel].index
            counts[i] += 1
            loads[i] += item.units
        agent.hands = NO_HANDS
        self._hold(agent, self._hands_of(agent, tuple(counts), tuple(loads)))
        agent.cap_until_ms = None
        agent.closed = caps.paused(agent, self.channels)

    def _hands_of(self, agent: Agent, counts: tuple[int, ...], loads: tuple[int, ...]) -> Hands:
        own = agent.channel_max
        limits = tuple(sorted(own.items())) if own else ()
        return self._hands((agent.own_units, limits, counts, loads))

    def _hands(self, key: HandsKey) -> Hands:
        hands = self.hands.get(key)
        if hands is None:
            hands = self.hands[key] = Hands(key)
            self._weigh(hands)
        return hands

    def _weigh(self, hands: Hands) -> None:
        policy = self._state.policy
        units = 0 if policy is None else policy.agents.units
        hands.weigh(units, self.channel_list, has_interrupts=self.has_interrupts)

    def weigh_everybody(self) -> list[Agent]:
        """Recompute all capacity states; return the agents with a channel that may open or close, longest idle first."""
        changed: set[Hands] = set()
        for hands in self.hands.values():
            before = hands.room
            self._weigh(hands)
            if hands.room != before and hands.agent_count:
                changed.add(hands)
        if not changed:
            return []
        found = [agent for agent in self._state.agents.values() if agent.hands in changed]
        return sorted(found, key=_idle_no)

    def _hold(self, agent: Agent, hands: Hands) -> None:
        """Set the agent's capacity state and count it there."""
        before = agent.hands
        hands.agent_count += 1
        agent.hands = hands
        self._leave(before)

    def _leave(self, hands: Hands) -> None:
        if hands is NO_HANDS:
            return
        hands.agent_count -= 1
        if not hands.agent_count and len(self.hands) > _HANDS_MAX:
            self._forget_hands(hands)

    def _forget_hands(self, hands: Hands) -> None:
        if self.hands.get(hands.key) is hands:
            del self.hands[hands.key]
            hands.forget()

    def dismiss(self, agent: Agent) -> None:
        """Remove a deregistered agent from the index."""
        self.discharge(agent)
        self._leave(agent.hands)

    def _beside(self, hands: Hands, channel: str, units: int, step: int) -> Hands:
        """Return the capacity state with one such item more (``step`` 1) or less (-1)."""
        own_units, limits, counts, loads = hands.key
        i = self.channels[channel].index
        other = self._hands(
            (
                own_units,
                limits,
                (*counts[:i], counts[i] + step, *counts[i + 1 :]),
                (*loads[:i], loads[i] + step * units, *loads[i + 1 :]),
            )
        )
        fewer, more = (hands, other) if step > 0 else (other, hands)
        fewer.more[channel, units], more.less[channel, units] = more, fewer
        return other

    def take(self, agent: Agent, channel: str, units: int) -> None:
        """Use capacity for one item."""
        before = agent.hands
        hands = before.more.get((channel, units)) or self._beside(before, channel, units, 1)
        # ``_set_capacity``, inlined.
        hands.agent_count += 1
        agent.hands = hands
        before.agent_count -= 1
        if not before.agent_count and len(self.hands) > _HANDS_MAX:
            self._forget_hands(before)
        if self.is_intricate:
            self.refresh(agent)
            return
        room = agent.room
        if room & ~hands.room:  # One more item can only close channels.
            self._set_room(agent, room & hands.room)

    def release(self, agent: Agent, channel: str, units: int) -> None:
        """Release the capacity of one item."""
        before = agent.hands
        hands = before.less.get((channel, units)) or self._beside(before, channel, units, -1)
        # ``_set_capacity``, inlined.
        hands.agent_count += 1
        agent.hands = hands
        before.agent_count -= 1
        if not before.agent_count and len(self.hands) > _HANDS_MAX:
            self._forget_hands(before)
        if self.is_intricate:
            self.refresh(agent)
            return
        room, after = agent.room, self.room_of(agent)
        if after != room:
            self._set_room(agent, after)
            self.freed[agent.agent_id] = agent  # One item less can only open channels.

    def is_interrupted(self, agent_id: AgentId, channel: str) -> bool:
        """Return whether the agent's items of this channel use no capacity because another channel interrupts it."""
        if not self.has_interrupts:
            return False
        return bool(self._state.agents[agent_id].hands.interrupted & self.channels[channel].bit)

    def has_capacity(self, agent: Agent, channel: str, *, without: int = 0) -> bool:
        """Return whether one more item fits, after ``without`` pending ones of that channel have been released."""
        wanted, hands = self.channels[channel], agent.hands
        counts = list(hands.counts)
        counts[wanted.index] -= without
        if self.has_interrupts:
            loads = list(hands.loads)
            loads[wanted.index] -= without * wanted.units
            held, interrupted = interrupts.held_and_interrupted(self.channel_list, counts)
            return interrupts.fits(hands, wanted, counts, loads, held=held, interrupted=interrupted)
        used = hands.units_used - without * wanted.units
        if used + wanted.units > hands.units or counts[wanted.index] >= hands.limits[wanted.index]:
            return False
        return not any(count and wanted.blocked_by >> i & 1 for i, count in enumerate(counts))

    def touch(self, agent: Agent) -> None:
        """Move the agent to the end of the idle order, because it has just been busy or become READY."""
        state = self._state
        room = agent.room
        if room:
            self._set_room(agent, 0)
        state.idle_counter += 1
        agent.idle_no = state.idle_counter
        agent.idle_since_ms = state.at_ms
        if room:
            self._set_room(agent, room)

    def refresh(self, agent: Agent) -> None:
        """Recompute the channels on which the agent can be offered an item."""
        ready = agent.state is _READY
        if ready is not agent.counted_ready:
            self._count_ready(agent, ready=ready)
        if self.has_caps:
            caps.close(self._state, agent)
        before = agent.room
        after = self.room_of(agent)
        if after != before:
            self._set_room(agent, after)
            if after & ~before:
                self.freed[agent.agent_id] = agent

    def _count_ready(self, agent: Agent, *, ready: bool) -> None:
        assert agent.profile is not None
        agent.profile.ready += 1 if ready else -1
        agent.counted_ready = ready
        if not ready:
            self._note_left(agent)

    def _note_left(self, agent: Agent) -> None:
        if agent.agent_id in self.private:
            self.left[agent.agent_id] = agent

    def room_of(self, agent: Agent) -> int:
        """Return the bits of the channels that state, presence and capacity allow."""
        if agent.state is not _READY or agent.next_state is not None or agent.presence is _LOST:
            return 0
        return agent.hands.room & ~agent.closed

    def _set_room(self, agent: Agent, room: int) -> None:
        profile = agent.profile
        assert profile is not None
        changed = agent.room ^ room
        agent.room = room
        while changed:
            bit = changed & -changed
            changed ^= bit
            i = bit.bit_length() - 1
            order = profile.idle[i]
            if room & bit:
                if not order.size:
                    self.open_profiles[i] |= profile.bit
                order.add(agent)
                if self.many_kinds:
                    self.idle[i].add(agent)
            else:
                # The entry stays in the order; it is recognised as stale when it reaches the front.
                order.size -= 1
                if self.many_kinds:
                    self.idle[i].size -= 1
                if not order.size:
                    self.open_profiles[i] ^= profile.bit


def holding(agent: Agent) -> list[Offer | Assignment]:
    """Return the items that use the agent's capacity, or would if none were interrupted."""
    items: list[Offer | Assignment] = list(agent.offers.values())
    items.extend(work for work in agent.assignments.values() if work.holds)
    return items


def _idle_no(agent: Agent) -> int:
    return agent.idle_no
