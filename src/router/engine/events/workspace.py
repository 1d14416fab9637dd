"""Handlers of workspace events: policies, days, shadow policies, and opening and closing of queues.

A new policy rebuilds the index as far as it differs from the one before. No calendar is read here: the event says what was
decided. While a queue is closed, callbacks always wait for the opening, whatever the policy says of other contacts, because
their customers are not on the line.
"""

from collections.abc import Callable
from typing import Any, Final

from msgspec import structs

from router.engine.events.alerts import keep_alerts_of
from router.engine.events.contact_state import add_waiting_timers, change_queue, place_in_line, update_ready_agents
from router.engine.events.contacts import store_key
from router.engine.index.routing_index import queues_to_leave
from router.engine.routing_state import RoutingState
from router.engine.state import rate_caps
from router.engine.state.clocks import TimerKind, begin_closed_wait, end_closed_wait
from router.engine.state.contact import Contact
from router.engine.state.idempotency import IdempotencyRecord
from router.engine.state.records import EntryRuleCounts, QueueHours
from router.engine.transitions import QUEUE_TRANSITIONS, EventTransitions
from router.engine.wait.learning import discard_forecast
from router.model.events.workspace import (
    DayStarted,
    IdempotencyKeyRecorded,
    PolicyPublished,
    PolicyScheduleCancelled,
    PolicyScheduled,
    PolicyScheduleRefused,
    QueueClosed,
    QueueOpened,
    ShadowPolicyCleared,
    ShadowPolicySet,
    WorkspaceCreated,
    WorkspaceRemoved,
)
from router.model.policy import Policy, Selection, selections_of
from router.model.policy_versions import PublishedPolicy, ScheduledPolicy, WorkspaceCreation
from router.model.states import ContactState, QueueId, QueueState

# Contacts that are moved to another queue by the publication itself, without an event of their own.
_NOT_WAITING: Final = (ContactState.ASSIGNED, ContactState.CALLBACK_SCHEDULED, ContactState.SUSPENDED, ContactState.CHOOSING)

# The calendar is searched 366 days ahead; if it has no change within that time, it is read again at the end of it.
_RECHECK_AFTER_MS: Final = 366 * 86_400_000
_OPENED: Final = EventTransitions(QUEUE_TRANSITIONS, QueueOpened)
_CLOSED: Final = EventTransitions(QUEUE_TRANSITIONS, QueueClosed)


def _policy_published(state: RoutingState, event: PolicyPublished) -> None:
    resumed = _settle_changed_clocks(state, event.policy) if state.hours else []
    before, state.policy = state.policy, event.policy
    if event.drain_to:
        _move_drained(state, event.drain_to)
    state.policy_version = event.version
    if state.alerts:
        earlier = {} if before is None else before.alerts
        keep_alerts_of(state, frozenset(name for name, alert in event.policy.alerts.items() if earlier.get(name) == alert))
    state.goals.use_policy(event.policy)
    _record_version(state, event)
    if event.is_scheduled:
        state.scheduled_policy = None
    if before is None or caps_of(before) != caps_of(event.policy):
        for agent in state.agents.values():
            if agent.recent_contact_times:
                rate_caps.drop_unused_times(agent, event.policy)
    state.rule_counts = EntryRuleCounts(since_ms=state.at_ms)
    if state.day is not None and Selection.FEWEST_TODAY not in selections_of(event.policy):
        reset_day_counts(state, None, None)
    state.calendars = {}
    if state.hours:
        state.hours = {name: h for name, h in state.hours.items() if name in event.policy.queues}
    counted = state.index.round_robin_queues
    state.index.apply_policy(before, event.policy)
    if counted - state.index.round_robin_queues:
        _drop_unused_last_offers(state)
    state.wait_statistics.retain_queues(event.policy.queues)
    for contact in resumed:
        add_waiting_timers(state, contact)
    state.index.queues_to_leave = queues_to_leave(event.policy)
    state.no_agents_since = {name: at for name, at in state.no_agents_since.items() if name in state.index.queues_to_leave}
    for name in state.no_agents_since:
        state.timers.add_check(name)
    state.index.agents.ready_groups_changed = True
    for contact_id in state.index.monitors.monitored():
        state.index.monitors.to_check[contact_id] = state.contacts[contact_id]
    update_ready_agents(state)


def _record_version(state: RoutingState, event: PolicyPublished) -> None:
    entry = PublishedPolicy(
        version=event.version,
        seq=state.seq,
        published_at_ms=state.at_ms,
        published_by=event.published_by,
        note=event.note,
        restores=event.restores,
        changes=event.changes,
        is_scheduled=event.is_scheduled,
    )
    state.policy_history.add(entry, event.policy)


def _workspace_created(state: RoutingState, event: WorkspaceCreated) -> None:
    state.created = WorkspaceCreation(created_by=event.created_by, created_at_ms=state.at_ms)


def _workspace_removed(state: RoutingState, _: WorkspaceRemoved) -> None:
    assert state.created is not None
    state.created = structs.replace(state.created, removed_at_ms=state.at_ms)
    state.scheduled_policy = None


def _policy_scheduled(state: RoutingState, event: PolicyScheduled) -> None:
    state.scheduled_policy = ScheduledPolicy(
        policy=event.policy,
        publish_at_ms=event.publish_at_ms,
        seq=state.seq,
        scheduled_at_ms=state.at_ms,
        scheduled_by=event.scheduled_by,
        note=event.note,
        replaces=event.replaces,
        drain_to=event.drain_to,
        changes=event.changes,
    )
    state.timers.add(event.publish_at_ms, TimerKind.PUBLICATION, "")


def _schedule_cancelled(state: RoutingState, _: PolicyScheduleCancelled) -> None:
    state.scheduled_policy = None


def _schedule_refused(state: RoutingState, event: PolicyScheduleRefused) -> None:
    scheduled = state.scheduled_policy
    assert scheduled is not None
    state.scheduled_policy = structs.replace(
        scheduled, refused=event.refused, refused_detail=event.detail, refused_at_ms=state.at_ms
    )


def _settle_changed_clocks(state: RoutingState, policy: Policy) -> list[Contact]:
    """Let closed time up to now count by the present policy, where the new one changes which clocks run; return the contacts."""
    found: list[Contact] = []
    for queue_id, hours in state.hours.items():
        after = policy.queues.get(queue_id)
        if hours.is_open or after is None or after.clocks_while_closed == state.queue_policy(queue_id).clocks_while_closed:
            continue
        found += [contact for contact in _waiting_contacts(state, queue_id) if contact.waiting_for_opening]
    for contact in found:
        end_closed_wait(state, contact)
        begin_closed_wait(contact, state.at_ms)
    return found


def _drop_unused_last_offers(state: RoutingState) -> None:
    """Drop the latest offers of queues in which no round robin may choose any more."""
    needed = state.index.round_robin_queues
    for agent in state.agents.values():
        agent.last_offer_seqs = {name: seq for name, seq in agent.last_offer_seqs.items() if name in needed}


def caps_of(policy: Policy) -> list[object]:
    """Return every rate cap of the policy."""
    return [policy.agents.rate_cap, *((name, c.rate_cap) for name, c in sorted(policy.channels.items()))]


def _move_drained(state: RoutingState, drain_to: dict[QueueId, QueueId]) -> None:
    """Move conversations in progress and scheduled callbacks of removed queues to the queues that take their contacts."""
    queue_counts = [state.counts_by_queue[queue_id] for queue_id in drain_to if queue_id in state.counts_by_queue]
    if not any(counts[name] for counts in queue_counts for name in _NOT_WAITING):
        return
    for contact in state.contacts.values():
        target = drain_to.get(contact.queue_id)
        if target is None or contact.state not in _NOT_WAITING:
            continue
        change_queue(state, contact, target)
        if contact.request is not None and contact.request.queue_id in drain_to:
            contact.request.queue_id = drain_to[contact.request.queue_id]
    for assignment in state.assignments.values():
        assignment.queue_id = drain_to.get(assignment.queue_id, assignment.queue_id)
    for offer in state.offers.values():
        offer.queue_id = drain_to.get(offer.queue_id, offer.queue_id)


def _day_started(state: RoutingState, event: DayStarted) -> None:
    reset_day_counts(state, event.day, event.until_ms)
    state.timers.add(event.until_ms, TimerKind.DAY, "")


def reset_day_counts(state: RoutingState, day: str | None, until_ms: int | None) -> None:
    """Reset every agent's contacts of the day; None stops the counting."""
    state.day, state.day_until_ms = day, until_ms
    for agent in state.agents.values():
        agent.contacts_today = 0


def _shadow_set(state: RoutingState, event: ShadowPolicySet) -> None:
    state.shadow_policy, state.shadow_seq = event.policy, state.seq


def _shadow_cleared(state: RoutingState, _: ShadowPolicyCleared) -> None:
    state.shadow_policy, state.shadow_seq = None, 0


def _key_recorded(state: RoutingState, event: IdempotencyKeyRecorded) -> None:
    record = IdempotencyRecord(
        event.fingerprint or b"", event.subject, event.answer_seq, state.at_ms, state=event.state, client=event.client
    )
    store_key(state, event.key or b"", record)


def _queue_opened(state: RoutingState, event: QueueOpened) -> None:
    was_closed = state.is_closed(event.queue_id)
    _change_opening(state, event, _OPENED)
    if was_closed and event.queue_id in state.no_agents_since:
        # Agents come at the opening: the time counts from there.
        state.no_agents_since[event.queue_id] = state.at_ms
        state.timers.add_check(event.queue_id)
    if event.contact_ids is None:
        waiting = _waiting_contacts(state, event.queue_id)
        state.timers.end_opening(event.queue_id)
    else:
        waiting = [state.contacts[contact_id] for contact_id in event.contact_ids]
        state.timers.add_opening(state.at_ms + 1, event.queue_id)
    for contact in waiting:
        if contact.waiting_for_opening:
            end_closed_wait(state, contact)
            if contact.wait_until_ms is None and not contact.awaits_customer:
                contact.wait_until_ms = event.wait_until_ms
            if contact.order_key:
                place_in_line(state, contact)
            else:
                add_waiting_timers(state, contact)


def _queue_closed(state: RoutingState, event: QueueClosed) -> None:
    _change_opening(state, event, _CLOSED)
    state.timers.end_opening(event.queue_id)
    for contact in _waiting_contacts(state, event.queue_id):
        if not contact.waiting_for_opening and (event.holds_contacts or contact.awaits_customer):
            discard_forecast(state, contact)
            begin_closed_wait(contact, state.at_ms)
            if contact.order_key:
                state.index.contacts.enqueue(contact)


def _change_opening(state: RoutingState, event: QueueOpened | QueueClosed, transitions: EventTransitions[QueueState]) -> None:
    before = state.hours.get(event.queue_id)
    was_open = before is None or before.is_open
    after = transitions[QueueState.OPEN if was_open else QueueState.CLOSED]
    next_check_at_ms = event.until_ms
    by_calendar = event.reason != "supervisor" and state.queue_policy(event.queue_id).hours is not None
    if next_check_at_ms is None and by_calendar:
        next_check_at_ms = state.at_ms + _RECHECK_AFTER_MS
    state.hours[event.queue_id] = QueueHours(
        is_open=after is QueueState.OPEN, changes_at_ms=event.until_ms, next_check_at_ms=next_check_at_ms, reason=event.reason
    )
    if next_check_at_ms is not None:
        state.timers.add(next_check_at_ms, TimerKind.HOURS, event.queue_id)


def _waiting_contacts(state: RoutingState, queue_id: QueueId) -> list[Contact]:
    """Return the contacts that wait in the queue, and those that are offered and may return to it."""
    found = {
        contact.contact_id: contact
        for line in state.index.lines.by_queue.get(queue_id, ())
        for contact in line.contacts_by_key.values()
    }
    for offer in state.offers.values():
        contact = state.contacts[offer.contact_id]
        if contact.queue_id == queue_id and contact.waiting_line is not None:
            found[contact.contact_id] = contact
    return sorted(found.values(), key=_queued_seq)


def _queued_seq(contact: Contact) -> int:
    return contact.queued_seq


WORKSPACE_EVENTS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    PolicyPublished: _policy_published,
    WorkspaceCreated: _workspace_created,
    WorkspaceRemoved: _workspace_removed,
    PolicyScheduled: _policy_scheduled,
    PolicyScheduleCancelled: _schedule_cancelled,
    PolicyScheduleRefused: _schedule_refused,
    DayStarted: _day_started,
    ShadowPolicySet: _shadow_set,
    ShadowPolicyCleared: _shadow_cleared,
    IdempotencyKeyRecorded: _key_recorded,
    QueueOpened: _queue_opened,
    QueueClosed: _queue_closed,
}
