"""Opening hours under the shadow policy.

A queue whose calendar is the same in both policies opens and closes with the live queue, any other by the shadow's own
calendar. A supervisor's manual opening or closing applies to both. What an opening or closing means for waiting contacts is
decided by the shadow policy in every case.
"""

from router.core.apply import HANDLERS
from router.core.decide.hours import Standing, by_calendar, standing, turn
from router.core.shadow.deciding import Deciding
from router.core.state import Contact, RoutingState
from router.model.events import Event, QueueClosed, QueueOpened
from router.model.ids import QueueId
from router.model.policy import CalendarPolicy, Policy
from router.model.states import ContactState


class OwnHours:
    """Which queues are open under the shadow policy."""

    def __init__(self, state: RoutingState, policy: Policy) -> None:
        self._state = state
        self._policy = policy
        self._as_live: frozenset[QueueId] = frozenset()
        """Queues that have the same calendar in both policies."""
        self._later: list[Event] = []
        self._closed: set[QueueId] = set()
        """Queues that have closed since ``take_contacts_to_move`` was last called."""

    def begin(self, live: Policy | None) -> None:
        """Take over the live state. No contact is moved because of a calendar that was never in force."""
        state, policy = self._state, self._policy
        state.calendars = {}
        state.hours = {name: h for name, h in state.hours.items() if name in policy.queues}
        self._compare(live)
        self._look()
        self._closed.clear()

    def follow(self, live: Policy | None) -> None:
        """Compare the calendars with those of a new live policy."""
        self._compare(live)
        self._look()

    def translate(self, event: QueueOpened | QueueClosed) -> Event | None:
        """Return the opening or closing of a queue in reality as an event of the shadow; none if nothing changes here."""
        if event.queue_id not in self._policy.queues:
            return None
        now = Standing(isinstance(event, QueueOpened), event.until_ms, event.reason)
        if event.reason != "supervisor" and event.queue_id not in self._as_live:
            present = self._state.hours.get(event.queue_id)
            if present is None or not present.by_supervisor:
                return None
            # The supervisor's override has ended: the shadow's own calendar applies again.
            now = by_calendar(self._state, event.queue_id, self._state.at_ms)
        first, *self._later = self._turned(event.queue_id, now)
        return first

    def after(self) -> None:
        """Apply the events that follow from the one just applied: plans that continue."""
        later, self._later = self._later, []
        for event in later:
            HANDLERS[type(event)](self._state, event)

    def ripen(self, queue_id: QueueId) -> None:
        """Apply a change of the shadow's own calendar; live changes arrive as events."""
        present = self._state.hours[queue_id]
        if queue_id not in self._as_live and not present.by_supervisor:
            self._turn(queue_id, by_calendar(self._state, queue_id, self._state.at_ms))

    def take_turned_out(self) -> list[Contact]:
        """Return and clear the queued contacts of newly closed queues that are not held for the opening, oldest first."""
        if not self._closed:
            return []
        found = [
            contact
            for queue_id in self._closed
            for line in self._state.index.queue_lines.get(queue_id, ())
            for contact in line.by_key.values()
            if contact.state is ContactState.QUEUED and not contact.held
        ]
        self._closed.clear()
        return sorted(found, key=_orig_seq)

    def _compare(self, live: Policy | None) -> None:
        self._as_live = frozenset(
            name
            for name in self._policy.queues
            if live is not None
            and name in live.queues
            and _table(live, name) == _table(self._policy, name)
        )

    def _look(self) -> None:
        """Set every queue that follows the shadow's own calendar to what that says."""
        state = self._state
        for queue_id, queue in self._policy.queues.items():
            present = state.hours.get(queue_id)
            if queue_id in self._as_live or (present is None and queue.hours is None):
                continue
            if present is not None and present.by_supervisor:
                continue
            now = by_calendar(state, queue_id, state.at_ms)
            if present is None or standing(present) != now:
                self._turn(queue_id, now)

    def _turn(self, queue_id: QueueId, now: Standing) -> None:
        for event in self._turned(queue_id, now):
            HANDLERS[type(event)](self._state, event)

    def _turned(self, queue_id: QueueId, now: Standing) -> list[Event]:
        if not (now.is_open or self._state.is_closed(queue_id)):
            self._closed.add(queue_id)
        deciding = Deciding(self._state)
        turn(deciding, queue_id, now)
        return deciding.events


def _table(policy: Policy, queue_id: QueueId) -> CalendarPolicy | None:
    name = policy.queues[queue_id].hours
    return None if name is None else policy.calendars[name]


def _orig_seq(contact: Contact) -> int:
    return contact.orig_seq
