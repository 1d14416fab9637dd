"""Execution of one batch, and group commit.

``BatchProcessor`` takes queued items, executes them at one common time, and collects records and replies. Nothing here is durable
or published: the writer commits the records of the batch and then completes its replies.

``CommitPacer`` computes when the next batch starts. A commit has a fixed cost regardless of its size: one disk flush and two thread
switches. A single command on an idle router is committed at once. On a busy router commands arrive faster than commits complete,
and one commit per command would leave no processor time for routing. The next commit therefore starts at the earliest ``gap_ms``
after the start of the previous one and contains all commands that have arrived until then. When ``FULL_BATCH_COUNT`` commands are
queued the fixed cost is shared well enough, and the commit starts without delay.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, get_args

from msgspec import Struct

from router.journal.crash_points import crash_point
from router.journal.port import Record
from router.model.commands import AdvanceTime, Command, EnqueueContact
from router.model.ids import WorkspaceId
from router.model.results import Outcome, RefusalCode, Refused
from router.runtime.clock import WakeupSchedule
from router.runtime.command_queue import CommandQueue
from router.runtime.workspace import (
    QueryResult,
    QueuedCommand,
    QueuedQuery,
    Reply,
    ReplyTarget,
    WorkspaceRuntime,
)

ROUTER_ACTOR: Final = "router"
"""Actor of commands that the router issues itself: timers, and desktops lost at a restart."""

_ADVANCE_TIME: Final = AdvanceTime()
_COMMAND_TAGS: Final[dict[type, str]] = {
    kind: str(kind.__struct_config__.tag) for kind in get_args(Command)
}
# AdvanceTime commands of one workspace in one batch; each fires at most 64 timers.
_TIMER_COMMANDS_MAX: Final = 4

# With this many queued commands the fixed cost of a commit is shared well enough.
FULL_BATCH_COUNT: Final = 32

_before_decide = crash_point("before_decide")
_after_decide = crash_point("after_decide")


class Batch(Struct):
    """The result of one batch, not yet durable."""

    at_ms: int
    collects_refused_submits: bool = False
    """Whether refused submits are collected."""
    records: list[tuple[WorkspaceId, Record]] = []
    replies: list[tuple[ReplyTarget[Any], Any]] = []
    refused_submits: list[tuple[int, WorkspaceId, EnqueueContact, RefusalCode]] = []
    """Refused submits, each with the number of records of the batch before it."""
    pending_replies: list[ReplyTarget[Any]] = []
    """Reply targets of all items taken from the queue, which must be completed or failed in any case."""


class CommitPacer:
    """Compute the delay before the next commit."""

    def __init__(self, gap_ms: int, *, now_s: Callable[[], float] = time.perf_counter) -> None:
        """``gap_ms`` 0 disables the gap. ``now_s`` is replaced in tests."""
        self._gap_s = gap_ms / 1000
        self._now_s = now_s
        self._started_s = float("-inf")

    def delay_s(self, waiting: int) -> float:
        """Return the seconds to wait for more commands, given the number already queued; 0 or less: commit now."""
        if waiting >= FULL_BATCH_COUNT:
            return 0.0
        return self._started_s + self._gap_s - self._now_s()

    def commit_started(self) -> None:
        """Record that a commit starts now."""
        self._started_s = self._now_s()


class BatchProcessor:
    """Execute due timers and queued items."""

    def __init__(
        self,
        workspaces: Mapping[WorkspaceId, WorkspaceRuntime],
        wakeups: WakeupSchedule,
        queue: CommandQueue[QueuedCommand | QueuedQuery],
        *,
        count_max: int,
        ms_max: int,
    ) -> None:
        """``count_max`` limits the commands, queries and due workspaces of a batch, ``ms_max`` its execution time."""
        self._workspaces = workspaces
        self._wakeups = wakeups
        self._queue = queue
        self._count_max = count_max
        self._ms_max = ms_max

    def process(self, batch: Batch) -> None:
        """Execute one batch at ``batch.at_ms``: first the workspaces with due timers, then queued items round-robin."""
        if _before_decide is not None and len(self._queue):
            _before_decide()
        started_s = time.perf_counter()
        # Timers get at most half of a batch, so that neither timers nor commands starve the other.
        due = self._wakeups.pop_due(batch.at_ms, max(1, self._count_max // 2))
        touched = dict.fromkeys(due)
        # If more timers are due than fit into this batch, commands wait for the next one: the first command would fire all of them.
        is_late = False
        for workspace in due:
            is_late |= self._fire_timers(batch, self._workspaces[workspace])
        for count in range(0 if is_late else self._count_max - len(due)):
            popped = self._queue.pop()
            if popped is None:
                break
            workspace, item = popped
            if item.reply is not None:
                batch.pending_replies.append(item.reply)
            if isinstance(item, QueuedCommand):
                touched[workspace] = None
                _execute_command(batch, self._workspaces[workspace], item)
            else:
                _execute_query(batch, self._workspaces[workspace], item)
            if count % 8 == 7 and self._is_over_time(started_s):
                break
        for workspace in touched:
            self._wakeups.set(workspace, self._workspaces[workspace].engine.next_deadline_ms())
        if _after_decide is not None and batch.records:
            _after_decide()

    def _fire_timers(self, batch: Batch, workspace: WorkspaceRuntime) -> bool:
        """Fire due timers and return whether more are due."""
        for _ in range(_TIMER_COMMANDS_MAX):
            seq = workspace.engine.seq
            _execute_command(batch, workspace, QueuedCommand(_ADVANCE_TIME, ROUTER_ACTOR, None))
            next_ms = workspace.engine.next_deadline_ms()
            if next_ms is None or next_ms > batch.at_ms or workspace.engine.seq == seq:
                return False
        return True

    def _is_over_time(self, started_s: float) -> bool:
        return (time.perf_counter() - started_s) * 1000 > self._ms_max


def _execute_command(batch: Batch, workspace: WorkspaceRuntime, queued: QueuedCommand) -> None:
    outcome = workspace.engine.handle(queued.command, batch.at_ms)
    if outcome.events:
        batch.records.append((workspace.workspace, _build_record(workspace, queued, outcome)))
    result, command = outcome.result, queued.command
    if (
        type(result) is Refused
        and type(command) is EnqueueContact
        and batch.collects_refused_submits
    ):
        batch.refused_submits.append(
            (len(batch.records), workspace.workspace, command, result.code)
        )
    if queued.reply is not None:
        batch.replies.append((queued.reply, Reply(outcome, workspace.epoch, workspace.history_id)))


def _execute_query(batch: Batch, workspace: WorkspaceRuntime, queued: QueuedQuery) -> None:
    if queued.reply.done():
        return
    engine = workspace.engine
    try:
        value = queued.query(engine)
    except AssertionError:
        raise
    except Exception as error:
        # A query changes nothing, so its error concerns only its caller.
        queued.reply.set_exception(error)
        return
    result = QueryResult(value, engine.seq, batch.at_ms, workspace.epoch, workspace.history_id)
    batch.replies.append((queued.reply, result))


def _build_record(workspace: WorkspaceRuntime, queued: QueuedCommand, outcome: Outcome) -> Record:
    return Record(
        epoch=workspace.epoch,
        first_seq=outcome.first_seq,
        at_ms=outcome.at_ms,
        actor=queued.actor,
        cause=_COMMAND_TAGS[type(queued.command)],
        # Records are retained for clients that resume; unlike a list, a tuple of untracked structs is not scanned by the collector.
        events=tuple(outcome.events),
    )
