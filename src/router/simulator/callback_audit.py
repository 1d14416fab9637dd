"""Callback checks of the auditor, written from ``docs/callbacks.md`` and independent of the engine.

Tracks which customers are not connected, and checks that each customer-first attempt follows the rules for offers.
"""

from collections.abc import Callable

from router.model import events as ev
from router.model.policy import CallbackMode
from router.simulator.ledger import AgentBook, ContactBook, Ledger


class CallbackAudit:
    """Handlers of callback events; they update the audit state and check each attempt."""

    def __init__(
        self,
        ledger: Ledger,
        check: Callable[[object, str], None],
        check_pick: Callable[[AgentBook, ContactBook], None],
    ) -> None:
        self._ledger = ledger
        self._check = check
        self._check_pick = check_pick
        self.hear: dict[type, Callable[..., None]] = {
            ev.CallbackRequested: self._requested,
            ev.CallbackScheduled: self._scheduled,
            ev.CallbackDue: self._due,
            ev.CallbackConnected: self._connected,
            ev.CallbackFailed: self._failed,
        }

    def _contact(self, contact_id: str) -> ContactBook | None:
        contact = self._ledger.contacts.get(contact_id)
        self._check(contact is not None, f"{contact_id} is not a live contact")
        return contact

    def _requested(self, event: ev.CallbackRequested) -> None:
        contact = self._contact(event.contact_id)
        if contact is None:
            return
        self._check(
            contact.owner is None, f"{event.contact_id} becomes a callback but has an owner"
        )
        self._check(
            not contact.offers, f"{event.contact_id} becomes a callback with a pending offer"
        )
        self._ledger.take_out(contact)
        contact.channel = event.channel
        contact.calls_first = event.mode is CallbackMode.CUSTOMER_FIRST
        contact.is_callback = True
        self._ledger.come_back(contact)
        self._ledger.settle(contact)

    def _scheduled(self, event: ev.CallbackScheduled) -> None:
        contact = self._contact(event.contact_id)
        if contact is not None:
            contact.is_away, contact.held = True, False
            self._ledger.settle(contact)

    def _due(self, event: ev.CallbackDue) -> None:
        contact = self._contact(event.contact_id)
        if contact is None:
            return
        if event.for_agent_id is None:
            owned = contact.owner == event.agent_id
            self._check(owned, f"{event.contact_id} is called for an agent who is not its owner")
            return
        agent = self._ledger.agents[event.for_agent_id]
        name = f"{contact.contact_id} is called for {agent.agent_id}"
        self._check(contact.calls_first, f"{name}: its mode is agent first")
        self._check(self._ledger.is_open(agent), f"{name}, who is not ready")
        self._check(
            contact.channel in self._ledger.rooms(agent), f"{name}, who has no free capacity"
        )
        self._check_pick(agent, contact)
        self._ledger.dialling[agent.agent_id] = contact.contact_id
        contact.is_away = True
        self._ledger.settle(contact)

    def _connected(self, event: ev.CallbackConnected) -> None:
        contact = self._contact(event.contact_id)
        if contact is None:
            return
        self._check(
            contact.owner == event.agent_id, f"{event.contact_id} is connected to another agent"
        )
        self._ledger.call_is_over(contact)
        contact.calls_first = contact.is_callback = contact.is_away = contact.held = False
        self._ledger.settle(contact)

    def _failed(self, event: ev.CallbackFailed) -> None:
        contact = self._contact(event.contact_id)
        if contact is None:
            return
        self._check(
            contact.owner == event.agent_id,
            f"the failed attempt of {event.contact_id} names another owner",
        )
        self._ledger.call_is_over(contact)
        contact.owner = contact.assignment_id = None
        contact.is_away = True
        self._ledger.settle(contact)
