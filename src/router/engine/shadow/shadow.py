"""Apply live events to a shadow, and compare each decision with what the shadow policy would have done.

**Theory of operation.** Facts of live routing are taken over as they are: offers, answers, work, agent states, desktops, deadlines.
What the policy says about a waiting contact (queue, requirement, rank, overflow, cool-down, capacity of an item) is decided
again under the shadow policy. For each record of the journal, ``apply_record`` goes through its events in order:

* before an offer is applied, the shadow matcher (``matching.py``) says whether it would have made the same one;
* the event is translated (``event_translation.py``) and applied to the shadow's state;
* where a live transaction would run its matcher, the shadow finishes its own rounds and reports pairs that only it would have made.

A record does not say where a transaction ran its matcher; ``record_phases.py`` derives it from the events. Contacts that the
shadow would not have admitted are excluded (``state.py``).

``ShadowCounters`` hold totals, totals by queue, and the newest examples of each kind of difference.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from router.engine.commands.submit import decide_enqueue
from router.engine.events import apply
from router.engine.routing_state import RoutingState
from router.engine.shadow.deadlines import ShadowDeadlines
from router.engine.shadow.dry_run import DryRunTransaction
from router.engine.shadow.event_translation import EVENT_TRANSLATIONS
from router.engine.shadow.matching import ShadowMatcher
from router.engine.shadow.record_phases import is_matcher_event, starts_command
from router.engine.shadow.state import ShadowState
from router.engine.snapshots import full as snapshot
from router.model.commands import CallbackFields, EnqueueContact
from router.model.events import CallbackDialRequested, CallbackRequested, CallbackScheduled, ContactQueued, Event, OfferMade
from router.model.policy import Policy
from router.model.results import RefusalCode, Refused
from router.model.shadow import Difference, DifferenceKind, ShadowQueue, ShadowReport
from router.model.states import ContactId

EXAMPLES_MAX: Final = 100


class ShadowCounters:
    """Counters and examples of one shadow policy; they continue when the shadow restarts from the live state."""

    def __init__(self) -> None:
        self.report = ShadowReport()
        self._examples: dict[DifferenceKind, deque[Difference]] = {}

    def count_submit(self, queue_id: str) -> None:
        """Count a submit that was compared."""
        self.report.submits += 1
        self._queue(queue_id).submits += 1

    def count_offer(self, queue_id: str) -> None:
        """Count an offer of the live matcher."""
        self.report.offers += 1
        self._queue(queue_id).offers += 1

    def count_same(self, queue_id: str) -> None:
        """Count an offer that the shadow would have made as well."""
        self.report.same += 1
        self._queue(queue_id).same += 1

    def add_difference(self, difference: Difference) -> None:
        """Count a difference and keep it among the examples of its kind."""
        kind = difference.kind
        for totals in (self.report.differences, self._queue(difference.queue_id).differences):
            totals[kind.value] = totals.get(kind.value, 0) + 1
        examples = self._examples.get(kind)
        if examples is None:
            examples = self._examples[kind] = deque(maxlen=EXAMPLES_MAX)
        examples.append(difference)

    def _queue(self, queue_id: str) -> ShadowQueue:
        queue = self.report.queues.get(queue_id)
        if queue is None:
            queue = self.report.queues[queue_id] = ShadowQueue()
        return queue

    def report_copy(self) -> ShadowReport:
        """Return a copy of the report, which later events do not change."""
        report = self.report
        return msgspec.structs.replace(
            report,
            differences=dict(sorted(report.differences.items())),
            queues={
                name: msgspec.structs.replace(queue, differences=dict(queue.differences))
                for name, queue in sorted(report.queues.items())
            },
            examples={kind.value: tuple(found) for kind, found in sorted(self._examples.items())},
        )


# Refusals that do not depend on the policy.
_REQUEST_REFUSALS: Final = frozenset(
    {RefusalCode.IDEMPOTENCY_KEY_REUSED, RefusalCode.CONTACT_EXISTS, RefusalCode.UNKNOWN_CONTACT, RefusalCode.INVALID_CONTACT_STATE}
)


class Shadow:
    """A shadow policy in one workspace. Deterministic: the same records lead to the same report."""

    def __init__(self, policy: Policy, live: RoutingState | None = None, *, counters: ShadowCounters | None = None):
        """Start from a copy of the live state, which belongs to the shadow from here on; none: from an empty history.

        ``counters`` continues the counts of an earlier shadow of the same policy.
        """
        if live is None:
            live = RoutingState()
        self.counters = ShadowCounters() if counters is None else counters
        self._differences: list[Difference] = []
        self._cause_tag = ""
        self._state = ShadowState(live, policy, self._add_difference)
        self._deadlines = ShadowDeadlines(self._state)
        self._matcher = ShadowMatcher(live)
        self._state.begin()
        report = self.counters.report
        if counters is not None:
            # Differences of the state itself were reported by the earlier shadow.
            live.index.agents.freed.clear()
            live.index.contacts.to_match.clear()
        else:
            report.since_seq, report.since_ms = live.seq, live.at_ms
        report.as_of_seq, report.as_of_ms = live.seq, live.at_ms

    @classmethod
    def from_snapshot(cls, data: bytes, policy: Policy, *, counters: ShadowCounters | None = None) -> "Shadow":
        """Return a shadow that starts from a live engine's snapshot. Raises as ``snapshot.load``."""
        return cls(policy, snapshot.load(data), counters=counters)

    @property
    def state(self) -> RoutingState:
        """The routing state under the shadow policy."""
        return self._state.state

    @property
    def policy(self) -> Policy:
        """The shadow policy as it was set."""
        return self._state.policy

    def report(self) -> ShadowReport:
        """Return a copy of the report."""
        return self.counters.report_copy()

    # --- records and refusals -------------------------------------------------------------------------
    def compare_current_state(self) -> list[Difference]:
        """Return the pairs that the shadow would match in the present state, before any further event."""
        self._differences = []
        self._finish_rounds()
        return self._differences

    def apply_record(self, events: Sequence[Event], first_seq: int, at_ms: int, *, cause: str = "") -> list[Difference]:
        """Apply one durable record and return the differences that it shows.

        ``first_seq`` must follow the last event applied. ``cause`` is the tag of the live command, where it is known.
        """
        state = self._state.state
        assert first_seq == state.seq + 1, f"record {first_seq} does not follow {state.seq}"
        state.at_ms = max(at_ms, state.at_ms)
        self._differences, self._cause_tag = [], cause
        self._state.day.process_due()
        previous: Event | None = None
        by_command = False
        for place, event in enumerate(events):
            self._deadlines.admit_before(event)
            # The live transaction matched once after its due timers and again after the command, so the rounds end here.
            if not by_command and starts_command(state, event, previous):
                by_command = True
                self._finish_rounds()
            elif self._matcher.is_started and not is_matcher_event(event, previous):
                self._finish_rounds()
            if isinstance(event, OfferMade | CallbackDialRequested):
                self._judge_offer(event)
            self._deadlines.process_due_before(event, cause)
            self._apply_event(event, events[place + 1 :])
            previous = event
        self._finish_rounds()
        report = self.counters.report
        report.as_of_seq, report.as_of_ms = state.seq, state.at_ms
        return self._differences

    def _apply_event(self, event: Event, later: Sequence[Event]) -> None:
        state = self._state.state
        translate = EVENT_TRANSLATIONS.get(type(event))
        translated = event if translate is None else translate(self._state, event)
        if type(event) is ContactQueued:
            translated = self._translate_submit(event, _callback_of_submit(event, later))
        if translated is None:
            state.seq += 1
            state.event_at_ms = state.at_ms
        else:
            apply(state, translated)
        self._state.after_event(event)

    def judge_refusal(self, command: EnqueueContact, code: RefusalCode, at_ms: int) -> list[Difference]:
        """Return the difference if the shadow would have taken a submit that the active policy refused."""
        if code in _REQUEST_REFUSALS:
            return []
        state = self._state.state
        state.at_ms = max(at_ms, state.at_ms)
        self._differences = []
        queue_id = command.queue_id if command.queue_id in self._state.live_queues else ""
        self.counters.count_submit(queue_id or "")
        translated = decide_enqueue(DryRunTransaction(state), self._state.policy, command, None)
        if isinstance(translated, ContactQueued):
            self._add_difference(
                DifferenceKind.TAKEN,
                command.contact_id,
                queue_id=queue_id or "",
                shadow_queue_id=translated.queue_id,
                why=(code.name.lower(),),
            )
        return self._differences

    # --- submits ------------------------------------------------------------------------------------
    def _translate_submit(self, event: ContactQueued, callback: CallbackFields | None) -> Event:
        """Return what the shadow policy makes of a submit, and report how that differs from live routing."""
        shadow = self._state
        self.counters.count_submit(event.queue_id)
        requested = event if event.original_request is None else event.original_request
        command = EnqueueContact(
            contact_id=event.contact_id,
            channel=event.channel,
            queue_id=requested.queue_id,
            skills=requested.skills,
            priority_s=requested.priority_s,
            priority_class=requested.priority_class,
            attributes=event.attributes,
            preferred_agents=event.preferred_agents,
            gateway_id=event.gateway_id,
            reference=event.reference,
            dedupe_key=event.dedupe_key,
            fingerprint=event.fingerprint,
            callback=callback,
            customer_facts=event.customer_facts,
            customer_id=event.customer_id,
        )
        if event.queued_at_ms is not None:
            # Its customer has chosen an option: from now on it is a contact like any other.
            shadow.excluded.discard(event.contact_id)
            shadow.live_values.pop(event.contact_id, None)
        translated = decide_enqueue(DryRunTransaction(shadow.state), shadow.policy, command, event.last_agent_id)
        if isinstance(translated, Refused):
            self._add_difference(
                DifferenceKind.REFUSED,
                event.contact_id,
                queue_id=event.queue_id,
                why=(translated.code.name.lower(),),
                of_this_event=True,
            )
            return shadow.exclude(event)
        for kind in shadow.entry_differences(event, translated):
            self._add_difference(
                kind, event.contact_id, queue_id=event.queue_id, shadow_queue_id=translated.queue_id, of_this_event=True
            )
        shadow.record_live_values(event, translated)
        return msgspec.structs.replace(
            translated, ttl_at_ms=event.ttl_at_ms, queued_at_ms=event.queued_at_ms, queued_seq=event.queued_seq, option=event.option
        )

    # --- matching -----------------------------------------------------------------------------------
    def _judge_offer(self, made: OfferMade | CallbackDialRequested) -> None:
        """Compare an offer of the live matcher, or the call to a customer in its place, with the shadow's choice."""
        agent_id = made.agent_id if isinstance(made, OfferMade) else made.for_agent_id
        if agent_id is None or (isinstance(made, OfferMade) and made.from_agent_id is not None):
            return
        if self._matcher.is_started:
            # What this run has made due comes after the run.
            self._deadlines.process_transitions()
        else:
            self._deadlines.process_due(self._cause_tag)
        state, report = self._state.state, self.counters.report
        contact = state.contacts[made.contact_id]
        queue_id = self._state.live_queue_id(contact)
        self.counters.count_offer(queue_id)
        if made.contact_id in self._state.excluded:
            report.not_judged += 1
            return
        verdict = self._matcher.judge_offer(contact, state.agents[agent_id])
        if verdict.overdue:
            report.overdue += 1
        elif verdict.kind is None:
            self.counters.count_same(queue_id)
        else:
            self._add_difference(
                verdict.kind,
                made.contact_id,
                queue_id=queue_id,
                agent_id=agent_id,
                shadow_agent_id=verdict.agent_id,
                shadow_contact_id=verdict.contact_id,
                why=verdict.why,
                of_this_event=True,
            )

    def _finish_rounds(self) -> None:
        """Finish the rounds of the matcher: end overdue waits, and report pairs that only the shadow would have made."""
        if self._matcher.is_started:
            self._report_pairs()
        while True:
            self._deadlines.process_due(self._cause_tag)
            self._report_pairs()
            if not self._deadlines.is_due:
                return

    def _report_pairs(self) -> None:
        """End the run of the matcher and report the pairs that only the shadow would have made."""
        reported = self._state.reported_sooner
        pairs = self._matcher.finish_rounds()
        for contact in self._matcher.take_unserved_contacts():
            self._state.leave_unserved_step(contact)
        for contact, agent in pairs:
            if contact.contact_id in reported:
                continue
            reported.add(contact.contact_id)
            self._add_difference(
                DifferenceKind.SOONER,
                contact.contact_id,
                queue_id=self._state.live_queue_id(contact),
                shadow_queue_id=contact.queue_id,
                shadow_agent_id=agent.agent_id,
            )

    # --- reporting ----------------------------------------------------------------------------------
    def _add_difference(
        self,
        kind: DifferenceKind,
        contact_id: ContactId,
        *,
        queue_id: str,
        agent_id: str | None = None,
        shadow_queue_id: str | None = None,
        shadow_agent_id: str | None = None,
        shadow_contact_id: str | None = None,
        why: tuple[str, ...] = (),
        of_this_event: bool = False,
    ) -> None:
        state = self._state.state
        difference = Difference(
            kind=kind,
            seq=state.seq + of_this_event,
            at_ms=state.at_ms,
            contact_id=contact_id,
            queue_id=queue_id,
            agent_id=agent_id,
            shadow_queue_id=shadow_queue_id,
            shadow_agent_id=shadow_agent_id,
            shadow_contact_id=shadow_contact_id,
            why=why,
        )
        self.counters.add_difference(difference)
        self._differences.append(difference)


def _callback_of_submit(event: ContactQueued, later: Sequence[Event]) -> CallbackFields | None:
    """Return the callback fields of a submit that requested a callback, from the events that follow in its record."""
    if not later or not isinstance(later[0], CallbackRequested):
        return None
    requested, at_ms = later[0], None
    if requested.contact_id != event.contact_id:
        return None
    if len(later) > 1 and isinstance(later[1], CallbackScheduled):
        at_ms = later[1].requested_at_ms or later[1].due_at_ms
    return CallbackFields(mode=requested.mode, channel=requested.channel, at_ms=at_ms)
