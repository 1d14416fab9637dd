"""Calendar of a shadow: which day is counted, and which queues are open, under the shadow policy.

**Days.** If the active policy counts by days of the same time zone, the live day is used. Otherwise the shadow has days of its
own, which start without an event: the time zone is evaluated here, as the engine does for the live day.

**Opening hours.** A queue whose calendar is the same in both policies opens and closes with the live queue, any other by the
shadow's own calendar. A supervisor's manual opening or closing applies to both. What an opening or closing means for waiting
contacts is decided by the shadow policy in every case.
"""

from router.engine.commands.hours import (
    OpeningState,
    apply_opening,
    contacts_to_admit,
    current_opening,
    needs_day_counts,
    opening_by_calendar,
)
from router.engine.events import EVENT_HANDLERS
from router.engine.events.workspace import reset_day_counts
from router.engine.routing_state import RoutingState
from router.engine.shadow.dry_run import DryRunTransaction
from router.engine.state.contact import Contact
from router.model.events import Event
from router.model.events.workspace import DayStarted, QueueClosed, QueueOpened
from router.model.policy import CalendarPolicy, Policy
from router.model.states import ContactId, ContactState, QueueId
from router.policy.calendar import local_day


class ShadowDay:
    """The current day of a shadow and its end."""

    def __init__(self, state: RoutingState, policy: Policy) -> None:
        self._state = state
        self._zone = policy.zone if needs_day_counts(policy) else None
        self.follows_live_day = False
        """Whether the live day is used."""

    def begin(self, live: Policy | None) -> None:
        """Take over the live state; its daily counts are kept only if they are of the same days."""
        self.on_live_policy(live)
        if self._zone is None:
            reset_day_counts(self._state, None, None)
        elif not self.follows_live_day:
            self._start_day(self._zone)

    def on_live_policy(self, live: Policy | None) -> None:
        """Choose between the live day and an own day under a new active policy."""
        zone = live.zone if live is not None and needs_day_counts(live) else None
        self.follows_live_day = zone is not None and zone == self._zone

    def process_due(self) -> None:
        """Start a new day if the shadow's own midnight has passed; called before anything of the next day is counted."""
        until_ms = self._state.day_until_ms
        if self._zone is None or self.follows_live_day:
            return
        if until_ms is None or until_ms <= self._state.at_ms:
            self._start_day(self._zone)

    def _start_day(self, zone: str) -> None:
        day, until_ms = local_day(zone, self._state.at_ms)
        EVENT_HANDLERS[DayStarted](self._state, DayStarted(day=day, until_ms=until_ms))


class ShadowHours:
    """Which queues are open under the shadow policy."""

    def __init__(self, state: RoutingState, policy: Policy) -> None:
        self._state = state
        self._policy = policy
        self._live_calendar_queues: frozenset[QueueId] = frozenset()
        """Queues that have the same calendar in both policies."""
        self._pending_events: list[Event] = []
        self._newly_closed: set[QueueId] = set()
        """Queues that have closed since ``take_contacts_to_move`` was last called."""
        self._contacts_to_admit: list[ContactId] = []
        """Contacts that have waited for an opening since ``take_contacts_to_admit`` was last called."""
        self._contacts_with_plans: list[ContactId] = []
        """Contacts whose plan continues since ``take_contacts_with_plans`` was last called."""

    def begin(self, live: Policy | None) -> None:
        """Take over the live state. No contact is moved because of a calendar that was never active."""
        state, policy = self._state, self._policy
        state.calendars = {}
        state.hours = {name: h for name, h in state.hours.items() if name in policy.queues}
        self._compare_calendars(live)
        self._recompute()
        self._newly_closed.clear()
        self._contacts_to_admit.clear()
        self._contacts_with_plans.clear()

    def on_live_policy(self, live: Policy | None) -> None:
        """Compare the calendars with those of a new active policy."""
        self._compare_calendars(live)
        self._recompute()

    def translate(self, event: QueueOpened | QueueClosed) -> Event | None:
        """Return the opening or closing of a queue in live routing as an event of the shadow; none if nothing changes here."""
        if event.queue_id not in self._policy.queues:
            return None
        now = OpeningState(isinstance(event, QueueOpened), event.until_ms, event.reason)
        if event.reason != "supervisor" and event.queue_id not in self._live_calendar_queues:
            present = self._state.hours.get(event.queue_id)
            if present is None or not present.is_supervisor_override:
                return None
            # The supervisor's override has ended: the shadow's own calendar applies again.
            now = opening_by_calendar(self._state, event.queue_id, self._state.at_ms)
        first, *self._pending_events = self._hours_events(event.queue_id, now)
        return first

    def apply_pending(self) -> None:
        """Apply the events that follow from the one just applied: plans that continue."""
        later, self._pending_events = self._pending_events, []
        for event in later:
            EVENT_HANDLERS[type(event)](self._state, event)

    def process_due(self, queue_id: QueueId) -> None:
        """Apply a change of the shadow's own calendar; live changes arrive as events."""
        present = self._state.hours[queue_id]
        if queue_id not in self._live_calendar_queues and not present.is_supervisor_override:
            self._apply_hours(queue_id, opening_by_calendar(self._state, queue_id, self._state.at_ms))

    def take_contacts_to_move(self) -> list[Contact]:
        """Return and clear the queued contacts of newly closed queues that are not held for the opening, oldest first."""
        if not self._newly_closed:
            return []
        found = [
            contact
            for queue_id in self._newly_closed
            for line in self._state.index.lines.by_queue.get(queue_id, ())
            for contact in line.contacts_by_key.values()
            if contact.state is ContactState.QUEUED and not contact.waiting_for_opening
        ]
        self._newly_closed.clear()
        return sorted(found, key=_queued_seq)

    def take_contacts_to_admit(self) -> list[ContactId]:
        """Return and clear the contacts that have waited for the opening of a queue that passes contacts on without agents."""
        found, self._contacts_to_admit = self._contacts_to_admit, []
        return found

    def take_contacts_with_plans(self) -> list[ContactId]:
        """Return and clear the contacts whose plan continues with an opening, where plans depend on the customer."""
        found, self._contacts_with_plans = self._contacts_with_plans, []
        return found

    def _compare_calendars(self, live: Policy | None) -> None:
        self._live_calendar_queues = frozenset(
            name
            for name in self._policy.queues
            if live is not None and name in live.queues and _calendar_of(live, name) == _calendar_of(self._policy, name)
        )

    def _recompute(self) -> None:
        """Set every queue that follows the shadow's own calendar to what that says."""
        state = self._state
        for queue_id, queue in self._policy.queues.items():
            present = state.hours.get(queue_id)
            if queue_id in self._live_calendar_queues or (present is None and queue.hours is None):
                continue
            if present is not None and present.is_supervisor_override:
                continue
            now = opening_by_calendar(state, queue_id, state.at_ms)
            if present is None or current_opening(present) != now:
                self._apply_hours(queue_id, now)

    def _apply_hours(self, queue_id: QueueId, now: OpeningState) -> None:
        for event in self._hours_events(queue_id, now):
            EVENT_HANDLERS[type(event)](self._state, event)

    def _hours_events(self, queue_id: QueueId, now: OpeningState) -> list[Event]:
        if not (now.is_open or self._state.is_closed(queue_id)):
            self._newly_closed.add(queue_id)
        if now.is_open and self._state.index.lines.tells_customers_apart:
            lines = self._state.index.lines.by_queue.get(queue_id, ())
            waiting = (contact for line in lines for contact in line.contacts_by_key.values())
            self._contacts_with_plans += [contact.contact_id for contact in waiting if contact.waiting_for_opening]
        self._contacts_to_admit += [contact.contact_id for contact in contacts_to_admit(self._state, {queue_id: now})]
        dry_run = DryRunTransaction(self._state)
        apply_opening(dry_run, queue_id, now)
        return dry_run.events


def _calendar_of(policy: Policy, queue_id: QueueId) -> CalendarPolicy | None:
    name = policy.queues[queue_id].hours
    return None if name is None else policy.calendars[name]


def _queued_seq(contact: Contact) -> int:
    return contact.queued_seq
