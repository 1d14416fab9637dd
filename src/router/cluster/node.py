"""The process as one node of several on a store: what runs beside the writer, and in which order it starts and stops.

Start, once the writer has recovered and runs: commands go to leaders, logs are followed, free workspaces are taken. Drain: the
workspaces are handed over while sockets still work. Stop, once the writer has ended: the threads end.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from router.cluster.follower import Follower
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
        on_led: Callable[[WorkspaceId], None],
        answer_s: float,
        on_change: Callable[[WorkspaceId, bool], None] = lambda _workspace, _is_led: None,
    ) -> None:
        """``candidates``: ids of the live nodes that may lead a workspace. ``on_led`` is called after each take-over.

        ``answer_s``: time after which a command without an answer fails.
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
        self.leadership: Final = Leadership(writer, journal, self.inbox, candidates=candidates, on_led=on_led, on_change=on_change)
        writer.on_consumed = journal.consume
        writer.session_prefix = journal.run
        writer.share(self.outbox)

    async def run(self) -> None:
        """Run until cancelled. Raises the error of the part that failed; the process must then end."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.outbox.run(), name="outbox")
                group.create_task(self.inbox.run(), name="inbox")
                group.create_task(self.follower.run(), name="follower")
                group.create_task(self.leadership.run(), name="leadership")
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
        await self.outbox.close()
        await self.inbox.close()
        await self.follower.close()
