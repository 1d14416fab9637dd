"""A centre under test: one engine, the reference beside it, and a judge who compares the two after every event and step.

Held here and in ``fold.py``, by number:

I4 a refusal leaves nothing; I7 one owner; I8 one live offer, or as many as the broadcast allows; I9 every offer ends once; I10 and
I11 one accept wins, the losers are told by whom; I12 offers only to those who could take them; I13 none to one who went not ready;
I14 capacity; I15 RONA at its deadline, the place is kept; I16 wrap-up ends once; I17 transfers are atomic; I18 nothing after the
end; I19 TTL and overflow in time; I20 and I21 the first in line goes first; I22 no missed match; I23 waiting changes no order;
I25 seq without gaps; I41 conservation; I42 time never goes back. (I30, replay and restore: ``tests/properties``.)
"""

from collections.abc import Iterable
from typing import Final

from router.core.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.outcome import Done, Outcome
from router.model.policy import (
    Policy,
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
from tests.builders import START_MS, a_policy, published
from tests.core.abilities import Rest
from tests.core.comparing import compare_views
from tests.core.fold import RefAgent, RefContact
from tests.core.judging import judge_contact, judge_day, judge_hours, judge_values
from tests.core.reference import Reference

__all__ = ["World", "a_world", "compare_views"]

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
        before = Rest(self.reference, self._rested_at_ms)
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
    def _judge_events(self, events: list[e.Event], before: Rest, *, exact: bool) -> None:
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
        before: Rest,
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
        before: Rest,
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
        judge_values(reference, made, contact, agent)
        self._judge_turn(agent, contact, before, turns, freed, made.turn, exact=exact)

    def _judge_turn(
        self,
        agent: RefAgent,
        contact: RefContact,
        before: Rest,
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
        full = (
            queue.length_max is not None
            and self.reference.length(event.queue_id) >= queue.length_max
        )
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
        for _ in range(event.hops):
            wanted = reference.policy.queues[wanted].overflow_to
            assert wanted is not None, "more overflows than there are"
        assert event.queue_id == wanted, f"{event.queue_id} is not what the rule says"

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
                        assert self.reference.length(queue_id) >= queue.length_max, (
                            "refused with room left"
                        )
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
        judge_day(reference, self.at_ms)
        for contact in reference.contacts.values():
            judge_contact(reference, contact, self.at_ms)
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
        judge_hours(reference, self.engine, self.supervised, self.at_ms)
        missed = reference.missed_matches(self.at_ms)
        assert not missed, f"I22: could be matched and is not: {missed}"
        assert self.engine.check() == [], "the engine's own invariants"
        due_ms = self.engine.next_deadline_ms()
        assert due_ms is None or due_ms > self.at_ms, "I15/I19: a due timer was left behind"


def a_world(policy: Policy | None = None, *commands: c.Command) -> World:
    """A world with a policy in force, in which these commands have been carried out."""
    world = World(policy or a_policy())
    world.all_done(*commands)
    return world
