"""What the published events say, folded into plain dicts; written from docs/routing.md and from nothing else.

Complains (AssertionError, with the invariant's number) about an event that cannot follow what was before. It knows what
things are, not who may take what: that is ``reference.py``.
"""

from router.model import events as e
from router.model.policy import (
    AtClosing,
    CallbackPlace,
)
from router.model.states import (
    AgentState,
    AssignmentRole,
    AssignmentState,
    ContactState,
    OfferState,
    Presence,
)
from tests.core.known import OFFER_ENDS, TERMINAL, Known
from tests.core.records import RefAgent, RefAssignment, RefContact, RefOffer
from tests.core.ref_callback import RefCallback

__all__ = ["Fold", "RefAgent", "RefAssignment", "RefContact", "RefOffer"]


class Fold(Known):
    """Everything that has happened, in plain words."""

    # --- the fold -----------------------------------------------------------------------------------------------------
    def fold(self, event: e.Event, at_ms: int) -> None:
        """Take in the next event. AssertionError: it cannot follow what was before."""
        assert at_ms >= self.at_ms, "I42: time went back"
        self.seq += 1
        self.at_ms = at_ms
        match event:
            case (
                e.ContactAbandoned() | e.ContactCancelled() | e.ContactExpired() | e.ContactEnded()
            ):
                self._contact_is_over(event)
            case (
                e.ContactQueued()
                | e.ContactUpdated()
                | e.ContactRequeued()
                | e.ContactOverflowed()
                | e.ContactRelaxed()
                | e.ContactStepEntered()
                | e.ContactAssigned()
            ):
                self._fold_contact(event)
            case (
                e.ParticipantAdded()
                | e.ParticipantJoined()
                | e.ParticipantLeft()
                | e.ContactHandedOver()
            ):
                self._fold_conference(event)
            case (
                e.OfferMade()
                | e.OfferAccepted()
                | e.OfferDeclined()
                | e.OfferExpired()
                | e.OfferRescinded()
            ):
                self._fold_offer(event)
            case (
                e.AssignmentHeld()
                | e.AssignmentResumed()
                | e.AssignmentParked()
                | e.AssignmentUnparked()
                | e.WrapUpStarted()
                | e.WrapUpExtended()
                | e.AssignmentCompleted()
            ):
                self._fold_assignment(event)
            case e.PolicyPublished():
                assert event.version == self.policy_version + 1, "policy versions count up by one"
                self.policy, self.policy_version = event.policy, event.version
                self._forget_what_no_cap_asks_for()
                for name in [name for name in self.closed_until if name not in event.policy.queues]:
                    del self.closed_until[name]
                for name in [name for name in self.next_look if name not in event.policy.queues]:
                    del self.next_look[name]
                for contact in self.contacts.values():
                    if contact.state in (ContactState.ASSIGNED, ContactState.CALLBACK_SCHEDULED):
                        contact.queue_id = event.drain_to.get(contact.queue_id, contact.queue_id)
                if not self.counts_days():
                    self._count_anew(None, 0)
            case e.DayBegan():
                assert self.counts_days(), "a day begins and nobody asks for it"
                assert event.until_ms > at_ms, "a day that is over begins"
                self._count_anew(event.day, event.until_ms)
            case e.ShadowPolicySet() | e.ShadowPolicyCleared():
                pass  # It decides nothing.
            case e.QueueOpened() | e.QueueClosed():
                self._fold_queue(event)
            case (
                e.CallbackRequested()
                | e.CallbackScheduled()
                | e.CallbackDue()
                | e.CallbackConnected()
                | e.CallbackFailed()
            ):
                self._fold_callback(event)
            case _:
                self._fold_agent(event)

    def _count_anew(self, day: str | None, until_ms: int) -> None:
        self.day, self.day_until_ms = day, until_ms
        for agent in self.agents.values():
            agent.contacts_today = 0

    def _fold_queue(self, event: e.QueueOpened | e.QueueClosed) -> None:
        assert self.policy is not None
        assert event.queue_id in self.policy.queues, "a queue that is not there opens or closes"
        assert event.until_ms is None or event.until_ms > self.at_ms, "changes in the past"
        self.next_look.pop(event.queue_id, None)
        if event.until_ms is not None:
            self.next_look[event.queue_id] = event.until_ms
        waiting = [
            contact
            for contact in self.contacts.values()
            if contact.queue_id == event.queue_id
            and contact.state in (ContactState.QUEUED, ContactState.OFFERED)
        ]
        if isinstance(event, e.QueueOpened):
            self.closed_until.pop(event.queue_id, None)
            for contact in waiting:
                if contact.held:
                    contact.held = False
                    contact.wait_until_ms = None if contact.nobody_there else event.wait_until_ms
            return
        was_closed = event.queue_id in self.closed_until
        assert not (event.holds and was_closed), "held back at a closing that is none"
        self.closed_until[event.queue_id] = event.until_ms
        if not was_closed:
            self.closing[event.queue_id] = self.policy.queues[event.queue_id].at_closing
            expected = self.closing[event.queue_id] is AtClosing.WAIT
            assert event.holds == expected, "held back, or not, against at_closing"
        for contact in waiting:
            if event.holds or contact.nobody_there:
                contact.held, contact.wait_until_ms, contact.step_until_ms = True, None, None

    def _fold_contact(self, event: e.Event) -> None:
        match event:
            case e.ContactQueued():
                known = self.contacts.get(event.contact_id)
                assert known is None or known.state.is_terminal, "a live contact is queued again"
                assert event.cfg == self.policy_version
                self.submitted += 1
                for pair in [pair for pair in self.cool_downs if pair[0] == event.contact_id]:
                    del self.cool_downs[pair]
                self.contacts[event.contact_id] = RefContact(
                    event.contact_id,
                    event.channel,
                    event.queue_id,
                    self.at_ms,
                    self.seq,
                    event.skills,
                    event.priority_s,
                    event.strict_class,
                    event.ttl_at_ms,
                    event.wait_until_ms,
                    hops=event.hops,
                    held=event.queue_id in self.closed_until,
                    plan=event.plan,
                    step=event.step,
                    step_until_ms=event.step_until_ms,
                    named=event.preferred_agents,
                    last=event.last_agent_id,
                )
            case e.ContactUpdated():
                contact = self.live_contact(event.contact_id)
                contact.skills = event.skills
                contact.priority_s = event.priority_s
                contact.strict_class = event.strict_class
                contact.named = event.preferred_agents
                if contact.owner is not None:
                    self._judge_members(contact, event.members)
            case e.ContactRequeued():
                self._requeue(event)
            case e.ContactOverflowed():
                contact = self.live_contact(event.contact_id)
                assert contact.state is ContactState.QUEUED, "only a waiting contact overflows"
                assert contact.queue_id == event.from_queue_id
                contact.queue_id, contact.wait_until_ms = event.queue_id, event.wait_until_ms
                contact.hops += event.hops
                contact.held = event.queue_id in self.closed_until
                assert self.policy is not None
                assert contact.hops <= self.policy.overflow_hops_max, "it overflows too often"
                self._take_step(contact, event)
            case e.ContactStepEntered():
                contact = self.live_contact(event.contact_id)
                assert contact.state is not ContactState.ASSIGNED, "who has an agent does not wait"
                assert contact.queue_id == event.queue_id
                contact.step, contact.step_until_ms = event.step, event.step_until_ms
            case e.ContactRelaxed():
                self.live_contact(event.contact_id).preferred = None
            case e.ContactAssigned():
                contact = self.live_contact(event.contact_id)
                assert not self.live_offers(contact), (
                    "I17: assigned while somebody else has an offer"
                )
                self._hand_over(contact, event.from_assignment_id, event.from_agent_id)
                assert not self.consults(contact), "a consult outlives the owner who asked"
                self._take(
                    contact,
                    RefAssignment(
                        event.assignment_id,
                        contact.contact_id,
                        event.agent_id,
                        contact.channel,
                        event.units,
                    ),
                )
                self._judge_members(contact, event.members)

    def _fold_callback(self, event: e.Event) -> None:
        assert isinstance(
            event,
            e.CallbackRequested
            | e.CallbackScheduled
            | e.CallbackDue
            | e.CallbackConnected
            | e.CallbackFailed,
        )
        contact = self.live_contact(event.contact_id)
        if isinstance(event, e.CallbackRequested):
            assert contact.callback is None, "a callback becomes one again"
            assert contact.owner is None and not self.live_offers(contact), "I8: offered, or taken"
            assert event.queue_id == contact.queue_id
            contact.callback = RefCallback(event.mode, event.place, event.expires_at_ms)
            contact.state, contact.channel = ContactState.QUEUED, event.channel
            contact.ttl_at_ms, contact.wait_until_ms = event.expires_at_ms, None
            self._hold_if_closed(contact)
            return
        callback = contact.callback
        assert callback is not None, "it is no callback"
        owner = contact.owner and self.assignments[contact.owner].agent_id
        match event:
            case e.CallbackScheduled():
                assert event.due_at_ms > self.at_ms
                contact.state, contact.held = ContactState.CALLBACK_SCHEDULED, False
                callback.scheduled_at_ms = callback.due_at_ms = event.due_at_ms
            case e.CallbackDue():
                assert not callback.dialling and not callback.on_the_line, "called twice at once"
                assert event.attempt == callback.attempts + 1, "attempts count up by one"
                assert event.agent_id == owner, "called for one who has it not"
                assert (event.for_agent_id is None) == (owner is not None)
                callback.attempts, callback.dialling = event.attempt, True
                callback.for_agent, callback.due_at_ms = event.for_agent_id, event.deadline_ms
                if owner is None:
                    contact.state = ContactState.CALLBACK_SCHEDULED
            case e.CallbackConnected() | e.CallbackFailed():
                assert callback.dialling, "the outcome of no call"
                assert (event.attempt, event.agent_id) == (callback.attempts, owner)
                callback.dialling, callback.for_agent, callback.due_at_ms = False, None, None
                if isinstance(event, e.CallbackConnected):
                    callback.on_the_line, contact.ttl_at_ms = True, None
                    if owner is None:
                        contact.state, contact.came_back = ContactState.QUEUED, True
                        contact.wait_until_ms = event.wait_until_ms
                    return
                assert event.assignment_id == contact.owner, "I17: it is another's"
                contact.state, contact.owner = ContactState.CALLBACK_SCHEDULED, None
                callback.due_at_ms, contact.ttl_at_ms = event.due_at_ms, callback.expires_at_ms

    def _requeue(self, event: e.ContactRequeued) -> None:
        contact = self.live_contact(event.contact_id)
        assert event.orig_seq == contact.orig_seq, "I15: a requeued contact keeps its place"
        if contact.state is ContactState.ASSIGNED:
            assert contact.owner is not None
            owner = self.assignments[contact.owner].agent_id
            assert event.agent_id == owner, "I17: the one who loses it is not its owner"
            self._hand_over(contact, contact.owner, owner)
        assert not self.live_offers(contact), "I9: requeued with a live offer"
        assert not contact.others, "I17: requeued while somebody is in the conversation"
        contact.state = ContactState.QUEUED
        contact.came_back = contact.came_back or event.reason == "lost_desktop"
        put_there = event.reason in ("transferred", "supervisor", "drained")
        if put_there or event.queue_id != contact.queue_id:
            contact.held = event.queue_id in self.closed_until
        contact.queue_id, contact.wait_until_ms = event.queue_id, event.wait_until_ms
        contact.preferred = event.preferred_agent_id
        self._take_step(contact, event)
        self._cool_down(event.contact_id, event.agent_id, event.cool_down_until_ms)
        callback = contact.callback
        if event.queued_at_ms is not None:
            assert callback is not None and callback.place is CallbackPlace.AT_DUE, "I15: its age"
            assert event.queued_at_ms == callback.scheduled_at_ms == callback.due_at_ms
            contact.queued_at_ms = event.queued_at_ms
        if callback is not None and not callback.on_the_line:
            assert event.wait_until_ms is None, "a callback leaves no queue by waiting"
            callback.dialling, callback.for_agent, callback.due_at_ms = False, None, None
            contact.ttl_at_ms = callback.expires_at_ms
            self._hold_if_closed(contact)

    def _hold_if_closed(self, contact: RefContact) -> None:
        """A callback that comes into line waits for the opening, and its plan with it."""
        if contact.queue_id in self.closed_until:
            contact.held, contact.step_until_ms = True, None

    @staticmethod
    def _take_step(contact: RefContact, event: e.ContactRequeued | e.ContactOverflowed) -> None:
        contact.plan, contact.step = event.plan, event.step
        contact.step_until_ms = event.step_until_ms

    def _contact_is_over(
        self, event: e.ContactAbandoned | e.ContactCancelled | e.ContactExpired | e.ContactEnded
    ) -> None:
        contact = self.live_contact(event.contact_id)
        assert not contact.others, "I7: over while somebody is in the conversation"
        state = TERMINAL[type(event)]
        if isinstance(event, e.ContactEnded):
            assert contact.owner == event.assignment_id, "I7: ended by somebody who has it not"
        else:
            assert contact.state is not ContactState.ASSIGNED, "an answered contact only ends"
        if contact.callback is not None:
            contact.callback.for_agent = None
            if isinstance(event, e.ContactAbandoned):
                assert contact.callback.on_the_line, "one who is not on the line hangs up"
        contact.state, contact.owner = state, None
        self.ended[state] += 1

    def _fold_offer(self, event: e.Event) -> None:
        if isinstance(event, e.OfferMade):
            assert event.offer_id not in self.offers, "I9: an offer is made twice"
            contact = self.live_contact(event.contact_id)
            live = self.live_offers(contact)
            if event.from_agent_id is None:
                assert contact.state is not ContactState.ASSIGNED, "I7: it has an owner"
                assert len(live) < self.queue_of(contact).broadcast, "I8: too many live offers"
                contact.state = ContactState.OFFERED
            else:
                assert not live, "I8: two offers of a transfer"
                assert contact.owner is not None
                assert self.assignments[contact.owner].agent_id == event.from_agent_id, "I7"
            self.agents[event.agent_id].last_offer_seq = self.seq
            self.offers[event.offer_id] = RefOffer(
                event.offer_id,
                event.contact_id,
                event.agent_id,
                event.channel,
                event.units,
                event.deadline_ms,
                event.from_agent_id,
                event.role,
            )
            return
        assert isinstance(
            event, e.OfferAccepted | e.OfferDeclined | e.OfferExpired | e.OfferRescinded
        )
        offer = self.offers[event.offer_id]
        assert offer.state is OfferState.PENDING, "I9: an offer ends twice"
        pair = (event.contact_id, event.agent_id)
        assert (offer.contact_id, offer.agent_id) == pair, "I11: it is not theirs"
        offer.state, offer.end_seq = OFFER_ENDS[type(event)], self.seq
        if isinstance(event, e.OfferDeclined | e.OfferExpired):
            self._cool_down(event.contact_id, event.agent_id, event.cool_down_until_ms)
        if isinstance(event, e.OfferAccepted):
            contact = self.live_contact(event.contact_id)
            work = RefAssignment(
                offer.offer_id,
                contact.contact_id,
                offer.agent_id,
                offer.channel,
                offer.units,
            )
            assert event.role is offer.role, "he becomes another than he was asked to be"
            if event.role is AssignmentRole.CONSULT:
                assert event.from_assignment_id is None, "I7: a consult takes nothing away"
                assert event.from_agent_id == self.owner_of(contact), "another's consult"
                self._come_in(contact, work, event.role)
            else:
                self._hand_over(contact, event.from_assignment_id, event.from_agent_id)
                self._take(contact, work)
            self._judge_members(contact, event.members)

    def _fold_conference(self, event: e.Event) -> None:
        assert isinstance(
            event,
            e.ParticipantAdded | e.ParticipantJoined | e.ParticipantLeft | e.ContactHandedOver,
        )
        contact = self.live_contact(event.contact_id)
        assert contact.state is ContactState.ASSIGNED, "a conversation without a conversation"
        name = event.assignment_id
        match event:
            case e.ParticipantAdded():
                work = RefAssignment(
                    name, contact.contact_id, event.agent_id, event.channel, event.units
                )
                self._come_in(contact, work, AssignmentRole.PARTICIPANT)
            case e.ParticipantJoined():
                assert contact.others[name] is AssignmentRole.CONSULT, "he was not consulted"
                contact.others[name] = AssignmentRole.PARTICIPANT
            case e.ParticipantLeft():
                assert contact.others.pop(name) is event.role, "he was something else"
            case e.ContactHandedOver():
                self._hand_over(contact, event.from_assignment_id, event.from_agent_id)
                assert not self.live_offers(contact), "I17: an offer of the old owner lives on"
                contact.owner, contact.last = name, event.agent_id
                del contact.others[name]
                assert not self.consults(contact), "a consult outlives the owner who asked"
        work = self.assignments[name]
        assert (work.agent_id, work.contact_id) == (event.agent_id, event.contact_id)
        assert work.state is AssignmentState.ACTIVE, "I16: his part in it was over"
        self._judge_members(contact, event.members)

    def _judge_members(self, contact: RefContact, told: dict[str, AssignmentRole] | None) -> None:
        """Who is told to be in it is in it; nobody need be told while the owner is alone."""
        members = {self.assignments[n].agent_id: role for n, role in contact.others.items()}
        members[self.owner_of(contact) or ""] = AssignmentRole.OWNER
        assert told == members or (not told and len(members) == 1), f"{told}, but {members}"

    def _come_in(self, contact: RefContact, work: RefAssignment, role: AssignmentRole) -> None:
        """One more is in the conversation."""
        assert work.assignment_id not in self.assignments, "I16: an assignment begins twice"
        assert contact.owner is not None, "I7: in a conversation that nobody owns"
        present = [contact.owner, *contact.others]
        assert all(self.assignments[n].agent_id != work.agent_id for n in present), "in it twice"
        assert role is not AssignmentRole.CONSULT or not self.consults(contact), "two consults"
        self.assignments[work.assignment_id] = work
        contact.others[work.assignment_id] = role
        self._gets_a_new_turn(work.agent_id)

    def _fold_assignment(self, event: e.Event) -> None:
        assert isinstance(
            event,
            e.AssignmentHeld
            | e.AssignmentResumed
            | e.AssignmentParked
            | e.AssignmentUnparked
            | e.WrapUpStarted
            | e.WrapUpExtended
            | e.AssignmentCompleted,
        )
        work = self.assignments[event.assignment_id]
        assert (work.contact_id, work.agent_id) == (event.contact_id, event.agent_id)
        assert work.state is not AssignmentState.COMPLETED, "I16: it was completed before"
        match event:
            case e.AssignmentHeld():
                assert work.state is AssignmentState.ACTIVE
                owner = self.contacts[work.contact_id].owner
                assert owner == work.assignment_id, "I7: held by another than the owner"
                work.held_for_consult = event.reason == "consult"
                work.state = AssignmentState.ON_HOLD
            case e.AssignmentResumed():
                assert work.state is AssignmentState.ON_HOLD
                work.state = AssignmentState.ACTIVE
            case e.AssignmentParked():
                assert work.state in (AssignmentState.ACTIVE, AssignmentState.ON_HOLD)
                work.state, work.holds_capacity = AssignmentState.PARKED, False
                work.parked_until_ms = event.until_ms
                limit_s = self.channel(work.channel).park_max_s
                wanted = None if limit_s is None else self.at_ms + 1000 * limit_s
                assert event.until_ms == wanted, "parked for another time than the policy says"
            case e.AssignmentUnparked():
                assert work.state is AssignmentState.PARKED
                work.state, work.holds_capacity = AssignmentState.ACTIVE, True
                work.parked_until_ms = None
            case e.WrapUpStarted():
                assert work.state is not AssignmentState.WRAP_UP, "I16: wrap-up starts once"
                work.state = AssignmentState.WRAP_UP
                work.wrap_up_started_at_ms, work.parked_until_ms = self.at_ms, None
                work.wrap_up_deadline_ms = event.deadline_ms
                # Decided once, when the wrap-up begins: capacity is released exactly once (I16).
                work.holds_capacity = self.channel(work.channel).wrap_up_holds_capacity
            case e.WrapUpExtended():
                assert work.state is AssignmentState.WRAP_UP
                work.wrap_up_deadline_ms = event.deadline_ms
            case e.AssignmentCompleted():
                others = self.contacts[work.contact_id].others
                assert work.assignment_id not in others, "I16: completed while he is in it"
                work.state = AssignmentState.COMPLETED
                self._gets_a_new_turn(work.agent_id)

    def _fold_agent(self, event: e.Event) -> None:
        if isinstance(event, e.AgentUpdated):
            agent = self.agents.setdefault(event.agent_id, RefAgent(event.agent_id))
            agent.skills, agent.queues = event.skills, event.queues
            agent.units, agent.channel_max = event.units, event.channel_max
            agent.attributes, agent.queue_ranks = event.attributes, event.queue_ranks
            return
        assert isinstance(
            event,
            e.AgentRemoved
            | e.AgentStateChanged
            | e.AgentNextStateSet
            | e.AgentChannelsSet
            | e.DesktopConnected
            | e.DesktopLost,
        )
        agent = self.agents[event.agent_id]
        match event:
            case e.AgentRemoved():
                assert not self.open_work(agent), "removed with work in hand"
                assert all(offer.agent_id != agent.agent_id for offer in self.pending())
                del self.agents[event.agent_id]
            case e.AgentStateChanged():
                assert event.from_state is agent.state
                if event.state is AgentState.READY and agent.state is not AgentState.READY:
                    self._gets_a_new_turn(agent.agent_id)
                agent.state, agent.reason, agent.next_state = event.state, event.reason, None
                if event.reason == "desktop_lost":
                    agent.presence = Presence.NONE
            case e.AgentNextStateSet():
                agent.next_state = event.state
            case e.AgentChannelsSet():
                agent.paused = event.paused
            case e.DesktopConnected():
                agent.presence = Presence.ATTACHED
            case e.DesktopLost():
                agent.presence = Presence.LOST

    def _hand_over(self, contact: RefContact, work_id: str | None, agent_id: str | None) -> None:
        """The present owner, where there is one, loses the contact; he must be the one the event names."""
        assert contact.owner == work_id, "I17: the event names another owner"
        if work_id is not None:
            assert self.assignments[work_id].agent_id == agent_id, "I17: it belongs to another"
            contact.owner = None

    def _take(self, contact: RefContact, work: RefAssignment) -> None:
        assert contact.owner is None, "I7: two owners"
        assert work.assignment_id not in self.assignments, "I16: an assignment begins twice"
        self.assignments[work.assignment_id] = work
        contact.state, contact.owner = ContactState.ASSIGNED, work.assignment_id
        if contact.callback is not None:
            contact.callback.for_agent = None
            if not contact.callback.dialling:
                contact.callback.due_at_ms = None
        # A reservation is over with the accept, a time to live with the first answer.
        contact.preferred, contact.ttl_at_ms, contact.step_until_ms = None, None, None
        contact.held, contact.last = False, work.agent_id
        if self.day is not None:
            self.agents[work.agent_id].contacts_today += 1
        self._gets_a_new_turn(work.agent_id)
        for name in self.caps_on(work.channel):
            self.agents[work.agent_id].taken.setdefault(name, []).append(self.at_ms)
        self._forget_what_no_cap_asks_for()

    def _gets_a_new_turn(self, agent_id: str) -> None:
        self._turn += 1
        self.agents[agent_id].idle = self._turn

    def _cool_down(self, contact_id: str, agent_id: str | None, until_ms: int | None) -> None:
        if agent_id is not None and until_ms is not None:
            self.cool_downs[contact_id, agent_id] = until_ms

    def _forget_what_no_cap_asks_for(self) -> None:
        """Of each capped channel the latest times, as many as the cap allows; of the others none."""
        assert self.policy is not None
        caps = {"all": self.policy.agents.cap}
        caps |= {name: channel.cap for name, channel in self.policy.channels.items()}
        for agent in self.agents.values():
            agent.taken = {
                name: times[-cap.most :]
                for name, times in agent.taken.items()
                if (cap := caps.get(name)) is not None
            }
