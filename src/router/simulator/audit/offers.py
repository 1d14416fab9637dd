"""Checks of offers, assignments and callbacks, independent of the engine.

They are written from ``docs/reference/routing.md`` and ``docs/how-to/callbacks.md``. The offer checks verify who receives which
contact, that each offer and each assignment ends once, that a contact has one owner at a time, and that no agent is above capacity.

A callback is in a waiting line while no attempt is running and no agreed time is awaited. A customer-first attempt is made for an
agent, who must be the one that an offer would be made to; until its outcome is known, no other customer is dialled for that agent.
An agent-first attempt is made for the owner. When the customer is connected, a customer-first callback is a waiting contact again.
"""

from collections.abc import Callable

from router.model import events as ev
from router.model.policy import CallbackMode
from router.model.states import AssignmentRole, MatchTrigger
from router.simulator.audit.state import AuditAgent, AuditContact, AuditState, CapacityItem


class OfferAudit:
    """Handlers of offer and assignment events; they update the audit state and check each event."""

    def __init__(self, state: AuditState, note_owner: Callable[[AuditContact, int], None]) -> None:
        """``note_owner`` is told of each contact that gets an owner, with the time at which that agent has answered it."""
        self._note_owner = note_owner
        self.offers: dict[str, ev.OfferMade] = {}
        """Pending offers by id."""
        self._joined_at_ms: dict[str, int] = {}
        """When the agents beside an owner have joined, by their assignment."""
        self.assignments: dict[str, tuple[str, str]] = {}
        """Contact and agent of the open assignments, by id."""
        self._state = state
        self._log = state.log
        self.handlers: dict[type[ev.Event], Callable[..., None]] = {
            ev.ContactAssigned: self._assigned,
            ev.OfferMade: self._offer_made,
            ev.OfferAccepted: self._offer_accepted,
            ev.OfferDeclined: self._offer_ended,
            ev.OfferExpired: self._offer_ended,
            ev.OfferRescinded: self._offer_ended,
            ev.ParticipantAdded: self._added,
            ev.ParticipantLeft: self._left,
            ev.ContactHandedOver: self._handed_over,
            ev.AssignmentParked: self._parked,
            ev.AssignmentUnparked: self._parked,
            ev.WrapUpStarted: self._wrap_up,
            ev.AssignmentCompleted: self._completed,
        }

    # --- offers --------------------------------------------------------------------------------------------------

    def _offer_made(self, event: ev.OfferMade) -> None:
        contact = self._state.live_contact(event.contact_id)
        if contact is None:
            return
        agent = self._state.agent(event.agent_id)
        self._log.check(event.offer_id not in self.offers, f"offer {event.offer_id} is made twice")
        self._log.check(event.deadline_ms > self._log.at_ms, f"offer {event.offer_id} has a deadline in the past")
        self._log.check(self._state.accepts_offers(agent), f"{agent.agent_id} receives an offer while not ready")
        self._log.check(
            contact.channel in self._state.channels_with_capacity(agent), f"{agent.agent_id} receives an offer beyond capacity"
        )
        closed = self._state.is_channel_closed(agent, contact.channel, self._log.at_ms)
        self._log.check(not closed, f"{agent.agent_id} receives an offer of a paused or capped channel")
        if event.from_agent_id is None:
            self.check_selection(agent, contact, event.match_trigger)
        else:
            self._log.check(
                contact.owner == event.from_agent_id, f"{event.contact_id} is transferred by an agent who is not its owner"
            )
        self.offers[event.offer_id] = event
        contact.offers_made += 1
        contact.offers.add(event.offer_id)
        units = self._state.channel(event.channel).units
        item = CapacityItem(contact_id=event.contact_id, channel=event.channel, units=units, pending=True)
        self._state.add_item(agent, event.offer_id, item)
        self._state.update_line(contact)

    def check_selection(self, agent: AuditAgent, contact: AuditContact, trigger: MatchTrigger | None = None) -> None:
        """Check that the agent may take the contact and that no contact the agent could take precedes it.

        ``trigger`` decides the order: with ``AGENT``, the agent's queue ranks precede the order of the contacts. A callback
        attempt does not state it; then either order is accepted.
        """
        name = f"{contact.contact_id} for {agent.agent_id}"
        rank, requirement = contact.rank, contact.requirement
        if rank is None or requirement is None:
            self._log.check(False, f"{name}: it is in no waiting line")
            return
        self._log.check(self._state.is_qualified(agent, requirement), f"{name}: the agent is not qualified")
        excluded = self._state.is_excluded(agent, contact, self._log.at_ms)
        self._log.check(not excluded, f"{name}: the agent is excluded")
        before = None
        if trigger is not MatchTrigger.AGENT or not agent.queue_ranks:
            before = self._state.first_eligible(agent, ranked_before=rank, at_ms=self._log.at_ms)
        by_queue_ranks = trigger is MatchTrigger.AGENT or (trigger is None and before is not None)
        if agent.queue_ranks and by_queue_ranks:
            before = self._state.first_preferred(agent, contact, self._log.at_ms)
        self._log.check(before is None, f"{name}: {before and before.contact_id} precedes it")

    def _close_offer(self, offer_id: str) -> ev.OfferMade | None:
        offer = self.offers.pop(offer_id, None)
        self._log.check(offer is not None, f"offer {offer_id} is not pending")
        if offer is not None:
            contact = self._state.contacts.get(offer.contact_id)
            if contact is not None:
                contact.offers.discard(offer_id)
        return offer

    def _offer_accepted(self, event: ev.OfferAccepted) -> None:
        offer = self._close_offer(event.offer_id)
        contact = self._state.live_contact(event.contact_id)
        if offer is None or contact is None:
            return
        self._log.check(offer.agent_id == event.agent_id, f"offer {event.offer_id} was made to another agent")
        self._log.check(self._log.at_ms < offer.deadline_ms, f"offer {event.offer_id} is accepted after its deadline")
        takes_over = offer.role is AssignmentRole.OWNER and offer.reason == "channel"
        self._log.check(takes_over is event.takes_over, f"offer {event.offer_id} takes a contact over otherwise than it was made")
        role = AssignmentRole.CONSULT if takes_over else offer.role
        self._log.check(role is event.role, f"offer {event.offer_id} was for another role")
        self._log.check(contact.owner == event.from_agent_id, f"{event.contact_id} has two owners at once")
        self._state.check_wait(contact, event.waited_ms)
        if event.role is AssignmentRole.OWNER:
            self._assign_owner(contact, event.agent_id, event.offer_id)
        else:
            self._add_participant(contact, event.agent_id, event.offer_id)

    def _assign_owner(self, contact: AuditContact, agent_id: str, assignment_id: str) -> None:
        contact.owner, contact.assignment_id = agent_id, assignment_id
        self._state.end_call(contact)
        contact.is_off_the_line = False
        contact.last_agent_id = agent_id
        self._note_owner(contact, self._log.at_ms)
        self.assignments[assignment_id] = (contact.contact_id, agent_id)
        self._state.update_line(contact)
        agent = self._state.agent(agent_id)
        self._state.record_accept(agent, assignment_id, self._log.at_ms)
        self._check_capacity(agent, contact.channel)

    def _add_participant(self, contact: AuditContact, agent_id: str, assignment_id: str) -> None:
        """Add an agent to a conversation beside its owner."""
        present = (contact.owner, *contact.participants.values())
        self._log.check(contact.owner is not None, f"{contact.contact_id} has a participant but no owner")
        self._log.check(agent_id not in present, f"{agent_id} joins {contact.contact_id} twice")
        contact.participants[assignment_id] = agent_id
        self._joined_at_ms[assignment_id] = self._log.at_ms
        self.assignments[assignment_id] = (contact.contact_id, agent_id)
        self._check_capacity(self._state.agent(agent_id), contact.channel)

    def _added(self, event: ev.ParticipantAdded) -> None:
        contact = self._state.live_contact(event.contact_id)
        if contact is None:
            return
        units = self._state.channel(contact.channel).units
        item = CapacityItem(contact_id=event.contact_id, channel=contact.channel, units=units)
        self._state.add_item(self._state.agent(event.agent_id), event.assignment_id, item)
        self._add_participant(contact, event.agent_id, event.assignment_id)

    def _left(self, event: ev.ParticipantLeft) -> None:
        contact = self._state.live_contact(event.contact_id)
        if contact is None:
            return
        known = contact.participants.pop(event.assignment_id, None)
        self._log.check(known == event.agent_id, f"{event.agent_id} leaves {event.contact_id} without having joined")

    def _handed_over(self, event: ev.ContactHandedOver) -> None:
        contact = self._state.live_contact(event.contact_id)
        if contact is None:
            return
        known = contact.participants.pop(event.assignment_id, None)
        self._log.check(known == event.agent_id, f"{event.contact_id} is handed over to an agent who is no participant")
        self._log.check(
            (contact.owner, contact.assignment_id) == (event.from_agent_id, event.from_assignment_id),
            f"{event.contact_id} has two owners at once",
        )
        self._log.check(not contact.offers, f"{event.contact_id} is handed over with a pending offer")
        contact.owner, contact.assignment_id = event.agent_id, event.assignment_id
        contact.last_agent_id = event.agent_id
        self._note_owner(contact, self._joined_at_ms.get(event.assignment_id, self._log.at_ms))

    def _check_capacity(self, agent: AuditAgent, channel: str) -> None:
        state = self._state
        fits = state.units_used(agent) <= state.units(agent) and state.item_count(agent, channel) <= state.channel_max(
            agent, channel
        )
        self._log.check(fits, f"{agent.agent_id} is above capacity")

    def _offer_ended(self, event: ev.OfferDeclined | ev.OfferExpired | ev.OfferRescinded) -> None:
        offer = self._close_offer(event.offer_id)
        if offer is None:
            return
        self._state.remove_item(self._state.agent(offer.agent_id), event.offer_id)
        if isinstance(event, ev.OfferExpired):
            early = self._log.at_ms < offer.deadline_ms
            self._log.check(not early, f"offer {event.offer_id} expires before its deadline")
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
        contact = self._state.live_contact(event.contact_id)
        if contact is None:
            return
        self._log.check(contact.owner == event.from_agent_id, f"{event.contact_id} has two owners at once")
        units = self._state.channel(contact.channel).units
        item = CapacityItem(contact_id=event.contact_id, channel=contact.channel, units=units)
        self._state.add_item(self._state.agent(event.agent_id), event.assignment_id, item)
        self._assign_owner(contact, event.agent_id, event.assignment_id)

    def _parked(self, event: ev.AssignmentParked | ev.AssignmentUnparked) -> None:
        known = self.assignments.get(event.assignment_id)
        self._log.check(known == (event.contact_id, event.agent_id), f"{event.assignment_id} is parked or unparked but not open")
        agent = self._state.agent(event.agent_id)
        self._state.park(agent, event.assignment_id, parked=isinstance(event, ev.AssignmentParked))

    def _wrap_up(self, event: ev.WrapUpStarted) -> None:
        known = self.assignments.get(event.assignment_id)
        self._log.check(known == (event.contact_id, event.agent_id), f"{event.assignment_id} starts wrap-up but is not open")
        self._state.wrap_up(self._state.agent(event.agent_id), event.assignment_id)

    def _completed(self, event: ev.AssignmentCompleted) -> None:
        known = self.assignments.pop(event.assignment_id, None)
        self._joined_at_ms.pop(event.assignment_id, None)
        self._log.check(known == (event.contact_id, event.agent_id), f"{event.assignment_id} is completed but not open")
        contact = self._state.contacts.get(event.contact_id)
        owned = contact is not None and (
            contact.assignment_id == event.assignment_id or event.assignment_id in contact.participants
        )
        self._log.check(not owned, f"{event.assignment_id} is completed while its contact is live")
        self._state.remove_item(self._state.agent(event.agent_id), event.assignment_id)


class CallbackAudit:
    """Handlers of callback events; they update the audit state and check each attempt."""

    def __init__(self, state: AuditState, offers: OfferAudit) -> None:
        self._state = state
        self._log = state.log
        self._offers = offers
        self.handlers: dict[type, Callable[..., None]] = {
            ev.CallbackRequested: self._requested,
            ev.CallbackScheduled: self._scheduled,
            ev.CallbackDialRequested: self._dial_requested,
            ev.CallbackConnected: self._connected,
            ev.CallbackFailed: self._failed,
        }

    def _requested(self, event: ev.CallbackRequested) -> None:
        contact = self._state.live_contact(event.contact_id)
        if contact is None:
            return
        self._log.check(contact.owner is None, f"{event.contact_id} becomes a callback but has an owner")
        self._log.check(not contact.offers, f"{event.contact_id} becomes a callback with a pending offer")
        self._state.remove_from_line(contact)
        contact.channel = event.channel
        contact.is_customer_first = event.mode is CallbackMode.CUSTOMER_FIRST
        contact.is_callback = True
        self._state.return_to_line(contact)
        self._state.update_line(contact)

    def _scheduled(self, event: ev.CallbackScheduled) -> None:
        contact = self._state.live_contact(event.contact_id)
        if contact is not None:
            contact.is_off_the_line, contact.waiting_for_opening = True, False
            self._state.update_line(contact)

    def _dial_requested(self, event: ev.CallbackDialRequested) -> None:
        contact = self._state.live_contact(event.contact_id)
        if contact is None:
            return
        if event.for_agent_id is None:
            owned = contact.owner == event.agent_id
            self._log.check(owned, f"{event.contact_id} is called for an agent who is not its owner")
            return
        agent = self._state.agent(event.for_agent_id)
        name = f"{contact.contact_id} is called for {agent.agent_id}"
        self._log.check(contact.is_customer_first, f"{name}: its mode is agent first")
        self._log.check(self._state.accepts_offers(agent), f"{name}, who is not ready")
        self._log.check(contact.channel in self._state.channels_with_capacity(agent), f"{name}, who has no free capacity")
        self._offers.check_selection(agent, contact)
        self._state.dialling[agent.agent_id] = contact.contact_id
        contact.is_off_the_line = True
        self._state.update_line(contact)

    def _connected(self, event: ev.CallbackConnected) -> None:
        contact = self._state.live_contact(event.contact_id)
        if contact is None:
            return
        self._log.check(contact.owner == event.agent_id, f"{event.contact_id} is connected to another agent")
        self._state.end_call(contact)
        contact.is_customer_first = contact.is_callback = contact.is_off_the_line = contact.waiting_for_opening = False
        self._state.update_line(contact)

    def _failed(self, event: ev.CallbackFailed) -> None:
        contact = self._state.live_contact(event.contact_id)
        if contact is None:
            return
        self._log.check(contact.owner == event.agent_id, f"the failed attempt of {event.contact_id} names another owner")
        self._state.end_call(contact)
        contact.owner = contact.assignment_id = None
        contact.is_off_the_line = True
        self._state.update_line(contact)
