"""Lines: the waiting contacts of one requirement class, in rank order.

Everybody in a line can be taken by the same agents, so an agent looks at the heads of the lines he serves and nowhere else.
A line of its own is made for contacts that are kept for certain agents, and for those that are held back until their queue opens.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from sortedcontainers import SortedList

from router.core.ranking import base_of, has_own_rank, own_place
from router.core.state import Contact
from router.model.ids import AgentId, QueueId
from router.model.policy import ChannelPolicy, QueueOrder, QueuePolicy, Selection

# Bound once: to look a member up on its class takes longer than most of what is done with it.
_LIFO: Final = QueueOrder.LIFO

Needs: TypeAlias = tuple[tuple[str, int], ...]
# Queue, channel, requirement, the agents who alone may take it (none: everybody), other requirements that will do as well,
# the plan's selection in place of the queue's.
LineKey: TypeAlias = tuple[
    QueueId, str, Needs, tuple[AgentId, ...] | None, tuple[Needs, ...], Selection | None
]

# Places in one piece of the waiting order (sortedcontainers' load factor, set the way its documentation shows). Taking the first
# moves the rest of its piece: shorter than the default of 1,000, because the first is what is taken.
_WAITING_LOAD: Final = 128
# Up to here taking the first out of a plain list, which moves all others, takes less time than a sorted list does (0.7 and 0.9 µs).
_FEW_MAX: Final = 4_096
# Where one in so many has to move, all are sorted anew.
_MANY_MOVED: Final = 16


def needs_of(queue: QueuePolicy, skills: dict[str, int]) -> Needs:
    """The queue's requirement and the contact's own, the higher level of the two, by skill name."""
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
    """The requirement class as people read it: ``voice/support:english>=5,loans>=3``.

    ``|`` stands before each other requirement that will do, ``@`` before the agents who alone may take it.
    """
    skills = ",".join([f"{skill}>={level}" for skill, level in needs])
    text = f"{channel}/{queue_id}:{skills}" if skills else f"{channel}/{queue_id}"
    for other in also:
        text += "|" + ",".join([f"{skill}>={level}" for skill, level in other])
    return text if only is None else f"{text}@{'+'.join(only)}"


class Line:
    """One requirement class and who waits in it."""

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
        """Of contacts that wait for their queue to open."""
        self.own: Needs | None = None
        """What every contact in it asks for itself, the queue apart; none: they are not known to ask for the same."""
        self.head = 0
        """The place of the first, in the total order; 0: nobody waits. Within the line places are counted from ``base``."""
        self.first = 0
        """The same within the line."""
        self.base = 0
        self.newest_first = False
        """Whether the line is read from its end: places are counted down from ``base``."""
        self.of_own_rank: dict[int, Contact] = {}
        """Those whose place is not their submit alone: it is another one when the queue's order or class changes."""
        self.waiting: Any = []
        """Places, the earliest submit first: a plain list while they are few, which is what most lines are, then a sorted list."""
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
        """The profiles of the mask that was asked for last."""
        self.refs = 0

    def ask(self, key: LineKey) -> None:
        """Be the line of this requirement class from now on."""
        self.key = key
        self.queue_id, self.channel, self.needs, self.only, self.also, _ = key
        self.req = req_text(self.queue_id, self.channel, self.needs, self.only, self.also)

    def renew(
        self, queue: QueuePolicy, channel_policy: ChannelPolicy, *, by_due_date: bool
    ) -> None:
        """Go by these from now on: the line as a whole may stand elsewhere, and be turned round.

        In the line only those change places who have a rank of their own, where the queue's order or class is another one.
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
        """Let all of these stand here as well."""
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
        """Those with a rank of their own stand elsewhere in the line."""
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
        """A place within the line as one of the total order."""
        return self.base - key if self.newest_first else self.base + key

    def place_of(self, contact: Contact) -> int:
        """Where one who stands here is in the total order."""
        return self.place(contact.key)

    def at(self, place: int) -> Contact:
        """Who stands at that place of the total order."""
        return self.by_key[self.base - place if self.newest_first else place - self.base]

    def in_order(self) -> Iterator[int]:
        """The places within the line, first come first served or last."""
        return reversed(self.waiting) if self.newest_first else iter(self.waiting)

    def add(self, key: int, contact: Contact) -> None:
        """Put a contact at its place."""
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
        """Take a contact out."""
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
        """More than a plain list is good for; it stays so, for what was long once may be long again."""
        waiting = SortedList()
        waiting._reset(_WAITING_LOAD)
        waiting.update(self.waiting)
        self.waiting, self._few = waiting, False

    def first_come(self) -> Contact | None:
        """Who waits longest here, priorities apart."""
        if not self.head:
            return None
        return self.by_key[self.waiting[0]]

    def before(self, place: int) -> int:
        """How many wait here ahead of that place of the total order."""
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
        # The last one and whoever comes after him are asked about most, and need no counting.
        last = waiting[-1]
        if key >= last:
            return int(len(waiting) - (key == last))
        return bisect_left(waiting, key) if self._few else int(waiting.bisect_left(key))
