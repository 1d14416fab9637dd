"""The indexes: the same answers as ``eligibility.py``, fast. Everything here is derived and can be rebuilt from the records.

Lines and profiles meet in bit masks: ``profile.mask`` has the lines its agents are qualified for, ``line.profile_mask`` the
profiles that are qualified for it, ``open_profiles[channel]`` the profiles with somebody who has room, ``busy_lines`` the lines
in which somebody waits. So an arrival looks only at profiles with room for it, and a freed agent only at lines that he
serves and in which somebody waits.
"""

from bisect import bisect_left, insort
from hashlib import blake2b
from typing import Final

from router.core import caps, interrupts
from router.core.fact_order import OrderingFacts, ordering_facts
from router.core.lines import Line, LineKey, Needs, needs_of
from router.core.plans import NO_PLAN, Asks, Stage, asks_of, only_of, plan_of, stage_at
from router.core.profiles import IdleOrder, Profile, ProfileKey, profile_key
from router.core.ranking import rank_key
from router.core.state import Agent, Assignment, Contact, Offer, RoutingState
from router.model.callbacks import CallbackPhase
from router.model.ids import AgentId, ContactId, QueueId
from router.model.policy import AcrossQueues, CallbackMode, ChannelPolicy, Policy
from router.model.states import AgentState, ContactState, Presence
from router.rules.entry import Classifier
from router.rules.qualification import Qualification

# Requirement classes that are empty are kept for their next contact, up to this many.
_EMPTY_LINES_MAX: Final = 2_000
_NO_SKILLS: Final[dict[str, int]] = {}
_NO_POLICY: Final = Policy(channels={}, queues={})
_STAGES_MAX: Final = 10_000


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


class Index:
    """All indexes of one workspace."""

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
        self.busy_lines = 0
        self.heads: list[tuple[int, int]] = []
        """(head, line index) of every line in which somebody waits, first in the total order first."""
        self.private: dict[AgentId, list[Line]] = {}
        self.queue_lines: dict[QueueId, list[Line]] = {}
        self.profiles: dict[ProfileKey, Profile] = {}
        self.profile_list: list[Profile | None] = []
        self._free_profiles: list[int] = []
        self._asked: tuple[int, list[Profile]] = (0, [])
        self.open_profiles: list[int] = []
        self.idle: list[IdleOrder] = []
        """By channel: everybody with room for it, longest idle first."""
        self.has_interrupts = False
        """Whether some channel interrupts another: only then loads are kept by channel."""
        self.has_caps = False
        """Whether there is a cap on what an agent takes within a time: only then times are kept."""
        self.freed: dict[AgentId, Agent] = {}
        """Agents with more room than before; ``matching`` empties it."""
        self.seeking: dict[ContactId, Contact] = {}
        """Contacts that wait anew, or that somebody may take again."""
        self.classifier = Classifier(_NO_POLICY)
        self.qualification = Qualification(_NO_POLICY)
        """The entry rules and the queues' conditions on agents, ready to be asked."""
        self.dialling: dict[AgentId, ContactId] = {}
        """Agents for whom the customer of a ``customer_first`` callback is being called: one at a time for each."""
        self._declared: frozenset[str] = frozenset()
        self._by_due_date = False
        self._ordering: OrderingFacts = {}
        self._limits: dict[Needs, list[int]] = {}
        """Shared by all agents with the same overrides: few of them, so they stay at hand."""
        self.left: dict[AgentId, Agent | None] = {}
        """Agents for whom contacts are kept, and who may not be there for them any more; ``matching`` empties it."""
        self._plans = False
        """Whether the policy has any."""
        self._planned: frozenset[QueueId] = frozenset()
        """The queues that have one."""
        self._stages: dict[tuple[QueueId, str | None, int, Needs], Stage] = {}
        self._memo: tuple[QueueId, str, dict[str, int], AgentId | None, Line] | None = None

    # --- the whole --------------------------------------------------------------
    def rebuild(self, policy: Policy) -> None:
        """Everything anew, under this policy; every waiting contact and every agent gets another look."""
        state = self._state
        self._take_channels(policy)
        self.lines, self.by_index, self._free_indexes = {}, [], []
        self.held_lines = {}
        self.private, self.queue_lines = {}, {}
        self.busy_lines, self.heads, self._memo = 0, [], None
        self._plans, self._stages = bool(policy.plans), {}
        self._planned = frozenset(name for name, queue in policy.queues.items() if queue.plan)
        self.profiles, self.profile_list, self._free_profiles = {}, [], []
        self._asked = (0, [])
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
        self.channel_lines = [0] * len(self.channel_list)
        self._limits = {}
        self._declared = frozenset(policy.skills)
        self.classifier = Classifier(policy)
        self.qualification = Qualification(policy)
        self._by_due_date = policy.across_queues is AcrossQueues.RISK
        self._ordering = ordering_facts(policy)

    # --- contacts ---------------------------------------------------------------
    def place(self, contact: Contact) -> None:
        """Let a QUEUED (or still seeking OFFERED) contact stand where its record says, and be looked at."""
        if contact.key:
            self.unplace(contact)
        line = self.line_for(contact)
        if contact.line is not line:
            self.leave(contact)
            contact.line = line
            line.refs += 1
        if self._plans:
            self._raise(contact)
        if len(contact.offers) >= line.broadcast:
            return
        contact.key = rank_key(contact, line.queue, line.due_after_ms)
        before = line.head
        line.add(contact.key, contact)
        if line.held:
            return
        if line.head != before and line.only is None:
            self._head_moved(line, before)
        self.seeking[contact.contact_id] = contact

    def _raise(self, contact: Contact) -> None:
        """What its plan adds to its credit and class."""
        contact.raised_s = contact.raised_class = 0
        if contact.plan is not None or contact.queue_id in self._planned:
            stage = self.stage(asks_of(contact))
            contact.raised_s, contact.raised_class = stage.raised_s, stage.raised_class

    def unplace(self, contact: Contact) -> None:
        """It no longer waits; its line stays known while it is offered."""
        line = contact.line
        assert line is not None
        before = line.head
        line.remove(contact.key)
        contact.key = 0
        if line.head != before and line.only is None and not line.held:
            self._head_moved(line, before)
        self.seeking.pop(contact.contact_id, None)

    def _head_moved(self, line: Line, before: int) -> None:
        heads = self.heads
        if before:
            del heads[bisect_left(heads, (before, line.index))]
        else:
            self.busy_lines |= line.bit
        if line.head:
            insort(heads, (line.head, line.index))
        else:
            self.busy_lines &= ~line.bit

    def leave(self, contact: Contact) -> None:
        """It has nothing to do with its line any more."""
        line = contact.line
        if line is None:
            return
        if contact.key:
            self.unplace(contact)
        contact.line = None
        line.refs -= 1
        if not line.refs and (
            line.only is not None or line.held or len(self.lines) > _EMPTY_LINES_MAX
        ):
            self._drop_line(line)

    def line_for(self, contact: Contact) -> Line:
        """The line of its requirement class, made if need be."""
        if contact.held:
            return self._held_line(contact)
        if self._plans and (contact.plan is not None or contact.queue_id in self._planned):
            return self.line_at(asks_of(contact))
        return self._plain_line(
            contact.queue_id, contact.channel, contact.skills, contact.preferred_agent_id
        )

    def base_line(self, queue_id: QueueId, channel: str) -> Line:
        """The line of contacts that ask for no more than a queue requires of all."""
        return self._plain_line(queue_id, channel, _NO_SKILLS, None)

    def line_at(self, asks: Asks) -> Line:
        """The line of what is asked for."""
        policy = self._state.policy
        plan = NO_PLAN if policy is None else plan_of(policy, asks.queue_id, asks.plan)
        if not plan:
            return self._plain_line(asks.queue_id, asks.channel, asks.skills, asks.reserved)
        stage = self.stage(asks)
        only = only_of(plan, asks)
        key = (asks.queue_id, asks.channel, stage.needs, only, stage.also, stage.selection)
        return self.lines.get(key) or self._make_line(key)

    def stage(self, asks: Asks) -> Stage:
        """What the step asks for, whoever is preferred."""
        state = self._state
        assert state.policy is not None
        own = asks.plan
        key = (asks.queue_id, own, asks.step, tuple(sorted(asks.skills.items())))
        stage = self._stages.get(key)
        if stage is None:
            if len(self._stages) >= _STAGES_MAX:
                self._stages.clear()
            plan = plan_of(state.policy, asks.queue_id, own)
            stage = stage_at(state.queue_policy(asks.queue_id), plan, asks.step, asks.skills)
            self._stages[key] = stage
        return stage

    def _plain_line(
        self, queue_id: QueueId, channel: str, skills: dict[str, int], reserved: AgentId | None
    ) -> Line:
        """The line of a requirement class that no plan changes."""
        memo = self._memo
        if (
            memo is not None
            and memo[2] is skills  # A requirement is asked for by decide, then again by apply.
            and memo[0] == queue_id
            and memo[1] == channel
            and memo[3] == reserved
        ):
            return memo[4]
        needs = needs_of(self._state.queue_policy(queue_id), skills)
        only = None if reserved is None else (reserved,)
        key: LineKey = (queue_id, channel, needs, only, (), None)
        line = self.lines.get(key) or self._make_line(key)
        self._memo = (queue_id, channel, skills, reserved, line)
        return line

    def _held_line(self, contact: Contact) -> Line:
        """The line of the same requirement for those who wait for their queue to open."""
        policy, asks = self._state.policy, asks_of(contact)
        plan = NO_PLAN if policy is None else plan_of(policy, asks.queue_id, asks.plan)
        only = only_of(plan, asks)
        if plan:
            stage = self.stage(asks)
            key: LineKey = (
                *(asks.queue_id, asks.channel, stage.needs),
                *(only, stage.also, stage.selection),
            )
        else:
            needs = needs_of(self._state.queue_policy(asks.queue_id), asks.skills)
            key = (asks.queue_id, asks.channel, needs, only, (), None)
        return self.held_lines.get(key) or self._make_line(key, held=True)

    def all_lines(self) -> list[Line]:
        """Every line, also those of contacts that are held back."""
        return [line for line in self.by_index if line is not None]

    def line_without_plan(self, queue_id: QueueId, channel: str, skills: dict[str, int]) -> Line:
        """The line of who does not wait: what the queue requires and these skills, nobody preferred."""
        return self._plain_line(queue_id, channel, skills, None)

    def drop_if_unused(self, line: Line) -> None:
        """Forget a line for certain agents in which nobody stands."""
        if line.only is not None and not line.refs:
            self._drop_line(line)

    def somebody_could_take(self, asks: Asks) -> bool:
        """Whether a new contact that asks for this would be offered at once."""
        line = self.line_at(asks)
        i = line.channel_index
        if line.only is None:
            return bool(self.open_profiles[i] & line.profile_mask)
        kept_for = [self.agent(name) for name in line.only]
        self.drop_if_unused(line)
        return any(
            agent is not None
            and agent.profile is not None
            and agent.profile.serves(line)
            and agent.room >> i & 1
            for agent in kept_for
        )

    def somebody_is_ready(self, asks: Asks) -> bool:
        """Whether somebody who qualifies for such a contact, in any step of its plan, is READY, busy or free."""
        policy = self._state.policy
        plan = NO_PLAN if policy is None else plan_of(policy, asks.queue_id, asks.plan)
        return any(self._is_somebody_ready(asks._replace(step=n)) for n in range(len(plan) or 1))

    def _is_somebody_ready(self, asks: Asks) -> bool:
        line = self.line_at(asks)
        if line.only is None:
            return any(profile.ready for profile in self.profiles_in(line.profile_mask))
        kept_for = [self.agent(name) for name in line.only]
        self.drop_if_unused(line)
        return any(
            agent is not None
            and agent.profile is not None
            and agent.profile.serves(line)
            and agent.state is AgentState.READY
            for agent in kept_for
        )

    def agent(self, agent_id: AgentId | None) -> Agent | None:
        """An agent by his id."""
        return None if agent_id is None else self._state.agents.get(agent_id)

    def kept_apart_from(self, contact: Contact, at_ms: int) -> set[AgentId]:
        """Agents in cool-down for the contact, and those who have an offer of it already."""
        found = {a for a, until_ms in (contact.cool_downs or {}).items() if until_ms > at_ms}
        if contact.callback is not None and self.dialling and calls_first(contact):
            found.update(self.dialling)
        offers = self._state.offers
        return found | {offers[offer_id].agent_id for offer_id in contact.offers}

    def lot(self, contact_id: ContactId) -> int:
        """A number to draw by: as good as chance, and the same whenever the same journal has led to this moment."""
        state = self._state
        seed = 0 if state.policy is None else state.policy.seed
        text = f"{seed}:{state.seq}:{contact_id}"
        return int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "big")

    def _make_line(self, key: LineKey, *, held: bool = False) -> Line:
        index = self._free_indexes.pop() if self._free_indexes else len(self.by_index)
        channel = self.channels[key[1]]
        line = Line(
            key,
            index=index,
            channel_index=channel.index,
            queue=self._state.queue_policy(key[0]),
            channel_policy=channel.policy,
            by_due_date=self._by_due_date,
            held=held,
        )
        if index == len(self.by_index):
            self.by_index.append(line)
        else:
            self.by_index[index] = line
        (self.held_lines if held else self.lines)[key] = line
        self.queue_lines.setdefault(line.queue_id, []).append(line)
        if held:
            for profile in self.profiles.values():
                self._meet(profile, line)
            return line
        if line.only is not None:
            for agent_id in line.only:
                self.private.setdefault(agent_id, []).append(line)
            return line
        self.channel_lines[channel.index] |= line.bit
        for profile in self.profiles.values():
            self._meet(profile, line)
        return line

    def _drop_line(self, line: Line) -> None:
        self._memo = None
        del (self.held_lines if line.held else self.lines)[line.key]
        self.by_index[line.index] = None
        self._free_indexes.append(line.index)
        self.queue_lines[line.queue_id].remove(line)
        if line.held:
            return
        if line.only is not None:
            for agent_id in line.only:
                lines = self.private[agent_id]
                lines.remove(line)
                if not lines:
                    del self.private[agent_id]
            return
        self.channel_lines[line.channel_index] &= ~line.bit

    @staticmethod
    def _meet(profile: Profile, line: Line) -> None:
        if profile.serves(line):
            profile.mask |= line.bit
            line.profile_mask |= profile.bit
        else:
            profile.mask &= ~line.bit
            line.profile_mask &= ~profile.bit

    def is_dialled_for(self, agent_id: AgentId, contact: Contact) -> bool:
        """Whether taking this contact would mean to call a customer, and one is being called for the agent already."""
        return agent_id in self.dialling and calls_first(contact)

    # --- agents -----------------------------------------------------------------
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
            self.profile_list[profile.index] = None
            self._asked = (0, [])
            self._free_profiles.append(profile.index)
            for line in self.all_lines():
                line.profile_mask &= ~profile.bit

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
        for line in self.all_lines():
            if line.only is None or line.held:
                self._meet(profile, line)
        return profile

    def profiles_in(self, mask: int) -> list[Profile]:
        """The profiles of a mask. The list is kept for whoever asks again at once: nobody changes it."""
        if mask == self._asked[0]:
            return self._asked[1]
        whole = mask
        found: list[Profile] = []
        while mask:
            bit = mask & -mask
            mask ^= bit
            profile = self.profile_list[bit.bit_length() - 1]
            assert profile is not None
            found.append(profile)
        self._asked = (whole, found)
        return found

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
        agent.counts[i] += 1
        if self.has_interrupts:
            agent.loads[i] += units
            interrupts.weigh(agent, self.channel_list)
        else:
            agent.units_used += units
        self.refresh(agent)

    def release(self, agent: Agent, channel: str, units: int) -> None:
        """Give it back."""
        i = self.channels[channel].index
        agent.counts[i] -= 1
        if self.has_interrupts:
            agent.loads[i] -= units
            interrupts.weigh(agent, self.channel_list)
        else:
            agent.units_used -= units
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
        ready = agent.state is AgentState.READY
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
        if (
            agent.state is not AgentState.READY
            or agent.next_state is not None
            or agent.presence is Presence.LOST
        ):
            return 0
        if self.has_interrupts:
            return interrupts.rooms(agent, self.channel_list) & ~agent.closed
        counts, limits = agent.counts, agent.limits
        free = agent.units - agent.units_used
        held = 0
        for i, count in enumerate(counts):
            if count:
                held |= 1 << i
        room = 0
        for channel in self.channel_list:
            i = channel.index
            if channel.units <= free and counts[i] < limits[i] and not held & channel.blocked_by:
                room |= channel.bit
        return room & ~agent.closed

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
                if not order:
                    self.open_profiles[i] |= profile.bit
                order.add(agent)
                self.idle[i].add(agent)
            else:
                order.remove(agent)
                self.idle[i].remove(agent)
                if not order:
                    self.open_profiles[i] &= ~profile.bit


def calls_first(contact: Contact) -> bool:
    """Whether its customer is called when its turn comes, instead of an offer."""
    callback = contact.callback
    return (
        callback is not None
        and callback.mode is CallbackMode.CUSTOMER_FIRST
        and callback.phase is CallbackPhase.WAITING
    )


def holding(agent: Agent) -> list[Offer | Assignment]:
    """The items that use his capacity now, or would if none were interrupted."""
    items: list[Offer | Assignment] = list(agent.offers.values())
    items.extend(work for work in agent.assignments.values() if work.holds)
    return items


def _idle_no(agent: Agent) -> int:
    return agent.idle_no
