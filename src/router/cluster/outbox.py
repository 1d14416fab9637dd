"""Commands on their way to the leaders of their workspaces, and the answers to them.

Each command has a number that only grows. The store writes each number once, so a request whose reply was lost is sent again. An
answer may be lost, with the leader that had carried the command out: then the caller gets JournalUnavailable, as for a command that
is in progress when a process dies, and a repetition with the same idempotency key finds the result. As the commands of a workspace
are answered in their order, an answer to a later one says that this one's is lost; otherwise it is the time limit that does.

A command whose caller was told so is not sent any more, as far as that has not been done: while the store is away nothing gathers
that would be carried out long after its callers have given up. A command without a caller waits for as long as an outage may last.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Final

from msgspec import Struct

from router.cluster.messages import AnswerMessage, encode_command, error_of
from router.cluster.work import LeaderAnswer
from router.journal.redis.client import StoreClient
from router.journal.redis.connection import StoreError, StoreRefusal
from router.journal.redis.layout import WorkspaceKeys
from router.journal.redis.scripts import ENQUEUE, evalsha
from router.journal.sqlite.journal import JournalThread
from router.model.errors import CommandQueueFull, JournalUnavailable, RouterError
from router.model.states import WorkspaceId
from router.runtime.command_queue import QueuedWork
from router.runtime.workspace import HeldReply, QueuedCommand, Reply, ReplyTarget

PENDING_MAX: Final = 10_000
"""Commands without an answer, of all workspaces; further ones are refused at once."""
INBOUND_MAX: Final = 20_000
"""Entries of the inbound stream of a workspace; it is trimmed once a second."""
_AT_ONCE: Final = 128
_RETRY_S: Final = 0.1
_CHECK_S: Final = 1.0
_UNKNOWN: Final = "the leader of the workspace did not answer in time; the command may or may not have been carried out"


class _Pending(Struct, frozen=True):
    reply: ReplyTarget[Reply] | None
    until_s: float


class Outbox:
    """Sends commands. It is the writer's ``RemoteCommands``; for the event loop only."""

    def __init__(
        self,
        client: StoreClient,
        *,
        node_id: str,
        run: str,
        keys: Callable[[WorkspaceId], WorkspaceKeys],
        put_work: Callable[[WorkspaceId, QueuedWork], None],
        answer_s: float,
        outage_s: float,
    ) -> None:
        """``answer_s``: time after which a command without an answer fails.

        ``outage_s``: time after which a command that has no caller is dropped.
        """
        self._client = client
        self._node_id = node_id
        self._run = run
        self._keys = keys
        self._put_work = put_work
        self._answer_s = answer_s
        self._outage_s = outage_s
        self._thread = JournalThread()
        self._unsent: dict[WorkspaceId, dict[int, QueuedCommand]] = {}
        """Commands of which no batch has been made yet, in their order; each is also among the pending ones."""
        self._pending: dict[WorkspaceId, dict[int, _Pending]] = {}
        """Commands without an answer by workspace and number, in their order."""
        self._workspaces: dict[int, WorkspaceId] = {}
        """The workspace of each of them."""
        self._number = 0
        self._sent: dict[WorkspaceId, int] = {}
        """The last number of each workspace."""
        self._settled: dict[WorkspaceId, int] = {}
        """The last number of each workspace of which it is known that it and those before were carried out."""
        self._more = asyncio.Event()
        self.failures = 0
        """Commands that got no answer in time."""

    @property
    def pending_count(self) -> int:
        """Number of commands without an answer."""
        return len(self._workspaces)

    def admit(self, workspace: WorkspaceId) -> None:
        """Raise CommandQueueFull where as many commands wait for an answer as may."""
        if len(self._workspaces) >= PENDING_MAX:
            raise CommandQueueFull("too many commands wait for the leaders of their workspaces; retry later")

    def send(self, workspace: WorkspaceId, queued: QueuedCommand) -> None:
        """Send a command to the leader, and complete its reply with the answer."""
        self._number += 1
        self._sent[workspace] = self._number
        until_s = time.monotonic() + (self._outage_s if queued.reply is None else self._answer_s)
        self._pending.setdefault(workspace, {})[self._number] = _Pending(queued.reply, until_s)
        self._workspaces[self._number] = workspace
        self._unsent.setdefault(workspace, {})[self._number] = queued
        self._more.set()

    def has_pending(self, workspace: WorkspaceId) -> bool:
        """Return whether a command of a workspace has no answer yet."""
        return bool(self._pending.get(workspace))

    def is_settled(self, workspace: WorkspaceId) -> bool:
        """Return whether every command of a workspace that was sent is known to be carried out."""
        return self._sent.get(workspace, 0) == self._settled.get(workspace, 0)

    def on_answer(self, answer: AnswerMessage) -> None:
        """Take an answer of a leader; one that is not expected any more is ignored."""
        workspace = self._workspaces.get(answer.number)
        if workspace is None:
            return
        if answer.error is not None:
            # It did not go through the queue of the leader, so it may be ahead of others.
            self._fail(answer.number, error_of(answer.error))
            return
        self._settled[workspace] = answer.number
        waiting = self._pending[workspace]
        while (number := next(iter(waiting))) < answer.number:
            self._give_up(number)
        pending = waiting.pop(answer.number)
        del self._workspaces[answer.number]
        if pending.reply is not None:
            self._put_work(workspace, LeaderAnswer(HeldReply(answer.last_seq, pending.reply, answer.reply())))

    async def run(self) -> None:
        """Send what comes until cancelled. Raises a group with the error of the part that failed."""
        tasks: dict[WorkspaceId, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            group.create_task(self._check())
            while True:
                await self._more.wait()
                self._more.clear()
                for workspace, unsent in self._unsent.items():
                    if unsent and (workspace not in tasks or tasks[workspace].done()):
                        # One at a time for each workspace, so that the commands keep their order.
                        tasks[workspace] = group.create_task(self._send_all(workspace, unsent))

    async def close(self) -> None:
        """Fail what has no answer, and end the thread. Call when ``run`` has ended."""
        for number in list(self._workspaces):
            self._fail(number, JournalUnavailable("the router is stopping"))
        await self._thread.run(self._client.close)
        self._thread.stop()

    async def _send_all(self, workspace: WorkspaceId, unsent: dict[int, QueuedCommand]) -> None:
        while unsent:
            batch: list[tuple[int, bytes]] = []
            for number in list(islice(unsent, _AT_ONCE)):
                queued = unsent.pop(number)
                batch.append((number, encode_command(queued.command, queued.actor)))
            while batch and not await self._thread.run(partial(self._enqueue, workspace, batch)):
                await asyncio.sleep(_RETRY_S)
                # Some may have been written; the store skips these, and further ones of those that were given up are not.
                batch = [one for one in batch if one[0] in self._workspaces]

    async def _check(self) -> None:
        """Fail the commands whose answer does not come."""
        while True:
            await asyncio.sleep(_CHECK_S)
            now_s = time.monotonic()
            for number, workspace in list(self._workspaces.items()):
                if self._pending[workspace][number].until_s <= now_s:
                    self._give_up(number)

    def _give_up(self, number: int) -> None:
        if number in self._workspaces:
            self.failures += 1
            self._fail(number, JournalUnavailable(_UNKNOWN))

    def _fail(self, number: int, error: Exception) -> None:
        workspace = self._workspaces.pop(number)
        pending = self._pending[workspace].pop(number)
        self._unsent[workspace].pop(number, None)
        if pending.reply is not None and not pending.reply.done():
            pending.reply.set_exception(error)

    # --- on the thread -----------------------------------------------------------------------

    def _enqueue(self, workspace: WorkspaceId, batch: list[tuple[int, bytes]]) -> bool:
        """Write commands to the inbound stream; False: not, or perhaps not, so they are to be sent again.

        Raises JournalUnavailable where the store refuses them for good.
        """
        keys = self._keys(workspace)
        arguments: list[str | bytes | int] = [self._node_id, self._run, INBOUND_MAX]
        for number, data in batch:
            arguments += (number, data)
        try:
            reply = self._client.call(keys.inbound, *evalsha(ENQUEUE, [keys.inbound, keys.senders], *arguments))
        except StoreRefusal as error:
            if not error.is_temporary:
                raise JournalUnavailable(f"the store refuses commands to the leaders of workspaces: {error}") from error
            return False
        except (StoreError, RouterError, OSError):
            # Also where a new connection cannot be prepared: the script, or the file of the password.
            return False
        return bool(reply[0] == b"OK")
