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
* waiting times in events are correct.

The search for missed matches compares every requirement class in line with every ready agent. Above ``_PAIRS_MAX`` pairs it runs
only after every ``_SAMPLE_EVERY``-th command; all other checks always run.
"""

from collections.abc import Callable
from typing import Final

from router.model import events as ev
from router.model.commands import Command
from router.model.results import Outcome, Refused
from router.model.states import AgentState, AssignmentRole, MatchTrigger
from router.simulator.audit.callbacks import CallbackAudit
from router.simulator.audit.state import AuditAgent, AuditContact, AuditState, CapacityItem
from router.simulator.day import PlannedContact

# The most violations kept as text; further ones are only counted.
VIOLATIONS_MAX: Final = 50
# The most pairs of ready agent and requirement class that are compared after every command; above, only after every n-th.
_PAIRS_MAX: Final = 400
_SAMPLE_EVERY: Final = 64


class Auditor:
    """Run listener that checks every outcome. Call ``close`` after the run, then read ``violations`` and ``checks``."""

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.violation_count = 0
        self.checks = 0
        self._state = AuditState()
        self._seq = 0
        self._at_ms = 0
        self._steps = 0
        self._offers: dict[str, ev.OfferMade] = {}
        self._assignments: dict[str, tuple[str, str]] = {}
        self._terminal = 0
        self._submitted = 0
        self._ready: dict[str, None] = {}
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
            ev.ContactQueued: self._queued,
            ev.ContactUpdated: self._contact_updated,
            ev.ContactRequeued: self._requeued,
            ev.ContactOverflowed: self._overflowed,
            ev.ContactPreferredAgentExpired: self._preference_expired,
            ev.ContactStepEntered: self._step_entered,
            ev.ContactAssigned: self._assigned,
            ev.ContactAbandoned: self._ended_unanswered,
            ev.ContactCancelled: self._ended_unanswered,
            ev.ContactExpired: self._ended_unanswered,
            ev.ContactEnded: self._ended,
            ev.OfferMade: self._offer_made,
            ev.OfferAccepted: self._offer_accepted,
            ev.OfferDeclined: self._offer_ended,
            ev.OfferExpired: self._offer_ended,
            ev.OfferRescinded: self._offer_ended,
            ev.ParticipantAdded: self._added,
            ev.ParticipantLeft: self._left,
            ev.ContactHandedOver: self._handed_over,
            ev.AgentChannelsSet: self._agent_channels,
            ev.AssignmentParked: self._parked,
            ev.AssignmentUnparked: self._parked,
            ev.WrapUpStarted: self._wrap_up,
            ev.AssignmentCompleted: self._completed,
            **CallbackAudit(self._state, self._check, self._check_selection).handlers,
        }

    # --- the listener --------------------------------------------------------------------------------------------

    def on_arrival(self, plan: PlannedContact) -> None:
        """Ignore the arrival; only events are checked."""

    def on_outcome(self, command: Command, outcome: Outcome) -> None:
        """Check the events of an outcome and apply them to the audit state."""
        if outcome.at_ms < self._at_ms:
            self._report("time decreases")
        self._at_ms = outcome.at_ms
        self._steps += 1
        for n, event in enumerate(outcome.events):
            if outcome.first_seq + n != self._seq + 1:
                self._report(f"event {outcome.first_seq + n} follows event {self._seq}")
            self._seq = outcome.first_seq + n
            handler = self._handlers.get(type(event))
            if handler is not None:
                handler(event)
        if outcome.events or not isinstance(outcome.result, Refused):
            self._check_missed_matches()

    def close(self, unfinished: int) -> None:
        """Check the end of a run, in which ``unfinished`` contacts are reported as still alive."""
        live = len(self._state.contacts)
        if live != unfinished:
            self._report(f"{live} contacts are alive at the end, but {unfinished} are reported")
        if self._submitted != self._terminal + live:
            self._report("submitted contacts are not the sum of live and ended contacts")
        if unfinished == 0:
            for offer_id in self._offers:
                self._report(f"offer {offer_id} never ends")
            for assignment_id in self._assignments:
                self._report(f"assignment {assignment_id} is never completed")

    def _report(self, sentence: str) -> None:
        self.violation_count += 1
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(f"at {self._at_ms} ms, event {self._seq}: {sentence}")

    def _check(self, holds: object, sentence: str) -> None:
        self.checks += 1
        if not holds:
            self._report(sentence)

    def _check_missed_matches(self) -> None:
        lines = self._state.lines
        if not lines or not self._ready:
            return
        pairs = len(lines) * len(self._ready)
        if pairs > _PAIRS_MAX and self._steps % _SAMPLE_EVERY:
            return
        self.checks += 1
        for agent_id in self._ready:
            agent = self._state.agents[agent_id]
            full = agent.channels_with_capacity is not None and not agent.channels_with_capacity
            if full or not self._state.accepts_offers(agent):
                continue
            contact = self._state.first_eligible(agent, ranked_before=None, at_ms=self._at_ms)
            if contact is not None:
                self._report(f"{contact.contact_id} waits although {agent_id} could take it")

    # --- policy and agents ---------------------------------------------------------------------------------------

    def _published(self, event: ev.PolicyPublished) -> None:
        self._state.apply_policy(event.policy)

    def _queue_opened_or_closed(self, event: ev.QueueOpened | ev.QueueClosed) -> None:
        closed = isinstance(event, ev.QueueClosed)
        self._check(
            event.until_ms is None or event.until_ms > self._at_ms,
            f"queue {event.queue_id} has a next change in the past",
        )
        holds = isinstance(event, ev.QueueClosed) and event.holds_contacts
        self._state.set_queue_closed(event.queue_id, closed=closed, holds=holds)

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
            )
            return
        agent.skills, agent.queues = event.skills, event.queues
        agent.own_units, agent.channel_max = event.units, event.channel_max
        agent.queue_ranks = event.queue_ranks
        self._state.clear_caches()

    def _agent_removed(self, event: ev.AgentRemoved) -> None:
        agent = self._state.agents.pop(event.agent_id)
        self._ready.pop(event.agent_id, None)
        self._state.clear_caches()
        self._check(not agent.items, f"agent {event.agent_id} is removed with open work")

    def _agent_state(self, event: ev.AgentStateChanged) -> None:
        agent = self._state.agents[event.agent_id]
        self._check(
            event.from_state is agent.state, f"agent {event.agent_id} was not {event.from_state}"
        )
        agent.state, agent.next_state = event.state, None
        if event.reason == "desktop_lost":
            # The grace period is over: the agent may go ready again without a desktop.
            agent.desktop_lost = False
        if event.state is AgentState.READY:
            self._ready[event.agent_id] = None
        else:
            self._ready.pop(event.agent_id, None)

    def _agent_next_state(self, event: ev.AgentNextStateSet) -> None:
        self._state.agents[event.agent_id].next_state = event.state

    def _agent_channels(self, event: ev.AgentChannelsSet) -> None:
        self._state.agents[event.agent_id].paused_channels = frozenset(event.paused)

    def _desktop_connected(self, event: ev.DesktopConnected) -> None:
        self._state.agents[event.agent_id].desktop_lost = False

    def _desktop_lost(self, event: ev.DesktopLost) -> None:
        self._state.agents[event.agent_id].desktop_lost = True

    # --- contacts ------------------------------------------------------------------------------------------------

    def _contact(self, contact_id: str) -> AuditContact | None:
        contact = self._state.contacts.get(contact_id)
        self._check(contact is not None, f"{contact_id} is not a live contact")
        return contact

    def _queued(self, event: ev.ContactQueued) -> None:
        known = event.contact_id in self._state.contacts
        self._check(not known, f"{event.contact_id} is queued twice")
        self._submitted += 1
        contact = AuditContact(
            contact_id=event.contact_id,
            channel=event.channel,
            queue_id=event.queue_id,
            skills=event.skills,
            priority_s=event.priority_s,
            priority_class=event.priority_class,
            queued_at_ms=self._at_ms,
            queued_seq=self._seq,
            plan=event.plan,
            step=event.step,
            named_agents=event.preferred_agents,
            last_agent_id=event.last_agent_id,
        )
        self._state.enter_queue(contact, event.queue_id)
        self._state.contacts[event.contact_id] = contact
        self._state.update_line(contact)

    def _contact_updated(self, event: ev.ContactUpdated) -> None:
        contact = self._contact(event.contact_id)
        if contact is None:
            return
        self._state.remove_from_line(contact)
        contact.skills = event.skills
        contact.priority_s, contact.priority_class = event.priority_s, event.priority_class
        contact.named_agents = event.preferred_agents
        self._state.update_line(contact)

    def _requeued(self, event: ev.ContactRequeued) -> None:
        contact = self._contact(event.contact_id)
        if contact is None:
            return
        self._check(
            event.queued_seq == contact.queued_seq,
            f"{event.contact_id} is requeued at another position",
        )
        self._check(not contact.offers, f"{event.contact_id} is requeued with a pending offer")
        self._check(not contact.participants, f"{event.contact_id} is requeued with participants")
        self._state.remove_from_line(contact)
        if contact.owner is not None:
            contact.waiting_for_opening = (
                False  # A contact that had an owner does not wait for the opening.
            )
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
        contact = self._contact(event.contact_id)
        if contact is not None:
            self._check(
                contact.queue_id == event.from_queue_id,
                f"{event.contact_id} overflows from a queue it is not in",
            )
            self._state.remove_from_line(contact)
            self._state.enter_queue(contact, event.queue_id)
            contact.plan, contact.step = event.plan, event.step
            self._state.update_line(contact)

    def _step_entered(self, event: ev.ContactStepEntered) -> None:
        contact = self._contact(event.contact_id)
        if contact is not None:
            self._state.remove_from_line(contact)
            contact.step = event.step
            self._state.update_line(contact)

    def _preference_expired(self, event: ev.ContactPreferredAgentExpired) -> None:
        contact = self._contact(event.contact_id)
        if contact is not None:
            contact.preferred_agent_id = None

    def _close_contact(self, contact_id: str) -> AuditContact | None:
        contact = self._contact(contact_id)
        if contact is not None:
            self._check(not contact.participants, f"{contact_id} ends with participants")
            self._state.remove_from_line(contact)
            self._state.end_call(contact)
            del self._state.contacts[contact_id]
            self._terminal += 1
        return contact

    def _ended_unanswered(
        self, event: ev.ContactAbandoned | ev.ContactCancelled | ev.ContactExpired
    ) -> None:
        contact = self._close_contact(event.contact_id)
        if contact is None:
            return
        self._check(contact.owner is None, f"{event.contact_id} ends unanswered but has an owner")
        self._check_wait(contact, event.waited_ms)

    def _ended(self, event: ev.ContactEnded) -> None:
        contact = self._close_contact(event.contact_id)
        if contact is None:
            return
        self._check(
            contact.owner == event.agent_id and contact.assignment_id == event.assignment_id,
            f"{event.contact_id} is ended by an agent who is not its owner",
        )

    def _check_wait(self, contact: AuditContact, waited_ms: int) -> None:
        self._check(
            waited_ms == self._at_ms - contact.queued_at_ms,
            f"{contact.contact_id} has a wrong wait of {waited_ms} ms",
        )

    # --- offers --------------------------------------------------------------------------------------------------

    def _offer_made(self, event: ev.OfferMade) -> None:
        contact, agent = self._contact(event.contact_id), self._state.agents[event.agent_id]
        if contact is None:
            return
        self._check(event.offer_id not in self._offers, f"offer {event.offer_id} is made twice")
        self._check(
            event.deadline_ms > self._at_ms, f"offer {event.offer_id} has a deadline in the past"
        )
        self._check(
            self._state.accepts_offers(agent), f"{agent.agent_id} receives an offer while not ready"
        )
        self._check(
            contact.channel in self._state.channels_with_capacity(agent),
            f"{agent.agent_id} receives an offer beyond capacity",
        )
        closed = self._state.is_channel_closed(agent, contact.channel, self._at_ms)
        self._check(not closed, f"{agent.agent_id} receives an offer of a paused or capped channel")
        if event.from_agent_id is None:
            self._check_selection(agent, contact, event.match_trigger)
        else:
            self._check(
                contact.owner == event.from_agent_id,
                f"{event.contact_id} is transferred by an agent who is not its owner",
            )
        self._offers[event.offer_id] = event
        contact.offers_made += 1
        contact.offers.add(event.offer_id)
        units = self._state.channel(event.channel).units
        item = CapacityItem(
            contact_id=event.contact_id, channel=event.channel, units=units, pending=True
        )
        self._state.add_item(agent, event.offer_id, item)
        self._state.update_line(contact)

    def _check_selection(
        self, agent: AuditAgent, contact: AuditContact, turn: MatchTrigger | None = None
    ) -> None:
        """Check that the agent may take the contact and that no contact the agent could take precedes it."""
        name = f"{contact.contact_id} for {agent.agent_id}"
        place, kind = contact.rank, contact.requirement
        if place is None or kind is None:
            self._check(False, f"{name}: it is in no waiting line")
            return
        self._check(self._state.is_qualified(agent, kind), f"{name}: the agent is not qualified")
        excluded = self._state.is_excluded(agent, contact, self._at_ms)
        self._check(not excluded, f"{name}: the agent is excluded")
        first = None
        if turn is not MatchTrigger.AGENT or not agent.queue_ranks:
            first = self._state.first_eligible(agent, ranked_before=place, at_ms=self._at_ms)
        # A callback attempt does not state the match trigger: either order is accepted.
        if agent.queue_ranks and (
            turn is MatchTrigger.AGENT or (turn is None and first is not None)
        ):
            first = self._state.first_preferred(agent, contact, self._at_ms)
        self._check(first is None, f"{name}: {first and first.contact_id} precedes it")

    def _close_offer(self, offer_id: str) -> ev.OfferMade | None:
        offer = self._offers.pop(offer_id, None)
        self._check(offer is not None, f"offer {offer_id} is not pending")
        if offer is not None:
            contact = self._state.contacts.get(offer.contact_id)
            if contact is not None:
                contact.offers.discard(offer_id)
        return offer

    def _offer_accepted(self, event: ev.OfferAccepted) -> None:
        offer = self._close_offer(event.offer_id)
        contact = self._contact(event.contact_id)
        if offer is None or contact is None:
            return
        self._check(
            offer.agent_id == event.agent_id, f"offer {event.offer_id} was made to another agent"
        )
        self._check(
            self._at_ms < offer.deadline_ms,
            f"offer {event.offer_id} is accepted after its deadline",
        )
        self._check(offer.role is event.role, f"offer {event.offer_id} was for another role")
        self._check(
            contact.owner == event.from_agent_id, f"{event.contact_id} has two owners at once"
        )
        self._check_wait(contact, event.waited_ms)
        if event.role is AssignmentRole.OWNER:
            self._assign_owner(contact, event.agent_id, event.offer_id)
        else:
            self._add_participant(contact, event.agent_id, event.offer_id)

    def _assign_owner(self, contact: AuditContact, agent_id: str, assignment_id: str) -> None:
        contact.owner, contact.assignment_id = agent_id, assignment_id
        self._state.end_call(contact)
        contact.is_off_the_line = False
        contact.last_agent_id = agent_id
        self._assignments[assignment_id] = (contact.contact_id, agent_id)
        self._state.update_line(contact)
        agent = self._state.agents[agent_id]
        self._state.record_accept(agent, assignment_id, self._at_ms)
        self._check_capacity(agent, contact.channel)

    def _add_participant(self, contact: AuditContact, agent_id: str, assignment_id: str) -> None:
        """Add an agent to a conversation beside its owner."""
        present = (contact.owner, *contact.participants.values())
        self._check(
            contact.owner is not None, f"{contact.contact_id} has a participant but no owner"
        )
        self._check(agent_id not in present, f"{agent_id} joins {contact.contact_id} twice")
        contact.participants[assignment_id] = agent_id
        self._assignments[assignment_id] = (contact.contact_id, agent_id)
        self._check_capacity(self._state.agents[agent_id], contact.channel)

    def _added(self, event: ev.ParticipantAdded) -> None:
        contact = self._contact(event.contact_id)
        if contact is None:
            return
        units = self._state.channel(contact.channel).units
        item = CapacityItem(contact_id=event.contact_id, channel=contact.channel, units=units)
        self._state.add_item(self._state.agents[event.agent_id], event.assignment_id, item)
        self._add_participant(contact, event.agent_id, event.assignment_id)

    def _left(self, event: ev.ParticipantLeft) -> None:
        contact = self._contact(event.contact_id)
        if contact is None:
            return
        known = contact.participants.pop(event.assignment_id, None)
        self._check(
            known == event.agent_id,
            f"{event.agent_id} leaves {event.contact_id} without having joined",
        )

    def _handed_over(self, event: ev.ContactHandedOver) -> None:
        contact = self._contact(event.contact_id)
        if contact is None:
            return
        known = contact.participants.pop(event.assignment_id, None)
        self._check(
            known == event.agent_id,
            f"{event.contact_id} is handed over to an agent who is no participant",
        )
        self._check(
            (contact.owner, contact.assignment_id)
            == (event.from_agent_id, event.from_assignment_id),
            f"{event.contact_id} has two owners at once",
        )
        self._check(not contact.offers, f"{event.contact_id} is handed over with a pending offer")
        contact.owner, contact.assignment_id = event.agent_id, event.assignment_id
        contact.last_agent_id = event.agent_id

    def _check_capacity(self, agent: AuditAgent, channel: str) -> None:
        ledger = self._state
        fits = ledger.units_used(agent) <= ledger.units(agent)
        fits = fits and ledger.item_count(agent, channel) <= ledger.channel_max(agent, channel)
        self._check(fits, f"{agent.agent_id} is above capacity")

    def _offer_ended(self, event: ev.OfferDeclined | ev.OfferExpired | ev.OfferRescinded) -> None:
        offer = self._close_offer(event.offer_id)
        if offer is None:
            return
        self._state.remove_item(self._state.agents[offer.agent_id], event.offer_id)
        if isinstance(event, ev.OfferExpired):
            early = self._at_ms < offer.deadline_ms
            self._check(not early, f"offer {event.offer_id} expires before its deadline")
        contact = self._state.contacts.get(offer.contact_id)
        if contact is None:
            return
        until_ms = getattr(event, "cool_down_until_ms", None)
        if until_ms is not None:
            contact.cool_downs[offer.agent_id] = until_ms
        # After its last offer the contact returns to its line with the requeue event; earlier only if a broadcast offer is pending.
        if contact.offers:
            self._state.update_line(contact)

    # --- assignments ---------------------------------------------------------------------------------------------

    def _assigned(self, event: ev.ContactAssigned) -> None:
        contact = self._contact(event.contact_id)
        if contact is None:
            return
        self._check(
            contact.owner == event.from_agent_id, f"{event.contact_id} has two owners at once"
        )
        units = self._state.channel(contact.channel).units
        item = CapacityItem(contact_id=event.contact_id, channel=contact.channel, units=units)
        self._state.add_item(self._state.agents[event.agent_id], event.assignment_id, item)
        self._assign_owner(contact, event.agent_id, event.assignment_id)

    def _parked(self, event: ev.AssignmentParked | ev.AssignmentUnparked) -> None:
        known = self._assignments.get(event.assignment_id)
        self._check(
            known == (event.contact_id, event.agent_id),
            f"{event.assignment_id} is parked or unparked but not open",
        )
        agent = self._state.agents[event.agent_id]
        self._state.park(agent, event.assignment_id, parked=isinstance(event, ev.AssignmentParked))

    def _wrap_up(self, event: ev.WrapUpStarted) -> None:
        known = self._assignments.get(event.assignment_id)
        self._check(
            known == (event.contact_id, event.agent_id),
            f"{event.assignment_id} starts wrap-up but is not open",
        )
        self._state.wrap_up(self._state.agents[event.agent_id], event.assignment_id)

    def _completed(self, event: ev.AssignmentCompleted) -> None:
        known = self._assignments.pop(event.assignment_id, None)
        self._check(
            known == (event.contact_id, event.agent_id),
            f"{event.assignment_id} is completed but not open",
        )
        contact = self._state.contacts.get(event.contact_id)
        owned = contact is not None and (
            contact.assignment_id == event.assignment_id
            or event.assignment_id in contact.participants
        )
        self._check(not owned, f"{event.assignment_id} is completed while its contact is live")
        self._state.remove_item(self._state.agents[event.agent_id], event.assignment_id)
