"""Callbacks: a waiting contact becomes a callback, its scheduled time comes, and the gateway reports the result of a call."""

from collections.abc import Callable
from typing import Any, Final

from router.engine.commands.assignments import complete_assignment, release_participant, remove_all_participants
from router.engine.commands.contacts import expire_contact, find_contact
from router.engine.commands.offers import callback_policy
from router.engine.commands.plan_steps import overflow_without_agents
from router.engine.commands.queue_admission import EntryWay
from router.engine.commands.queue_moves import requeue
from router.engine.commands.rescind import rescind_contact_offers
from router.engine.commands.transaction import Transaction, already_done, unknown_contact, wrong_contact_state
from router.engine.commands.validation import unknown_channel
from router.engine.routing_state import RoutingState
from router.engine.state.contact import CallbackState, Contact
from router.engine.state.plan_stages import routing_criteria
from router.engine.state.workspace import agents_offered, conversation_roles_if_shared
from router.model.commands import CallbackFields, ReportCallback, RequestCallback
from router.model.events import CallbackConnected, CallbackFailed, CallbackRequested, CallbackScheduled
from router.model.policy import CallbackPolicy, CallbackQueuePosition, Policy, VoicemailCountsAs
from router.model.results import CommandResult, Done, RefusalCode, Refused
from router.model.states import CallbackOutcome, CallbackPhase, ContactState

_ALLOWED_ON_CALL: Final = ("end", "abandon", "transfer", "requeue", "assign")
_ALLOWED_FOR_CALLBACK: Final = ("cancel", "end", "requeue", "assign")
_ALLOWED_WHILE_DIALLING: Final = ("callback/result", "end", "requeue", "assign")


# --- requesting a callback --------------------------------------------------------------------------------------------
def _request_callback(tx: Transaction, command: RequestCallback) -> CommandResult:
    state = tx.state
    contact, policy = find_contact(tx, command), state.policy
    if contact is None or policy is None:
        return unknown_contact()
    if contact.callback is not None and not contact.state.is_terminal:
        return _repeat_request(state, contact, contact.callback, command.callback)
    if contact.state not in (ContactState.QUEUED, ContactState.OFFERED):
        allowed = () if contact.state.is_terminal else _ALLOWED_ON_CALL
        return wrong_contact_state(contact.state, *allowed)
    refused = callback_refusal(tx, policy, contact.queue_id, command.callback)
    if refused is not None:
        return refused
    rescind_contact_offers(tx, contact, "callback")
    convert_to_callback(tx, contact, command.callback)
    return tx.done(contact.contact_id, contact.state)


def _repeat_request(state: RoutingState, contact: Contact, callback: CallbackState, terms: CallbackFields) -> CommandResult:
    """Answer a repeated request: the same terms change nothing, other terms are refused."""
    if terms.mode in (None, callback.mode) and terms.channel in (None, contact.channel) and terms.at_ms == callback.scheduled_at_ms:
        return already_done(contact.contact_id, contact.state, state.seq)
    return Refused(
        code=RefusalCode.CALLBACK_EXISTS,
        field="contact_id",
        state=str(contact.state),
        allowed=_ALLOWED_ON_CALL if contact.state is ContactState.ASSIGNED else _ALLOWED_FOR_CALLBACK,
    )


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
    if terms.at_ms is None:
        return None
    if not tx.at_ms < terms.at_ms <= tx.at_ms + 1000 * offered.schedule_max_s:
        return Refused(
            code=RefusalCode.INVALID_CALLBACK_TIME,
            field=f"{prefix}at_ms",
            detail=f"must be in the future and at most {offered.schedule_max_s} s ahead",
        )
    return None


def convert_to_callback(tx: Transaction, contact: Contact, terms: CallbackFields) -> None:
    """Convert a waiting contact to a callback; the caller has checked the terms with ``callback_refusal``."""
    offered: CallbackPolicy = callback_policy(tx, contact)
    channel = terms.channel or offered.channel or contact.channel
    expires_s = offered.expires_after_s
    begins_ms = tx.at_ms if terms.at_ms is None else terms.at_ms
    tx.emit(
        CallbackRequested(
            contact_id=contact.contact_id,
            queue_id=contact.queue_id,
            channel=channel,
            requirement=tx.requirement_text(routing_criteria(contact)._replace(channel=channel)),
            mode=terms.mode or offered.mode,
            queue_position=offered.queue_position,
            expires_at_ms=None if expires_s is None else begins_ms + 1000 * expires_s,
            gateway_id=contact.gateway_id,
        )
    )
    if terms.at_ms is not None:
        tx.emit(CallbackScheduled(contact_id=contact.contact_id, due_at_ms=terms.at_ms, gateway_id=contact.gateway_id))


# --- result of a call -------------------------------------------------------------------------------------------------
def _report_callback(tx: Transaction, command: ReportCallback) -> CommandResult:
    contact = find_contact(tx, command)
    if contact is None:
        return unknown_contact()
    callback, outcome = contact.callback, command.outcome
    if callback is None:
        return wrong_contact_state(contact.state, detail="the contact is not a callback")
    its_own = command.attempt in (None, callback.attempts)
    if callback.phase is not CallbackPhase.DIALLING or contact.state.is_terminal:
        if its_own and callback.outcome == outcome:
            return already_done(contact.contact_id, contact.state, callback.outcome_seq)
        return wrong_contact_state(contact.state, detail="the customer is not being called")
    if not its_own:
        return wrong_contact_state(contact.state, *_ALLOWED_WHILE_DIALLING, detail="another attempt is in progress")
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
    ReportCallback: _report_callback,
}
