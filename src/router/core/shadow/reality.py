"""What has really happened, as it is under the shadow policy: one function for each kind of event that means something else there.

Each gives the event to apply instead, or none where nothing happens under the shadow policy. All others are applied as they are.
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

# Back to its place, not moved by anybody.
_UNMOVED: Final = frozenset({"declined", "rona", "rescinded"})
_KEEPING_QUEUE: Final = frozenset({"lost_desktop", "transfer_back", "owner_away", "callback_due"})
_BY_POLICY: Final = frozenset({"wait_max", "closed"})
_KIND_OF_MOVE: Final[dict[type, DifferenceKind]] = {
    ContactOverflowed: DifferenceKind.OVERFLOW,
    ContactStepEntered: DifferenceKind.STEP,
    ContactExpired: DifferenceKind.EXPIRY,
}


def _updated(at: Followed, e: ContactUpdated) -> Event:
    """Only what the update changes changes here: the rest may have been different before."""
    live = at.live_of.get(e.contact_id)
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


def _requeued(at: Followed, e: ContactRequeued) -> Event | None:
    state = at.state
    contact = state.contacts[e.contact_id]
    if e.reason == STAYS:
        return _moved_on(at, e)
    is_kept = e.reason == "drained" and contact.queue_id in at.policy.queues
    if e.reason in _UNMOVED or is_kept:
        at.came_back.add(e.contact_id)
        if contact.queue_id != e.queue_id:
            at.move_live(contact, e.queue_id)
        return msgspec.structs.replace(
            e,
            queue_id=contact.queue_id,
            wait_until_ms=contact.wait_until_ms,
            plan=contact.plan,
            step=contact.step,
            step_until_ms=contact.step_until_ms,
        )
    reserved, queue_id = _reserved(at, e), contact.queue_id
    by_hand = reserved is None and e.reason not in _KEEPING_QUEUE
    if by_hand:
        queue_id = _moved_to(at, contact, e.queue_id)
    if queue_id != e.queue_id or e.contact_id in at.live_of:
        at.move_live(contact, e.queue_id)
    if not queue_id:
        return msgspec.structs.replace(
            e, queue_id="", wait_until_ms=None, plan=None, step=0, step_until_ms=None
        )
    owner = None
    if e.agent_id is not None and contact.assignment_id is not None:
        owner = state.assignments[contact.assignment_id]
    deciding = Deciding(state)
    wait_anew(
        deciding,
        contact,
        queue_id,
        e.reason,
        owner=owner,
        cool_down_until_ms=_cool_down(at, queue_id) if owner is not None and by_hand else None,
        reserved=reserved,
        queued_at_ms=e.queued_at_ms,
    )
    return deciding.events[0]


def _reserved(at: Followed, e: ContactRequeued) -> Reserved | None:
    """For whom it is kept, as somebody has asked for or a lost desktop leads to."""
    if e.preferred_agent_id is None or e.preferred_until_ms is None:
        return None
    back = None
    if e.back_agent_id is not None and e.back_ms is not None:
        back = e.back_agent_id, e.back_ms
    return Reserved(e.preferred_agent_id, e.preferred_until_ms - at.state.at_ms, back)


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
        at.move_live(contact, queue_id)
        at.outside.add(contact.contact_id)
    return ""


def _cool_down(at: Followed, queue_id: QueueId) -> int | None:
    cool_down_s = at.state.queue_policy(queue_id).cool_down_s
    return at.state.at_ms + 1000 * cool_down_s if cool_down_s else None


def _offer_ended(at: Followed, e: OfferDeclined | OfferExpired) -> Event:
    queue_id = at.state.offers[e.offer_id].queue_id
    return msgspec.structs.replace(e, cool_down_until_ms=_cool_down(at, queue_id))


def _moved_on(at: Followed, e: Move) -> Event | None:
    """Its wait or its step is over in reality; here it goes on as the shadow policy says."""
    contact = at.state.contacts[e.contact_id]
    if e.contact_id in at.outside:
        mine = None
    elif isinstance(e, ContactStepEntered) and e.reason == "policy":
        return None  # The live plan is another one; the shadow's is not.
    elif isinstance(e, ContactStepEntered) and e.reason == "opened":
        return None  # Plans go on here when the queue opens here.
    else:
        by_closing = not isinstance(e, ContactRequeued) and e.reason == "closed"
        mine = at.own_move(contact, closing=by_closing)
        if not _same_move(e, mine):
            at.note(
                _kind(e, mine),
                e.contact_id,
                queue_id=at.live_queue(contact),
                shadow_queue_id=contact.queue_id if mine is None else mine.queue_id,
                why=(_words(e, mine),),
                of_this_event=True,
            )
    if isinstance(e, ContactExpired):
        return e
    if e.contact_id in at.live_of or mine is None or mine.queue_id != e.queue_id:
        at.move_live(contact, e.queue_id)
    if isinstance(mine, ContactExpired):
        at.expire_here(contact)
        return None
    return mine


def _same_move(e: Move, mine: Move | None) -> bool:
    if isinstance(e, ContactRequeued) and (mine is None or isinstance(mine, ContactRequeued)):
        return True  # It stays.
    if type(mine) is not type(e) or mine is None:
        return False
    if isinstance(e, ContactStepEntered):
        return isinstance(mine, ContactStepEntered) and mine.step == e.step
    return isinstance(e, ContactExpired) or mine.queue_id == e.queue_id


def _kind(e: Move, mine: Move | None) -> DifferenceKind:
    if isinstance(e, ContactRequeued) and mine is not None:
        return _KIND_OF_MOVE[type(mine)]
    return _KIND_OF_MOVE[type(e)]


def _words(e: Move, mine: Move | None) -> str:
    if mine is None or isinstance(mine, ContactRequeued):
        return "would_stay"
    if isinstance(mine, ContactExpired):
        return "would_expire"
    if isinstance(mine, ContactStepEntered):
        return "other_step" if isinstance(e, ContactStepEntered) else "would_go_on"
    return "other_queue" if isinstance(e, ContactOverflowed) else "would_overflow"


def _expired(at: Followed, e: ContactExpired) -> Event | None:
    """Its time to live and the calls to it are its gateway's affair, its longest wait and its queue's hours the policy's."""
    return _moved_on(at, e) if e.reason in _BY_POLICY else e


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
    at.day.follow(e.policy)
    at.hours.follow(e.policy)
    at.state.policy_version = e.version
    at.take_effect()
    return None


def _day_began(at: Followed, e: DayBegan) -> Event | None:
    return e if at.day.is_live else None


def _queue_turned(at: Followed, e: QueueOpened | QueueClosed) -> Event | None:
    return at.hours.translate(e)


def _connected(at: Followed, e: CallbackConnected) -> Event:
    """The customer is there; if he has to wait, then as long as the shadow says."""
    contact = at.state.contacts[e.contact_id]
    if e.agent_id is not None or e.contact_id in at.outside:
        return msgspec.structs.replace(e, wait_until_ms=None)
    return msgspec.structs.replace(
        e, wait_until_ms=Deciding(at.state).full_wait_ms(contact.queue_id)
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
