"""Waiting lines: the waiting contacts of one requirement class, in rank order.

All contacts in a line need the same queue, channel and skills, so the same agents qualify for all of them. An agent with free
capacity therefore compares only the heads of the lines that the agent qualifies for, never every waiting contact. Contacts
that are reserved for certain agents have lines of their own, and so have contacts that wait for their queue to open.

A line sorts by *order key*: a number that depends on the contact alone (submit time, ``seq``, its own priority), not on the
queue's priority settings. The *rank* in the total order of the workspace is ``base_rank + order_key``, or
``base_rank - order_key`` for a newest-first queue, which is read from its end. So a new queue priority moves the whole line by
changing one number, and a changed order only reverses the reading direction. The exception are the contacts with a priority or
class of their own or from their plan (``individually_ranked``): their keys depend on the queue's class and order, and are
recomputed when those change.

Adding and removing costs O(log n) plus the shift of a short array; reading the head is O(1).
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from sortedcontainers import SortedList

from router.core.ranking import base_of, has_own_rank, own_place
from router.core.state import Contact
from router.model.ids import AgentId, QueueId
from router.model.policy import ChannelPolicy, QueueOrder, QueuePolicy, Selection

# Bound once: an attribute lookup on the enum class costs more than the comparisons it serves.
_LIFO: Final = QueueOrder.LIFO

Needs: TypeAlias = tuple[tuple[str, int], ...]
# Queue, channel, requirement, agents it is reserved for (None: any agent), alternative requirements, selection set by a plan
# (None: the queue's).
LineKey: TypeAlias = tuple[
    QueueId, str, Needs, tuple[AgentId, ...] | None, tuple[Needs, ...], Selection | None
]

# Keys in one segment of the sorted list (the load factor of sortedcontainers, set as its documentation shows). Removing the first
# key shifts the rest of its segment; segments are shorter than the default of 1,000 because the first key is removed most often.
_WAITING_LOAD: Final = 128
# Up to this length a plain list, whose removal of the first key shifts all others, beats a sorted list (0.7 against 0.9 µs).
_FEW_MAX: Final = 4_096
# If more than one key in this many changes, all keys are sorted again.
_MANY_MOVED: Final = 16


def needs_of(queue: QueuePolicy, skills: dict[str, int]) -> Needs:
    """Return the requirement of queue and contact combined: the higher level of each skill, sorted by skill name."""
    if not queue.requires:
        return tuple(sorted(skills.items())) if len(skills) > 1 else tuple(skills.items())
    needs = dict(queue.requires)
    for skill, level in skills.items():
        if level > needs.get(skill, 0):
            needs[skill] = level
    return tuple(sorted(needs.items()))


def req_text(
    queue_id: QueueId,
    channel: str,
    needs: Needs,
    only: tuple[AgentId, ...] | None = None,
    also: tuple[Needs, ...] = (),
) -> str:
    """Return a requirement class in readable form, such as ``voice/support:english>=5,loans>=3``.

    ``|`` precedes each alternative requirement, ``@`` the agents it is reserved for.
    """
    skills = ",".join([f"{skill}>={level}" for skill, level in needs])
    text = f"{channel}/{queue_id}:{skills}" if skills else f"{channel}/{queue_id}"
    for other in also:
        text += "|" + ",".join([f"{skill}>={level}" for skill, level in other])
    return text if only is None else f"{text}@{'+'.join(only)}"


class Line:
    """The waiting contacts of one requirement class."""

    __slots__ = (
        "_few",
        "also",
        "asked",
        "asked_mask",
        "auto_accept",
        "base",
        "bit",
        "broadcast",
        "by_key",
        "channel",
        "channel_index",
        "channel_policy",
        "due_after_ms",
        "first",
        "head",
        "held",
        "index",
        "key",
        "needs",
        "newest_first",
        "of_own_rank",
        "offer_timeout_ms",
        "only",
        "own",
        "profile_mask",
        "queue",
        "queue_id",
        "refs",
        "req",
        "selection",
        "units",
        "waiting",
    )

    def __init__(
        self,
        key: LineKey,
        *,
        index: int,
        channel_index: int,
        queue: QueuePolicy,
        channel_policy: ChannelPolicy,
        by_due_date: bool = False,
        held: bool = False,
    ) -> None:
        self.held = held
        """Whether it holds contacts that wait for their queue to open."""
        self.own: Needs | None = None
        """Skills that every contact in it requires itself, the queue's left aside; None: contacts may differ in them."""
        self.head = 0
        """Rank of the first contact in the total order; 0: the line is empty."""
        self.first = 0
        """Order key of the first contact."""
        self.base = 0
        self.newest_first = False
        """Whether the line is read from its end; ranks then are ``base_rank - order_key``."""
        self.of_own_rank: dict[int, Contact] = {}
        """Contacts whose order key includes a priority or class; recomputed when the queue's order or class changes."""
        self.waiting: Any = []
        """Order keys, earliest submit first: a plain list while short (most lines are), then a sorted list."""
        self._few = True
        self.by_key: dict[int, Contact] = {}
        self.queue = queue
        self.ask(key)
        self.index = index
        self.bit = 1 << index
        self.channel_index = channel_index
        self.renew(queue, channel_policy, by_due_date=by_due_date)
        self.profile_mask = 0
        self.asked_mask = 0
        self.asked: list[Any] = []
        """Agent groups of ``cached_group_mask``, the mask that was resolved last."""
        self.refs = 0

    def ask(self, key: LineKey) -> None:
        """Set the requirement class of this line."""
        self.key = key
        self.queue_id, self.channel, self.needs, self.only, self.also, _ = key
        self.req = req_text(self.queue_id, self.channel, self.needs, self.only, self.also)

    def renew(
        self, queue: QueuePolicy, channel_policy: ChannelPolicy, *, by_due_date: bool
    ) -> None:
        """Apply changed queue and channel settings: the line as a whole may move, or be read from its other end.

        Within the line only contacts with a rank of their own move, and only if the queue's order or class has changed.
        """
        self.channel_policy = channel_policy
        before, self.queue = self.queue, queue
        self.selection: Selection = self.key[5] or queue.selection
        self.broadcast = queue.broadcast
        self.due_after_ms = queue.service_level.threshold_s * 1000 if by_due_date else 0
        self.units = channel_policy.units
        timeout_s = queue.offer_timeout_s or channel_policy.offer_timeout_s
        self.offer_timeout_ms = timeout_s * 1000
        auto = queue.auto_accept
        self.auto_accept = channel_policy.auto_accept if auto is None else auto
        self.newest_first = queue.order is _LIFO
        self.base = base_of(queue, self.due_after_ms)
        if self.of_own_rank and (
            before.order is not queue.order or before.strict_class != queue.strict_class
        ):
            self._rank_anew()
        self._find_first()

    def fill(self, places: dict[int, Contact]) -> None:
        """Add all of these contacts, given by order key."""
        self.by_key |= places
        self.of_own_rank |= {key: one for key, one in places.items() if has_own_rank(one)}
        self._sort()
        self._find_first()

    def _sort(self) -> None:
        self._few = len(self.by_key) <= _FEW_MAX
        self.waiting = sorted(self.by_key)
        if not self._few:
            self._many()

    def _rank_anew(self) -> None:
        """Recompute the order keys of the individually ranked contacts."""
        moved, self.of_own_rank = self.of_own_rank, {}
        one_by_one = len(moved) * _MANY_MOVED < len(self.by_key)
        for key, contact in moved.items():
            del self.by_key[key]
            contact.key = own_place(contact, self.queue)
            if one_by_one:
                self.waiting.remove(key)
        for contact in moved.values():
            key = contact.key
            self.by_key[key] = self.of_own_rank[key] = contact
            if one_by_one:
                insort(self.waiting, key) if self._few else self.waiting.add(key)
        if not one_by_one:
            self._sort()

    def _find_first(self) -> None:
        if not self.by_key:
            self.head = self.first = 0
            return
        self.first = self.waiting[-1 if self.newest_first else 0]
        self.head = self.place(self.first)

    def place(self, key: int) -> int:
        """Return the rank in the total order of an order key of this line."""
        return self.base - key if self.newest_first else self.base + key

    def place_of(self, contact: Contact) -> int:
        """Return the rank in the total order of a contact in this line."""
        return self.place(contact.key)

    def at(self, place: int) -> Contact:
        """Return the contact with this rank in the total order."""
        return self.by_key[self.base - place if self.newest_first else place - self.base]

    def in_order(self) -> Iterator[int]:
        """Iterate over the order keys in serving order."""
        return reversed(self.waiting) if self.newest_first else iter(self.waiting)

    def add(self, key: int, contact: Contact) -> None:
        """Add a contact with this order key."""
        if self._few:
            insort(self.waiting, key)
            if len(self.waiting) > _FEW_MAX:
                self._many()
        else:
            self.waiting.add(key)
        self.by_key[key] = contact
        place = self.base - key if self.newest_first else key + self.base
        if not self.head or place < self.head:
            self.head, self.first = place, key

    def remove(self, key: int) -> None:
        """Remove the contact with this order key."""
        del self.by_key[key]
        if self.of_own_rank:
            self.of_own_rank.pop(key, None)
        if key == self.first:
            waiting = self.waiting
            if not self.by_key:
                waiting.clear()
                self.head = self.first = 0
            elif self.newest_first:
                del waiting[-1]
                self.first = first = waiting[-1]
                self.head = self.base - first
            else:
                del waiting[0]
                self.first = first = waiting[0]
                self.head = first + self.base
        elif self._few:
            del self.waiting[bisect_left(self.waiting, key)]
        else:
            self.waiting.remove(key)

    def _many(self) -> None:
        """Switch to a sorted list; never switched back, since a line that was long may grow long again."""
        waiting = SortedList()
        waiting._reset(_WAITING_LOAD)
        waiting.update(self.waiting)
        self.waiting, self._few = waiting, False

    def first_come(self) -> Contact | None:
        """Return the contact that has waited longest, priorities left aside; None for an empty line."""
        if not self.head:
            return None
        return self.by_key[self.waiting[0]]

    def before(self, place: int) -> int:
        """Return the number of contacts ranked before this rank of the total order."""
        waiting = self.waiting
        if not waiting:
            return 0
        if self.newest_first:
            key, last = self.base - place, waiting[0]
            if key <= last:
                return int(len(waiting) - (key == last))
            behind = bisect_right(waiting, key) if self._few else waiting.bisect_right(key)
            return int(len(waiting) - behind)
        key = place - self.base
        # Most queries concern the last contact or a rank behind it; both need no search.
        last = waiting[-1]
        if key >= last:
            return int(len(waiting) - (key == last))
        return bisect_left(waiting, key) if self._few else int(waiting.bisect_left(key))
