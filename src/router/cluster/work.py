"""Work that a node of several puts into the queue of the writer: records of other nodes, commands from them, and their answers."""

from collections.abc import Callable, Sequence
from typing import Final

from router.journal.port import Consumed
from router.journal.records import Record
from router.model.commands import Command
from router.runtime.command_queue import Batch, QueuedWork, execute_command
from router.runtime.workspace import HeldReply, QueuedCommand, Reply, ReplyTarget, WorkspaceRuntime

RECORDS_AT_ONCE: Final = 16
"""Records that are applied in one turn of the event loop."""


class FollowRecords(QueuedWork):
    """Apply records that another node has decided, and pass on the answers that waited for them."""

    def __init__(self, records: Sequence[Record], on_applied: Callable[[int], None]) -> None:
        """``on_applied`` is called with the number of records."""
        self._records = records
        self._on_applied = on_applied

    def execute(self, batch: Batch, workspace: WorkspaceRuntime) -> None:
        """Apply the records; they are published after the batch."""
        assert not workspace.is_led, "the log of a workspace that this node leads was read"
        engine = workspace.engine
        for record in self._records:
            engine.replay(record.events, record.first_seq, record.at_ms)
            workspace.epoch = record.epoch
            batch.followed.append((workspace.workspace, record))
        self._on_applied(len(self._records))
        held, workspace.held_replies = workspace.held_replies, []
        for one in held:
            _answer(batch, workspace, one)


class InboundCommand(QueuedWork):
    """Carry out a command of another node, as long as this node leads."""

    def __init__(
        self,
        entry_id: str,
        epoch: int,
        command: Command | None,
        actor: str,
        reply: ReplyTarget[Reply],
        on_taken: Callable[[], None],
    ) -> None:
        """``command`` None: it cannot be carried out, but counts as read. ``on_taken`` is called when it leaves the queue."""
        self._entry_id = entry_id
        self._epoch = epoch
        self._command = command
        self._actor = actor
        self._answer = reply
        self._on_taken = on_taken

    def execute(self, batch: Batch, workspace: WorkspaceRuntime) -> None:
        """Carry the command out; its position in the stream is stored with its events."""
        self._on_taken()
        if not workspace.is_led or workspace.epoch != self._epoch:
            # The next leader reads it again: its position was not stored.
            return
        batch.consumed.append(Consumed(len(batch.records), workspace.workspace, self._entry_id))
        if self._command is not None:
            execute_command(batch, workspace, QueuedCommand(self._command, self._actor, self._answer))


class LeaderAnswer(QueuedWork):
    """Pass on the answer of the leader, once this node has the events that it is about."""

    def __init__(self, held: HeldReply) -> None:
        self._held = held

    def execute(self, batch: Batch, workspace: WorkspaceRuntime) -> None:
        """Answer with this batch, or when the events have come."""
        _answer(batch, workspace, self._held)


def _answer(batch: Batch, workspace: WorkspaceRuntime, held: HeldReply) -> None:
    if held.seq <= workspace.engine.seq:
        batch.replies.append((held.reply, held.result))
    else:
        workspace.held_replies.append(held)
