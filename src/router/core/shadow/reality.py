"""What has really happened, as it is under the shadow policy: one function for each kind of event that means something else there.

Each gives the event to apply instead, or none where nothing happens under the shadow policy. All others are applied as they are.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from router.core.apply import HANDLERS
from router.core.decide.step import Step
from router.core.lines import needs_of
from router.core.state import NO_QUEUE_POLICY, Contact, RoutingState
from router.model.events import (
    ContactAssigned,
    ContactExpired,
    ContactOverflowed,
    ContactQueued,
    ContactRequeued,
    ContactUpdated,
    Event,
    OfferDeclined,
    OfferExpired,
    OfferMade,
    PolicyPublished,
)
from router.model.ids import ContactId, QueueId
from router.model.policy import Policy, QueuePolicy
from router.model.shadow import DifferenceKind
from router.model.states import ContactState

# Back to its place, not moved by anybody.
_UNMOVED: Final = frozenset({"declined", "rona", "rescinded"})


class _Note(Protocol):
    def __call__(
        self,
        kind: DifferenceKind,
        contact_id: ContactId,
        *,
        queue_id: str,
        shadow_queue_id: str | None = None,
        why: tuple[str, ...] = (),
        of_this_event: bool = False,
    ) -> None: ...


class _Live(Struct):
    """What a contact is in reality, where it is something else here."""

    queue_id: QueueId
    skills: dict[str, int]
    priority_s: int
    strict_class: int


class Followed:
    """The shadow's state, with what has to be known of the live one beside it."""

    def __init__(self, state: RoutingState, policy: Policy, note: _Note) -> None:
        self.state = state
        self.policy = policy
        self.live: Policy | None = state.policy
        self.outside: set[ContactId] = set()
        """Live contacts that the shadow policy would not have."""
        self.owed: set[ContactId] = set()
        """Contacts for which the shadow would have had an agent already; told once."""
        self.note = note
        self._live_of: dict[ContactId, _Live] = {}

    # --- the policy ---------------------------------------------------------------------------------
    def begin(self) -> None:
        """Take a live state over: same people, same contacts, the shadow's lines."""
        state = self.state
        for contact in state.contacts.values():
            if contact.state.is_terminal:
                continue
            if not self._has(contact):
                self._put_outside(contact)
            elif contact.state is not ContactState.ASSIGNED:
                contact.wait_until_ms = self._own_wait(contact)
        self._take_effect(anew=True)
        state.timers.rebuild()

    def _has(self, contact: Contact) -> bool:
        return contact.queue_id in self.policy.queues and contact.channel in self.policy.channels

    def _own_wait(self, contact: Contact) -> int | None:
        """When the shadow's longest wait is over for a contact that waits already."""
        here = self.policy.queues[contact.queue_id].wait_max_s
        there = self.live_policy(contact.queue_id).wait_max_s
        if here == there:
            return contact.wait_until_ms
        if here is None:
            return None
        entered_ms = contact.queued_at_ms
        if contact.wait_until_ms is not None and there is not None:
            entered_ms = contact.wait_until_ms - 1000 * there
        return entered_ms + 1000 * here

    def _take_effect(self, *, anew: bool = False) -> None:
        """The shadow policy, with what the live one alone has as far as reality needs it: channels, retention."""
        channels = dict(self.policy.channels)
        retention = self.policy.retention
        if self.live is not None:
            retention = self.live.retention
            for name, channel in self.live.channels.items():
                channels.setdefault(name, channel)
        before = self.state.policy
        self.state.policy = msgspec.structs.replace(
            self.policy, channels=channels, retention=retention
        )
        if not anew and before is not None and list(before.channels) == list(channels):
            return
        index = self.state.index
        index.rebuild(self.state.policy)
        if not anew:
            index.freed.clear()
        for contact_id in self.outside:
            index.leave(self.state.contacts[contact_id])

    def live_policy(self, queue_id: QueueId) -> QueuePolicy:
        """A queue of the live policy; the defaults where it has none of that name."""
        return (
            NO_QUEUE_POLICY
            if self.live is None
            else self.live.queues.get(queue_id, NO_QUEUE_POLICY)
        )

    @property
    def live_queues(self) -> dict[QueueId, QueuePolicy]:
        """The queues of the live policy."""
        return {} if self.live is None else self.live.queues

    # --- contacts that are something else here ---------------------------------------------------------
    def outsider(self, e: ContactQueued) -> ContactQueued:
        """The event of a contact that the shadow would not have."""
        self.outside.add(e.contact_id)
        self._live_of[e.contact_id] = _Live(e.queue_id, e.skills, e.priority_s, e.strict_class)
        return msgspec.structs.replace(e, queue_id="", wait_until_ms=None)

    def _put_outside(self, contact: Contact) -> None:
        name = contact.contact_id
        self.outside.add(name)
        if name not in self._live_of:
            self._live_of[name] = _Live(
                contact.queue_id, contact.skills, contact.priority_s, contact.strict_class
            )
        self.state.tally(contact.queue_id)[contact.state] -= 1
        contact.queue_id, contact.wait_until_ms = "", None
        self.state.tally("")[contact.state] += 1

    def remember(self, e: ContactQueued, mine: ContactQueued) -> None:
        """Keep what it is in reality, where it is something else here."""
        live = _Live(e.queue_id, e.skills, e.priority_s, e.strict_class)
        if live != _Live(mine.queue_id, mine.skills, mine.priority_s, mine.strict_class):
            self._live_of[e.contact_id] = live

    def live_queue(self, contact: Contact) -> QueueId:
        """The queue that it is in in reality."""
        live = self._live_of.get(contact.contact_id)
        return contact.queue_id if live is None else live.queue_id

    def _move_live(self, contact: Contact, queue_id: QueueId) -> None:
        """It is in that queue in reality, wherever it is here."""
        live = self._live_of.get(contact.contact_id)
        if live is None:
            live = _Live(contact.queue_id, contact.skills, contact.priority_s, contact.strict_class)
            self._live_of[contact.contact_id] = live
        live.queue_id = queue_id

    def entry_differences(self, e: ContactQueued, mine: ContactQueued) -> list[DifferenceKind]:
        """How the two policies take the same contact in."""
        there, here = self.live_policy(e.queue_id), self.state.queue_policy(mine.queue_id)
        found: list[DifferenceKind] = []
        if mine.queue_id != e.queue_id:
            found.append(DifferenceKind.QUEUE)
        if needs_of(here, mine.skills) != needs_of(there, e.skills):
            found.append(DifferenceKind.REQUIREMENT)
        if _rank(here, mine) != _rank(there, e):
            found.append(DifferenceKind.PRIORITY)
        return found

    def after(self, event: Event) -> None:
        """What has to hold after each event."""
        contact_id: ContactId | None = getattr(event, "contact_id", None)
        if contact_id is None:
            return
        if contact_id in self.owed and not isinstance(event, ContactUpdated):
            self.owed.discard(contact_id)
        if contact_id not in self.outside and contact_id not in self._live_of:
            return
        contact = self.state.contacts.get(contact_id)
        if contact is None or contact.state.is_terminal:
            self.outside.discard(contact_id)
            self._live_of.pop(contact_id, None)
        elif contact_id in self.outside:
            self.state.index.leave(contact)

    # --- waits that end under one of the two policies -----------------------------------------------------
    def target_now(self, contact: Contact) -> tuple[bool, QueueId | None]:
        """Whether its wait is over here, too, and where it overflows to then."""
        until_ms = contact.wait_until_ms
        if until_ms is None or until_ms > self.state.at_ms or contact.contact_id in self.outside:
            return False, None
        return True, self.state.queue_policy(contact.queue_id).overflow_to

    def end_wait(self, contact: Contact) -> None:
        """Its longest wait is over here and goes on in reality."""
        state = self.state
        target = state.queue_policy(contact.queue_id).overflow_to
        there = self.live_queue(contact)
        if target is None:
            why = ("would_expire",)
            self.note(DifferenceKind.EXPIRY, contact.contact_id, queue_id=there, why=why)
            self._put_outside(contact)
            state.index.leave(contact)
            return
        self.note(
            DifferenceKind.OVERFLOW,
            contact.contact_id,
            queue_id=there,
            shadow_queue_id=target,
            why=("would_overflow",),
        )
        self._move_live(contact, there)
        moved = ContactOverflowed(
            contact_id=contact.contact_id,
            from_queue_id=contact.queue_id,
            queue_id=target,
            req="",
            wait_until_ms=Step(state, state.at_ms).wait_until_ms(target),
        )
        # No event of the history: it has no number.
        HANDLERS[ContactOverflowed](state, moved)


def _rank(queue: QueuePolicy, e: ContactQueued) -> tuple[int, int]:
    return queue.priority_s + e.priority_s, max(queue.strict_class, e.strict_class)


# --- events ---------------------------------------------------------------------------------------------
def _updated(at: Followed, e: ContactUpdated) -> Event:
    """Only what the update changes changes here: the rest may have been different before."""
    live = at._live_of.get(e.contact_id)
    if live is None:
        return e
    contact = at.state.contacts[e.contact_id]
    mine = msgspec.structs.replace(
        e,
        skills=contact.skills if e.skills == live.skills else e.skills,
        priority_s=contact.priority_s if e.priority_s == live.priority_s else e.priority_s,
        strict_class=contact.strict_class
        if e.strict_class == live.strict_class
        else e.strict_class,
    )
    live.skills, live.priority_s, live.strict_class = e.skills, e.priority_s, e.strict_class
    return mine


def _requeued(at: Followed, e: ContactRequeued) -> Event:
    state = at.state
    contact = state.contacts[e.contact_id]
    step = Step(state, state.at_ms)
    if e.contact_id in at._live_of:
        at._move_live(contact, e.queue_id)
    is_kept = e.reason == "drained" and contact.queue_id in at.policy.queues
    if e.reason in _UNMOVED or is_kept:
        queue_id, wait_until_ms = contact.queue_id, contact.wait_until_ms
    elif e.reason == "lost_desktop":
        queue_id = contact.queue_id
        wait_until_ms = step.wait_until_ms(queue_id)
    else:
        queue_id = _moved_to(at, contact, e.queue_id)
        wait_until_ms = step.wait_until_ms(queue_id)
    if queue_id != e.queue_id:
        at._move_live(contact, e.queue_id)
    return msgspec.structs.replace(
        e,
        queue_id=queue_id,
        wait_until_ms=wait_until_ms,
        cool_down_until_ms=None
        if e.agent_id is None or e.reason == "lost_desktop"
        else _cool_down(at, queue_id),
    )


def _moved_to(at: Followed, contact: Contact, queue_id: QueueId) -> QueueId:
    """Where somebody's hand has put it; outside, where the shadow has no such queue."""
    if queue_id in at.policy.queues and contact.channel in at.policy.channels:
        at.outside.discard(contact.contact_id)
        return queue_id
    if contact.contact_id not in at.outside:
        why = ("unknown_queue",)
        at.note(
            DifferenceKind.QUEUE, contact.contact_id, queue_id=queue_id, why=why, of_this_event=True
        )
        at._move_live(contact, queue_id)
        at.outside.add(contact.contact_id)
    return ""


def _cool_down(at: Followed, queue_id: QueueId) -> int | None:
    cool_down_s = at.state.queue_policy(queue_id).cool_down_s
    return at.state.at_ms + 1000 * cool_down_s if cool_down_s else None


def _offer_ended(at: Followed, e: OfferDeclined | OfferExpired) -> Event:
    queue_id = at.state.offers[e.offer_id].queue_id
    return msgspec.structs.replace(e, cool_down_until_ms=_cool_down(at, queue_id))


def _overflowed(at: Followed, e: ContactOverflowed) -> Event | None:
    contact = at.state.contacts[e.contact_id]
    is_over, target = at.target_now(contact)
    if target != e.queue_id and e.contact_id not in at.outside:
        at.note(
            DifferenceKind.OVERFLOW,
            e.contact_id,
            queue_id=e.from_queue_id,
            shadow_queue_id=target,
            why=("would_expire" if is_over and target is None else "would_stay",)
            if target is None
            else ("other_queue",),
            of_this_event=True,
        )
    if target != e.queue_id or e.contact_id in at._live_of:
        at._move_live(contact, e.queue_id)
    if target is None:
        return None
    return msgspec.structs.replace(
        e,
        from_queue_id=contact.queue_id,
        queue_id=target,
        wait_until_ms=Step(at.state, at.state.at_ms).wait_until_ms(target),
    )


def _expired(at: Followed, e: ContactExpired) -> Event:
    contact = at.state.contacts[e.contact_id]
    is_over, target = at.target_now(contact)
    stays = not is_over or target is not None
    if e.reason == "wait_max" and stays and e.contact_id not in at.outside:
        at.note(
            DifferenceKind.EXPIRY,
            e.contact_id,
            queue_id=e.queue_id,
            shadow_queue_id=target or contact.queue_id,
            why=("would_stay" if target is None else "would_overflow",),
            of_this_event=True,
        )
    return e


def _made(at: Followed, e: OfferMade) -> Event:
    """An item costs what the shadow says."""
    contact, units = at.state.contacts[e.contact_id], at.state.index.channels[e.channel].units
    if units == e.units and contact.queue_id == e.queue_id:
        return e
    return msgspec.structs.replace(e, units=units, queue_id=contact.queue_id)


def _assigned(at: Followed, e: ContactAssigned) -> Event:
    contact = at.state.contacts[e.contact_id]
    units = at.state.index.channels[contact.channel].units
    return msgspec.structs.replace(e, units=units, queue_id=contact.queue_id)


def _published(at: Followed, e: PolicyPublished) -> Event | None:
    """The live policy is another one; the shadow's stays."""
    at.live = e.policy
    at.state.policy_version = e.version
    at._take_effect()
    return None


REALITY: Final[dict[type, Callable[[Followed, Any], Event | None]]] = {
    ContactUpdated: _updated,
    ContactRequeued: _requeued,
    ContactOverflowed: _overflowed,
    ContactExpired: _expired,
    ContactAssigned: _assigned,
    OfferMade: _made,
    OfferDeclined: _offer_ended,
    OfferExpired: _offer_ended,
    PolicyPublished: _published,
}
