"""The day that a journal recorded, as rows of the native format: contacts, agents with their shifts, and the policy.

``JournalDay`` takes the events of a workspace in order and keeps what was requested and what became of it, not what the router
decided: a contact as it was submitted, the time for which its customer was willing to wait as far as it showed, and the time for
which an agent spoke with them. The policy then decides again in the simulation.

**Arrival**: ``contact.queued``. A queue that an entry rule or the default queue chose is not part of the row, so that the rules are
evaluated again. **Patience**: the time to the abandonment. Of all others it is only known that it exceeds the wait to the first
answer, to the callback request or to another end. **Handle time**: from the accept to the end of the conversation, the sum over
all owners, without parked and suspended time; of a callback, from the moment the customer is on the line. **Shifts**: times in
which the agent was ready, and those after a missed offer (``rona``) if they are short: these follow from the routing. **Answers**
to offers: mean time and shares by agent, of the offers that were not accepted in the same millisecond.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from router.engine.engine import Engine
from router.journal.records import Record
from router.model.events import Event
from router.model.events.agent import (
    AgentChannelsSet,
    AgentRemoved,
    AgentStateChanged,
    AgentUpdated,
    AssignmentCompleted,
    AssignmentHeld,
    AssignmentParked,
    AssignmentResumed,
    AssignmentUnparked,
    ContactHandedOver,
    DispositionRecorded,
    OfferAccepted,
    OfferDeclined,
    OfferExpired,
    OfferMade,
    OfferRescinded,
    WrapUpStarted,
)
from router.model.events.channel import ContactChannelSwitched
from router.model.events.contact import (
    CallbackConnected,
    CallbackFailed,
    CallbackRequested,
    ContactAbandoned,
    ContactAssigned,
    ContactCancelled,
    ContactEnded,
    ContactExpired,
    ContactOverflowed,
    ContactQueued,
    ContactRequeued,
    ContactResumed,
    ContactSuspended,
)
from router.model.events.workspace import PolicyPublished
from router.model.policy import Policy
from router.model.states import AgentState, AssignmentRole
from router.simulator.day import DayWindow, RecordedOutcome
from router.simulator.formats.recorded_agents import RecordedAgents
from router.simulator.formats.recorded_rows import AgentRow, ContactRow, iso_time, seconds

_PASSED_ON: Final = frozenset({"consult", "hand_over", "channel"})

_LOST: Final[dict[type[Event], RecordedOutcome]] = {
    ContactAbandoned: RecordedOutcome.ABANDONED,
    ContactCancelled: RecordedOutcome.CANCELLED,
    ContactExpired: RecordedOutcome.EXPIRED,
}


class _RecordedContact:
    """What is known of a contact so far."""

    __slots__ = (
        "agent_id", "answered_ms", "callback", "declined", "disposition", "ended_ms", "has_left", "held_since_ms",
        "hold_ms", "is_callback", "last_queue", "missed", "outcome", "queued", "queued_ms", "talk_ms", "talks_since_ms",
        "transfers", "wait_end_ms", "wrap_up_ms",
    )  # fmt: skip

    def __init__(self, queued: ContactQueued, at_ms: int) -> None:
        self.queued, self.queued_ms = queued, at_ms
        self.last_queue = queued.queue_id
        self.outcome = RecordedOutcome.OPEN
        self.agent_id: str | None = None
        """Agent who spoke with the customer first."""
        self.answered_ms: int | None = None
        self.wait_end_ms: int | None = None
        """End of the first wait, by whatever ended it."""
        self.has_left = False
        """Whether the customer left in this wait, which shows their patience."""
        self.ended_ms: int | None = None
        self.callback: CallbackRequested | None = None
        self.is_callback = False
        self.talk_ms = self.hold_ms = self.wrap_up_ms = 0
        self.talks_since_ms: int | None = None
        self.held_since_ms: int | None = None
        self.declined = self.missed = self.transfers = 0
        self.disposition: str | None = None

    def talk(self, agent_id: str, at_ms: int) -> None:
        """Note that an agent and the customer talk from now on."""
        self.agent_id = self.agent_id or agent_id
        if self.talks_since_ms is None:
            self.talks_since_ms = at_ms

    def pause(self, at_ms: int) -> None:
        """Note that they no longer do."""
        if self.talks_since_ms is not None:
            self.talk_ms += at_ms - self.talks_since_ms
            self.talks_since_ms = None
        self.end_hold(at_ms)

    def end_hold(self, at_ms: int) -> None:
        """Note that the customer is not on hold any more."""
        if self.held_since_ms is not None:
            self.hold_ms += at_ms - self.held_since_ms
            self.held_since_ms = None

    def end_wait(self, at_ms: int) -> None:
        """Note the end of the wait; only the first one counts."""
        if self.wait_end_ms is None:
            self.wait_end_ms = at_ms

    def row(self, last_ms: int) -> ContactRow:
        """Return the row of the contact; ``last_ms`` is the end of the recording."""
        self.pause(last_ms)
        event, request = self.queued, self.queued.original_request
        has_left = self.has_left
        was_served = self.agent_id is not None
        wait_s = seconds((last_ms if self.wait_end_ms is None else self.wait_end_ms) - self.queued_ms)
        callback = self.callback
        return ContactRow(
            arrival=iso_time(self.queued_ms),
            contact_id=event.contact_id,
            channel=event.channel,
            queue=event.queue_id if request is None else request.queue_id,
            attributes=event.attributes,
            customer_facts=event.customer_facts,
            skills=event.skills if request is None else request.skills,
            priority_s=event.priority_s if request is None else request.priority_s,
            priority_class=event.priority_class if request is None else request.priority_class,
            preferred_agents=event.preferred_agents,
            ttl_s=None if event.ttl_at_ms is None or callback else max(1, round((event.ttl_at_ms - self.queued_ms) / 1000)),
            handle_s=seconds(self.talk_ms) if was_served else None,
            patience_s=wait_s if has_left else None,
            wait_s=None if has_left else wait_s,
            agent_id=self.agent_id,
            callback_after_s=None if callback is None else wait_s,
            callback_mode=None if callback is None else callback.mode,
            outcome=self.outcome,
            ended=None if self.ended_ms is None else iso_time(self.ended_ms),
            entered_queue=event.queue_id,
            last_queue=self.last_queue,
            rule=event.rule,
            hold_s=seconds(self.hold_ms) if was_served else None,
            wrap_up_s=seconds(self.wrap_up_ms) if was_served else None,
            declined_offers=self.declined,
            missed_offers=self.missed,
            transfers=self.transfers,
            disposition=self.disposition,
        )


class JournalDay:
    """Recorded day, from the events of a workspace in order: call ``start`` or nothing, then ``apply`` for each record."""

    def __init__(self, window: DayWindow) -> None:
        self.agents = RecordedAgents()
        self.last_ms = 0
        """Time of the last record."""
        self._window = window
        self._contacts: dict[str, _RecordedContact] = {}
        self._before: set[str] = set()
        """Live contacts that arrived before the window."""
        self._live: set[str] = set()
        """Contacts of the window that have not ended."""
        self._wrap_ups: dict[str, int] = {}
        self._policies: dict[int, Policy] = {}
        self._used: dict[int, int] = {}
        self._earlier = self._switched = self._suspended = self._pauses = 0

    def start(self, engine: Engine) -> None:
        """Begin with the state of an engine, where the first events are not in the journal."""
        if engine.policy is not None:
            self._policies[engine.policy_version] = engine.policy
        after = ""
        while page := engine.agents(after=after, limit=1_000):
            for agent in page:
                self.agents.add_known(agent, engine.at_ms)
            after = page[-1].agent_id

    def apply_all(self, records: Iterable[Record]) -> None:
        """Apply records in order, until the window and the work on the contacts that arrived in it are over."""
        for record in records:
            if self._window.is_over(record.at_ms) and not self._live and not self._wrap_ups:
                return
            self.last_ms = record.at_ms
            for event in record.events:
                self.apply(event, record.at_ms)

    def apply(self, event: Event, at_ms: int) -> None:
        """Apply one event."""
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event, at_ms)

    # --- results -----------------------------------------------------------------------------------------------------

    def contact_rows(self) -> list[ContactRow]:
        """Return the contacts that arrived in the window, in order of arrival."""
        return [contact.row(self.last_ms) for contact in self._contacts.values()]

    def agent_rows(self) -> list[AgentRow]:
        """Return the agents who were ready at some time of the window, by id."""
        return self.agents.rows(from_ms=self._window.from_ms or 0)

    def policy(self) -> Policy | None:
        """Return the policy under which most contacts of the window arrived, the newest if none did; none: there is none."""
        version = self._chosen_version()
        return None if version is None else self._policies[version]

    def notes(self) -> list[str]:
        """Return what a reader of a simulation of this day must know."""
        found = []
        version, total = self._chosen_version(), sum(self._used.values())
        if len(self._used) > 1 and version is not None:
            share = f"that of {self._used[version]:,} of {total:,} contacts"
            found.append(f"the policy changed in the recording: version {version} is used, {share}")
        counts = (
            (self._earlier, "contacts were already there at the beginning: left out"),
            (len(self._live), "contacts had not ended at the end: simulated with the time that had passed"),
            (self._suspended, "contacts were suspended in the recording: simulated without"),
            (self._switched, "contacts switched the channel in the recording: simulated on their first one"),
            (self._pauses, "times an agent paused a channel: simulated without"),
            (self.agents.changed, "agents changed skills or capacity in the recording: simulated as they were when first ready"),
        )
        return found + [f"{count:,} {text}" for count, text in counts if count]

    def _chosen_version(self) -> int | None:
        known = {version: count for version, count in self._used.items() if version in self._policies}
        if known:
            return max(known, key=lambda version: (known[version], version))
        return max(self._policies, default=None)

    # --- contacts ----------------------------------------------------------------------------------------------------

    def _queued(self, event: ContactQueued, at_ms: int) -> None:
        if not self._window.contains(at_ms):
            self._before.add(event.contact_id)
            return
        self._contacts[event.contact_id] = _RecordedContact(event, at_ms)
        self._live.add(event.contact_id)
        self._used[event.policy_version] = self._used.get(event.policy_version, 0) + 1

    def _moved(self, event: ContactOverflowed | ContactRequeued | ContactResumed, at_ms: int) -> None:
        contact = self._contacts.get(event.contact_id)
        if contact is None:
            return
        if isinstance(event, ContactRequeued) and event.reason == "transferred":
            contact.transfers += 1
        contact.last_queue = event.queue_id
        contact.pause(at_ms)

    def _answered(self, event: ContactAssigned | OfferAccepted, at_ms: int) -> None:
        if isinstance(event, OfferAccepted):
            self.agents.end_offer(event.offer_id, event.agent_id, at_ms)
            if event.role is not AssignmentRole.OWNER:
                return
        contact = self._contacts.get(event.contact_id)
        if contact is None:
            return
        if event.from_agent_id is not None and contact.agent_id is not None and isinstance(event, OfferAccepted):
            contact.transfers += 1
        if contact.is_callback:
            return  # The customer is not on the line yet.
        if contact.answered_ms is None:
            contact.answered_ms = at_ms
            contact.end_wait(at_ms)
            contact.outcome = RecordedOutcome.CALLED_BACK if contact.callback is not None else RecordedOutcome.ANSWERED
        contact.talk(event.agent_id, at_ms)

    def _handed_over(self, event: ContactHandedOver, at_ms: int) -> None:
        contact = self._contacts.get(event.contact_id)
        if contact is not None and event.reason in _PASSED_ON:
            contact.transfers += 1
        if contact is not None and event.queue_id is not None:
            contact.last_queue = event.queue_id

    def _suspend(self, event: ContactSuspended, at_ms: int) -> None:
        contact = self._contacts.get(event.contact_id)
        if contact is None:
            return
        self._suspended += 1
        contact.end_wait(at_ms)
        contact.pause(at_ms)
        contact.is_callback = contact.is_callback and not event.callback_ended

    def _channel_switched(self, event: ContactChannelSwitched, at_ms: int) -> None:
        self._switched += event.contact_id in self._contacts

    def _callback_requested(self, event: CallbackRequested, at_ms: int) -> None:
        contact = self._contacts.get(event.contact_id)
        if contact is not None and contact.callback is None:
            contact.callback, contact.is_callback = event, True
            contact.end_wait(at_ms)

    def _callback_connected(self, event: CallbackConnected, at_ms: int) -> None:
        contact = self._contacts.get(event.contact_id)
        if contact is None:
            return
        contact.is_callback = False
        contact.last_queue = event.queue_id
        if event.agent_id is not None:
            contact.outcome, contact.answered_ms = RecordedOutcome.CALLED_BACK, contact.answered_ms or at_ms
            contact.talk(event.agent_id, at_ms)

    def _callback_failed(self, event: CallbackFailed, at_ms: int) -> None:
        contact = self._contacts.get(event.contact_id)
        if contact is not None:
            contact.pause(at_ms)

    def _lost(self, event: ContactAbandoned | ContactCancelled | ContactExpired, at_ms: int) -> None:
        contact = self._contacts.get(event.contact_id)
        if contact is None:
            self._end_earlier(event.contact_id, at_ms)
            return
        contact.ended_ms = at_ms
        self._live.discard(event.contact_id)
        # Of a customer who has requested a callback, or was answered before, the end says nothing about patience.
        if contact.answered_ms is None:
            contact.outcome = _LOST[type(event)]
            contact.has_left = isinstance(event, ContactAbandoned) and contact.wait_end_ms is None
        contact.end_wait(at_ms)

    def _ended(self, event: ContactEnded, at_ms: int) -> None:
        contact = self._contacts.get(event.contact_id)
        if contact is None:
            self._end_earlier(event.contact_id, at_ms)
            return
        contact.ended_ms = at_ms
        self._live.discard(event.contact_id)
        contact.pause(at_ms)

    def _end_earlier(self, contact_id: str, at_ms: int) -> None:
        """Forget a contact that arrived before the window; one that was still there in it is counted."""
        if contact_id in self._before:
            self._before.remove(contact_id)
            self._earlier += self._window.contains(at_ms)

    # --- assignments -------------------------------------------------------------------------------------------------

    def _held(self, event: AssignmentHeld, at_ms: int) -> None:
        contact = self._contacts.get(event.contact_id)
        if contact is not None and contact.held_since_ms is None:
            contact.held_since_ms = at_ms

    def _off_hold(self, event: AssignmentResumed, at_ms: int) -> None:
        contact = self._contacts.get(event.contact_id)
        if contact is not None:
            contact.end_hold(at_ms)

    def _parked(self, event: AssignmentParked, at_ms: int) -> None:
        contact = self._contacts.get(event.contact_id)
        if contact is not None:
            contact.pause(at_ms)

    def _unparked(self, event: AssignmentUnparked, at_ms: int) -> None:
        contact = self._contacts.get(event.contact_id)
        if contact is not None:
            contact.talk(event.agent_id, at_ms)

    def _wrap_up_started(self, event: WrapUpStarted, at_ms: int) -> None:
        if event.contact_id in self._contacts:
            self._wrap_ups[event.assignment_id] = at_ms

    def _completed(self, event: AssignmentCompleted, at_ms: int) -> None:
        since_ms = self._wrap_ups.pop(event.assignment_id, None)
        contact = self._contacts.get(event.contact_id)
        if contact is None:
            return
        if since_ms is not None:
            contact.wrap_up_ms += at_ms - since_ms
        contact.disposition = event.disposition or contact.disposition

    def _disposition(self, event: DispositionRecorded, at_ms: int) -> None:
        contact = self._contacts.get(event.contact_id)
        if contact is not None:
            contact.disposition = event.disposition

    # --- offers, agents and policies ---------------------------------------------------------------------------------

    def _offer_made(self, event: OfferMade, at_ms: int) -> None:
        if self._window.contains(at_ms):
            self.agents.add_offer(event.offer_id, at_ms)

    def _declined(self, event: OfferDeclined, at_ms: int) -> None:
        self.agents.decline_offer(event.offer_id, event.agent_id, at_ms)
        contact = self._contacts.get(event.contact_id)
        if contact is not None:
            contact.declined += 1

    def _rescinded(self, event: OfferRescinded, at_ms: int) -> None:
        self.agents.drop_offer(event.offer_id)

    def _missed(self, event: OfferExpired, at_ms: int) -> None:
        self.agents.miss_offer(event.offer_id, event.agent_id)
        contact = self._contacts.get(event.contact_id)
        if contact is not None:
            contact.missed += 1

    def _agent_updated(self, event: AgentUpdated, at_ms: int) -> None:
        self.agents.update(event)

    def _agent_state_changed(self, event: AgentStateChanged, at_ms: int) -> None:
        self.agents.change_state(event.agent_id, event.state, event.reason, at_ms)

    def _agent_removed(self, event: AgentRemoved, at_ms: int) -> None:
        self.agents.change_state(event.agent_id, AgentState.OFFLINE, None, at_ms)

    def _channels_set(self, event: AgentChannelsSet, at_ms: int) -> None:
        self._pauses += bool(event.paused) and self._window.contains(at_ms)

    def _published(self, event: PolicyPublished, at_ms: int) -> None:
        self._policies[event.version] = event.policy


_HANDLERS: Final[dict[type[Event], Callable[[JournalDay, Any, int], None]]] = {
    ContactQueued: JournalDay._queued,
    ContactOverflowed: JournalDay._moved,
    ContactRequeued: JournalDay._moved,
    ContactResumed: JournalDay._moved,
    ContactAssigned: JournalDay._answered,
    OfferAccepted: JournalDay._answered,
    ContactHandedOver: JournalDay._handed_over,
    ContactSuspended: JournalDay._suspend,
    ContactChannelSwitched: JournalDay._channel_switched,
    CallbackRequested: JournalDay._callback_requested,
    CallbackConnected: JournalDay._callback_connected,
    CallbackFailed: JournalDay._callback_failed,
    ContactAbandoned: JournalDay._lost,
    ContactCancelled: JournalDay._lost,
    ContactExpired: JournalDay._lost,
    ContactEnded: JournalDay._ended,
    AssignmentHeld: JournalDay._held,
    AssignmentResumed: JournalDay._off_hold,
    AssignmentParked: JournalDay._parked,
    AssignmentUnparked: JournalDay._unparked,
    WrapUpStarted: JournalDay._wrap_up_started,
    AssignmentCompleted: JournalDay._completed,
    DispositionRecorded: JournalDay._disposition,
    OfferMade: JournalDay._offer_made,
    OfferDeclined: JournalDay._declined,
    OfferExpired: JournalDay._missed,
    OfferRescinded: JournalDay._rescinded,
    AgentUpdated: JournalDay._agent_updated,
    AgentStateChanged: JournalDay._agent_state_changed,
    AgentRemoved: JournalDay._agent_removed,
    AgentChannelsSet: JournalDay._channels_set,
    PolicyPublished: JournalDay._published,
}
