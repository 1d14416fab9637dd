"""Correctness checks of a load test over the recorded event history and the events that the clients received.

The recorded history alone could be wrong, so it is compared with two other sources: the live event feed of the supervisor must
contain exactly the same events, and the gateway must have received the recorded terminal states. If the history begins with
this run, the simulator's independent auditor also checks every routing decision in it.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

from msgspec import Struct

from router.loadtest.http_api import RecordedEvent
from router.loadtest.monitor import EventFeedHash, FeedMonitor
from router.loadtest.tracker import ContactTracker
from router.model import events as ev
from router.model.commands import AdvanceTime
from router.model.policy import Policy
from router.model.results import Done, Outcome
from router.model.states import AssignmentRole, ContactState
from router.simulator.audit.auditor import Auditor
from router.simulator.day import PlannedAgent
from router.simulator.results.report import AuditResult

_TERMINAL_STATES = {
    ev.ContactEnded: ContactState.ENDED,
    ev.ContactAbandoned: ContactState.ABANDONED,
    ev.ContactCancelled: ContactState.CANCELLED,
    ev.ContactExpired: ContactState.EXPIRED,
}
_OFFER_END_EVENTS = (ev.OfferAccepted, ev.OfferDeclined, ev.OfferExpired, ev.OfferRescinded)


class RunCheck(Struct, frozen=True, kw_only=True):
    """Result of one check: the statement that is checked, whether it holds, and what was counted."""

    name: str
    holds: bool
    detail: str


def group_by_moment(history: Sequence[RecordedEvent]) -> Iterator[list[RecordedEvent]]:
    """Group the history by time; transactions within the same millisecond form one group."""
    for _, group in groupby(history, key=lambda recorded: recorded.at_ms):
        yield list(group)


def outcome_at(step: Sequence[RecordedEvent], *, at_ms: int, events: list[ev.Event]) -> Outcome:
    """Return a group of the history as an outcome in the form that the simulator's subscribers process."""
    answer = Done(subject="", state="")
    return Outcome(result=answer, first_seq=step[0].seq, at_ms=at_ms, events=events)


def check_feed(monitor: FeedMonitor, history: Sequence[RecordedEvent]) -> Iterator[RunCheck]:
    """Check that the history has no gap and that the live feed equals it."""
    expected = monitor.first_seq
    holes = falls = 0
    before_ms = 0
    recorded_hash = EventFeedHash()
    for recorded in history:
        holes += recorded.seq != expected
        falls += recorded.at_ms < before_ms
        expected, before_ms = recorded.seq + 1, recorded.at_ms
        if recorded.seq <= monitor.last_seq:
            recorded_hash.add(recorded.seq, recorded.at_ms, recorded.event)
    yield RunCheck(
        name="the recorded history has no gap and its times never decrease",
        holds=not holes and not falls and expected > monitor.last_seq,
        detail=f"{len(history):,} events, {holes} gaps, {falls} decreases",
    )
    yield RunCheck(
        name="the live feed has no gap",
        holds=not monitor.gap_count,
        detail=f"up to event {monitor.last_seq:,}, {monitor.gap_count} gaps, {monitor.resync_count} resyncs",
    )
    if not monitor.resync_count:
        same = recorded_hash.hexdigest() == monitor.feed_hash.hexdigest()
        yield RunCheck(name="the live feed equals the recorded history", holds=same, detail="every event with its number and time")


def check_contacts(tracker: ContactTracker, history: Sequence[RecordedEvent]) -> Iterator[RunCheck]:
    """Check that every acknowledged contact is recorded once and has one end, the one published to the gateway."""
    queued: dict[str, int] = {}
    ends: dict[str, list[ContactState]] = {}
    for recorded in history:
        event = recorded.event
        if isinstance(event, ev.ContactQueued) and tracker.by_reference(event.reference):
            queued[event.reference or ""] = queued.get(event.reference or "", 0) + 1
        elif type(event) in _TERMINAL_STATES:
            contact_id = getattr(event, "contact_id", "")
            ends.setdefault(contact_id, []).append(_TERMINAL_STATES[type(event)])
    entered = [v for v in tracker.contacts if v.contact_id is not None]
    blocked = [v for v in tracker.contacts if v.blocked]
    once = all(queued.get(v.reference) == 1 for v in entered) and len(queued) == len(entered)
    yield RunCheck(
        name="every acknowledged contact was recorded once",
        holds=once and len(entered) + len(blocked) == len(tracker.contacts),
        detail=f"{len(entered):,} accepted, {len(blocked):,} refused (queue full, closed or without agents), "
        f"{len(tracker.contacts):,} planned",
    )
    wrong = [v for v in entered if len(ends.get(v.contact_id or "", ())) != 1]
    yield RunCheck(
        name="every contact is in exactly one terminal state",
        holds=not wrong,
        detail=f"{len(entered) - len(wrong):,} of {len(entered):,}",
    )
    seen = [v for v in entered if not v.end_missed]
    other = sum([v.terminal_state] != ends.get(v.contact_id or "") for v in seen)
    yield RunCheck(
        name="the gateway received the end that is recorded", holds=not other, detail=f"{len(seen) - other:,} of {len(seen):,}"
    )


def check_agents(agents: Sequence[PlannedAgent], policy: Policy, history: Sequence[RecordedEvent]) -> RunCheck:
    """Check that no agent has more contacts of a channel at once than allowed (for voice: never two calls)."""
    channels: dict[str, str] = {}
    talking: dict[str, tuple[str, str]] = {}
    counts: dict[tuple[str, str], int] = {}
    overrides = {agent.agent_id: agent.channel_max for agent in agents}
    highest: dict[str, int] = {}
    broken = 0
    for recorded in history:
        match recorded.event:
            case ev.ContactQueued() as event:
                channels[event.contact_id] = event.channel
            case ev.OfferAccepted(role=AssignmentRole.CONSULT):
                continue  # The contact counts for its owner here; the audit checks the capacity of all participants.
            case ev.OfferAccepted() | ev.ContactAssigned() | ev.ContactHandedOver() as event:
                if event.from_agent_id is not None:
                    _release_contact(talking, counts, event.contact_id)
                channel = channels.get(event.contact_id)
                if channel is None:
                    continue  # The contact existed before the run.
                slot = (event.agent_id, channel)
                talking[event.contact_id] = slot
                counts[slot] = counts.get(slot, 0) + 1
                highest[channel] = max(highest.get(channel, 0), counts[slot])
                most = policy.channels[channel].per_agent_max if channel in policy.channels else 1
                broken += counts[slot] > overrides.get(event.agent_id, {}).get(channel, most)
            case ev.ContactEnded() | ev.ContactRequeued() as event:
                _release_contact(talking, counts, event.contact_id)
    maxima = ", ".join(f"{channel} {count}" for channel, count in sorted(highest.items()))
    return RunCheck(
        name="no agent has more contacts at once than the channel allows (never two calls)",
        holds=not broken,
        detail=f"maximum at once: {maxima or 'none'}; exceeded {broken} times",
    )


def _release_contact(talking: dict[str, tuple[str, str]], counts: dict[tuple[str, str], int], contact_id: str) -> None:
    slot = talking.pop(contact_id, None)
    if slot is not None:
        counts[slot] -= 1


def check_offers(history: Sequence[RecordedEvent]) -> RunCheck:
    """Check that each offer of the run has one end and each assignment one completion."""
    made: set[str] = set()
    open_offers: set[str] = set()
    open_work: set[str] = set()
    wrong = 0
    for recorded in history:
        event = recorded.event
        if isinstance(event, ev.OfferMade):
            wrong += event.offer_id in made
            made.add(event.offer_id)
            open_offers.add(event.offer_id)
        elif isinstance(event, _OFFER_END_EVENTS):
            wrong += event.offer_id in made and event.offer_id not in open_offers
            open_offers.discard(event.offer_id)
            if isinstance(event, ev.OfferAccepted):
                open_work.add(event.offer_id)
        elif isinstance(event, ev.ContactAssigned | ev.ParticipantAdded):
            made.add(event.assignment_id)
            open_work.add(event.assignment_id)
        elif isinstance(event, ev.AssignmentCompleted):
            wrong += event.assignment_id in made and event.assignment_id not in open_work
            open_work.discard(event.assignment_id)
    return RunCheck(
        name="every offer has one end, every assignment is completed once",
        holds=not wrong and not open_offers and not open_work,
        detail=f"{len(made):,} offers, {len(open_offers)} still open, {len(open_work)} assignments not completed",
    )


def audit_history(history: Sequence[RecordedEvent], *, live: int) -> tuple[AuditResult, RunCheck]:
    """Run the simulator's independent audit over a history that is complete from the first event of the workspace.

    ``live`` is the number of contacts that have not ended.
    """
    auditor = Auditor()
    for step in group_by_moment(history):
        events = [recorded.event for recorded in step]
        auditor.on_outcome(AdvanceTime(), outcome_at(step, at_ms=step[0].at_ms, events=events))
    auditor.close(live)
    found = AuditResult(checks=auditor.checks, violations=tuple(auditor.violations))
    return found, RunCheck(
        name="the independent audit agrees: order, eligibility, capacity, no missed match",
        holds=not found.violations,
        detail="; ".join(found.violations[:3]) or f"{found.checks:,} checks",
    )
