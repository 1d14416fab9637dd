"""Suspending a contact for hours or days, and resuming it on any channel.

A suspended contact keeps what is known of it and nothing else: its offers are rescinded, its callback ends, its conversation
ends for its agents, who go on with their wrap-up. When it is resumed it enters its queue by the rules for new contacts; where
they refuse it, it stays suspended. Its last agent is preferred for a while, but only an agent who is there: an absent, deleted or
no longer qualified one is skipped at once.

Its age counts waiting only. ``age_ms`` is the time from its submit to the answer of its last agent, or to the suspension while it
waits, without earlier suspensions; a resumed contact continues from there, or from zero, as ``suspension.place`` of its queue says.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from router.engine.commands.assignments import release_assignment, release_participant, remove_all_participants
from router.engine.commands.channel_events import pass_to_gateway
from router.engine.commands.contacts import expire_contact, find_contact
from router.engine.commands.plan_steps import first_plan_step
from router.engine.commands.queue_admission import EntryWay, QueueEntry, find_queue
from router.engine.commands.queue_moves import Reservation
from router.engine.commands.rescind import rescind_contact_offers
from router.engine.commands.transaction import (
    Transaction,
    already_done,
    not_owner,
    requester_of,
    unknown_contact,
    wrong_contact_state,
)
from router.engine.commands.validation import unknown_channel
from router.engine.routing_state import RoutingState
from router.engine.state.clocks import TimerKind, closed_time_ms, is_clock_stopped
from router.engine.state.contact import Contact
from router.engine.state.contact_parts import SuspensionState
from router.engine.state.plan_stages import RoutingCriteria, routing_criteria
from router.engine.state.records import Assignment
from router.model.commands import ResumeContact, SuspendContact
from router.model.events.contact import ContactResumed, ContactResumeDue, ContactSuspended
from router.model.policy import ResumePlace, SuspensionEnd, SuspensionPolicy
from router.model.results import CommandResult, RefusalCode, Refused
from router.model.states import AgentState, ContactId, ContactState, GatewayId, Presence


# --- suspending -------------------------------------------------------------------------------------------------------
def suspend_contact(tx: Transaction, command: SuspendContact) -> CommandResult:
    contact = find_contact(tx, command)
    if contact is None:
        return unknown_contact()
    if command.agent_id not in (None, contact.agent_id):
        return not_owner()
    if contact.state.is_terminal or contact.state is ContactState.CHOOSING:
        return wrong_contact_state(tx, contact, requester_of(command))
    if contact.state is ContactState.SUSPENDED and contact.suspension is not None:
        return _repeat_suspend(tx, contact, contact.suspension, command)
    terms = tx.state.queue_policy(contact.queue_id).suspension
    refused = _terms_refusal(tx, contact, terms, command)
    if refused is not None:
        return refused
    owner = tx.state.assignments[contact.assignment_id or ""] if contact.state is ContactState.ASSIGNED else None
    rescind_contact_offers(tx, contact, "suspended")
    participants = remove_all_participants(tx, contact, "contact_suspended")
    tx.emit(_suspended_event(tx, contact, owner, terms, command))
    answer = tx.done(contact.contact_id, contact.state)
    if owner is not None:
        release_assignment(tx, owner)
    for participant in participants:
        release_participant(tx, participant)
    return answer


def _repeat_suspend(tx: Transaction, contact: Contact, suspension: SuspensionState, command: SuspendContact) -> CommandResult:
    """Answer a repeated suspension: the same terms change nothing, other terms are refused."""
    if command.resume_by_ms in (None, suspension.resume_by_ms) and command.at_expiry in (None, suspension.at_expiry):
        return already_done(contact.contact_id, contact.state, suspension.suspended_seq)
    return wrong_contact_state(tx, contact, requester_of(command), "the contact is suspended already, on other terms")


def _terms_refusal(tx: Transaction, contact: Contact, terms: SuspensionPolicy, command: SuspendContact) -> Refused | None:
    until_ms = command.resume_by_ms
    if until_ms is not None and not tx.at_ms < until_ms <= tx.at_ms + 1000 * terms.resume_max_s:
        detail = f"must be in the future and at most {terms.resume_max_s:,} s ahead (suspension.resume_max_s of the queue)"
        return Refused(code=RefusalCode.INVALID_VALUE, field="resume_by_ms", detail=detail)
    return suspension_limit_refusal(tx.state, contact)


def suspension_limit_refusal(state: RoutingState, contact: Contact) -> Refused | None:
    """Refuse one more suspended contact than the workspace, or a customer, may have."""
    assert state.policy is not None
    limits, mine = state.policy.retention, len(state.suspended_by_customer.get(contact.customer_id or "", ()))
    if state.suspended_count >= limits.suspended_contacts_max:
        owner, name, count_max = "the workspace", "suspended_contacts_max", limits.suspended_contacts_max
    elif mine >= limits.suspended_per_customer_max:
        owner, name, count_max = "the customer", "suspended_per_customer_max", limits.suspended_per_customer_max
    else:
        return None
    detail = f"{owner} has {count_max:,} suspended contacts (retention.{name}): resume or cancel some first"
    return Refused(code=RefusalCode.SUSPENDED_LIMIT, field="contact_id", detail=detail)


def _suspended_event(
    tx: Transaction, contact: Contact, owner: Assignment | None, terms: SuspensionPolicy, command: SuspendContact
) -> ContactSuspended:
    resume_by_ms = command.resume_by_ms or tx.at_ms + 1000 * terms.resume_within_s
    warning_ms = resume_by_ms - 1000 * terms.warn_before_s
    age_until_ms = tx.at_ms if owner is None else owner.started_at_ms
    return ContactSuspended(
        contact_id=contact.contact_id,
        queue_id=contact.queue_id,
        resume_by_ms=resume_by_ms,
        at_expiry=command.at_expiry or terms.at_expiry,
        age_ms=max(0, age_until_ms - contact.queued_at_ms),
        closed_ms=closed_time_ms(tx.state, contact),
        warning_ms=warning_ms if tx.at_ms < warning_ms < resume_by_ms else None,
        ttl_left_ms=_ttl_left_ms(tx, contact),
        assignment_id=contact.assignment_id,
        agent_id=contact.agent_id,
        callback_ended=contact.callback is not None,
        gateway_id=contact.gateway_id,
    )


def _ttl_left_ms(tx: Transaction, contact: Contact) -> int | None:
    """Return the rest of the contact's own time to live; that of a callback ends with the callback."""
    if contact.ttl_at_ms is None or contact.callback is not None:
        return None
    stands_still = contact.closed_since_ms is not None and is_clock_stopped(tx.state, contact, TimerKind.TTL)
    now_ms = contact.closed_since_ms if stands_still and contact.closed_since_ms is not None else tx.at_ms
    return max(1, contact.ttl_at_ms - now_ms)


# --- resuming ---------------------------------------------------------------------------------------------------------
def _resume_contact(tx: Transaction, command: ResumeContact) -> CommandResult:
    contact, policy = find_contact(tx, command) or _contact_to_take_over(tx, command), tx.state.policy
    if contact is None or policy is None:
        return unknown_contact()
    if contact.state is not ContactState.SUSPENDED:
        return _repeat_resume(tx, contact, command)
    channel = command.channel or contact.channel
    if channel not in policy.channels:
        return unknown_channel(policy)
    entry = find_queue(tx.state, contact, contact.queue_id, EntryWay.RESUME, channel)
    if isinstance(entry, Refused):
        return entry
    emit_resumed(tx, contact, entry, ResumeDetails("resumed", channel, command.reference or contact.reference))
    return tx.done(contact.contact_id, contact.state)


def _contact_to_take_over(tx: Transaction, command: ResumeContact) -> Contact | None:
    """Return a suspended contact of another gateway that the gateway of the command resumes on the channel that it serves."""
    contact = tx.state.contacts.get(command.contact_id)
    if contact is None or contact.state is not ContactState.SUSPENDED:
        return None
    return contact if serves_channel(tx.state, command.gateway_id, command.channel or contact.channel) else None


def serves_channel(state: RoutingState, gateway_id: GatewayId | None, channel_name: str) -> bool:
    """Return whether the policy names this gateway for the channel."""
    channel = None if state.policy is None else state.policy.channels.get(channel_name)
    return channel is not None and channel.gateway is not None and channel.gateway == gateway_id


def _repeat_resume(tx: Transaction, contact: Contact, command: ResumeContact) -> CommandResult:
    """Answer for a contact that is not suspended: the first of several resumes has won, or the time for it was over."""
    suspension = contact.suspension
    if contact.state is ContactState.EXPIRED and contact.reason == "resume_by":
        detail = "submit a new contact, with continues_contact_id"
        return Refused(code=RefusalCode.RESUME_EXPIRED, field="contact_id", state="expired", detail=detail, seq=contact.ended_seq)
    was_resumed = suspension is not None and suspension.resumed_seq > 0 and not contact.state.is_terminal
    if was_resumed and suspension is not None and command.channel in (None, contact.channel):
        return already_done(contact.contact_id, contact.state, suspension.resumed_seq)
    detail = f"the contact was resumed already, on channel {contact.channel}" if was_resumed else "the contact is not suspended"
    return wrong_contact_state(tx, contact, requester_of(command), detail)


class ResumeDetails(NamedTuple):
    """How a suspended contact goes on."""

    reason: str
    """``resumed``, or ``resume_by`` for a task."""
    channel: str
    reference: str | None
    submitted_as: ContactId | None = None
    """Id of the submit or request by which the customer came back; None: it is resumed by its own id."""
    option: str | None = None
    """Option by which the customer chose it."""


def emit_resumed(tx: Transaction, contact: Contact, entry: QueueEntry, how: ResumeDetails) -> None:
    """Put a suspended contact into the queue that admits it, at the place that the policy of its own queue says."""
    suspension, terms = contact.suspension, tx.state.queue_policy(contact.queue_id).suspension
    assert suspension is not None
    queue_id, overflow_count = entry
    plan = contact.plan if queue_id == contact.queue_id else None
    criteria = routing_criteria(contact)._replace(queue_id=queue_id, channel=how.channel, plan=plan, step=0, reserved_agent_id=None)
    reservation = _reservation(tx, criteria, terms)
    until_ms = None if reservation is None else tx.at_ms + reservation.duration_ms
    criteria = criteria._replace(reserved_agent_id=None if reservation is None else reservation.agent_id)
    number, step_until_ms = first_plan_step(tx, criteria, until_ms or tx.at_ms)
    age_ms, closed_ms = _age_at_resume(contact, suspension, terms)
    is_task = how.reason != "resumed"
    tx.emit(
        ContactResumed(
            contact_id=contact.contact_id,
            queue_id=queue_id,
            requirement=tx.requirement_text(criteria._replace(step=number)),
            reason=how.reason,
            queued_seq=contact.queued_seq,
            wait_until_ms=tx.wait_until_ms(queue_id),
            preferred_agent_id=criteria.reserved_agent_id,
            preferred_until_ms=until_ms,
            gateway_id=contact.gateway_id,
            queued_at_ms=tx.at_ms - age_ms,
            plan=plan,
            step=number,
            step_until_ms=step_until_ms,
            named_queue_id=None if queue_id == contact.queue_id else contact.queue_id,
            overflow_count=overflow_count,
            channel=how.channel,
            reference=how.reference,
            suspended_ms=tx.at_ms - suspension.suspended_at_ms,
            closed_ms=closed_ms,
            ttl_at_ms=None if is_task or suspension.ttl_left_ms is None else tx.at_ms + suspension.ttl_left_ms,
            submitted_as=how.submitted_as,
            option=how.option,
        )
    )
    if not is_task:
        pass_to_gateway(tx, contact)


def _age_at_resume(contact: Contact, suspension: SuspensionState, terms: SuspensionPolicy) -> tuple[int, int]:
    """Return the age with which a resumed contact waits, and the part of it that does not count as waiting."""
    match terms.place:
        case ResumePlace.KEEP_AGE:
            return suspension.age_ms, contact.closed_ms
        case ResumePlace.CREDIT:
            return 1000 * terms.credit_s, 0
        case ResumePlace.FRESH:
            return 0, 0


def _reservation(tx: Transaction, criteria: RoutingCriteria, terms: SuspensionPolicy) -> Reservation | None:
    """Return the reservation for the contact's last agent; None if that agent is absent, deleted or does not qualify."""
    state, index = tx.state, tx.state.index
    agent = state.agents.get(criteria.last_agent_id or "")
    if agent is None or not terms.prefer_last_agent_s or state.is_closed(criteria.queue_id):
        return None
    is_there = agent.state is AgentState.READY and agent.next_state is None and agent.presence is not Presence.LOST
    if not is_there or criteria.channel in agent.paused or agent.group is None:
        return None
    line = index.lines.line_for_requirements(criteria._replace(reserved_agent_id=agent.agent_id))
    is_qualified = agent.group.qualifies_for(line)
    index.lines.drop_if_unused(line)
    return Reservation(agent.agent_id, 1000 * terms.prefer_last_agent_s) if is_qualified else None


# --- timers -----------------------------------------------------------------------------------------------------------
def fire_suspension_timer(tx: Transaction, contact: Contact) -> None:
    """Warn of the end of a suspension, or end it: the contact expires, or is queued as a task."""
    suspension = contact.suspension
    assert suspension is not None
    if suspension.warning_ms is not None:
        tx.emit(
            ContactResumeDue(
                contact_id=contact.contact_id,
                queue_id=contact.queue_id,
                resume_by_ms=suspension.resume_by_ms,
                at_expiry=suspension.at_expiry,
                gateway_id=contact.gateway_id,
            )
        )
    elif suspension.at_expiry is SuspensionEnd.END:
        expire_contact(tx, contact, "resume_by")
    else:
        _queue_as_task(tx, contact)


def _queue_as_task(tx: Transaction, contact: Contact) -> None:
    state = tx.state
    terms = state.queue_policy(contact.queue_id).suspension
    channel = terms.task_channel or contact.channel
    entry = find_queue(state, contact, contact.queue_id, EntryWay.RESUME_DUE, channel)
    if isinstance(entry, Refused):
        entry = QueueEntry(contact.queue_id, 0)
    emit_resumed(tx, contact, entry, ResumeDetails("resume_by", channel, contact.reference))


SUSPENSION_COMMANDS: Final[dict[type, Callable[[Transaction, Any], CommandResult]]] = {
    SuspendContact: suspend_contact,
    ResumeContact: _resume_contact,
}
