"""Handlers of events for the record of one contact.

Each takes the contact, the event, its time and the thresholds of the queues. What counts as a wait, talk, hold and wrap-up follows
the handlers of the statistics (``router.statistics.event_handlers``).
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from msgspec import Struct, field

from router.model.events import (
    AssignmentCompleted,
    AssignmentHeld,
    AssignmentParked,
    AssignmentResumed,
    AssignmentUnparked,
    CallbackConnected,
    CallbackDialRequested,
    CallbackFailed,
    CallbackRequested,
    CallbackScheduled,
    ContactAbandoned,
    ContactAssigned,
    ContactCancelled,
    ContactChannelSwitched,
    ContactChoosing,
    ContactEnded,
    ContactExpired,
    ContactGatewayChanged,
    ContactHandedOver,
    ContactMonitorJoined,
    ContactMonitorLeft,
    ContactOverflowed,
    ContactQueued,
    ContactRequeued,
    ContactResumed,
    ContactSuspended,
    ContactUpdated,
    DispositionRecorded,
    GoalChanged,
    OfferAccepted,
    OfferDeclined,
    OfferExpired,
    OfferMade,
    OfferRescinded,
    ParticipantAdded,
    ParticipantJoined,
    WrapUpStarted,
)
from router.model.policy import Policy
from router.model.states import AssignmentRole
from router.records.record import (
    LIST_MAX,
    CallAttempt,
    ContactRecord,
    QueueStay,
    RecordedCallback,
    RecordedMonitor,
    RecordedOffer,
    RecordedSuspension,
    RecordedTransfer,
    RecordedWait,
    RecordedWork,
)
from router.statistics.open_records import (
    ASSIGNED,
    CALLBACK,
    CHOOSING,
    OFFERED,
    QUEUED,
    SUSPENDED,
    AssignmentPhase,
    LiveAssignment,
    LiveContact,
    LiveOffer,
)


class ThresholdMs(Struct, array_like=True, frozen=True):
    """Thresholds of the service level of a queue, in milliseconds."""

    answer: int = 20_000
    short_abandon: int = 5_000


Targets: TypeAlias = dict[str, ThresholdMs]
"""Thresholds by queue, of the policy that is active at the event."""
_DEFAULT_THRESHOLD: Final = ThresholdMs()


def thresholds(policy: Policy) -> Targets:
    """Return the thresholds of the queues of a policy."""
    levels = {queue_id: queue.service_level for queue_id, queue in policy.queues.items()}
    return {name: ThresholdMs(level.threshold_s * 1000, level.short_abandon_s * 1000) for name, level in levels.items()}


class OpenContact(Struct, array_like=True):
    """A contact that is not over: its record so far, and what is needed to continue it."""

    record: ContactRecord
    live: LiveContact
    customer_id: str | None = None
    pending: dict[str, LiveOffer] = field(default_factory=dict)
    """Offers that are not answered, by id."""
    work: dict[str, LiveAssignment] = field(default_factory=dict)
    """Assignments that are not completed, by id."""
    is_over: bool = False
    is_written: bool = False
    """Whether a record of it was given to the storage."""

    @classmethod
    def begin(cls, event: ContactQueued | ContactChoosing, at_ms: int) -> "OpenContact":
        """Return the contact that begins with an event."""
        is_choosing = isinstance(event, ContactChoosing)
        record = ContactRecord(
            contact_id=event.contact_id,
            state="",
            reason="",
            ended_by=None,
            channel=event.channel,
            queue_id=event.queue_id,
            gateway_id=event.gateway_id,
            submitted_at_ms=at_ms,
            ended_at_ms=0,
            first_channel=event.channel,
        )
        live = LiveContact(event.queue_id, event.channel, at_ms, CHOOSING if is_choosing else QUEUED)
        contact = cls(record, live, event.customer_id)
        _take_request(contact, event, at_ms)
        return contact

    def enter(self, queue_id: str, at_ms: int, *, reason: str) -> None:
        """Note that it waits in a queue; it leaves another one for this reason."""
        stays = self.record.queues
        if stays and stays[-1].left_at_ms is None:
            if stays[-1].queue_id == queue_id:
                return
            self.leave(at_ms, reason)
        self.add(stays, QueueStay(queue_id, at_ms))

    def leave(self, at_ms: int, reason: str) -> None:
        """Note that it waits in no queue any more."""
        stays = self.record.queues
        if stays and stays[-1].left_at_ms is None:
            stays[-1].left_at_ms, stays[-1].left_by = at_ms, reason

    def add(self, entries: list[Any], entry: Any) -> None:
        """Append an entry to a list of the record, up to the limit."""
        if len(entries) < LIST_MAX:
            entries.append(entry)
        else:
            self.record.omitted += 1

    def add_wait(self, outcome: str, wait_ms: int, targets: Targets) -> None:
        """Note the end of a wait as the statistics count it."""
        threshold = targets.get(self.live.queue_id, _DEFAULT_THRESHOLD)
        met: bool | None = None
        if outcome == "answered":
            met = wait_ms <= threshold.answer
        elif outcome == "abandoned" and wait_ms >= threshold.short_abandon:
            met = False
        self.add(self.record.waits, RecordedWait(self.live.queue_id, self.live.channel, wait_ms, outcome, met))


def _take_request(contact: OpenContact, event: ContactQueued | ContactChoosing, at_ms: int) -> None:
    record = contact.record
    record.skills, record.priority_s, record.attributes = event.skills, event.priority_s, event.attributes
    record.channel = event.channel
    if isinstance(event, ContactQueued):
        record.rule = event.rule
        contact.enter(event.queue_id, at_ms, reason="")


def _queued(contact: OpenContact, event: ContactQueued, at_ms: int, targets: Targets) -> None:
    """Continue the contact of a customer who has chosen an option."""
    contact.live = LiveContact(event.queue_id, event.channel, at_ms)
    contact.customer_id = event.customer_id or contact.customer_id
    _take_request(contact, event, at_ms)


def _updated(contact: OpenContact, event: ContactUpdated, at_ms: int, targets: Targets) -> None:
    record = contact.record
    record.skills, record.priority_s, record.attributes = event.skills, event.priority_s, event.attributes


def _requeued(contact: OpenContact, event: ContactRequeued, at_ms: int, targets: Targets) -> None:
    live, record = contact.live, contact.record
    if live.state == ASSIGNED:
        live.waiting_since_ms = at_ms
        if event.reason == "transferred":
            contact.add(record.transfers, RecordedTransfer(at_ms, "queue", event.agent_id, None, event.queue_id))
    live.state, live.queue_id = QUEUED, event.queue_id
    contact.enter(event.queue_id, at_ms, reason=event.reason)


def _overflowed(contact: OpenContact, event: ContactOverflowed, at_ms: int, targets: Targets) -> None:
    contact.live.queue_id, contact.live.state = event.queue_id, QUEUED
    contact.enter(event.queue_id, at_ms, reason="overflow")


def _suspended(contact: OpenContact, event: ContactSuspended, at_ms: int, targets: Targets) -> None:
    live = contact.live
    if live.state != ASSIGNED:
        live.waited_ms = 0 if live.is_callback else live.wait_ms(at_ms, event.closed_ms)
    live.is_callback, live.state = False, SUSPENDED
    contact.leave(at_ms, "suspended")
    contact.add(contact.record.suspensions, RecordedSuspension(at_ms))


def _resumed(contact: OpenContact, event: ContactResumed, at_ms: int, targets: Targets) -> None:
    live = contact.live
    live.queue_id, live.channel = event.queue_id, event.channel
    live.state, live.waiting_since_ms, live.closed_ms = QUEUED, at_ms, event.closed_ms
    contact.record.channel = event.channel
    if contact.record.suspensions:
        contact.record.suspensions[-1].resumed_at_ms = at_ms
    contact.enter(event.queue_id, at_ms, reason="resumed")


def _channel_switched(contact: OpenContact, event: ContactChannelSwitched, at_ms: int, targets: Targets) -> None:
    if event.assignment_id is not None and event.assignment_id in contact.work:
        contact.work[event.assignment_id].channel = event.channel
    contact.live.channel = contact.record.channel = event.channel


def _gateway_changed(contact: OpenContact, event: ContactGatewayChanged, at_ms: int, targets: Targets) -> None:
    contact.record.gateway_id = event.gateway_id


# --- agents ---------------------------------------------------------------------------------------


def _offer_made(contact: OpenContact, event: OfferMade, at_ms: int, targets: Targets) -> None:
    contact.pending[event.offer_id] = LiveOffer(event.queue_id, event.channel)
    if contact.live.state == QUEUED:
        contact.live.state = OFFERED
    made = RecordedOffer(event.offer_id, event.agent_id, event.queue_id, at_ms, str(event.role))
    contact.add(contact.record.offers, made)


def _answer_offer(contact: OpenContact, offer_id: str, outcome: str, at_ms: int, reason: str | None) -> LiveOffer | None:
    for offer in reversed(contact.record.offers):
        if offer.offer_id == offer_id:
            offer.outcome, offer.answered_at_ms, offer.reason = outcome, at_ms, reason
            break
    return contact.pending.pop(offer_id, None)


def _offer_declined(contact: OpenContact, event: OfferDeclined, at_ms: int, targets: Targets) -> None:
    _answer_offer(contact, event.offer_id, "declined", at_ms, event.reason)


def _offer_expired(contact: OpenContact, event: OfferExpired, at_ms: int, targets: Targets) -> None:
    _answer_offer(contact, event.offer_id, "expired", at_ms, event.reason)


def _offer_rescinded(contact: OpenContact, event: OfferRescinded, at_ms: int, targets: Targets) -> None:
    _answer_offer(contact, event.offer_id, "rescinded", at_ms, event.reason)


def _offer_accepted(contact: OpenContact, event: OfferAccepted, at_ms: int, targets: Targets) -> None:
    offer = _answer_offer(contact, event.offer_id, "accepted", at_ms, None)
    live = contact.live
    queue_id, channel = live.queue_id, live.channel
    if offer is not None:
        channel = offer.channel
        if event.role is not AssignmentRole.OWNER:
            queue_id = offer.queue_id
    if event.role is AssignmentRole.OWNER:
        if live.state != ASSIGNED:
            _end_wait(contact, event.closed_ms, at_ms, targets)
        else:
            contact.add(contact.record.transfers, RecordedTransfer(at_ms, "agent", event.from_agent_id, event.agent_id))
    _begin_work(contact, event.offer_id, event.agent_id, str(event.role), queue_id, channel, at_ms)


def _assigned(contact: OpenContact, event: ContactAssigned, at_ms: int, targets: Targets) -> None:
    if contact.live.state != ASSIGNED:
        _end_wait(contact, event.closed_ms, at_ms, targets)
    if event.from_agent_id is not None:
        contact.add(contact.record.transfers, RecordedTransfer(at_ms, "supervisor", event.from_agent_id, event.agent_id))
    live = contact.live
    _begin_work(contact, event.assignment_id, event.agent_id, "owner", live.queue_id, live.channel, at_ms)


def _end_wait(contact: OpenContact, closed_ms: int, at_ms: int, targets: Targets) -> None:
    live = contact.live
    if not live.is_callback:
        contact.add_wait("answered", live.wait_ms(at_ms, closed_ms), targets)
    live.state, live.closed_ms, live.waited_ms = ASSIGNED, closed_ms, 0
    if contact.record.answered_at_ms is None:
        contact.record.answered_at_ms = at_ms
    contact.leave(at_ms, "answered")


def _begin_work(
    contact: OpenContact, assignment_id: str, agent_id: str, role: str, queue_id: str, channel: str, at_ms: int
) -> None:
    contact.work[assignment_id] = LiveAssignment(agent_id, queue_id, channel, at_ms)
    contact.add(contact.record.assignments, RecordedWork(assignment_id, agent_id, role, queue_id, channel, at_ms))


def _participant_added(contact: OpenContact, event: ParticipantAdded, at_ms: int, targets: Targets) -> None:
    live = contact.live
    _begin_work(contact, event.assignment_id, event.agent_id, "participant", live.queue_id, live.channel, at_ms)


def _participant_joined(contact: OpenContact, event: ParticipantJoined, at_ms: int, targets: Targets) -> None:
    _set_role(contact, event.assignment_id, "participant")


def _handed_over(contact: OpenContact, event: ContactHandedOver, at_ms: int, targets: Targets) -> None:
    _set_role(contact, event.assignment_id, "owner")
    contact.add(contact.record.transfers, RecordedTransfer(at_ms, event.reason, event.from_agent_id, event.agent_id))
    if event.queue_id is not None:
        contact.live.queue_id = event.queue_id


def _set_role(contact: OpenContact, assignment_id: str, role: str) -> None:
    work = _work_of(contact, assignment_id)
    if work is not None:
        work.role = role


def _work_of(contact: OpenContact, assignment_id: str) -> RecordedWork | None:
    for work in reversed(contact.record.assignments):
        if work.assignment_id == assignment_id:
            return work
    return None


def _enter_phase(phase: AssignmentPhase) -> Callable[[OpenContact, Any, int, Targets], None]:
    def handler(contact: OpenContact, event: Any, at_ms: int, targets: Targets) -> None:
        assignment = contact.work.get(event.assignment_id)
        if assignment is not None:
            assignment.enter_phase(phase, at_ms)
            _copy_times(contact, event.assignment_id, assignment)

    return handler


def _copy_times(contact: OpenContact, assignment_id: str, assignment: LiveAssignment) -> RecordedWork | None:
    work = _work_of(contact, assignment_id)
    if work is not None:
        work.talk_ms, work.hold_ms = assignment.talk_ms, assignment.hold_ms
        work.parked_ms, work.wrap_up_ms = assignment.parked_ms, assignment.wrap_up_ms
        work.channel = assignment.channel
    return work


def _completed(contact: OpenContact, event: AssignmentCompleted, at_ms: int, targets: Targets) -> None:
    assignment = contact.work.pop(event.assignment_id, None)
    if assignment is None:
        return
    assignment.enter_phase(AssignmentPhase(assignment.phase), at_ms)
    work = _copy_times(contact, event.assignment_id, assignment)
    if work is not None:
        work.ended_at_ms, work.reason = at_ms, event.reason
        work.disposition = event.disposition or work.disposition


def _disposition(contact: OpenContact, event: DispositionRecorded, at_ms: int, targets: Targets) -> None:
    work = _work_of(contact, event.assignment_id)
    if work is not None:
        work.disposition = event.disposition


def _monitor_joined(contact: OpenContact, event: ContactMonitorJoined, at_ms: int, targets: Targets) -> None:
    _end_monitor(contact, event.supervisor_id, "mode_changed", at_ms)
    joined = RecordedMonitor(event.supervisor_id, event.owner_agent_id, str(event.mode), at_ms)
    contact.add(contact.record.monitors, joined)


def _monitor_left(contact: OpenContact, event: ContactMonitorLeft, at_ms: int, targets: Targets) -> None:
    _end_monitor(contact, event.supervisor_id, event.reason, at_ms)


def _end_monitor(contact: OpenContact, supervisor_id: str, reason: str, at_ms: int) -> None:
    for monitor in reversed(contact.record.monitors):
        if monitor.supervisor_id == supervisor_id:
            if monitor.left_at_ms is None:
                monitor.left_at_ms, monitor.reason = at_ms, reason
            return


# --- callbacks ------------------------------------------------------------------------------------


def _callback_requested(contact: OpenContact, event: CallbackRequested, at_ms: int, targets: Targets) -> None:
    contact.live.is_callback, contact.live.state = True, QUEUED
    contact.live.channel = contact.record.channel = event.channel
    contact.record.callback = RecordedCallback(at_ms, str(event.mode))


def _callback_scheduled(contact: OpenContact, event: CallbackScheduled, at_ms: int, targets: Targets) -> None:
    contact.live.state = CALLBACK
    if contact.record.callback is not None:
        contact.record.callback.due_at_ms = event.due_at_ms
    contact.leave(at_ms, "callback")


def _dial_requested(contact: OpenContact, event: CallbackDialRequested, at_ms: int, targets: Targets) -> None:
    if contact.live.state != ASSIGNED:
        contact.live.state = CALLBACK
        contact.leave(at_ms, "callback")
    if contact.record.callback is not None:
        contact.add(contact.record.callback.attempts, CallAttempt(event.attempt, at_ms))


def _callback_connected(contact: OpenContact, event: CallbackConnected, at_ms: int, targets: Targets) -> None:
    live = contact.live
    live.is_callback = False
    _note_attempt(contact, event.attempt, event.outcome)
    if live.state == ASSIGNED:
        return
    live.queue_id, live.state, live.waiting_since_ms = event.queue_id, QUEUED, at_ms
    live.closed_ms, live.waited_ms = event.closed_ms, 0
    contact.enter(event.queue_id, at_ms, reason="callback")


def _callback_failed(contact: OpenContact, event: CallbackFailed, at_ms: int, targets: Targets) -> None:
    live = contact.live
    if live.state == ASSIGNED:
        live.waiting_since_ms = at_ms
    live.state = CALLBACK
    _note_attempt(contact, event.attempt, event.outcome)


def _note_attempt(contact: OpenContact, number: int, outcome: str) -> None:
    if contact.record.callback is None:
        return
    for attempt in reversed(contact.record.callback.attempts):
        if attempt.attempt == number:
            attempt.outcome = outcome
            return


# --- the end --------------------------------------------------------------------------------------

_ENDS: Final[dict[type, str]] = {
    ContactEnded: "ended",
    ContactAbandoned: "abandoned",
    ContactCancelled: "cancelled",
    ContactExpired: "expired",
}


def _end(
    contact: OpenContact, event: ContactEnded | ContactAbandoned | ContactCancelled | ContactExpired, at_ms: int, targets: Targets
) -> None:
    record, live = contact.record, contact.live
    record.state = _ENDS[type(event)]
    record.reason, record.ended_at_ms = event.reason, at_ms
    record.ended_by = None if event.ended_by is None else str(event.ended_by)
    record.queue_id = live.queue_id
    if not isinstance(event, ContactEnded) and live.state != CHOOSING:
        contact.add_wait(record.state, live.wait_ms(at_ms, event.closed_ms), targets)
    contact.leave(at_ms, record.state)


def _goal_changed(contact: OpenContact, event: GoalChanged, at_ms: int, targets: Targets) -> None:
    contact.record.set_goal(event.goal)


RECORD_HANDLERS: Final[dict[type, Callable[[OpenContact, Any, int, Targets], None]]] = {
    ContactQueued: _queued,
    ContactUpdated: _updated,
    ContactRequeued: _requeued,
    ContactOverflowed: _overflowed,
    ContactSuspended: _suspended,
    ContactResumed: _resumed,
    ContactChannelSwitched: _channel_switched,
    ContactGatewayChanged: _gateway_changed,
    OfferMade: _offer_made,
    OfferAccepted: _offer_accepted,
    OfferDeclined: _offer_declined,
    OfferExpired: _offer_expired,
    OfferRescinded: _offer_rescinded,
    ContactAssigned: _assigned,
    ParticipantAdded: _participant_added,
    ParticipantJoined: _participant_joined,
    ContactHandedOver: _handed_over,
    AssignmentHeld: _enter_phase(AssignmentPhase.ON_HOLD),
    AssignmentResumed: _enter_phase(AssignmentPhase.TALKING),
    AssignmentParked: _enter_phase(AssignmentPhase.PARKED),
    AssignmentUnparked: _enter_phase(AssignmentPhase.TALKING),
    WrapUpStarted: _enter_phase(AssignmentPhase.WRAP_UP),
    AssignmentCompleted: _completed,
    DispositionRecorded: _disposition,
    GoalChanged: _goal_changed,
    ContactMonitorJoined: _monitor_joined,
    ContactMonitorLeft: _monitor_left,
    CallbackRequested: _callback_requested,
    CallbackScheduled: _callback_scheduled,
    CallbackDialRequested: _dial_requested,
    CallbackConnected: _callback_connected,
    CallbackFailed: _callback_failed,
    **dict.fromkeys(_ENDS, _end),
}
CONTACT_EVENTS: Final = frozenset(RECORD_HANDLERS) | {ContactChoosing}
