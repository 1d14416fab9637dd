"""Discrete-event simulation of one day: customers and agents around one engine, in virtual time.

Theory of operation. The simulation keeps the scheduled future (arrivals, ends of conversations, ends of patience, answers, shifts)
in one heap ordered by time and kind, and jumps from one entry to the next. Between two entries it advances the engine to each
deadline that the engine reports, so that no timer fires late. Each command's events schedule further entries: an accepted offer,
for example, schedules the end of its conversation. Only one future arrival is in the heap at a time, so the contacts of a long
day may come from a generator.

Within one millisecond the order is: the engine's timers, ends of conversations, agents' answers, shifts, arrivals, ends of
patience, callback requests, ends of callback attempts, second calls. An agent who becomes free can therefore take a contact that
arrives in the same millisecond, and a customer whose patience ends in it is still answered.

The simulation makes no routing decision and keeps no statistics; listeners observe each outcome. Same day, same seed: same events.
"""

import hashlib
from collections.abc import Callable, Sequence
from enum import IntEnum
from heapq import heappop, heappush
from math import log
from random import Random
from typing import Final, Protocol

import msgspec
from msgspec import structs

from router.engine.engine import Engine
from router.model.commands import (
    AbandonContact,
    AcceptOffer,
    AdvanceTime,
    Command,
    DeclineOffer,
    EndContact,
    EnqueueContact,
    PublishPolicy,
    PutAgent,
    ReportCallback,
    SetAgentState,
)
from router.model.events import Event
from router.model.events.agent import (
    AgentStateChanged,
    AssignmentCompleted,
    ContactHandedOver,
    OfferAccepted,
    OfferDeclined,
    OfferExpired,
    OfferMade,
    OfferRescinded,
)
from router.model.events.contact import ContactAbandoned, ContactCancelled, ContactEnded, ContactExpired, ContactQueued
from router.model.results import Outcome, RefusalCode, Refused
from router.model.states import AgentState, AssignmentRole
from router.policy.customer_facts import valid_customer_facts
from router.policy.entry_rules import EntryRuleClassifier
from router.simulator.behaviour import CallbackCustomers, Workforce
from router.simulator.continuity import PlannedStep, ReturningCustomers
from router.simulator.day import Day, PlannedAgent, PlannedContact, StaffLevel, WorkloadInvalid

# A contact that still waits this long after the last arrival will not be served; the run ends and counts it as unfinished.
GRACE_MS: Final = 7 * 86_400_000

# Progress is reported after every so many steps.
_PROGRESS_STEPS: Final = 2_000

# A contact refused with one of these codes counts as blocked; any other refusal means that the policy does not fit the day.
_BLOCKING_CODES: Final = frozenset({RefusalCode.QUEUE_FULL, RefusalCode.QUEUE_CLOSED, RefusalCode.NO_AGENTS_READY})


class TimedCommands(Protocol):
    """Source of commands of the router itself, besides its timers."""

    next_ms: int | None
    """When to ask for one next; none: not before the next event."""

    def evaluate(self, at_ms: int) -> Command | None:
        """Return the command of this time, if there is one."""


class RunListener(Protocol):
    """Observer of a run; receives every arrival and every outcome in order."""

    def on_arrival(self, plan: PlannedContact) -> None:
        """Observe the arrival of a contact, before the outcome of its submit; its queue is known."""

    def on_outcome(self, command: Command, outcome: Outcome) -> None:
        """Observe a command and its outcome."""


class _ScheduledKind(IntEnum):
    """Kind of a scheduled entry; the value is its order within one millisecond."""

    HANDLE_END = 0
    ANSWER = 1
    SHIFT_START = 2
    SHIFT_END = 3
    LEVEL = 4
    READY_AGAIN = 5
    ARRIVAL = 6
    PATIENCE_END = 7
    CALLBACK_REQUEST = 8
    CALL_END = 9
    REDIAL = 10
    CONTINUITY = 11


class Simulation:
    """One run of one day; call ``run`` once, then read the listeners."""

    def __init__(
        self, day: Day, *, listeners: Sequence[RunListener] = (), engine: Engine | None = None, timed: TimedCommands | None = None
    ) -> None:
        """Prepare a day; ``timed`` sends commands of the router itself, until everything else is over."""
        self.engine = engine or Engine()
        self.at_ms = day.start_ms
        self.step_count = 0
        self._day = day
        self._listeners = listeners
        self._timed = timed
        self._contacts = iter(day.contacts)
        self._heap: list[tuple[int, int, int, object]] = []
        self._scheduled_count = 0
        self._plans: dict[str, PlannedContact] = {}
        self._submitted: dict[str, PlannedContact] = {}
        """Contacts that the entry rules have given a queue and that may come again, as they were submitted."""
        self._answered: dict[str, str] = {}
        self._open_work = 0
        self._redials = self._redials_made = 0
        self._last_arrival_ms = day.start_ms
        self._more_arrivals = True
        self._workforce = Workforce(day.agents)
        self._rng = Random(day.behaviour_seed)
        self._classifier = EntryRuleClassifier(day.policy)
        self._rule_queues = {rule.name: rule.queue for rule in day.policy.entry}
        self._handlers: dict[type[Event], Callable[[Event], None]] = {
            OfferMade: self._offer_made,
            OfferAccepted: self._offer_accepted,
            OfferDeclined: self._offer_ended,
            OfferExpired: self._offer_ended,
            OfferRescinded: self._offer_ended,
            AssignmentCompleted: self._assignment_completed,
            ContactHandedOver: self._handed_over,
            ContactEnded: self._contact_ended,
            ContactAbandoned: self._contact_abandoned,
            ContactCancelled: self._contact_ended,
            ContactExpired: self._contact_ended,
            AgentStateChanged: self._agent_state_changed,
        }
        self._unanswered_offers: dict[str, OfferMade] = {}
        self._callback_customers = CallbackCustomers(
            day.behaviour_seed,
            plans=self._plans,
            answered=self._answered,
            handle=self._handle,
            schedule_call_end=lambda ms, report: self._schedule(self.at_ms + ms, _ScheduledKind.CALL_END, report),
            start_conversation=self._start_conversation,
        )
        self._handlers |= self._callback_customers.handlers
        self._returning_customers = ReturningCustomers(
            plans=self._plans,
            answered=self._answered,
            handle=self._handle,
            schedule=lambda ms, step: self._schedule(self.at_ms + ms, _ScheduledKind.CONTINUITY, step),
        )
        self._handlers |= self._returning_customers.handlers

    @property
    def unfinished(self) -> int:
        """The number of live contacts; after ``run``, those for which no agent was available until the end."""
        return len(self._plans)

    # --- the loop ------------------------------------------------------------------------------------------------

    def run(self, progress: Callable[[float], None] | None = None) -> None:
        """Run the day from its start until no work is left.

        ``progress`` receives the completed share, 0 to 1. Raises ``WorkloadInvalid`` if the policy does not fit the day.
        """
        self._start()
        span_ms = max(1, self._day.window_to_ms - self._day.start_ms)
        while self._advance():
            self.step_count += 1
            if progress is not None and self.step_count % _PROGRESS_STEPS == 0:
                progress(min(1.0, (self.at_ms - self._day.start_ms) / span_ms))
        if progress is not None:
            progress(1.0)

    def _start(self) -> None:
        """Publish the policy, create the agents, and schedule the shifts and the first arrival."""
        self._handle_or_raise(PublishPolicy(policy=self._day.policy))
        for agent in self._day.agents:
            self._handle_or_raise(
                PutAgent(
                    agent_id=agent.agent_id,
                    skills=agent.skills,
                    queues=agent.queues,
                    units=agent.units,
                    channel_max=agent.channel_max,
                    attributes=agent.attributes,
                    queue_ranks=agent.queue_ranks,
                )
            )
        shifts = [(agent, shift) for agent in self._day.agents for shift in agent.shifts]
        # Shifts that began before the day start in their order, so that the idle order of their agents is kept.
        for agent, shift in sorted(shifts, key=lambda pair: pair[1].from_ms):
            self._schedule(shift.from_ms, _ScheduledKind.SHIFT_START, agent)
        for agent, shift in shifts:
            if shift.to_ms is not None:
                self._schedule(shift.to_ms, _ScheduledKind.SHIFT_END, agent)
        for level in self._day.levels:
            self._schedule(level.at_ms, _ScheduledKind.LEVEL, level)
        self._schedule_next_arrival()

    def _advance(self) -> bool:
        """Run the next timer or scheduled entry; return false if nothing is left to do."""
        if not self._more_arrivals and not self._plans and not self._open_work and not self._redials:
            return False
        deadline_ms = self.engine.next_deadline_ms()
        if self._timed is not None and self._evaluate(self._timed, deadline_ms):
            return True
        if deadline_ms is not None and (not self._heap or deadline_ms <= self._heap[0][0]):
            # An engine that reports a past deadline is broken.
            assert deadline_ms > self.engine.at_ms, "the engine reports a deadline that has passed"
            if not self._more_arrivals and deadline_ms > self._last_arrival_ms + GRACE_MS:
                return False
            self.at_ms = deadline_ms
            self._handle(AdvanceTime())
            return True
        if not self._heap:
            return False
        self.at_ms, kind, _, subject = heappop(self._heap)
        if not self._more_arrivals and self.at_ms > self._last_arrival_ms + GRACE_MS:
            return False
        self._run_scheduled(_ScheduledKind(kind), subject)
        return True

    def _evaluate(self, timed: TimedCommands, deadline_ms: int | None) -> bool:
        """Ask for a timed command that is due before everything else; return whether there was a time to ask."""
        scheduled_ms = self._heap[0][0] if self._heap else None
        others = [at_ms for at_ms in (deadline_ms, scheduled_ms) if at_ms is not None]
        if timed.next_ms is None or not others or timed.next_ms >= min(others):
            return False
        self.at_ms = timed.next_ms
        command = timed.evaluate(self.at_ms)
        if command is not None:
            self._handle(command)
        return True

    def _run_scheduled(self, kind: _ScheduledKind, subject: object) -> None:
        match kind, subject:
            case _ScheduledKind.ARRIVAL, PlannedContact():
                self._arrive(subject)
                self._schedule_next_arrival()
            case _ScheduledKind.REDIAL, PlannedContact():
                self._redials -= 1
                self._arrive(subject)
            case _ScheduledKind.HANDLE_END, str():
                self._handle_or_raise(EndContact(contact_id=subject, agent_id=self._answered[subject]))
            case _ScheduledKind.PATIENCE_END, str():
                waits = subject in self._plans and subject not in self._answered
                waits = waits and not self._returning_customers.ignores_patience(subject)
                if waits and not self._callback_customers.ignores_patience(subject):
                    self._handle_or_raise(AbandonContact(contact_id=subject))
            case _ScheduledKind.ANSWER, AcceptOffer() | DeclineOffer():
                # Refused if the customer has left or the offer has expired meanwhile.
                self._handle(subject)
            case _ScheduledKind.CALLBACK_REQUEST, str():
                self._callback_customers.request_callback(subject)
            case _ScheduledKind.CALL_END, ReportCallback():
                # Refused if the time for the report is over or the contact has ended meanwhile.
                self._handle(subject)
            case _ScheduledKind.CONTINUITY, PlannedStep():
                self._returning_customers.run(subject)
            case _ScheduledKind.SHIFT_START, PlannedAgent():
                self._start_shift(subject.agent_id)
            case _ScheduledKind.SHIFT_END, PlannedAgent():
                self._end_shift(subject.agent_id)
            case _ScheduledKind.READY_AGAIN, str():
                if self._workforce.is_not_ready_on_shift(subject):
                    self._start_shift(subject)
            case _ScheduledKind.LEVEL, StaffLevel():
                joining, leaving = self._workforce.apply_level(subject)
                for agent_id in joining:
                    self._start_shift(agent_id)
                for agent_id in leaving:
                    self._end_shift(agent_id)
            case _:
                raise AssertionError(kind)

    def _schedule(self, at_ms: int, kind: _ScheduledKind, subject: object) -> None:
        """Schedule an entry; entries of the same time and kind run in the order in which they were scheduled."""
        self._scheduled_count += 1
        heappush(self._heap, (max(at_ms, self.at_ms), kind, self._scheduled_count, subject))

    # --- commands -------------------------------------------------------------------------------------------------

    def _handle(self, command: Command) -> Refused | None:
        """Send a command to the engine, notify the listeners, react to its events, and return a refusal."""
        return self._react(command, self.engine.handle(command, self.at_ms))

    def _react(self, command: Command, outcome: Outcome) -> Refused | None:
        """Notify the listeners of an outcome, react to its events, and return a refusal."""
        for listener in self._listeners:
            listener.on_outcome(command, outcome)
        for event in outcome.events:
            handler = self._handlers.get(type(event))
            if handler is not None:
                handler(event)
        if self._unanswered_offers:
            self._schedule_answers()
        return outcome.result if isinstance(outcome.result, Refused) else None

    def _handle_or_raise(self, command: Command) -> None:
        """Handle a command that must succeed; a refusal means that the policy does not fit the day."""
        refused = self._handle(command)
        if refused is None:
            return
        what = _refusal_text(command, refused)
        if isinstance(command, (PutAgent, PublishPolicy)):
            raise WorkloadInvalid(f"{self._day.name}: {what}")
        raise AssertionError(what)

    def _schedule_next_arrival(self) -> None:
        plan = next(self._contacts, None)
        if plan is None:
            self._more_arrivals = False
        else:
            self._last_arrival_ms = max(plan.at_ms, self._last_arrival_ms)
            self._schedule(plan.at_ms, _ScheduledKind.ARRIVAL, plan)

    def _arrive(self, plan: PlannedContact) -> None:
        command = EnqueueContact(
            contact_id=plan.contact_id,
            channel=plan.channel,
            queue_id=plan.queue_id,
            skills=plan.skills,
            attributes=plan.attributes,
            customer_facts=plan.customer_facts,
            preferred_agents=plan.preferred_agents,
            ttl_s=plan.ttl_s,
            priority_s=plan.priority_s,
            priority_class=plan.priority_class,
        )
        outcome = self.engine.handle(command, self.at_ms)
        if isinstance(outcome.result, Refused) and outcome.result.code not in _BLOCKING_CODES:
            raise WorkloadInvalid(f"{self._day.name}: {_refusal_text(command, outcome.result)}")
        if plan.queue_id is None:
            if plan.redial_after_ms is not None:
                self._submitted[plan.contact_id] = plan
            plan = structs.replace(plan, queue_id=self._chosen_queue(plan, outcome))
        self._plans[plan.contact_id] = plan
        for listener in self._listeners:
            listener.on_arrival(plan)
        refused = self._react(command, outcome)
        if refused is not None:
            del self._plans[plan.contact_id]
        elif plan.patience_ms is not None and plan.contact_id not in self._answered:
            self._schedule(self.at_ms + plan.patience_ms, _ScheduledKind.PATIENCE_END, plan.contact_id)
        if refused is None and plan.callback is not None:
            at_ms = self.at_ms + plan.callback.after_ms
            self._schedule(at_ms, _ScheduledKind.CALLBACK_REQUEST, plan.contact_id)

    def _chosen_queue(self, plan: PlannedContact, outcome: Outcome) -> str | None:
        """Return the queue that the entry rules chose for a contact, before any overflow.

        The event names the deciding rule. A refusal does not, but it leaves the state unchanged, so that the same rules give the
        same answer once more.
        """
        if isinstance(outcome.result, Refused):
            rule = self._classifier.classify(
                plan.channel,
                plan.attributes,
                lambda queue_id, name: self.engine.queue_fact(queue_id, plan.channel, name),
                customer_facts=valid_customer_facts(self._day.policy, plan.customer_facts),
            ).rule
            return self._day.policy.default_queue if rule is None else rule.queue
        (queued,) = [event for event in outcome.events if isinstance(event, ContactQueued) and event.contact_id == plan.contact_id]
        if queued.rule is None:
            return self._day.policy.default_queue
        return self._rule_queues[queued.rule]

    def _start_shift(self, agent_id: str) -> None:
        self._workforce.start_shift(agent_id)
        self._handle_or_raise(SetAgentState(agent_id=agent_id, state=AgentState.READY))

    def _end_shift(self, agent_id: str) -> None:
        self._workforce.end_shift(agent_id)
        self._handle_or_raise(SetAgentState(agent_id=agent_id, state=AgentState.OFFLINE, after_work=True))

    def _schedule_answers(self) -> None:
        """Draw each agent's answer to the offers that were not accepted automatically."""
        for offer in self._unanswered_offers.values():
            behaviour = self._workforce.behaviour(offer.agent_id)
            chance, delay = self._rng.random(), self._rng.random()
            if chance < behaviour.no_answer_share:
                continue
            at_ms = self.at_ms + round(-log(1.0 - delay) * behaviour.answer_mean_ms)
            answer = DeclineOffer if chance < behaviour.no_answer_share + behaviour.decline_share else AcceptOffer
            command = answer(offer_id=offer.offer_id, agent_id=offer.agent_id)
            self._schedule(at_ms, _ScheduledKind.ANSWER, command)
        self._unanswered_offers.clear()

    # --- events ---------------------------------------------------------------------------------------------------

    def _offer_made(self, event: Event) -> None:
        assert isinstance(event, OfferMade)
        self._unanswered_offers[event.offer_id] = event
        self._workforce.add_work(event.agent_id, 1)

    def _offer_accepted(self, event: Event) -> None:
        assert isinstance(event, OfferAccepted)
        self._unanswered_offers.pop(event.offer_id, None)
        if event.role is AssignmentRole.CONSULT:
            self._open_work += 1
            if not event.takes_over:
                self._returning_customers.consulted(event.contact_id)
            return
        self._answered[event.contact_id] = event.agent_id
        self._open_work += 1
        if not self._callback_customers.is_off_the_line(event.contact_id):
            self._start_conversation(event.contact_id)

    def _handed_over(self, event: Event) -> None:
        assert isinstance(event, ContactHandedOver)
        self._answered[event.contact_id] = event.agent_id

    def _start_conversation(self, contact_id: str) -> None:
        """Schedule the end of a conversation that begins now."""
        handle_ms = self._workforce.handle_ms(self._answered[contact_id], self._plans[contact_id])
        lasts_ms = self._returning_customers.start_conversation(contact_id, handle_ms)
        if lasts_ms is not None:
            self._schedule(self.at_ms + lasts_ms, _ScheduledKind.HANDLE_END, contact_id)

    def _offer_ended(self, event: Event) -> None:
        assert isinstance(event, (OfferDeclined, OfferExpired, OfferRescinded))
        self._unanswered_offers.pop(event.offer_id, None)
        self._workforce.add_work(event.agent_id, -1)

    def _assignment_completed(self, event: Event) -> None:
        assert isinstance(event, AssignmentCompleted)
        self._open_work -= 1
        self._workforce.add_work(event.agent_id, -1)

    def _contact_abandoned(self, event: Event) -> None:
        """Schedule the second contact of a customer who calls again, then forget the first."""
        assert isinstance(event, ContactAbandoned)
        plan = self._plans[event.contact_id]
        if plan.redial_after_ms is not None:
            at_ms = self.at_ms + plan.redial_after_ms
            self._redials_made += 1
            again = structs.replace(
                self._submitted.pop(event.contact_id, plan),
                contact_id=f"redial.{self._redials_made}",
                at_ms=at_ms,
                redial_after_ms=None,
            )
            self._redials += 1
            self._schedule(at_ms, _ScheduledKind.REDIAL, again)
        self._contact_ended(event)

    def _contact_ended(self, event: Event) -> None:
        assert isinstance(event, ContactEnded | ContactAbandoned | ContactCancelled | ContactExpired)
        del self._plans[event.contact_id]
        self._answered.pop(event.contact_id, None)
        self._submitted.pop(event.contact_id, None)
        self._callback_customers.forget(event.contact_id)
        self._returning_customers.forget(event.contact_id)

    def _agent_state_changed(self, event: Event) -> None:
        assert isinstance(event, AgentStateChanged)
        self._workforce.on_state_changed(event)
        if self._workforce.is_not_ready_on_shift(event.agent_id) and event.return_at_ms is None:
            delay_ms = self._workforce.behaviour(event.agent_id).ready_again_ms
            self._schedule(self.at_ms + delay_ms, _ScheduledKind.READY_AGAIN, event.agent_id)


def _refusal_text(command: Command, refused: Refused) -> str:
    field = f" at {refused.field}" if refused.field else ""
    what = f"{type(command).__name__} is refused: {refused.code.name.lower()}{field}"
    return f"{what}: the policy does not fit the day"


class HistoryDigest:
    """Run listener that hashes all events. Two runs with the same digest took the same decisions at the same times."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=32)
        self._encode = msgspec.msgpack.Encoder().encode

    def on_arrival(self, plan: PlannedContact) -> None:
        """Ignore the arrival; only events are hashed."""

    def on_outcome(self, command: Command, outcome: Outcome) -> None:
        """Add the events of an outcome to the hash."""
        if outcome.events:
            head = (outcome.first_seq, outcome.at_ms, outcome.events)
            self._hash.update(self._encode(head))

    def hexdigest(self) -> str:
        """Return the hash as 64 hexadecimal digits."""
        return self._hash.hexdigest()
