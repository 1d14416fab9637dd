"""What the parts of the process do about workspaces that this node begins and ends to follow."""

from collections.abc import Callable
from typing import Final

import structlog

from router.app.restorable_stats import workspace_stats
from router.engine.engine import Engine
from router.model.events import WorkspaceCreated, WorkspaceRemoved
from router.records.service import RecordService
from router.runtime.publisher import PublishedRecord
from router.runtime.shadow_runner import ShadowRunner
from router.runtime.writer import Writer
from router.server.auth.credentials import Authenticator
from router.server.customers.live_customers import LiveCustomers
from router.server.references import References
from router.statistics.workspace import WorkspaceStats

_OF_WORKSPACES: Final[frozenset[type]] = frozenset((WorkspaceCreated, WorkspaceRemoved))

_log: Final = structlog.get_logger("router.app")


class LiveParts:
    """References, customers, records, shadows and statistics of workspaces that come and go."""

    def __init__(
        self,
        writer: Writer,
        authenticator: Authenticator,
        stats: dict[str, WorkspaceStats],
        references: References,
        customers: LiveCustomers | None,
        records: RecordService | None,
        shadows: ShadowRunner,
    ) -> None:
        self._writer = writer
        self._authenticator = authenticator
        self._stats = stats
        self._references = references
        self._customers = customers
        self._records = records
        self._shadows = shadows
        self.is_connected: Callable[[str], bool] = lambda _workspace: False
        """Returns whether a client of a workspace is connected to this node."""
        self.close_refused_sockets: Callable[[], None] = lambda: None
        """Closes the sockets whose credential is not accepted any more."""
        # Also of workspaces that other nodes create and remove.
        subscription = writer.feed.subscribe_inline("workspaces", self._on_record)
        subscription.event_types = _OF_WORKSPACES

    async def load(self, workspace: str) -> None:
        """Load what belongs to a workspace that was rebuilt; its next record comes afterwards."""
        if self._customers is not None:
            await self._customers.load_followed(workspace)
        await self._references.load_workspace(workspace)
        await self._shadows.load_workspace(workspace)
        if self._records is not None:
            await self._records.load_workspace(workspace)

    def followed(self, workspace: str) -> None:
        """Go on with a workspace that was loaded and is in the event feed."""
        if self._customers is not None:
            self._customers.followed(workspace)
        self._accept(workspace)
        _log.info("this node begins to follow the workspace", action="follow", workspace=workspace)

    def _on_record(self, published: PublishedRecord) -> None:
        self._accept(published.workspace)

    def _accept(self, workspace: str) -> None:
        """Accept the tokens of a workspace that was created over the API, until it is removed."""
        if workspace in self._writer.created_workspaces:
            self._authenticator.add_workspace(workspace)
        elif workspace in self._writer.removed_workspaces and workspace in self._authenticator.workspaces:
            self._authenticator.remove_workspace(workspace)
            self.close_refused_sockets()
        if workspace in self._authenticator.workspaces:
            self._stats[workspace] = workspace_stats(self._writer, workspace)
        else:
            self._stats.pop(workspace, None)

    def left(self, workspace: str, engine: Engine) -> None:
        """Forget a workspace, of which nothing is in use."""
        self._stats.pop(workspace, None)
        self._references.forget_workspace(engine)
        self._shadows.forget_workspace(workspace)
        if self._records is not None:
            self._records.forget_workspace(workspace)
        if self._customers is not None:
            self._customers.left(workspace)
        _log.info("this node does not need the workspace any more", action="unfollow", workspace=workspace)

    def is_in_use(self, workspace: str) -> bool:
        """Return whether a connection of this node needs a workspace, or something of it is being written."""
        return self.is_connected(workspace) or (self._customers is not None and self._customers.is_behind(workspace))
