"""Follows the live events under another policy, and asks at each decision what that policy would have done.

Reality is taken over as it is: offers, answers, work, states, desktops, deadlines. What the policy says of a contact that waits
(queue, requirement, rank, overflow, cool-down, what an item costs an agent) is decided anew. What the shadow would not have at
all – it would have refused it, or it is in a queue that the shadow lacks – is followed as an outsider: its work keeps agents
busy, it waits in no line, and its offers are not judged.
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

# Refusals that say nothing of the policy.
_OF_THE_REQUEST: Final = frozenset({RefusalCode.KEY_REUSED, RefusalCode.CONTACT_EXISTS})


class Shadow:
    """One policy beside the live one, in one workspace. Deterministic: the same records lead to the same report."""

    def __init__(
        self, policy: Policy, live: RoutingState | None = None, *, book: Book | None = None
    ):
        """Begins where the live state is; the state is the shadow's own from here on. None: at the very beginning."""
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
            # Who waits beside whom was told before.
            live.index.freed.clear()
            live.index.seeking.clear()
        else:
            report.since_seq, report.since_ms = live.seq, live.at_ms
        report.as_of_seq, report.as_of_ms = live.seq, live.at_ms

    @classmethod
    def from_snapshot(cls, data: bytes, policy: Policy, *, book: Book | None = None) -> "Shadow":
        """From a live engine's snapshot. Raises as ``snapshot.load``."""
        return cls(policy, snapshot.load(data), book=book)

    @property
    def state(self) -> RoutingState:
        """What is true under the shadow policy."""
        return self._at.state

    @property
    def policy(self) -> Policy:
        """The shadow policy, as it was set."""
        return self._at.policy

    def report(self) -> ShadowReport:
        """What was found so far."""
        return self.book.copy()

    # --- what happens ---------------------------------------------------------------------------------
    def look(self) -> list[Difference]:
        """Who would be brought together right now, before anything else happens."""
        self._told = []
        self._settle()
        return self._told

    def follow(
        self, events: Sequence[Event], first_seq: int, at_ms: int, *, cause: str = ""
    ) -> list[Difference]:
        """Take in one durable record; the differences that it shows."""
        state = self._at.state
        assert first_seq == state.seq + 1, f"record {first_seq} does not follow {state.seq}"
        state.at_ms = max(at_ms, state.at_ms)
        self._told, self._cause = [], cause
        self._at.day.ripen()
        previous: Event | None = None
        by_command = False
        for place, event in enumerate(events):
            # What due timers have freed was settled before the command; there the rounds end, and begin anew after it.
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
        mine = event if as_followed is None else as_followed(self._at, event)
        if type(event) is ContactQueued:
            mine = self._queued(event, _called_back(event, later))
        if mine is None:
            state.seq += 1
            state.event_at_ms = state.at_ms
        else:
            apply(state, mine)
        self._at.after(event)

    def refused(self, command: EnqueueContact, code: RefusalCode, at_ms: int) -> list[Difference]:
        """A submit that the live policy has refused: would the shadow have taken it?"""
        if code in _OF_THE_REQUEST:
            return []
        state = self._at.state
        state.at_ms = max(at_ms, state.at_ms)
        self._told = []
        queue_id = command.queue_id if command.queue_id in self._at.live_queues else ""
        self.book.submit(queue_id or "")
        mine = decided(Deciding(state), self._at.policy, command, None)
        if isinstance(mine, ContactQueued):
            self._note(
                DifferenceKind.TAKEN,
                command.contact_id,
                queue_id=queue_id or "",
                shadow_queue_id=mine.queue_id,
                why=(code.name.lower(),),
            )
        return self._told

    # --- intake -------------------------------------------------------------------------------------
    def _queued(self, e: ContactQueued, callback: CallbackFields | None) -> Event:
        at = self._at
        self.book.submit(e.queue_id)
        command = EnqueueContact(
            contact_id=e.contact_id,
            channel=e.channel,
            queue_id=e.queue_id if e.asked is None else e.asked.queue_id,
            skills=e.skills if e.asked is None else e.asked.skills,
            priority_s=e.priority_s if e.asked is None else e.asked.priority_s,
            strict_class=e.strict_class if e.asked is None else e.asked.strict_class,
            attributes=e.attributes,
            preferred_agents=e.preferred_agents,
            gateway_id=e.gateway_id,
            reference=e.reference,
            dedupe_key=e.dedupe_key,
            fingerprint=e.fingerprint,
            callback=callback,
        )
        mine = decided(Deciding(at.state), at.policy, command, e.last_agent_id)
        if isinstance(mine, Refused):
            self._note(
                DifferenceKind.REFUSED,
                e.contact_id,
                queue_id=e.queue_id,
                why=(mine.code.name.lower(),),
                of_this_event=True,
            )
            return at.outsider(e)
        for kind in at.entry_differences(e, mine):
            self._note(
                kind,
                e.contact_id,
                queue_id=e.queue_id,
                shadow_queue_id=mine.queue_id,
                of_this_event=True,
            )
        at.remember(e, mine)
        return msgspec.structs.replace(mine, ttl_at_ms=e.ttl_at_ms)

    # --- matching -----------------------------------------------------------------------------------
    def _judge(self, made: OfferMade | CallbackDue) -> None:
        """An offer of the matcher, or the call to a customer in the place of one."""
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
        """Everybody's turn is over: waits that end here alone, and pairs that only the shadow would have made."""
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

    # --- telling ------------------------------------------------------------------------------------
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


def _called_back(e: ContactQueued, later: Sequence[Event]) -> CallbackFields | None:
    """What was asked of a callback, where it was asked for one with the submit: the next events tell."""
    if not later or not isinstance(later[0], CallbackRequested):
        return None
    asked, at_ms = later[0], None
    if asked.contact_id != e.contact_id:
        return None
    if len(later) > 1 and isinstance(later[1], CallbackScheduled):
        at_ms = later[1].due_at_ms
    return CallbackFields(mode=asked.mode, channel=asked.channel, at_ms=at_ms)
