"""Deadlines of a shadow for which live routing has no event: cool-downs, rate caps, and waits that end under one policy alone.

A deadline that is due in live routing arrives as an event. The timers of the shadow's state only say which of its own deadlines
have passed by then.
"""

from typing import Final

from router.engine.commands.overflow import LEAVING_MAX, contacts_without_agents
from router.engine.shadow.state import ShadowState
from router.engine.state.clocks import TimerKind, is_clock_stopped
from router.engine.state.contact import Contact
from router.engine.state.timers import TimerEntry
from router.model.events import (
    AgentStateChanged,
    ContactExpired,
    ContactOverflowed,
    ContactRequeued,
    ContactStepEntered,
    Event,
    OfferExpired,
    QueueClosed,
    QueueOpened,
)
from router.model.states import ContactId, ContactState, QueueId

# A live AdvanceTime fires a limited number of timers and leaves the rest to the next one. So an overdue wait, and a queue without
# ready agents, has this long to end, or be left, in live routing before the shadow decides on its own.
_ADVANCE_GRACE_MS: Final = 1_000
ADVANCE_TIME_COMMAND: Final = "time.advance"
# Openings come before the admissions that they lead to.
_ADMISSION_EVENTS: Final = (ContactOverflowed, ContactExpired, ContactStepEntered, QueueOpened, QueueClosed)
_WAIT_TIMERS: Final = frozenset({TimerKind.WAIT, TimerKind.STEP})


class ShadowDeadlines:
    """The timers of one shadow."""

    def __init__(self, shadow: ShadowState) -> None:
        self._shadow = shadow
        self._state = shadow.state
        self._overdue: dict[tuple[ContactId, int], int] = {}
        """When waits and plan steps ended that have ended here but not in live routing, by contact and kind of timer."""
        self._checks: list[TimerEntry] = []
        """Checks of queues without ready agents that are due here and not yet carried out."""

    def process_due_before(self, event: Event, cause: str) -> None:
        """Open rate caps, and look at queues without ready agents, that were due before the deadline that caused this event.

        The translation of the event may query which agents are available, so the caps must be open by then; and a queue may
        admit contacts after the event that it did not admit before.
        """
        if not (self._state.index.channels.has_caps or self._state.no_agents_since):
            return
        entry = self._timer_behind(event)
        if entry is not None:
            self._process_due_timers(entry)
            # A check has caused the event itself: what it leaves to the shadow alone follows at the end of the record.
            if self._checks and entry[1] != TimerKind.NO_AGENTS:
                self._leave_queues_due(_grace_ms(cause))

    def admit_before(self, event: Event) -> None:
        """Admit the contacts that wait again before the next event, as live routing does, unless it is their own transition."""
        shadow = self._shadow
        if isinstance(event, _ADMISSION_EVENTS):
            return
        if shadow.returned_contacts or shadow.entered_contacts:
            shadow.leave_closed_queues()
            shadow.leave_queues_without_agents()
        if shadow.changed_customers:
            shadow.leave_inapplicable_steps()

    def process_due(self, cause: str) -> None:
        """Process everything that is due by now.

        ``cause`` is the tag of the live command, where it is known.
        """
        grace_ms = _grace_ms(cause)
        while True:
            self._process_due_timers(None)
            if self._overdue:
                self._end_overdue_waits(grace_ms)
            if self._checks:
                self._leave_queues_due(grace_ms)
            self.process_transitions()
            if not self.is_due:
                return

    @property
    def is_due(self) -> bool:
        """Whether a deadline is due that has not been processed: a transition of this moment has set it."""
        next_ms = self._state.timers.next_deadline_ms()
        return next_ms is not None and next_ms <= self._state.at_ms

    def process_transitions(self) -> None:
        """Let contacts leave their queue or step that must not wait there any longer, without regard to deadlines."""
        self._shadow.leave_closed_queues()
        if self._shadow.entered_contacts:
            self._shadow.leave_queues_without_agents()
        if self._shadow.changed_customers:
            self._shadow.leave_inapplicable_steps()
        if self._state.index.agents.unavailable:
            self._shadow.leave_unserved_steps()

    def _process_due_timers(self, before: TimerEntry | None) -> None:
        state = self._state
        while (entry := state.timers.pop_due(state.at_ms)) is not None:
            due_ms, kind, subject, other = entry
            if before is not None and entry >= before:
                state.timers.add(due_ms, TimerKind(kind), subject, other)
                return
            if kind == TimerKind.COOL_DOWN:
                contact = state.contacts[subject]
                if not contact.waiting_for_opening:
                    state.index.contacts.to_match[subject] = contact
            elif kind == TimerKind.NO_AGENTS:
                self._checks.append(entry)
            elif kind == TimerKind.HOURS:
                self._shadow.hours.process_due(subject)
            elif kind == TimerKind.CAP:
                state.index.agents.refresh_open_channels(state.agents[subject])
            elif kind in _WAIT_TIMERS:
                self._overdue[subject, kind] = due_ms

    def _leave_queues_due(self, grace_ms: int) -> None:
        """Let contacts leave the queues whose check is due, in the order of the checks, as live routing does."""
        due, self._checks = self._checks, []
        for entry in due:
            if entry[0] + grace_ms <= self._state.at_ms:
                self._leave_queue_without_agents(entry[2])
            else:
                self._checks.append(entry)

    def _leave_queue_without_agents(self, queue_id: QueueId) -> None:
        state, shadow = self._state, self._shadow
        found, left = contacts_without_agents(state, queue_id), shadow.left_now(queue_id)
        most = max(0, LEAVING_MAX - left)
        moved = [contact for contact in found[:most] if shadow.leave_queue_without_agents(contact)]
        if len(found) > most and (moved or left):
            state.timers.add_check_at(state.at_ms + 1, queue_id)
        if state.timers.is_check_due(queue_id, state.at_ms):
            state.timers.add_check(queue_id)

    def _timer_behind(self, event: Event) -> TimerEntry | None:
        """Return the deadline that caused this event, where an agent's availability may matter to what follows."""
        match event:
            case ContactOverflowed(reason="closed") | ContactExpired(reason="closed"):
                return None  # The closing of the queue caused it.
            case ContactOverflowed(reason="no_agents_ready") | ContactExpired(reason="no_agents_ready"):
                return self._last_check_of(self._state.contacts[event.contact_id].queue_id)
            case QueueOpened() | QueueClosed():
                hours = self._state.hours.get(event.queue_id)
                until_ms = None if hours is None else hours.next_check_at_ms
                return _timer_entry(until_ms, TimerKind.HOURS, event.queue_id)
            case ContactRequeued(reason="callback_due"):
                callback = self._state.contacts[event.contact_id].callback
                until_ms = None if callback is None else callback.due_at_ms
                return _timer_entry(until_ms, TimerKind.CALLBACK, event.contact_id)
            case ContactExpired(reason="ttl" | "callback_expired"):
                return _timer_entry(self._state.contacts[event.contact_id].ttl_at_ms, TimerKind.TTL, event.contact_id)
            case OfferExpired():
                return _timer_entry(self._state.offers[event.offer_id].deadline_ms, TimerKind.OFFER, event.offer_id)
            case ContactOverflowed() | ContactExpired() | ContactStepEntered():
                contact = self._state.contacts[event.contact_id]
                due = self._shadow.overdue_wait(contact)
                return None if due is None else (*due, contact.contact_id, "")
            case ContactRequeued(reason="transfer_back"):
                until_ms = self._state.contacts[event.contact_id].preferred_until_ms
                return _timer_entry(until_ms, TimerKind.PREFERRED, event.contact_id)
            case AgentStateChanged(reason="desktop_lost"):
                until_ms = self._state.agents[event.agent_id].grace_until_ms
                return _timer_entry(until_ms, TimerKind.GRACE, event.agent_id)
            case _:
                return None

    def _last_check_of(self, queue_id: QueueId) -> TimerEntry | None:
        """Return the last time at which a queue without ready agents was looked at; None: it has agents, or no time has passed."""
        state = self._state
        since_ms, after_s = state.no_agents_since.get(queue_id), state.queue_policy(queue_id).no_agents_for_s
        if since_ms is None or after_s is None or since_ms + 1000 * after_s > state.at_ms:
            return None
        return _timer_entry(state.at_ms - (state.at_ms - since_ms) % (1000 * after_s), TimerKind.NO_AGENTS, queue_id)

    def _end_overdue_waits(self, grace_ms: int) -> None:
        state = self._state
        for (contact_id, kind), due_ms in list(self._overdue.items()):
            contact = state.contacts.get(contact_id)
            if contact is None or not _waits_until(contact, kind, due_ms) or is_clock_stopped(state, contact, kind):
                del self._overdue[contact_id, kind]
            elif due_ms + grace_ms <= state.at_ms:
                del self._overdue[contact_id, kind]
                self._shadow.end_wait(contact)


def _grace_ms(cause: str) -> int:
    return _ADVANCE_GRACE_MS if cause == ADVANCE_TIME_COMMAND else 0


def _timer_entry(due_ms: int | None, kind: TimerKind, subject: str) -> TimerEntry | None:
    return None if due_ms is None else (due_ms, kind, subject, "")


def _waits_until(contact: Contact, kind: int, due_ms: int) -> bool:
    if kind == TimerKind.STEP:
        return contact.awaits_offers and contact.step_until_ms == due_ms
    return contact.state is ContactState.QUEUED and contact.wait_until_ms == due_ms
