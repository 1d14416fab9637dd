"""Translate live events into events of the shadow: one function for each kind of event that means something else there.

Each function returns the event to apply instead, or none if nothing happens under the shadow policy. Kinds of events that are
not in the table at the end are applied unchanged.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from router.core.decide.requeue import Reserved, wait_anew
from router.core.shadow.deciding import STAYS, Deciding, Move
from router.core.shadow.followed import Followed
from router.core.state import Contact
from router.model.events import (
    CallbackConnected,
    ContactAssigned,
    ContactExpired,
    ContactOverflowed,
    ContactRequeued,
    ContactStepEntered,
    ContactUpdated,
    DayBegan,
    Event,
    OfferDeclined,
    OfferExpired,
    OfferMade,
    PolicyPublished,
    QueueClosed,
    QueueOpened,
)
from router.model.ids import QueueId
from router.model.shadow import DifferenceKind

# The contact returns to its place in the waiting line.
_UNMOVED: Final = frozenset({"declined", "rona", "rescinded"})
_KEEPING_QUEUE: Final = frozenset({"lost_desktop", "transfer_back", "owner_away", "callback_due"})
_BY_POLICY: Final = frozenset({"wait_max", "closed"})
_KIND_OF_MOVE: Final[dict[type, DifferenceKind]] = {
    ContactOverflowed: DifferenceKind.OVERFLOW,
    ContactStepEntered: DifferenceKind.STEP,
    ContactExpired: DifferenceKind.EXPIRY,
}


def _updated(shadow: Followed, event: ContactUpdated) -> Event:
    """Change only the values that the update changes; the others may have differed before."""
    live = shadow.live_of.get(event.contact_id)
    if live is None:
        return event
    contact = shadow.state.contacts[event.contact_id]
    own = msgspec.structs.replace(
        event,
        skills=contact.skills if event.skills == live.skills else event.skills,
        priority_s=contact.priority_s if event.priority_s == live.priority_s else event.priority_s,
        strict_class=contact.strict_class
        if event.strict_class == live.strict_class
        else event.strict_class,
    )
    live.skills, live.priority_s, live.strict_class = (
        event.skills,
        event.priority_s,
        event.strict_class,
    )
    return own


def _requeued(shadow: Followed, event: ContactRequeued) -> Event | None:
    state = shadow.state
    contact = state.contacts[event.contact_id]
    if event.reason == STAYS:
        return _moved_on(shadow, event)
    is_kept = event.reason == "drained" and contact.queue_id in shadow.policy.queues
    if event.reason in _UNMOVED or is_kept:
        shadow.came_back.add(event.contact_id)
        if contact.queue_id != event.queue_id:
            shadow.move_live(contact, event.queue_id)
        return msgspec.structs.replace(
            event,
            queue_id=contact.queue_id,
            wait_until_ms=contact.wait_until_ms,
            plan=contact.plan,
            step=contact.step,
            step_until_ms=contact.step_until_ms,
        )
    reserved, queue_id = _reserved(shadow, event), contact.queue_id
    by_hand = reserved is None and event.reason not in _KEEPING_QUEUE
    if by_hand:
        queue_id = _moved_to(shadow, contact, event.queue_id)
    if queue_id != event.queue_id or event.contact_id in shadow.live_of:
        shadow.move_live(contact, event.queue_id)
    if not queue_id:
        return msgspec.structs.replace(
            event, queue_id="", wait_until_ms=None, plan=None, step=0, step_until_ms=None
        )
    owner = None
    if event.agent_id is not None and contact.assignment_id is not None:
        owner = state.assignments[contact.assignment_id]
    deciding = Deciding(state)
    wait_anew(
        deciding,
        contact,
        queue_id,
        event.reason,
        owner=owner,
        cool_down_until_ms=_cool_down(shadow, queue_id) if owner is not None and by_hand else None,
        reserved=reserved,
        queued_at_ms=event.queued_at_ms,
    )
    return deciding.events[0]


def _reserved(shadow: Followed, event: ContactRequeued) -> Reserved | None:
    """Return the reservation that the command or a lost desktop leads to."""
    if event.preferred_agent_id is None or event.preferred_until_ms is None:
        return None
    back = None
    if event.back_agent_id is not None and event.back_ms is not None:
        back = event.back_agent_id, event.back_ms
    return Reserved(event.preferred_agent_id, event.preferred_until_ms - shadow.state.at_ms, back)


def _moved_to(shadow: Followed, contact: Contact, queue_id: QueueId) -> QueueId:
    """Return the queue to which a person has moved the contact; excluded if the shadow has no such queue."""
    if queue_id in shadow.policy.queues and contact.channel in shadow.policy.channels:
        shadow.outside.discard(contact.contact_id)
        return queue_id
    if contact.contact_id not in shadow.outside:
        why = ("unknown_queue",)
        shadow.note(
            DifferenceKind.QUEUE, contact.contact_id, queue_id=queue_id, why=why, of_this_event=True
        )
        shadow.move_live(contact, queue_id)
        shadow.outside.add(contact.contact_id)
    return ""


def _cool_down(shadow: Followed, queue_id: QueueId) -> int | None:
    cool_down_s = shadow.state.queue_policy(queue_id).cool_down_s
    return shadow.state.at_ms + 1000 * cool_down_s if cool_down_s else None


def _offer_ended(shadow: Followed, event: OfferDeclined | OfferExpired) -> Event:
    queue_id = shadow.state.offers[event.offer_id].queue_id
    return msgspec.structs.replace(event, cool_down_until_ms=_cool_down(shadow, queue_id))


def _moved_on(shadow: Followed, event: Move) -> Event | None:
    """Translate the end of a wait or step in reality into what the shadow policy does with the contact."""
    contact = shadow.state.contacts[event.contact_id]
    if event.contact_id in shadow.outside:
        own = None
    elif isinstance(event, ContactStepEntered) and event.reason == "policy":
        return None  # Only the live plan has changed.
    elif isinstance(event, ContactStepEntered) and event.reason == "opened":
        return None  # Here, plans continue when the queue opens here.
    else:
        by_closing = not isinstance(event, ContactRequeued) and event.reason == "closed"
        own = shadow.own_move(contact, closing=by_closing)
        if not _same_move(event, own):
            shadow.note(
                _kind(event, own),
                event.contact_id,
                queue_id=shadow.live_queue(contact),
                shadow_queue_id=contact.queue_id if own is None else own.queue_id,
                why=(_words(event, own),),
                of_this_event=True,
            )
    if isinstance(event, ContactExpired):
        return event
    if event.contact_id in shadow.live_of or own is None or own.queue_id != event.queue_id:
        shadow.move_live(contact, event.queue_id)
    if isinstance(own, ContactExpired):
        shadow.expire_here(contact)
        return None
    return own


def _same_move(event: Move, own: Move | None) -> bool:
    if isinstance(event, ContactRequeued) and (own is None or isinstance(own, ContactRequeued)):
        return True  # It stays in its queue under both policies.
    if type(own) is not type(event) or own is None:
        return False
    if isinstance(event, ContactStepEntered):
        return isinstance(own, ContactStepEntered) and own.step == event.step
    return isinstance(event, ContactExpired) or own.queue_id == event.queue_id


def _kind(event: Move, own: Move | None) -> DifferenceKind:
    if isinstance(event, ContactRequeued) and own is not None:
        return _KIND_OF_MOVE[type(own)]
    return _KIND_OF_MOVE[type(event)]


def _words(event: Move, own: Move | None) -> str:
    if own is None or isinstance(own, ContactRequeued):
        return "would_stay"
    if isinstance(own, ContactExpired):
        return "would_expire"
    if isinstance(own, ContactStepEntered):
        return "other_step" if isinstance(event, ContactStepEntered) else "would_go_on"
    return "other_queue" if isinstance(event, ContactOverflowed) else "would_overflow"


def _expired(shadow: Followed, event: ContactExpired) -> Event | None:
    """Translate an expiry that the policy causes (maximum wait, closing); time to live and callback limits are the gateway's."""
    return _moved_on(shadow, event) if event.reason in _BY_POLICY else event


def _made(shadow: Followed, event: OfferMade) -> Event:
    """Replace queue and capacity of the item by those of the shadow policy."""
    contact, units = (
        shadow.state.contacts[event.contact_id],
        shadow.state.index.channels[event.channel].units,
    )
    if units == event.units and contact.queue_id == event.queue_id:
        return event
    return msgspec.structs.replace(event, units=units, queue_id=contact.queue_id)


def _assigned(shadow: Followed, event: ContactAssigned) -> Event:
    contact = shadow.state.contacts[event.contact_id]
    units = shadow.state.index.channels[contact.channel].units
    return msgspec.structs.replace(event, units=units, queue_id=contact.queue_id)


def _published(shadow: Followed, event: PolicyPublished) -> Event | None:
    """Record the new live policy; the shadow policy stays in force here."""
    shadow.live = event.policy
    shadow.day.follow(event.policy)
    shadow.hours.follow(event.policy)
    shadow.state.policy_version = event.version
    shadow.take_effect()
    return None


def _day_began(shadow: Followed, event: DayBegan) -> Event | None:
    return event if shadow.day.is_live else None


def _queue_turned(shadow: Followed, event: QueueOpened | QueueClosed) -> Event | None:
    return shadow.hours.translate(event)


def _connected(shadow: Followed, event: CallbackConnected) -> Event:
    """Replace the maximum wait of a connected customer by that of the shadow policy."""
    contact = shadow.state.contacts[event.contact_id]
    if event.agent_id is not None or event.contact_id in shadow.outside:
        return msgspec.structs.replace(event, wait_until_ms=None)
    return msgspec.structs.replace(
        event, wait_until_ms=Deciding(shadow.state).full_wait_ms(contact.queue_id)
    )


REALITY: Final[dict[type, Callable[[Followed, Any], Event | None]]] = {
    ContactUpdated: _updated,
    ContactRequeued: _requeued,
    ContactOverflowed: _moved_on,
    ContactStepEntered: _moved_on,
    ContactExpired: _expired,
    ContactAssigned: _assigned,
    OfferMade: _made,
    OfferDeclined: _offer_ended,
    OfferExpired: _offer_ended,
    PolicyPublished: _published,
    DayBegan: _day_began,
    QueueOpened: _queue_turned,
    QueueClosed: _queue_turned,
    CallbackConnected: _connected,
}
