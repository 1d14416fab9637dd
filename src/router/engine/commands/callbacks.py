"""Callbacks: a waiting contact becomes a callback, its scheduled time comes, and the gateway reports the result of a call."""

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from router.engine.commands.assignments import complete_assignment, release_participant, remove_all_participants
from router.engine.commands.contacts import expire_contact, find_contact
from router.engine.commands.hours import opening_by_calendar
from router.engine.commands.offers import callback_policy
from router.engine.commands.plan_steps import overflow_without_agents
from router.engine.commands.queue_admission import EntryWay
from router.engine.commands.queue_moves import requeue
from router.engine.commands.rescind import rescind_contact_offers
from router.engine.commands.transaction import Transaction, already_done, requester_of, unknown_contact, wrong_contact_state
from router.engine.commands.validation import unknown_channel
from router.engine.routing_state import RoutingState
from router.engine.state.contact import Contact
from router.engine.state.contact_parts import CallbackState
from router.engine.state.plan_stages import routing_criteria
from router.engine.state.workspace import agents_offered, conversation_roles_if_shared
from router.model.commands import CallbackFields, ClaimCallback, MoveCallback, ReportCallback, RequestCallback
from router.model.events import CallbackClaimed, CallbackConnected, CallbackFailed, CallbackRequested, CallbackScheduled, TimeWindow
from router.model.policy import CallbackPolicy, CallbackQueuePosition, CallbackWindowsPolicy, Policy, VoicemailCountsAs
from router.model.results import CommandResult, Done, RefusalCode, Refused
from router.model.states import CallbackInClosedHours, CallbackOutcome, CallbackPhase, ContactState

# Phases in which the customer is neither on the line nor being called.
_MOVABLE: Final = (CallbackPhase.WAITING, CallbackPhase.SCHEDULED, CallbackPhase.RETRY)


# Times that are looked at for windows of a callback; each reads the calendar.
_WINDOWS_TRIED_MAX: Final = 64


# --- requesting a callback --------------------------------------------------------------------------------------------
def _request_callback(tx: Transaction, command: RequestCallback) -> CommandResult:
    state = tx.state
    contact, policy = find_contact(tx, command), state.policy
    if contact is None or policy is None:
        return unknown_contact()
    if contact.callback is not None and not contact.state.is_terminal:
        return _repeat_request(tx, contact, contact.callback, command)
    if contact.state not in (ContactState.QUEUED, ContactState.OFFERED):
        return wrong_contact_state(tx, contact, requester_of(command))
    refused = callback_refusal(tx, policy, contact.queue_id, command.callback)
    if refused is not None:
        return refused
    rescind_contact_offers(tx, contact, "callback")
    convert_to_callback(tx, contact, command.callback)
    return _done(tx, contact)


def _repeat_request(tx: Transaction, contact: Contact, callback: CallbackState, command: RequestCallback) -> CommandResult:
    """Answer a repeated request: the same terms change nothing, other terms are refused."""
    terms = command.callback
    same_time = terms.at_ms in (callback.scheduled_at_ms, callback.requested_at_ms or callback.scheduled_at_ms)
    same_end = terms.until_ms in (None, callback.expires_at_ms)
    if terms.mode in (None, callback.mode) and terms.channel in (None, contact.channel) and same_time and same_end:
        return replace(already_done(contact.contact_id, contact.state, tx.state.seq), due_at_ms=_agreed_time(contact))
    return wrong_contact_state(tx, contact, requester_of(command), code=RefusalCode.CALLBACK_EXISTS, field="contact_id")


def callback_refusal(tx: Transaction, policy: Policy, queue_id: str, terms: CallbackFields, prefix: str = "") -> Refused | None:
    """Return the refusal of a callback from this queue on these terms; None if it is possible.

    ``prefix`` is the path of the terms in the request, for the field of the refusal.
    """
    offered = policy.queues[queue_id].callback
    if offered is None:
        return Refused(
            code=RefusalCode.CALLBACK_NOT_OFFERED,
            field=prefix.rstrip(".") or "contact_id",
            detail=f"queue {queue_id} offers no callbacks",
        )
    if terms.channel is not None and terms.channel not in policy.channels:
        return unknown_channel(policy, f"{prefix}channel")
    return _time_refusal(tx, queue_id, offered, terms.at_ms, terms.until_ms, prefix)


def _time_refusal(
    tx: Transaction, queue_id: str, offered: CallbackPolicy, at_ms: int | None, until_ms: int | None, prefix: str = ""
) -> Refused | None:
    """Return the refusal of a time or a time window; None if the callback can be agreed for it."""
    begins_ms = tx.at_ms
    if at_ms is not None:
        field = f"{prefix}at_ms"
        if not tx.at_ms < at_ms <= tx.at_ms + 1000 * offered.schedule_max_s:
            return _invalid_time(field, f"must be in the future and at most {offered.schedule_max_s} s ahead")
        opens_at_ms = _opening_after(tx.state, queue_id, at_ms)
        if opens_at_ms is None:
            return _invalid_time(field, "the queue is closed then and does not open within a year")
        if opens_at_ms != at_ms and offered.in_closed_hours is CallbackInClosedHours.REFUSE:
            return _invalid_time(field, "the queue is closed then; opens_at_ms is its next opening", opens_at_ms)
        begins_ms = opens_at_ms
    if until_ms is not None and until_ms <= begins_ms:
        detail = "must be later than the present time, than at_ms, and than the opening that follows at_ms"
        return _invalid_time(f"{prefix}until_ms", detail, None if begins_ms in (tx.at_ms, at_ms) else begins_ms)
    return None


def _invalid_time(field: str, detail: str, opens_at_ms: int | None = None) -> Refused:
    return Refused(code=RefusalCode.INVALID_CALLBACK_TIME, field=field, detail=detail, opens_at_ms=opens_at_ms)


def _opening_after(state: RoutingState, queue_id: str, at_ms: int) -> int | None:
    """Return the first time from ``at_ms`` on at which the queue is open, as far as known now; None: not within a year."""
    hours = state.hours.get(queue_id)
    if hours is not None and hours.is_supervisor_override and not hours.is_open and hours.changes_at_ms is not None:
        # Closed by a supervisor for a time, after which the calendar applies again.
        at_ms = max(at_ms, hours.changes_at_ms)
    opening = opening_by_calendar(state, queue_id, at_ms)
    return at_ms if opening.is_open else opening.until_ms


def callback_windows(
    tx: Transaction, queue_id: str, offered: CallbackPolicy, terms: CallbackWindowsPolicy
) -> tuple[TimeWindow, ...]:
    """Return the next time windows for a callback, each within the opening hours of the queue and ``schedule_max_s``."""
    length_ms = 1000 * terms.length_s
    latest_ms = tx.at_ms + 1000 * offered.schedule_max_s
    start_ms = _next_multiple(tx.at_ms + max(1, 1000 * terms.first_after_s), length_ms)
    found: list[TimeWindow] = []
    for _ in range(_WINDOWS_TRIED_MAX):
        if len(found) >= terms.windows_max or start_ms > latest_ms:
            break
        opens_ms = _opening_after(tx.state, queue_id, start_ms)
        if opens_ms is None:
            break
        if opens_ms != start_ms:
            start_ms = _next_multiple(opens_ms, length_ms)
            continue
        closes_ms = opening_by_calendar(tx.state, queue_id, start_ms).until_ms
        if closes_ms is not None and closes_ms < start_ms + length_ms:
            start_ms = _next_multiple(closes_ms, length_ms)
            continue
        found.append(TimeWindow(start_at_ms=start_ms, end_at_ms=start_ms + length_ms))
        start_ms += length_ms
    return tuple(found)


def _next_multiple(at_ms: int, length_ms: int) -> int:
    """Return the first multiple of a length that is not before a time."""
    return -(-at_ms // length_ms) * length_ms


def _agreed_time(contact: Contact) -> int | None:
    return contact.callback.scheduled_at_ms if contact.callback is not None else None


def _done(tx: Transaction, contact: Contact) -> Done:
    return replace(tx.done(contact.contact_id, contact.state), due_at_ms=_agreed_time(contact))


def convert_to_callback(tx: Transaction, contact: Contact, terms: CallbackFields) -> None:
    """Convert a waiting contact to a callback; the caller has checked the terms with ``callback_refusal``."""
    offered: CallbackPolicy = callback_policy(tx, contact)
    channel = terms.channel or offered.channel or contact.channel
    due_at_ms = None if terms.at_ms is None else _opening_after(tx.state, contact.queue_id, terms.at_ms)
    tx.emit(
        CallbackRequested(
            contact_id=contact.contact_id,
            queue_id=contact.queue_id,
            channel=channel,
            requirement=tx.requirement_text(routing_criteria(contact)._replace(channel=channel)),
            mode=terms.mode or offered.mode,
            queue_position=offered.queue_position,
            expires_at_ms=_expiry(tx, offered, due_at_ms, terms.until_ms),
            gateway_id=contact.gateway_id,
            has_window=terms.until_ms is not None,
        )
    )
    if due_at_ms is not None:
        tx.emit(
            CallbackScheduled(
                contact_id=contact.contact_id,
                due_at_ms=due_at_ms,
                gateway_id=contact.gateway_id,
                requested_at_ms=terms.at_ms if terms.at_ms != due_at_ms else None,
            )
        )


def _expiry(tx: Transaction, offered: CallbackPolicy, due_at_ms: int | None, until_ms: int | None) -> int | None:
    """Return when a callback expires: at the end of its window, else ``expires_after_s`` after the request or the agreed time."""
    if until_ms is not None or offered.expires_after_s is None:
        return until_ms
    return (tx.at_ms if due_at_ms is None else due_at_ms) + 1000 * offered.expires_after_s


# --- moving a callback ------------------------------------------------------------------------------------------------
def _move_callback(tx: Transaction, command: MoveCallback) -> CommandResult:
    """Move a callback to another time; without a time it is due now, which it may be already."""
    contact = find_contact(tx, command)
    if contact is None:
        return unknown_contact()
    callback = contact.callback
    if callback is None:
        return wrong_contact_state(tx, contact, requester_of(command), "the contact is not a callback")
    if contact.state.is_terminal:
        return wrong_contact_state(tx, contact, requester_of(command), "the contact has ended")
    if contact.state is ContactState.ASSIGNED or callback.phase not in _MOVABLE:
        return wrong_contact_state(tx, contact, requester_of(command), "the customer is being called or on the line")
    at_ms, until_ms = command.at_ms, command.until_ms
    offered = callback_policy(tx, contact)
    refused = _time_refusal(tx, contact.queue_id, offered, at_ms, until_ms)
    if refused is not None:
        return refused
    if at_ms is None:
        return _make_due(tx, contact, callback, until_ms)
    due_at_ms = _opening_after(tx.state, contact.queue_id, at_ms)
    assert due_at_ms is not None
    expires_at_ms = _expiry(tx, offered, due_at_ms, until_ms)
    if callback.phase is CallbackPhase.SCHEDULED and (callback.due_at_ms, callback.expires_at_ms) == (due_at_ms, expires_at_ms):
        return replace(already_done(contact.contact_id, contact.state, tx.state.seq), due_at_ms=due_at_ms)
    rescind_contact_offers(tx, contact, "callback")
    tx.emit(
        CallbackScheduled(
            contact_id=contact.contact_id,
            due_at_ms=due_at_ms,
            gateway_id=contact.gateway_id,
            requested_at_ms=at_ms if at_ms != due_at_ms else None,
            moved=True,
            expires_at_ms=expires_at_ms,
            has_window=until_ms is not None,
        )
    )
    return _done(tx, contact)


def _make_due(tx: Transaction, contact: Contact, callback: CallbackState, until_ms: int | None) -> CommandResult:
    """Return a callback to its queue at once; one that waits there already is left as it is."""
    if until_ms is not None:
        detail = "is allowed only together with at_ms"
        return Refused(code=RefusalCode.INVALID_VALUE, field="until_ms", detail=detail)
    if callback.phase is CallbackPhase.WAITING:
        return already_done(contact.contact_id, contact.state, tx.state.seq)
    requeue(tx, contact, contact.queue_id, "callback_due")
    return tx.done(contact.contact_id, contact.state)


# --- claiming a call --------------------------------------------------------------------------------------------------
def _claim_callback(tx: Transaction, command: ClaimCallback) -> CommandResult:
    """Claim the present call for one process of the gateway, until the lease or the deadline of the attempt ends."""
    contact = find_contact(tx, command)
    if contact is None:
        return unknown_contact()
    callback = contact.callback
    if callback is None:
        return wrong_contact_state(tx, contact, requester_of(command), "the contact is not a callback")
    if callback.phase is not CallbackPhase.DIALLING or contact.state.is_terminal or callback.due_at_ms is None:
        return wrong_contact_state(tx, contact, requester_of(command), "no call is requested")
    if command.attempt not in (None, callback.attempts):
        return wrong_contact_state(tx, contact, requester_of(command), "another attempt is in progress")
    if command.lease_s is not None and command.lease_s < 1:
        return Refused(code=RefusalCode.INVALID_VALUE, field="lease_s", detail="must be at least 1 second")
    held_until_ms = callback.claimed_until_ms or 0
    if callback.claimed_by not in (None, command.claimant) and tx.at_ms < held_until_ms:
        seconds = -(-(held_until_ms - tx.at_ms) // 1000)
        detail = f"another process of the gateway makes this call; its claim ends in {seconds} s"
        return wrong_contact_state(tx, contact, requester_of(command), detail, code=RefusalCode.CALLBACK_CLAIMED, state="claimed")
    lease_end_ms = callback.due_at_ms if command.lease_s is None else tx.at_ms + 1000 * command.lease_s
    until_ms = min(lease_end_ms, callback.due_at_ms)
    if (callback.claimed_by, held_until_ms) == (command.claimant, until_ms):
        return already_done(contact.contact_id, contact.state, tx.state.seq)
    tx.emit(
        CallbackClaimed(
            contact_id=contact.contact_id,
            attempt=callback.attempts,
            claimed_by=command.claimant,
            until_ms=until_ms,
            gateway_id=contact.gateway_id,
        )
    )
    return tx.done(contact.contact_id, contact.state)


# --- result of a call -------------------------------------------------------------------------------------------------
def _report_callback(tx: Transaction, command: ReportCallback) -> CommandResult:
    contact = find_contact(tx, command)
    if contact is None:
        return unknown_contact()
    callback, outcome = contact.callback, command.outcome
    if callback is None:
        return wrong_contact_state(tx, contact, requester_of(command), "the contact is not a callback")
    its_own = command.attempt in (None, callback.attempts)
    if callback.phase is not CallbackPhase.DIALLING or contact.state.is_terminal:
        if its_own and callback.outcome == outcome:
            return already_done(contact.contact_id, contact.state, callback.outcome_seq)
        return wrong_contact_state(tx, contact, requester_of(command), "the customer is not being called")
    if not its_own:
        return wrong_contact_state(tx, contact, requester_of(command), "another attempt is in progress")
    owned = contact.state is ContactState.ASSIGNED
    if outcome is CallbackOutcome.CONNECTED:
        _emit_connected(tx, contact, callback, outcome)
        # The customer is on the line and waits now.
        overflow_without_agents(tx, contact, EntryWay.RETURN)
    elif outcome is CallbackOutcome.VOICEMAIL and _voicemail_counts_as_done(tx, contact):
        if owned:  # The owner leaves a message and ends the conversation like any other.
            _emit_connected(tx, contact, callback, outcome)
        else:
            _fail_attempt(tx, contact, callback, outcome, final_reason="callback_voicemail")
    else:
        _fail_attempt(tx, contact, callback, outcome)
    # Names the event of the outcome, whatever followed in the same transaction.
    return Done(subject=contact.contact_id, state=contact.state, seq=callback.outcome_seq)


def _voicemail_counts_as_done(tx: Transaction, contact: Contact) -> bool:
    return callback_policy(tx, contact).voicemail_counts_as is VoicemailCountsAs.DONE


def _emit_connected(tx: Transaction, contact: Contact, callback: CallbackState, outcome: str) -> None:
    owned = contact.state is ContactState.ASSIGNED
    tx.emit(
        CallbackConnected(
            contact_id=contact.contact_id,
            attempt=callback.attempts,
            queue_id=contact.queue_id,
            requirement=tx.requirement_text(routing_criteria(contact)),
            outcome=str(outcome),
            # Also if the queue has closed meanwhile: the customer is on the line and continues to be offered.
            wait_until_ms=None if owned else tx.wait_max_until_ms(contact.queue_id),
            agent_id=contact.agent_id,
            gateway_id=contact.gateway_id,
            closed_ms=contact.closed_ms,
            members=conversation_roles_if_shared(tx.state, contact),
            offered_to=agents_offered(tx.state, contact),
        )
    )


def _fail_attempt(
    tx: Transaction, contact: Contact, callback: CallbackState, outcome: str, *, final_reason: str | None = None
) -> None:
    """Record a failed attempt: retry later or give up. An owner who waited is free at once, without wrap-up."""
    state, policy = tx.state, callback_policy(tx, contact)
    assignment = state.assignments.get(contact.assignment_id or "")
    if final_reason is None and callback.attempts >= policy.attempts_max:
        final_reason = "callback_failed"
    pauses = policy.retry_after_s
    pause_s = pauses[min(callback.attempts, len(pauses)) - 1]
    if assignment is not None:
        rescind_contact_offers(tx, contact, "callback")  # A transfer or consult may be pending.
    participants = remove_all_participants(tx, contact, "contact_moved")
    tx.emit(
        CallbackFailed(
            contact_id=contact.contact_id,
            attempt=callback.attempts,
            outcome=str(outcome),
            due_at_ms=None if final_reason else tx.at_ms + 1000 * pause_s,
            assignment_id=None if assignment is None else assignment.assignment_id,
            agent_id=None if assignment is None else assignment.agent_id,
            gateway_id=contact.gateway_id,
        )
    )
    if final_reason:
        expire_contact(tx, contact, final_reason)
    if assignment is not None:
        complete_assignment(tx, assignment, "callback_failed")
    for participant in participants:
        release_participant(tx, participant)


# --- timers -----------------------------------------------------------------------------------------------------------
def fire_callback_timer(tx: Transaction, contact: Contact) -> None:
    """Handle the scheduled time, the next attempt, or the end of the time for a report."""
    callback = contact.callback
    assert callback is not None
    if callback.phase is CallbackPhase.DIALLING:
        _fail_attempt(tx, contact, callback, "timeout")
        return
    at_due = callback.place is CallbackQueuePosition.FROM_DUE_TIME and callback.phase is CallbackPhase.SCHEDULED
    requeue(tx, contact, contact.queue_id, "callback_due", queued_at_ms=callback.scheduled_at_ms if at_due else None)


CALLBACK_COMMANDS: Final[dict[type, Callable[[Transaction, Any], CommandResult]]] = {
    RequestCallback: _request_callback,
    MoveCallback: _move_callback,
    ClaimCallback: _claim_callback,
    ReportCallback: _report_callback,
}
