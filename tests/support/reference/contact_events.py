"""Events about contacts: submits, changes, requeues, callbacks and ends."""

from typing import TypeAlias

from router.model import events as e
from router.model.policy import CallbackQueuePosition, ResumePlace
from router.model.states import AgentState, AssignmentState, ContactState, IfUnable
from tests.support.reference.records import TERMINAL, RefAssignment, RefCallback, RefContact, RefHold, RefSuspension
from tests.support.reference.tables import EventModelTables

MonitorEvent: TypeAlias = (
    e.ContactMonitorRequested | e.ContactMonitorJoined | e.ContactMonitorFailed | e.ContactMonitorRenewed | e.ContactMonitorLeft
)


class ContactEventModel(EventModelTables):
    """Applies the events about contacts."""

    def _apply_contact(self, event: e.Event) -> None:
        match event:
            case e.ContactChoosing():
                assert event.contact_id not in self.choosing, "a customer chooses twice at once"
                assert event.policy_version == self.policy_version
                assert event.options and event.choose_until_ms > self.at_ms
                self.choosing[event.contact_id] = (self.at_ms, self.seq)
            case e.ContactQueued():
                known = self.contacts.get(event.contact_id)
                assert known is None or known.state.is_terminal, "a live contact is queued again"
                assert event.policy_version == self.policy_version
                asked_at_ms, asked_seq = self.choosing.pop(event.contact_id, (self.at_ms, self.seq))
                if event.option is not None:
                    assert (event.queued_at_ms, event.queued_seq) == (asked_at_ms, asked_seq), "a request keeps its place"
                self.submitted += 1
                for pair in [pair for pair in self.cool_downs if pair[0] == event.contact_id]:
                    del self.cool_downs[pair]
                self.contacts[event.contact_id] = RefContact(
                    event.contact_id,
                    event.channel,
                    event.queue_id,
                    asked_at_ms,
                    asked_seq,
                    event.skills,
                    event.priority_s,
                    event.priority_class,
                    event.ttl_at_ms,
                    event.wait_until_ms,
                    overflow_count=event.overflow_count,
                    waiting_for_opening=event.queue_id in self.closed_until,
                    closed_since_ms=self.at_ms,
                    plan=event.plan,
                    step=event.step,
                    step_until_ms=event.step_until_ms,
                    preferred_agents=event.preferred_agents,
                    last_agent_id=event.last_agent_id,
                    customer_facts=event.customer_facts,
                )
            case e.ContactUpdated() if event.contact_id in self.choosing:
                pass
            case e.ContactUpdated():
                contact = self.live_contact(event.contact_id)
                contact.skills = event.skills
                contact.priority_s = event.priority_s
                contact.priority_class = event.priority_class
                contact.preferred_agents = event.preferred_agents
                contact.customer_facts = event.customer_facts
                if contact.owner_assignment_id is not None:
                    self._check_members(contact, event.members)
            case e.ContactSuspended():
                self._apply_suspension(event)
            case e.ContactResumeDue():
                suspension = self._suspension_of(self.live_contact(event.contact_id))
                assert suspension.warning_ms is not None and suspension.warning_ms <= self.at_ms, "the warning comes too early"
                assert event.resume_by_ms == suspension.resume_by_ms
                suspension.warning_ms = None
            case e.ContactChannelRequested() | e.ContactChannelSwitched() | e.ContactChannelFailed():
                self._apply_channel(event)
            case e.ContactGatewayChanged():
                contact = self.live_contact(event.contact_id)
                assert contact.state in (ContactState.QUEUED, ContactState.ASSIGNED) and contact.callback is None
                assert event.gateway_id == self.channel(contact.channel).gateway != event.from_gateway_id
                assert (event.channel, event.queue_id) == (contact.channel, contact.queue_id)
                assert event.owner_agent_id == self.owner_of(contact)
            case e.ContactResumed():
                self._apply_resume(event)
            case e.ContactRequeued():
                self._apply_requeue(event)
            case e.ContactOverflowed():
                contact = self.live_contact(event.contact_id)
                assert contact.state is ContactState.QUEUED, "only a waiting contact overflows"
                assert contact.queue_id == event.from_queue_id
                self._wait_for_opening(contact, waits=False)
                contact.queue_id, contact.wait_until_ms = event.queue_id, event.wait_until_ms
                contact.overflow_count += event.overflow_count
                self._wait_for_opening(contact, waits=event.queue_id in self.closed_until)
                assert self.policy is not None
                assert contact.overflow_count <= self.policy.overflow_count_max, "it overflows too often"
                self._take_step(contact, event)
            case e.ContactStepEntered():
                contact = self.live_contact(event.contact_id)
                assert contact.state is not ContactState.ASSIGNED, "an assigned contact enters a plan step"
                assert contact.queue_id == event.queue_id
                contact.step, contact.step_until_ms = event.step, event.step_until_ms
            case e.ContactPreferredAgentExpired():
                self.live_contact(event.contact_id).preferred_agent_id = None
            case e.ContactAssigned():
                contact = self.live_contact(event.contact_id)
                assert not self.pending_offers_of(contact), "I17: assigned while another agent has an offer"
                self._remove_owner(contact, event.from_assignment_id, event.from_agent_id)
                assert not self.consults(contact), "a consult outlasts the owner that started it"
                self._set_owner(
                    contact, RefAssignment(event.assignment_id, contact.contact_id, event.agent_id, contact.channel, event.units)
                )
                self._check_members(contact, event.members)

    def _apply_requeue(self, event: e.ContactRequeued) -> None:
        contact = self.live_contact(event.contact_id)
        assert event.queued_seq == contact.queued_seq, "I15: a requeued contact keeps its position"
        if contact.state is ContactState.ASSIGNED:
            assert contact.owner_assignment_id is not None
            owner = self.assignments[contact.owner_assignment_id].agent_id
            assert event.agent_id == owner, "I17: the agent that loses it is not its owner"
            self._remove_owner(contact, contact.owner_assignment_id, owner)
        assert not self.pending_offers_of(contact), "I9: requeued with a pending offer"
        assert not contact.participants, "I17: requeued with participants in the conversation"
        contact.state = ContactState.QUEUED
        contact.was_returned = contact.was_returned or event.reason in ("lost_desktop", "owner_away")
        put_there = event.reason in ("transferred", "supervisor", "drained")
        enters = put_there or event.queue_id != contact.queue_id
        if event.queue_id != contact.queue_id:
            self._wait_for_opening(contact, waits=False)
        contact.queue_id, contact.wait_until_ms = event.queue_id, event.wait_until_ms
        if enters and event.queue_id in self.closed_until:
            self._wait_for_opening(contact, waits=True)
        contact.overflow_count += event.overflow_count
        contact.preferred_agent_id = event.preferred_agent_id
        self._take_step(contact, event)
        self._cool_down(event.contact_id, event.agent_id, event.cool_down_until_ms)
        callback = contact.callback
        if event.queued_at_ms is not None:
            assert callback is not None and callback.place is CallbackQueuePosition.FROM_DUE_TIME, (
                "I15: its age changes without an agreed time"
            )
            assert event.queued_at_ms == callback.scheduled_at_ms == callback.due_at_ms
            contact.queued_at_ms, contact.closed_ms = event.queued_at_ms, 0
        if callback is not None and not callback.is_connected:
            assert event.wait_until_ms is None, "a callback leaves no queue by waiting"
            callback.dialling, callback.for_agent_id, callback.due_at_ms = False, None, None
            contact.ttl_at_ms = callback.expires_at_ms
            self._wait_for_opening_if_closed(contact)

    def _apply_channel(self, event: e.ContactChannelRequested | e.ContactChannelSwitched | e.ContactChannelFailed) -> None:
        contact = self.live_contact(event.contact_id)
        assert event.assignment_id == contact.owner_assignment_id and event.agent_id == self.owner_of(contact)
        work = self.assignments.get(event.assignment_id or "")
        if not isinstance(event, e.ContactChannelRequested) and work is not None and contact.switches_to is not None:
            assert event.channel == contact.switches_to, "another switch ends than the one in progress"
        if isinstance(event, e.ContactChannelFailed):
            assert contact.switches_to is not None, "a switch ends that was not requested"
        self._end_switch(contact)
        match event:
            case e.ContactChannelRequested():
                assert work is not None and work.state in (AssignmentState.ACTIVE, AssignmentState.ON_HOLD)
                assert event.from_channel == contact.channel != event.channel
                contact.switches_to, contact.switch_waits = event.channel, event.deadline_ms is None
                contact.switch_consults = event.deadline_ms is None and event.if_unable is IfUnable.CONSULT
                if event.deadline_ms is not None:
                    assert event.deadline_ms == self.at_ms + 1000 * self.channel(event.channel).connect_timeout_s
                    self._check_passing_on(contact, event)
                    if event.to_assignment_id is None:
                        work.held = RefHold(event.channel, event.held_units)
            case e.ContactChannelSwitched():
                assert event.from_channel == contact.channel and event.queue_id == contact.queue_id
                assert contact.state in (ContactState.QUEUED, ContactState.ASSIGNED)
                assert not self.pending_offers_of(contact), "I8: switched with a pending offer"
                contact.channel = event.channel
                if work is not None and work.channel != event.channel:
                    work.channel, work.units = event.channel, event.units

    def _check_passing_on(self, contact: RefContact, event: e.ContactChannelRequested) -> None:
        """Check the agent who is to take the contact over, who has the channel already, and note it."""
        contact.passes_to = event.to_assignment_id
        if event.to_assignment_id is None:
            assert event.to_agent_id is None
            work, wanted = self.assignments[event.assignment_id], self.channel(event.channel)
            interrupts = work.channel in wanted.interrupts
            needs = max(wanted.units, work.units) if interrupts else max(0, wanted.units - work.units)
            assert event.held_units == needs, "I14: less, or more, is held than the new channel needs beyond the old one"
            return
        assert event.to_assignment_id in contact.participants, "passed on to an agent who is not in the conversation"
        beside = self.assignments[event.to_assignment_id]
        assert (beside.agent_id, beside.channel) == (event.to_agent_id, event.channel), "connected with another agent, or elsewhere"
        assert beside.state is AssignmentState.ACTIVE and event.held_units == 0, "capacity is held of an agent who is to leave"

    def _apply_monitor(self, event: MonitorEvent) -> None:
        """Follow a supervisor: asked for, joined in a mode, left. Nothing but the end may happen once the conversation is over."""
        key = (event.contact_id, event.supervisor_id)
        mode, wanted, agent_id = self.monitors.get(key, (None, None, ""))
        if isinstance(event, e.ContactMonitorLeft):
            assert mode is event.mode and agent_id == event.owner_agent_id, "a supervisor leaves who has not joined"
            del self.monitors[key]
            return
        if isinstance(event, e.ContactMonitorFailed):
            assert wanted is event.mode and mode is event.present_mode, "a request fails that was not made"
            if mode is None:
                del self.monitors[key]
            else:
                self.monitors[key] = (mode, None, agent_id)
            return
        contact = self.live_contact(event.contact_id)
        assert contact.state is ContactState.ASSIGNED, "a supervisor joins a contact without an agent"
        match event:
            case e.ContactMonitorRequested():
                assert event.owner_agent_id == self.owner_of(contact) and event.present_mode is mode is not event.mode
                assert event.deadline_ms > self.at_ms and (event.until_ms is None or event.until_ms >= self.at_ms)
                self.monitors[key] = (mode, event.mode, event.owner_agent_id)
            case e.ContactMonitorJoined():
                assert (wanted, mode, agent_id) == (event.mode, event.from_mode, event.owner_agent_id), "not asked for"
                assert agent_id == self.owner_of(contact), "a supervisor joins the conversation of a former agent"
                self.monitors[key] = (event.mode, None, agent_id)
            case e.ContactMonitorRenewed():
                assert key in self.monitors and event.until_ms >= self.at_ms

    def check_monitors(self) -> None:
        """Check, at the end of a step, that every supervisor is in the conversation of its present agent."""
        for (contact_id, supervisor_id), (_, _, agent_id) in self.monitors.items():
            contact = self.contacts.get(contact_id)
            is_there = contact is not None and contact.state is ContactState.ASSIGNED and self.owner_of(contact) == agent_id
            assert is_there, f"{supervisor_id} is in a conversation of {contact_id} that is over"

    def _apply_suspension(self, event: e.ContactSuspended) -> None:
        contact = self.live_contact(event.contact_id)
        assert contact.state is not ContactState.SUSPENDED, "a suspended contact is suspended again"
        assert event.resume_by_ms > self.at_ms, "the suspension has ended before it begins"
        assert event.queue_id == contact.queue_id and event.callback_ended is (contact.callback is not None)
        assert not self.pending_offers_of(contact), "I8: suspended with a pending offer"
        assert not contact.participants, "I7: suspended with participants in the conversation"
        was_assigned = contact.state is ContactState.ASSIGNED
        self._remove_owner(contact, event.assignment_id, event.agent_id)
        age_until_ms = contact.answered_at_ms if was_assigned else self.at_ms
        assert event.age_ms == age_until_ms - contact.queued_at_ms, "the age counts more, or less, than waiting"
        self._wait_for_opening(contact, waits=False)
        assert event.closed_ms == contact.closed_ms
        ttl_ms = None if contact.callback is not None or contact.ttl_at_ms is None else contact.ttl_at_ms - self.at_ms
        assert event.ttl_left_ms == ttl_ms, "the rest of its time to live is wrong"
        contact.callback, contact.ttl_at_ms, contact.wait_until_ms = None, None, None
        contact.preferred_agent_id, contact.step, contact.step_until_ms = None, 0, None
        for pair in [pair for pair in self.cool_downs if pair[0] == event.contact_id]:
            del self.cool_downs[pair]
        contact.state = ContactState.SUSPENDED
        contact.suspension = RefSuspension(event.age_ms, self.at_ms, event.resume_by_ms, event.warning_ms, event.ttl_left_ms)

    @staticmethod
    def _suspension_of(contact: RefContact) -> RefSuspension:
        assert contact.state is ContactState.SUSPENDED and contact.suspension is not None, "the contact is not suspended"
        return contact.suspension

    def _apply_resume(self, event: e.ContactResumed) -> None:
        contact = self.live_contact(event.contact_id)
        suspension = self._suspension_of(contact)
        assert event.queued_seq == contact.queued_seq, "I15: a resumed contact keeps its number"
        assert event.suspended_ms == self.at_ms - suspension.began_ms
        assert (event.reason == "resume_by") == (self.at_ms >= suspension.resume_by_ms), "resumed for another reason"
        terms, age_ms, closed_ms = self.queue_of(contact).suspension, suspension.age_ms, contact.closed_ms
        if terms.place is not ResumePlace.KEEP_AGE:
            age_ms, closed_ms = 1000 * terms.credit_s if terms.place is ResumePlace.CREDIT else 0, 0
        assert (event.queued_at_ms, event.closed_ms) == (self.at_ms - age_ms, closed_ms), "I15: resumed at another place"
        ttl_ms = suspension.ttl_left_ms if event.reason == "resumed" else None
        assert event.ttl_at_ms == (None if ttl_ms is None else self.at_ms + ttl_ms)
        if event.preferred_agent_id is not None:
            agent = self.agents[event.preferred_agent_id]
            assert event.preferred_agent_id == contact.last_agent_id and agent.state is AgentState.READY, "preferred, and not there"
        contact.state, contact.queue_id, contact.channel = ContactState.QUEUED, event.queue_id, event.channel
        contact.queued_at_ms, contact.closed_ms = self.at_ms - age_ms, closed_ms
        contact.ttl_at_ms, contact.wait_until_ms = event.ttl_at_ms, event.wait_until_ms
        contact.overflow_count += event.overflow_count
        contact.preferred_agent_id = event.preferred_agent_id
        contact.was_returned = event.reason == "resume_by"
        self._take_step(contact, event)
        if event.queue_id in self.closed_until:
            self._wait_for_opening(contact, waits=True)

    @staticmethod
    def _take_step(contact: RefContact, event: e.ContactRequeued | e.ContactOverflowed) -> None:
        contact.plan, contact.step = event.plan, event.step
        contact.step_until_ms = event.step_until_ms

    def _apply_contact_end(self, event: e.ContactAbandoned | e.ContactCancelled | e.ContactExpired | e.ContactEnded) -> None:
        if self.choosing.pop(event.contact_id, None) is not None:
            assert isinstance(event, e.ContactCancelled | e.ContactExpired), "a customer who is choosing cannot be answered"
            return
        contact = self.live_contact(event.contact_id)
        assert not contact.participants, "I7: ended with participants in the conversation"
        state = TERMINAL[type(event)]
        if isinstance(event, e.ContactEnded):
            assert contact.owner_assignment_id == event.assignment_id, "I7: ended by an agent that does not own it"
        else:
            assert contact.state is not ContactState.ASSIGNED, "an answered contact can only end normally"
        if contact.callback is not None:
            contact.callback.for_agent_id = None
            if isinstance(event, e.ContactAbandoned):
                assert contact.callback.is_connected, "a customer that is not connected abandons"
        self._end_switch(contact)
        contact.state, contact.owner_assignment_id = state, None
        self.ended[state] += 1

    def _apply_callback(self, event: e.Event) -> None:
        assert isinstance(
            event,
            e.CallbackRequested
            | e.CallbackScheduled
            | e.CallbackDialRequested
            | e.CallbackClaimed
            | e.CallbackConnected
            | e.CallbackFailed,
        )
        contact = self.live_contact(event.contact_id)
        if isinstance(event, e.CallbackRequested):
            assert contact.callback is None, "a callback is requested for a callback"
            assert contact.owner_assignment_id is None and not self.pending_offers_of(contact), "I8: it has an offer or an owner"
            assert event.queue_id == contact.queue_id
            contact.callback = RefCallback(event.mode, event.queue_position, event.expires_at_ms, has_window=event.has_window)
            contact.state, contact.channel = ContactState.QUEUED, event.channel
            contact.ttl_at_ms, contact.wait_until_ms = event.expires_at_ms, None
            self._wait_for_opening_if_closed(contact)
            return
        callback = contact.callback
        assert callback is not None, "the contact is not a callback"
        owner = contact.owner_assignment_id and self.assignments[contact.owner_assignment_id].agent_id
        match event:
            case e.CallbackScheduled():
                assert event.due_at_ms > self.at_ms
                self._wait_for_opening(contact, waits=False)
                contact.state = ContactState.CALLBACK_SCHEDULED
                callback.scheduled_at_ms = callback.due_at_ms = event.due_at_ms
                if event.moved:
                    assert not callback.dialling and not callback.is_connected, "a call in progress is moved"
                    callback.expires_at_ms = contact.ttl_at_ms = event.expires_at_ms
                    callback.has_window = event.has_window
            case e.CallbackClaimed():
                assert callback.dialling and event.attempt == callback.attempts, "a call is claimed that was not requested"
                assert callback.due_at_ms is not None and event.until_ms <= callback.due_at_ms
            case e.CallbackDialRequested():
                assert not callback.dialling and not callback.is_connected, "dialled while already dialling or connected"
                assert event.attempt == callback.attempts + 1, "attempts count up by one"
                assert event.agent_id == owner, "dialled for an agent that does not own it"
                assert (event.for_agent_id is None) == (owner is not None)
                callback.attempts, callback.dialling = event.attempt, True
                callback.for_agent_id, callback.due_at_ms = event.for_agent_id, event.deadline_ms
                if owner is None:
                    contact.state = ContactState.CALLBACK_SCHEDULED
            case e.CallbackConnected() | e.CallbackFailed():
                assert callback.dialling, "a result without a dial attempt"
                assert (event.attempt, event.agent_id) == (callback.attempts, owner)
                callback.dialling, callback.for_agent_id, callback.due_at_ms = False, None, None
                if isinstance(event, e.CallbackConnected):
                    callback.is_connected, contact.ttl_at_ms = True, None
                    if owner is None:
                        contact.state, contact.was_returned = ContactState.QUEUED, True
                        contact.wait_until_ms = event.wait_until_ms
                    return
                assert event.assignment_id == contact.owner_assignment_id, "I17: it is assigned to another agent"
                self._end_switch(contact)
                contact.state, contact.owner_assignment_id = ContactState.CALLBACK_SCHEDULED, None
                callback.due_at_ms, contact.ttl_at_ms = event.due_at_ms, callback.expires_at_ms

    def _wait_for_opening_if_closed(self, contact: RefContact) -> None:
        """Let a callback that enters a closed queue wait for the opening."""
        if contact.queue_id in self.closed_until:
            self._wait_for_opening(contact, waits=True)
