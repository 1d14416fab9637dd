"""Audit of conversations that go on later or on another channel: suspensions, resumes and switches.

Checked are, from the events and the policy alone:

* a suspended contact has no agent, offer or participant, is in no line, and its age counts waiting only;
* a resumed contact has the place that ``suspension.place`` says, and is reserved for its last agent or for no one;
* a switch is of the owner's own assignment, or to an agent in the conversation, holds no more than the agent's capacity allows, and
  begins and ends once.
"""

from collections.abc import Callable

from router.model import events as ev
from router.model.policy import ResumePlace
from router.simulator.audit.state import AuditContact, AuditState, CapacityItem


class ContinuityAudit:
    """Handlers of the events of suspended and switching contacts."""

    def __init__(self, state: AuditState, requeued: Callable[[ev.ContactRequeued], None]) -> None:
        self._state = state
        self._log = state.log
        self._requeued = requeued
        self._ages_ms: dict[str, int] = {}
        """Ages of suspended contacts."""
        self._answered_at_ms: dict[str, int] = {}
        self._held: dict[str, str] = {}
        """Agents who hold capacity for a switch, by contact."""
        self.handlers: dict[type[ev.Event], Callable[..., None]] = {
            ev.ContactSuspended: self._suspended,
            ev.ContactResumed: self._resumed,
            ev.ContactChannelRequested: self._requested,
            ev.ContactChannelSwitched: self._switched,
            ev.ContactChannelFailed: self._failed,
        }

    def note_owner(self, contact: AuditContact, answered_at_ms: int) -> None:
        """Note when the agent who owns a contact from now on has answered it."""
        self._answered_at_ms[contact.contact_id] = answered_at_ms

    def end_switch(self, contact_id: str) -> None:
        """End a switch in progress, with what is held for it."""
        agent_id = self._held.pop(contact_id, None)
        if agent_id is not None:
            self._state.remove_item(self._state.agent(agent_id), _held_item(contact_id))

    def close(self, contact_id: str) -> None:
        """Forget a contact that has ended."""
        self.end_switch(contact_id)
        self._ages_ms.pop(contact_id, None)
        self._answered_at_ms.pop(contact_id, None)

    def _suspended(self, event: ev.ContactSuspended) -> None:
        contact = self._state.live_contact(event.contact_id)
        if contact is None:
            return
        self._log.check(contact.contact_id not in self._ages_ms, f"{event.contact_id} is suspended twice")
        self._log.check(contact.owner == event.agent_id, f"{event.contact_id} is suspended with another owner")
        self._log.check(not contact.offers, f"{event.contact_id} is suspended with a pending offer")
        self._log.check(not contact.participants, f"{event.contact_id} is suspended with participants")
        until_ms = self._log.at_ms if contact.owner is None else self._answered_at_ms.get(event.contact_id, self._log.at_ms)
        waited_ms = until_ms - contact.queued_at_ms
        self._log.check(event.age_ms == waited_ms, f"{event.contact_id} is suspended at a wrong age of {event.age_ms} ms")
        self.end_switch(event.contact_id)
        self._state.remove_from_line(contact)
        self._state.end_call(contact)
        contact.owner = contact.assignment_id = contact.preferred_agent_id = None
        contact.is_callback = contact.is_customer_first = contact.waiting_for_opening = False
        contact.is_off_the_line = True
        self._ages_ms[event.contact_id] = waited_ms

    def _resumed(self, event: ev.ContactResumed) -> None:
        contact = self._state.live_contact(event.contact_id)
        if contact is None:
            return
        age_ms = self._ages_ms.pop(event.contact_id, None)
        self._log.check(age_ms is not None, f"{event.contact_id} is resumed but not suspended")
        terms = self._state.queue(contact.queue_id).suspension
        ages_ms = {ResumePlace.KEEP_AGE: age_ms or 0, ResumePlace.CREDIT: 1000 * terms.credit_s, ResumePlace.FRESH: 0}
        right = event.queued_at_ms == self._log.at_ms - ages_ms[terms.place]
        self._log.check(right, f"{event.contact_id} is resumed at another place than {terms.place}")
        known = event.preferred_agent_id in (None, contact.last_agent_id)
        self._log.check(known, f"{event.contact_id} is reserved for an agent who did not have it")
        contact.channel = event.channel
        self._state.enter_queue(contact, event.queue_id)
        self._requeued(event)

    def _requested(self, event: ev.ContactChannelRequested) -> None:
        contact = self._state.live_contact(event.contact_id)
        if contact is None:
            return
        owned = (contact.owner, contact.assignment_id) == (event.agent_id, event.assignment_id)
        self._log.check(owned, f"{event.contact_id} switches with an agent who is not its owner")
        self._log.check(event.from_channel == contact.channel, f"{event.contact_id} switches from a channel that it is not on")
        self.end_switch(event.contact_id)
        if event.deadline_ms is None:
            return
        if event.to_assignment_id is not None:
            # Nothing is held: the work of the agent who is to take the contact over has the capacity already.
            beside = contact.participants.get(event.to_assignment_id)
            self._log.check(beside == event.to_agent_id, f"{event.contact_id} is passed to an agent who is not in the conversation")
            self._log.check(event.held_units == 0, f"{event.contact_id} holds capacity of an agent who is to leave it")
            return
        agent = self._state.agent(event.agent_id)
        item = CapacityItem(contact_id=event.contact_id, channel=event.channel, units=event.held_units)
        self._state.add_item(agent, _held_item(event.contact_id), item)
        self._held[event.contact_id] = event.agent_id
        fits = self._state.units_used(agent) <= self._state.units(agent)
        self._log.check(fits, f"{event.agent_id} is above capacity by what is held for {event.contact_id}")

    def _switched(self, event: ev.ContactChannelSwitched) -> None:
        contact = self._state.live_contact(event.contact_id)
        if contact is None:
            return
        self._log.check(event.from_channel == contact.channel, f"{event.contact_id} switches from a channel that it is not on")
        self._log.check(event.agent_id == contact.owner, f"{event.contact_id} switches with another owner")
        self.end_switch(event.contact_id)
        self._state.remove_from_line(contact)
        contact.channel = event.channel
        if event.agent_id is None or event.assignment_id is None:
            self._state.update_line(contact)
            return
        agent = self._state.agent(event.agent_id)
        units = self._state.channel(event.channel).units
        self._log.check(event.units == units, f"{event.contact_id} switches with wrong units")
        item = CapacityItem(contact_id=event.contact_id, channel=event.channel, units=units)
        self._state.add_item(agent, event.assignment_id, item)
        fits = self._state.units_used(agent) <= self._state.units(agent)
        self._log.check(fits, f"{event.agent_id} is above capacity after the switch of {event.contact_id}")

    def _failed(self, event: ev.ContactChannelFailed) -> None:
        contact = self._state.live_contact(event.contact_id)
        if contact is not None:
            self._log.check(event.channel != contact.channel, f"{event.contact_id} fails to switch to its own channel")
        self.end_switch(event.contact_id)


def _held_item(contact_id: str) -> str:
    return f"{contact_id} switch"
