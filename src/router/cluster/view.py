"""The state of the cluster as one router answers for it: for ``GET /v1/cluster``.

The store is read on a thread, by one request at a time, and the result is used for a moment, so that many requests cost the store
no more than one. Where the store does not answer, the router says so, and what it knows by itself.
"""

import asyncio
import time
from typing import Final

from msgspec.structs import replace

from router.cluster.status import ClusterStatus, WorkspaceStatus
from router.journal.port import Journal
from router.model.states import WorkspaceId
from router.store_settings import StoreSettings

_USED_S: Final = 1.0


class ClusterView:
    """The state of the cluster, for requests."""

    def __init__(self, settings: StoreSettings, journal: Journal) -> None:
        self._settings = settings
        self._journal = journal
        self._reading = asyncio.Lock()
        self._found: ClusterStatus | None = None
        self._found_s = 0.0

    async def status(self, own: WorkspaceStatus) -> ClusterStatus:
        """Return the state with one workspace only; ``own`` is what this router knows of it."""
        journal = self._journal.status()
        if self._settings.url is None:
            return ClusterStatus(healthy=True, problems=(), store=None, durability=journal.durability, workspaces=(own,))
        found = await self._read()
        problems = [one for one in found.problems if not _is_of_other_workspace(one, own.workspace)]
        if journal.problem is not None:
            problems.append(f"this router: {journal.problem}")
        workspaces = tuple(one for one in found.workspaces if one.workspace == own.workspace) or (own,)
        return replace(found, healthy=not problems, problems=tuple(problems), workspaces=workspaces)

    async def _read(self) -> ClusterStatus:
        # The client library of the store takes a tenth of a second to load.
        from router.cluster.redis.status import read_cluster_status

        async with self._reading:
            if self._found is None or time.monotonic() - self._found_s > _USED_S:
                self._found = await asyncio.to_thread(read_cluster_status, self._settings)
                self._found_s = time.monotonic()
            return self._found


def _is_of_other_workspace(problem: str, workspace: WorkspaceId) -> bool:
    return problem.startswith("workspace ") and not problem.startswith(f"workspace {workspace}:")
