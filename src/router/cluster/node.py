"""The process as one node of several on a store: what runs beside the writer, and in which order it starts and stops.

Start, once the writer has recovered and runs: commands go to leaders, logs are followed, free workspaces are taken. Drain: the
workspaces are handed over while sockets still work. Stop, once the writer has ended: the threads end.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Final

from router.cluster.follower import Follower
from router.cluster.following import Following
from router.cluster.inbox import Inbox
from router.cluster.leadership import Leadership
from router.cluster.outbox import Outbox
from router.journal.redis.shared_journal import SharedRedisJournal
from router.model.states import WorkspaceId
from router.runtime.writer import Writer


class ClusterNode:
    """The parts of a node. For the event loop only; the journal must be open."""

    def __init__(
        self,
        writer: Writer,
        journal: SharedRedisJournal,
        *,
        candidates: Callable[[WorkspaceId], Iterable[str]],
        possible: Callable[[WorkspaceId], Collection[str]] | None = None,
        tell: Callable[[Collection[WorkspaceId]], Awaitable[None]] | None = None,
        settled: Collection[WorkspaceId] = (),
        on_led: Callable[[WorkspaceId], None],
        answer_s: float,
        on_change: Callable[[WorkspaceId, bool], None] = lambda _workspace, _is_led: None,
    ) -> None:
        """``candidates``: ids of the live nodes that may lead a workspace. ``on_led`` is called after each take-over.

        ``possible``: ids of those that may after they have begun to follow it. ``tell`` is called with what this node follows when
        that has changed. ``settled``: workspaces of the settings. ``answer_s``: time after which a command without an answer fails.
        """
        self.outbox: Final = Outbox(
            journal.new_client(),
            node_id=journal.node_id,
            run=journal.run,
            keys=journal.keys,
            put_work=writer.put_work,
            answer_s=answer_s,
            outage_s=float(journal.settings.outage_s_max),
        )
        self.inbox: Final = Inbox(journal, writer.put_work, self.outbox.on_answer)
        self.follower: Final = Follower(journal, writer.put_work)
        self.following: Following | None = None
        """Which workspaces are followed; None: those that the writer has."""
        if possible is not None and tell is not None:
            self.following = self._new_following(writer, journal, settled, possible, tell)
        following = self.following
        self.leadership: Final = Leadership(
            writer,
            journal,
            self.inbox,
            candidates=candidates,
            possible=possible,
            on_led=on_led,
            on_change=on_change,
            between=None if following is None else following.leave_idle,
            elsewhere=dict if following is None else lambda: following.leaders,
        )
        writer.on_consumed = journal.consume
        writer.session_prefix = journal.run
        writer.share(self.outbox)

    def _new_following(
        self,
        writer: Writer,
        journal: SharedRedisJournal,
        settled: Collection[WorkspaceId],
        possible: Callable[[WorkspaceId], Collection[str]],
        tell: Callable[[Collection[WorkspaceId]], Awaitable[None]],
    ) -> Following:
        return Following(
            writer,
            journal,
            standby_count=journal.settings.standby_count,
            idle_s=float(journal.settings.follow_idle_s),
            settled=settled,
            possible=possible,
            is_busy=lambda workspace: self.leadership.is_busy(workspace) or self.outbox.has_pending(workspace),
            tell=tell,
            forget=lambda workspace: self.leadership.forget(workspace),
        )

    async def run(self) -> None:
        """Run until cancelled. Raises the error of the part that failed; the process must then end."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.outbox.run(), name="outbox")
                group.create_task(self.inbox.run(), name="inbox")
                group.create_task(self.follower.run(), name="follower")
                group.create_task(self.leadership.run(), name="leadership")
                if self.following is not None:
                    group.create_task(self.following.run(), name="following")
        except BaseExceptionGroup as failed:
            error = failed.exceptions[0]
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            raise error from None

    async def drain(self) -> None:
        """Hand the workspaces over to other nodes, if there are any."""
        await self.leadership.drain()

    async def close(self) -> None:
        """End the threads. Call when ``run`` has ended."""
        if self.following is not None:
            await self.following.stop()
        await self.outbox.close()
        await self.inbox.close()
        await self.follower.close()
