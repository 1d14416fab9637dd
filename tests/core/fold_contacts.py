"""Events about contacts: submits, changes, requeues, callbacks and ends."""

from router.model import events as e
from router.model.policy import CallbackPlace
from router.model.states import ContactState
from tests.core.fold_books import Books
from tests.core.fold_records import TERMINAL, RefAssignment, RefContact
from tests.core.ref_callback import RefCallback


class FoldContacts(Books):
    """Applies the events about contacts."""

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
                assert contact.state is not ContactState.ASSIGNED, (
                    "an assigned contact enters a plan step"
                )
                assert contact.queue_id == event.queue_id
                contact.step, contact.step_until_ms = event.step, event.step_until_ms
            case e.ContactRelaxed():
                self.live_contact(event.contact_id).preferred = None
            case e.ContactAssigned():
                contact = self.live_contact(event.contact_id)
                assert not self.live_offers(contact), (
                    "I17: assigned while another agent has an offer"
                )
                self._hand_over(contact, event.from_assignment_id, event.from_agent_id)
                assert not self.consults(contact), "a consult outlasts the owner that started it"
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

    def _requeue(self, event: e.ContactRequeued) -> None:
        contact = self.live_contact(event.contact_id)
        assert event.orig_seq == contact.orig_seq, "I15: a requeued contact keeps its position"
        if contact.state is ContactState.ASSIGNED:
            assert contact.owner is not None
            owner = self.assignments[contact.owner].agent_id
            assert event.agent_id == owner, "I17: the agent that loses it is not its owner"
            self._hand_over(contact, contact.owner, owner)
        assert not self.live_offers(contact), "I9: requeued with a pending offer"
        assert not contact.others, "I17: requeued with participants in the conversation"
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
            assert callback is not None and callback.place is CallbackPlace.AT_DUE, (
                "I15: its age changes without an agreed time"
            )
            assert event.queued_at_ms == callback.scheduled_at_ms == callback.due_at_ms
            contact.queued_at_ms = event.queued_at_ms
        if callback is not None and not callback.on_the_line:
            assert event.wait_until_ms is None, "a callback leaves no queue by waiting"
            callback.dialling, callback.for_agent, callback.due_at_ms = False, None, None
            contact.ttl_at_ms = callback.expires_at_ms
            self._hold_if_closed(contact)

    @staticmethod
    def _take_step(contact: RefContact, event: e.ContactRequeued | e.ContactOverflowed) -> None:
        contact.plan, contact.step = event.plan, event.step
        contact.step_until_ms = event.step_until_ms

    def _contact_is_over(
        self, event: e.ContactAbandoned | e.ContactCancelled | e.ContactExpired | e.ContactEnded
    ) -> None:
        contact = self.live_contact(event.contact_id)
        assert not contact.others, "I7: ended with participants in the conversation"
        state = TERMINAL[type(event)]
        if isinstance(event, e.ContactEnded):
            assert contact.owner == event.assignment_id, (
                "I7: ended by an agent that does not own it"
            )
        else:
            assert contact.state is not ContactState.ASSIGNED, (
                "an answered contact can only end normally"
            )
        if contact.callback is not None:
            contact.callback.for_agent = None
            if isinstance(event, e.ContactAbandoned):
                assert contact.callback.on_the_line, "a customer that is not connected abandons"
        contact.state, contact.owner = state, None
        self.ended[state] += 1

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
            assert contact.callback is None, "a callback is requested for a callback"
            assert contact.owner is None and not self.live_offers(contact), (
                "I8: it has an offer or an owner"
            )
            assert event.queue_id == contact.queue_id
            contact.callback = RefCallback(event.mode, event.place, event.expires_at_ms)
            contact.state, contact.channel = ContactState.QUEUED, event.channel
            contact.ttl_at_ms, contact.wait_until_ms = event.expires_at_ms, None
            self._hold_if_closed(contact)
            return
        callback = contact.callback
        assert callback is not None, "the contact is not a callback"
        owner = contact.owner and self.assignments[contact.owner].agent_id
        match event:
            case e.CallbackScheduled():
                assert event.due_at_ms > self.at_ms
                contact.state, contact.held = ContactState.CALLBACK_SCHEDULED, False
                callback.scheduled_at_ms = callback.due_at_ms = event.due_at_ms
            case e.CallbackDue():
                assert not callback.dialling and not callback.on_the_line, (
                    "dialled while already dialling or connected"
                )
                assert event.attempt == callback.attempts + 1, "attempts count up by one"
                assert event.agent_id == owner, "dialled for an agent that does not own it"
                assert (event.for_agent_id is None) == (owner is not None)
                callback.attempts, callback.dialling = event.attempt, True
                callback.for_agent, callback.due_at_ms = event.for_agent_id, event.deadline_ms
                if owner is None:
                    contact.state = ContactState.CALLBACK_SCHEDULED
            case e.CallbackConnected() | e.CallbackFailed():
                assert callback.dialling, "a result without a dial attempt"
                assert (event.attempt, event.agent_id) == (callback.attempts, owner)
                callback.dialling, callback.for_agent, callback.due_at_ms = False, None, None
                if isinstance(event, e.CallbackConnected):
                    callback.on_the_line, contact.ttl_at_ms = True, None
                    if owner is None:
                        contact.state, contact.came_back = ContactState.QUEUED, True
                        contact.wait_until_ms = event.wait_until_ms
                    return
                assert event.assignment_id == contact.owner, "I17: it is assigned to another agent"
                contact.state, contact.owner = ContactState.CALLBACK_SCHEDULED, None
                callback.due_at_ms, contact.ttl_at_ms = event.due_at_ms, callback.expires_at_ms

    def _hold_if_closed(self, contact: RefContact) -> None:
        """Let a callback that enters a closed queue wait for the opening, and its plan with it."""
        if contact.queue_id in self.closed_until:
            contact.held, contact.step_until_ms = True, None
