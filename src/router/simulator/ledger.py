"""The auditor's own books: who waits, who has what, who may take what. Written from ``docs/routing.md``, not from the core.

Nothing of ``router.core`` is imported here: two bookkeepings that share code would share its errors.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

from msgspec import Struct, field
from sortedcontainers import SortedDict

from router.core.plans import Asks, only_of, plan_of, stage_at
from router.model.policy import ChannelPolicy, Policy, QueuePolicy
from router.model.states import AgentState

Place: TypeAlias = tuple[int, int, int]
"""Strict class (negated), submit less credit in ms, orig_seq: smaller goes first."""

_NO_CHANNEL: Final = ChannelPolicy()
_NO_QUEUE: Final = QueuePolicy()


class Kind(Struct, frozen=True, kw_only=True):
    """Contacts that ask for the same."""

    queue_id: str
    channel: str
    skills: tuple[tuple[str, int], ...]
    also: tuple[tuple[tuple[str, int], ...], ...] = ()
    """Requirements of earlier steps whose agents may still take it."""


class ContactBook(Struct, kw_only=True):
    """A live contact."""

    contact_id: str
    channel: str
    queue_id: str
    skills: dict[str, int]
    priority_s: int
    strict_class: int
    queued_at_ms: int
    orig_seq: int
    offers: set[str] = field(default_factory=set)
    owner: str | None = None
    assignment_id: str | None = None
    others: dict[str, str] = field(default_factory=dict)
    """Who is in the conversation beside the owner: assignment id to agent id."""
    offers_made: int = 0
    preferred: str | None = None
    plan: str | None = None
    step: int = 0
    named: tuple[str, ...] = ()
    last: str | None = None
    only: tuple[str, ...] | None = None
    """Who alone may take it in its step; none: everybody who is qualified."""
    cool_downs: dict[str, int] = field(default_factory=dict)
    kind: Kind | None = None
    place: Place | None = None
    """Where it stands in line; none: in no line."""


class Item(Struct, kw_only=True):
    """Something in an agent's hands."""

    contact_id: str
    channel: str
    units: int
    holds: bool = True


class AgentBook(Struct, kw_only=True):
    """An agent."""

    agent_id: str
    skills: dict[str, int]
    queues: tuple[str, ...] | None
    own_units: int | None
    channel_max: dict[str, int]
    state: AgentState = AgentState.OFFLINE
    next_state: AgentState | None = None
    lost: bool = False
    items: dict[str, Item] = field(default_factory=dict)
    rooms: frozenset[str] | None = None
    """The channels of which one more item fits; none: to be worked out."""


class Ledger:
    """The state that the events add up to."""

    def __init__(self) -> None:
        self.policy: Policy | None = None
        self.contacts: dict[str, ContactBook] = {}
        self.agents: dict[str, AgentBook] = {}
        self.lines: dict[Kind, SortedDict[Place, ContactBook]] = {}
        self._qualified: dict[tuple[str, Kind], bool] = {}

    # --- policy ------------------------------------------------------------------------------------------------------

    def queue(self, queue_id: str) -> QueuePolicy:
        """The queue's policy."""
        return self.policy.queues.get(queue_id, _NO_QUEUE) if self.policy else _NO_QUEUE

    def channel(self, name: str) -> ChannelPolicy:
        """The channel's policy."""
        return self.policy.channels.get(name, _NO_CHANNEL) if self.policy else _NO_CHANNEL

    def publish(self, policy: Policy) -> None:
        """Another policy holds: everybody's place and eligibility is worked out anew."""
        self.policy = policy
        self.forget_qualifications()
        for contact in self.contacts.values():
            if contact.place is not None:
                self.take_out(contact)
                self.put_in(contact)

    def forget_qualifications(self) -> None:
        """An agent's record or the policy has changed."""
        self._qualified.clear()
        for agent in self.agents.values():
            agent.rooms = None

    # --- lines -------------------------------------------------------------------------------------------------------

    def put_in(self, contact: ContactBook) -> None:
        """The contact stands in line, where it belongs."""
        queue = self.queue(contact.queue_id)
        plan = plan_of(self.policy, contact.queue_id, contact.plan) if self.policy else ()
        stage = stage_at(queue, plan, contact.step, contact.skills)
        asks = Asks(
            contact.queue_id,
            contact.channel,
            contact.skills,
            step=contact.step,
            named=contact.named,
            last=contact.last,
        )
        contact.only = only_of(plan, asks)
        contact.kind = Kind(
            queue_id=contact.queue_id,
            channel=contact.channel,
            skills=stage.needs,
            also=stage.also,
        )
        credit_ms = 1000 * (contact.priority_s + queue.priority_s + stage.raised_s)
        contact.place = (
            -max(contact.strict_class, queue.strict_class, stage.raised_class),
            contact.queued_at_ms - credit_ms,
            contact.orig_seq,
        )
        line = self.lines.get(contact.kind)
        if line is None:
            line = self.lines[contact.kind] = SortedDict()
        line[contact.place] = contact

    def take_out(self, contact: ContactBook) -> None:
        """The contact stands in line no more."""
        if contact.place is not None and contact.kind is not None:
            line = self.lines[contact.kind]
            del line[contact.place]
            if not line:
                del self.lines[contact.kind]
            contact.place = None

    def settle(self, contact: ContactBook) -> None:
        """In line exactly while nobody has it and it has fewer live offers than its queue wants."""
        wanted = (
            contact.owner is None and len(contact.offers) < self.queue(contact.queue_id).broadcast
        )
        if wanted and contact.place is None:
            self.put_in(contact)
        elif not wanted:
            self.take_out(contact)

    def first_for(
        self, agent: AgentBook, *, before: Place | None, at_ms: int
    ) -> ContactBook | None:
        """A contact in line that the agent could take now, and that goes before the given place."""
        rooms = self.rooms(agent)
        if not rooms:
            return None
        for kind, line in self.lines.items():
            if kind.channel not in rooms or not self.is_qualified(agent, kind):
                continue
            for place, contact in line.items():
                if before is not None and place >= before:
                    break
                if not self.is_excluded(agent, contact, at_ms):
                    return contact  # type: ignore[no-any-return]
        return None

    # --- eligibility -------------------------------------------------------------------------------------------------

    def is_qualified(self, agent: AgentBook, kind: Kind) -> bool:
        """Queue, skills and channel; cached until a record or the policy changes."""
        known = self._qualified.get((agent.agent_id, kind))
        if known is None:
            known = (
                (agent.queues is None or kind.queue_id in agent.queues)
                and any(self._has(agent, skills) for skills in (kind.skills, *kind.also))
                and agent.channel_max.get(kind.channel, 1) > 0
            )
            self._qualified[agent.agent_id, kind] = known
        return known

    def _has(self, agent: AgentBook, skills: tuple[tuple[str, int], ...]) -> bool:
        declared = self.policy.skills if self.policy else ()
        return all(s in declared and agent.skills.get(s, 0) >= n for s, n in skills)

    def is_open(self, agent: AgentBook) -> bool:
        """Whether offers may come to him at all."""
        return agent.state is AgentState.READY and agent.next_state is None and not agent.lost

    def units(self, agent: AgentBook) -> int:
        """His capacity."""
        if agent.own_units is not None:
            return agent.own_units
        return self.policy.agents.units if self.policy else 0

    def units_used(self, agent: AgentBook) -> int:
        """What his items use up."""
        return sum(item.units for item in agent.items.values() if item.holds)

    def count(self, agent: AgentBook, channel: str) -> int:
        """His items of a channel that hold capacity."""
        return sum(1 for i in agent.items.values() if i.holds and i.channel == channel)

    def channel_max(self, agent: AgentBook, channel: str) -> int:
        """The most items of a channel that he may have."""
        return agent.channel_max.get(channel, self.channel(channel).per_agent_max)

    def hand(self, agent: AgentBook, item_id: str, item: Item) -> None:
        """Something comes into his hands."""
        agent.items[item_id] = item
        agent.rooms = None

    def release(self, agent: AgentBook, item_id: str) -> None:
        """Something leaves his hands."""
        agent.items.pop(item_id, None)
        agent.rooms = None

    def wrap_up(self, agent: AgentBook, item_id: str) -> None:
        """What he has is in wrap-up; whether it still holds capacity is the channel's affair."""
        item = agent.items.get(item_id)
        if item is not None:
            item.holds = self.channel(item.channel).wrap_up_holds_capacity
            agent.rooms = None

    def rooms(self, agent: AgentBook) -> frozenset[str]:
        """The channels of which one more item fits."""
        if agent.rooms is None:
            channels = self.policy.channels if self.policy else {}
            agent.rooms = frozenset(name for name in channels if self._fits(agent, name))
        return agent.rooms

    def _fits(self, agent: AgentBook, channel: str) -> bool:
        if self.units_used(agent) + self.channel(channel).units > self.units(agent):
            return False
        if self.count(agent, channel) >= self.channel_max(agent, channel):
            return False
        held = {item.channel for item in agent.items.values() if item.holds}
        return not any(channel in self.channel(other).blocks for other in held)

    def is_excluded(self, agent: AgentBook, contact: ContactBook, at_ms: int) -> bool:
        """What stands between this agent and this contact though he is qualified and has room."""
        if contact.cool_downs.get(agent.agent_id, 0) > at_ms:
            return True
        if contact.preferred is not None:
            if contact.preferred != agent.agent_id:
                return True
        elif contact.only is not None and agent.agent_id not in contact.only:
            return True
        return any(offer_id in agent.items for offer_id in contact.offers)

    def open_agents(self) -> Iterator[AgentBook]:
        """Agents to whom offers may come."""
        return (agent for agent in self.agents.values() if self.is_open(agent))
