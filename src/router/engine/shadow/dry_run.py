"""Dry run: let the engine decide without applying the result."""

from typing import Final, TypeAlias

from router.engine.commands.transaction import Transaction
from router.engine.routing_state import RoutingState
from router.engine.state.contact import Contact, WaitingLine
from router.model.events import ContactExpired, ContactOverflowed, ContactQueued, ContactRequeued, ContactStepEntered, Event

WaitTransition: TypeAlias = ContactOverflowed | ContactStepEntered | ContactExpired | ContactRequeued
"""What happens to a contact when its wait or plan step ends. ContactRequeued: it stays in its queue without limit."""
REASON_STAYS: Final = "overflow_impossible"


class DryRunTransaction(Transaction):
    """A transaction whose events are collected and not applied."""

    __slots__ = ()

    def __init__(self, state: RoutingState) -> None:
        super().__init__(state, state.at_ms)

    def emit(self, event: Event) -> None:
        """Collect the event."""
        self.events.append(event)

    def emit_queued(self, event: ContactQueued, line: WaitingLine) -> Contact | None:
        """Collect the event."""
        self.events.append(event)
        return None

    @property
    def first_transition(self) -> WaitTransition | None:
        """Return the first transition of a waiting contact among the collected events."""
        for event in self.events:
            if isinstance(event, WaitTransition):
                return event
        return None
