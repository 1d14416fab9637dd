"""Clocks of a contact, and which of them run while it waits for its queue to open.

Theory of operation. A contact *waits for the opening* (``waiting_for_opening``) in a closed queue that keeps it: closed time is
this time, not the time in which its queue is closed while it is still served. ``CLOCKS`` lists the clocks of a contact that have
a deadline or a measure. The policy of the queue names those that run meanwhile (``clocks_while_closed``); the others stand still:
their timers do not fire, and when the wait for the opening ends, however it ends, their deadlines move by the time it took
(``end_closed_wait``). So a deadline is one number, and a contact that is held costs nothing while the queue is closed.

Clocks that are not listed are those of agents and offers (offer timeout, wrap-up, cool-down, desktop grace, rate caps), of
conversations (parking), of calls (attempts, ringing, agreed times), and of a customer who is away. They run always. A contact's
age, and with it the order of waiting contacts, counts from its submit, whatever its queue does. The table for readers:
docs/reference/routing.md, "Clocks".
"""

from enum import IntEnum
from typing import Final, NamedTuple

from router.engine.state.contact import Contact
from router.engine.state.workspace import WorkspaceRecords
from router.model.policy import ContactClock


class TimerKind(IntEnum):
    """What is due; the numbers break ties of time. ``WRAP_UP`` is the end of an assignment's wrap-up or of its parking."""

    OFFER = 1
    WRAP_UP = 2
    TTL = 3
    WAIT = 4
    PREFERRED = 5
    COOL_DOWN = 6
    RETURN = 7
    GRACE = 8
    CAP = 9
    DAY = 10
    HOURS = 11
    CALLBACK = 12
    STEP = 13
    NO_AGENTS = 14
    SUSPENSION = 15
    CHOOSE = 16
    OPENING = 17
    SWITCH = 18
    LEAVE = 19
    PUBLICATION = 20
    MONITOR = 21


class ClockRule(NamedTuple):
    """One clock of a contact."""

    timer: TimerKind | None
    """Timer that fires at its deadline; None: it is a measure without a deadline."""
    deadline: str | None
    """Field of the contact that holds the deadline."""


CLOCKS: Final[dict[ContactClock, ClockRule]] = {
    ContactClock.TTL: ClockRule(TimerKind.TTL, "ttl_at_ms"),
    ContactClock.CALLBACK_EXPIRY: ClockRule(TimerKind.TTL, "ttl_at_ms"),
    ContactClock.WAIT_MAX: ClockRule(TimerKind.WAIT, "wait_until_ms"),
    ContactClock.PLAN: ClockRule(TimerKind.STEP, "step_until_ms"),
    ContactClock.RESERVATION: ClockRule(TimerKind.PREFERRED, "preferred_until_ms"),
    # Waits in statistics, facts and estimates, and due dates.
    ContactClock.SERVICE_LEVEL: ClockRule(None, None),
}
_CLOCK_OF_TIMER: Final = {rule.timer: clock for clock, rule in CLOCKS.items() if clock is not ContactClock.CALLBACK_EXPIRY}
_CALLBACK_EXPIRY: Final = ContactClock.CALLBACK_EXPIRY
_SERVICE_LEVEL: Final = ContactClock.SERVICE_LEVEL
_TTL: Final = ContactClock.TTL


def begin_closed_wait(contact: Contact, at_ms: int) -> None:
    """Let the contact wait for the opening from now on."""
    if not contact.waiting_for_opening:
        contact.waiting_for_opening, contact.closed_since_ms = True, at_ms


def end_closed_wait(records: WorkspaceRecords, contact: Contact) -> None:
    """End the wait for the opening: the deadlines of the clocks that stood still move by its duration.

    Called while the contact is still in the queue that it waited in, under the policy that held meanwhile. The caller adds the
    timers.
    """
    if not contact.waiting_for_opening:
        return
    since_ms, contact.waiting_for_opening, contact.closed_since_ms = contact.closed_since_ms, False, None
    closed_ms = 0 if since_ms is None else records.at_ms - since_ms
    if not closed_ms:
        return
    running = records.queue_policy(contact.queue_id).clocks_while_closed
    callback = contact.callback
    for clock, rule in CLOCKS.items():
        if clock in running or rule.deadline is None or (rule.timer is TimerKind.TTL and clock is not _expiry_clock(contact)):
            continue
        deadline_ms = getattr(contact, rule.deadline)
        if deadline_ms is not None:
            setattr(contact, rule.deadline, deadline_ms + closed_ms)
    moves = callback is not None and not callback.has_window and _CALLBACK_EXPIRY not in running
    if callback is not None and moves and callback.expires_at_ms is not None:
        callback.expires_at_ms += closed_ms
    if _SERVICE_LEVEL not in running:
        contact.closed_ms += closed_ms


def is_clock_stopped(records: WorkspaceRecords, contact: Contact, timer: int) -> bool:
    """Return whether the clock of a timer of the contact stands still because the contact waits for the opening."""
    if not contact.waiting_for_opening:
        return False
    clock = _expiry_clock(contact) if timer == TimerKind.TTL else _CLOCK_OF_TIMER.get(TimerKind(timer))
    return clock is not None and clock not in records.queue_policy(contact.queue_id).clocks_while_closed


def runs_while_closed(records: WorkspaceRecords, queue_id: str, clock: ContactClock) -> bool:
    """Return whether a clock runs for contacts that wait for the opening of the queue."""
    return clock in records.queue_policy(queue_id).clocks_while_closed


def closed_time_ms(records: WorkspaceRecords, contact: Contact) -> int:
    """Return the time since its submit, up to now, that does not count as waiting."""
    since_ms = contact.closed_since_ms
    if since_ms is None or _SERVICE_LEVEL in records.queue_policy(contact.queue_id).clocks_while_closed:
        return contact.closed_ms
    return contact.closed_ms + records.at_ms - since_ms


def waited_ms(records: WorkspaceRecords, contact: Contact, now_ms: int) -> int:
    """Return the time since its submit that counts as waiting; ``now_ms`` may be later than the newest event."""
    since_ms = contact.closed_since_ms
    if since_ms is not None and _SERVICE_LEVEL not in records.queue_policy(contact.queue_id).clocks_while_closed:
        now_ms = since_ms
    return max(0, now_ms - contact.queued_at_ms - contact.closed_ms)


def _expiry_clock(contact: Contact) -> ContactClock | None:
    """Return the clock of the end of life; None: that is the end of a time window agreed with the customer, which never moves."""
    if contact.callback is None:
        return _TTL
    return None if contact.callback.has_window else _CALLBACK_EXPIRY
