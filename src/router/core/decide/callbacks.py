"""Callbacks: a waiting contact becomes a callback, its scheduled time comes, and the gateway reports the result of a call."""

from collections.abc import Callable
from typing import Any, Final

from router.core.decide.assignments import complete, release_party
from router.core.decide.contacts import expire, theirs
from router.core.decide.dialling import policy_of
from router.core.decide.parties import everybody_leaves
from router.core.decide.requeue import wait_anew
from router.core.decide.rescind import rescind_all
from router.core.decide.step import Step, repeated, unknown_contact, wrong_state
from router.core.plans import asks_of
from router.core.state import Callback, Contact, RoutingState
from router.model.callbacks import CallbackFields, CallbackOutcome, CallbackPhase
from router.model.commands import ReportCallback, RequestCallback
from router.model.events import (
    CallbackConnected,
    CallbackFailed,
    CallbackRequested,
    CallbackScheduled,
)
from router.model.outcome import Answer, Done
from router.model.policy import CallbackPlace, CallbackPolicy, Policy, VoicemailIs
from router.model.refusals import RefusalCode, Refused
from router.model.states import ContactState

_LIVE_CALL: Final = ("end", "abandon", "transfer", "requeue", "assign")
_CALLBACK: Final = ("cancel", "end", "requeue", "assign")
_DIALLED: Final = ("callback/result", "end", "requeue", "assign")


# --- requesting a callback --------------------------------------------------------------------------------------------
def _request(step: Step, command: RequestCallback) -> Answer:
    state = step.state
    contact, policy = theirs(step, command), state.policy
    if contact is None or policy is None:
        return unknown_contact()
    if contact.callback is not None and not contact.state.is_terminal:
        return _again(state, contact, contact.callback, command.callback)
    if contact.state not in (ContactState.QUEUED, ContactState.OFFERED):
        allowed = () if contact.state.is_terminal else _LIVE_CALL
        return wrong_state(contact.state, *allowed)
    refused = objection(step, policy, contact.queue_id, command.callback)
    if refused is not None:
        return refused
    rescind_all(step, contact, "callback")
    agree(step, contact, command.callback)
    return step.done(contact.contact_id, contact.state)


def _again(
    state: RoutingState, contact: Contact, callback: Callback, asked: CallbackFields
) -> Answer:
    """Answer a repeated request: the same terms change nothing, other terms are refused."""
    if (
        asked.mode in (None, callback.mode)
        and asked.channel in (None, contact.channel)
        and asked.at_ms == callback.scheduled_at_ms
    ):
        return repeated(contact.contact_id, contact.state, state.seq)
    return Refused(
        code=RefusalCode.CALLBACK_EXISTS,
        field="contact_id",
        state=str(contact.state),
        allowed=_LIVE_CALL if contact.state is ContactState.ASSIGNED else _CALLBACK,
    )


def objection(
    step: Step, policy: Policy, queue_id: str, asked: CallbackFields, prefix: str = ""
) -> Refused | None:
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
    if asked.channel is not None and asked.channel not in policy.channels:
        return Refused(code=RefusalCode.UNKNOWN_CHANNEL, field=f"{prefix}channel")
    if asked.at_ms is None:
        return None
    if not step.at_ms < asked.at_ms <= step.at_ms + 1000 * offered.schedule_max_s:
        return Refused(
            code=RefusalCode.CALLBACK_TIME,
            field=f"{prefix}at_ms",
            detail=f"must be in the future and at most {offered.schedule_max_s} s ahead",
        )
    return None


def agree(step: Step, contact: Contact, asked: CallbackFields) -> None:
    """Convert a waiting contact to a callback; the caller has checked the terms with ``callback_refusal``."""
    offered: CallbackPolicy = policy_of(step, contact)
    channel = asked.channel or offered.channel or contact.channel
    expires_s = offered.expires_after_s
    begins_ms = step.at_ms if asked.at_ms is None else asked.at_ms
    step.emit(
        CallbackRequested(
            contact_id=contact.contact_id,
            queue_id=contact.queue_id,
            channel=channel,
            req=step.state.index.line_at(asks_of(contact)._replace(channel=channel)).req,
            mode=asked.mode or offered.mode,
            place=offered.place,
            expires_at_ms=None if expires_s is None else begins_ms + 1000 * expires_s,
            gateway_id=contact.gateway_id,
        )
    )
    if asked.at_ms is not None:
        step.emit(
            CallbackScheduled(
                contact_id=contact.contact_id,
                due_at_ms=asked.at_ms,
                gateway_id=contact.gateway_id,
            )
        )


# --- result of a call -------------------------------------------------------------------------------------------------
def _report(step: Step, command: ReportCallback) -> Answer:
    contact = theirs(step, command)
    if contact is None:
        return unknown_contact()
    callback, outcome = contact.callback, command.outcome
    if callback is None:
        return wrong_state(contact.state, detail="the contact is not a callback")
    its_own = command.attempt in (None, callback.attempts)
    if callback.phase is not CallbackPhase.DIALLING or contact.state.is_terminal:
        if its_own and callback.outcome == outcome:
            return repeated(contact.contact_id, contact.state, callback.outcome_seq)
        return wrong_state(contact.state, detail="the customer is not being called")
    if not its_own:
        return wrong_state(contact.state, *_DIALLED, detail="another attempt is in progress")
    owned = contact.state is ContactState.ASSIGNED
    if outcome is CallbackOutcome.CONNECTED:
        _connected(step, contact, callback, outcome)
    elif outcome is CallbackOutcome.VOICEMAIL and _counts(step, contact):
        if owned:  # The owner leaves a message and ends the conversation like any other.
            _connected(step, contact, callback, outcome)
        else:
            _fail(step, contact, callback, outcome, gives_up="callback_voicemail")
    else:
        _fail(step, contact, callback, outcome)
    # Names the event of the outcome, whatever followed in the same transaction.
    return Done(subject=contact.contact_id, state=contact.state, seq=callback.outcome_seq)


def _counts(step: Step, contact: Contact) -> bool:
    return policy_of(step, contact).voicemail_is is VoicemailIs.DONE


def _connected(step: Step, contact: Contact, callback: Callback, outcome: str) -> None:
    owned = contact.state is ContactState.ASSIGNED
    step.emit(
        CallbackConnected(
            contact_id=contact.contact_id,
            attempt=callback.attempts,
            queue_id=contact.queue_id,
            req=step.state.index.line_at(asks_of(contact)).req,
            outcome=str(outcome),
            # Also if the queue has closed meanwhile: the customer is on the line and continues to be offered.
            wait_until_ms=None if owned else step.full_wait_ms(contact.queue_id),
            agent_id=contact.agent_id,
            gateway_id=contact.gateway_id,
        )
    )


def _fail(
    step: Step,
    contact: Contact,
    callback: Callback,
    outcome: str,
    *,
    gives_up: str | None = None,
) -> None:
    """Record a failed attempt: retry later or give up. An owner who waited is free at once, without wrap-up."""
    state, policy = step.state, policy_of(step, contact)
    work = state.assignments.get(contact.assignment_id or "")
    if gives_up is None and callback.attempts >= policy.attempts_max:
        gives_up = "callback_failed"
    pauses = policy.retry_after_s
    pause_s = pauses[min(callback.attempts, len(pauses)) - 1]
    if work is not None:
        rescind_all(step, contact, "callback")  # A transfer or consult may be pending.
    parties = everybody_leaves(step, contact, "contact_moved") if contact.parties else []
    step.emit(
        CallbackFailed(
            contact_id=contact.contact_id,
            attempt=callback.attempts,
            outcome=str(outcome),
            due_at_ms=None if gives_up else step.at_ms + 1000 * pause_s,
            assignment_id=None if work is None else work.assignment_id,
            agent_id=None if work is None else work.agent_id,
            gateway_id=contact.gateway_id,
        )
    )
    if gives_up:
        expire(step, contact, gives_up)
    if work is not None:
        complete(step, work, "callback_failed")
    for party in parties:
        release_party(step, party)


# --- timers -----------------------------------------------------------------------------------------------------------
def time_has_come(step: Step, contact: Contact) -> None:
    """Handle the scheduled time, the next attempt, or the end of the time for a report."""
    callback = contact.callback
    assert callback is not None
    if callback.phase is CallbackPhase.DIALLING:
        _fail(step, contact, callback, "timeout")
        return
    at_due = callback.place is CallbackPlace.AT_DUE and callback.phase is CallbackPhase.SCHEDULED
    wait_anew(
        step,
        contact,
        contact.queue_id,
        "callback_due",
        queued_at_ms=callback.scheduled_at_ms if at_due else None,
    )


HANDLERS: Final[dict[type, Callable[[Step, Any], Answer]]] = {
    RequestCallback: _request,
    ReportCallback: _report,
}
