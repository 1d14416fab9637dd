"""Independent audit of a run: applies the events to a state of its own and reports what violates the routing rules.

Theory of operation. The auditor rebuilds contacts, agents, offers and waiting lines from the events and the policy alone. A field
of an event that can be derived from earlier events (a wait, a place in line, an owner) is compared, never trusted. Checked are:

* sequence numbers have no gap, and time does not decrease;
* every offer ends exactly once, every assignment completes once, and every contact reaches at most one terminal state;
* a contact has at most one owner, and one pending offer (or as many as its queue broadcasts);
* offers go only to ready agents who are qualified, have free capacity and are not excluded, and no agent is above capacity;
* an agent never receives a contact while a contact that precedes it waits and the agent could take that one (order: priority
  class, the agent's queue ranks if the agent triggered the match, then the order of the queues);
* after each command, no contact waits that an available agent could take;
* waiting times in events are correct;
* suspensions, resumes and switches of the channel obey the rules in ``continuity``.

The search for missed matches compares every requirement class in line with every ready agent. Above ``_PAIRS_MAX`` pairs it runs
only after every ``_SAMPLE_EVERY``-th command; all other checks always run.
"""

from collections.abc import Callable
from typing import Final

from router.model import events as ev
from router.model.commands import Command
from router.model.results import Outcome, Refused
from router.model.states import AgentState
from router.simulator.audit.continuity import ContinuityAudit
from router.simulator.audit.offers import CallbackAudit, OfferAudit
from router.simulator.audit.state import AuditAgent, AuditContact, AuditState
from router.simulator.day import PlannedContact

# The most pairs of ready agent and requirement class that are compared after every command; above, only after every n-th.
_PAIRS_MAX: Final = 400
_SAMPLE_EVERY: Final = 64


class Auditor:
    """Run listener that checks every outcome. Call ``close`` after the run, then read ``violations`` and ``checks``."""

    def __init__(self) -> None:
        self._state = AuditState()
        self._log = self._state.log
        self._outcomes = 0
        self._terminal = 0
        self._submitted = 0
        self._choosing_since: dict[str, tuple[int, int]] = {}
        """Time and event of the contacts whose customers are choosing."""
        self._ready: dict[str, None] = {}
        self._continuity = ContinuityAudit(self._state, self._requeued)
        self._offers = OfferAudit(self._state, self._continuity.note_owner)
        self._handlers: dict[type[ev.Event], Callable[..., None]] = {
            ev.PolicyPublished: self._published,
            ev.QueueOpened: self._queue_opened_or_closed,
            ev.QueueClosed: self._queue_opened_or_closed,
            ev.AgentUpdated: self._agent_updated,
            ev.AgentRemoved: self._agent_removed,
            ev.AgentStateChanged: self._agent_state,
            ev.AgentNextStateSet: self._agent_next_state,
            ev.DesktopConnected: self._desktop_connected,
            ev.DesktopLost: self._desktop_lost,
            ev.ContactChoosing: self._choosing,
            ev.ContactQueued: self._queued,
            ev.ContactUpdated: self._contact_updated,
            ev.ContactRequeued: self._requeued,
            ev.ContactOverflowed: self._overflowed,
            ev.ContactPreferredAgentExpired: self._preference_expired,
            ev.ContactStepEntered: self._step_entered,
            ev.ContactAbandoned: self._ended_unanswered,
            ev.ContactCancelled: self._ended_unanswered,
            ev.ContactExpired: self._ended_unanswered,
            ev.ContactEnded: self._ended,
            ev.AgentChannelsSet: self._agent_channels,
            **self._offers.handlers,
            **CallbackAudit(self._state, self._offers).handlers,
            **self._continuity.handlers,
        }

    @property
    def violations(self) -> list[str]:
        """The violations found, at most VIOLATIONS_MAX of them."""
        return self._log.violations

    @property
    def violation_count(self) -> int:
        """The number of violations found."""
        return self._log.violation_count

    @property
    def checks(self) -> int:
        """The number of checks made."""
        return self._log.checks

    # --- the listener --------------------------------------------------------------------------------------------

    def on_arrival(self, plan: PlannedContact) -> None:
        """Ignore the arrival; only events are checked."""

    def on_outcome(self, command: Command, outcome: Outcome) -> None:
        """Check the events of an outcome and apply them to the audit state."""
        if outcome.at_ms < self._log.at_ms:
            self._log.report("time decreases")
        self._log.at_ms = outcome.at_ms
        self._outcomes += 1
        for n, event in enumerate(outcome.events):
            if outcome.first_seq + n != self._log.seq + 1:
                self._log.report(f"event {outcome.first_seq + n} follows event {self._log.seq}")
            self._log.seq = outcome.first_seq + n
            handler = self._handlers.get(type(event))
            if handler is not None:
                handler(event)
        if outcome.events or not isinstance(outcome.result, Refused):
            self._check_missed_matches()

    def close(self, unfinished: int) -> None:
        """Check the end of a run, in which ``unfinished`` contacts are reported as still alive."""
        live = len(self._state.contacts)
        if live != unfinished:
            self._log.report(f"{live} contacts are alive at the end, but {unfinished} are reported")
        if self._submitted != self._terminal + live:
            self._log.report("submitted contacts are not the sum of live and ended contacts")
        if unfinished == 0:
            for offer_id in self._offers.offers:
                self._log.report(f"offer {offer_id} never ends")
            for assignment_id in self._offers.assignments:
                self._log.report(f"assignment {assignment_id} is never completed")

    def _check_missed_matches(self) -> None:
        lines = self._state.lines
        if not lines or not self._ready:
            return
        pairs = len(lines) * len(self._ready)
        if pairs > _PAIRS_MAX and self._outcomes % _SAMPLE_EVERY:
            return
        self._log.checks += 1
        for agent_id in self._ready:
            agent = self._state.agent(agent_id)
            full = agent.channels_with_capacity is not None and not agent.channels_with_capacity
            if full or not self._state.accepts_offers(agent):
                continue
            contact = self._state.first_eligible(agent, ranked_before=None, at_ms=self._log.at_ms)
            if contact is not None:
                self._log.report(f"{contact.contact_id} waits although {agent_id} could take it")

    # --- policy and agents ---------------------------------------------------------------------------------------

    def _published(self, event: ev.PolicyPublished) -> None:
        self._state.apply_policy(event.policy)

    def _queue_opened_or_closed(self, event: ev.QueueOpened | ev.QueueClosed) -> None:
        closed = isinstance(event, ev.QueueClosed)
        self._log.check(
            event.until_ms is None or event.until_ms > self._log.at_ms, f"queue {event.queue_id} has a next change in the past"
        )
        holds = isinstance(event, ev.QueueClosed) and event.holds_contacts
        admitted = event.contact_ids if isinstance(event, ev.QueueOpened) else None
        self._state.set_queue_closed(event.queue_id, closed=closed, holds=holds, contact_ids=admitted)

    def _agent_updated(self, event: ev.AgentUpdated) -> None:
        agent = self._state.agents.get(event.agent_id)
        if agent is None:
            self._state.agents[event.agent_id] = AuditAgent(
                agent_id=event.agent_id,
                skills=event.skills,
                queues=event.queues,
                own_units=event.units,
                channel_max=event.channel_max,
                queue_ranks=event.queue_ranks,
                attributes=event.attributes,
            )
            return
        agent.skills, agent.queues = event.skills, event.queues
        agent.own_units, agent.channel_max = event.units, event.channel_max
        agent.queue_ranks, agent.attributes = event.queue_ranks, event.attributes
        self._state.clear_caches()

    def _agent_removed(self, event: ev.AgentRemoved) -> None:
        agent = self._state.agent(event.agent_id)
        del self._state.agents[event.agent_id]
        self._ready.pop(event.agent_id, None)
        self._state.clear_caches()
        self._log.check(not agent.items, f"agent {event.agent_id} is removed with open work")

    def _agent_state(self, event: ev.AgentStateChanged) -> None:
        agent = self._state.agent(event.agent_id)
        self._log.check(event.from_state is agent.state, f"agent {event.agent_id} was not {event.from_state}")
        agent.state, agent.next_state = event.state, None
        if event.reason == "desktop_lost":
            # The grace period is over: the agent may go ready again without a desktop.
            agent.desktop_lost = False
        if event.state is AgentState.READY:
            self._ready[event.agent_id] = None
        else:
            self._ready.pop(event.agent_id, None)

    def _agent_next_state(self, event: ev.AgentNextStateSet) -> None:
        self._state.agent(event.agent_id).next_state = event.state

    def _agent_channels(self, event: ev.AgentChannelsSet) -> None:
        self._state.agent(event.agent_id).paused_channels = frozenset(event.paused)

    def _desktop_connected(self, event: ev.DesktopConnected) -> None:
        self._state.agent(event.agent_id).desktop_lost = False

    def _desktop_lost(self, event: ev.DesktopLost) -> None:
        self._state.agent(event.agent_id).desktop_lost = True

    # --- contacts ------------------------------------------------------------------------------------------------

    def _choosing(self, event: ev.ContactChoosing) -> None:
        self._choosing_since[event.contact_id] = (self._log.at_ms, self._log.seq)

    def _queued(self, event: ev.ContactQueued) -> None:
        at_ms, seq = self._choosing_since.pop(event.contact_id, (self._log.at_ms, self._log.seq))
        place = (event.queued_at_ms or self._log.at_ms, event.queued_seq or self._log.seq)
        self._log.check(place == (at_ms, seq), f"{event.contact_id} has another place than its request")
        known = event.contact_id in self._state.contacts
        self._log.check(not known, f"{event.contact_id} is queued twice")
        self._submitted += 1
        contact = AuditContact(
            contact_id=event.contact_id,
            channel=event.channel,
            queue_id=event.queue_id,
            skills=event.skills,
            priority_s=event.priority_s,
            priority_class=event.priority_class,
            queued_at_ms=at_ms,
            queued_seq=seq,
            plan=event.plan,
            step=event.step,
            named_agents=event.preferred_agents,
            last_agent_id=event.last_agent_id,
            customer_facts=event.customer_facts,
        )
        self._state.enter_queue(contact, event.queue_id)
        self._state.contacts[event.contact_id] = contact
        self._state.update_line(contact)

    def _contact_updated(self, event: ev.ContactUpdated) -> None:
        if event.contact_id in self._choosing_since:
            return
        contact = self._state.live_contact(event.contact_id)
        if contact is None:
            return
        self._state.remove_from_line(contact)
        contact.skills = event.skills
        contact.priority_s, contact.priority_class = event.priority_s, event.priority_class
        contact.named_agents = event.preferred_agents
        contact.customer_facts = event.customer_facts
        self._state.update_line(contact)

    def _requeued(self, event: ev.ContactRequeued) -> None:
        contact = self._state.live_contact(event.contact_id)
        if contact is None:
            return
        self._log.check(event.queued_seq == contact.queued_seq, f"{event.contact_id} is requeued at another position")
        self._log.check(not contact.offers, f"{event.contact_id} is requeued with a pending offer")
        self._log.check(not contact.participants, f"{event.contact_id} is requeued with participants")
        self._state.remove_from_line(contact)
        if contact.owner is not None:
            # A contact that had an owner does not wait for the opening.
            contact.waiting_for_opening = False
        self._continuity.end_switch(event.contact_id)
        contact.owner = contact.assignment_id = None
        if event.queue_id != contact.queue_id or event.reason in ("transferred", "supervisor"):
            self._state.enter_queue(contact, event.queue_id)
        contact.preferred_agent_id = event.preferred_agent_id
        self._state.end_call(contact)
        self._state.return_to_line(contact)
        if event.queued_at_ms is not None:
            contact.queued_at_ms = event.queued_at_ms
        contact.plan, contact.step = event.plan, event.step
        if event.agent_id is not None and event.cool_down_until_ms is not None:
            contact.cool_downs[event.agent_id] = event.cool_down_until_ms
        self._state.update_line(contact)

    def _overflowed(self, event: ev.ContactOverflowed) -> None:
        contact = self._state.live_contact(event.contact_id)
        if contact is not None:
            self._log.check(contact.queue_id == event.from_queue_id, f"{event.contact_id} overflows from a queue it is not in")
            self._state.remove_from_line(contact)
            self._state.enter_queue(contact, event.queue_id)
            contact.plan, contact.step = event.plan, event.step
            self._state.update_line(contact)

    def _step_entered(self, event: ev.ContactStepEntered) -> None:
        contact = self._state.live_contact(event.contact_id)
        if contact is not None:
            self._state.remove_from_line(contact)
            contact.step = event.step
            self._state.update_line(contact)

    def _preference_expired(self, event: ev.ContactPreferredAgentExpired) -> None:
        contact = self._state.live_contact(event.contact_id)
        if contact is not None:
            contact.preferred_agent_id = None

    def _close_contact(self, contact_id: str) -> AuditContact | None:
        contact = self._state.live_contact(contact_id)
        if contact is not None:
            self._log.check(not contact.participants, f"{contact_id} ends with participants")
            self._state.remove_from_line(contact)
            self._state.end_call(contact)
            self._continuity.close(contact_id)
            del self._state.contacts[contact_id]
            self._terminal += 1
        return contact

    def _ended_unanswered(self, event: ev.ContactAbandoned | ev.ContactCancelled | ev.ContactExpired) -> None:
        if self._choosing_since.pop(event.contact_id, None) is not None:
            return  # It has waited in no queue.
        contact = self._close_contact(event.contact_id)
        if contact is None:
            return
        self._log.check(contact.owner is None, f"{event.contact_id} ends unanswered but has an owner")
        self._state.check_wait(contact, event.waited_ms)

    def _ended(self, event: ev.ContactEnded) -> None:
        contact = self._close_contact(event.contact_id)
        if contact is None:
            return
        self._log.check(
            contact.owner == event.agent_id and contact.assignment_id == event.assignment_id,
            f"{event.contact_id} is ended by an agent who is not its owner",
        )
