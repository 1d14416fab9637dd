"""Checks of the idle state: nothing is overdue, missed or in two places (I7 to I9, I15 to I19, I22).

Looks at the tables alone, whatever led to them.
"""

from datetime import datetime
from zoneinfo import ZoneInfo

from router.model.policy import AtClosing
from router.model.states import AssignmentState, ContactState
from tests.support.checks.checker import EngineChecker
from tests.support.reference.records import RefContact


class IdleStateChecker(EngineChecker):
    """Checks what holds whenever the engine is idle."""

    def _check_idle_state(self) -> None:
        """Check everything that holds whenever the engine is idle."""
        reference = self.reference
        if reference.policy is None:
            return
        self._check_day()
        for contact in reference.contacts.values():
            self._check_contact(contact)
        for work in reference.open_assignments():
            if work.state is AssignmentState.WRAP_UP:
                assert work.wrap_up_deadline_ms is not None
                assert work.wrap_up_deadline_ms > self.at_ms, "I16: wrap-up continues past its deadline"
                continue
            if work.parked_until_ms is not None:
                assert work.parked_until_ms > self.at_ms, "parked past its deadline"
            contact = reference.contacts[work.contact_id]
            mine = (contact.owner_assignment_id, *contact.participants)
            assert work.assignment_id in mine, "I7: an assignment is missing from its contact"
        for offer in reference.pending_offers():
            assert offer.deadline_ms > self.at_ms, "I15: an offer is pending past its deadline"
            assert reference.may_keep(offer), f"I12: {offer.agent_id} no longer qualifies"
        self._check_hours()
        missed = reference.missed_matches(self.at_ms)
        assert not missed, f"I22: missed match: {missed}"
        missed = reference.missed_switches(self.at_ms)
        assert not missed, f"a switch of the channel waits although it could be offered: {missed}"
        assert self.engine.check_invariants() == [], "the engine reports violated invariants"
        due_ms = self.engine.next_deadline_ms()
        assert due_ms is None or due_ms > self.at_ms, "I15/I19: a due timer has not fired"

    def _check_day(self) -> None:
        """Check that the current day is the local date of the workspace, while selections need one."""
        reference = self.reference
        assert reference.policy is not None
        assert (reference.day is not None) == reference.counts_days()
        if reference.day is None:
            return
        zone = ZoneInfo(reference.policy.zone)
        until_ms = reference.day_until_ms
        dates = [datetime.fromtimestamp(at_ms / 1000, zone).date().isoformat() for at_ms in (self.at_ms, until_ms - 1, until_ms)]
        assert dates[:2] == [reference.day, reference.day], "the day is not the current one"
        assert dates[2] > reference.day, "the day ends too late"

    def _check_hours(self) -> None:
        """Check that queues follow their weekly table unless overridden, and that only closed queues make contacts wait."""
        reference, engine = self.reference, self.engine
        assert reference.policy is not None
        for queue_id, queue in reference.policy.queues.items():
            view = engine.queue(queue_id)
            assert view is not None and view.is_open == (queue_id not in reference.closed_until)
            look_ms = reference.next_change_ms.get(queue_id)
            assert look_ms is None or look_ms > self.at_ms, "a change of the opening state is overdue"
            calendar = reference.policy.calendars.get(queue.hours or "")
            if queue_id in self.supervisor_overrides or (
                calendar and (calendar.zone != "UTC" or calendar.dates or calendar.holidays)
            ):
                continue  # Special days and other zones have tests of their own.
            assert view.is_open == reference.is_open_by_calendar(queue_id, self.at_ms), queue_id
            if look_ms is not None:
                before, after = look_ms - 1, look_ms
                assert reference.is_open_by_calendar(queue_id, before) == view.is_open
                assert reference.is_open_by_calendar(queue_id, after) != view.is_open
        for contact in reference.contacts.values():
            closing = reference.closing_actions.get(contact.queue_id)
            if (
                contact.state is ContactState.QUEUED
                and contact.queue_id in reference.closed_until
                and closing in (AtClosing.EXPIRE, AtClosing.WAIT)
                and closing is reference.queue_of(contact).at_closing
            ):
                assert contact.waiting_for_opening or contact.was_returned, f"{closing}: the contact is still in line"
            if contact.awaits_customer and contact.state is ContactState.QUEUED:
                closed = contact.queue_id in reference.closed_until
                assert contact.waiting_for_opening == closed or contact.queue_id in reference.opening, (
                    "a callback must wait for the opening exactly while its queue is closed"
                )
            away = contact.state is ContactState.CALLBACK_SCHEDULED
            assert not (contact.waiting_for_opening and away), "a scheduled callback waits for the opening"
            if contact.waiting_for_opening and not contact.state.is_terminal:
                is_closed = contact.queue_id in reference.closed_until
                assert is_closed or contact.queue_id in reference.opening, "a contact waits for the opening of an open queue"
                assert is_closed or engine.next_deadline_ms() is not None, "nothing continues the opening"

    def _check_contact(self, contact: RefContact) -> None:
        reference = self.reference
        live = reference.pending_offers_of(contact)
        match contact.state:
            case ContactState.QUEUED:
                assert not live, "I8: queued with a pending offer"
                late_ms = contact.wait_until_ms if reference.is_running(contact, "wait_max") else None
                assert late_ms is None or late_ms > self.at_ms, "I19: waits longer than its queue allows"
                over_ms = contact.step_until_ms if reference.is_running(contact, "plan") else None
                assert over_ms is None or over_ms > self.at_ms, "a step lasts too long"
                assert contact.waiting_for_opening or not reference.waits_for_an_agent_who_left(contact), (
                    "reserved for an agent who went offline on purpose or was removed"
                )
                if not contact.waiting_for_opening and reference.is_preferred_step(contact):
                    assert reference.has_ready_preferred_agent(contact), "reserved for agents that are not ready"
            case ContactState.OFFERED:
                assert live, "I9: offered without a pending offer"
                later_steps = reference.plan(contact)[contact.step + 1 :]
                moves = any(step.queue is not None for step in later_steps)
                if len(live) < reference.queue_of(contact).broadcast and not moves:
                    over_ms = contact.step_until_ms if reference.is_running(contact, "plan") else None
                    assert over_ms is None or over_ms > self.at_ms, "a step lasts too long under a broadcast"
            case ContactState.CALLBACK_SCHEDULED:
                assert not live, "I8: a scheduled callback with a pending offer"
                assert contact.callback is not None and contact.callback.due_at_ms is not None
                assert contact.callback.due_at_ms > self.at_ms, "I19: the callback is overdue"
            case ContactState.SUSPENDED:
                assert not live, "I8: suspended with a pending offer"
                assert contact.owner_assignment_id is None, "I7: suspended with an owner"
                assert contact.suspension is not None and not contact.waiting_for_opening
                due_ms = contact.suspension.warning_ms or contact.suspension.resume_by_ms
                assert due_ms > self.at_ms, "I19: suspended past its end"
            case ContactState.ASSIGNED:
                assert contact.owner_assignment_id is not None, "I7: assigned without an owner"
                work = reference.assignments[contact.owner_assignment_id]
                from_owner = all(offer.from_agent_id == work.agent_id for offer in live)
                assert from_owner and len(live) <= 1, "I8: assigned with an offer that is not a transfer"
                held = work.held_for_consult and work.state is AssignmentState.ON_HOLD
                assert not held or reference.consults(contact), "on hold for a consult that has ended"
            case _:
                assert not live, "I18: ended with a pending offer"
                return
        if contact.state is not ContactState.ASSIGNED:
            assert not contact.participants, "I7: a conversation without an owner"
            clock = "ttl" if contact.callback is None else "callback_expiry"
            ttl_ms = contact.ttl_at_ms if reference.is_running(contact, clock) else None
            assert ttl_ms is None or ttl_ms > self.at_ms, "I19: past its time to live"
            assert contact.owner_assignment_id is None, "I17: not assigned but with an owner"
