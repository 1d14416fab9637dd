"""Supervisors who join conversations: listen, whisper and barge.

A supervisor asks for a mode; ``contact.monitor_requested`` tells the gateway, which connects them and reports the outcome, or the
request fails at its deadline. Another request of the same supervisor changes the mode without leaving; the present one stands
until the gateway reports. A supervisor who has joined is no participant: takes no capacity, owns nothing and counts in no limit of
agents.

What was joined is the conversation of one agent on one channel. It is over for the supervisor when the contact ends, waits again,
gets another owner or another channel, and also when the supervisor's time is over, or when contact or agent leave their scope.
``end_monitors`` ends it after the commands and timers that led to it, in the same step (see ``index/monitors.py``).
"""

from collections.abc import Callable
from typing import Any, Final

from router.engine.commands.transaction import (
    Transaction,
    already_done,
    is_visible,
    requester_of,
    unknown_contact,
    wrong_contact_state,
)
from router.engine.commands.validation import listed
from router.engine.index.monitors import monitor_of
from router.engine.routing_state import RoutingState
from router.engine.state.contact import Contact
from router.engine.state.contact_parts import MonitorState
from router.model.commands import MonitorContact, ReportMonitor, StopMonitoring
from router.model.events import (
    ContactMonitorFailed,
    ContactMonitorJoined,
    ContactMonitorLeft,
    ContactMonitorRenewed,
    ContactMonitorRequested,
)
from router.model.filters import SupervisorScope
from router.model.operations import Requester
from router.model.policy import MonitoringPolicy
from router.model.results import CommandResult, RefusalCode, Refused
from router.model.states import AssignmentState, CallbackPhase, ContactState, MonitorOutcome, QueueId

# A repeated request moves the end only by more than this: the end is computed from two clocks.
_RENEWAL_MIN_MS: Final = 1_000


def monitoring_terms(state: RoutingState, queue_id: QueueId) -> MonitoringPolicy:
    """Return the terms for conversations of a queue; a policy must be active."""
    assert state.policy is not None
    return state.queue_policy(queue_id).monitoring or state.policy.monitoring


# --- the commands -----------------------------------------------------------------------------------------------------
def _monitor_contact(tx: Transaction, command: MonitorContact) -> CommandResult:
    end_monitors(tx)
    state = tx.state
    contact = state.contacts.get(command.contact_id)
    if contact is None or state.policy is None or not _is_in_scope(state, contact, command.scope):
        return unknown_contact()
    refused = _state_refusal(tx, contact)
    if refused is not None:
        return refused
    terms, present = monitoring_terms(state, contact.queue_id), monitor_of(contact, command.supervisor_id)
    refused = _terms_refusal(state, contact, command, terms, is_new=present is None)
    if refused is not None:
        return refused
    began_ms = tx.at_ms if present is None else present.requested_at_ms
    until_ms = min(command.until_ms or began_ms + 1000 * terms.duration_max_s, began_ms + 1000 * terms.duration_max_s)
    if present is not None and (present.wanted or present.mode) is command.mode:
        return _renew(tx, contact, command, present, until_ms)
    tx.emit(
        ContactMonitorRequested(
            contact_id=contact.contact_id,
            supervisor_id=command.supervisor_id,
            mode=command.mode,
            present_mode=None if present is None else present.mode,
            deadline_ms=tx.at_ms + 1000 * terms.connect_timeout_s,
            until_ms=until_ms,
            owner_agent_id=contact.agent_id or "",
            assignment_id=contact.assignment_id or "",
            is_hidden=present.is_hidden if present is not None else not terms.agent_sees,
            scope=command.scope,
            gateway_id=contact.gateway_id,
        )
    )
    return tx.done(contact.contact_id, contact.state)


def _state_refusal(tx: Transaction, contact: Contact) -> Refused | None:
    callback = contact.callback
    if contact.state is not ContactState.ASSIGNED:
        return wrong_contact_state(tx, contact, Requester.SUPERVISOR, "no agent has the contact")
    if tx.state.assignments[contact.assignment_id or ""].state is AssignmentState.PARKED:
        return wrong_contact_state(tx, contact, Requester.SUPERVISOR, "the conversation is parked")
    if callback is not None and callback.phase is not CallbackPhase.CONNECTED:
        return wrong_contact_state(tx, contact, Requester.SUPERVISOR, "the customer of this callback is not on the line")
    return None


def _terms_refusal(
    state: RoutingState, contact: Contact, command: MonitorContact, terms: MonitoringPolicy, *, is_new: bool
) -> Refused | None:
    if command.mode not in terms.modes:
        modes = f"permitted are: {listed(sorted(terms.modes))}" if terms.modes else "no mode is permitted"
        detail = f"`monitoring` of the policy does not permit it; {modes}"
        return Refused(code=RefusalCode.MONITORING_NOT_ALLOWED, field="mode", detail=detail, allowed=terms.modes)
    if not is_new:
        return None
    if len(contact.monitors) >= terms.monitors_max:
        detail = f"the conversation has {terms.monitors_max} supervisors already (`monitoring.monitors_max` of the policy)"
    elif state.index.monitors.count(command.supervisor_id) >= terms.contacts_max:
        detail = f"the supervisor has joined {terms.contacts_max} conversations already (`monitoring.contacts_max` of the policy)"
    else:
        return None
    return Refused(code=RefusalCode.MONITOR_LIMIT_EXCEEDED, field="contact_id", detail=detail)


def _renew(tx: Transaction, contact: Contact, command: MonitorContact, present: MonitorState, until_ms: int) -> CommandResult:
    """Let a supervisor stay for longer, whose token is newer, or note another scope; change nothing else."""
    is_longer = present.until_ms is not None and until_ms >= present.until_ms + _RENEWAL_MIN_MS
    if not is_longer and command.scope == present.scope:
        return already_done(contact.contact_id, contact.state, tx.state.seq)
    tx.emit(
        ContactMonitorRenewed(
            contact_id=contact.contact_id,
            supervisor_id=command.supervisor_id,
            until_ms=until_ms if is_longer or present.until_ms is None else present.until_ms,
            scope=command.scope,
        )
    )
    return tx.done(contact.contact_id, contact.state)


def _stop_monitoring(tx: Transaction, command: StopMonitoring) -> CommandResult:
    end_monitors(tx)
    contact = tx.state.contacts.get(command.contact_id)
    if contact is None:
        return unknown_contact()
    monitor = monitor_of(contact, command.supervisor_id)
    if monitor is None:
        return already_done(contact.contact_id, contact.state, tx.state.seq)
    _end(tx, contact, monitor, command.reason)
    return tx.done(contact.contact_id, contact.state)


def _report_monitor(tx: Transaction, command: ReportMonitor) -> CommandResult:
    end_monitors(tx)
    contact = tx.state.contacts.get(command.contact_id)
    if contact is None or not is_visible(tx.state, contact, command):
        return unknown_contact()
    monitor = monitor_of(contact, command.supervisor_id)
    if command.outcome is MonitorOutcome.LEFT:
        if monitor is None:
            return already_done(contact.contact_id, contact.state, tx.state.seq)
        _end(tx, contact, monitor, "disconnected")
        return tx.done(contact.contact_id, contact.state)
    if monitor is None or monitor.wanted is not command.mode:
        if monitor is not None and command.outcome is MonitorOutcome.JOINED and monitor.mode is command.mode:
            return already_done(contact.contact_id, contact.state, tx.state.seq)
        return wrong_contact_state(tx, contact, requester_of(command), "the supervisor is not to be connected in this mode")
    if command.outcome is MonitorOutcome.FAILED:
        _fail(tx, contact, monitor, "failed")
        return tx.done(contact.contact_id, contact.state)
    tx.emit(
        ContactMonitorJoined(
            contact_id=contact.contact_id,
            supervisor_id=monitor.supervisor_id,
            mode=command.mode,
            from_mode=monitor.mode,
            owner_agent_id=monitor.agent_id,
            gateway_id=monitor.gateway_id,
            agent_id=None if monitor.is_hidden else monitor.agent_id,
        )
    )
    return tx.done(contact.contact_id, contact.state)


# --- the end ----------------------------------------------------------------------------------------------------------
def end_monitors(tx: Transaction) -> None:
    """End the monitors of the changed contacts whose conversation is over for them. Costs nothing unless there are some."""
    to_check = tx.state.index.monitors.to_check
    if not to_check:
        return
    contacts = sorted(to_check.values(), key=lambda one: one.queued_seq)
    to_check.clear()
    for contact in contacts:
        for monitor in contact.monitors:
            reason = _end_reason(tx.state, contact, monitor)
            if reason is not None:
                _end(tx, contact, monitor, reason)


def _end_reason(state: RoutingState, contact: Contact, monitor: MonitorState) -> str | None:
    """Return why a supervisor must leave a conversation; None: they may stay."""
    if contact.state.is_terminal:
        return "contact_ended"
    if contact.state is not ContactState.ASSIGNED or contact.assignment_id != monitor.assignment_id:
        return "owner_changed"
    if contact.channel != monitor.channel or contact.gateway_id != monitor.gateway_id:
        return "channel_changed"
    if not _is_in_scope(state, contact, monitor.scope):
        return "out_of_scope"
    terms = monitoring_terms(state, contact.queue_id)
    is_permitted = all(mode in terms.modes for mode in (monitor.mode, monitor.wanted) if mode is not None)
    # A policy that shows supervisors to agents ends what began hidden: it cannot be made known in retrospect.
    return None if is_permitted and not (monitor.is_hidden and terms.agent_sees) else "policy"


def fire_monitor_timer(tx: Transaction, contact: Contact) -> None:
    """End what is due: monitors whose time is over, and requests that the gateway has not answered in time."""
    for monitor in contact.monitors:
        if monitor.until_ms is not None and monitor.until_ms <= tx.at_ms:
            _end(tx, contact, monitor, "expired")
        elif monitor.deadline_ms is not None and monitor.deadline_ms <= tx.at_ms:
            _fail(tx, contact, monitor, "timeout")


def _end(tx: Transaction, contact: Contact, monitor: MonitorState, reason: str) -> None:
    if monitor.mode is None:
        _fail(tx, contact, monitor, reason)
        return
    tx.emit(
        ContactMonitorLeft(
            contact_id=contact.contact_id,
            supervisor_id=monitor.supervisor_id,
            mode=monitor.mode,
            reason=reason,
            owner_agent_id=monitor.agent_id,
            joined_at_ms=monitor.joined_at_ms or 0,
            gateway_id=monitor.gateway_id,
            agent_id=None if monitor.is_hidden else monitor.agent_id,
        )
    )


def _fail(tx: Transaction, contact: Contact, monitor: MonitorState, reason: str) -> None:
    assert monitor.wanted is not None
    tx.emit(
        ContactMonitorFailed(
            contact_id=contact.contact_id,
            supervisor_id=monitor.supervisor_id,
            mode=monitor.wanted,
            reason=reason,
            present_mode=monitor.mode,
            owner_agent_id=monitor.agent_id,
            gateway_id=monitor.gateway_id,
        )
    )


def _is_in_scope(state: RoutingState, contact: Contact, scope: SupervisorScope | None) -> bool:
    """Return whether the contact, and the agent who has it, are in the scope of a supervisor."""
    if scope is None:
        return True
    agent = state.agents.get(contact.agent_id or "")
    return scope.has_queue(contact.queue_id) and (agent is None or scope.has_team(agent.team))


MONITORING_COMMANDS: Final[dict[type, Callable[[Transaction, Any], CommandResult]]] = {
    MonitorContact: _monitor_contact,
    StopMonitoring: _stop_monitoring,
    ReportMonitor: _report_monitor,
}
