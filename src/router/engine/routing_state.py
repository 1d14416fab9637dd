"""State of one workspace: its records, and what is derived from them."""

from typing import Protocol

from router.engine.index.routing_index import RoutingIndex
from router.engine.state.timers import Timers
from router.engine.state.workspace import WorkspaceRecords
from router.model.events import Event


class EventObserver(Protocol):
    """A snapshot or a query that is built between commands and must know what they change."""

    def before_event(self, event: Event) -> None:
        """Save or note the records that this event is about to change."""

    def cancel(self) -> None:
        """Cancel the work: records are changed by events that are not shown to it."""


class RoutingState(WorkspaceRecords):
    """Records of one workspace with their index and timers; event handlers write it, everything else reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.timers = Timers(self)
        self.index = RoutingIndex(self, self.timers)
        self.observers: list[EventObserver] = []
        """Snapshots and queries in progress; each receives every event before the event is applied."""
        self.incremental_snapshot: EventObserver | None = None
        """The incremental snapshot in progress, which is also an observer."""
