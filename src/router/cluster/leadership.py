"""Which workspaces this node leads: taking them over when their lease is free, handing them over to the node that is preferred.

The preferred node of a workspace is the first by rendezvous hashing among the live members that follow it and do not drain. It
takes a free lease at once; any other node waits half a lifetime of the lease more, so that two nodes that see different members do
not race. What is safe does not depend on that: the epoch and the compare-and-set of the append do it.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from typing import Final

from router.cluster.inbox import Inbox
from router.cluster.rendezvous import rank
from router.journal.redis.shared_journal import SharedRedisJournal
from router.model.states import WorkspaceId
from router.runtime.writer import Writer

POLL_S: Final = 0.2
# A node that is preferred for this long gets the workspace, so that a node that comes and goes does not move it each time.
_STABLE_S: Final = 3.0
_CATCH_UP_PAUSE_S: Final = 0.005


class Leadership:
    """Takes workspaces and gives them away. For the event loop only."""

    def __init__(
        self,
        writer: Writer,
        journal: SharedRedisJournal,
        inbox: Inbox,
        *,
        candidates: Callable[[WorkspaceId], Iterable[str]],
        on_led: Callable[[WorkspaceId], None],
        on_change: Callable[[WorkspaceId, bool], None] = lambda _workspace, _is_led: None,
    ) -> None:
        """``candidates``: ids of the nodes that follow a workspace and may lead it. ``on_led`` is called after each take-over."""
        self._writer = writer
        self._journal = journal
        self._inbox = inbox
        self._candidates = candidates
        self._on_led = on_led
        self._on_change = on_change
        self._free_since_s: dict[WorkspaceId, float] = {}
        self._preferred_since_s: dict[WorkspaceId, tuple[str, float]] = {}
        self._patience_s: dict[WorkspaceId, float] = {}
        self._is_draining = False
        self._busy = asyncio.Lock()
        self.leaders: dict[WorkspaceId, str | None] = {}
        """The node that leads each workspace, as far as known; None: the lease is free."""
        self.take_overs = 0
        self.hand_overs = 0

    def led(self) -> list[WorkspaceId]:
        """Return the workspaces that this node leads."""
        return [workspace for workspace in self._writer.workspaces if self._writer.is_led(workspace)]

    async def run(self) -> None:
        """Take and hand over until cancelled. Raises JournalError where the store cannot be used any more."""
        while True:
            async with self._busy:
                if not self._is_draining:
                    await self._take_free()
                    await self._hand_over_to_preferred()
            await asyncio.sleep(POLL_S)

    async def drain(self) -> None:
        """Hand everything over, if another node can lead, and take nothing any more."""
        self._is_draining = True
        async with self._busy:
            for workspace in self.led():
                if any(node_id != self._journal.node_id for node_id in self._candidates(workspace)):
                    await self._hand_over(workspace)

    def _preferred(self, workspace: WorkspaceId) -> str:
        return next(iter(rank(workspace, self._candidates(workspace))), self._journal.node_id)

    async def _take_free(self) -> None:
        holders = await self._journal.lease_holders()
        own, now_s = self._journal.node_id, time.monotonic()
        self.leaders = {**dict.fromkeys(self.led(), own), **holders}
        for workspace, holder in holders.items():
            if holder is not None and holder != own:
                self._free_since_s.pop(workspace, None)
                continue
            since_s = self._free_since_s.setdefault(workspace, now_s)
            if self._preferred(workspace) != own and now_s - since_s < self._patience(workspace):
                continue
            if await self._journal.take_over(workspace):
                await self._lead(workspace)
            self._free_since_s.pop(workspace, None)
            self._patience_s.pop(workspace, None)

    def _patience(self, workspace: WorkspaceId) -> float:
        """Return how long a node that is not preferred leaves a free lease to the one that is."""
        return self._patience_s.setdefault(workspace, self._journal.settings.lease_s * random.uniform(0.25, 0.5))

    async def _lead(self, workspace: WorkspaceId) -> None:
        """Lead a workspace that was taken over, when its log has been read and applied to its end."""
        while not self._is_applied(workspace):  # noqa: ASYNC110  (the records come through two queues)
            await asyncio.sleep(_CATCH_UP_PAUSE_S)
        position = ""

        def take() -> int:
            nonlocal position
            epoch, position = self._journal.lead(workspace)
            return epoch

        await self._writer.lead(workspace, take)
        self._inbox.add(workspace, self._writer.epoch(workspace), position)
        self.take_overs += 1
        self.leaders[workspace] = self._journal.node_id
        self._on_change(workspace, True)
        self._on_led(workspace)

    def _is_applied(self, workspace: WorkspaceId) -> bool:
        read_seq = self._journal.followed_seq(workspace)
        return self._journal.is_caught_up(workspace) and self._writer.publisher.last_seq(workspace) == read_seq

    async def _hand_over_to_preferred(self) -> None:
        own, now_s = self._journal.node_id, time.monotonic()
        for workspace in self.led():
            preferred = self._preferred(workspace)
            if preferred == own:
                self._preferred_since_s.pop(workspace, None)
                continue
            name, since_s = self._preferred_since_s.get(workspace, ("", now_s))
            if name != preferred:
                self._preferred_since_s[workspace] = (preferred, now_s)
            elif now_s - since_s >= _STABLE_S:
                del self._preferred_since_s[workspace]
                await self._hand_over(workspace)
                # One at a time, so that commands of the others do not wait.
                return

    async def _hand_over(self, workspace: WorkspaceId) -> None:
        self._inbox.remove(workspace)
        await self._writer.follow(workspace)
        # The next leader's answers must not come before these.
        await self._inbox.flush()
        await self._journal.hand_over(workspace)
        self._free_since_s.pop(workspace, None)
        self.hand_overs += 1
        self.leaders[workspace] = None
        self._on_change(workspace, False)
