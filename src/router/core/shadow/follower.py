"""Apply live events to a shadow, and compare each decision with what the shadow policy would have done.

**Theory of operation.** Facts of reality are taken over as they are: offers, answers, work, agent states, desktops, deadlines.
What the policy says about a waiting contact (queue, requirement, rank, overflow, cool-down, capacity of an item) is decided
again under the shadow policy. For each record of the journal, ``apply_record`` goes through its events in order:

* before an offer is applied, the shadow matcher (``matching.py``) says whether it would have made the same one;
* the event is translated (``event_translation.py``) and applied to the shadow's state;
* where a live transaction would run its matcher, the shadow finishes its own rounds and reports pairs that only it would have made.

A record does not say where a transaction ran its matcher; ``record_phases.py`` derives it from the events. Contacts that the
shadow would not have admitted are excluded (``state.py``).
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from router.core import snapshot
from router.core.apply import apply
from router.core.decide.intake import decided
from router.core.index import Index
from router.core.shadow.book import Book
from router.core.shadow.deadlines import Deadlines
from router.core.shadow.deciding import Deciding
from router.core.shadow.followed import Followed
from router.core.shadow.phases import begins_command, is_of_settling
from router.core.shadow.reality import REALITY
from router.core.shadow.rounds import Rounds
from router.core.state import RoutingState
from router.core.timers import Timers
from router.model.callbacks import CallbackFields
from router.model.commands import EnqueueContact
from router.model.events import (
    CallbackDue,
    CallbackRequested,
    CallbackScheduled,
    ContactQueued,
    Event,
    OfferMade,
)
from router.model.ids import ContactId
from router.model.policy import Policy
from router.model.refusals import RefusalCode, Refused
from router.model.shadow import Difference, DifferenceKind, ShadowReport

# Refusals that do not depend on the policy.
_OF_THE_REQUEST: Final = frozenset({RefusalCode.KEY_REUSED, RefusalCode.CONTACT_EXISTS})


class Shadow:
    """A shadow policy in one workspace. Deterministic: the same records lead to the same report."""

    def __init__(
        self, policy: Policy, live: RoutingState | None = None, *, book: Book | None = None
    ):
        """Start from a copy of the live state, which belongs to the shadow from here on; none: from an empty history.

        ``counters`` continues the counts of an earlier shadow of the same policy.
        """
        if live is None:
            live = RoutingState()
            live.index, live.timers = Index(live), Timers(live)
        self.book = Book() if book is None else book
        self._told: list[Difference] = []
        self._cause = ""
        self._at = Followed(live, policy, self._note)
        self._deadlines = Deadlines(self._at)
        self._rounds = Rounds(live)
        self._at.begin()
        report = self.book.report
        if book is not None:
            # Differences of the state itself were reported by the earlier shadow.
            live.index.freed.clear()
            live.index.seeking.clear()
        else:
            report.since_seq, report.since_ms = live.seq, live.at_ms
        report.as_of_seq, report.as_of_ms = live.seq, live.at_ms

    @classmethod
    def from_snapshot(cls, data: bytes, policy: Policy, *, book: Book | None = None) -> "Shadow":
        """Return a shadow that starts from a live engine's snapshot. Raises as ``snapshot.load``."""
        return cls(policy, snapshot.load(data), book=book)

    @property
    def state(self) -> RoutingState:
        """The routing state under the shadow policy."""
        return self._at.state

    @property
    def policy(self) -> Policy:
        """The shadow policy as it was set."""
        return self._at.policy

    def report(self) -> ShadowReport:
        """Return a copy of the report."""
        return self.book.copy()

    # --- records and refusals -------------------------------------------------------------------------
    def look(self) -> list[Difference]:
        """Return the pairs that the shadow would match in the present state, before any further event."""
        self._told = []
        self._settle()
        return self._told

    def follow(
        self, events: Sequence[Event], first_seq: int, at_ms: int, *, cause: str = ""
    ) -> list[Difference]:
        """Apply one durable record and return the differences that it shows.

        ``first_seq`` must follow the last event applied. ``cause`` is the tag of the live command, where it is known.
        """
        state = self._at.state
        assert first_seq == state.seq + 1, f"record {first_seq} does not follow {state.seq}"
        state.at_ms = max(at_ms, state.at_ms)
        self._told, self._cause = [], cause
        self._at.day.ripen()
        previous: Event | None = None
        by_command = False
        for place, event in enumerate(events):
            # The live transaction matched once after its due timers and again after the command, so the rounds end here.
            if not by_command and begins_command(state, event, previous):
                by_command = True
                self._settle()
            elif self._rounds.begun and not is_of_settling(event, previous):
                self._settle()
            if isinstance(event, OfferMade | CallbackDue):
                self._judge(event)
            self._deadlines.before(event)
            self._take_in(event, events[place + 1 :])
            previous = event
        self._settle()
        report = self.book.report
        report.as_of_seq, report.as_of_ms = state.seq, state.at_ms
        return self._told

    def _take_in(self, event: Event, later: Sequence[Event]) -> None:
        state = self._at.state
        as_followed = REALITY.get(type(event))
        translated = event if as_followed is None else as_followed(self._at, event)
        if type(event) is ContactQueued:
            translated = self._queued(event, _called_back(event, later))
        if translated is None:
            state.seq += 1
            state.event_at_ms = state.at_ms
        else:
            apply(state, translated)
        self._at.after(event)

    def refused(self, command: EnqueueContact, code: RefusalCode, at_ms: int) -> list[Difference]:
        """Return the difference if the shadow would have taken a submit that the live policy refused."""
        if code in _OF_THE_REQUEST:
            return []
        state = self._at.state
        state.at_ms = max(at_ms, state.at_ms)
        self._told = []
        queue_id = command.queue_id if command.queue_id in self._at.live_queues else ""
        self.book.submit(queue_id or "")
        translated = decided(Deciding(state), self._at.policy, command, None)
        if isinstance(translated, ContactQueued):
            self._note(
                DifferenceKind.TAKEN,
                command.contact_id,
                queue_id=queue_id or "",
                shadow_queue_id=translated.queue_id,
                why=(code.name.lower(),),
            )
        return self._told

    # --- submits ------------------------------------------------------------------------------------
    def _queued(self, event: ContactQueued, callback: CallbackFields | None) -> Event:
        at = self._at
        self.book.submit(event.queue_id)
        command = EnqueueContact(
            contact_id=event.contact_id,
            channel=event.channel,
            queue_id=event.queue_id if event.asked is None else event.asked.queue_id,
            skills=event.skills if event.asked is None else event.asked.skills,
            priority_s=event.priority_s if event.asked is None else event.asked.priority_s,
            strict_class=event.strict_class if event.asked is None else event.asked.strict_class,
            attributes=event.attributes,
            preferred_agents=event.preferred_agents,
            gateway_id=event.gateway_id,
            reference=event.reference,
            dedupe_key=event.dedupe_key,
            fingerprint=event.fingerprint,
            callback=callback,
        )
        translated = decided(Deciding(at.state), at.policy, command, event.last_agent_id)
        if isinstance(translated, Refused):
            self._note(
                DifferenceKind.REFUSED,
                event.contact_id,
                queue_id=event.queue_id,
                why=(translated.code.name.lower(),),
                of_this_event=True,
            )
            return at.outsider(event)
        for kind in at.entry_differences(event, translated):
            self._note(
                kind,
                event.contact_id,
                queue_id=event.queue_id,
                shadow_queue_id=translated.queue_id,
                of_this_event=True,
            )
        at.remember(event, translated)
        return msgspec.structs.replace(translated, ttl_at_ms=event.ttl_at_ms)

    # --- matching -----------------------------------------------------------------------------------
    def _judge(self, made: OfferMade | CallbackDue) -> None:
        """Compare an offer of the live matcher, or the call to a customer in its place, with the shadow's choice."""
        agent_id = made.agent_id if isinstance(made, OfferMade) else made.for_agent_id
        if agent_id is None or (isinstance(made, OfferMade) and made.from_agent_id is not None):
            return
        self._deadlines.ripen(self._cause)
        state, report = self._at.state, self.book.report
        contact = state.contacts[made.contact_id]
        queue_id = self._at.live_queue(contact)
        self.book.offer(queue_id)
        if made.contact_id in self._at.outside:
            report.not_judged += 1
            return
        verdict = self._rounds.judge(contact, state.agents[agent_id])
        if verdict.overdue:
            report.overdue += 1
        elif verdict.kind is None:
            self.book.same(queue_id)
        else:
            self._note(
                verdict.kind,
                made.contact_id,
                queue_id=queue_id,
                agent_id=agent_id,
                shadow_agent_id=verdict.agent_id,
                shadow_contact_id=verdict.contact_id,
                why=verdict.why,
                of_this_event=True,
            )

    def _settle(self) -> None:
        """Finish the rounds of the matcher: end overdue waits, and report pairs that only the shadow would have made."""
        self._deadlines.ripen(self._cause)
        owed = self._at.owed
        leftovers = self._rounds.leftovers()
        for contact in self._rounds.take_unserved():
            self._at.leave_alone(contact)
        for contact, agent in leftovers:
            if contact.contact_id in owed:
                continue
            owed.add(contact.contact_id)
            self._note(
                DifferenceKind.SOONER,
                contact.contact_id,
                queue_id=self._at.live_queue(contact),
                shadow_queue_id=contact.queue_id,
                shadow_agent_id=agent.agent_id,
            )

    # --- reporting ----------------------------------------------------------------------------------
    def _note(
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
        state = self._at.state
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
        self.book.note(difference)
        self._told.append(difference)


def _called_back(event: ContactQueued, later: Sequence[Event]) -> CallbackFields | None:
    """Return the callback fields of a submit that requested a callback, from the events that follow in its record."""
    if not later or not isinstance(later[0], CallbackRequested):
        return None
    requested, at_ms = later[0], None
    if requested.contact_id != event.contact_id:
        return None
    if len(later) > 1 and isinstance(later[1], CallbackScheduled):
        at_ms = later[1].due_at_ms
    return CallbackFields(mode=requested.mode, channel=requested.channel, at_ms=at_ms)
