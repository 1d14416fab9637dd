"""The inbound streams of the workspaces that this node leads, and its answers to the nodes that sent the commands.

The commands of a stream are carried out in its order, each once: the position behind a command is stored with its events in one
step. A leader that takes over begins at the stored position; what the former one had read but not carried out is read again.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

from router.cluster.messages import UNREADABLE, AnswerMessage, decode_answer, decode_command, encode_answer, encode_error
from router.cluster.work import InboundCommand
from router.journal.redis.client import Request, StoreClient
from router.journal.redis.connection import StoreError, StoreRefusal
from router.journal.redis.shared_journal import SharedRedisJournal
from router.journal.redis.streams import Entry, StreamReader, fields_of
from router.journal.sqlite.journal import JournalThread
from router.model.errors import JournalUnavailable, RouterError
from router.model.states import WorkspaceId
from router.runtime.command_queue import QueuedWork
from router.runtime.workspace import Reply

_READ_MAX: Final = 256
# Commands of a workspace that were read and wait in the queue of the writer; its stream is read on below that.
_QUEUED_MAX: Final = 512
_RETRY_S: Final = 0.2
_TRIM_S: Final = 1.0
ANSWERS_MAX: Final = 20_000
"""Answers that wait in the store for a node; the oldest are dropped beyond that."""
_ANSWERS_LIFETIME_MS: Final = 60_000
_UNSENT_MAX: Final = 20_000
# Also where a new connection cannot be prepared: its scripts, or the file of the password.
_RETRYABLE: Final = (StoreError, RouterError, OSError)


class _Stream:
    """The inbound stream of one workspace, from when this node began to lead it."""

    def __init__(self, workspace: WorkspaceId, epoch: int, position: str) -> None:
        self.workspace = workspace
        self.epoch = epoch
        self.position = position
        self.queued = 0

    def on_taken(self) -> None:
        self.queued -= 1


class Inbox:
    """Reads commands and answers. For the event loop only."""

    def __init__(
        self,
        journal: SharedRedisJournal,
        put_work: Callable[[WorkspaceId, QueuedWork], None],
        on_answer: Callable[[AnswerMessage], None],
    ) -> None:
        """``on_answer`` is called with each answer to a command of this node."""
        self._journal = journal
        self._put_work = put_work
        self._on_answer = on_answer
        self._reader: StreamReader = journal.new_stream_reader()
        self._replies_key = journal.replies_key(journal.run)
        self._replies_position = "0-0"
        self._streams: dict[str, _Stream] = {}
        self._answers = AnswerWriter(journal.new_client(), journal.replies_key)
        self.commands = 0
        """Commands of other nodes that were read."""

    def add(self, workspace: WorkspaceId, epoch: int, position: str) -> None:
        """Read the commands of a workspace from a position on; this node leads it."""
        self._streams[self._journal.keys(workspace).inbound] = _Stream(workspace, epoch, position)

    def remove(self, workspace: WorkspaceId) -> None:
        """Read no further commands of a workspace."""
        self._streams.pop(self._journal.keys(workspace).inbound, None)

    async def run(self) -> None:
        """Read and answer until cancelled. Raises a group with the error of the part that failed."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._answers.run())
            group.create_task(self._read())

    async def _read(self) -> None:
        trimmed_s = time.monotonic()
        while True:
            streams = {key: one for key, one in self._streams.items() if one.queued < _QUEUED_MAX}
            positions = {key: one.position for key, one in streams.items()}
            positions[self._replies_key] = self._replies_position
            try:
                found = await self._reader.read(positions, limit=_READ_MAX)
            except _RETRYABLE:
                await asyncio.sleep(_RETRY_S)
                continue
            self._take(found, streams)
            if time.monotonic() - trimmed_s > _TRIM_S:
                trimmed_s = time.monotonic()
                self._answers.trim({key: self._journal.inbound_position(one.workspace) for key, one in self._streams.items()})

    async def flush(self) -> None:
        """Wait until the answers to all commands carried out so far are written, as far as the store answers."""
        await self._answers.flush()

    async def close(self) -> None:
        """End the threads. Call when ``run`` has ended."""
        await self._answers.close()
        await self._reader.close()

    def _take(self, found: Mapping[str, list[Entry]], streams: Mapping[str, _Stream]) -> None:
        """Take what was read. ``streams`` are those that it was read for."""
        for key, entries in found.items():
            if key == self._replies_key:
                self._replies_position = entries[-1][0]
                for _, fields in entries:
                    answer = decode_answer(fields_of(fields)[b"p"])
                    if answer is not None:
                        self._on_answer(answer)
            elif (stream := streams[key]) is self._streams.get(key):
                # Otherwise this node has ended to lead meanwhile; if it leads again, it reads from another position.
                for entry_id, fields in entries:
                    self._take_command(stream, entry_id, fields_of(fields))
                stream.position = entries[-1][0]

    def _take_command(self, stream: _Stream, entry_id: str, fields: dict[bytes, bytes]) -> None:
        run, number = fields[b"r"].decode(), int(fields[b"c"])
        message = decode_command(fields[b"p"])
        if message is None:
            self._answers.add(run, encode_error(number, UNREADABLE))
        answer = _AnswerTo(self._answers, run, number)
        command, actor = (None, "") if message is None else (message.command, message.actor)
        stream.queued += 1
        self.commands += 1
        self._put_work(stream.workspace, InboundCommand(entry_id, stream.epoch, command, actor, answer, stream.on_taken))


class _AnswerTo:
    """The reply target of a command from another node."""

    __slots__ = ("_answers", "_number", "_run")

    def __init__(self, answers: "AnswerWriter", run: str, number: int) -> None:
        self._answers = answers
        self._run = run
        self._number = number

    def done(self) -> bool:
        return False

    def set_result(self, result: Reply, /) -> None:
        self._answers.add(self._run, encode_answer(self._number, result))

    def set_exception(self, exception: Exception, /) -> None:
        """Send nothing: whether the command was carried out is not known here; the sender waits for the next leader."""


class AnswerWriter:
    """Writes answers to the streams of their nodes, on a thread of its own, so that no append waits for it."""

    def __init__(self, client: StoreClient, replies_key: Callable[[str], str]) -> None:
        self._client = client
        self._replies_key = replies_key
        self._thread = JournalThread()
        self._unsent: list[tuple[str, bytes]] = []
        self._trims: dict[str, str] = {}
        self._more = asyncio.Event()
        self._sending = asyncio.Lock()
        """What could not be written goes before what came meanwhile."""

    def add(self, run: str, answer: bytes) -> None:
        """Send an answer to a run of a node; beyond a limit it is dropped, and its sender waits in vain."""
        if len(self._unsent) < _UNSENT_MAX:
            self._unsent.append((run, answer))
            self._more.set()

    def trim(self, positions: Mapping[str, str]) -> None:
        """Remove from these streams what was carried out."""
        self._trims |= positions
        self._more.set()

    async def run(self) -> None:
        """Write what comes until cancelled. Raises JournalUnavailable where the store refuses it for good."""
        while True:
            await self._more.wait()
            self._more.clear()
            trims, self._trims = self._trims, {}
            if not await self._send(trims):
                await asyncio.sleep(_RETRY_S)

    async def flush(self) -> None:
        """Write what is left, as far as the store answers. Raises JournalUnavailable where the store refuses it for good."""
        await self._send({})

    async def _send(self, trims: Mapping[str, str]) -> bool:
        """Write what waits; False: some of it waits still."""
        async with self._sending:
            unsent, self._unsent = self._unsent, []
            try:
                again, refusal = await self._thread.run(partial(self._write, unsent, trims))
            except _RETRYABLE:
                again, refusal = unsent, None
            if refusal is not None:
                raise JournalUnavailable(f"the store refuses the answers to other nodes: {refusal}")
            if again:
                # An answer that is sent twice is ignored by its receiver.
                self._unsent = (again + self._unsent)[:_UNSENT_MAX]
                self._more.set()
            return not again

    async def close(self) -> None:
        """Write what is left, as far as the store answers, and end the thread."""
        with suppress(JournalUnavailable):
            await self.flush()
        await self._thread.run(self._client.close)
        self._thread.stop()

    def _write(
        self, unsent: list[tuple[str, bytes]], trims: Mapping[str, str]
    ) -> tuple[list[tuple[str, bytes]], StoreRefusal | None]:
        """Return the answers that are to be sent again, and a refusal that will not end."""
        requests: list[Request] = []
        for run, answer in unsent:
            key = self._replies_key(run)
            requests.append(Request(key, ("XADD", key, "MAXLEN", "~", ANSWERS_MAX, "*", "p", answer)))
        for run in {run for run, _ in unsent}:
            key = self._replies_key(run)
            requests.append(Request(key, ("PEXPIRE", key, _ANSWERS_LIFETIME_MS)))
        requests += [Request(key, ("XTRIM", key, "MINID", position)) for key, position in trims.items()]
        replies = self._client.run(requests) if requests else []
        refused_runs: set[str] = set()
        again: list[tuple[str, bytes]] = []
        for (run, answer), reply in zip(unsent, replies, strict=False):
            if isinstance(reply, StoreRefusal):
                refused_runs.add(run)
            if run in refused_runs:
                # Also those behind it: an answer to a later command says that this one's is lost.
                again.append((run, answer))
        refusals = (reply for reply in replies if isinstance(reply, StoreRefusal) and not reply.is_temporary)
        return again, next(refusals, None)
