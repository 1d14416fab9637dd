"""A centre under test: one engine, the reference beside it, and a judge who compares the two after every event and step.

Held here and in ``fold.py``, by number:

I4 a refusal leaves nothing; I7 one owner; I8 one live offer, or as many as the broadcast allows; I9 every offer ends once; I10 and
I11 one accept wins, the losers are told by whom; I12 offers only to those who could take them; I13 none to one who went not ready;
I14 capacity; I15 RONA at its deadline, the place is kept; I16 wrap-up ends once; I17 transfers are atomic; I18 nothing after the
end; I19 TTL and overflow in time; I20 and I21 the first in line goes first; I22 no missed match; I23 waiting changes no order;
I25 seq without gaps; I41 conservation; I42 time never goes back. (I30, replay and restore: ``tests/properties``.)
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from router.core.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.forecasts import ExpectedWait
from router.model.outcome import Done, Outcome
from router.model.policy import (
    AtClosing,
    FactValue,
    Policy,
    Selection,
    WhenClosed,
    WhenFull,
    WhenNobody,
)
from router.model.refusals import RefusalCode, Refused
from router.model.states import (
    AgentState,
    AssignmentRole,
    AssignmentState,
    ContactState,
    OfferState,
    Turn,
)
from router.model.views import AssignmentView
from tests.builders import START_MS, a_policy, published
from tests.core.expected_reference import ahead, qualified, ready_for
from tests.core.fold import RefAgent, RefContact
from tests.core.reference import Reference

# Events after which an agent may perhaps take more than before.
FREEING: Final = (
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
COMINGS: Final = (e.OfferMade, e.ContactAssigned, e.ParticipantAdded)
Ability = tuple[tuple[str, ...], dict[str, int], tuple[str, ...] | None]


class World:
    """Drives an engine by commands and time; every step is judged."""

    def __init__(self, policy: Policy | None = None, engine: Engine | None = None) -> None:
        self.engine = engine or Engine()
        self.reference = Reference()
        self.at_ms = self._rested_at_ms = START_MS
        self.supervised: set[str] = set()
        """Queues that are open or closed by a supervisor's word."""
        self.records: list[tuple[int, int, list[e.Event]]] = []
        self.successors: dict[str, str | None] = {}
        self.asked: list[tuple[int, c.Command]] = []
        if policy is not None:
            self.do(published(policy))

    # --- driving ------------------------------------------------------------------------------------------------------
    def do(self, command: c.Command) -> Outcome:
        """One command, now. The outcome has been judged."""
        self.asked.append((self.at_ms, command))
        due_ms = self.engine.next_deadline_ms()
        timers_were_due = due_ms is not None and due_ms <= self.at_ms
        seq_before, digest_before = self.engine.seq, self.engine.digest()
        before = _Rest(self.reference, self._rested_at_ms)
        outcome = self.engine.handle(command, self.at_ms)

        assert outcome.at_ms == self.at_ms
        assert outcome.first_seq == seq_before + 1 or not outcome.events, "I25: a gap in seq"
        assert self.engine.seq == seq_before + len(outcome.events), "I25: a gap in seq"
        if outcome.events:
            self.records.append((outcome.first_seq, self.at_ms, outcome.events))
        if isinstance(outcome.answer, Refused) and not timers_were_due:
            assert not outcome.events, "I4: a refusal left events"
            assert self.engine.digest() == digest_before, "I4: a refusal changed the state"
        exact = not timers_were_due or isinstance(command, c.AdvanceTime)
        self._judge_events(outcome.events, before, exact=exact)
        self._judge_answer(command, outcome)
        self._judge_rest()
        self._rested_at_ms = self.at_ms
        return outcome

    def done(self, command: c.Command) -> list[e.Event]:
        """One command that must be carried out; its events."""
        outcome = self.do(command)
        assert isinstance(outcome.answer, Done), f"{command} was refused: {outcome.answer}"
        return outcome.events

    def refused(self, command: c.Command) -> Refused:
        """One command that must be refused; why."""
        answer = self.do(command).answer
        assert isinstance(answer, Refused), f"{command} was carried out"
        return answer

    def all_done(self, *commands: c.Command) -> list[e.Event]:
        """Several commands, one after the other."""
        return [event for command in commands for event in self.done(command)]

    def later(self, seconds: float) -> list[e.Event]:
        """Time passes; each timer fires at its own time, as the writer would have it."""
        until_ms = self.at_ms + round(seconds * 1000)
        found: list[e.Event] = []
        while (due_ms := self.engine.next_deadline_ms()) is not None and due_ms <= until_ms:
            self.at_ms = max(self.at_ms, due_ms)
            found += self.do(c.AdvanceTime()).events
        self.at_ms = until_ms
        return found

    def jump(self, seconds: float) -> None:
        """Time passes and nobody tells the engine: what is due fires with the next command."""
        self.at_ms += round(seconds * 1000)

    # --- replay and restore (I30) -------------------------------------------------------------------------------------
    def replayed(self, snapshot: bytes | None = None, after: int = 0) -> Engine:
        """A fresh engine that has read the records with a first seq above ``after``."""
        engine = Engine() if snapshot is None else Engine.restore(snapshot)
        for first_seq, at_ms, events in self.records:
            if first_seq > after:
                engine.replay(events, first_seq, at_ms)
        return engine

    # --- judging ------------------------------------------------------------------------------------------------------
    def _judge_events(self, events: list[e.Event], before: "_Rest", *, exact: bool) -> None:
        reference = self.reference
        previous: e.Event | None = None
        turns: dict[str, int] = {}
        freed: set[str] = set()
        policy_changed = False
        for event in events:
            calls = isinstance(event, e.CallbackDue) and event.for_agent_id is not None
            in_run = isinstance(event, e.OfferMade | e.CallbackDue) or (
                isinstance(event, e.OfferAccepted)
                and isinstance(previous, e.OfferMade)
                and previous.offer_id == event.offer_id
            )
            if not in_run:
                turns = {}
            if isinstance(event, FREEING):
                freed.add(event.agent_id)
            freed |= self._no_longer_called_for(event)
            if isinstance(event, e.PolicyPublished):
                policy_changed = True
            if calls:
                assert isinstance(event, e.CallbackDue)
                turns = turns or {name: agent.idle for name, agent in reference.agents.items()}
                self._judge_call(event, before, turns, freed, exact=exact and not policy_changed)
            if isinstance(event, e.OfferMade):
                turns = turns or {name: agent.idle for name, agent in reference.agents.items()}
                self._judge_offer(event, before, turns, freed, exact=exact and not policy_changed)
            if isinstance(event, e.OfferExpired):
                deadline_ms = reference.offers[event.offer_id].deadline_ms
                assert self.at_ms >= deadline_ms, "I15: expired before its deadline"
            if isinstance(event, e.ContactQueued):
                self._judge_room(event)
                self._judge_rule(event)
            if isinstance(event, e.QueueOpened | e.QueueClosed):
                self.supervised.discard(event.queue_id)
                if event.reason == "supervisor":
                    self.supervised.add(event.queue_id)
            self._judge_successor(event)
            reference.fold(event, self.at_ms)
            if isinstance(event, COMINGS):
                self._judge_capacity(reference.agents[event.agent_id], event)
            previous = event

    def _no_longer_called_for(self, event: e.Event) -> set[str]:
        """Agents for whom another customer may be called after this event."""
        contact = self.reference.contacts.get(getattr(event, "contact_id", ""))
        callback = None if contact is None else contact.callback
        return {callback.for_agent} if callback is not None and callback.for_agent else set()

    def _judge_call(
        self,
        due: e.CallbackDue,
        before: "_Rest",
        turns: dict[str, int],
        freed: Iterable[str],
        *,
        exact: bool,
    ) -> None:
        """A customer is called exactly where another contact would have been offered."""
        reference = self.reference
        contact = reference.live_contact(due.contact_id)
        agent = reference.agents[due.for_agent_id or ""]
        assert due.channel == contact.channel and reference.calls_first(contact)
        assert reference.could_take(agent, contact, self.at_ms), "I12: called for one who could not"
        self._judge_turn(agent, contact, before, turns, freed, None, exact=exact)

    def _judge_offer(
        self,
        made: e.OfferMade,
        before: "_Rest",
        turns: dict[str, int],
        freed: Iterable[str],
        *,
        exact: bool,
    ) -> None:
        reference, at_ms = self.reference, self.at_ms
        contact, agent = reference.live_contact(made.contact_id), reference.agents[made.agent_id]
        assert made.deadline_ms > at_ms, "an offer without time to answer"
        assert made.cfg == reference.policy_version, "I12: decided under an old policy"
        assert made.waited_ms == at_ms - contact.queued_at_ms
        assert (made.channel, made.queue_id) == (contact.channel, contact.queue_id)
        assert made.units == reference.channel(contact.channel).units
        if made.from_agent_id is not None:
            assert reference.could_be_handed(agent, contact, at_ms), "I12/I14: no room for it"
            self._judge_consult(made, contact)
            return
        raised_s, _ = reference.raised(contact)
        queue_s = reference.queue_of(contact).priority_s
        assert made.prio == contact.priority_s + queue_s + raised_s
        assert reference.could_take(agent, contact, at_ms), "I12/I14: offered to one who could not"
        assert not reference.calls_first(contact), "offered before its customer was called"
        assert made.turn is not None, "nobody says whose turn it was"
        assert made.others == len(reference.takers(contact, at_ms)) - 1, "others who could"
        self._judge_values(made, contact, agent)
        self._judge_turn(agent, contact, before, turns, freed, made.turn, exact=exact)

    def _judge_turn(
        self,
        agent: RefAgent,
        contact: RefContact,
        before: "_Rest",
        turns: dict[str, int],
        freed: Iterable[str],
        turn: Turn | None,
        *,
        exact: bool,
    ) -> None:
        reference, at_ms = self.reference, self.at_ms
        looks = {
            Turn.AGENT: (reference.first_for,),
            Turn.CONTACT: (reference.first_in_order_for,),
            None: (reference.first_for, reference.first_in_order_for),
        }
        found = [look(agent, at_ms) for look in looks[turn]]
        first = contact if contact in found else found[0]
        assert first is contact, f"I20/I21: {agent.agent_id} should get {first}, not {contact}"
        if not exact:
            return
        certain = {name for name in reference.agents if before.can_more(reference, name, at_ms)}
        possible = certain | {name for name in freed if name in reference.agents}
        hungry = [
            other
            for name in sorted(certain)
            if reference.first_for(other := reference.agents[name], at_ms) is not None
        ]
        by_his_turn = agent.agent_id in possible and all(
            turns[agent.agent_id] <= turns[other.agent_id] for other in hungry
        )
        first_in_line = next(one for one in reference.in_line() if reference.takers(one, at_ms))
        choice = reference.choice(contact, at_ms)
        by_selection = not hungry and contact is first_in_line and agent is choice
        right: dict[Turn | None, bool] = {Turn.AGENT: by_his_turn, Turn.CONTACT: by_selection}
        assert right.get(turn, by_his_turn or by_selection), (
            f"{contact} went to {agent}; {choice} was to be chosen, or one of {hungry} served first"
        )

    def _judge_values(self, made: e.OfferMade, contact: RefContact, agent: RefAgent) -> None:
        """What is said of him is true of him."""
        reference = self.reference
        queue = reference.queue_of(contact)
        expected: dict[str, FactValue] = {}
        if made.turn is Turn.AGENT:
            if agent.queue_ranks:
                expected = {"queue_rank": agent.queue_ranks.get(contact.queue_id, 5)}
        elif reference.kept_for(contact) is None:
            match reference.selection(contact):
                case Selection.HIGHEST_PROFICIENCY:
                    levels = sum(
                        reference.level_of(agent, skill) for skill in reference.required(contact)
                    )
                    expected = {"levels": levels}
                case Selection.LEAST_FLEXIBLE:
                    expected = {"skills": reference.flexibility(agent)}
                case Selection.LEAST_OCCUPIED:
                    used, units = reference.units_used(agent), reference.units(agent)
                    expected = {"units_used": used, "units": units}
                case Selection.ROUND_ROBIN:
                    expected = {"last_offer_seq": agent.last_offer_seq}
                case Selection.FEWEST_TODAY:
                    expected = {"contacts_today": agent.contacts_today}
                case Selection.WEIGHTED_RANDOM:
                    expected = {"weight": reference.weight(agent, contact)}
                case Selection.BY_FACTS:
                    expected = {
                        step.fact: agent.attributes[step.fact]
                        for step in queue.order_by
                        if not reference.fact(agent, step.fact)[0]
                    }
        assert (made.values or {}) == expected, (
            f"{agent} was chosen for {expected}, not {made.values}"
        )

    def _judge_day(self) -> None:
        """While somebody counts by the day, the day is the one that it is where the workspace is."""
        reference = self.reference
        assert reference.policy is not None
        assert (reference.day is not None) == reference.counts_days()
        if reference.day is None:
            return
        zone = ZoneInfo(reference.policy.zone)
        until_ms = reference.day_until_ms
        dates = [
            datetime.fromtimestamp(at_ms / 1000, zone).date().isoformat()
            for at_ms in (self.at_ms, until_ms - 1, until_ms)
        ]
        assert dates[:2] == [reference.day, reference.day], "another day has begun"
        assert dates[2] > reference.day, "the day goes on too long"

    def _judge_consult(self, made: e.OfferMade, contact: RefContact) -> None:
        reference, (_, command) = self.reference, self.asked[-1]
        is_consult = isinstance(command, c.StartConsult)
        assert (made.role is AssignmentRole.CONSULT) is is_consult, "asked for something else"
        if not isinstance(command, c.StartConsult):
            return
        most = reference.channel(contact.channel).participants_max
        assert reference.beside(contact) < most, "too many in one conversation"
        wanted = command.to_agent_id
        if command.to_queue_id is not None:
            choice = reference.consulted(contact, command.to_queue_id, self.at_ms)
            wanted = None if choice is None else choice.agent_id
        assert made.agent_id == wanted, f"{made.agent_id} is consulted, not {wanted}"

    def _judge_successor(self, event: e.Event) -> None:
        """A participant who is there takes over from an owner whose desktop is gone; else the customer waits again."""
        reference = self.reference
        if isinstance(event, e.AgentStateChanged) and event.reason == "desktop_lost":
            self.successors = {
                contact.contact_id: reference.successor(contact)
                for contact in reference.contacts.values()
                if reference.owner_of(contact) == event.agent_id
            }
        lost = getattr(event, "reason", None) == "lost_desktop"
        if isinstance(event, e.ContactRequeued) and lost:
            assert self.successors[event.contact_id] is None, "somebody could have gone on with it"
        if isinstance(event, e.ContactHandedOver) and lost:
            assert self.successors[event.contact_id] == event.agent_id, "another was to go on"

    def _judge_capacity(
        self, agent: RefAgent, event: e.OfferMade | e.ContactAssigned | e.ParticipantAdded
    ) -> None:
        reference = self.reference
        if isinstance(event, e.ParticipantAdded):
            contact = reference.contacts[event.contact_id]
            most = reference.channel(contact.channel).participants_max
            assert reference.beside(contact) <= most, "too many in one conversation"
        assert reference.units_used(agent) <= reference.units(agent), "I14: capacity exceeded"
        channel = reference.contacts[event.contact_id].channel
        count = sum(item.channel == channel for item in reference.items(agent))
        assert count <= reference.channel_max(agent, channel), "I14: too many of a channel"

    def _judge_room(self, event: e.ContactQueued) -> None:
        """A full queue takes a contact only if somebody can take that one at once."""
        reference = self.reference
        assert reference.policy is not None
        queue = reference.policy.queues[event.queue_id]
        closed = event.queue_id in reference.closed_until
        asked = self.asked[-1][1]
        # Who asks to be called is not on the line: a queue that calls back takes him closed and deserted.
        calls = queue.callback is not None and getattr(asked, "callback", None) is not None
        assert calls or not closed or queue.when_closed is WhenClosed.WAIT, (
            "a closed queue took a contact"
        )
        assert event.hops <= reference.policy.overflow_hops_max, "it overflows too often"
        full = queue.length_max is not None and self._length(event.queue_id) >= queue.length_max
        if not full and (calls or closed or queue.when_nobody is WhenNobody.WAIT):
            return
        contact = RefContact(
            event.contact_id,
            event.channel,
            event.queue_id,
            self.at_ms,
            reference.seq + 1,
            event.skills,
            event.priority_s,
            event.strict_class,
            None,
            None,
            plan=event.plan,
            step=event.step,
            named=event.preferred_agents,
            last=event.last_agent_id,
        )
        if not calls and not closed and queue.when_nobody is not WhenNobody.WAIT:
            assert reference.is_anybody_ready(contact), "taken, though nobody is there"
        if full:
            assert not closed, "a contact was put into a full queue that is closed"
            assert reference.takers(contact, self.at_ms), "a contact was put into a full queue"

    def _judge_rule(self, event: e.ContactQueued) -> None:
        """The first rule that holds decides, and those that failed before it are told."""
        reference = self.reference
        assert reference.policy is not None
        if event.rule is None and not event.by_default:
            assert not event.failed_rules, "a queue that was named, and rules that failed"
            return
        rule, failed = reference.classified(event.channel, event.attributes, self.at_ms)
        assert event.rule == (None if rule is None else rule.name), f"not by {event.rule}: {rule}"
        assert event.failed_rules == failed, f"failed: {event.failed_rules}, not {failed}"
        if rule is not None:
            assert all(event.skills[skill] >= level for skill, level in rule.skills.items())
        wanted = reference.policy.default_queue if rule is None else rule.queue
        assert wanted is not None
        if reference.policy.queues[wanted].when_full is WhenFull.REFUSE:
            assert event.queue_id == wanted, f"{event.queue_id} is not what the rule says"

    def _length(self, queue_id: str) -> int:
        return sum(
            contact.queue_id == queue_id and contact.state is ContactState.QUEUED
            for contact in self.reference.contacts.values()
        )

    def _judge_answer(self, command: c.Command, outcome: Outcome) -> None:
        answer, reference = outcome.answer, self.reference
        if isinstance(command, c.EnqueueContact) and isinstance(answer, Done):
            for event in outcome.events:
                if isinstance(event, e.ContactQueued) and event.contact_id == command.contact_id:
                    was_asked = event.rule is not None or event.by_default
                    assert was_asked == (command.queue_id is None), "rules were asked for nothing"
        match command:
            case c.AcceptOffer():
                self._judge_accept(command, outcome)
            case c.StartConsult() if isinstance(answer, Refused) and not outcome.events:
                self._judge_no_consult(command, answer)
            case c.SetAgentState() if isinstance(answer, Done):
                self._judge_not_ready(command)
            case c.EnqueueContact(queue_id=str(queue_id)) if isinstance(answer, Refused):
                if answer.code is RefusalCode.QUEUE_FULL:
                    assert reference.policy is not None
                    queue = reference.policy.queues[queue_id]
                    sent_on = queue_id in reference.closed_until or (
                        queue.when_nobody is WhenNobody.OVERFLOW
                    )
                    if sent_on and self._overflows(queue_id):
                        return
                    assert queue.length_max is not None, "refused by a queue without limit"
                    if queue.when_full is WhenFull.REFUSE:
                        assert self._length(queue_id) >= queue.length_max, "refused with room left"
                elif answer.code is RefusalCode.QUEUE_CLOSED and not self._overflows(queue_id):
                    assert queue_id in reference.closed_until, "closed, it says, and is open"
                    assert answer.opens_at_ms == reference.closed_until[queue_id]
                elif answer.code is RefusalCode.NOBODY_THERE and not self._overflows(queue_id):
                    assert queue_id not in reference.closed_until
        if isinstance(answer, Done):
            assert 0 <= answer.seq <= self.engine.seq
            if answer.replayed and not outcome.events:
                assert answer.seq < outcome.first_seq, "a repeat names the first time"

    def _overflows(self, queue_id: str) -> bool:
        assert self.reference.policy is not None
        return self.reference.policy.queues[queue_id].overflow_to is not None

    def _judge_no_consult(self, command: c.StartConsult, answer: Refused) -> None:
        """Nobody is refused who could have had his consult."""
        reference = self.reference
        contact = reference.contacts.get(command.contact_id)
        if contact is None or contact.state is not ContactState.ASSIGNED:
            return
        match answer.code:
            case RefusalCode.AGENT_UNAVAILABLE if command.to_queue_id is not None:
                assert reference.consulted(contact, command.to_queue_id, self.at_ms) is None
            case RefusalCode.AGENT_UNAVAILABLE:
                agent = reference.agents[command.to_agent_id or ""]
                assert not reference.could_be_handed(agent, contact, self.at_ms)
            case RefusalCode.PARTICIPANTS_LIMIT:
                most = reference.channel(contact.channel).participants_max
                assert reference.beside(contact) >= most
            case RefusalCode.CONSULT_STATE:
                asked = [offer.role for offer in reference.live_offers(contact)]
                assert reference.consults(contact) or AssignmentRole.CONSULT in asked

    def _judge_accept(self, command: c.AcceptOffer, outcome: Outcome) -> None:
        reference, answer = self.reference, outcome.answer
        accepts = [
            event
            for event in outcome.events
            if isinstance(event, e.OfferAccepted) and event.offer_id == command.offer_id
        ]
        offer = reference.offers.get(command.offer_id)
        if isinstance(answer, Done):
            assert offer is not None and offer.state is OfferState.ACCEPTED, "I11"
            assert offer.agent_id == command.agent_id, "I11: accepted by a stranger"
            assert len(accepts) == (0 if answer.replayed else 1), "I11"
        elif answer.code is RefusalCode.OFFER_GONE:
            assert offer is not None and offer.state is not OfferState.PENDING, "I10"
            assert answer.seq == offer.end_seq, "I10: the loser is told another winner"

    def _judge_not_ready(self, command: c.SetAgentState) -> None:
        reference = self.reference
        agent = reference.agents[command.agent_id]
        assert reference.policy is not None
        if command.state is not AgentState.READY and reference.policy.agents.rescind_when_not_ready:
            mine = [offer for offer in reference.pending() if offer.agent_id == agent.agent_id]
            assert not mine, "I13: not ready, and an offer lives on"
        if not command.after_work:
            assert agent.next_state is None, "a state set at once empties the slot"
            assert agent.state is command.state

    def _judge_rest(self) -> None:
        """What holds whenever the engine is at rest."""
        reference = self.reference
        if reference.policy is None:
            return
        self._judge_day()
        for contact in reference.contacts.values():
            self._judge_contact(contact)
        for work in reference.open_work():
            if work.state is AssignmentState.WRAP_UP:
                assert work.wrap_up_deadline_ms is not None
                assert work.wrap_up_deadline_ms > self.at_ms, "I16: wrap-up goes on too long"
                continue
            if work.parked_until_ms is not None:
                assert work.parked_until_ms > self.at_ms, "parked beyond its time"
            contact = reference.contacts[work.contact_id]
            mine = (contact.owner, *contact.others)
            assert work.assignment_id in mine, "I7: work without its contact"
        for offer in reference.pending():
            assert offer.deadline_ms > self.at_ms, "I15: an offer lives beyond its deadline"
        self._judge_hours()
        missed = reference.missed_matches(self.at_ms)
        assert not missed, f"I22: could be matched and is not: {missed}"
        assert self.engine.check() == [], "the engine's own invariants"
        due_ms = self.engine.next_deadline_ms()
        assert due_ms is None or due_ms > self.at_ms, "I15/I19: a due timer was left behind"

    def _judge_hours(self) -> None:
        """Every queue is as its table says, but for a supervisor's word; who is held back, waits for an opening."""
        reference, engine = self.reference, self.engine
        assert reference.policy is not None
        for queue_id, queue in reference.policy.queues.items():
            view = engine.queue(queue_id)
            assert view is not None and view.is_open == (queue_id not in reference.closed_until)
            look_ms = reference.next_look.get(queue_id)
            assert look_ms is None or look_ms > self.at_ms, "the time of a change has passed"
            calendar = reference.policy.calendars.get(queue.hours or "")
            if queue_id in self.supervised or (
                calendar and (calendar.zone != "UTC" or calendar.dates or calendar.holidays)
            ):
                continue  # Special days and other zones are judged by tests of their own.
            assert view.is_open == reference.is_open_by_the_table(queue_id, self.at_ms), queue_id
            if look_ms is not None:
                before, after = look_ms - 1, look_ms
                assert reference.is_open_by_the_table(queue_id, before) == view.is_open
                assert reference.is_open_by_the_table(queue_id, after) != view.is_open
        for contact in reference.contacts.values():
            closing = reference.closing.get(contact.queue_id)
            if (
                contact.state is ContactState.QUEUED
                and contact.queue_id in reference.closed_until
                and closing in (AtClosing.EXPIRE, AtClosing.WAIT)
                and closing is reference.queue_of(contact).at_closing
            ):
                assert contact.held or contact.came_back, f"{closing}: it is still in line"
            if contact.nobody_there and contact.state is ContactState.QUEUED:
                closed = contact.queue_id in reference.closed_until
                assert contact.held == closed, "a callback waits for the opening, and no longer"
            away = contact.state is ContactState.CALLBACK_SCHEDULED
            assert not (contact.held and away), "held back in no line"
            if contact.held and not contact.state.is_terminal:
                assert contact.queue_id in reference.closed_until, "held back by an open queue"

    def _judge_contact(self, contact: RefContact) -> None:
        reference = self.reference
        live = reference.live_offers(contact)
        match contact.state:
            case ContactState.QUEUED:
                assert not live, "I8: waiting, with an offer"
                late_ms = contact.wait_until_ms
                assert late_ms is None or late_ms > self.at_ms, "I19: waits too long in its queue"
                over_ms = contact.step_until_ms
                assert over_ms is None or over_ms > self.at_ms, "a step lasts too long"
                if not contact.held and reference.is_preferred_step(contact):
                    assert reference.somebody_is_there(contact), "kept for somebody who is away"
            case ContactState.OFFERED:
                assert live, "I9: offered, without an offer"
            case ContactState.CALLBACK_SCHEDULED:
                assert not live, "I8: away, with an offer"
                assert contact.callback is not None and contact.callback.due_at_ms is not None
                assert contact.callback.due_at_ms > self.at_ms, "I19: its time was missed"
            case ContactState.ASSIGNED:
                assert contact.owner is not None, "I7: nobody has it"
                work = reference.assignments[contact.owner]
                from_owner = all(offer.from_agent_id == work.agent_id for offer in live)
                assert from_owner and len(live) <= 1, "I8: taken, and offered"
                held = work.held_for_consult and work.state is AssignmentState.ON_HOLD
                assert not held or reference.consults(contact), "on hold for a consult that is over"
            case _:
                assert not live, "I18: over, and offered"
                return
        if contact.state is not ContactState.ASSIGNED:
            assert not contact.others, "I7: in a conversation that nobody owns"
            ttl_ms = contact.ttl_at_ms
            assert ttl_ms is None or ttl_ms > self.at_ms, "I19: lives beyond its time"
            assert contact.owner is None, "I17: waiting, with an owner"


class _Rest:
    """What every agent could take when the engine was last at rest."""

    def __init__(self, reference: Reference, at_ms: int) -> None:
        self._abilities = (
            {name: _ability(reference, agent, at_ms) for name, agent in reference.agents.items()}
            if reference.policy is not None
            else {}
        )

    def can_more(self, reference: Reference, name: str, at_ms: int) -> bool:
        """True if the agent can now take something of a kind that he could not take then."""
        old = self._abilities.get(name, ((), {}, ()))
        new = _ability(reference, reference.agents[name], at_ms)
        if not new[0]:
            return False
        more_queues = old[2] is not None and (new[2] is None or not set(new[2]) <= set(old[2]))
        more_skills = any(level > old[1].get(skill, 0) for skill, level in new[1].items())
        return not set(new[0]) <= set(old[0]) or more_queues or more_skills


def _ability(reference: Reference, agent: RefAgent, at_ms: int) -> Ability:
    assert reference.policy is not None
    channels = tuple(
        channel
        for channel in sorted(reference.policy.channels)
        if reference.is_open(agent)
        and reference.channel_max(agent, channel) > 0
        and reference.fits(agent, channel)
        and reference.is_open_for(agent, channel, at_ms)
    )
    return channels, dict(agent.skills), agent.queues


def a_world(policy: Policy | None = None, *commands: c.Command) -> World:
    """A world with a policy in force, in which these commands have been carried out."""
    world = World(policy or a_policy())
    world.all_done(*commands)
    return world


def compare_views(world: World) -> None:
    """What the engine shows is what the reference knows (I41 and the answers of ``why``)."""
    engine, reference = world.engine, world.reference
    if reference.policy is None:
        return
    counts = engine.workspace().counts
    states = [contact.state for contact in reference.contacts.values()]
    assert counts.submitted == reference.submitted, "I41"
    assert counts.queued == states.count(ContactState.QUEUED), "I41"
    assert counts.offered == states.count(ContactState.OFFERED), "I41"
    assert counts.assigned == states.count(ContactState.ASSIGNED), "I41"
    assert counts.callback_scheduled == states.count(ContactState.CALLBACK_SCHEDULED), "I41"
    for state, count in reference.ended.items():
        assert getattr(counts, state.value) == count, "I41"
    for queue_id in reference.policy.queues:
        queue = engine.queue(queue_id)
        assert queue is not None and queue.waiting == world._length(queue_id), "I41"
    for name, agent in reference.agents.items():
        view = engine.agent(name)
        assert view is not None
        assert (view.state, view.presence, view.next_state) == (
            agent.state,
            agent.presence,
            agent.next_state,
        )
        capacity = (reference.units(agent), reference.units_used(agent))
        assert (view.units, view.units_used) == capacity, f"{view}: {reference.items(agent)}"
        assert view.queue_ranks == agent.queue_ranks
        assert view.contacts_today == (None if reference.day is None else agent.contacts_today), (
            "I41"
        )
        assert {work.assignment_id for work in view.assignments} == {
            work.assignment_id for work in reference.open_work(agent)
        }
        for work in view.assignments:
            _compare_conversation(world, work)
        abilities = list(_ability(reference, agent, engine.at_ms)[0])
        assert sorted(view.can_take) == abilities, f"{view} could take {abilities}"
    _compare_rules(world)
    _compare_waiting(world, engine.at_ms)
    _compare_callbacks(world)


def _compare_callbacks(world: World) -> None:
    engine, reference = world.engine, world.reference
    called = [one.callback.for_agent for one in reference.contacts.values() if one.callback]
    named = [name for name in called if name is not None]
    assert len(named) == len(set(named)), "I22: two customers are called for one agent"
    for contact in reference.contacts.values():
        view = engine.contact(contact.contact_id)
        if view is None or contact.state.is_terminal:
            continue
        assert (view.callback is None) == (contact.callback is None)
        if view.callback is None or contact.callback is None:
            continue
        assert view.callback.due_at_ms == contact.callback.due_at_ms
        assert view.callback.attempts == contact.callback.attempts
        assert (view.callback.phase == "dialling") == contact.callback.dialling
        assert (view.callback.phase == "connected") == contact.callback.on_the_line
        why = engine.why(contact.contact_id)
        if contact.state is ContactState.CALLBACK_SCHEDULED:
            assert why is not None and why.reason == f"callback_{view.callback.phase}"
            assert view.position is None and not why.could_take_now


def _compare_conversation(world: World, work: AssignmentView) -> None:
    """Both sides of a membership, the contact's and the agent's, are what the log says."""
    reference = world.reference
    contact = reference.contacts[work.contact_id]
    roles = dict(contact.others)
    if contact.owner is not None:
        roles[contact.owner] = AssignmentRole.OWNER
    told = {reference.assignments[name].agent_id: role for name, role in roles.items()}
    if work.assignment_id in roles:
        assert work.role is roles[work.assignment_id]
        assert work.members == (told if contact.others else {})
    else:
        assert not work.members, "he has left it"
    view = world.engine.contact(work.contact_id)
    if view is not None and contact.owner is not None:
        assert view.assignment_id == contact.owner
        assert {one.assignment_id: one.role for one in view.participants} == contact.others


def _compare_rules(world: World) -> None:
    """The counts of the rules are those of the events since the policy came into force."""
    queued: list[e.ContactQueued] = []
    for _, _, events in world.records:
        for event in events:
            if isinstance(event, e.PolicyPublished):
                queued = []
            elif isinstance(event, e.ContactQueued) and (event.rule or event.by_default):
                queued.append(event)
    view = world.engine.rules()
    assert view.classified == len(queued)
    assert view.by_default == sum(event.by_default for event in queued)
    for rule in view.rules:
        assert rule.matched == sum(event.rule == rule.name for event in queued)
        assert rule.failed == sum(rule.name in event.failed_rules for event in queued)


def _compare_waiting(world: World, at_ms: int) -> None:
    engine, reference = world.engine, world.reference
    waiting = [
        contact
        for contact in reference.contacts.values()
        if contact.state in (ContactState.QUEUED, ContactState.OFFERED)
    ]
    in_line = reference.in_line()
    for contact in waiting:
        view, why = engine.contact(contact.contact_id), engine.why(contact.contact_id)
        assert view is not None and why is not None
        assert view.state is contact.state and view.queue_id == contact.queue_id
        assert (view.held, view.hops) == (contact.held, contact.hops)
        if contact.held and contact.state is ContactState.QUEUED:
            assert why.reason == "queue_closed"
        if contact.state is ContactState.QUEUED:
            line = [other for other in in_line if other.queue_id == contact.queue_id]
            place = 1 + line.index(contact)
            assert view.position == place, f"I23: {view.position} in {line}"
            _compare_expected_wait(reference, contact, view.expected_wait)
            assert why.expected_wait == view.expected_wait
        for name, agent in reference.agents.items():
            one = engine.why_agent(contact.contact_id, name)
            assert one is not None
            could = contact in in_line and reference.could_take(agent, contact, at_ms)
            assert one.could_take_now == could, f"why: {one}, but the rules say {could}"
            assert one.could_take_now == (not one.lacks)


def _compare_expected_wait(
    reference: Reference, contact: RefContact, found: ExpectedWait | None
) -> None:
    assert found is not None
    if contact.held:
        assert found.reason == "queue_closed" and found.p50_ms is None
    elif not qualified(reference, contact):
        assert found.reason == "nobody_qualified"
    elif not ready_for(reference, contact):
        assert found.reason == "nobody_ready"
    elif found.agents:
        assert found.reason is None and found.p50_ms is not None and found.p90_ms is not None
        half, most = found.interval_50, found.interval_90
        assert half is not None and most is not None
        assert 0 <= most.low_ms <= half.low_ms <= found.p50_ms <= half.high_ms <= most.high_ms
        assert half.high_ms <= found.p90_ms <= most.high_ms
        assert found.agents == len(ready_for(reference, contact))
        true = ahead(reference, contact)
        assert abs(found.ahead - true) < 0.01, f"{found.ahead} are ahead of {contact}, not {true}"
