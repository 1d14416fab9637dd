"""Contacts and their waiting lines: the waiting contacts of one requirement class, in rank order.

All contacts in a line need the same queue, channel and skills, so the same agents qualify for all of them. An agent with free
capacity therefore compares only the heads of the lines that the agent qualifies for, never every waiting contact. Contacts
that are reserved for certain agents have lines of their own, and so have contacts that wait for their queue to open.

The *rank* of a contact in the total order of the workspace is one integer; smaller is served first. From the most significant
end it holds: priority class (higher class first), order of the queue (``fifo`` before ``lifo``), time, ``queued_seq``. In a
``fifo`` queue the time is the submit time minus the seconds of priority, plus the threshold of the queue's service level where
due dates are compared; earlier is served first. In a ``lifo`` queue it is the submit time plus the seconds of priority; later
is served first. Every part is constant while a contact waits, so waiting never changes the order of two contacts.

A line sorts by *order key*, which leaves out the settings of the queue: the submit time, ``queued_seq`` and the contact's own
priority. The rank is ``base_rank + order_key``, or ``base_rank - order_key`` for a newest-first queue, which is read from its
end. So a new queue priority moves the whole line by changing one number, and a changed order only reverses the reading
direction. The exception are the contacts with a priority or class of their own or from their plan, and those that have waited
for openings (``individually_ranked``): their keys depend on the queue's class and order, and are recomputed when those change.

Adding and removing costs O(log n) plus the shift of a short array; reading the head is O(1).

Due dates: J. R. Jackson, "Scheduling a production line to minimize maximum tardiness", 1955.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct
from sortedcontainers import SortedList

from router.engine.state.contact_parts import CallbackState, ChannelSwitch, MonitorState, RequestState, SuspensionState
from router.engine.state.records import RequirementKey, SelectionRecord, WaitingLineKey, format_requirement
from router.model.policy import ChannelPolicy, FactValue, QueueOrder, QueuePolicy, Selection
from router.model.states import AgentId, AssignmentId, CallbackPhase, ContactId, ContactState, EndedBy, OfferId, OfferState, QueueId
from router.policy.customer_classes import RankedFact


class WaitingLine:
    """The waiting contacts of one requirement class."""

    __slots__ = (
        "_is_plain_list",
        "alternatives",
        "auto_accept",
        "base_rank",
        "bit",
        "broadcast",
        "by_due_date",
        "cached_group_mask",
        "cached_groups",
        "channel",
        "channel_index",
        "channel_policy",
        "contact_requirement",
        "contacts_by_key",
        "customer",
        "due_after_ms",
        "first_key",
        "group_mask",
        "head_rank",
        "index",
        "individually_ranked",
        "key",
        "newest_first",
        "offer_timeout_ms",
        "order_by",
        "queue",
        "queue_id",
        "reference_count",
        "requirement",
        "requirement_text",
        "reserved_for",
        "selection",
        "sorted_keys",
        "units",
        "waiting_for_opening",
    )

    def __init__(
        self,
        key: WaitingLineKey,
        *,
        index: int,
        channel_index: int,
        queue: QueuePolicy,
        channel_policy: ChannelPolicy,
        by_due_date: bool = False,
        waiting_for_opening: bool = False,
    ) -> None:
        self.waiting_for_opening = waiting_for_opening
        """Whether it holds contacts that wait for their queue to open."""
        self.contact_requirement: RequirementKey | None = None
        """Skills that every contact in it requires itself, the queue's left aside; None: contacts may differ in them."""
        self.head_rank = 0
        """Rank of the first contact in the total order; 0: the line is empty."""
        self.first_key = 0
        """Order key of the first contact."""
        self.base_rank = 0
        self.newest_first = False
        """Whether the line is read from its end; ranks then are ``base_rank - order_key``."""
        self.individually_ranked: dict[int, Contact] = {}
        """Contacts whose order key includes a priority or class; recomputed when the queue's order or class changes."""
        self.sorted_keys: Any = []
        """Order keys, earliest submit first: a plain list while short (most lines are), then a sorted list."""
        self._is_plain_list = True
        self.contacts_by_key: dict[int, Contact] = {}
        self.queue = queue
        self.set_key(key)
        self.index = index
        self.bit = 1 << index
        self.channel_index = channel_index
        self.by_due_date = by_due_date
        self.apply_policy(queue, channel_policy, by_due_date=by_due_date)
        self.group_mask = 0
        self.cached_group_mask = 0
        self.cached_groups: list[Any] = []
        """Agent groups of ``cached_group_mask``, the mask that was resolved last."""
        self.reference_count = 0
        self.order_by: tuple[RankedFact, ...] = ()
        """Sort keys of ``selection: by_attributes`` for its customers; the index sets them."""

    def set_key(self, key: WaitingLineKey) -> None:
        """Set the requirement class of this line."""
        self.key = key
        self.queue_id, self.channel, self.requirement, self.reserved_for, self.alternatives, _, self.customer = key
        self.requirement_text = format_requirement(
            self.queue_id, self.channel, self.requirement, self.reserved_for, self.alternatives
        )

    def apply_policy(self, queue: QueuePolicy, channel_policy: ChannelPolicy, *, by_due_date: bool) -> None:
        """Apply changed queue and channel settings: the line as a whole may move, or be read from its other end.

        Within the line only contacts with a rank of their own move, and only if the queue's order or class has changed.
        """
        self.channel_policy = channel_policy
        before, self.queue = self.queue, queue
        self.selection: Selection = self.key[5] or queue.selection
        self.broadcast = queue.broadcast
        dates_changed, self.by_due_date = by_due_date is not self.by_due_date, by_due_date
        self.due_after_ms = queue.service_level.threshold_s * 1000 if by_due_date else 0
        self.units = channel_policy.units
        timeout_s = queue.offer_timeout_s or channel_policy.offer_timeout_s
        self.offer_timeout_ms = timeout_s * 1000
        auto = queue.auto_accept
        self.auto_accept = channel_policy.auto_accept if auto is None else auto
        self.newest_first = queue.order is _LIFO
        self.base_rank = queue_base_rank(queue, self.due_after_ms)
        is_reordered = before.order is not queue.order or before.priority_class != queue.priority_class
        if self.individually_ranked and (is_reordered or dates_changed):
            self._rerank()
        self._update_head()

    def add_many(self, contacts_by_key: dict[int, Contact]) -> None:
        """Add all of these contacts, given by order key."""
        self.contacts_by_key |= contacts_by_key
        self.individually_ranked |= {key: one for key, one in contacts_by_key.items() if is_individually_ranked(one)}
        self._rebuild_keys()
        self._update_head()

    def _rebuild_keys(self) -> None:
        self._is_plain_list = len(self.contacts_by_key) <= _PLAIN_LIST_MAX
        self.sorted_keys = sorted(self.contacts_by_key)
        if not self._is_plain_list:
            self._convert_to_sorted_list()

    def _rerank(self) -> None:
        """Recompute the order keys of the individually ranked contacts."""
        moved, self.individually_ranked = self.individually_ranked, {}
        one_by_one = len(moved) * _RESORT_SHARE < len(self.contacts_by_key)
        for key, contact in moved.items():
            del self.contacts_by_key[key]
            contact.order_key = order_key_of(contact, self.queue, by_due_date=self.by_due_date)
            if one_by_one:
                self.sorted_keys.remove(key)
        for contact in moved.values():
            key = contact.order_key
            self.contacts_by_key[key] = self.individually_ranked[key] = contact
            if one_by_one:
                insort(self.sorted_keys, key) if self._is_plain_list else self.sorted_keys.add(key)
        if not one_by_one:
            self._rebuild_keys()

    def _update_head(self) -> None:
        if not self.contacts_by_key:
            self.head_rank = self.first_key = 0
            return
        self.first_key = self.sorted_keys[-1 if self.newest_first else 0]
        self.head_rank = self.rank_of_key(self.first_key)

    def rank_of_key(self, key: int) -> int:
        """Return the rank in the total order of an order key of this line."""
        return self.base_rank - key if self.newest_first else self.base_rank + key

    def rank_of(self, contact: Contact) -> int:
        """Return the rank in the total order of a contact in this line."""
        return self.rank_of_key(contact.order_key)

    def contact_at(self, rank: int) -> Contact:
        """Return the contact with this rank in the total order."""
        return self.contacts_by_key[self.base_rank - rank if self.newest_first else rank - self.base_rank]

    def rank_after(self, rank: int) -> int:
        """Return the least rank in this line that is greater than a rank of the total order; 0 if there is none. Costs O(log n)."""
        waiting = self.sorted_keys
        if self.newest_first:
            key = self.base_rank - rank
            index = bisect_left(waiting, key) if self._is_plain_list else waiting.bisect_left(key)
            return self.rank_of_key(waiting[index - 1]) if index else 0
        key = rank - self.base_rank
        index = bisect_right(waiting, key) if self._is_plain_list else waiting.bisect_right(key)
        return self.rank_of_key(waiting[index]) if index < len(waiting) else 0

    def contact_with_rank(self, rank: int) -> Contact | None:
        """Return the contact with this rank in the total order; None if it is not in this line any more."""
        return self.contacts_by_key.get(self.base_rank - rank if self.newest_first else rank - self.base_rank)

    def iter_keys(self) -> Iterator[int]:
        """Iterate over the order keys in serving order."""
        return reversed(self.sorted_keys) if self.newest_first else iter(self.sorted_keys)

    def add(self, key: int, contact: Contact) -> None:
        """Add a contact with this order key."""
        if self._is_plain_list:
            insort(self.sorted_keys, key)
            if len(self.sorted_keys) > _PLAIN_LIST_MAX:
                self._convert_to_sorted_list()
        else:
            self.sorted_keys.add(key)
        self.contacts_by_key[key] = contact
        place = self.base_rank - key if self.newest_first else key + self.base_rank
        if not self.head_rank or place < self.head_rank:
            self.head_rank, self.first_key = place, key

    def remove(self, key: int) -> None:
        """Remove the contact with this order key."""
        del self.contacts_by_key[key]
        if self.individually_ranked:
            self.individually_ranked.pop(key, None)
        if key == self.first_key:
            waiting = self.sorted_keys
            if not self.contacts_by_key:
                waiting.clear()
                self.head_rank = self.first_key = 0
            elif self.newest_first:
                del waiting[-1]
                self.first_key = first = waiting[-1]
                self.head_rank = self.base_rank - first
            else:
                del waiting[0]
                self.first_key = first = waiting[0]
                self.head_rank = first + self.base_rank
        elif self._is_plain_list:
            del self.sorted_keys[bisect_left(self.sorted_keys, key)]
        else:
            self.sorted_keys.remove(key)

    def _convert_to_sorted_list(self) -> None:
        """Switch to a sorted list; never switched back, since a line that was long may grow long again."""
        waiting = SortedList()
        waiting._reset(_SORTED_LIST_LOAD)
        waiting.update(self.sorted_keys)
        self.sorted_keys, self._is_plain_list = waiting, False

    def earliest_contact(self) -> Contact | None:
        """Return the contact that has waited longest, priorities left aside; None for an empty line."""
        if not self.head_rank:
            return None
        return self.contacts_by_key[self.sorted_keys[0]]

    def count_ahead(self, rank: int) -> int:
        """Return the number of contacts ranked before this rank of the total order."""
        waiting = self.sorted_keys
        if not waiting:
            return 0
        if self.newest_first:
            key, last = self.base_rank - rank, waiting[0]
            if key <= last:
                return int(len(waiting) - (key == last))
            behind = bisect_right(waiting, key) if self._is_plain_list else waiting.bisect_right(key)
            return int(len(waiting) - behind)
        key = rank - self.base_rank
        # Most queries concern the last contact or a rank behind it; both need no search.
        last = waiting[-1]
        if key >= last:
            return int(len(waiting) - (key == last))
        return bisect_left(waiting, key) if self._is_plain_list else int(waiting.bisect_left(key))


class Contact(Struct, array_like=True, gc=False):
    """A contact: live, or ended within the retention period."""

    contact_id: ContactId
    channel: str
    queue_id: QueueId
    state: ContactState
    queued_at_ms: int
    changed_at_ms: int
    queued_seq: int
    skills: dict[str, int] = {}
    priority_s: int = 0
    priority_class: int = 0
    attributes: dict[str, FactValue] = {}
    reference: str | None = None
    gateway_id: str = ""
    ttl_at_ms: int | None = None
    wait_until_ms: int | None = None
    overflow_count: int = 0
    """Number of overflows so far."""
    waiting_for_opening: bool = False
    """Whether it waits for its queue to open; until then it is offered to no agent."""
    offers_made: int = 0
    pending_offer_ids: tuple[OfferId, ...] = ()
    """Ids of its pending offers."""
    agent_id: AgentId | None = None
    assignment_id: AssignmentId | None = None
    """Owner and the owner's assignment; kept after the contact has ended."""
    participant_assignment_ids: tuple[AssignmentId, ...] = ()
    """Assignments of the consulted agents and participants, in joining order; the owner's is not among them."""
    answered_seq: int = 0
    """``seq`` of the event that gave the contact to its owner."""
    preferred_agent_id: AgentId | None = None
    preferred_until_ms: int | None = None
    return_to_agent_id: AgentId | None = None
    return_to_sender_ms: int | None = None
    """Agent who is preferred next, and for how many milliseconds, if the preferred agent does not take the contact."""
    plan: str | None = None
    """Name of its own plan; None: the queue's plan applies."""
    step: int = 0
    step_until_ms: int | None = None
    preferred_agents: tuple[AgentId, ...] = ()
    last_agent_id: AgentId | None = None
    cool_downs: dict[AgentId, int] | None = None
    ended_offers: dict[OfferId, tuple[OfferState, int, AgentId]] | None = None
    """Final state, ``seq`` of the final event and agent of each offer that has ended."""
    ended_seq: int = 0
    reason: str | None = None
    entry_rule: str | None = None
    failed_rules: tuple[str, ...] = ()
    """Entry rule that classified the contact, and the rules that failed to evaluate before it."""
    callback: CallbackState | None = None
    selection: SelectionRecord | None = None
    """Why its last owner was chosen; set at the end of an answered contact."""
    ended_by: EndedBy | None = None
    overflowed_from: tuple[QueueId, ...] = ()
    """Queues that it has left by an overflow since it was submitted or placed in a queue by a person; it overflows to none of
    them again."""
    dispositions: tuple[tuple[AssignmentId, str], ...] = ()
    """Dispositions of its completed assignments; an assignment without one is not listed."""
    left_agent_ids: tuple[AgentId, ...] = ()
    """Agents who were consulted or took part and have left."""
    closed_since_ms: int | None = None
    """Since when it waits for its queue to open; None: it does not."""
    closed_ms: int = 0
    """Time that it has waited for openings and that does not count as waiting."""
    customer_facts: dict[str, FactValue] = {}
    """Facts of the customer as they were known at the submit, or at the last change of those that are refreshed."""
    customer_id: str | None = None
    """Random id of the customer; None: not known."""
    suspension: SuspensionState | None = None
    request: RequestState | None = None
    """Request of its customer; None: it was submitted without one."""
    switch: ChannelSwitch | None = None
    switched_seq: int = 0
    """``seq`` of the event that gave it its present channel; 0: it has the channel of its submit."""
    monitors: tuple[MonitorState, ...] = ()
    """Supervisors in the conversation, or asked for; set by the index of monitors only."""
    waiting_line: WaitingLine | None = None
    """Derived: the waiting line it is in, or returns to when its offer ends."""
    order_key: int = 0
    """Derived: its sort key within that line; 0: it is not in the line now."""
    plan_priority_s: int = 0
    """Derived: seconds of priority added by its plan."""
    plan_priority_class: int = 0
    """Derived: the least priority class that its plan demands."""
    slot: int = 0
    """Derived: its place in the directory of contacts; 0: it is not listed there yet."""

    def age_ms(self, at_ms: int) -> int:
        """Return its age; it stands still while the contact is suspended."""
        if self.state is _SUSPENDED and self.suspension is not None:
            return self.suspension.age_ms
        return at_ms - self.queued_at_ms

    @property
    def awaits_customer(self) -> bool:
        """Return whether it is a callback whose customer is not connected; such a customer gets no position or wait estimate."""
        callback = self.callback
        return callback is not None and callback.phase is not CallbackPhase.CONNECTED

    @property
    def waits_live(self) -> bool:
        """Return whether its customer waits for an agent, and not for a call."""
        return self.state in (ContactState.QUEUED, ContactState.OFFERED) and self.callback is None

    @property
    def awaits_offers(self) -> bool:
        """Return whether it waits for an offer, the first one or, in a broadcast, a further one."""
        return self.state is ContactState.QUEUED or self.order_key != 0


# Bound once: an attribute lookup on the enum class costs more than the comparisons it serves.
_LIFO: Final = QueueOrder.LIFO

_SUSPENDED: Final = ContactState.SUSPENDED

_CLASS_MAX: Final = 9

# Leaves space for days of priority before the year 1970, and for times far beyond 2100.
_TIME_OFFSET: Final = 1 << 50

SEQ_BITS: Final = 52

_TIME_BITS: Final = 54

_SEQ_MASK: Final = (1 << SEQ_BITS) - 1

_TIME_MASK: Final = (1 << _TIME_BITS) - 1

_CLASS_SHIFT: Final = SEQ_BITS + _TIME_BITS + 1

_LIFO_RANK: Final = 1 << (SEQ_BITS + _TIME_BITS)


def total_order_rank(contact: Contact, queue: QueuePolicy, due_after_ms: int = 0) -> int:
    """Return the contact's rank in the total order. Unique within a workspace, never 0.

    ``due_after_ms`` is the answer time promised by the queue, where due dates are compared; 0 elsewhere.
    """
    base, key = queue_base_rank(queue, due_after_ms), order_key_of(contact, queue, by_due_date=due_after_ms > 0)
    return base - key if queue.order is _LIFO else base + key


def queue_base_rank(queue: QueuePolicy, due_after_ms: int = 0) -> int:
    """Return the queue's part of the rank, to which the order key is added (``lifo``: from which it is subtracted).

    Kept apart from the order key so that a changed queue moves its lines without touching their contacts.
    """
    class_part = _CLASS_MAX - queue.priority_class << _CLASS_SHIFT
    credit_ms = 1000 * queue.priority_s
    if queue.order is _LIFO:
        time_part = _TIME_MASK - _TIME_OFFSET - credit_ms << SEQ_BITS
        return class_part + _LIFO_RANK + time_part + _SEQ_MASK
    return class_part + (_TIME_OFFSET + due_after_ms - credit_ms << SEQ_BITS)


def order_key_of(contact: Contact, queue: QueuePolicy, *, by_due_date: bool) -> int:
    """Return the sort key among contacts of the same queue, later is larger. Never 0.

    Where due dates are compared, a contact is due later by the time that it has waited for openings.

    Without a priority or class of its own, a contact's key is its submit time and, in the last ``SEQ_BITS``, its ``queued_seq``,
    whatever the queue's order and class.
    """
    key = contact.queued_at_ms << SEQ_BITS | contact.queued_seq
    if not is_individually_ranked(contact):
        return key
    if by_due_date and queue.order is not _LIFO:
        key += contact.closed_ms << SEQ_BITS
    ahead = 1000 * (contact.priority_s + contact.plan_priority_s) << SEQ_BITS
    above = max(contact.priority_class, contact.plan_priority_class) - queue.priority_class
    if above > 0:
        ahead += above << _CLASS_SHIFT
    return key + ahead if queue.order is _LIFO else key - ahead


def is_individually_ranked(contact: Contact) -> bool:
    """Return whether the contact or its plan sets a priority or class, or its due date has moved while its queue was closed."""
    return bool(
        contact.priority_s or contact.priority_class or contact.plan_priority_s or contact.plan_priority_class or contact.closed_ms
    )


def inverted_priority_class(rank: int) -> int:
    """Return the inverted priority class of a rank: 0 is the highest class."""
    return rank >> _CLASS_SHIFT


# Keys in one segment of the sorted list (the load factor of sortedcontainers, set as its documentation shows). Removing the first
# key shifts the rest of its segment; segments are shorter than the default of 1,000 because the first key is removed most often.
_SORTED_LIST_LOAD: Final = 128

# Up to this length a plain list, whose removal of the first key shifts all others, beats a sorted list (0.7 against 0.9 µs).
_PLAIN_LIST_MAX: Final = 4_096

# If more than one key in this many changes, all keys are sorted again.
_RESORT_SHARE: Final = 16


def requirement_key(queue: QueuePolicy, skills: dict[str, int]) -> RequirementKey:
    """Return the requirement of queue and contact combined: the higher level of each skill, sorted by skill name."""
    if not queue.requires:
        return tuple(sorted(skills.items())) if len(skills) > 1 else tuple(skills.items())
    needs = dict(queue.requires)
    for skill, level in skills.items():
        if level > needs.get(skill, 0):
            needs[skill] = level
    return tuple(sorted(needs.items()))
