"""State of the auditor: waiting lines, contacts, agents and their capacity, derived from events and the policy.

Written from ``docs/routing.md``. The rules are implemented a second time, because code shared with the engine would hide its own
errors from the audit. Clarity goes before speed: a check walks the waiting lines instead of keeping an index.
"""

from typing import Final, TypeAlias

from msgspec import Struct, field
from sortedcontainers import SortedDict

from router.core.plans import Asks, only_of, plan_of, stage_at
from router.model.policy import (
    QUEUE_RANK,
    AcrossQueues,
    CapPolicy,
    ChannelPolicy,
    Policy,
    QueueOrder,
    QueuePolicy,
)
from router.model.states import AgentState

Place: TypeAlias = tuple[int, int, int, int]
"""Position in line: priority class (negated), 1 in LIFO queues else 0, time in ms, sequence number. The smallest is first."""

_NO_CHANNEL: Final = ChannelPolicy()
_NO_QUEUE: Final = QueuePolicy()


class Kind(Struct, frozen=True, kw_only=True):
    """Requirement class: contacts that exactly the same agents are qualified for."""

    queue_id: str
    channel: str
    skills: tuple[tuple[str, int], ...]
    also: tuple[tuple[tuple[str, int], ...], ...] = ()
    """Requirements of earlier plan steps whose agents stay qualified."""


class ContactBook(Struct, kw_only=True):
    """Live contact."""

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
    """Agents in the conversation beside the owner, by assignment id."""
    offers_made: int = 0
    preferred: str | None = None
    plan: str | None = None
    step: int = 0
    named: tuple[str, ...] = ()
    last: str | None = None
    only: tuple[str, ...] | None = None
    """Agents that the present plan step restricts the contact to; none: all qualified agents."""
    cool_downs: dict[str, int] = field(default_factory=dict)
    held: bool = False
    """Whether the contact waits for its queue to open."""
    calls_first: bool = False
    """Whether it is a customer-first callback: the customer is called before an agent is assigned."""
    is_callback: bool = False
    """Whether it is a callback whose customer is not connected yet; a closed queue keeps it waiting and never ends it."""
    is_away: bool = False
    """Whether it is a callback for later or with a running attempt, and therefore in no line."""
    kind: Kind | None = None
    place: Place | None = None
    """Position in line; none: in no line."""


class Item(Struct, kw_only=True):
    """Offer or assignment of an agent."""

    contact_id: str
    channel: str
    units: int
    holds: bool = True
    pending: bool = False
    """Whether it is a pending offer."""


class AgentBook(Struct, kw_only=True):
    """Agent."""

    agent_id: str
    skills: dict[str, int]
    queues: tuple[str, ...] | None
    own_units: int | None
    channel_max: dict[str, int]
    queue_ranks: dict[str, int] = field(default_factory=dict)
    state: AgentState = AgentState.OFFLINE
    next_state: AgentState | None = None
    lost: bool = False
    paused: frozenset[str] = frozenset()
    taken: dict[str, list[int]] = field(default_factory=dict)
    """Times of the latest accepts by channel, for the caps; ``""``: over all channels."""
    items: dict[str, Item] = field(default_factory=dict)
    rooms: frozenset[str] | None = None
    """Channels of which one more item fits; none: not computed yet."""


class Ledger:
    """State that results from the events of a run."""

    def __init__(self) -> None:
        self.policy: Policy | None = None
        self.contacts: dict[str, ContactBook] = {}
        self.agents: dict[str, AgentBook] = {}
        self.lines: dict[Kind, SortedDict[Place, ContactBook]] = {}
        self.closed: set[str] = set()
        self.dialling: dict[str, str] = {}
        """Contact id of the running customer-first attempt, by agent."""
        self._qualified: dict[tuple[str, Kind], bool] = {}

    # --- policy ------------------------------------------------------------------------------------------------------

    def queue(self, queue_id: str) -> QueuePolicy:
        """Return the policy of a queue."""
        return self.policy.queues.get(queue_id, _NO_QUEUE) if self.policy else _NO_QUEUE

    def channel(self, name: str) -> ChannelPolicy:
        """Return the policy of a channel."""
        return self.policy.channels.get(name, _NO_CHANNEL) if self.policy else _NO_CHANNEL

    def publish(self, policy: Policy) -> None:
        """Put a policy into force and recompute the position and eligibility of every contact."""
        self.policy = policy
        self.forget_qualifications()
        for agent in self.agents.values():
            agent.taken = {
                scope: times[-cap.most :]
                for scope, times in agent.taken.items()
                if (cap := self._cap(scope)) is not None
            }
        for contact in self.contacts.values():
            if contact.place is not None:
                self.take_out(contact)
                self.put_in(contact)

    def forget_qualifications(self) -> None:
        """Drop all cached qualifications and capacities after a change of an agent record or the policy."""
        self._qualified.clear()
        for agent in self.agents.values():
            agent.rooms = None

    # --- lines -------------------------------------------------------------------------------------------------------

    def put_in(self, contact: ContactBook) -> None:
        """Insert a contact into its waiting line."""
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
        strict = -max(contact.strict_class, queue.strict_class, stage.raised_class)
        if queue.order is QueueOrder.LIFO:
            newest = -(contact.queued_at_ms + credit_ms)
            contact.place = (strict, 1, newest, -contact.orig_seq)
        else:
            due_ms = contact.queued_at_ms - credit_ms
            if self.policy is not None and self.policy.across_queues is AcrossQueues.RISK:
                due_ms += 1000 * queue.service_level.threshold_s
            contact.place = (strict, 0, due_ms, contact.orig_seq)
        line = self.lines.get(contact.kind)
        if line is None:
            line = self.lines[contact.kind] = SortedDict()
        line[contact.place] = contact

    def take_out(self, contact: ContactBook) -> None:
        """Remove a contact from its waiting line, if it is in one."""
        if contact.place is not None and contact.kind is not None:
            line = self.lines[contact.kind]
            del line[contact.place]
            if not line:
                del self.lines[contact.kind]
            contact.place = None

    def enter(self, contact: ContactBook, queue_id: str) -> None:
        """Move a contact into a queue; in a closed queue it waits for the opening."""
        contact.queue_id, contact.held = queue_id, queue_id in self.closed

    def come_back(self, contact: ContactBook) -> None:
        """Mark a contact as no longer away; a callback of a closed queue waits for the opening."""
        contact.is_away = False
        if contact.is_callback:
            contact.held = contact.queue_id in self.closed

    def turn(self, queue_id: str, *, closed: bool, holds: bool) -> None:
        """Open or close a queue and update the contacts that wait for it.

        ``holds``: the closing keeps the queue's waiting contacts instead of ending or moving them.
        """
        (self.closed.add if closed else self.closed.discard)(queue_id)
        for contact in self.contacts.values():
            if contact.queue_id != queue_id or contact.owner is not None or contact.is_away:
                continue
            if closed and not (holds or contact.is_callback):
                continue
            contact.held = closed
            self.settle(contact)

    def settle(self, contact: ContactBook) -> None:
        """Insert or remove a contact so that it is in line exactly while it has no owner and may get another offer."""
        wanted = (
            contact.owner is None
            and not contact.held
            and not contact.is_away
            and len(contact.offers) < self.queue(contact.queue_id).broadcast
        )
        if wanted and contact.place is None:
            self.put_in(contact)
        elif not wanted:
            self.take_out(contact)

    def first_for(
        self, agent: AgentBook, *, before: Place | None, at_ms: int
    ) -> ContactBook | None:
        """Return a contact in line that the agent could take now and that precedes the given position; none: any position."""
        channels = self.rooms(agent)
        if not channels:
            return None
        for kind, line in self.lines.items():
            if (
                kind.channel not in channels
                or self.is_closed(agent, kind.channel, at_ms)
                or not self.is_qualified(agent, kind)
            ):
                continue
            for place, contact in line.items():
                if before is not None and place >= before:
                    break
                if not self.is_excluded(agent, contact, at_ms):
                    return contact  # type: ignore[no-any-return]
        return None

    def liked_before(self, agent: AgentBook, than: ContactBook, at_ms: int) -> ContactBook | None:
        """Return a contact the agent could take now and that precedes the chosen one by the agent's queue ranks."""
        channels = self.rooms(agent)
        chosen_key = self._liking(agent, than.queue_id, than.place)
        for kind, line in self.lines.items():
            if kind.channel not in channels or not self.is_qualified(agent, kind):
                continue
            for place, contact in line.items():
                if self._liking(agent, kind.queue_id, place) >= chosen_key:
                    break
                if not self.is_excluded(agent, contact, at_ms):
                    return contact  # type: ignore[no-any-return]
        return None

    @staticmethod
    def _liking(agent: AgentBook, queue_id: str, place: Place | None) -> tuple[int, int, Place]:
        assert place is not None
        return place[0], agent.queue_ranks.get(queue_id, QUEUE_RANK), place

    # --- eligibility -------------------------------------------------------------------------------------------------

    def is_qualified(self, agent: AgentBook, kind: Kind) -> bool:
        """Return whether queue, skills and channel of the agent fit; cached until a record or the policy changes."""
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
        """Return whether the agent may receive offers at all."""
        return agent.state is AgentState.READY and agent.next_state is None and not agent.lost

    def units(self, agent: AgentBook) -> int:
        """Return the capacity of an agent in units."""
        if agent.own_units is not None:
            return agent.own_units
        return self.policy.agents.units if self.policy else 0

    def units_used(self, agent: AgentBook) -> int:
        """Return the units in use, without those of interrupted channels."""
        held = self._held(agent)
        return sum(
            item.units
            for item in agent.items.values()
            if item.holds and not self._is_interrupted(item.channel, held)
        )

    @staticmethod
    def _held(agent: AgentBook) -> set[str]:
        return {item.channel for item in agent.items.values() if item.holds}

    def _is_interrupted(self, channel: str, held: set[str]) -> bool:
        return any(channel in self.channel(other).interrupts for other in held)

    def channel_max(self, agent: AgentBook, channel: str) -> int:
        """Return how many items of a channel the agent may have."""
        return agent.channel_max.get(channel, self.channel(channel).per_agent_max)

    def hand(self, agent: AgentBook, item_id: str, item: Item) -> None:
        """Add an offer or an assignment to an agent."""
        agent.items[item_id] = item
        agent.rooms = None

    def release(self, agent: AgentBook, item_id: str) -> None:
        """Remove an offer or an assignment from an agent."""
        agent.items.pop(item_id, None)
        agent.rooms = None

    def wrap_up(self, agent: AgentBook, item_id: str) -> None:
        """Put an item into wrap-up; its channel decides whether it still holds capacity."""
        item = agent.items.get(item_id)
        if item is not None:
            item.holds = self.channel(item.channel).wrap_up_holds_capacity
            agent.rooms = None

    def park(self, agent: AgentBook, item_id: str, *, parked: bool) -> None:
        """Park or unpark an item; a parked item holds no capacity."""
        item = agent.items.get(item_id)
        if item is not None:
            item.holds = not parked
            agent.rooms = None

    def count(self, agent: AgentBook, channel: str) -> int:
        """Return the number of items of a channel that hold capacity."""
        return sum(1 for i in agent.items.values() if i.holds and i.channel == channel)

    def take(self, agent: AgentBook, item_id: str, at_ms: int) -> None:
        """Record that an agent has accepted an offer; only the times that a cap needs are kept."""
        item = agent.items[item_id]
        item.pending = False
        for scope in (item.channel, ""):
            cap = self._cap(scope)
            if cap is not None:
                times = agent.taken.setdefault(scope, [])
                times.append(at_ms)
                del times[: -cap.most]

    def _cap(self, scope: str) -> CapPolicy | None:
        if scope:
            return self.channel(scope).cap
        return self.policy.agents.cap if self.policy else None

    def is_closed(self, agent: AgentBook, channel: str, at_ms: int) -> bool:
        """Return whether the agent has paused the channel or reached a cap (accepted within the period plus pending)."""
        if channel in agent.paused:
            return True
        for scope in (channel, ""):
            cap = self._cap(scope)
            if cap is None:
                continue
            recent = [t for t in agent.taken.get(scope, ()) if at_ms - t < 1000 * cap.per_s]
            pending = [i for i in agent.items.values() if i.pending and scope in ("", i.channel)]
            if len(recent) + len(pending) >= cap.most:
                return True
        return False

    def rooms(self, agent: AgentBook) -> frozenset[str]:
        """Return the channels of which one more item fits."""
        if agent.rooms is None:
            channels = self.policy.channels if self.policy else {}
            agent.rooms = frozenset(name for name in channels if self._fits(agent, name))
        return agent.rooms

    def _fits(self, agent: AgentBook, channel: str) -> bool:
        held = self._held(agent)
        if self._is_interrupted(channel, held):
            return False
        using = {name for name in held if not self._is_interrupted(name, {*held, channel})}
        used = sum(i.units for i in agent.items.values() if i.holds and i.channel in using)
        if used + self.channel(channel).units > self.units(agent):
            return False
        if self.count(agent, channel) >= self.channel_max(agent, channel):
            return False
        return not any(channel in self.channel(other).blocks for other in using)

    def is_excluded(self, agent: AgentBook, contact: ContactBook, at_ms: int) -> bool:
        """Return whether a qualified agent with free capacity must not get this contact now."""
        if contact.cool_downs.get(agent.agent_id, 0) > at_ms:
            return True
        if contact.preferred is not None:
            if contact.preferred != agent.agent_id:
                return True
        elif contact.only is not None and agent.agent_id not in contact.only:
            return True
        if contact.calls_first and agent.agent_id in self.dialling:
            return True
        return any(offer_id in agent.items for offer_id in contact.offers)

    def call_is_over(self, contact: ContactBook) -> None:
        """Record that no attempt to call this customer is running."""
        for agent_id, contact_id in list(self.dialling.items()):
            if contact_id == contact.contact_id:
                del self.dialling[agent_id]
