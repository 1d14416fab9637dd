"""Callback checks of the auditor, written from ``docs/how-to/callbacks.md`` and independent of the engine.

A callback is in a waiting line while no attempt is running and no agreed time is awaited. A customer-first attempt is made for an
agent, who must be the one that an offer would be made to; until its outcome is known, no other customer is dialled for that agent.
An agent-first attempt is made for the owner. When the customer is connected, a customer-first callback is a waiting contact again.
"""

from collections.abc import Callable

from router.model import events as ev
from router.model.policy import CallbackMode
from router.simulator.audit.offers import OfferAudit
from router.simulator.audit.state import AuditState


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
        self._log.check(
            contact.owner is None, f"{event.contact_id} becomes a callback but has an owner"
        )
        self._log.check(
            not contact.offers, f"{event.contact_id} becomes a callback with a pending offer"
        )
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
            self._log.check(
                owned, f"{event.contact_id} is called for an agent who is not its owner"
            )
            return
        agent = self._state.agent(event.for_agent_id)
        name = f"{contact.contact_id} is called for {agent.agent_id}"
        self._log.check(contact.is_customer_first, f"{name}: its mode is agent first")
        self._log.check(self._state.accepts_offers(agent), f"{name}, who is not ready")
        self._log.check(
            contact.channel in self._state.channels_with_capacity(agent),
            f"{name}, who has no free capacity",
        )
        self._offers.check_selection(agent, contact)
        self._state.dialling[agent.agent_id] = contact.contact_id
        contact.is_off_the_line = True
        self._state.update_line(contact)

    def _connected(self, event: ev.CallbackConnected) -> None:
        contact = self._state.live_contact(event.contact_id)
        if contact is None:
            return
        self._log.check(
            contact.owner == event.agent_id, f"{event.contact_id} is connected to another agent"
        )
        self._state.end_call(contact)
        contact.is_customer_first = contact.is_callback = contact.is_off_the_line = (
            contact.waiting_for_opening
        ) = False
        self._state.update_line(contact)

    def _failed(self, event: ev.CallbackFailed) -> None:
        contact = self._state.live_contact(event.contact_id)
        if contact is None:
            return
        self._log.check(
            contact.owner == event.agent_id,
            f"the failed attempt of {event.contact_id} names another owner",
        )
        self._state.end_call(contact)
        contact.owner = contact.assignment_id = None
        contact.is_off_the_line = True
        self._state.update_line(contact)
