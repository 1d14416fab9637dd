"""Opening and closing of queues, by calendar or by a supervisor.

Calendars are evaluated here only: when the timer of a queue fires and when a policy is published. The result is part of the
event, so replay reads no calendar. After an outage a queue changes to its present state with one event, not with one for
every change that was missed.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from router.core.decide.leaving import turned_out
from router.core.decide.step import Step, repeated, unknown_queue
from router.core.decide.steps import begin
from router.core.state import Contact, QueueHours, RoutingState
from router.model.commands import SetQueueOpen
from router.model.events import QueueClosed, QueueOpened
from router.model.ids import Name, QueueId
from router.model.outcome import Answer
from router.model.policy import DAY_S, AtClosing
from router.model.refusals import RefusalCode, Refused
from router.model.states import ContactState, QueueState
from router.rules.calendar import Calendar, is_holiday, is_open, next_change_ms

_FOR_MAX_S: Final = 366 * DAY_S


class Standing(NamedTuple):
    """Open or closed, until when, and why."""

    is_open: bool
    until_ms: int | None
    reason: str


_ALWAYS_OPEN: Final = Standing(is_open=True, until_ms=None, reason="hours")


def look(step: Step, queue_id: QueueId) -> None:
    """Re-evaluate this queue and every other queue whose time has come.

    All of them open and close before any contact moves, so that no contact overflows into a queue that closes at the same
    time.
    """
    state, at_ms = step.state, step.at_ms
    due = [
        name
        for name, hours in state.hours.items()
        if hours.look_at_ms is not None and hours.look_at_ms <= at_ms
    ]
    known: dict[Name | None, Standing] = {}
    _turn_all(step, {name: _known(state, name, at_ms, known) for name in sorted(due)})


def look_at_all(step: Step) -> None:
    """Re-evaluate all queues after a change of policy; emit an event for each whose state or time has changed."""
    state, policy = step.state, step.state.policy
    if policy is None or not (policy.calendars or state.hours):
        return
    known: dict[Name | None, Standing] = {}
    changed: dict[QueueId, Standing] = {}
    for queue_id, queue in policy.queues.items():
        present = state.hours.get(queue_id)
        if present is None and queue.hours is None:
            continue
        if present is not None and present.by_supervisor:
            continue
        now = _known(state, queue_id, step.at_ms, known)
        if present is None or standing(present) != now:
            changed[queue_id] = now
    _turn_all(step, changed)


def _set_open(step: Step, command: SetQueueOpen) -> Answer:
    state, queue_id = step.state, command.queue_id
    if state.policy is None or queue_id not in state.policy.queues:
        return unknown_queue()
    until_ms = None
    if command.for_s is not None:
        if command.is_open is None or not 1 <= command.for_s <= _FOR_MAX_S:
            return Refused(
                code=RefusalCode.INVALID_VALUE,
                field="for_s",
                detail=f"1 to {_FOR_MAX_S}, and only to open or close",
            )
        until_ms = step.at_ms + 1000 * command.for_s
    present = state.hours.get(queue_id)
    if command.is_open is None:
        if present is None or not present.by_supervisor:
            return repeated(queue_id, _name(present), state.seq)
        now = by_calendar(state, queue_id, step.at_ms)
    else:
        now = Standing(command.is_open, until_ms, "supervisor")
        if present is not None and standing(present) == now:
            return repeated(queue_id, _name(present), state.seq)
    was_open = not state.is_closed(queue_id)
    answer = turn(step, queue_id, now)
    if was_open and not now.is_open:
        _empty(step, [queue_id])
    return answer


def _turn_all(step: Step, standings: dict[QueueId, Standing]) -> None:
    closing = [
        name for name, now in standings.items() if not (now.is_open or step.state.is_closed(name))
    ]
    for queue_id, now in standings.items():
        turn(step, queue_id, now)
    _empty(step, closing)


def turn(step: Step, queue_id: QueueId, now: Standing) -> Answer:
    """Open or close a queue, and continue the plans that were suspended while it was closed.

    The caller applies ``at_closing`` to the waiting contacts.
    """
    state = step.state
    was_open = not state.is_closed(queue_id)
    if now.is_open:
        waited = (
            [] if was_open or not state.policy or not state.policy.plans else _held(state, queue_id)
        )
        step.emit(
            QueueOpened(
                queue_id=queue_id,
                until_ms=now.until_ms,
                reason=now.reason,
                wait_until_ms=None if was_open else step.full_wait_ms(queue_id),
            )
        )
        answer = step.done(queue_id, QueueState.OPEN)
        for contact in waited:
            begin(step, contact)
        return answer
    holds = was_open and state.queue_policy(queue_id).at_closing is AtClosing.WAIT
    step.emit(QueueClosed(queue_id=queue_id, until_ms=now.until_ms, reason=now.reason, holds=holds))
    return step.done(queue_id, QueueState.CLOSED)


def _empty(step: Step, queue_ids: list[QueueId]) -> None:
    """Apply ``at_closing`` to the contacts that wait and are not offered, in order of arrival; offers continue."""
    found = [
        contact
        for queue_id in queue_ids
        for line in step.state.index.queue_lines.get(queue_id, ())
        for contact in line.by_key.values()
        if contact.state is ContactState.QUEUED and not contact.held
    ]
    for contact in sorted(found, key=_orig_seq):
        turned_out(step, contact)


def _held(state: RoutingState, queue_id: QueueId) -> list[Contact]:
    """Return the contacts that wait for the opening, whose plans are suspended."""
    found = {
        contact.contact_id: contact
        for line in state.index.queue_lines.get(queue_id, ())
        for contact in line.by_key.values()
        if contact.held
    }
    for offer in state.offers.values():
        contact = state.contacts[offer.contact_id]
        if contact.held and contact.queue_id == queue_id:
            found[contact.contact_id] = contact
    return sorted(found.values(), key=_orig_seq)


def _known(
    state: RoutingState, queue_id: QueueId, at_ms: int, known: dict[Name | None, Standing]
) -> Standing:
    """Return the state by calendar, evaluated once per calendar."""
    name = state.queue_policy(queue_id).hours
    if name not in known:
        known[name] = by_calendar(state, queue_id, at_ms)
    return known[name]


def by_calendar(state: RoutingState, queue_id: QueueId, at_ms: int) -> Standing:
    """Return the state of a queue by its calendar; a queue without a calendar is always open."""
    policy, name = state.policy, state.queue_policy(queue_id).hours
    if policy is None or name is None:
        return _ALWAYS_OPEN
    calendar = state.calendars.get(name)
    if calendar is None:
        calendar = state.calendars[name] = Calendar(policy.calendars[name])
    now_open = is_open(calendar, at_ms)
    holiday = not now_open and is_holiday(calendar, at_ms)
    return Standing(now_open, next_change_ms(calendar, at_ms), "holiday" if holiday else "hours")


def standing(hours: QueueHours) -> Standing:
    """Return the present state of a queue."""
    return Standing(hours.is_open, hours.changes_at_ms, hours.reason)


def _name(hours: QueueHours | None) -> str:
    return QueueState.OPEN if hours is None or hours.is_open else QueueState.CLOSED


def _orig_seq(contact: Contact) -> int:
    return contact.orig_seq


HANDLERS: Final[dict[type, Callable[[Step, Any], Answer]]] = {SetQueueOpen: _set_open}
