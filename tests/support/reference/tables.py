"""Tables of the event model, lookups in them, and the changes that several events have in common.

Which event changes what is written in ``event_model.py``, ``contact_events.py`` and ``work_events.py``.
"""

from router.model.policy import AtClosing, ChannelPolicy, Policy, QueuePolicy, RateCapPolicy, Selection
from router.model.states import AssignmentRole, AssignmentState, ContactState, MonitorMode, OfferState
from tests.support.reference.records import TERMINAL, RefAgent, RefAssignment, RefContact, RefOffer


class EventModelTables:
    """Tables of the event model. AssertionError from a change: it cannot follow the previous events."""

    def __init__(self) -> None:
        self.policy: Policy | None = None
        self.policy_version = 0
        self.contacts: dict[str, RefContact] = {}
        self.offers: dict[str, RefOffer] = {}
        self.assignments: dict[str, RefAssignment] = {}
        self.agents: dict[str, RefAgent] = {}
        self.choosing: dict[str, tuple[int, int]] = {}
        """Time and number of the requests whose customers are choosing; they are no contacts of any queue yet."""
        self.cool_downs: dict[tuple[str, str], int] = {}
        self.closed_until: dict[str, int | None] = {}
        """Closed queues, and when they open, as far as published."""
        self.opening: set[str] = set()
        """Open queues some of whose contacts may still wait for the opening."""
        self.closing_actions: dict[str, AtClosing] = {}
        """What ``at_closing`` said when the queue closed."""
        self.next_change_ms: dict[str, int] = {}
        """Next change of the opening state, by queue, as far as published."""
        self.monitors: dict[tuple[str, str], tuple[MonitorMode | None, MonitorMode | None, str]] = {}
        """Supervisors in conversations, by contact and supervisor: present mode, mode asked for, agent whose conversation it is."""
        self.submitted = 0
        self.ended = dict.fromkeys(TERMINAL.values(), 0)
        self.seq = 0
        self.at_ms = 0
        self.day: str | None = None
        self.day_until_ms = 0
        self._idle_counter = 0

    def may_use_round_robin(self, queue_id: str) -> bool:
        """Return whether the queue, or some step of a plan, selects by round robin; only then offers are counted by queue."""
        assert self.policy is not None
        steps = [step for plan in self.policy.plans.values() for step in plan]
        chosen = [step.selection for step in steps]
        queue = self.policy.queues.get(queue_id)
        return queue is not None and Selection.ROUND_ROBIN in [queue.selection, *chosen]

    def _check_members(self, contact: RefContact, listed: dict[str, AssignmentRole] | None) -> None:
        """Check the members that an event lists; they may be left out while the owner is alone."""
        members = {self.assignments[n].agent_id: role for n, role in contact.participants.items()}
        members[self.owner_of(contact) or ""] = AssignmentRole.OWNER
        assert listed == members or (not listed and len(members) == 1), f"the event lists {listed}, but the members are {members}"

    def _end_switch(self, contact: RefContact) -> None:
        """End the switch of a contact to another channel, with what is held for it."""
        contact.switches_to, contact.switch_consults, contact.switch_waits, contact.passes_to = None, False, False, None
        if contact.owner_assignment_id is not None:
            self.assignments[contact.owner_assignment_id].held = None

    def _remove_owner(self, contact: RefContact, work_id: str | None, agent_id: str | None) -> None:
        """Remove the present owner, if any, which must be the one that the event names."""
        assert contact.owner_assignment_id == work_id, "I17: the event names another owner"
        self._end_switch(contact)
        if work_id is not None:
            assert self.assignments[work_id].agent_id == agent_id, "I17: the event names an assignment of another agent"
            contact.owner_assignment_id = None

    def _wait_for_opening(self, contact: RefContact, *, waits: bool) -> None:
        """Begin or end the wait for the opening; at its end the clocks that stood still get the time back."""
        if waits is contact.waiting_for_opening:
            return
        contact.waiting_for_opening = waits
        if waits:
            contact.closed_since_ms = self.at_ms
            return
        assert self.policy is not None
        queue = self.policy.queues.get(contact.queue_id, QueuePolicy())
        took_ms, running = self.at_ms - contact.closed_since_ms, [str(clock) for clock in queue.clocks_while_closed]
        callback = contact.callback
        if callback is not None and callback.has_window:
            running.append("callback_expiry")
        if contact.ttl_at_ms is not None and ("ttl" if callback is None else "callback_expiry") not in running:
            contact.ttl_at_ms += took_ms
        if callback is not None and callback.expires_at_ms is not None and "callback_expiry" not in running:
            callback.expires_at_ms += took_ms
        if contact.wait_until_ms is not None and "wait_max" not in running:
            contact.wait_until_ms += took_ms
        if contact.step_until_ms is not None and "plan" not in running:
            contact.step_until_ms += took_ms
        if "service_level" not in running:
            contact.closed_ms += took_ms

    def is_running(self, contact: RefContact, clock: str) -> bool:
        """Return whether a clock of the contact runs now."""
        assert self.policy is not None
        queue = self.policy.queues.get(contact.queue_id, QueuePolicy())
        has_window = contact.callback is not None and contact.callback.has_window and clock == "callback_expiry"
        return not contact.waiting_for_opening or has_window or clock in queue.clocks_while_closed

    def _set_owner(self, contact: RefContact, work: RefAssignment) -> None:
        assert contact.owner_assignment_id is None, "I7: two owners"
        assert work.assignment_id not in self.assignments, "I16: an assignment starts twice"
        self.assignments[work.assignment_id] = work
        contact.state, contact.owner_assignment_id = ContactState.ASSIGNED, work.assignment_id
        if contact.callback is not None:
            contact.callback.for_agent_id = None
            if not contact.callback.dialling:
                contact.callback.due_at_ms = None
        # An accept ends a reservation, and the first answer ends the time to live.
        self._wait_for_opening(contact, waits=False)
        contact.preferred_agent_id, contact.ttl_at_ms, contact.step_until_ms = None, None, None
        contact.last_agent_id, contact.answered_at_ms = work.agent_id, self.at_ms
        if self.day is not None:
            self.agents[work.agent_id].contacts_today += 1
        self._move_to_idle_end(work.agent_id)
        for name in self.caps_on(work.channel):
            self.agents[work.agent_id].recent_contact_times.setdefault(name, []).append(self.at_ms)
        self._drop_unused_cap_times()

    def _move_to_idle_end(self, agent_id: str) -> None:
        self._idle_counter += 1
        self.agents[agent_id].idle_number = self._idle_counter

    def _cool_down(self, contact_id: str, agent_id: str | None, until_ms: int | None) -> None:
        if agent_id is not None and until_ms is not None:
            self.cool_downs[contact_id, agent_id] = until_ms

    def caps_on(self, channel: str) -> dict[str, RateCapPolicy]:
        """Return the caps that a contact of this channel counts in."""
        assert self.policy is not None
        own = self.policy.channels[channel].rate_cap if channel in self.policy.channels else None
        caps = {channel: own, "all": self.policy.agents.rate_cap}
        return {name: cap for name, cap in caps.items() if cap is not None}

    def _drop_unused_cap_times(self) -> None:
        """Keep the latest times of each capped channel, as many as the cap allows, and none of the others."""
        assert self.policy is not None
        caps = {"all": self.policy.agents.rate_cap}
        caps |= {name: channel.rate_cap for name, channel in self.policy.channels.items()}
        for agent in self.agents.values():
            agent.recent_contact_times = {
                name: times[-cap.contacts_max :]
                for name, times in agent.recent_contact_times.items()
                if (cap := caps.get(name)) is not None
            }

    def live_contact(self, contact_id: str) -> RefContact:
        """Return a contact that has not ended. AssertionError: an event concerns one that has."""
        contact = self.contacts[contact_id]
        assert not contact.state.is_terminal, "I18: an event concerns a contact that has ended"
        return contact

    def owner_of(self, contact: RefContact) -> str | None:
        """Return the agent that owns the contact."""
        return None if contact.owner_assignment_id is None else self.assignments[contact.owner_assignment_id].agent_id

    def consults(self, contact: RefContact) -> list[str]:
        """Return the assignments of agents that are consulted on the contact."""
        return [n for n, role in contact.participants.items() if role is AssignmentRole.CONSULT]

    def pending_offers_of(self, contact: RefContact) -> list[RefOffer]:
        """Return the pending offers of a contact."""
        return [
            offer for offer in self.offers.values() if offer.state is OfferState.PENDING and offer.contact_id == contact.contact_id
        ]

    def pending_offers(self) -> list[RefOffer]:
        """Return all pending offers."""
        return [offer for offer in self.offers.values() if offer.state is OfferState.PENDING]

    def open_assignments(self, agent: RefAgent | None = None) -> list[RefAssignment]:
        """Return the assignments that are not completed, of one agent or of all."""
        return [
            work
            for work in self.assignments.values()
            if work.state is not AssignmentState.COMPLETED and (agent is None or work.agent_id == agent.agent_id)
        ]

    def queue_of(self, contact: RefContact) -> QueuePolicy:
        """Return the policy of the contact's queue."""
        assert self.policy is not None
        return self.policy.queues[contact.queue_id]

    def channel(self, name: str) -> ChannelPolicy:
        """Return the policy of a channel."""
        assert self.policy is not None
        return self.policy.channels[name]
