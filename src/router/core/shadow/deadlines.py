"""Deadlines of a shadow for which reality has no event: cool-downs, rate caps, and waits that end under one policy alone.

A deadline that is due in reality arrives as an event. The timers of the shadow's state only say which of its own deadlines have
passed by then.
"""

from typing import Final

from router.core.shadow.followed import Followed
from router.core.state import Contact
from router.core.timers import Entry, TimerKind
from router.model.events import (
    AgentStateChanged,
    ContactExpired,
    ContactOverflowed,
    ContactRequeued,
    ContactStepEntered,
    Event,
    QueueClosed,
    QueueOpened,
)
from router.model.ids import ContactId
from router.model.states import ContactState

# A live AdvanceTime fires a limited number of timers and leaves the rest to the next one. So an overdue wait has this long to
# end in reality before the shadow ends it on its own.
_ADVANCE_GRACE_MS: Final = 1_000
ADVANCE: Final = "time.advance"
_OF_WAITING: Final = frozenset({TimerKind.WAIT, TimerKind.STEP})


class Deadlines:
    """The timers of one shadow."""

    def __init__(self, at: Followed) -> None:
        self._at = at
        self._state = at.state
        self._overdue: dict[tuple[ContactId, int], int] = {}
        """When waits and plan steps ended that have ended here but not in reality, by contact and kind of timer."""

    def before(self, event: Event) -> None:
        """Open rate caps that were due before the deadline that caused this event.

        The translation of the event may query which agents are available, so the caps must be open by then.
        """
        if not self._state.index.has_caps:
            return
        entry = self._behind(event)
        if entry is not None:
            self._take_due(entry)

    def ripen(self, cause: str) -> None:
        """Process everything that is due by now.

        ``cause`` is the tag of the live command, where it is known.
        """
        self._take_due(None)
        if self._overdue:
            self._end_waits(_ADVANCE_GRACE_MS if cause == ADVANCE else 0)
        self._at.turn_out()
        if self._state.index.left:
            self._at.serve_left()

    def _take_due(self, before: Entry | None) -> None:
        state = self._state
        while (entry := state.timers.due(state.at_ms)) is not None:
            due_ms, kind, subject, other = entry
            if before is not None and entry >= before:
                state.timers.add(due_ms, TimerKind(kind), subject, other)
                return
            if kind == TimerKind.COOL_DOWN:
                contact = state.contacts[subject]
                if not contact.held:
                    state.index.seeking[subject] = contact
            elif kind == TimerKind.HOURS:
                self._at.hours.ripen(subject)
            elif kind == TimerKind.CAP:
                state.index.refresh(state.agents[subject])
            elif kind in _OF_WAITING:
                self._overdue[subject, kind] = due_ms

    def _behind(self, event: Event) -> Entry | None:
        """Return the deadline that caused this event, where an agent's availability may matter to what follows."""
        match event:
            case ContactOverflowed(reason="closed") | ContactExpired(reason="closed"):
                return None  # The closing of the queue caused it.
            case QueueOpened() | QueueClosed():
                hours = self._state.hours.get(event.queue_id)
                until_ms = None if hours is None else hours.look_at_ms
                return _entry(until_ms, TimerKind.HOURS, event.queue_id)
            case ContactRequeued(reason="callback_due"):
                callback = self._state.contacts[event.contact_id].callback
                until_ms = None if callback is None else callback.due_at_ms
                return _entry(until_ms, TimerKind.CALLBACK, event.contact_id)
            case ContactOverflowed() | ContactExpired() | ContactStepEntered():
                contact = self._state.contacts[event.contact_id]
                due = self._at.due(contact)
                return None if due is None else (*due, contact.contact_id, "")
            case ContactRequeued(reason="transfer_back"):
                until_ms = self._state.contacts[event.contact_id].preferred_until_ms
                return _entry(until_ms, TimerKind.PREFERRED, event.contact_id)
            case AgentStateChanged(reason="desktop_lost"):
                until_ms = self._state.agents[event.agent_id].grace_until_ms
                return _entry(until_ms, TimerKind.GRACE, event.agent_id)
            case _:
                return None

    def _end_waits(self, grace_ms: int) -> None:
        state = self._state
        for (contact_id, kind), due_ms in list(self._overdue.items()):
            contact = state.contacts.get(contact_id)
            if contact is None or not _waits_until(contact, kind, due_ms):
                del self._overdue[contact_id, kind]
            elif due_ms + grace_ms <= state.at_ms:
                del self._overdue[contact_id, kind]
                self._at.go_on_alone(contact)


def _entry(due_ms: int | None, kind: TimerKind, subject: str) -> Entry | None:
    return None if due_ms is None else (due_ms, kind, subject, "")


def _waits_until(contact: Contact, kind: int, due_ms: int) -> bool:
    until_ms = contact.wait_until_ms if kind == TimerKind.WAIT else contact.step_until_ms
    return contact.state is ContactState.QUEUED and until_ms == due_ms
