"""Lets the core decide without anything taking effect."""

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
"""What becomes of a contact whose wait or step is over. Requeued: it stays where it is, for good."""
STAYS: Final = "stays"


class Deciding(Step):
    """A step whose events are only gathered."""

    __slots__ = ()

    def __init__(self, state: RoutingState) -> None:
        super().__init__(state, state.at_ms)

    def emit(self, event: Event) -> None:
        """It would happen."""
        self.events.append(event)

    @property
    def move(self) -> Move | None:
        """The first thing that would happen to a contact that waits."""
        for event in self.events:
            if isinstance(event, Move):
                return event
        return None
