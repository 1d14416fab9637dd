"""Opening hours of queues, and calendar days of the workspace.

Calendars and time zones are evaluated here only: when a timer fires and when a policy is published. The result is part of the
event, so replay reads neither. After an outage a queue changes to its present state with one event, not with one for every
change that was missed, and only the present day is started.

An opening admits the contacts that wait for it in slices of ``ADMITTED_MAX``, so that it does not hold up other commands: its event
names the first ones, and a timer emits the same event for the next ones a millisecond later. All contacts of a smaller queue are
admitted by one event, which names none.

A supervisor may override the calendar of a queue for a time. Days are counted only while a selection rule depends on them.
"""

from collections.abc import Callable
from itertools import islice
from typing import Any, Final, NamedTuple

from router.engine.commands.overflow import apply_at_closing
from router.engine.commands.plan_steps import begin_plan, overflow_without_agents
from router.engine.commands.queue_admission import EntryWay
from router.engine.commands.transaction import Transaction, already_done, unknown_queue
from router.engine.routing_state import RoutingState
from router.engine.state.contact import Contact
from router.engine.state.records import QueueHours
from router.model.commands import SetQueueOpen
from router.model.events.workspace import DayStarted, QueueClosed, QueueOpened
from router.model.policy import DAY_S, AtClosing, Policy, Selection, WhenNoAgentsReady, selections_of
from router.model.results import CommandResult, RefusalCode, Refused
from router.model.states import ContactState, Name, QueueId, QueueState
from router.policy.calendar import Calendar, is_holiday, is_open, local_day, next_change_ms

_OVERRIDE_MAX_S: Final = 366 * DAY_S

ADMITTED_MAX: Final = 256
"""Contacts that openings admit in one turn."""


class OpeningState(NamedTuple):
    """Open or closed, until when, and why."""

    is_open: bool
    until_ms: int | None
    reason: str


class AdmittedContacts(NamedTuple):
    """Contacts that stop waiting for an opening in one turn, in order of arrival."""

    contacts: list[Contact]
    is_last: bool
    """Whether no others wait for the opening."""


_ALWAYS_OPEN: Final = OpeningState(is_open=True, until_ms=None, reason="hours")


def update_due_queues(tx: Transaction, queue_id: QueueId) -> None:
    """Re-evaluate this queue and every other queue whose time has come.

    All of them open and close before any contact moves, so that no contact overflows into a queue that closes at the same
    time.
    """
    state, at_ms = tx.state, tx.at_ms
    due = [name for name, hours in state.hours.items() if hours.next_check_at_ms is not None and hours.next_check_at_ms <= at_ms]
    known: dict[Name | None, OpeningState] = {}
    _apply_openings(tx, {name: _cached_opening(state, name, at_ms, known) for name in sorted(due)})


def update_all_queues(tx: Transaction) -> None:
    """Re-evaluate all queues after a change of policy; emit an event for each whose state or time has changed."""
    state, policy = tx.state, tx.state.policy
    if policy is None or not (policy.calendars or state.hours):
        return
    known: dict[Name | None, OpeningState] = {}
    changed: dict[QueueId, OpeningState] = {}
    for queue_id, queue in policy.queues.items():
        present = state.hours.get(queue_id)
        if present is None and queue.hours is None:
            continue
        if present is not None and present.is_supervisor_override:
            continue
        now = _cached_opening(state, queue_id, tx.at_ms, known)
        if present is None or current_opening(present) != now:
            changed[queue_id] = now
    _apply_openings(tx, changed)


def _set_queue_open(tx: Transaction, command: SetQueueOpen) -> CommandResult:
    state, queue_id = tx.state, command.queue_id
    if state.policy is None or queue_id not in state.policy.queues:
        return unknown_queue()
    until_ms = None
    if command.duration_s is not None:
        if command.is_open is None or not 1 <= command.duration_s <= _OVERRIDE_MAX_S:
            return Refused(
                code=RefusalCode.INVALID_VALUE,
                field="duration_s",
                detail=f"must be 1 to {_OVERRIDE_MAX_S:,} seconds, and is allowed only with open or close",
            )
        until_ms = tx.at_ms + 1000 * command.duration_s
    present = state.hours.get(queue_id)
    if command.is_open is None:
        if present is None or not present.is_supervisor_override:
            return already_done(queue_id, _state_name(present), state.seq)
        now = opening_by_calendar(state, queue_id, tx.at_ms)
    else:
        now = OpeningState(command.is_open, until_ms, "supervisor")
        if present is not None and current_opening(present) == now:
            return already_done(queue_id, _state_name(present), state.seq)
    was_open = not state.is_closed(queue_id)
    admitted = _first_admitted(state, {queue_id: now})
    waited = _to_look_at(state, admitted)
    answer = apply_opening(tx, queue_id, now, admitted.get(queue_id))
    admit_at_opening(tx, waited)
    if was_open and not now.is_open:
        _apply_at_closing(tx, [queue_id])
    return answer


def _apply_openings(tx: Transaction, openings: dict[QueueId, OpeningState]) -> None:
    closing = [name for name, now in openings.items() if not (now.is_open or tx.state.is_closed(name))]
    admitted = _first_admitted(tx.state, openings)
    waited = _to_look_at(tx.state, admitted)
    for queue_id, now in openings.items():
        apply_opening(tx, queue_id, now, admitted.get(queue_id))
    admit_at_opening(tx, waited)
    _apply_at_closing(tx, closing)


def _first_admitted(state: RoutingState, openings: dict[QueueId, OpeningState]) -> dict[QueueId, AdmittedContacts]:
    """Return the contacts that these openings admit at once, by queue that opens; ``ADMITTED_MAX`` for all together."""
    left = ADMITTED_MAX
    found: dict[QueueId, AdmittedContacts] = {}
    for queue_id, now in openings.items():
        if now.is_open and state.is_closed(queue_id):
            found[queue_id] = _next_admitted(state, queue_id, left)
            left -= len(found[queue_id].contacts)
    return found


def _next_admitted(state: RoutingState, queue_id: QueueId, count_max: int) -> AdmittedContacts:
    """Return the contacts that stop waiting for the opening next: those that are served first."""
    found: dict[str, Contact] = {}
    for line in state.index.lines.by_queue.get(queue_id, ()):
        in_order = (line.contacts_by_key[key] for key in line.iter_keys())
        waiting = islice((contact for contact in in_order if contact.waiting_for_opening), count_max + 1)
        found.update((contact.contact_id, contact) for contact in waiting)
    found |= _offered_waiting(state, queue_id)
    first = sorted(found.values(), key=_place_in_queue)[:count_max]
    return AdmittedContacts(sorted(first, key=_queued_seq), is_last=len(first) == len(found))


def _to_look_at(state: RoutingState, admitted: dict[QueueId, AdmittedContacts]) -> list[Contact]:
    """Return the admitted contacts of queues that pass contacts on while no agent is ready."""
    return [
        contact
        for queue_id, (contacts, _) in admitted.items()
        if state.queue_policy(queue_id).when_no_agents_ready is WhenNoAgentsReady.OVERFLOW
        for contact in contacts
    ]


def continue_opening(tx: Transaction, queue_id: QueueId) -> None:
    """Admit further contacts of an open queue; those of one queue in a millisecond."""
    state = tx.state
    hours = state.hours.get(queue_id)
    if hours is None or not hours.is_open:
        state.timers.end_opening(queue_id)
        return
    is_due = hours.next_check_at_ms is not None and hours.next_check_at_ms <= tx.at_ms
    if is_due or state.timers.opened_at_ms == tx.at_ms:
        state.timers.add_opening(tx.at_ms + 1, queue_id)
        return
    admitted = _next_admitted(state, queue_id, ADMITTED_MAX)
    if not admitted.contacts:
        state.timers.end_opening(queue_id)
        return
    state.timers.opened_at_ms = tx.at_ms
    waited = _to_look_at(state, {queue_id: admitted})
    _open(tx, queue_id, current_opening(hours), admitted, tx.wait_max_until_ms(queue_id))
    admit_at_opening(tx, waited)


def contacts_to_admit(state: RoutingState, openings: dict[QueueId, OpeningState]) -> list[Contact]:
    """Return the contacts that wait for these openings, in queues that pass contacts on while no agent is ready."""
    return [
        contact
        for queue_id, now in openings.items()
        if now.is_open
        and state.is_closed(queue_id)
        and state.queue_policy(queue_id).when_no_agents_ready is WhenNoAgentsReady.OVERFLOW
        for contact in _contacts_waiting_for_opening(state, queue_id)
    ]


def admit_at_opening(tx: Transaction, contacts: list[Contact]) -> None:
    """Admit the contacts that have waited for an opening to their queue, which may have no ready agent, in order of arrival."""
    for contact in sorted(contacts, key=_queued_seq):
        overflow_without_agents(tx, contact, EntryWay.OPENING)


def apply_opening(
    tx: Transaction, queue_id: QueueId, opening: OpeningState, admitted: AdmittedContacts | None = None
) -> CommandResult:
    """Open or close a queue, and continue the plans that were suspended while it was closed.

    ``admitted``: the contacts that an opening admits; None: all. The caller applies ``at_closing`` to the waiting contacts.
    """
    state = tx.state
    was_open = not state.is_closed(queue_id)
    if opening.is_open:
        if was_open:
            # Whatever waits for an opening that is not complete is admitted by its timer.
            admitted = AdmittedContacts([], is_last=not state.timers.is_opening(queue_id))
        elif admitted is None:
            with_plans = state.policy is not None and bool(state.policy.plans)
            admitted = AdmittedContacts(_contacts_waiting_for_opening(state, queue_id) if with_plans else [], is_last=True)
        return _open(tx, queue_id, opening, admitted, None if was_open else tx.wait_max_until_ms(queue_id))
    holds = was_open and state.queue_policy(queue_id).at_closing is AtClosing.WAIT
    tx.emit(QueueClosed(queue_id=queue_id, until_ms=opening.until_ms, reason=opening.reason, holds_contacts=holds))
    return tx.done(queue_id, QueueState.CLOSED)


def _open(
    tx: Transaction, queue_id: QueueId, opening: OpeningState, admitted: AdmittedContacts, wait_until_ms: int | None
) -> CommandResult:
    names = None if admitted.is_last else tuple(contact.contact_id for contact in admitted.contacts)
    tx.emit(
        QueueOpened(
            queue_id=queue_id, until_ms=opening.until_ms, reason=opening.reason, wait_until_ms=wait_until_ms, contact_ids=names
        )
    )
    answer = tx.done(queue_id, QueueState.OPEN)
    if tx.state.policy is not None and tx.state.policy.plans:
        for contact in admitted.contacts:
            begin_plan(tx, contact)
    return answer


def _apply_at_closing(tx: Transaction, queue_ids: list[QueueId]) -> None:
    """Apply ``at_closing`` to the contacts that wait and are not offered, in order of arrival; offers continue."""
    found = [
        contact
        for queue_id in queue_ids
        for line in tx.state.index.lines.by_queue.get(queue_id, ())
        for contact in line.contacts_by_key.values()
        if contact.state is ContactState.QUEUED and not contact.waiting_for_opening
    ]
    for contact in sorted(found, key=_queued_seq):
        apply_at_closing(tx, contact)


def _contacts_waiting_for_opening(state: RoutingState, queue_id: QueueId) -> list[Contact]:
    """Return the contacts that wait for the opening, whose plans are suspended."""
    found = {
        contact.contact_id: contact
        for line in state.index.lines.by_queue.get(queue_id, ())
        for contact in line.contacts_by_key.values()
        if contact.waiting_for_opening
    }
    found |= _offered_waiting(state, queue_id)
    return sorted(found.values(), key=_queued_seq)


def _offered_waiting(state: RoutingState, queue_id: QueueId) -> dict[str, Contact]:
    """Return the contacts of the queue that wait for the opening and are offered."""
    found: dict[str, Contact] = {}
    for offer in state.offers.values():
        contact = state.contacts[offer.contact_id]
        if contact.waiting_for_opening and contact.queue_id == queue_id:
            found[contact.contact_id] = contact
    return found


def _place_in_queue(contact: Contact) -> tuple[int, int]:
    line = contact.waiting_line
    return line.rank_of(contact) if line is not None and contact.order_key else -1, contact.queued_seq


def _cached_opening(state: RoutingState, queue_id: QueueId, at_ms: int, cache: dict[Name | None, OpeningState]) -> OpeningState:
    """Return the state by calendar, evaluated once per calendar."""
    name = state.queue_policy(queue_id).hours
    if name not in cache:
        cache[name] = opening_by_calendar(state, queue_id, at_ms)
    return cache[name]


def opening_by_calendar(state: RoutingState, queue_id: QueueId, at_ms: int) -> OpeningState:
    """Return the state of a queue by its calendar; a queue without a calendar is always open."""
    policy, name = state.policy, state.queue_policy(queue_id).hours
    if policy is None or name is None:
        return _ALWAYS_OPEN
    calendar = state.calendars.get(name)
    if calendar is None:
        calendar = state.calendars[name] = Calendar(policy.calendars[name])
    now_open = is_open(calendar, at_ms)
    holiday = not now_open and is_holiday(calendar, at_ms)
    return OpeningState(now_open, next_change_ms(calendar, at_ms), "holiday" if holiday else "hours")


def current_opening(hours: QueueHours) -> OpeningState:
    """Return the present state of a queue."""
    return OpeningState(hours.is_open, hours.changes_at_ms, hours.reason)


def _state_name(hours: QueueHours | None) -> str:
    return QueueState.OPEN if hours is None or hours.is_open else QueueState.CLOSED


def _queued_seq(contact: Contact) -> int:
    return contact.queued_seq


def needs_day_counts(policy: Policy | None) -> bool:
    """Return whether some selection rule depends on the contacts of the day."""
    return policy is not None and Selection.FEWEST_TODAY in selections_of(policy)


def start_day(tx: Transaction) -> None:
    """Start the present day; days that passed while the router was stopped are skipped."""
    policy = tx.state.policy
    assert policy is not None
    day, until_ms = local_day(policy.zone, tx.at_ms)
    tx.emit(DayStarted(day=day, until_ms=until_ms))


def restart_day_if_needed(tx: Transaction, before: Policy | None) -> None:
    """Start the day after a change of policy if counting is new or the time zone has changed."""
    policy = tx.state.policy
    if policy is None or not needs_day_counts(policy):
        return
    if tx.state.day is None or before is None or before.zone != policy.zone:
        start_day(tx)


HOURS_COMMANDS: Final[dict[type, Callable[[Transaction, Any], CommandResult]]] = {SetQueueOpen: _set_queue_open}
