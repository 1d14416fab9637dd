"""Presence of clients on nodes that have ended: the leader ends their sessions, so that their agents are not offered contacts.

Which node holds a session is part of the session. The id of a desktop's session begins with the name of the start of its node, and
what is known of a customer's app names it too. So the directory of sessions is the state of the engine: it is as durable as
everything else, and a node that takes over a workspace has it. A session whose start of a node has ended is lost, as if its
connection had been. The client connects to another node and resumes there.

A sweep looks at the sessions of the workspaces that this node leads, in slices, when members have changed and after a take-over.
It also removes how far nodes that are gone had read.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from itertools import islice
from typing import Final

from router.cluster.membership import RUN_BYTES, Membership
from router.model.commands import Command, LoseDesktop, SetCustomerPresence
from router.model.errors import CommandQueueFull, RouterError
from router.model.states import WorkspaceId
from router.runtime.writer import Writer

RUN_DIGITS: Final = 2 * RUN_BYTES
ACTOR: Final = "router"

# About 1,500 commands per second, as for connections that are lost on this node.
_AT_ONCE: Final = 20
_GAP_S: Final = 0.01
# Delay while the command queue is full.
_RETRY_S: Final = 0.2


def run_of_session(session_id: str) -> str:
    """Return the name of the start of a node that holds a session."""
    return session_id[:RUN_DIGITS]


class PresenceSweep:
    """Ends the sessions of nodes that have ended; for the event loop only."""

    def __init__(
        self,
        writer: Writer,
        membership: Membership,
        led: Callable[[], Sequence[WorkspaceId]],
        forget_readers: Callable[[WorkspaceId, Collection[str]], Awaitable[None]],
    ) -> None:
        """``led``: the workspaces that this node leads. ``forget_readers``: removes what other nodes than these have noted."""
        self._writer = writer
        self._membership = membership
        self._led = led
        self._forget_readers = forget_readers
        self._wanted: dict[WorkspaceId, None] = {}
        self._task: asyncio.Task[None] | None = None
        self.ended_sessions = 0
        """Desktops and apps of customers that were reported as lost because their node has ended."""
        membership.on_change.append(self.sweep_all)

    def sweep_all(self) -> None:
        """Look at the sessions of all workspaces that this node leads."""
        for workspace in self._led():
            self.sweep(workspace)

    def sweep(self, workspace: WorkspaceId) -> None:
        """Look at the sessions of a workspace that this node leads."""
        self._wanted[workspace] = None
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="presence sweep")

    async def stop(self) -> None:
        """End. Idempotent."""
        self._membership.on_change = [call for call in self._membership.on_change if call != self.sweep_all]
        self._wanted.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._wanted:
            workspace = next(iter(self._wanted))
            del self._wanted[workspace]
            try:
                await self._end_sessions(workspace)
                await self._forget_readers(workspace, self._membership.live())
            except CommandQueueFull:
                self._wanted[workspace] = None
                await asyncio.sleep(_RETRY_S)
            except (RouterError, KeyError):
                # The process stops, or leads the workspace no longer: the next leader sweeps after its take-over.
                continue

    async def _end_sessions(self, workspace: WorkspaceId) -> None:
        connected = (await self._writer.query_in_slices(workspace, lambda engine: engine.connected_clients())).value
        lost = self._lost(connected.desktops, connected.customers)
        while batch := list(islice(lost, _AT_ONCE)):
            await asyncio.gather(*(self._writer.execute(workspace, command, actor=ACTOR) for command in batch))
            self.ended_sessions += len(batch)
            await asyncio.sleep(_GAP_S)

    def _lost(self, desktops: list[tuple[str, str]], customers: list[tuple[str, str]]) -> Iterator[Command]:
        is_live = self._membership.is_run_live
        for agent_id, session_id in desktops:
            if not is_live(run_of_session(session_id)):
                yield LoseDesktop(agent_id=agent_id, session_id=session_id)
        for contact_id, run in customers:
            if not is_live(run):
                yield SetCustomerPresence(contact_id=contact_id, is_here=False, run=run)
