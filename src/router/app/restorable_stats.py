"""The statistics of a workspace in the form that recovery needs."""

from collections.abc import Callable

import msgspec

from router.model.events import Event
from router.policy.calendar import local_day_bounds
from router.runtime.writer import Writer
from router.statistics.incremental import IncrementalStats
from router.statistics.workspace import WorkspaceStats


class RestorableStats:
    """The statistics of a workspace in the form that recovery needs: created first, restored later."""

    def __init__(self) -> None:
        self._replace(WorkspaceStats(local_day_bounds))

    def _replace(self, stats: WorkspaceStats) -> None:
        self.stats = stats
        # The bound method itself, without an indirection, as it is called for every event.
        self.apply: Callable[[Event, int, int], None] = stats.apply

    def prepare_snapshot(self) -> bool:
        """Do a piece of the work before a snapshot; return whether there is more."""
        return self.stats.prepare_snapshot()

    def incremental_snapshot(self) -> IncrementalStats:
        """Begin to serialise the statistics."""
        return self.stats.incremental_snapshot()

    def restore(self, snapshot: bytes) -> None:
        """Replace the statistics by a snapshot. Raises DecodeError for a snapshot of another version."""
        try:
            self._replace(WorkspaceStats.restore(snapshot, local_day_bounds))
        except ValueError as error:
            raise msgspec.DecodeError(str(error)) from None


def workspace_stats(writer: Writer, workspace: str) -> WorkspaceStats:
    """Return the statistics of a workspace of the writer."""
    kept = writer.stats(workspace)
    assert isinstance(kept, RestorableStats)
    return kept.stats
