"""Agents and their profiles: who is qualified like whom, what each has in hand, and of which channels he has room for more.

Nothing here looks at who waits: ``freed`` and ``left`` tell ``matching`` whose turn to look it is.
"""

from heapq import merge
from typing import Final

from router.core import caps, interrupts
from router.core.index_lines import IndexLines
from router.core.profiles import FEW_PROFILES, Profile, ProfileKey, profile_key
from router.core.state import Agent, Assignment, Offer
from router.model.ids import AgentId
from router.model.states import AgentState, Presence

# Bound once: to look a member up on its class takes longer than most of what is done with it.
_LOST: Final = Presence.LOST
_READY: Final = AgentState.READY


class IndexAgents(IndexLines):
    """Whom agents are like, and what they have room for."""

    def enlist(self, agent: Agent) -> None:
        """A new agent, or one whose record has changed: find his profile, then his room."""
        key = profile_key(agent, self.qualification, self._ordering)
        profile = self.profiles.get(key) or self._make_profile(key)
        if agent.profile is not profile:
            self._note_left(agent)
            self.discharge(agent)
            agent.profile = profile
            profile.agents += 1
        self.refresh(agent)
        if agent.room:
            self.freed[agent.agent_id] = agent  # He may be qualified for more than before.

    def discharge(self, agent: Agent) -> None:
        """Take him out of every index."""
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
        """From now on there is one idle order over all kinds of agents as well: few are looked at one by one."""
        self.many_kinds = True
        for i, order in enumerate(self.idle):
            for agent in merge(*(one.idle[i] for one in self.profiles.values()), key=_idle_no):
                order.add(agent)

    def take_limits(self, agent: Agent) -> None:
        """His capacity, from his record and the policy."""
        policy = self._state.policy
        if policy is None:
            return
        agent.units = policy.agents.units if agent.own_units is None else agent.own_units
        own = agent.channel_max
        key = tuple(sorted(own.items()))
        limits = self._limits.get(key)
        if limits is None:
            limits = [own.get(c.name, c.policy.per_agent_max) for c in self.channel_list]
            self._limits[key] = limits
        agent.limits = limits

    def _take_load(self, agent: Agent) -> None:
        self.take_limits(agent)
        agent.counts = [0] * len(self.channel_list)
        agent.loads = [0] * len(self.channel_list)
        agent.units_used = agent.interrupted = 0
        agent.cap_until_ms = None
        for item in holding(agent):
            i = self.channels[item.channel].index
            agent.counts[i] += 1
            agent.units_used += item.units
            if self.has_interrupts:
                agent.loads[i] += item.units
        if self.has_interrupts:
            interrupts.weigh(agent, self.channel_list)
        agent.closed = caps.paused(agent, self.channels)

    def take(self, agent: Agent, channel: str, units: int) -> None:
        """Use up capacity."""
        i = self.channels[channel].index
        counts = agent.counts
        counts[i] += 1
        if self.is_intricate:
            self._weigh(agent, i, units)
            return
        agent.units_used = used = agent.units_used + units
        room = agent.room
        if not room:
            return
        # ``room_of`` and ``_set_room``, written out: an item more only closes channels.
        free, limits, profile = agent.units - used, agent.limits, agent.profile
        assert profile is not None
        for one in self.channel_list:
            if room & one.bit:
                i = one.index
                if one.units > free or counts[i] >= limits[i]:
                    room ^= one.bit
                    order = profile.idle[i]
                    order.size -= 1
                    if self.many_kinds:
                        self.idle[i].size -= 1
                    if not order.size:
                        self.open_profiles[i] ^= profile.bit
        agent.room = room

    def release(self, agent: Agent, channel: str, units: int) -> None:
        """Give it back."""
        i = self.channels[channel].index
        agent.counts[i] -= 1
        if self.is_intricate:
            self._weigh(agent, i, -units)
            return
        agent.units_used -= units
        before, after = agent.room, self.room_of(agent)
        if after != before:
            self._set_room(agent, after)
            self.freed[agent.agent_id] = agent  # An item less only opens channels.

    def _weigh(self, agent: Agent, channel_index: int, units: int) -> None:
        """So much more of a channel is in his hands: what that leaves him, where channels have to do with each other."""
        if self.has_interrupts:
            agent.loads[channel_index] += units
            interrupts.weigh(agent, self.channel_list)
        else:
            agent.units_used += units
        self.refresh(agent)

    def is_interrupted(self, agent_id: AgentId, channel: str) -> bool:
        """Whether his items of this channel use nothing because another channel interrupts it."""
        if not self.has_interrupts:
            return False
        return bool(self._state.agents[agent_id].interrupted & self.channels[channel].bit)

    def has_capacity(self, agent: Agent, channel: str, *, without: int = 0) -> bool:
        """Whether one more item fits, if ``without`` pending ones of that channel were given back first."""
        wanted = self.channels[channel]
        counts = list(agent.counts)
        counts[wanted.index] -= without
        if self.has_interrupts:
            loads = list(agent.loads)
            loads[wanted.index] -= without * wanted.units
            held, interrupted = interrupts.held_and_interrupted(self.channel_list, counts)
            return interrupts.fits(agent, wanted, counts, loads, held=held, interrupted=interrupted)
        used = agent.units_used - without * wanted.units
        if used + wanted.units > agent.units or counts[wanted.index] >= agent.limits[wanted.index]:
            return False
        return not any(count and wanted.blocked_by >> i & 1 for i, count in enumerate(counts))

    def touch(self, agent: Agent) -> None:
        """He was just busy, or has just come: the end of the idle order is his place now."""
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
        """Find out anew of which channels he could be offered an item."""
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
        """Bits of the channels that fit his state, presence and capacity."""
        if agent.state is not _READY or agent.next_state is not None or agent.presence is _LOST:
            return 0
        if self.has_interrupts:
            return interrupts.rooms(agent, self.channel_list) & ~agent.closed
        counts, limits = agent.counts, agent.limits
        free = agent.units - agent.units_used
        room = 0
        for channel in self.channel_list:
            i = channel.index
            if channel.units <= free and counts[i] < limits[i]:
                room |= channel.bit
        if room and self.has_blocks:
            room &= ~self._blocked(counts)
        return room & ~agent.closed

    def _blocked(self, counts: list[int]) -> int:
        """Bits of the channels that what he has in hand keeps away from him."""
        held = sum(1 << i for i, count in enumerate(counts) if count)
        return sum(channel.bit for channel in self.channel_list if held & channel.blocked_by)

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
                # Who leaves is not taken out: that his entry is stale is seen when it comes up.
                order.size -= 1
                if self.many_kinds:
                    self.idle[i].size -= 1
                if not order.size:
                    self.open_profiles[i] ^= profile.bit


def holding(agent: Agent) -> list[Offer | Assignment]:
    """The items that use his capacity now, or would if none were interrupted."""
    items: list[Offer | Assignment] = list(agent.offers.values())
    items.extend(work for work in agent.assignments.values() if work.holds)
    return items


def _idle_no(agent: Agent) -> int:
    return agent.idle_no
