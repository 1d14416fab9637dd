"""Events about agents and their work: offers, conversations, assignments, states and desktops."""

from router.model import events as e
from router.model.states import AgentState, AssignmentRole, AssignmentState, ContactState, OfferState, Presence
from tests.support.reference.records import OFFER_ENDS, RefAgent, RefAssignment, RefContact, RefOffer
from tests.support.reference.tables import EventModelTables


class WorkEventModel(EventModelTables):
    """Applies the events about agents and their work."""

    def _apply_offer(self, event: e.Event) -> None:
        if isinstance(event, e.OfferMade):
            assert event.offer_id not in self.offers, "I9: an offer is made twice"
            contact = self.live_contact(event.contact_id)
            live = self.pending_offers_of(contact)
            if event.from_agent_id is None:
                assert contact.state is not ContactState.ASSIGNED, "I7: offered although it has an owner"
                assert len(live) < self.queue_of(contact).broadcast, "I8: too many pending offers"
                contact.state = ContactState.OFFERED
            else:
                assert not live, "I8: a transfer has two offers"
                assert contact.owner_assignment_id is not None
                assert self.assignments[contact.owner_assignment_id].agent_id == event.from_agent_id, "I7"
            queue_id = event.to_queue_id or event.queue_id
            if self.may_use_round_robin(queue_id):
                self.agents[event.agent_id].last_offer_seqs[queue_id] = self.seq
            self.offers[event.offer_id] = RefOffer(
                event.offer_id,
                event.contact_id,
                event.agent_id,
                event.channel,
                event.units,
                event.deadline_ms,
                event.from_agent_id,
                event.role,
                event.to_queue_id,
            )
            return
        assert isinstance(event, e.OfferAccepted | e.OfferDeclined | e.OfferExpired | e.OfferRescinded)
        offer = self.offers[event.offer_id]
        assert offer.state is OfferState.PENDING, "I9: an offer ends twice"
        pair = (event.contact_id, event.agent_id)
        assert (offer.contact_id, offer.agent_id) == pair, "I11: the offer is of another contact or agent"
        offer.state, offer.end_seq = OFFER_ENDS[type(event)], self.seq
        if isinstance(event, e.OfferDeclined | e.OfferExpired):
            self._cool_down(event.contact_id, event.agent_id, event.cool_down_until_ms)
        if isinstance(event, e.OfferAccepted):
            contact = self.live_contact(event.contact_id)
            work = RefAssignment(offer.offer_id, contact.contact_id, offer.agent_id, offer.channel, offer.units)
            # An agent who is offered the contact for a switch owns it only once the customer is connected.
            takes_over = offer.role is AssignmentRole.OWNER and offer.channel != contact.channel
            assert event.takes_over is takes_over, "I7: the contact is taken over although its customer is not connected"
            assert event.role is (AssignmentRole.CONSULT if takes_over else offer.role), "the role differs from the one offered"
            if event.role is AssignmentRole.CONSULT:
                assert event.from_assignment_id is None, "I7: a consult takes the contact from its owner"
                assert event.from_agent_id == self.owner_of(contact), "the consult was not started by the owner"
                self._join(contact, work, event.role)
            else:
                self._remove_owner(contact, event.from_assignment_id, event.from_agent_id)
                self._set_owner(contact, work)
            self._check_members(contact, event.members)

    def _apply_conference(self, event: e.Event) -> None:
        assert isinstance(event, e.ParticipantAdded | e.ParticipantJoined | e.ParticipantLeft | e.ContactHandedOver)
        contact = self.live_contact(event.contact_id)
        assert contact.state is ContactState.ASSIGNED, "a conference event without an assigned contact"
        name = event.assignment_id
        match event:
            case e.ParticipantAdded():
                work = RefAssignment(name, contact.contact_id, event.agent_id, event.channel, event.units)
                self._join(contact, work, AssignmentRole.PARTICIPANT)
            case e.ParticipantJoined():
                assert contact.participants[name] is AssignmentRole.CONSULT, "the agent was not consulted"
                contact.participants[name] = AssignmentRole.PARTICIPANT
            case e.ParticipantLeft():
                assert contact.participants.pop(name) is event.role, "the role is wrong"
            case e.ContactHandedOver():
                connected = contact.passes_to == name
                assert event.reason != "channel" or connected, "the customer was not connected with the new owner"
                self._remove_owner(contact, event.from_assignment_id, event.from_agent_id)
                assert not self.pending_offers_of(contact), "I17: an offer of the previous owner is still pending"
                contact.owner_assignment_id, contact.last_agent_id = name, event.agent_id
                contact.queue_id = event.queue_id or contact.queue_id
                del contact.participants[name]
                assert not self.consults(contact), "a consult outlasts the owner that started it"
        work = self.assignments[name]
        assert (work.agent_id, work.contact_id) == (event.agent_id, event.contact_id)
        assert work.state is AssignmentState.ACTIVE, "I16: the assignment was not active"
        self._check_members(contact, event.members)

    def _join(self, contact: RefContact, work: RefAssignment, role: AssignmentRole) -> None:
        """Add an agent to the conversation."""
        assert work.assignment_id not in self.assignments, "I16: an assignment starts twice"
        assert contact.owner_assignment_id is not None, "I7: a conversation without an owner"
        present = [contact.owner_assignment_id, *contact.participants]
        assert all(self.assignments[n].agent_id != work.agent_id for n in present), "an agent is in the conversation twice"
        assert role is not AssignmentRole.CONSULT or not self.consults(contact), "two consults"
        self.assignments[work.assignment_id] = work
        contact.participants[work.assignment_id] = role
        self._move_to_idle_end(work.agent_id)

    def _apply_assignment(self, event: e.Event) -> None:
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
                owner = self.contacts[work.contact_id].owner_assignment_id
                assert owner == work.assignment_id, "I7: held by another than the owner"
                work.held_for_consult = event.reason == "consult"
                work.state = AssignmentState.ON_HOLD
            case e.AssignmentResumed():
                assert work.state is AssignmentState.ON_HOLD
                work.state = AssignmentState.ACTIVE
            case e.AssignmentParked():
                assert work.state in (AssignmentState.ACTIVE, AssignmentState.ON_HOLD)
                work.state, work.holds_capacity = AssignmentState.PARKED, False
                self._end_switch(self.contacts[work.contact_id])
                work.parked_until_ms = event.until_ms
                limit_s = self.channel(work.channel).park_max_s
                wanted = None if limit_s is None else self.at_ms + 1000 * limit_s
                assert event.until_ms == wanted, "parked for another time than the policy sets"
            case e.AssignmentUnparked():
                assert work.state is AssignmentState.PARKED
                work.state, work.holds_capacity = AssignmentState.ACTIVE, True
                work.parked_until_ms = None
            case e.WrapUpStarted():
                assert work.state is not AssignmentState.WRAP_UP, "I16: wrap-up starts once"
                work.state = AssignmentState.WRAP_UP
                work.wrap_up_started_at_ms, work.parked_until_ms = self.at_ms, None
                work.wrap_up_deadline_ms = event.deadline_ms
                # Decided when the wrap-up begins: capacity is released exactly once (I16).
                work.holds_capacity = self.channel(work.channel).wrap_up_holds_capacity
            case e.WrapUpExtended():
                assert work.state is AssignmentState.WRAP_UP
                work.wrap_up_deadline_ms = event.deadline_ms
            case e.AssignmentCompleted():
                participants = self.contacts[work.contact_id].participants
                assert work.assignment_id not in participants, "I16: completed while the agent is in the conversation"
                work.state = AssignmentState.COMPLETED
                self._move_to_idle_end(work.agent_id)

    def _apply_agent(self, event: e.Event) -> None:
        if isinstance(event, e.AgentUpdated):
            agent = self.agents.setdefault(event.agent_id, RefAgent(event.agent_id))
            agent.skills, agent.queues = event.skills, event.queues
            agent.units, agent.channel_max = event.units, event.channel_max
            agent.attributes, agent.queue_ranks = event.attributes, event.queue_ranks
            agent.team, agent.labels = event.team, event.labels
            return
        assert isinstance(
            event,
            e.AgentRemoved | e.AgentStateChanged | e.AgentNextStateSet | e.AgentChannelsSet | e.DesktopConnected | e.DesktopLost,
        )
        agent = self.agents[event.agent_id]
        match event:
            case e.AgentRemoved():
                assert not self.open_assignments(agent), "removed with open assignments"
                assert all(offer.agent_id != agent.agent_id for offer in self.pending_offers())
                del self.agents[event.agent_id]
            case e.AgentStateChanged():
                assert event.from_state is agent.state
                if event.state is AgentState.READY and agent.state is not AgentState.READY:
                    self._move_to_idle_end(agent.agent_id)
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
