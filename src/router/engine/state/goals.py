"""Goals of contacts: kept while the contact is open and for some time after it, within the limits of the policy.

Theory of operation. The goals are in order of age: an open contact by when its goal became known, one that is over by when it was
counted. They are kept in chunks, so that a snapshot reads them in pieces without a copy: ``freeze`` returns the chunks that there
are, and a chunk that such a reader may still hold is copied, with its at most ``_CHUNK`` entries, before it is changed. A goal is
never modified, only replaced.

The oldest that are over are forgotten, a few with each event, so that no event takes long. A contact that is not counted is never
forgotten; it becomes the newest instead, and is still counted at the end of the command if it is over.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from msgspec.structs import replace

from router.engine.state.contact import Contact
from router.model.events.goal import ContactGoal
from router.model.policy import GoalsPolicy, Policy
from router.model.states import ContactId

_CHUNK: Final = 256
DROPPED_PER_EVENT: Final = 4
"""Goals that one event forgets at most: more than it adds."""
LOOKED_AT_MAX: Final = 16
"""Contacts of a customer, the newest, among which an earlier one is looked for."""


class GoalRegister:
    """The goals of contacts by contact and by customer."""

    def __init__(self, entries: Iterable[tuple[ContactId, ContactGoal]] = ()) -> None:
        self._chunks: dict[int, dict[ContactId, ContactGoal]] = {}
        self._places: dict[ContactId, int] = {}
        """Derived: the chunk of each contact."""
        self._frozen: set[int] = set()
        """Derived: chunks that a reader may hold."""
        self._of_customer: dict[str, dict[ContactId, None]] = {}
        """Derived: contacts by customer, in the same order."""
        self.over: dict[ContactId, None] = {}
        """Contacts that are over and not counted yet; empty between two commands."""
        self.of_rule: dict[str, str] = {}
        """Derived: goals of the entry rules that name one."""
        for contact_id, goal in entries:
            self._append(contact_id, goal)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, contact_id: ContactId) -> bool:
        return contact_id in self._places

    def items(self) -> Iterator[tuple[ContactId, ContactGoal]]:
        """Iterate over the goals in their order."""
        for chunk in self._chunks.values():
            yield from chunk.items()

    def get(self, contact_id: ContactId) -> ContactGoal | None:
        """Return the goal of a contact; None: it has none, or it is not kept any more."""
        place = self._places.get(contact_id)
        return None if place is None else self._chunks[place][contact_id]

    def newest_of(self, customer_ids: Iterable[str]) -> Iterator[tuple[ContactId, ContactGoal]]:
        """Yield the newest goals of customers: of each the newest first, at most ``LOOKED_AT_MAX``."""
        for customer_id in dict.fromkeys(customer_ids):
            for contact_id in islice(reversed(self._of_customer.get(customer_id, {})), LOOKED_AT_MAX):
                yield contact_id, self._chunks[self._places[contact_id]][contact_id]

    def put(self, contact_id: ContactId, goal: ContactGoal) -> None:
        """Keep the goal of a contact, in place of the one before; a contact that is counted now becomes the newest one."""
        place = self._places.get(contact_id)
        if place is None:
            self._append(contact_id, goal)
        elif goal.counted_at_ms is not None and self._chunks[place][contact_id].counted_at_ms is None:
            self.forget(contact_id)
            self._append(contact_id, goal)
        else:
            self._writable(place)[contact_id] = goal

    def forget(self, contact_id: ContactId) -> None:
        """Forget the goal of a contact. Idempotent."""
        place = self._places.pop(contact_id, None)
        if place is None:
            return
        chunk = self._writable(place)
        goal = chunk.pop(contact_id)
        if not chunk:
            del self._chunks[place]
        if goal.customer_id is not None:
            others = self._of_customer[goal.customer_id]
            del others[contact_id]
            if not others:
                del self._of_customer[goal.customer_id]
        self.over.pop(contact_id, None)

    def forget_old(self, policy: GoalsPolicy, at_ms: int) -> None:
        """Forget the oldest goals beyond the limits of the policy, at most ``DROPPED_PER_EVENT`` of them."""
        oldest_ms = at_ms - 1000 * policy.kept_s
        for _ in range(DROPPED_PER_EVENT):
            if not self._chunks:
                return
            contact_id, goal = next(iter(next(iter(self._chunks.values())).items()))
            if len(self._places) <= policy.kept_max and (goal.counted_at_ms or goal.set_at_ms) >= oldest_ms:
                return
            is_over = contact_id in self.over
            self.forget(contact_id)
            if goal.counted_at_ms is None:
                self._append(contact_id, goal)
                if is_over:
                    self.over[contact_id] = None

    def end(self, contact: Contact, *, at_ms: int, is_working: bool) -> None:
        """Note how a contact with a goal has ended; ``is_working``: its last owner is busy with it until the assignment ends."""
        goal = self.get(contact.contact_id)
        if goal is None:
            return
        self.put(contact.contact_id, ended(goal, contact, at_ms))
        if not is_working:
            self.over[contact.contact_id] = None

    def complete(self, contact_id: ContactId, assignment_id: str, disposition: str | None) -> None:
        """Note that an assignment is over; that of the last owner of a contact that has ended ends the contact for its goal."""
        goal = self.get(contact_id)
        if goal is not None and goal.ended_at_ms is not None and goal.assignment_id == assignment_id:
            self.put(contact_id, replace(goal, disposition=disposition))
            self.over[contact_id] = None

    def use_policy(self, policy: Policy) -> None:
        """Take over what the entry rules of a policy say about goals."""
        self.of_rule = {rule.name: rule.goal for rule in policy.entry if rule.goal is not None}

    def freeze(self) -> list[dict[ContactId, ContactGoal]]:
        """Return the goals in their order, in chunks that do not change any more. O(chunks)."""
        self._frozen = set(self._chunks)
        return list(self._chunks.values())

    def _writable(self, place: int) -> dict[ContactId, ContactGoal]:
        if place in self._frozen:
            self._frozen.discard(place)
            self._chunks[place] = dict(self._chunks[place])
        return self._chunks[place]

    def _append(self, contact_id: ContactId, goal: ContactGoal) -> None:
        last = next(reversed(self._chunks), -1)
        if last < 0 or len(self._chunks[last]) >= _CHUNK:
            last += 1
            self._chunks[last] = {}
        self._writable(last)[contact_id] = goal
        self._places[contact_id] = last
        if goal.customer_id is not None:
            self._of_customer.setdefault(goal.customer_id, {})[contact_id] = None


def ended(goal: ContactGoal, contact: Contact, at_ms: int) -> ContactGoal:
    """Return a goal with how its contact has ended."""
    return replace(
        goal,
        queue_id=contact.queue_id,
        channel=contact.channel,
        agent_id=contact.agent_id,
        assignment_id=contact.assignment_id,
        is_answered=contact.answered_seq > 0,
        gateway_id=contact.gateway_id,
        ended_at_ms=at_ms,
    )
