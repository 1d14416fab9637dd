"""Translate live events into events of the shadow: one function for each kind of event that means something else there.

Each function returns the event to apply instead, or none if nothing happens under the shadow policy. Kinds of events that are
not in the table at the end are applied unchanged.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from router.engine.commands.channel_switch import held_units
from router.engine.commands.queue_admission import EntryWay, QueueEntry, find_queue
from router.engine.commands.queue_moves import Reservation, requeue
from router.engine.commands.suspension import ResumeDetails, emit_resumed
from router.engine.shadow.dry_run import REASON_STAYS, DryRunTransaction, WaitTransition
from router.engine.shadow.state import ShadowState
from router.engine.state.contact import Contact
from router.engine.state.records import work_queue_id
from router.model.events import (
    CallbackConnected,
    ContactAssigned,
    ContactChannelRequested,
    ContactChannelSwitched,
    ContactExpired,
    ContactHandedOver,
    ContactMonitorFailed,
    ContactMonitorJoined,
    ContactMonitorLeft,
    ContactMonitorRenewed,
    ContactMonitorRequested,
    ContactOverflowed,
    ContactRequeued,
    ContactResumed,
    ContactStepEntered,
    ContactUpdated,
    DayStarted,
    Event,
    OfferDeclined,
    OfferExpired,
    OfferMade,
    PolicyPublished,
    QueueClosed,
    QueueOpened,
)
from router.model.results import Refused
from router.model.shadow import DifferenceKind
from router.model.states import QueueId

# The contact returns to its place in the waiting line.
_RETURN_REASONS: Final = frozenset({"declined", "rona", "rescinded"})
_SAME_QUEUE_REASONS: Final = frozenset({"lost_desktop", "transfer_back", "owner_away", "callback_due"})
_POLICY_EXPIRY_REASONS: Final = frozenset({"wait_max", "closed", "no_agents_ready"})
_DIFFERENCE_OF_TRANSITION: Final[dict[type, DifferenceKind]] = {
    ContactOverflowed: DifferenceKind.OVERFLOW,
    ContactStepEntered: DifferenceKind.STEP,
    ContactExpired: DifferenceKind.EXPIRY,
}


def _translate_update(shadow: ShadowState, event: ContactUpdated) -> Event:
    """Change only the values that the update changes; the others may have differed before."""
    live = shadow.live_values.get(event.contact_id)
    if live is None:
        return event
    contact = shadow.state.contacts[event.contact_id]
    own = msgspec.structs.replace(
        event,
        skills=contact.skills if event.skills == live.skills else event.skills,
        priority_s=contact.priority_s if event.priority_s == live.priority_s else event.priority_s,
        priority_class=contact.priority_class if event.priority_class == live.priority_class else event.priority_class,
    )
    live.skills, live.priority_s, live.priority_class = (event.skills, event.priority_s, event.priority_class)
    return own


def _translate_requeue(shadow: ShadowState, event: ContactRequeued) -> Event | None:
    """Translate a return to waiting: to the contact's former place, with a reservation, or to a queue chosen by a person."""
    state = shadow.state
    contact = state.contacts[event.contact_id]
    if event.reason == REASON_STAYS:
        return _translate_transition(shadow, event)
    is_kept = event.reason == "drained" and contact.queue_id in shadow.policy.queues
    if event.reason in _RETURN_REASONS or is_kept:
        shadow.returned_contacts.add(event.contact_id)
        if contact.preferred_agent_id is not None and event.preferred_agent_id is None:
            shadow.entered_contacts.add(event.contact_id)
        if contact.queue_id != event.queue_id:
            shadow.set_live_queue(contact, event.queue_id)
        return msgspec.structs.replace(
            event,
            queue_id=contact.queue_id,
            wait_until_ms=contact.wait_until_ms,
            plan=contact.plan,
            step=contact.step,
            step_until_ms=contact.step_until_ms,
        )
    reserved, queue_id = _reservation(shadow, event), contact.queue_id
    is_manual = reserved is None and event.reason not in _SAME_QUEUE_REASONS
    if is_manual:
        queue_id = _queue_after_manual_move(shadow, contact, event.named_queue_id or event.queue_id)
    if not queue_id:
        shadow.set_live_queue(contact, event.queue_id)
        return msgspec.structs.replace(event, queue_id="", wait_until_ms=None, plan=None, step=0, step_until_ms=None)
    owner = None
    if event.agent_id is not None and contact.assignment_id is not None:
        owner = state.assignments[contact.assignment_id]
    dry_run = DryRunTransaction(state)
    requeue(
        dry_run,
        contact,
        queue_id,
        event.reason,
        owner=owner,
        cool_down_until_ms=_cool_down_until_ms(shadow, queue_id) if owner is not None and is_manual else None,
        reservation=reserved,
        queued_at_ms=event.queued_at_ms,
    )
    own = dry_run.events[0]
    assert isinstance(own, ContactRequeued)
    if own.queue_id != event.queue_id or event.contact_id in shadow.live_values:
        shadow.set_live_queue(contact, event.queue_id)
        if own.queue_id != event.queue_id and contact.contact_id not in shadow.excluded:
            shadow.report_difference(
                DifferenceKind.OVERFLOW,
                event.contact_id,
                queue_id=event.queue_id,
                shadow_queue_id=own.queue_id,
                why=("other_queue",),
                of_this_event=True,
            )
    return own


def _translate_resume(shadow: ShadowState, event: ContactResumed) -> Event:
    """Put a resumed contact into the queue, and at the place, that the shadow policy says."""
    contact = shadow.state.contacts[event.contact_id]
    if event.contact_id in shadow.excluded:
        shadow.set_live_queue(contact, event.queue_id)
        return msgspec.structs.replace(
            event,
            queue_id="",
            wait_until_ms=None,
            plan=None,
            step=0,
            step_until_ms=None,
            preferred_agent_id=None,
            preferred_until_ms=None,
            named_queue_id=None,
        )
    way = EntryWay.RESUME if event.reason == "resumed" else EntryWay.RESUME_DUE
    entry = find_queue(shadow.state, contact, contact.queue_id, way, event.channel)
    dry_run = DryRunTransaction(shadow.state)
    if isinstance(entry, Refused):
        entry = QueueEntry(contact.queue_id, 0)
    how = ResumeDetails(event.reason, event.channel, event.reference, event.submitted_as, event.option)
    emit_resumed(dry_run, contact, entry, how)
    own = dry_run.events[0]
    assert isinstance(own, ContactResumed)
    if own.queue_id != event.queue_id or event.contact_id in shadow.live_values:
        shadow.set_live_queue(contact, event.queue_id)
    return own


def _translate_channel_request(shadow: ShadowState, event: ContactChannelRequested) -> Event:
    """Hold for a switch what the shadow policy asks for."""
    if event.deadline_ms is None or event.to_assignment_id is not None:
        return event
    assignment = shadow.state.assignments[event.assignment_id]
    return msgspec.structs.replace(event, held_units=held_units(shadow.state, assignment, event.channel))


def _translate_channel_switch(shadow: ShadowState, event: ContactChannelSwitched) -> Event:
    return msgspec.structs.replace(event, units=shadow.state.index.channels.by_name[event.channel].units)


def _reservation(shadow: ShadowState, event: ContactRequeued) -> Reservation | None:
    """Return the reservation that the command or a lost desktop leads to."""
    if event.preferred_agent_id is None or event.preferred_until_ms is None:
        return None
    back = None
    if event.return_to_agent_id is not None and event.return_to_sender_ms is not None:
        back = event.return_to_agent_id, event.return_to_sender_ms
    return Reservation(event.preferred_agent_id, event.preferred_until_ms - shadow.state.at_ms, back)


def _queue_after_manual_move(shadow: ShadowState, contact: Contact, queue_id: QueueId) -> QueueId:
    """Return the queue to which a person has moved the contact; excluded if the shadow has no such queue."""
    if queue_id in shadow.policy.queues and contact.channel in shadow.policy.channels:
        shadow.excluded.discard(contact.contact_id)
        return queue_id
    if contact.contact_id not in shadow.excluded:
        why = ("unknown_queue",)
        shadow.report_difference(DifferenceKind.QUEUE, contact.contact_id, queue_id=queue_id, why=why, of_this_event=True)
        shadow.set_live_queue(contact, queue_id)
        shadow.excluded.add(contact.contact_id)
    return ""


def _cool_down_until_ms(shadow: ShadowState, queue_id: QueueId) -> int | None:
    cool_down_s = shadow.state.queue_policy(queue_id).cool_down_s
    return shadow.state.at_ms + 1000 * cool_down_s if cool_down_s else None


def _translate_offer_end(shadow: ShadowState, event: OfferDeclined | OfferExpired) -> Event:
    queue_id = shadow.state.offers[event.offer_id].queue_id
    return msgspec.structs.replace(event, cool_down_until_ms=_cool_down_until_ms(shadow, queue_id))


def _translate_transition(shadow: ShadowState, event: WaitTransition) -> Event | None:
    """Translate the end of a wait or step in live routing into what the shadow policy does with the contact."""
    contact = shadow.state.contacts[event.contact_id]
    if event.contact_id in shadow.excluded:
        own = None
    elif isinstance(event, ContactStepEntered) and event.reason == "policy":
        return None  # Only the live plan has changed.
    elif isinstance(event, ContactStepEntered) and event.reason == "opened":
        return None  # Here, plans continue when the queue opens here.
    else:
        reason = None if isinstance(event, ContactRequeued) else event.reason
        leaving = reason == "no_agents_ready"
        own = shadow.own_transition(
            contact, closing=reason == "closed", admission=leaving, leaving=leaving, by_customer=reason == "customer"
        )
        if leaving:
            shadow.count_left(contact.queue_id)
        if not _is_same_transition(event, own):
            shadow.report_difference(
                _difference_kind(event, own),
                event.contact_id,
                queue_id=shadow.live_queue_id(contact),
                shadow_queue_id=contact.queue_id if own is None else own.queue_id,
                why=(_reason_code(event, own),),
                of_this_event=True,
            )
    if isinstance(event, ContactExpired):
        return event
    if event.contact_id in shadow.live_values or own is None or own.queue_id != event.queue_id:
        shadow.set_live_queue(contact, event.queue_id)
    if isinstance(own, ContactExpired):
        shadow.expire(contact)
        return None
    return own


def _is_same_transition(event: WaitTransition, own: WaitTransition | None) -> bool:
    if isinstance(event, ContactRequeued) and (own is None or isinstance(own, ContactRequeued)):
        return True  # It stays in its queue under both policies.
    if type(own) is not type(event) or own is None:
        return False
    if isinstance(event, ContactStepEntered):
        return isinstance(own, ContactStepEntered) and own.step == event.step
    return isinstance(event, ContactExpired) or own.queue_id == event.queue_id


def _difference_kind(event: WaitTransition, own: WaitTransition | None) -> DifferenceKind:
    if isinstance(event, ContactRequeued) and own is not None:
        return _DIFFERENCE_OF_TRANSITION[type(own)]
    return _DIFFERENCE_OF_TRANSITION[type(event)]


def _reason_code(event: WaitTransition, own: WaitTransition | None) -> str:
    if own is None or isinstance(own, ContactRequeued):
        return "would_stay"
    if isinstance(own, ContactExpired):
        return "would_expire"
    if isinstance(own, ContactStepEntered):
        return "other_step" if isinstance(event, ContactStepEntered) else "would_go_on"
    return "other_queue" if isinstance(event, ContactOverflowed) else "would_overflow"


def _translate_expiry(shadow: ShadowState, event: ContactExpired) -> Event | None:
    """Translate an expiry that the policy causes (maximum wait, closing); time to live and callback limits are the gateway's."""
    return _translate_transition(shadow, event) if event.reason in _POLICY_EXPIRY_REASONS else event


def _translate_offer(shadow: ShadowState, event: OfferMade) -> Event:
    """Replace queue and capacity of the item by those of the shadow policy."""
    contact, units = (shadow.state.contacts[event.contact_id], shadow.state.index.channels.by_name[event.channel].units)
    queue_id = contact.queue_id
    if event.to_queue_id is not None and event.to_queue_id in shadow.policy.queues:
        queue_id = event.to_queue_id
    if units == event.units and queue_id == event.queue_id:
        return event
    return msgspec.structs.replace(event, units=units, queue_id=queue_id)


def _translate_assignment(shadow: ShadowState, event: ContactAssigned) -> Event:
    contact = shadow.state.contacts[event.contact_id]
    units = shadow.state.index.channels.by_name[contact.channel].units
    return msgspec.structs.replace(event, units=units, queue_id=contact.queue_id)


def _translate_hand_over(shadow: ShadowState, event: ContactHandedOver) -> Event:
    """Let the contact follow the queue of the new owner's work here."""
    contact, assignment = shadow.state.contacts[event.contact_id], shadow.state.assignments[event.assignment_id]
    queue_id = work_queue_id("hand over", contact.queue_id, assignment=assignment)
    if queue_id != event.queue_id and event.queue_id is not None:
        shadow.set_live_queue(contact, event.queue_id)
    return msgspec.structs.replace(event, queue_id=None if queue_id == contact.queue_id else queue_id)


def _translate_publication(shadow: ShadowState, event: PolicyPublished) -> Event | None:
    """Record the new active policy; the shadow policy stays."""
    shadow.live_policy = event.policy
    shadow.day.on_live_policy(event.policy)
    shadow.hours.on_live_policy(event.policy)
    shadow.state.policy_version = event.version
    shadow.apply_policy()
    return None


def _translate_day_start(shadow: ShadowState, event: DayStarted) -> Event | None:
    return event if shadow.day.follows_live_day else None


def _translate_hours(shadow: ShadowState, event: QueueOpened | QueueClosed) -> Event | None:
    return shadow.hours.translate(event)


def _translate_callback_connected(shadow: ShadowState, event: CallbackConnected) -> Event:
    """Replace the maximum wait of a connected customer by that of the shadow policy."""
    contact = shadow.state.contacts[event.contact_id]
    if event.agent_id is not None or event.contact_id in shadow.excluded:
        return msgspec.structs.replace(event, wait_until_ms=None)
    return msgspec.structs.replace(event, wait_until_ms=DryRunTransaction(shadow.state).wait_max_until_ms(contact.queue_id))


def _ignore(shadow: ShadowState, event: Event) -> None:
    """Leave out an event that no decision depends on, and whose deadlines are none of the shadow's."""


EVENT_TRANSLATIONS: Final[dict[type, Callable[[ShadowState, Any], Event | None]]] = {
    ContactUpdated: _translate_update,
    ContactRequeued: _translate_requeue,
    ContactResumed: _translate_resume,
    ContactChannelRequested: _translate_channel_request,
    ContactChannelSwitched: _translate_channel_switch,
    ContactOverflowed: _translate_transition,
    ContactStepEntered: _translate_transition,
    ContactExpired: _translate_expiry,
    ContactAssigned: _translate_assignment,
    ContactHandedOver: _translate_hand_over,
    ContactMonitorRequested: _ignore,
    ContactMonitorJoined: _ignore,
    ContactMonitorFailed: _ignore,
    ContactMonitorRenewed: _ignore,
    ContactMonitorLeft: _ignore,
    OfferMade: _translate_offer,
    OfferDeclined: _translate_offer_end,
    OfferExpired: _translate_offer_end,
    PolicyPublished: _translate_publication,
    DayStarted: _translate_day_start,
    QueueOpened: _translate_hours,
    QueueClosed: _translate_hours,
    CallbackConnected: _translate_callback_connected,
}
