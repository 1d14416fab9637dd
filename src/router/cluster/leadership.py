"""Which workspaces this node leads: taking them over when their lease is free, handing them over to the node that is preferred.

The preferred node of a workspace is the first by rendezvous hashing among the live members that follow it and do not drain. It
takes a free lease at once; any other node waits half a lifetime of the lease more, so that two nodes that see different members do
not race. What is safe does not depend on that: the epoch and the compare-and-set of the append do it.

A workspace that was taken over is led when its log has been read to its end. Where reading does not go on, for example because no
replica confirms what was read, the lease is given back; the other workspaces do not wait for it.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
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
# Time in which another node can begin to follow what this one gives away at its end.
_DRAIN_S: Final = 6.0


class Leadership:
    """Takes workspaces and gives them away. For the event loop only."""

    def __init__(
        self,
        writer: Writer,
        journal: SharedRedisJournal,
        inbox: Inbox,
        *,
        candidates: Callable[[WorkspaceId], Iterable[str]],
        possible: Callable[[WorkspaceId], Iterable[str]] | None = None,
        on_led: Callable[[WorkspaceId], None],
        on_change: Callable[[WorkspaceId, bool], None] = lambda _workspace, _is_led: None,
        between: Callable[[], Awaitable[None]] | None = None,
        elsewhere: Callable[[], Mapping[WorkspaceId, str | None]] = dict,
    ) -> None:
        """``candidates``: ids of the nodes that follow a workspace and may lead it; ``possible``: and of those that can begin to.

        ``on_led`` is called after each take-over, ``between`` while nothing is taken and nothing handed over. ``elsewhere`` returns
        the leaders of workspaces that this node does not follow.
        """
        self._elsewhere = elsewhere
        self._possible = candidates if possible is None else possible
        self._between = between
        self._writer = writer
        self._journal = journal
        self._inbox = inbox
        self._candidates = candidates
        self._on_led = on_led
        self._on_change = on_change
        self._free_since_s: dict[WorkspaceId, float] = {}
        self._preferred_since_s: dict[WorkspaceId, tuple[str, float]] = {}
        self._patience_s: dict[WorkspaceId, float] = {}
        self._catching_up: dict[WorkspaceId, tuple[int, float]] = {}
        """Workspaces taken over whose log is not read to its end: how far it is read and applied, and since when."""
        self._not_before_s: dict[WorkspaceId, float] = {}
        """When a workspace that was given back may be taken again."""
        self._is_draining = False
        self._busy = asyncio.Lock()
        self.leaders: dict[WorkspaceId, str | None] = {}
        """The node that leads each workspace, as far as known; None: the lease is free."""
        self.take_overs = 0
        self.hand_overs = 0
        self.given_up = 0
        """Times that a lease was given back because the log could not be read to its end."""

    def led(self) -> list[WorkspaceId]:
        """Return the workspaces that this node leads."""
        return [workspace for workspace in self._writer.workspaces if self._writer.is_led(workspace)]

    async def run(self) -> None:
        """Take and hand over until cancelled. Raises JournalError where the store cannot be used any more."""
        while True:
            async with self._busy:
                if not self._is_draining:
                    await self._take_free()
                    await self._lead_read()
                    await self._hand_over_to_preferred()
                    if self._between is not None:
                        await self._between()
            await asyncio.sleep(_CATCH_UP_PAUSE_S if self._catching_up else POLL_S)

    async def drain(self) -> None:
        """Hand everything over, if another node can lead, and take nothing any more."""
        self._is_draining = True
        async with self._busy:
            for workspace in list(self._catching_up):
                await self._give_up(workspace)
            until_s = time.monotonic() + _DRAIN_S
            while waiting := [one for one in self.led() if self._others(self._possible(one))]:
                for workspace in waiting:
                    if self._others(self._candidates(workspace)):
                        await self._hand_over(workspace)
                if time.monotonic() >= until_s:
                    return
                # Where no other node follows a workspace, one begins to when it hears of the end of this one.
                await asyncio.sleep(_CATCH_UP_PAUSE_S)

    def is_busy(self, workspace: WorkspaceId) -> bool:
        """Return whether this node leads a workspace or is about to."""
        return workspace in self._catching_up or self._writer.is_led(workspace)

    def forget(self, workspace: WorkspaceId) -> None:
        """Forget what is noted of a workspace that is followed no longer."""
        for noted in (self._free_since_s, self._preferred_since_s, self._patience_s, self._not_before_s):
            noted.pop(workspace, None)

    def _others(self, node_ids: Iterable[str]) -> bool:
        return any(node_id != self._journal.node_id for node_id in node_ids)

    def _preferred(self, workspace: WorkspaceId) -> str:
        return next(iter(rank(workspace, self._candidates(workspace))), self._journal.node_id)

    async def _take_free(self) -> None:
        holders = await self._journal.lease_holders()
        own, now_s = self._journal.node_id, time.monotonic()
        self.leaders = {**self._elsewhere(), **dict.fromkeys(self.led(), own), **dict.fromkeys(self._catching_up), **holders}
        for workspace, holder in holders.items():
            if holder is not None and holder != own:
                self._free_since_s.pop(workspace, None)
                continue
            if now_s < self._not_before_s.get(workspace, now_s):
                continue
            since_s = self._free_since_s.setdefault(workspace, now_s)
            if self._preferred(workspace) != own and now_s - since_s < self._patience(workspace):
                continue
            if await self._journal.take_over(workspace):
                if self._is_read(workspace):
                    await self._lead(workspace)
                else:
                    self._catching_up[workspace] = (0, now_s)
            self._free_since_s.pop(workspace, None)
            self._patience_s.pop(workspace, None)

    def _patience(self, workspace: WorkspaceId) -> float:
        """Return how long a node that is not preferred leaves a free lease to the one that is."""
        return self._patience_s.setdefault(workspace, self._journal.settings.lease_s * random.uniform(0.25, 0.5))

    async def _lead_read(self) -> None:
        """Lead what has been read to its end, waiting a moment for the rest, and give back what does not go on."""
        until_s = time.monotonic() + POLL_S
        while self._catching_up:
            for workspace in list(self._catching_up):
                if self._is_read(workspace):
                    del self._catching_up[workspace]
                    await self._lead(workspace)
                elif self._stands_still(workspace):
                    await self._give_up(workspace)
            if time.monotonic() >= until_s:
                return
            await asyncio.sleep(_CATCH_UP_PAUSE_S)

    def _stands_still(self, workspace: WorkspaceId) -> bool:
        """Return whether nothing more has been read and applied for the lifetime of a lease."""
        position = self._journal.followed_seq(workspace) + self._writer.publisher.last_seq(workspace)
        known, since_s = self._catching_up[workspace]
        if position != known:
            self._catching_up[workspace] = (position, time.monotonic())
            return False
        return time.monotonic() - since_s >= self._journal.settings.lease_s

    async def _give_up(self, workspace: WorkspaceId) -> None:
        """Let another node take over; this one tries again if none has within the lifetime of a lease."""
        del self._catching_up[workspace]
        await self._journal.give_up(workspace)
        self._not_before_s[workspace] = time.monotonic() + self._journal.settings.lease_s
        self.given_up += 1
        self.leaders[workspace] = None

    async def _lead(self, workspace: WorkspaceId) -> None:
        """Lead a workspace that was taken over and whose log has been read and applied to its end."""
        self._not_before_s.pop(workspace, None)
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

    def _is_read(self, workspace: WorkspaceId) -> bool:
        read_seq = self._journal.followed_seq(workspace)
        return self._journal.is_caught_up(workspace) and self._writer.publisher.last_seq(workspace) == read_seq

    async def _hand_over_to_preferred(self) -> None:
        own, now_s = self._journal.node_id, time.monotonic()
        for workspace in self.led():
            preferred = next(iter(rank(workspace, self._possible(workspace))), own)
            if preferred == own or preferred not in self._candidates(workspace):
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
