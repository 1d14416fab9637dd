"""Dry run: let the engine decide without applying the result."""

from typing import Final, TypeAlias

from router.core.decide.step import Step
from router.core.state import RoutingState
from router.model.events import (
    ContactExpired,
    ContactOverflowed,
    ContactRequeued,
    ContactStepEntered,
    Event,
)

Move: TypeAlias = ContactOverflowed | ContactStepEntered | ContactExpired | ContactRequeued
"""What happens to a contact when its wait or plan step ends. ContactRequeued: it stays in its queue without limit."""
STAYS: Final = "stays"


class Deciding(Step):
    """A transaction whose events are collected and not applied."""

    __slots__ = ()

    def __init__(self, state: RoutingState) -> None:
        super().__init__(state, state.at_ms)

    def emit(self, event: Event) -> None:
        """Collect the event."""
        self.events.append(event)

    @property
    def move(self) -> Move | None:
        """Return the first transition of a waiting contact among the collected events."""
        for event in self.events:
            if isinstance(event, Move):
                return event
        return None
