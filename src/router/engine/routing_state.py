"""State of one workspace: its records, and what is derived from them."""

from typing import Protocol

from router.engine.index.routing_index import RoutingIndex
from router.engine.state.timers import Timers
from router.engine.state.workspace import WorkspaceRecords
from router.model.events import Event


class SnapshotInProgress(Protocol):
    """An incremental snapshot, as the engine sees it while commands are executed."""

    def before_event(self, event: Event) -> None:
        """Save the records that this event is about to change."""

    def cancel(self) -> None:
        """Cancel the snapshot."""


class RoutingState(WorkspaceRecords):
    """Records of one workspace with their index and timers; event handlers write it, everything else reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.timers = Timers(self)
        self.index = RoutingIndex(self, self.timers)
        self.incremental_snapshot: SnapshotInProgress | None = None
        """The incremental snapshot in progress; it receives every event before the event is applied."""
