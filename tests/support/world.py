"""Checked engine: one engine, the reference model beside it, and a check of both after every event and command.

This module drives the engine and passes every event to the checks in ``checks/offers.py``, ``checks/answers.py``,
``checks/idle_state.py`` and, for views, ``checks/views.py``.

Invariants checked there and in the event model, by number:

I4 a refusal leaves no event; I7 one owner; I8 one pending offer, or as many as the broadcast allows; I9 every offer ends once;
I10 and I11 one accept wins, and the losers learn which; I12 offers only to eligible agents; I13 none to an agent that went not
ready; I14 capacity; I15 RONA at its deadline, the position is kept; I16 wrap-up ends once; I17 transfers are atomic; I18 nothing
after the end; I19 TTL and overflow in time; I20 and I21 the first in order is served first; I22 no missed match; I23 waiting
changes no order; I25 ``seq`` without gaps; I41 conservation; I42 time never goes back. (I30, replay and restore:
``tests/properties``.)
"""

from typing import Final

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.policy import Policy
from router.model.results import Done, Outcome, Refused
from tests.support.builders import a_policy, published
from tests.support.checks.answers import AnswerChecker
from tests.support.checks.checker import AbilitiesAtIdle
from tests.support.checks.idle_state import IdleStateChecker
from tests.support.checks.offers import OfferChecker
from tests.support.checks.views import compare_views

__all__ = ("World", "a_world", "compare_views")

# Events after which an agent may be able to take more than before.
FREEING_EVENTS: Final = (
    e.AgentUpdated,
    e.AgentStateChanged,
    e.AgentNextStateSet,
    e.AgentChannelsSet,
    e.DesktopConnected,
    e.AssignmentParked,
    e.OfferDeclined,
    e.OfferExpired,
    e.OfferRescinded,
    e.WrapUpStarted,
    e.AssignmentCompleted,
)
GIVING_EVENTS: Final = (e.OfferMade, e.ContactAssigned, e.ParticipantAdded)


class World(OfferChecker, AnswerChecker, IdleStateChecker):
    """Drives an engine by commands and time; every step is checked."""

    def __init__(self, policy: Policy | None = None, engine: Engine | None = None) -> None:
        super().__init__(engine or Engine())
        if policy is not None:
            self.do(published(policy))

    # --- driving ------------------------------------------------------------------------------------------------------
    def do(self, command: c.Command) -> Outcome:
        """Execute one command now, check the outcome and return it."""
        self.commands.append((self.at_ms, command))
        due_ms = self.engine.next_deadline_ms()
        timers_were_due = due_ms is not None and due_ms <= self.at_ms
        seq_before, digest_before = self.engine.seq, self.engine.digest()
        before = AbilitiesAtIdle(self.reference, self._idle_at_ms)
        outcome = self.engine.handle(command, self.at_ms)

        assert outcome.at_ms == self.at_ms
        assert outcome.first_seq == seq_before + 1 or not outcome.events, "I25: a gap in seq"
        assert self.engine.seq == seq_before + len(outcome.events), "I25: a gap in seq"
        if outcome.events:
            self.records.append((outcome.first_seq, self.at_ms, outcome.events))
        if isinstance(outcome.result, Refused) and not timers_were_due:
            assert not outcome.events, "I4: a refusal left events"
            assert self.engine.digest() == digest_before, "I4: a refusal changed the state"
        exact = not timers_were_due or isinstance(command, c.AdvanceTime)
        self._check_events(outcome.events, before, exact=exact)
        self._check_answer(command, outcome)
        self._check_idle_state()
        self._idle_at_ms = self.at_ms
        return outcome

    def done(self, command: c.Command) -> list[e.Event]:
        """Execute a command that must succeed; return its events."""
        outcome = self.do(command)
        assert isinstance(outcome.result, Done), f"{command} was refused: {outcome.result}"
        return outcome.events

    def refused(self, command: c.Command) -> Refused:
        """Execute a command that must be refused; return the refusal."""
        answer = self.do(command).result
        assert isinstance(answer, Refused), f"{command} was carried out"
        return answer

    def done_all(self, *commands: c.Command) -> list[e.Event]:
        """Execute several commands that must succeed; return their events."""
        return [event for command in commands for event in self.done(command)]

    def later(self, seconds: float) -> list[e.Event]:
        """Advance time; each timer fires at its own time, as under the live writer."""
        until_ms = self.at_ms + round(seconds * 1000)
        found: list[e.Event] = []
        while (due_ms := self.engine.next_deadline_ms()) is not None and due_ms <= until_ms:
            self.at_ms = max(self.at_ms, due_ms)
            found += self.do(c.AdvanceTime()).events
        self.at_ms = until_ms
        return found

    def jump(self, seconds: float) -> None:
        """Advance time without informing the engine; due timers fire with the next command."""
        self.at_ms += round(seconds * 1000)

    # --- replay and restore (I30) -------------------------------------------------------------------------------------
    def replayed(self, snapshot: bytes | None = None, after: int = 0) -> Engine:
        """Return a fresh engine that has replayed the records with a first ``seq`` above ``after``."""
        engine = Engine() if snapshot is None else Engine.restore(snapshot)
        for first_seq, at_ms, events in self.records:
            if first_seq > after:
                engine.replay(events, first_seq, at_ms)
        return engine

    # --- checks -------------------------------------------------------------------------------------------------------
    def _check_events(self, events: list[e.Event], before: AbilitiesAtIdle, *, exact: bool) -> None:
        reference = self.reference
        previous: e.Event | None = None
        turns: dict[str, int] = {}
        freed: set[str] = set()
        policy_changed = False
        for event in events:
            calls = isinstance(event, e.CallbackDialRequested) and event.for_agent_id is not None
            in_run = isinstance(event, e.OfferMade | e.CallbackDialRequested) or (
                isinstance(event, e.OfferAccepted) and isinstance(previous, e.OfferMade) and previous.offer_id == event.offer_id
            )
            if not in_run:
                turns = {}
            if isinstance(event, FREEING_EVENTS):
                freed.add(event.agent_id)
            freed |= self._agents_no_longer_dialling(event)
            if isinstance(event, e.PolicyPublished):
                policy_changed = True
            if calls:
                assert isinstance(event, e.CallbackDialRequested)
                turns = turns or {name: agent.idle_number for name, agent in reference.agents.items()}
                self._check_dial_request(event, before, turns, freed, exact=exact and not policy_changed)
            if isinstance(event, e.OfferMade):
                turns = turns or {name: agent.idle_number for name, agent in reference.agents.items()}
                self._check_offer(event, before, turns, freed, exact=exact and not policy_changed)
            if isinstance(event, e.OfferExpired):
                deadline_ms = reference.offers[event.offer_id].deadline_ms
                assert self.at_ms >= deadline_ms, "I15: expired before its deadline"
            if isinstance(event, e.ContactQueued):
                self._check_admission(event)
                self._check_entry_rule(event)
            if isinstance(event, e.QueueOpened | e.QueueClosed):
                self.supervisor_overrides.discard(event.queue_id)
                if event.reason == "supervisor":
                    self.supervisor_overrides.add(event.queue_id)
            self._check_successor(event)
            reference.apply(event, self.at_ms)
            if isinstance(event, GIVING_EVENTS):
                self._check_capacity(reference.agents[event.agent_id], event)
            previous = event
        reference.check_monitors()

    def _agents_no_longer_dialling(self, event: e.Event) -> set[str]:
        """Return the agents for which another customer may be dialled after this event."""
        contact = self.reference.contacts.get(getattr(event, "contact_id", ""))
        callback = None if contact is None else contact.callback
        return {callback.for_agent_id} if callback is not None and callback.for_agent_id else set()


def a_world(policy: Policy | None = None, *commands: c.Command) -> World:
    """Return a checked engine with this policy, after these commands."""
    world = World(policy or a_policy())
    world.done_all(*commands)
    return world
