"""Event model: the state that the published events describe, in plain dicts.

Written from docs/reference/routing.md and from nothing else. Raises AssertionError, with the number of the invariant, for an
event that cannot follow the previous ones. It knows the state, not the routing rules: those are in ``matcher.py``.

Every event enters here and is passed to ``contact_events.py`` or ``work_events.py``, which update the tables of ``tables.py``;
events about queues, policies and days are applied here. These modules check I7, I8, I9, I11, I15, I16, I17, I18 and I42.
"""

from router.model import events as e
from router.model.policy import AtClosing, Policy, Selection
from router.model.states import ContactState
from tests.support.reference.contact_events import ContactEventModel
from tests.support.reference.records import RefAgent, RefAssignment, RefContact, RefOffer
from tests.support.reference.work_events import WorkEventModel

__all__ = ("EventModel", "RefAgent", "RefAssignment", "RefContact", "RefOffer")


class EventModel(ContactEventModel, WorkEventModel):
    """State described by the events so far."""

    def apply(self, event: e.Event, at_ms: int) -> None:
        """Apply the next event. AssertionError: it cannot follow the previous ones."""
        assert at_ms >= self.at_ms, "I42: time went back"
        self.seq += 1
        self.at_ms = at_ms
        match event:
            case e.ContactAbandoned() | e.ContactCancelled() | e.ContactExpired() | e.ContactEnded():
                self._apply_contact_end(event)
            case (
                e.ContactChoosing()
                | e.ContactQueued()
                | e.ContactUpdated()
                | e.ContactRequeued()
                | e.ContactSuspended()
                | e.ContactResumeDue()
                | e.ContactChannelRequested()
                | e.ContactChannelSwitched()
                | e.ContactChannelFailed()
                | e.ContactGatewayChanged()
                | e.ContactOverflowed()
                | e.ContactPreferredAgentExpired()
                | e.ContactStepEntered()
                | e.ContactAssigned()
            ):
                self._apply_contact(event)
            case (
                e.ContactMonitorRequested()
                | e.ContactMonitorJoined()
                | e.ContactMonitorFailed()
                | e.ContactMonitorRenewed()
                | e.ContactMonitorLeft()
            ):
                self._apply_monitor(event)
            case e.ParticipantAdded() | e.ParticipantJoined() | e.ParticipantLeft() | e.ContactHandedOver():
                self._apply_conference(event)
            case e.OfferMade() | e.OfferAccepted() | e.OfferDeclined() | e.OfferExpired() | e.OfferRescinded():
                self._apply_offer(event)
            case (
                e.AssignmentHeld()
                | e.AssignmentResumed()
                | e.AssignmentParked()
                | e.AssignmentUnparked()
                | e.WrapUpStarted()
                | e.WrapUpExtended()
                | e.AssignmentCompleted()
            ):
                self._apply_assignment(event)
            case e.PolicyPublished():
                assert event.version == self.policy_version + 1, "policy versions count up by one"
                self._settle_clocks(event.policy)
                self.policy, self.policy_version = event.policy, event.version
                self._drop_unused_cap_times()
                for name in [name for name in self.closed_until if name not in event.policy.queues]:
                    del self.closed_until[name]
                for name in [name for name in self.next_change_ms if name not in event.policy.queues]:
                    del self.next_change_ms[name]
                for contact in self.contacts.values():
                    if contact.state in (ContactState.ASSIGNED, ContactState.CALLBACK_SCHEDULED, ContactState.SUSPENDED):
                        contact.queue_id = event.drain_to.get(contact.queue_id, contact.queue_id)
                for agent in self.agents.values():
                    agent.last_offer_seqs = {
                        name: seq for name, seq in agent.last_offer_seqs.items() if self.may_use_round_robin(name)
                    }
                if not self.counts_days():
                    self._reset_day_counts(None, 0)
            case e.DayStarted():
                assert self.counts_days(), "a day starts although no selection needs it"
                assert event.until_ms > at_ms, "a day starts that has already ended"
                self._reset_day_counts(event.day, event.until_ms)
            case (
                e.WorkspaceCreated()
                | e.WorkspaceRemoved()
                | e.PolicyScheduled()
                | e.PolicyScheduleCancelled()
                | e.PolicyScheduleRefused()
                | e.ShadowPolicySet()
                | e.ShadowPolicyCleared()
                | e.IdempotencyKeyRecorded()
                | e.AlertRaised()
                | e.AlertCleared()
                | e.DispositionRecorded()
                | e.GoalChanged()
                | e.CustomerTokenChanged()
                | e.CustomerPresenceChanged()
            ):
                pass  # They decide nothing.
            case e.QueueOpened() | e.QueueClosed():
                self._apply_queue(event)
            case (
                e.CallbackRequested()
                | e.CallbackScheduled()
                | e.CallbackDialRequested()
                | e.CallbackClaimed()
                | e.CallbackConnected()
                | e.CallbackFailed()
            ):
                self._apply_callback(event)
            case _:
                self._apply_agent(event)

    def counts_days(self) -> bool:
        """Return whether some selection depends on the number of contacts taken today."""
        return (
            self.policy is not None and any(queue.selection is Selection.FEWEST_TODAY for queue in self.policy.queues.values())
        ) or (
            self.policy is not None
            and any(step.selection is Selection.FEWEST_TODAY for plan in self.policy.plans.values() for step in plan)
        )

    def _reset_day_counts(self, day: str | None, until_ms: int) -> None:
        self.day, self.day_until_ms = day, until_ms
        for agent in self.agents.values():
            agent.contacts_today = 0

    def _settle_clocks(self, policy: Policy) -> None:
        """Count the closed time so far by the old policy, where the new one lets other clocks run."""
        for contact in self.contacts.values():
            before = None if self.policy is None else self.policy.queues.get(contact.queue_id)
            after = policy.queues.get(contact.queue_id)
            if contact.state.is_terminal or not contact.waiting_for_opening or before is None or after is None:
                continue
            if before.clocks_while_closed != after.clocks_while_closed:
                self._wait_for_opening(contact, waits=False)
                self._wait_for_opening(contact, waits=True)

    def _apply_queue(self, event: e.QueueOpened | e.QueueClosed) -> None:
        assert self.policy is not None
        assert event.queue_id in self.policy.queues, "an unknown queue opens or closes"
        assert event.until_ms is None or event.until_ms > self.at_ms, "the next change lies in the past"
        self.next_change_ms.pop(event.queue_id, None)
        if event.until_ms is not None:
            self.next_change_ms[event.queue_id] = event.until_ms
        waiting = [
            contact
            for contact in self.contacts.values()
            if contact.queue_id == event.queue_id and contact.state in (ContactState.QUEUED, ContactState.OFFERED)
        ]
        if isinstance(event, e.QueueOpened):
            self.closed_until.pop(event.queue_id, None)
            (self.opening.discard if event.contact_ids is None else self.opening.add)(event.queue_id)
            for contact in waiting:
                if contact.waiting_for_opening and (event.contact_ids is None or contact.contact_id in event.contact_ids):
                    self._wait_for_opening(contact, waits=False)
                    if contact.wait_until_ms is None and not contact.awaits_customer:
                        contact.wait_until_ms = event.wait_until_ms
            return
        was_closed = event.queue_id in self.closed_until
        self.opening.discard(event.queue_id)
        assert not (event.holds_contacts and was_closed), "contacts are held although the queue was closed before"
        self.closed_until[event.queue_id] = event.until_ms
        if not was_closed:
            self.closing_actions[event.queue_id] = self.policy.queues[event.queue_id].at_closing
            expected = self.closing_actions[event.queue_id] is AtClosing.WAIT
            assert event.holds_contacts == expected, "contacts are held, or not, contrary to at_closing"
        for contact in waiting:
            if event.holds_contacts or contact.awaits_customer:
                self._wait_for_opening(contact, waits=True)
